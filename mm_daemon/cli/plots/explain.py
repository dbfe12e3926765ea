"""The picture of `explain --plot`: where both quotes would be at every inventory, and where they are around the mid.

One row a market. matplotlib is imported when something is drawn; it is no dependency of the daemon.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mm_daemon.backtest.explain.depths import DepthCurves, DepthPoint
from mm_daemon.backtest.explain.explanation import Explanation, MarketExplanation, Quotes
from mm_daemon.domain.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BID, _ASK, _GREY, _FAINT, _INK = "#1b7f5c", "#b5432a", "#808080", "#d9d9d9", "#222222"
_WIDTH, _ROW = 12.0, 4.6
"""Inches."""
_GAP = 0.075
"""Least distance of two labels, as a share of the height."""


class _Rung(NamedTuple):
    """A price of the ladder and what stands beside it."""

    price: float
    words: str
    color: str
    style: str
    width: float


def draw(explanation: Explanation, curves: Sequence[DepthCurves], path: Path) -> None:
    """Write the picture; `curves` belong to the markets in order. Raises UsageError where there is no matplotlib or the
    file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("--plot needs matplotlib, which is not installed here: pip install matplotlib") from None
    rows = len(explanation.markets)
    figure = Figure(figsize=(_WIDTH, _ROW * rows), layout="constrained")
    axes = figure.subplots(rows, 2, squeeze=False, width_ratios=(3, 2))
    for (left, right), market, depths in zip(axes, explanation.markets, curves, strict=True):
        _by_inventory(left, market, depths)
        _ladder(right, market)
    try:
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise UsageError(f"--plot {path}: cannot be written: {error.strerror}") from error


def _by_inventory(axes: "Axes", market: MarketExplanation, depths: DepthCurves) -> None:
    """Asks above the fair price, bids below it; faint where that side would not be quoted."""
    axes.set_title(f"{market.venue}:{market.symbol}: quotes of {market.model} by position", loc="left", fontsize=11)
    axes.set_xlabel(f"position, {market.base}")
    axes.set_ylabel("from the fair price, bps")
    _bare(axes)
    if not depths.model:
        _say(axes, f"nothing is priced: {'; '.join(market.words)}")
        return
    axes.axhline(0.0, color=_INK, linewidth=0.8)
    if depths.glft:
        for label, sign in (("glft instead", 1.0), (None, -1.0)):
            ys = [point.ask_bps if sign > 0 else -point.bid_bps for point in depths.glft]
            axes.plot([point.position for point in depths.glft], ys, "--", color=_GREY, linewidth=1.2, label=label)
    _curve(axes, depths.model, ask=True)
    _curve(axes, depths.model, ask=False)
    held = float(market.situation.position)
    axes.axvline(held, color=_INK, linewidth=0.8, linestyle=":", label=f"position now, {market.situation.position}")
    if market.quotes is not None:
        reference, tick = market.quotes.reference, float(market.tick)
        for side, color in ((market.quotes.bid, _BID), (market.quotes.ask, _ASK)):
            off_fair = 1e4 * (side.unrounded_ticks * tick - reference.fair) / reference.mid
            face = color if side.quoted else "white"
            axes.plot([held], [off_fair], "o", color=color, markerfacecolor=face, markersize=7)
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=4, frameon=False, fontsize=9)


def _curve(axes: "Axes", points: Sequence[DepthPoint], *, ask: bool) -> None:
    xs = [point.position for point in points]
    ys = [point.ask_bps if ask else -point.bid_bps for point in points]
    quoted = [point.ask_quoted if ask else point.bid_quoted for point in points]
    color = _ASK if ask else _BID
    axes.plot(xs, ys, color=color, linewidth=1.0, alpha=0.35, linestyle=(0, (2, 2)))
    there = [y if shown else float("nan") for y, shown in zip(ys, quoted, strict=True)]
    axes.plot(xs, there, color=color, linewidth=2.0, label="ask" if ask else "bid")


def _ladder(axes: "Axes", market: MarketExplanation) -> None:
    """Prices around the mid, each with its distance from it."""
    axes.set_title("prices now", loc="left", fontsize=11)
    _bare(axes)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    if market.quotes is None:
        axes.set_yticks([])
        _say(axes, f"no quotes: {'; '.join(market.words)}")
        return
    rungs = _rungs(market, market.quotes)
    low, high = rungs[0].price, rungs[-1].price
    margin = 0.08 * (high - low)
    low, high = low - margin, high + margin
    axes.set_ylim(low, high)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylabel(f"price, {market.currency}")
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    mid = market.quotes.reference.mid
    heights = _apart([(rung.price - low) / (high - low) for rung in rungs])
    for rung, height in zip(rungs, heights, strict=True):
        axes.plot([0.0, 0.36], [rung.price] * 2, color=rung.color, linewidth=rung.width, linestyle=rung.style)
        label = low + height * (high - low)
        axes.plot([0.36, 0.41], [rung.price, label], color=_FAINT, linewidth=0.8)
        off = 1e4 * (rung.price / mid - 1.0)
        axes.text(
            0.42,
            label,
            f"{rung.words}  {off:+.2f} bps" if off else rung.words,
            color=rung.color,
            va="center",
            fontsize=9,
        )


def _rungs(market: MarketExplanation, quotes: Quotes) -> list[_Rung]:
    """From the lowest price to the highest."""
    at, reference = market.situation, quotes.reference
    rungs = [
        _Rung(reference.mid, f"mid {reference.mid:.10g}", _INK, "-", 1.0),
        _Rung(reference.reservation, "reservation price", _GREY, "--", 1.0),
    ]
    if reference.uses == "microprice":
        rungs.append(_Rung(reference.microprice, "microprice", _GREY, ":", 1.0))
    for price, words in ((at.bid, "best bid"), (at.ask, "best ask")):
        if price is not None:
            rungs.append(_Rung(float(price), f"{words} {price}", _GREY, "-", 1.0))
    for side, color in ((quotes.bid, _BID), (quotes.ask, _ASK)):
        words = f"our {side.side} {side.price}" if side.quoted else f"no {side.side} at {side.price}"
        rungs.append(_Rung(float(side.price), words, color, "-" if side.quoted else ":", 2.4))
    return sorted(rungs, key=lambda rung: rung.price)


def _apart(heights: Sequence[float]) -> list[float]:
    """Rising heights from 0 to 1, moved as little as sets them `_GAP` apart; what is too close keeps its middle."""
    groups: list[tuple[float, int]] = []
    for index, height in enumerate(heights):
        middle, count = height - index * _GAP, 1
        while groups and groups[-1][0] > middle:
            before, members = groups.pop()
            middle = (before * members + middle * count) / (members + count)
            count += members
        groups.append((middle, count))
    highest = 1.0 - (len(heights) - 1) * _GAP
    lowered = [min(max(middle, 0.0), highest) for middle, count in groups for _ in range(count)]
    return [low + index * _GAP for index, low in enumerate(lowered)]


def _bare(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def _say(axes: "Axes", words: str) -> None:
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=_GREY)
