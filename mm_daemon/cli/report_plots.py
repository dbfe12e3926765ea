"""The pictures of a report, as SVG to stand inside a page: text as text, colours as CSS variables.

A picture is drawn in stand-in colours, which are then exchanged for variables of the page (`--ink`, `--blue` ...), so
that it follows the page into dark mode. Long curves are drawn as bands from low to high, so that no spike is lost.
"""

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mm_daemon.backtest.curves import MarketCurves
from mm_daemon.backtest.run_report import Reported
from mm_daemon.backtest.samples import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#101112", "#6a6b6c", "#e3e4e5"
BLUE, ORANGE, GREEN, RED, PURPLE, TEAL = "#2f6db3", "#d9822b", "#2e8b57", "#c0392c", "#8052a3", "#1b8a95"
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    RED: "red",
    PURPLE: "purple",
    TEAL: "teal",
}
SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED, TEAL)
WIDE_IN, NARROW_IN = 11.0, 4.2
_WIDE_POINTS, _NARROW_POINTS = 700, 300
"""Most buckets of time that a long curve is drawn with: about what the eye and the paper can hold."""
_LEAST_FILLS, _LEAST_SHARE = 3, 0.01
_BAND = 1.96
"""Standard errors to either side: 95 %."""
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlepad": 7,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.2,
    "path.simplify_threshold": 0.15,
    "svg.fonttype": "none",
    "svg.hashsalt": "mm-daemon",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
}


class Picture:
    """One picture in the page; `narrow` is what a phone shows in its place, where it is drawn apart."""

    def __init__(self, svg: str, title: str, narrow: str | None = None) -> None:
        self.svg, self.title, self.narrow = svg, title, narrow


def story(name: str, market: MarketCurves) -> Picture:
    """Price with quotes and fills, inventory against its limits, equity with its split, above one axis of time."""
    title = "Price, quotes and fills; inventory; equity with its split"

    def draw(figure: "Figure") -> None:
        rows = figure.subplots(3, 1, sharex=True, height_ratios=(1.6, 0.9, 1.2))
        curves = folded(market, _NARROW_POINTS if _is_narrow(figure) else _WIDE_POINTS)
        hours = _hours(curves)
        _price(rows[0], hours, curves)
        _inventory(rows[1], hours, curves)
        _equity(rows[2], hours, curves)
        _clock(rows[2], curves)

    return Picture(
        _svg(f"{name}-story", WIDE_IN, 8.2, title, draw),
        title,
        _svg(f"{name}-story-narrow", NARROW_IN, 9.0, title, draw),
    )


