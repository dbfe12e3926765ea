"""What the pictures of a report share: curves in as many points as the paper holds, and axes of time."""

import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from mm_daemon.backtest.curves import MarketCurves
from mm_daemon.backtest.curves.samples import Floats
from mm_daemon.cli.plots.svg import MUTED, NARROW_IN

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def folded(market: MarketCurves, most: int) -> MarketCurves:
    """The same in at most so many buckets: as they stood at their ends, with their lows and highs."""
    merge = coarse(len(market.times_ns), most)
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


def is_narrow(figure: Any) -> bool:
    return bool(figure.get_figwidth() <= NARROW_IN)


def hours_of(market: MarketCurves) -> Floats:
    hours: Floats = (market.times_ns - market.start_ns) / 3.6e12
    return hours


def clock(axes: "Axes", market: MarketCurves) -> None:
    """Time of day in UTC where the run has a real clock, else time since the start."""
    from datetime import UTC, datetime

    hours = hours_of(market)
    span_s = max(float(hours[-1]) * 3600.0, 1e-3)
    start_ns = market.start_ns
    axes.set_xlim(0.0, max(float(hours[-1]), 1e-9))
    if start_ns < 10**17:
        seconds_axis(axes, span_s, per_unit=1.0 / 3600.0)
        return
    start_s = start_ns / 1e9
    step_s = _step(span_s / (4 if is_narrow(axes.figure) else 8))
    first = math.ceil(start_s / step_s) * step_s
    ticks = [first + step_s * number for number in range(int((start_s + span_s - first) / step_s) + 1)]
    form = "%d %b" if step_s >= 86400 else "%d %b %H:%M" if span_s > 86400 else "%H:%M" if step_s >= 60 else "%H:%M:%S"
    axes.set_xticks(
        [(tick - start_s) / 3600.0 for tick in ticks], [f"{datetime.fromtimestamp(tick, UTC):{form}}" for tick in ticks]
    )
    axes.set_xlabel(f"UTC, from {datetime.fromtimestamp(start_s, UTC):%Y-%m-%d %H:%M:%S}")


def seconds_axis(axes: "Axes", span_s: float, *, per_unit: float = 1.0) -> None:
    step = _step(max(span_s, 1e-3) / 5)
    ticks = [step * number for number in range(int(span_s / step) + 1)]
    axes.set_xticks([tick * per_unit for tick in ticks], [span_text(tick) for tick in ticks])
    axes.set_xlabel("time since the start")


def _step(seconds: float) -> float:
    """A round span of at least so many seconds."""
    steps = (0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)
    return next((step for step in steps if step >= seconds), 86400.0 * math.ceil(seconds / 86400.0))


def span_text(seconds: float) -> str:
    if seconds == 0:
        return "0"
    for unit_s, word in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:g} {word}"
    return f"{seconds * 1000:g} ms"


def percent(axes: "Axes") -> None:
    from matplotlib.ticker import PercentFormatter

    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def room(values: Floats) -> tuple[float, float]:
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    span = max(high - low, 1e-6)
    return low - 0.08 * span, high + 0.28 * span


def coarse(count: int, most: int) -> int:
    return max(1, -(-count // most))


def ends(values: Floats, merge: int) -> Floats:
    last = [values[min(start + merge, len(values)) - 1] for start in range(0, len(values), merge)]
    return np.array([values[0] - 1e-9, *last])


def means(values: Floats, merge: int) -> Floats:
    means = [float(np.mean(values[start : start + merge])) for start in range(0, len(values), merge)]
    return np.array([means[0], *means])


def nothing(axes: "Axes", why: str) -> None:
    """Words where a picture would be."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=MUTED, wrap=True)
