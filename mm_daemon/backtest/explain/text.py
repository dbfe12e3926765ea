"""An explanation as a page for people: what the market says, what the quotes are made of, each quote step by step."""

from collections.abc import Iterable

from mm_daemon.backtest.explain.explanation import (
    Explanation,
    FillIntensity,
    HalfSpread,
    LevelBehind,
    MarketExplanation,
    Measurement,
    Move,
    PartName,
    Quotes,
    SideExplanation,
    Volatility,
    WarmStarted,
)
from mm_daemon.observability.words import WORDS

_LABEL = 16
_NAME = 30
_COLUMN = 26
_SHOWN = 5e-4
"""A part smaller than half of the last digit shown is not shown."""

_DAY_S = 86_400.0
_ORIGINS = {"calibration_file": "of the calibration file"}

_PART_WORDS: dict[PartName, str] = {
    "reference": "microprice off the mid",
    "momentum": "momentum",
    "flow": "order flow",
    "funding": "funding still to be paid",
    "max_shift": "held by max_shift_bps",
    "unequal_flow": "unequal flow, model's signal",
    "inventory": "against the inventory",
    "intensity": "for a fill (intensity)",
    "risk": "for risk (volatility)",
    "fees": "fee",
    "adverse": "adverse move",
    "impact": "adverse move (Kyle's lambda)",
    "max_skew": "held by max_skew_bps",
    "widening": "widened in a wild market",
    "toxic": "widened for one-sided volume",
    "low_confidence": "widened for low confidence",
    "spread_limits": "min and max spread",
    "near_limit": "wider near the position limit",
    "least_edge": "least edge, best price",
}


def to_text(explanation: Explanation) -> str:
    return "\n\n".join("\n".join(_market(market)) for market in explanation.markets)


def _market(market: MarketExplanation) -> Iterable[str]:
    at = market.situation
    yield f"{market.venue}:{market.symbol}  {market.model}"
    yield _line("state", at.source)
    yield _line("best prices", f"{_best(at.bid, at.bid_size, 'bid')}  {_best(at.ask, at.ask_size, 'ask')}")
    held = f"{at.position} {market.base}, {at.orders_held:g} orders off its target"
    yield _line("position", f"{held}; limits {at.min_position} and {at.max_position}")
    if at.sized_by is not None:
        yield _line("order size", f"{at.order_size} {market.base}: {at.sized_by}")
    for guard in market.guards:
        name = guard.name.replace("_", " ")
        yield _line(
            "guards" if guard is market.guards[0] else "", f"{'!' if guard.acts else '-'} {name}: {guard.words}"
        )
    for note in market.notes:
        yield _line("note", note)
    if market.quotes is None:
        yield _line("no quotes", "; ".join(market.words))
        return
    yield from _made_of(market, market.quotes)
    yield ""
    yield from _steps(market, market.quotes)


def _made_of(market: MarketExplanation, quotes: Quotes) -> Iterable[str]:
    reference, skew, costs = quotes.reference, quotes.skew, quotes.break_even
    places = _decimals(market.tick) + 2
    prices = f"mid {reference.mid:.{places}f}, microprice {reference.microprice:.{places}f}"
    used = reference.uses if reference.unadjusted is None else "microprice"
    yield _line("reference", f"{prices}; {used} is used; reservation price {reference.reservation:.{places}f}")
    if reference.unadjusted is not None:
        yield _line("", f"instead of {reference.uses}: {reference.unadjusted}")
    if quotes.warm_start is not None:
        yield _line("begins with", _warm_start(quotes.warm_start))
    yield _line("volatility", _volatility(quotes.volatility))
    for text in _intensity(quotes.intensity):
        yield _line("intensity", text)
    risk = quotes.risk_aversion
    regime = "" if risk.regime_multiple == 1.0 else f" = {risk.base:.4g} x {risk.regime_multiple:.3g} for the regime"
    origin = " from skew_bps_at_max or the profile" if risk.origin == "solved" else ""
    yield _line("risk aversion", f"gamma {risk.gamma:.4g} per bps and order{regime}, {risk.origin}{origin}")
    yield _line("half-spread", _half_spread(market, quotes.half_spread))
    if quotes.half_spread.doubt_words:
        yield _line("not known yet", "; ".join(quotes.half_spread.doubt_words))
    at_limits = ", ".join(
        f"{bps:.3f} at {limit}"
        for bps, limit in (
            (skew.at_max_position_bps, market.situation.max_position),
            (skew.at_min_position_bps, market.situation.min_position),
        )
        if bps is not None
    )
    capped = ""
    if skew.model_per_order_bps != skew.per_order_bps:
        capped = f" (the model asks for {skew.model_per_order_bps:.3f}; max_skew_bps)"
    horizon = "" if skew.horizon_s is None else f"; an order is held for {skew.horizon_s:.3g} s"
    end = "" if skew.left_s is None else f"; {skew.left_s:.4g} s to the end"
    yield _line("skew", f"{skew.per_order_bps:.3f} bps an order{capped}; {at_limits}{horizon}{end}")
    adverse = f" + adverse move {costs.adverse_bps:.3f}" if costs.adverse_bps else ""
    adverse += f" + by Kyle's lambda {costs.impact_bps:.3f}" if costs.impact_bps else ""
    money = f"{costs.half_spread:.4g} {market.currency}, {costs.half_spread_ticks:.1f} ticks"
    yield _line("break-even", f"{costs.half_spread_bps:.3f} bps, {money}: maker fee {costs.fee_bps:.3f}{adverse}")