def overlay(name: str, reports: Sequence[Reported], market: str) -> Picture:
    """Equity of all runs over the time since each began."""
    title = f"Equity of each run, {market}"

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for number, reported in enumerate(reports):
            curves = reported.curves.markets.get(market)  # type: ignore[call-overload]
            if curves is None:
                continue
            seconds = (curves.times_ns - reported.report.start_ns) / 1e9
            colour = SERIES[number % len(SERIES)]
            style = "-" if number < len(SERIES) else "--"
            axes.fill_between(seconds, curves.equity_low, curves.equity_high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(seconds, curves.equity, color=colour, linestyle=style, label=reported.report.name)
            axes.set_ylabel(curves.currency)
        axes.axhline(0.0, color=MUTED, linewidth=0.8)
        axes.set_title("Equity of each run since its start")
        longest_s = max(float(one.report.data_seconds) for one in reports)
        axes.set_xlim(0.0, max(longest_s, 1e-3))
        _seconds_axis(axes, longest_s)
        axes.legend(loc="best")

    return Picture(
        _svg(f"{name}-overlay", WIDE_IN, 3.6, title, draw),
        title,
        _svg(f"{name}-overlay-narrow", NARROW_IN, 3.4, title, draw),
    )


def spread_captured(name: str, market: MarketCurves) -> Picture:
    title = "Spread captured, fill by fill"

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title(title)
        axes.set_ylabel("half-spread, bps of the price")
        fills = market.fills
        if not fills.times_ns.size:
            _nothing(axes, "no fills")
            return
        captured = 1e4 * fills.side * (fills.mid - fills.price) / fills.price
        hours = (fills.times_ns - market.start_ns) / 3.6e12
        for side, colour, marker, word in ((1.0, BLUE, "^", "buys"), (-1.0, ORANGE, "v", "sells")):
            chosen = fills.side == side
            if chosen.any():
                axes.scatter(
                    hours[chosen],
                    captured[chosen],
                    s=22,
                    color=colour,
                    marker=marker,
                    alpha=0.8,
                    label=word,
                    linewidths=0,
                )
        count = np.arange(1, captured.size + 1)
        mean = np.cumsum(captured) / count
        axes.plot(hours, mean, color=INK, label="mean so far", drawstyle="steps-post")
        axes.axhline(0.0, color=MUTED, linewidth=0.8)
        low, high = _room(captured)
        axes.set_ylim(low, high)
        _clock(axes, market)
        axes.legend(loc="best", ncols=3)

    return Picture(_svg(f"{name}-spread", NARROW_IN, 3.2, title, draw), title)


def markouts(name: str, market: MarketCurves) -> Picture:
    title = "Markouts with their standard errors"

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title("What a fill was worth later")
        axes.set_xlabel("time after the fill")
        axes.set_ylabel("bps of the price")
        drawn = False
        for side, colour, word, shift in (("bid", BLUE, "buys", 0.96), ("ask", ORANGE, "sells", 1.04)):
            points = [one for one in market.markouts[side] if one.mean_bps is not None]
            if points:
                drawn = True
                axes.errorbar(
                    [shift * one.horizon_ns / 1e9 for one in points],
                    [one.mean_bps or 0.0 for one in points],
                    yerr=[_BAND * (one.error_bps or 0.0) for one in points],
                    color=colour,
                    marker="o",
                    markersize=4,
                    capsize=2.5,
                    elinewidth=0.9,
                    label=f"{word} ({points[0].fills:,} fills)",
                )
        if not drawn:
            _nothing(axes, "no fill lived to a horizon")
            return
        axes.axhline(0.0, color=MUTED, linewidth=0.8)
        axes.set_xscale("log")
        horizons = [one.horizon_ns / 1e9 for one in market.markouts["bid"]]
        shown = [h for h in horizons if h in (0.1, 1.0, 10.0, 60.0, 300.0)]
        axes.set_xticks(shown, [_span(h) for h in shown])
        axes.minorticks_off()
        axes.set_xlim(horizons[0] * 0.8, horizons[-1] * 1.25)
        axes.legend(loc="best")

    return Picture(_svg(f"{name}-markouts", NARROW_IN, 3.2, title, draw), title)


def quoting(name: str, market: MarketCurves) -> Picture:
    title = "Quoted time, and lockouts by reason"

    def draw(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
        hours = _hours(market)
        merge = _coarse(len(hours), 160)
        upper.set_title("Share of time quoted")
        for values, colour, word in (
            (market.bid_quoted, BLUE, "bid"),
            (market.ask_quoted, ORANGE, "ask"),
        ):
            upper.plot(_ends(hours, merge), _means(values, merge), color=colour, label=word, drawstyle="steps-pre")
        upper.fill_between(
            _ends(hours, merge),
            _means(market.both_quoted, merge),
            step="pre",
            color=GREEN,
            alpha=0.25,
            linewidth=0,
            label="both",
        )
        upper.set_ylim(0.0, 1.04)
        _percent(upper)
        upper.legend(loc="lower left", ncols=3)
        lower.set_title("Locked out or pulled, by reason")
        reasons = sorted(market.standing.by_reason.items(), key=lambda item: -float(np.mean(item[1])))
        if not reasons:
            _nothing(lower, "never")
        else:
            few = reasons[: len(SERIES) - 1]
            stacked = [_means(values, merge) for _, values in few]
            rest = [values for _, values in reasons[len(few) :]]
            names = [reason.replace("_", " ") for reason, _ in few]
            if rest:
                stacked.append(_means(np.sum(rest, axis=0), merge))
                names.append("other")
            lower.stackplot(
                _ends(hours, merge), stacked, colors=SERIES, labels=names, step="pre", linewidth=0, alpha=0.85
            )
            lower.set_ylim(0.0, 1.45 * max(float(np.max(np.sum(stacked, axis=0))), 0.02))  # room for the legend
            lower.set_yticks([tick for tick in lower.get_yticks() if 0.0 <= tick <= 1.0])
            lower.legend(loc="upper left", ncols=2)
            _percent(lower)
        _clock(lower, market)

    return Picture(_svg(f"{name}-quoting", NARROW_IN, 4.6, title, draw), title)


def standing(name: str, market: MarketCurves) -> Picture:
    title = "What was decided, by time"

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title("Time by decision")
        kinds: dict[tuple[str, str], list[float]] = {}
        for (side, action, reason), seconds in market.standing.seconds.items():
            kinds.setdefault((action, reason), [0.0, 0.0])[side == "ask"] += seconds
        total = market.standing.total_s or 1.0
        rows = sorted(kinds.items(), key=lambda item: -sum(item[1]))[:10][::-1]
        if not rows:
            _nothing(axes, "nothing was decided")
            return
        height = 0.38
        for offset, column, colour, word in ((height / 2, 0, BLUE, "bid"), (-height / 2, 1, ORANGE, "ask")):
            shares = [values[column] / total for _, values in rows]
            places = [row + offset for row in range(len(rows))]
            axes.barh(places, shares, height=height, color=colour, label=word)
            for place, share in zip(places, shares, strict=True):
                axes.text(max(share, 1e-4) * 1.15, place, f"{share:.2%}", va="center", color=MUTED, fontsize=7.5)
        names = [f"{action.lower()}: {reason.replace('_', ' ')}" for (action, reason), _ in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_xscale("log")
        axes.set_xlim(1e-4, 6.0)
        axes.set_xticks([1e-4, 1e-3, 1e-2, 1e-1, 1.0], ["0.01%", "0.1%", "1%", "10%", "100%"])
        axes.minorticks_off()
        axes.grid(axis="y", visible=False)
        axes.legend(loc="lower right")

    return Picture(_svg(f"{name}-standing", NARROW_IN, 4.6, title, draw), title)


def intensity(name: str, market: MarketCurves) -> Picture:
    title = "Fill intensity by distance"

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title("Who reaches how far from the mid")
        axes.set_xlabel("distance from the mid, bps")
        axes.set_ylabel("a second and side")
        fit = market.intensity
        reach = max((point.distance_bps for point in fit.points), default=0.0)
        drawn = False
        if fit.points:
            drawn = True
            for fitted, word in ((True, "taker orders"), (False, "nearer than we quote")):
                points = [point for point in fit.points if point.fitted is fitted]
                if points:
                    axes.scatter(
                        [point.distance_bps for point in points],
                        [point.rate for point in points],
                        s=26,
                        facecolors=BLUE if fitted else "none",
                        edgecolors=BLUE,
                        label=word,
                        zorder=3,
                    )
        if fit.A and fit.k and fit.points:
            distances = np.linspace(0.0, reach * 1.05, 60)
            told = f"{fit.A:.3g}/s · exp(-{fit.k:.3g} δ)" + (" (refused)" if fit.refused else "")
            axes.plot(distances, fit.A * np.exp(-fit.k * distances), color=ORANGE, label=told)
        ours = _own_fills(market)
        if ours is not None:
            drawn = True
            distance, rate, below, above = ours
            axes.errorbar(
                distance,
                rate,
                yerr=(below, above),
                color=GREEN,
                fmt="s",
                markersize=4,
                capsize=2.5,
                elinewidth=0.9,
                label="fills of our own quotes",
                zorder=4,
            )
        if not drawn:
            _nothing(axes, fit.refused or "no taker order reached our distance")
            return
        axes.set_yscale("log")
        axes.set_xlim(left=-0.03 * max(reach, 1.0))
        axes.legend(loc="best")

    return Picture(_svg(f"{name}-intensity", NARROW_IN, 3.4, title, draw), title)


def order_life(name: str, market: MarketCurves) -> Picture:
    title = "Order life"

    def draw(figure: "Figure") -> None:
        orders = market.orders
        panels = (
            (
                "time to answer, ms",
                ((orders.ack_ms, "place"), (orders.amend_ms, "amend"), (orders.cancel_ms, "cancel")),
            ),
            ("life, and wait for the first fill, s", ((orders.life_s, "life"), (orders.first_fill_s, "first fill"))),
            (f"queue ahead at arrival, {market.instrument.base}", ((orders.queue_ahead, "queue"),)),
        )
        rows = figure.subplots(len(panels), 1)
        for axes, (label, series) in zip(rows, panels, strict=True):
            drawn = [
                _cumulative(axes, values, colour, word)
                for (values, word), colour in zip(series, SERIES, strict=False)
                if values.size
            ]
            if not drawn:
                _nothing(axes, "none")
            else:
                axes.set_ylim(0.0, 1.04)
                _percent(axes)
                if len(series) > 1:
                    axes.legend(loc="best")
            axes.set_xlabel(label)
        rows[0].set_title("Share of orders at or below")

    return Picture(_svg(f"{name}-orders", NARROW_IN, 5.2, title, draw), title)


# Panels


def _price(axes: "Axes", hours: Floats, market: MarketCurves) -> None:
    axes.set_title("Mid, our quotes and fills")
    axes.set_ylabel(market.instrument.quote)
    axes.fill_between(hours, market.mid_low, market.mid_high, color=MUTED, alpha=0.35, linewidth=0)
    axes.plot(hours, market.mid, color=INK, linewidth=0.8, label="mid")
    for low, high, value, colour, word in (
        (market.bid_low, market.bid_high, market.bid, BLUE, "our bid"),
        (market.ask_low, market.ask_high, market.ask, ORANGE, "our ask"),
    ):
        axes.plot(hours, value, color=colour, linewidth=0.9, drawstyle="steps-pre", label=word)
        axes.fill_between(hours, low, high, color=colour, alpha=0.3, linewidth=0)
    fills = market.fills
    at = (fills.times_ns - market.start_ns) / 3.6e12
    for side, colour, marker, word in ((1.0, BLUE, "^", "bought"), (-1.0, ORANGE, "v", "sold")):
        chosen = fills.side == side
        if chosen.any():
            axes.scatter(
                at[chosen],
                fills.price[chosen],
                s=42,
                marker=marker,
                color=colour,
                edgecolors=INK,
                linewidths=0.6,
                zorder=4,
                label=word,
            )
    axes.legend(loc="best", ncols=5 if not _is_narrow(axes.figure) else 3)
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")


def _inventory(axes: "Axes", hours: Floats, market: MarketCurves) -> None:
    axes.set_title("Inventory, and its limits")
    axes.set_ylabel(market.instrument.base)
    axes.fill_between(
        hours, market.position_low, market.position_high, color=PURPLE, alpha=0.25, linewidth=0, step="pre"
    )
    axes.plot(hours, market.position, color=PURPLE, drawstyle="steps-pre")
    for limit in {market.max_position, market.min_position}:
        axes.axhline(limit, color=RED, linestyle="--", linewidth=0.9)
    axes.axhline(0.0, color=MUTED, linewidth=0.8)


def _equity(axes: "Axes", hours: Floats, market: MarketCurves) -> None:
    axes.set_title("Equity, and what it is made of")
    axes.set_ylabel(market.currency)
    axes.axhline(0.0, color=MUTED, linewidth=0.8)
    axes.fill_between(hours, market.equity_low, market.equity_high, color=INK, alpha=0.18, linewidth=0)
    axes.plot(hours, market.equity, color=INK, linewidth=1.5, label="equity")
    parts = [
        (market.spread, GREEN, "spread"),
        (market.inventory, PURPLE, "inventory"),
        (market.fees, RED, "fees"),
        (market.funding, TEAL, "funding"),
    ]
    for values, colour, word in parts:
        if word != "funding" or np.any(values):
            axes.plot(hours, values, color=colour, linewidth=1.0, label=word)
    axes.legend(loc="best", ncols=5 if not _is_narrow(axes.figure) else 2)


def _own_fills(market: MarketCurves) -> tuple[Floats, Floats, Floats, Floats] | None:
    """Distance, fills a second quoted there, and 1.96 errors either way, in bins of at least three fills and a
    hundredth of the quoted time: a quote that the market runs over is near the mid for an instant only.
    """
    distances = market.distances
    if not distances.fills.sum():
        return None
    rows = []
    least_s = _LEAST_SHARE * float(distances.seconds.sum())
    fills = seconds = weighted = 0.0
    for index, (count, passed) in enumerate(zip(distances.fills, distances.seconds, strict=True)):
        fills, seconds = fills + count, seconds + passed
        weighted += count * (index + 0.5) * distances.width_bps
        if fills >= _LEAST_FILLS and seconds >= least_s:
            rows.append((weighted / fills, fills, seconds))
            fills = seconds = weighted = 0.0
    if not rows:
        return None
    at = np.array([row[0] for row in rows])
    count = np.array([row[1] for row in rows])
    rate = count / np.array([row[2] for row in rows])
    factor = np.exp(_BAND / np.sqrt(count))
    return at, rate, rate - rate / factor, rate * factor - rate


def _cumulative(axes: "Axes", values: Floats, colour: str, word: str) -> bool:
    ordered = np.sort(values)
    shares = np.arange(1, ordered.size + 1) / ordered.size
    if ordered.size > 400:
        chosen = np.unique(np.linspace(0, ordered.size - 1, 400).astype(int))
        ordered, shares = ordered[chosen], shares[chosen]
    spread = ordered[-1] > 20.0 * max(float(np.median(ordered)), 1e-9) and ordered[0] >= 0.0
    axes.step(
        np.concatenate(([ordered[0]], ordered)),
        np.concatenate(([0.0], shares)),
        where="post",
        color=colour,
        label=f"{word} ({values.size:,})",
    )
    if spread:
        axes.set_xscale("symlog", linthresh=max(float(np.median(ordered)), 1e-3))
    else:
        axes.set_xlim(left=0.0)
    return True


# Curves


def folded(market: MarketCurves, most: int) -> MarketCurves:
    """The same in at most so many buckets: as they stood at their ends, with their lows and highs."""
    merge = _coarse(len(market.times_ns), most)
    if merge == 1:
        return market
    starts = np.arange(0, len(market.times_ns), merge)
    ends = np.minimum(starts + merge, len(market.times_ns)) - 1
    changed: dict[str, Any] = {"times_ns": market.times_ns[ends]}
    for name in ("mid", "bid", "ask", "position", "equity"):
        changed[f"{name}_low"] = np.fmin.reduceat(getattr(market, f"{name}_low"), starts)
        changed[f"{name}_high"] = np.fmax.reduceat(getattr(market, f"{name}_high"), starts)
    for name in ("mid", "bid", "ask", "position", "equity", "spread", "inventory", "fees", "funding"):
        changed[name] = getattr(market, name)[ends]
    return msgspec.structs.replace(market, **changed)


# Axes


def _is_narrow(figure: Any) -> bool:
    return bool(figure.get_figwidth() <= NARROW_IN)


def _hours(market: MarketCurves) -> Floats:
    hours: Floats = (market.times_ns - market.start_ns) / 3.6e12
    return hours


def _clock(axes: "Axes", market: MarketCurves) -> None:
    """Time of day in UTC where the run has a real clock, else time since the start."""
    from datetime import UTC, datetime

    hours = _hours(market)
    span_s = max(float(hours[-1]) * 3600.0, 1e-3)
    start_ns = market.start_ns
    axes.set_xlim(0.0, max(float(hours[-1]), 1e-9))
    if start_ns < 10**17:
        _seconds_axis(axes, span_s, per_unit=1.0 / 3600.0)
        return
    start_s = start_ns / 1e9
    step_s = _step(span_s / (4 if _is_narrow(axes.figure) else 8))
    first = math.ceil(start_s / step_s) * step_s
    ticks = [first + step_s * number for number in range(int((start_s + span_s - first) / step_s) + 1)]
    form = "%d %b" if step_s >= 86400 else "%d %b %H:%M" if span_s > 86400 else "%H:%M" if step_s >= 60 else "%H:%M:%S"
    axes.set_xticks(
        [(tick - start_s) / 3600.0 for tick in ticks], [f"{datetime.fromtimestamp(tick, UTC):{form}}" for tick in ticks]
    )
    axes.set_xlabel(f"UTC, from {datetime.fromtimestamp(start_s, UTC):%Y-%m-%d %H:%M:%S}")


def _seconds_axis(axes: "Axes", span_s: float, *, per_unit: float = 1.0) -> None:
    step = _step(max(span_s, 1e-3) / 5)
    ticks = [step * number for number in range(int(span_s / step) + 1)]
    axes.set_xticks([tick * per_unit for tick in ticks], [_span(tick) for tick in ticks])
    axes.set_xlabel("time since the start")


def _step(seconds: float) -> float:
    """A round span of at least so many seconds."""
    steps = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
    return next((step for step in steps if step >= seconds), 86400.0 * math.ceil(seconds / 86400.0))


def _span(seconds: float) -> str:
    if seconds == 0:
        return "0"
    for unit_s, word in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:g} {word}"
    return f"{seconds * 1000:g} ms"


def _percent(axes: "Axes") -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def _room(values: Floats) -> tuple[float, float]:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    span = max(high - low, 1e-6)
    return low - 0.08 * span, high + 0.28 * span


def _coarse(count: int, most: int) -> int:
    return max(1, -(-count // most))


def _ends(values: Floats, merge: int) -> Floats:
    last = [values[min(start + merge, len(values)) - 1] for start in range(0, len(values), merge)]
    return np.array([values[0] - 1e-9, *last])


def _means(values: Floats, merge: int) -> Floats:
    means = [float(np.mean(values[start : start + merge])) for start in range(0, len(values), merge)]
    return np.array([means[0], *means])


def _nothing(axes: "Axes", why: str) -> None:
    """Words where a picture would be."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=MUTED, wrap=True)


# SVG


def _svg(name: str, width_in: float, height_in: float, title: str, draw: Callable[["Figure"], None]) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _for_a_page(out.getvalue(), name, title)


_IDS = re.compile(r'\bid="([^"]+)"')
_LINKS = re.compile(r'(url\(#|xlink:href="#)([^")]+)')
_PATHS = re.compile(r'\bd="([^"]+)"')


def _for_a_page(svg: str, name: str, title: str) -> str:
    """The `svg` element alone, as wide as its place, with its own names and the page's colours and font."""
    from html import escape

    body = svg[svg.index("<svg") :]
    box = re.search(r'viewBox="[^"]+"', body)
    assert box is not None
    inner = body[body.index(">") + 1 :]
    inner = re.sub(r"<metadata>.*?</metadata>", "", inner, flags=re.S)
    inner = re.sub(r"<!--.*?-->", "", inner, flags=re.S)
    linked = set(re.findall(r'(?:url\(#|href="#)([^")]+)', inner))
    inner = _IDS.sub(lambda m: f'id="{name}-{m[1]}"' if m[1] in linked else "", inner)
    inner = _LINKS.sub(lambda m: f"{m[1]}{name}-{m[2]}", inner)
    inner = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", inner)
    for colour, variable in VARIABLES.items():
        inner = inner.replace(colour, f"var(--{variable})")
    inner = _PATHS.sub(lambda m: 'd="' + re.sub(r"(\d+\.\d)\d+", r"\1", m[1]).strip() + '"', inner)
    inner = re.sub(r">\s+<", "><", inner)
    inner = re.sub(r"[ \n]+", " ", inner)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0]}'
    return f'{head} role="img" aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title>{inner.strip()}'
