"""The pictures of a report. Long curves are drawn as bands from low to high, so that no spike is lost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mm_daemon.backtest.curves import MarketCurves
from mm_daemon.backtest.curves.samples import Floats
from mm_daemon.backtest.run_report.report import Reported
from mm_daemon.cli.plots.axes import (
    clock,
    coarse,
    ends,
    folded,
    hours_of,
    is_narrow,
    means,
    nothing,
    percent,
    room,
    seconds_axis,
    span_text,
)
from mm_daemon.cli.plots.svg import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    NARROW_IN,
    ORANGE,
    PURPLE,
    RED,
    TEAL,
    WIDE_IN,
    Picture,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED, TEAL)
_WIDE_POINTS, _NARROW_POINTS = 700, 300
"""Most buckets of time that a long curve is drawn with: about what the eye and the paper can hold."""
_LEAST_FILLS, _LEAST_SHARE = 3, 0.01
_BAND = 1.96
"""Standard errors to either side: 95 %."""


def story(name: str, market: MarketCurves) -> Picture:
    """Price with quotes and fills, inventory against its limits, equity with its split, above one axis of time."""
    title = "Price, quotes and fills; inventory; equity with its split"

    def draw(figure: "Figure") -> None:
        rows = figure.subplots(3, 1, sharex=True, height_ratios=(1.6, 0.9, 1.2))
        curves = folded(market, _NARROW_POINTS if is_narrow(figure) else _WIDE_POINTS)
        hours = hours_of(curves)
        _price(rows[0], hours, curves)
        _inventory(rows[1], hours, curves)
        _equity(rows[2], hours, curves)
        clock(rows[2], curves)

    return Picture(
        svg(f"{name}-story", WIDE_IN, 8.2, title, draw),
        title,
        svg(f"{name}-story-narrow", NARROW_IN, 9.0, title, draw),
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
        seconds_axis(axes, longest_s)
        axes.legend(loc="best")

    return Picture(
        svg(f"{name}-overlay", WIDE_IN, 3.6, title, draw),
        title,
        svg(f"{name}-overlay-narrow", NARROW_IN, 3.4, title, draw),
    )


def spread_captured(name: str, market: MarketCurves) -> Picture:
    title = "Spread captured, fill by fill"

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title(title)
        axes.set_ylabel("half-spread, bps of the price")
        fills = market.fills
        if not fills.times_ns.size:
            nothing(axes, "no fills")
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
        low, high = room(captured)
        axes.set_ylim(low, high)
        clock(axes, market)
        axes.legend(loc="best", ncols=3)

    return Picture(svg(f"{name}-spread", NARROW_IN, 3.2, title, draw), title)


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
            nothing(axes, "no fill lived to a horizon")
            return
        axes.axhline(0.0, color=MUTED, linewidth=0.8)
        axes.set_xscale("log")
        horizons = [one.horizon_ns / 1e9 for one in market.markouts["bid"]]
        shown = [h for h in horizons if h in (0.1, 1.0, 10.0, 60.0, 300.0)]
        axes.set_xticks(shown, [span_text(h) for h in shown])
        axes.minorticks_off()
        axes.set_xlim(horizons[0] * 0.8, horizons[-1] * 1.25)
        axes.legend(loc="best")

    return Picture(svg(f"{name}-markouts", NARROW_IN, 3.2, title, draw), title)


def quoting(name: str, market: MarketCurves) -> Picture:
    title = "Quoted time, and lockouts by reason"

    def draw(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1))
        hours = hours_of(market)
        merge = coarse(len(hours), 160)
        upper.set_title("Share of time quoted")
        for values, colour, word in (
            (market.bid_quoted, BLUE, "bid"),
            (market.ask_quoted, ORANGE, "ask"),
        ):
            upper.plot(ends(hours, merge), means(values, merge), color=colour, label=word, drawstyle="steps-pre")
        upper.fill_between(
            ends(hours, merge),
            means(market.both_quoted, merge),
            step="pre",
            color=GREEN,
            alpha=0.25,
            linewidth=0,
            label="both",
        )
        upper.set_ylim(0.0, 1.04)
        percent(upper)
        upper.legend(loc="lower left", ncols=3)
        lower.set_title("Locked out or pulled, by reason")
        reasons = sorted(market.standing.by_reason.items(), key=lambda item: -float(np.mean(item[1])))
        if not reasons:
            nothing(lower, "never")
        else:
            few = reasons[: len(SERIES) - 1]
            stacked = [means(values, merge) for _, values in few]
            rest = [values for _, values in reasons[len(few) :]]
            names = [reason.replace("_", " ") for reason, _ in few]
            if rest:
                stacked.append(means(np.sum(rest, axis=0), merge))
                names.append("other")
            lower.stackplot(
                ends(hours, merge), stacked, colors=SERIES, labels=names, step="pre", linewidth=0, alpha=0.85
            )
            lower.set_ylim(0.0, 1.45 * max(float(np.max(np.sum(stacked, axis=0))), 0.02))  # room for the legend
            lower.set_yticks([tick for tick in lower.get_yticks() if 0.0 <= tick <= 1.0])
            lower.legend(loc="upper left", ncols=2)
            percent(lower)
        clock(lower, market)

    return Picture(svg(f"{name}-quoting", NARROW_IN, 4.6, title, draw), title)


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
            nothing(axes, "nothing was decided")
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

    return Picture(svg(f"{name}-standing", NARROW_IN, 4.6, title, draw), title)


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
            nothing(axes, fit.refused or "no taker order reached our distance")
            return
        axes.set_yscale("log")
        axes.set_xlim(left=-0.03 * max(reach, 1.0))
        axes.legend(loc="best")

    return Picture(svg(f"{name}-intensity", NARROW_IN, 3.4, title, draw), title)


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
                nothing(axes, "none")
            else:
                axes.set_ylim(0.0, 1.04)
                percent(axes)
                if len(series) > 1:
                    axes.legend(loc="best")
            axes.set_xlabel(label)
        rows[0].set_title("Share of orders at or below")

    return Picture(svg(f"{name}-orders", NARROW_IN, 5.2, title, draw), title)


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
    axes.legend(loc="best", ncols=5 if not is_narrow(axes.figure) else 3)
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
    axes.legend(loc="best", ncols=5 if not is_narrow(axes.figure) else 2)


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