def _steps(market: MarketExplanation, quotes: Quotes) -> Iterable[str]:
    """From the mid to each quote, in bps of the mid and in ticks of the price, upwards positive."""
    bid, ask = quotes.bid, quotes.ask
    yield _row("", "bid", "ask")
    yield _row("", *(["bps        ticks"] * 2))
    yield _row("mid", f"{bid.mid_ticks:.3f}", f"{ask.mid_ticks:.3f}")
    for down, up in zip(bid.parts, ask.parts, strict=True):
        if max(abs(down.bps), abs(up.bps)) >= _SHOWN:
            yield _row(f"  {_PART_WORDS[down.name]}", *(f"{part.bps:+.3f} {part.ticks:+12.3f}" for part in (down, up)))
    yield _row("unrounded", f"{bid.unrounded_ticks:.3f}", f"{ask.unrounded_ticks:.3f}")
    yield _row("  rounded to the grid", f"{bid.rounding_ticks:+.3f}", f"{ask.rounding_ticks:+.3f}")
    if bid.post_only_ticks or ask.post_only_ticks:
        yield _row("  post-only", f"{bid.post_only_ticks:+.3f}", f"{ask.post_only_ticks:+.3f}")
    yield _row("quote, ticks", str(bid.ticks), str(ask.ticks))
    yield _row(f"quote, {market.currency}", bid.price, ask.price)
    yield _row(f"size, {market.base}", bid.size, ask.size)
    yield _row(
        "from the mid", *(f"{side.from_mid_bps:.3f} bps {side.from_mid_ticks:8.1f} ticks" for side in (bid, ask))
    )
    yield _row("behind the best price", f"{bid.behind_best_ticks} ticks", f"{ask.behind_best_ticks} ticks")
    yield _row("a fill earns", _edge(market, bid), _edge(market, ask))
    yield _row(
        "may lag behind by", *(f"{side.tolerance_bps:.3f} bps {side.tolerance_ticks:8d} ticks" for side in (bid, ask))
    )
    for number, levels in enumerate(zip(bid.behind, ask.behind, strict=True), start=2):
        yield _row(f"level {number}, {market.currency} x {market.base}", *(f"{at.price} x {at.size}" for at in levels))
        yield _row("  from the mid, and earns", *(map(_level, levels)))
    for side in (bid, ask):
        if side.after_fill is not None:
            yield f"{'after a fill of this ' + side.side:<{_NAME}}  {_move(market, side.after_fill)}"
    for side in (bid, ask):
        if side.words:
            yield f"{'no ' + side.side:<{_NAME}}  {'; '.join(side.words)}"


def _level(level: LevelBehind) -> str:
    if level.words:
        return "; ".join(level.words)
    return f"{level.from_mid_bps:.3f} bps {level.edge_bps:10.3f} bps"


def _volatility(volatility: Volatility) -> str:
    size = f"{volatility.sigma_bps:.4g} bps per root second ({volatility.annual:.1%} a year)"
    if volatility.origin == "given":
        return f"{size}, given"
    if volatility.origin == "prior":
        return f"{size}, the configured prior: the estimate is not ready"
    if volatility.origin == "calibration_file":
        return f"{size}, of the calibration file: the estimate is not ready"
    if volatility.origin == "floor":
        estimate = volatility.estimate_bps
        less = "what was given" if estimate is None else f"the estimate, {estimate:.4g},"
        return f"{size}, half a tick in {volatility.half_life_s:g} s: {less} is less"
    kind = "" if volatility.estimator == "ewma" else f" ({volatility.estimator})"
    return f"{size}, estimated{kind} with a half-life of {volatility.half_life_s:g} s"


