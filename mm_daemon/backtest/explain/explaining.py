"""Why the quotes of a market are where they are: the quote engine asked, and asked again with something changed.

The mathematics is the engine's: what it priced, the curve it priced by, the same at another position. Here is only what
one of its answers differs from the next by. Pure; the engine's own memory of its last pricing is all that changes.
"""

import math

import msgspec

from mm_daemon.backtest.explain.explanation import (
    BreakEven,
    FillIntensity,
    HalfSpread,
    MarketExplanation,
    Measurement,
    Origin,
    Quotes,
    Reference,
    RiskAversion,
    SigmaOrigin,
    Situation,
    Skew,
    Volatility,
    WarmStarted,
)
from mm_daemon.backtest.explain.guards import guards
from mm_daemon.backtest.explain.scene import Scene
from mm_daemon.backtest.explain.side import explain_side, impact_of, in_words, of_inventory
from mm_daemon.domain.decisions import Reason, reasons_in
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import to_text
from mm_daemon.domain.orders import Side
from mm_daemon.engine.conditions import Intensity
from mm_daemon.engine.costs import break_even
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.position_guard import Guarded
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.pricing_model import Curve, ModelInputs, PricingModel, Solving
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.engine.signals.microprice import microprice
from mm_daemon.engine.units import BPS, YEAR_S
from mm_daemon.observability.words import DOUBTS

_WITH_AN_END = ("avellaneda_stoikov", "cartea_jaimungal", "ho_stoll")
_PPM_PER_BPS = 100.0
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


def explain(scene: Scene) -> MarketExplanation:
    """Both quotes taken apart, or the reasons for which there are none."""
    contract = scene.parameters.instrument
    priced = _no_price(scene) or scene.engine.price(scene.book, scene.position_lots, scene.now_ns, scene.guarded())
    reasons = reasons_in(priced) if isinstance(priced, int) else ()
    notes = scene.notes
    if scene.book.crossed:
        notes = (*notes, "the best bid is not below the best ask: a market is never like that")
    if not scene.parameters.quoting.enabled:
        notes = ("the configuration does not let it be quoted (enabled: false)", *notes)
    return MarketExplanation(
        venue=contract.venue,
        symbol=contract.symbol,
        base=contract.base,
        currency=contract.quote,
        tick=f"{contract.tick:f}",
        model=scene.parameters.quoting.model,
        situation=_situation(scene),
        reasons=reasons,
        words=in_words(reasons),
        notes=notes,
        guards=guards(scene.parameters, scene.engine, scene.held, scene.book, scene.position_lots, scene.now_ns),
        quotes=None if isinstance(priced, int) else _quotes(scene, priced),
    )


def _sized_by(scene: Scene) -> str | None:
    contract, money, cap = scene.parameters.instrument, scene.parameters.money, scene.engine.depth_cap
    said, largest = [], scene.parameters.limits.max_notional_atto
    if money is not None:
        currency = contract.base if contract.inverse else contract.quote
        worth, most = to_text(money.order_atto), to_text(money.max_position_atto)
        said.append(f"{worth} {currency} at this price, the limit {most}")
    if cap is not None and cap.lots is not None:
        bid, ask = (f"{contract.size(lots):f}" for lots in cap.lots)
        said.append(f"by the displayed depth a bid has {bid} at most, an ask {ask}")
    impact_bps, signals = scene.parameters.quoting.size_impact_bps, scene.engine.conditions.signals
    if impact_bps is not None and signals is not None:
        said.append(_sized_by_impact(contract, impact_bps, signals.kyle.value, scene.engine.conditions.largest_lots()))
    if largest is not None:
        said.append(f"an order is worth {to_text(largest)} {contract.quote} at most")
    return "; ".join(said) or None


def _sized_by_impact(contract: Instrument, impact_bps: float, kyle: float | None, lots: int | None) -> str:
    if kyle is None:
        return f"what moves the mid by {impact_bps:g} bps is not known yet (Kyle's lambda)"
    if lots is None:
        return f"no order moves the mid by {impact_bps:g} bps (Kyle's lambda is {kyle:.4g} bps per million)"
    return f"{contract.size(lots):f} moves the mid by {impact_bps:g} bps (Kyle's lambda is {kyle:.4g} bps per million)"


def _no_price(scene: Scene) -> int:
    """Why this book gives no price, as a mask (the order of `core.market_decision`)."""
    book = scene.book
    if not book.trusted:
        empty_side = book.invalid_cause is None and not book.crossed
        return (Reason.NO_REFERENCE if empty_side else Reason.BOOK_INVALID).bit
    stale = scene.now_ns - book.ts_local_ns > scene.parameters.quoting.max_book_age_ms * _NS_PER_MS
    return Reason.BOOK_STALE.bit if stale else 0


