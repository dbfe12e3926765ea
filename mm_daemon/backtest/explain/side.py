"""The quote of one side, from the mid to the grid: what moved it by how much, and what a fill of it would do."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from mm_daemon.backtest.explain.explanation import (
    HalfSpread,
    LevelBehind,
    Move,
    Part,
    PartName,
    SideExplanation,
)
from mm_daemon.backtest.explain.scene import Scene
from mm_daemon.domain.decisions import Reason, reasons_in
from mm_daemon.domain.instrument import Instrument, grid_rounding
from mm_daemon.domain.orders import Side
from mm_daemon.engine.costs import fill_cost_bps
from mm_daemon.engine.pricing import Pricing, SideQuote
from mm_daemon.engine.pricing_model import Curve, inventory_offsets, tilt_bps
from mm_daemon.engine.units import BPS
from mm_daemon.observability.words import WORDS

_PPM_PER_BPS = 100.0


def explain_side(scene: Scene, pricing: Pricing, curve: Curve, half: HalfSpread, side: Side) -> SideExplanation:
    contract, book = scene.parameters.instrument, scene.book
    quote = pricing.bid if side is Side.BUY else pricing.ask
    mid, bp = pricing.mid_ticks, pricing.mid_ticks * BPS
    unrounded = _unrounded(pricing, side)
    to_grid = grid_rounding(contract.grid)[side is Side.SELL]
    rounded = to_grid(unrounded)
    best = book.bid_ticks if side is Side.BUY else book.ask_ticks
    reasons = reasons_in(quote.obstacles)
    edge = side * (pricing.fair_ticks - quote.ticks) / bp
    edge -= contract.maker_fee_ppm / _PPM_PER_BPS + scene.parameters.quoting.adverse_bps + impact_of(scene, pricing)
    return SideExplanation(
        side="bid" if side is Side.BUY else "ask",
        price=f"{contract.price(quote.ticks):f}",
        ticks=quote.ticks,
        size=f"{contract.size(quote.lots):f}",
        mid_ticks=mid,
        parts=_parts(scene, pricing, curve, half, side),
        unrounded_ticks=unrounded,
        rounding_ticks=rounded - unrounded,
        post_only_ticks=float(quote.ticks - rounded),
        from_mid_bps=side * (mid - quote.ticks) / bp + 0.0,  # no minus before nothing
        from_mid_ticks=side * (mid - quote.ticks) + 0.0,
        behind_best_ticks=side * (best - quote.ticks),
        quoted=not reasons,
        reasons=reasons,
        words=in_words(reasons),
        edge_bps=edge,
        edge_money=money_of(contract, edge * bp, quote.lots),
        tolerance_ticks=quote.tolerance_ticks,
        tolerance_bps=quote.tolerance_ticks / bp,
        behind=tuple(_behind(scene, pricing, side)),
        after_fill=_after_fill(scene, pricing, quote, side),
    )


def _behind(scene: Scene, pricing: Pricing, side: Side) -> Iterator[LevelBehind]:
    contract, bp = scene.parameters.instrument, pricing.mid_ticks * BPS
    paid = contract.maker_fee_ppm / _PPM_PER_BPS + scene.parameters.quoting.adverse_bps + impact_of(scene, pricing)
    for quote in (pricing.bids if side is Side.BUY else pricing.asks)[1:]:
        reasons = reasons_in(quote.obstacles)
        yield LevelBehind(
            price=f"{contract.price(quote.ticks):f}",
            ticks=quote.ticks,
            size=f"{contract.size(quote.lots):f}",
            from_mid_bps=side * (pricing.mid_ticks - quote.ticks) / bp,
            edge_bps=side * (pricing.fair_ticks - quote.ticks) / bp - paid,
            reasons=reasons,
            words=in_words(reasons),
        )


def _parts(scene: Scene, pricing: Pricing, curve: Curve, half: HalfSpread, side: Side) -> tuple[Part, ...]:
    """From the mid to the unrounded quote. A half-spread lowers a bid and raises an ask, a centre lowers both."""
    conditions, bp = scene.engine.conditions, pricing.mid_ticks * BPS
    quote = pricing.bid if side is Side.BUY else pricing.ask
    momentum = flow = funding = 0.0
    horizon_s = conditions.horizon_s(curve.tau_s)
    if conditions.shifts and horizon_s is not None:
        momentum = conditions.momentum_bps(pricing.sigma_bps, horizon_s)
        flow = conditions.flow_bps(horizon_s)
        funding = conditions.funding_bps(horizon_s, scene.now_ns)
    inventory = of_inventory(scene, pricing, curve)
    flat_bps = scene.engine.half_bps(curve, pricing.widening)
    further = conditions.inventory_widening(conditions.used(scene.position_lots), flat_bps)[side is Side.SELL]
    wanted = pricing.half_bps + side * pricing.centre_bps + further - side * pricing.shift_bps
    off_mid = pricing.fair_ticks - pricing.mid_ticks
    in_bps: tuple[tuple[PartName, float], ...] = (
        ("momentum", momentum),
        ("flow", flow),
        ("funding", funding),
        ("max_shift", pricing.shift_bps - (momentum + flow + funding)),
        ("unequal_flow", -inventory.tilt_bps),
        ("inventory", inventory.tilt_bps - inventory.centre_bps - side * half.inventory_bps),
        ("intensity", -side * half.intensity_bps),
        ("risk", -side * half.risk_bps),
        ("fees", -side * half.fees_bps),
        ("adverse", -side * half.adverse_bps),
        ("impact", -side * half.impact_bps),
        ("max_skew", inventory.centre_bps - pricing.centre_bps - side * half.max_skew_bps),
        ("widening", -side * half.widening_bps),
        ("toxic", -side * half.toxic_bps),
        ("low_confidence", -side * half.low_confidence_bps),
        ("spread_limits", -side * half.spread_limits_bps),
        ("near_limit", -side * further),
        ("least_edge", -side * (quote.depth_bps - wanted)),
    )
    return Part("reference", off_mid / bp, off_mid), *(Part(name, bps, bps * bp) for name, bps in in_bps)


class OfInventory(NamedTuple):
    """What the model makes of the inventory, before `max_skew_bps` and, `held_half_bps`, after: half of the spread
    beyond that when flat, and how far the quotes are shifted down; `tilt_bps` of that when flat.
    """

    half_bps: float
    centre_bps: float
    tilt_bps: float
    held_half_bps: float


def of_inventory(scene: Scene, pricing: Pricing, curve: Curve) -> OfInventory:
    engine = scene.engine
    most, watches = engine.most_tilt_bps, engine.watcher is not None
    depths, half = curve.at(pricing.q), curve.half_bps
    tilt = tilt_bps(pricing.inputs, curve, math.inf, watches=watches)
    bid, ask = inventory_offsets(depths, half, tilt, math.inf)
    held_tilt = tilt_bps(pricing.inputs, curve, most, watches=watches)
    held_bid, held_ask = inventory_offsets(depths, half, held_tilt, abs(pricing.q) * engine.max_skew_bps)
    return OfInventory(0.5 * (bid + ask), tilt + 0.5 * (bid - ask), tilt, 0.5 * (held_bid + held_ask))


def _unrounded(pricing: Pricing, side: Side) -> float:
    """In ticks, before rounding and post-only."""
    quote = pricing.bid if side is Side.BUY else pricing.ask
    return pricing.fair_ticks - side * quote.depth_bps * (pricing.mid_ticks * BPS)


def _after_fill(scene: Scene, pricing: Pricing, quote: SideQuote, side: Side) -> Move | None:
    if not quote.lots:
        return None
    position_lots = scene.position_lots + side * quote.lots
    position = f"{scene.parameters.instrument.size(position_lots):f}"
    left = scene.guarded((side * quote.lots, quote.ticks))
    after = scene.engine.price(scene.book, position_lots, scene.now_ns, left)
    if isinstance(after, int):
        why = reasons_in(after)
        return Move(
            position=position,
            bid_ticks=None,
            ask_ticks=None,
            bid_bps=None,
            ask_bps=None,
            bid_reasons=why,
            ask_reasons=why,
        )
    return Move(
        position=position,
        bid_ticks=after.bid.ticks - pricing.bid.ticks,
        ask_ticks=after.ask.ticks - pricing.ask.ticks,
        bid_bps=pricing.bid.depth_bps - after.bid.depth_bps,
        ask_bps=after.ask.depth_bps - pricing.ask.depth_bps,
        bid_reasons=reasons_in(after.bid.obstacles),
        ask_reasons=reasons_in(after.ask.obstacles),
    )


def money_of(contract: Instrument, edge_ticks: float, lots: int) -> float | None:
    """What `edge_ticks` on so many lots are worth."""
    if contract.inverse:
        return None
    return edge_ticks * float(contract.tick * contract.size(lots) * contract.multiplier)


def in_words(reasons: tuple[Reason, ...]) -> tuple[str, ...]:
    return tuple(WORDS[reason] for reason in reasons)


def impact_of(scene: Scene, pricing: Pricing) -> float:
    """What Kyle's lambda adds to the adverse move that is priced in."""
    cost_bps = fill_cost_bps(scene.parameters.instrument, scene.parameters.quoting)
    return max(0.0, pricing.inputs.cost_bps - cost_bps) if scene.parameters.quoting.impact_times else 0.0