def _intensity(intensity: FillIntensity) -> Iterable[str]:
    amount = f"A {intensity.A_buy:.4g} a second"
    if intensity.A_buy != intensity.A_sell:
        amount = f"A {intensity.A_buy:.4g} buyers and {intensity.A_sell:.4g} sellers a second"
    solved = " from half_spread_bps or the profile" if intensity.k_origin == "solved" else ""
    A_origin, k_origin = (_ORIGINS.get(origin, origin) for origin in (intensity.A_origin, intensity.k_origin))
    yield f"{amount}, {A_origin}; k {intensity.k:.4g} per bps, {k_origin}{solved}"
    if intensity.measurement is not None:
        yield _measurement(intensity.measurement)


def _measurement(fit: Measurement) -> str:
    good = "no fit was good yet" if fit.age_s is None else f"last good fit {fit.age_s:.1f} s ago"
    now = f"the latest: {fit.n_eff:.1f} orders, R2 {fit.r2:.2f}, confidence {fit.confidence:.2f}"
    return f"on the market's takers {good}; {now}; {fit.refused} refused"


def _half_spread(market: MarketExplanation, half: HalfSpread) -> str:
    fill = "half_spread_bps" if market.model == "fixed_spread" else "for a fill"
    toxic = "" if half.vpin is None else f", VPIN {half.vpin:.2f}"
    parts = (
        (half.intensity_bps, fill),
        (half.risk_bps, "for risk"),
        (half.fees_bps, "fee"),
        (half.adverse_bps, "adverse move"),
        (half.impact_bps, "adverse move by Kyle's lambda"),
        (half.inventory_bps, "for what is held"),
        (half.max_skew_bps, "max_skew_bps"),
        (half.widening_bps, f"widened x{half.widening:.3g}"),
        (half.toxic_bps, f"one-sided volume x{half.toxic_widening:.3g}{toxic}"),
        (half.low_confidence_bps, f"low confidence x{half.confidence_widening:.3g}"),
        (half.spread_limits_bps, "min and max spread"),
    )
    shown = [f"{bps:.3f} {what}" for bps, what in parts if abs(bps) >= _SHOWN]
    return f"{half.total_bps:.3f} bps = {' + '.join(shown)}".replace("+ -", "- ")


def _warm_start(warm: WarmStarted) -> str:
    age = f"{warm.age_s / 3600:.1f} h" if warm.age_s < _DAY_S else f"{warm.age_s / _DAY_S:.1f} days"
    found = f"volatility {warm.volatility:.4g} a year, A {warm.intensity:.4g} a second, k {warm.k:.4g} per bps"
    return f"{warm.file}, measured {age} ago: {found}, confidence {warm.confidence:.2f}"


def _edge(market: MarketExplanation, side: SideExplanation) -> str:
    money = "" if side.edge_money is None else f" {side.edge_money:.4g} {market.currency}"
    return f"{side.edge_bps:.3f} bps{money}"


def _move(market: MarketExplanation, move: Move) -> str:
    said = f"position {move.position} {market.base}: "
    if move.bid_bps is None or move.ask_bps is None:
        return said + "no quotes: " + "; ".join(WORDS[reason] for reason in move.bid_reasons)
    sides = (
        ("bid", move.bid_ticks, move.bid_bps, move.bid_reasons),
        ("ask", move.ask_ticks, move.ask_bps, move.ask_reasons),
    )
    return said + ", ".join(
        f"no {name} ({'; '.join(WORDS[reason] for reason in reasons)})"
        if reasons
        else f"{name} {bps:+.3f} bps, {ticks:+d} ticks"
        for name, ticks, bps, reasons in sides
    )


def _best(price: str | None, size: str | None, side: str) -> str:
    return f"no {side}" if price is None else f"{side} {price} x {size}"


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL}}{text}"


def _row(name: str, bid: str, ask: str) -> str:
    return f"{name:<{_NAME}}{bid:>{_COLUMN}}{ask:>{_COLUMN}}".rstrip()


def _decimals(tick: str) -> int:
    return len(tick.partition(".")[2])