def _situation(scene: Scene) -> Situation:
    contract, book, limits = scene.parameters.instrument, scene.book, scene.parameters.limits
    has_bid, has_ask = book.bid_lots > 0, book.ask_lots > 0
    target = scene.parameters.quoting.target_position / float(contract.lot)
    return Situation(
        source=scene.source,
        now_ns=scene.now_ns,
        bid=f"{contract.price(book.bid_ticks):f}" if has_bid else None,
        bid_size=f"{contract.size(book.bid_lots):f}" if has_bid else None,
        ask=f"{contract.price(book.ask_ticks):f}" if has_ask else None,
        ask_size=f"{contract.size(book.ask_lots):f}" if has_ask else None,
        position=f"{contract.size(scene.position_lots):f}",
        min_position=f"{contract.size(limits.min_position_lots):f}",
        max_position=f"{contract.size(limits.max_position_lots):f}",
        orders_held=(scene.position_lots - target) / max(scene.parameters.order_lots, 1),
        order_size=f"{contract.size(scene.parameters.order_lots):f}",
        sized_by=_sized_by(scene),
    )


def _quotes(scene: Scene, pricing: Pricing) -> Quotes:
    engine, book = scene.engine, scene.book
    quoting, contract = scene.parameters.quoting, scene.parameters.instrument
    curve = engine.curve(pricing.inputs)
    half = _half_spread(scene, pricing, curve)
    tick, bp = float(contract.tick), pricing.mid_ticks * BPS
    middle = pricing.fair_ticks + (pricing.shift_bps - pricing.centre_bps) * bp
    return Quotes(
        reference=Reference(
            mid=pricing.mid_ticks * tick,
            microprice=microprice(book.bid_ticks, book.bid_lots, book.ask_ticks, book.ask_lots) * tick,
            fair=pricing.fair_ticks * tick,
            uses=quoting.fair_price,
            reservation=middle * tick,
            unadjusted=_unadjusted(engine),
        ),
        volatility=_volatility(scene, pricing.sigma_bps),
        intensity=_intensity(scene, pricing.inputs),
        risk_aversion=RiskAversion(
            gamma=pricing.inputs.gamma,
            base=engine.gamma,
            origin="configured" if engine.gamma == quoting.gamma else "solved",
            regime_multiple=pricing.inputs.gamma / engine.gamma,
        ),
        half_spread=half,
        skew=_skew(scene, pricing, curve),
        break_even=_break_even(scene, pricing),
        bid=explain_side(scene, pricing, curve, half, Side.BUY),
        ask=explain_side(scene, pricing, curve, half, Side.SELL),
        warm_start=_warm_start(scene),
    )


def _unadjusted(engine: QuoteEngine) -> str | None:
    """Why the adjusted microprice is not used although it is asked for."""
    adjusted = engine.adjusted
    if adjusted is None or adjusted.table:
        return None
    return f"{adjusted.moves} of the {adjusted.moves_wanted} moves of the mid that its table needs were seen"


def _warm_start(scene: Scene) -> WarmStarted | None:
    warm = scene.parameters.warm
    if warm is None:
        return None
    return WarmStarted(
        file=warm.file,
        age_s=max(0, scene.now_ns - warm.at_ns) / _NS_PER_S,
        volatility=warm.volatility,
        intensity=warm.intensity,
        k=warm.k,
        confidence=warm.confidence,
    )


def _volatility(scene: Scene, sigma_bps: float) -> Volatility:
    quoting, estimate = scene.parameters.quoting, scene.engine.volatility.sigma_bps
    prior: SigmaOrigin = "prior" if scene.parameters.warm is None else "calibration_file"
    origin: SigmaOrigin = prior if estimate is None else "estimate" if sigma_bps == estimate else "floor"
    if scene.sigma_given and origin == "estimate":
        origin = "given"
    return Volatility(
        sigma_bps=sigma_bps,
        annual=sigma_bps * BPS * math.sqrt(YEAR_S),
        origin=origin,
        estimate_bps=None if scene.sigma_given else estimate,
        prior_annual=quoting.volatility,
        half_life_s=quoting.volatility_half_life_s,
        estimator=quoting.volatility_estimator,
        confidence=scene.engine.volatility.confidence,
    )


def _intensity(scene: Scene, inputs: ModelInputs) -> FillIntensity:
    engine, quoting, signals = scene.engine, scene.parameters.quoting, scene.engine.conditions.signals
    used = Intensity(inputs.A_buy, inputs.A_sell, inputs.k)
    begun = engine.conditions.configured
    warm = scene.parameters.warm is not None
    A_origin: Origin = "measured" if used != begun else "calibration_file" if warm else "configured"
    k_origin: Origin = A_origin
    if used == begun and begun.k != quoting.k:
        k_origin = "solved"
    measurement = None
    if signals is not None and quoting.calibration != "fixed":
        fit = signals.intensity
        measurement = Measurement(
            n_eff=fit.n_eff,
            r2=fit.r2,
            confidence=fit.confidence,
            refused=fit.refused,
            age_s=fit.age_s(scene.now_ns),
        )
    return FillIntensity(
        A_buy=used.A_buy,
        A_sell=used.A_sell,
        A_origin=A_origin,
        k=used.k,
        k_origin=k_origin,
        measurement=measurement,
    )


