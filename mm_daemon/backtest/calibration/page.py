"""A calibration for people: what was measured, how sure it is, what follows."""

from mm_daemon.backtest.calibration.advice import SKEW_SHARE
from mm_daemon.backtest.calibration.intensity import K_MAX, MIN_ORDERS, MIN_R2, IntensityFit
from mm_daemon.backtest.calibration.report import CalibrationReport, MarketCalibration
from mm_daemon.engine.signals.volatility import MIN_OBSERVED_HALF_LIVES

_WIDTH = 18
_INTENSITY_METHOD = (
    "maximum likelihood of A e^(-k delta), over orders that came to the touch and where the fee is earned"
)


def to_text(report: CalibrationReport) -> str:
    """One block of lines a market, then the suggestion."""
    lines: list[str] = []
    for market in report.markets:
        lines += [*_market(market), ""]
    if report.problems:
        lines.append(_line("bad input", ", ".join(f"{kind} {count:,}" for kind, count in report.problems.items())))
    lines += [_line("note", note) for note in report.notes]
    return "\n".join([*lines, "suggested:", "", report.yaml.rstrip()])


def _market(market: MarketCalibration) -> list[str]:
    lines = [
        f"{market.market}   {market.seconds:.0f} s of market data, {market.observed_s:.0f} s with a book to trust",
        *_volatility(market),
        *_touch(market),
        *_trades(market),
        *_intensity("fill intensity", market.fit),
        *_intensity("  buyers", market.buys),
        *_intensity("  sellers", market.sells),
        _line("", _INTENSITY_METHOD),
        *_live(market),
        *_quotes(market),
    ]
    if market.dropped:
        lines.append(_line("not used", ", ".join(f"{count:,} {what}" for what, count in market.dropped.items())))
    return [*lines, *(_line("WARNING", warning) for warning in market.warnings)]


def _volatility(market: MarketCalibration) -> list[str]:
    fit, short = market.volatility, market.short_volatility
    if fit is None or market.annual_volatility is None:
        return [_line("sigma", "unknown: too little time with a book to trust")]
    lines = [
        _line(
            "sigma",
            f"{_pm(fit.sigma_bps, fit.standard_error_bps)} bps/sqrt(s), {market.annual_volatility:.1%} a year "
            f"({fit.observations} mids, {fit.step_s:g} s apart)",
        ),
        *(_line("", text) for text in _sigma_method(market)),
    ]
    if short is not None:
        lines.append(
            _line(
                "short / usual",
                f"{short.ratio:.2f} at the end, {short.lowest_ratio:.2f} to {short.highest_ratio:.2f} on the way "
                f"(half-life {short.half_life_s:g} s over the whole sample, both of {fit.step_s:g} s moves)",
            )
        )
    return lines


def _sigma_method(market: MarketCalibration) -> list[str]:
    """Which estimator sigma is from, and what the plain one has, in words."""
    fit, plain = market.volatility, market.plain_volatility
    if fit is None:
        return []
    if fit.noise_bps is None:
        return [f"plain estimator, moves of {fit.step_s:g} s: too little data to take out flicker of the mid"]
    lines = [
        f"two-scale estimator, moves of {fit.slow_s:g} s less moves of {fit.fast_s:g} s: flicker and lag of the mid "
        "are taken out"
    ]
    if plain is not None:
        flicker = (
            f"; the mid flickers by {fit.noise_bps:.2g} bps" if fit.noise_bps else "; the mid comes behind the price"
        )
        lines.append(
            f"with them, moves of {plain.step_s:g} s: {_pm(plain.sigma_bps, plain.standard_error_bps)}{flicker}"
        )
    return lines


def _touch(market: MarketCalibration) -> list[str]:
    touch = market.touch_spread
    if touch is None:
        return [_line("touch spread", "unknown: the book never had two sides to trust")]
    return [_line("touch spread", f"{touch.ticks:.2f} ticks, {touch.bps:.3g} bps, mean over time")]


def _trades(market: MarketCalibration) -> list[str]:
    trades = market.trades
    if not trades.orders or trades.orders_per_minute is None or trades.mean_size is None:
        return [_line("trades", "none")]
    error = "" if trades.orders_per_minute_error is None else f" ± {trades.orders_per_minute_error:.2g}"
    share = trades.as_large_as_ours / trades.orders
    return [
        _line(
            "trades",
            f"{trades.orders_per_minute:.1f}{error} taker orders a minute ({trades.prints:,} prints, "
            f"{trades.orders:,} orders), mean size {trades.mean_size:.4g} {market.base}",
        ),
        _line("", f"{trades.as_large_as_ours:,} ({share:.0%}) as large as ours or larger: these are fitted"),
    ]


def _intensity(name: str, fit: IntensityFit) -> list[str]:
    if fit.k is None or fit.k_error is None or fit.A is None or fit.A_error is None or fit.k > K_MAX:
        return [_line(name, f"none: {fit.refused}")]
    line = _line(name, f"A {_pm(fit.A, fit.A_error)} a second and side, k {_pm(fit.k, fit.k_error)} /bps")
    detail = (
        f"{fit.orders:,} orders from {fit.d0_bps:.3g} to {fit.reach_bps:.3g} bps, n_eff {fit.n_eff:.0f}, "
        f"R2 {fit.r2:.3f}, confidence {fit.confidence:.2f}"
    )
    if fit.k_regression is not None:
        detail += f", k by regression {fit.k_regression:.3g}"
    refused = [_line("", f"REFUSED: {fit.refused}")] if fit.refused else []
    return [line, _line("", detail), *refused]


def _live(market: MarketCalibration) -> list[str]:
    live = market.live
    name = "daemon's own"
    if live.A is None or live.k is None:
        least_s = MIN_OBSERVED_HALF_LIVES * live.half_life_s
        wants = f"{least_s:g} s, {MIN_ORDERS} orders and R2 {MIN_R2:g}"
        said = f"none yet: it wants {wants} (half-life {live.half_life_s:g} s)"
        return [_line(name, f"{said}; {live.refused} fits refused")]
    return [
        _line(
            name,
            f"A {live.A:.3g}, k {live.k:.3g} at the end (half-life {live.half_life_s:g} s, n_eff {live.n_eff:.0f}, "
            f"R2 {live.r2:.3f}, confidence {live.confidence:.2f}); {live.refused} fits refused",
        )
    ]


def _quotes(market: MarketCalibration) -> list[str]:
    even, glft = market.break_even, market.glft
    lines = [
        _line("fees break even", f"half-spread {even.half_spread_bps:.3g} bps, spread {even.spread_bps:.3g} bps"),
    ]
    if glft is None:
        return lines
    horizon = "" if glft.horizon_s is None else f", horizon {glft.horizon_s:.3g} s"
    least = market.suggestion.min_spread_bps
    kept = (
        [] if least is None else [_line("", f"min_spread_bps keeps the half-spread at {0.5 * least:.3g} bps or more")]
    )
    return [
        *lines,
        _line(
            "GLFT quotes",
            f"half-spread {glft.half_spread_bps:.3g} bps, skew {glft.skew_bps:.3g} bps an order{horizon}",
        ),
        *kept,
        _line(
            "",
            f"at gamma {glft.gamma:.3g}, chosen so that the skew at the limit of {glft.limit_orders:g} orders, "
            f"{glft.shift_at_limit_bps:.3g} bps, is about {SKEW_SHARE:g} of the half-spread",
        ),
    ]


def _line(name: str, text: str) -> str:
    return f"  {name:<{_WIDTH}}{text}".rstrip()


def _pm(value: float, error: float) -> str:
    return f"{value:.3g} ± {error:.2g}"
