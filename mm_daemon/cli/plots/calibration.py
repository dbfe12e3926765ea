"""The picture of a calibration: a row for each market, its fill intensity and its volatility over time."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from mm_daemon.backtest.calibration.report import CalibrationReport, MarketCalibration
from mm_daemon.cli.plots.drawing import BLUE, GREY, ORANGE, drawing, nothing_to_draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE_POINTS = 60
_LARGEST_DOT, _LEAST_DOT = 90.0, 12.0
_ROOM = 4.0
"""Factor on a logarithmic axis below the least rate and above the largest."""
_HEADROOM = 1.5
"""Room for the legend above the highest volatility."""
_FAR = 1.5
"""A quote further out than this, in furthest distances counted, is told in the legend and not shown."""
_MARGIN = 0.06
_BAND = 1.96
"""Standard errors to either side: 95 %."""


def draw(report: CalibrationReport, path: Path) -> None:
    """Draw to a file that `check_plot` has approved. Raises UsageError when it cannot be written."""
    with drawing(path, len(report.markets), 2, width_in=12.0, row_height_in=4.2) as rows:
        for market, (left, right) in zip(report.markets, rows, strict=True):
            _intensity(left, market)
            _volatility(right, market)


def _intensity(axes: "Axes", market: MarketCalibration) -> None:
    """How often each distance was reached, the fitted exponential and how far it may be off."""
    fit = market.fit
    axes.set_title(f"{market.market}: taker orders by distance reached")
    axes.set_xlabel("distance from the mid, bps")
    axes.set_ylabel("orders a second and side")
    if not fit.points:
        nothing_to_draw(axes, fit.refused or "nothing was counted")
        return
    axes.set_yscale("log")
    most = max(point.orders for point in fit.points)
    for fitted, label in (
        (True, f"counted and fitted (largest dot: {most:,} orders)"),
        (False, "nearer than our quotes: not fitted"),
    ):
        points = [point for point in fit.points if point.fitted is fitted]
        if points:
            axes.scatter(
                [point.distance_bps for point in points],
                [point.rate for point in points],
                s=[_LEAST_DOT + (_LARGEST_DOT - _LEAST_DOT) * math.sqrt(point.orders / most) for point in points],
                facecolors=BLUE if fitted else "none",
                edgecolors=BLUE,
                alpha=0.75,
                zorder=3,
                label=label,
            )
    if fit.A and fit.k and fit.k_error is not None and fit.d0_bps is not None and fit.reach_bps is not None:
        d0, rate_error = fit.d0_bps, fit.d0_rate_error or 0.0
        step = (fit.reach_bps - d0) / (_LINE_POINTS - 1)
        distances = [d0 + step * number for number in range(_LINE_POINTS)]
        line = [fit.A * math.exp(-fit.k * distance) for distance in distances]
        errors = [_BAND * math.hypot(rate_error, (distance - d0) * fit.k_error) for distance in distances]
        told = " (refused)" if fit.refused else ""
        A_error = 0.0 if fit.A_error is None else fit.A_error
        figures = f"A = {fit.A:.3g} ± {A_error:.2g} /s, k = {fit.k:.3g} ± {fit.k_error:.2g} /bps"
        axes.plot(distances, line, color=ORANGE, label=f"{figures}{told}\nby maximum likelihood", zorder=2)
        axes.fill_between(
            distances,
            [value * math.exp(-error) for value, error in zip(line, errors, strict=True)],
            [value * math.exp(error) for value, error in zip(line, errors, strict=True)],
            color=ORANGE,
            alpha=0.18,
            linewidth=0,
            label="95 % band of the line",
        )
    if market.touch_spread is not None:
        half_bps = 0.5 * market.touch_spread.bps
        axes.axvline(half_bps, color=GREY, linestyle=":", linewidth=1, label=f"mean touch, {half_bps:.3g} bps")
    if market.glft is not None:
        quoted = market.glft.half_spread_bps
        axes.axvline(quoted, color=GREY, linestyle="--", linewidth=1, label=f"GLFT would quote at {quoted:.3g} bps")
    furthest = max(point.distance_bps for point in fit.points)
    seen = max(furthest, min(market.glft.half_spread_bps, _FAR * furthest) if market.glft is not None else 0.0)
    axes.set_xlim(-_MARGIN * seen, (1.0 + _MARGIN) * seen)
    rates = [point.rate for point in fit.points]
    axes.set_ylim(min(rates) / _ROOM, max(rates) * _ROOM)
    axes.legend(loc="best")


def _volatility(axes: "Axes", market: MarketCalibration) -> None:
    """The short volatility as it went, and that of the whole sample with its error."""
    fit, short = market.volatility, market.short_volatility
    axes.set_title(f"{market.market}: volatility")
    axes.set_xlabel("seconds of market data")
    axes.set_ylabel("bps per square root of a second")
    if fit is None:
        nothing_to_draw(axes, "too little time with a book to trust")
        return
    if short is not None:
        axes.plot(
            [point.at_s for point in short.course],
            [point.sigma_bps for point in short.course],
            color=BLUE,
            linewidth=1.2,
            label=f"moves of {fit.step_s:g} s, half-life {short.half_life_s:g} s",
        )
    error = _BAND * fit.standard_error_bps
    sigma = f"sigma = {fit.sigma_bps:.3g} ± {fit.standard_error_bps:.2g}"
    scales = (
        f"moves of {fit.slow_s:g} s less moves of {fit.fast_s:g} s"
        if fit.noise_bps is not None
        else f"moves of {fit.step_s:g} s, flicker and lag included"
    )
    axes.axhline(fit.sigma_bps, color=ORANGE, label=f"whole sample, {sigma}\nby {scales}")
    axes.axhspan(
        max(fit.sigma_bps - error, 0.0),
        fit.sigma_bps + error,
        color=ORANGE,
        alpha=0.18,
        linewidth=0,
        label="95 % band of sigma",
    )
    plain = market.plain_volatility
    if plain is not None and fit.noise_bps is not None:
        told = f"{plain.sigma_bps:.3g} ± {plain.standard_error_bps:.2g}"
        how = f"by moves of {plain.step_s:g} s, flicker and lag included"
        axes.axhline(plain.sigma_bps, color=GREY, linestyle="--", linewidth=1, label=f"{told} {how}")
    axes.set_xlim(0.0, max(market.seconds, 1.0))
    axes.set_ylim(
        0.0, _HEADROOM * max([fit.sigma_bps + error, *([p.sigma_bps for p in short.course] if short else [])])
    )
    axes.legend(loc="upper right")