def _half_spread(scene: Scene, pricing: Pricing, curve: Curve) -> HalfSpread:
    cost = pricing.inputs.cost_bps
    passed_on = _passed_on(scene.engine, pricing.inputs)
    adverse, impact = passed_on * scene.parameters.quoting.adverse_bps, passed_on * impact_of(scene, pricing)
    fees = passed_on * cost - adverse - impact
    # The engine's steps from the model's half-spread to its own, each by what it changed (MODELS 0.3, step 3).
    narrowed = curve.half_bps
    if curve.skew_bps > pricing.skew_bps:
        narrowed -= curve.risk_bps * (1.0 - pricing.skew_bps / curve.skew_bps)
    inventory = of_inventory(scene, pricing, curve)
    widened = narrowed * pricing.widening + inventory.held_half_bps
    toxic, unsure = pricing.toxic_widening, pricing.confidence_widening
    wild = pricing.widening / (toxic * unsure)
    for_wild, for_toxic = narrowed * wild, narrowed * wild * toxic
    signals = scene.engine.conditions.signals
    return HalfSpread(
        intensity_bps=curve.half_bps - curve.risk_bps - passed_on * cost,
        risk_bps=curve.risk_bps,
        fees_bps=fees,
        adverse_bps=adverse,
        impact_bps=impact,
        inventory_bps=inventory.half_bps,
        max_skew_bps=narrowed - curve.half_bps + (inventory.held_half_bps - inventory.half_bps),
        widening_bps=for_wild - narrowed,
        toxic_bps=for_toxic - for_wild,
        low_confidence_bps=narrowed * pricing.widening - for_toxic,
        spread_limits_bps=pricing.half_bps - widened,
        total_bps=pricing.half_bps,
        widening=wild,
        toxic_widening=toxic,
        confidence_widening=unsure,
        vpin=None if signals is None else signals.vpin.value,
        doubts=pricing.doubts,
        doubt_words=tuple(DOUBTS[doubt] for doubt in pricing.doubts),
    )


def _passed_on(engine: QuoteEngine, inputs: ModelInputs) -> float:
    """How much of a fill's cost the model adds to its half-spread, beside what the cost does to its risk part.

    The model is asked at its inputs last, so that one that remembers what it solved remembers those.
    """
    cost = inputs.cost_bps or 1.0
    free = _whole_curve(engine.model, msgspec.structs.replace(inputs, cost_bps=0.0))
    charged = _whole_curve(engine.model, msgspec.structs.replace(inputs, cost_bps=cost))
    return ((charged.half_bps - charged.risk_bps) - (free.half_bps - free.risk_bps)) / cost


def _whole_curve(model: PricingModel, inputs: ModelInputs) -> Curve:
    """Of these very inputs, from a model that is solved in slices too."""
    curve = model.curve(inputs)
    while isinstance(model, Solving) and model.unfinished:
        curve = model.curve(inputs)
    return curve


def _skew(scene: Scene, pricing: Pricing, curve: Curve) -> Skew:
    limits = scene.parameters.limits

    widened = Guarded(0, scene.guarded().widening)

    def at(position_lots: int) -> float | None:
        priced = scene.engine.price(scene.book, position_lots, scene.now_ns, widened)
        return None if isinstance(priced, int) else priced.centre_bps

    return Skew(
        per_order_bps=pricing.skew_bps,
        model_per_order_bps=curve.skew_bps,
        at_max_position_bps=at(limits.max_position_lots),
        at_min_position_bps=at(limits.min_position_lots),
        horizon_s=pricing.tau_s,
        left_s=_left_s(scene.parameters.quoting, pricing.inputs),
    )


def _left_s(quoting: QuoteParameters, inputs: ModelInputs) -> float | None:
    """Until the end that the model knows of."""
    if quoting.model not in _WITH_AN_END or quoting.tau == "auto":
        return None
    return quoting.tau if isinstance(quoting.tau, float) else inputs.session_left_s


def _break_even(scene: Scene, pricing: Pricing) -> BreakEven:
    contract, adverse_bps = scene.parameters.instrument, scene.parameters.quoting.adverse_bps
    impact_bps, mid_ticks = impact_of(scene, pricing), pricing.mid_ticks
    fee_bps = contract.maker_fee_ppm / _PPM_PER_BPS
    tick = float(contract.tick)
    least = break_even(mid_ticks * tick, fee_bps * BPS, 0.0, 0.0, adverse=(adverse_bps + impact_bps) * BPS)
    return BreakEven(
        half_spread_bps=0.5 * least.spread_bps,
        half_spread=least.half_spread,
        half_spread_ticks=least.half_spread / tick,
        fee_bps=fee_bps,
        adverse_bps=adverse_bps,
        impact_bps=impact_bps,
    )
