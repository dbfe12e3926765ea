"""The picture of a pricing model: its quotes over inventory, and what it makes of volatility."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mm_daemon.cli.plots.drawing import BLUE, GREY, ORANGE, drawing
from mm_daemon.engine.pricing_model import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 5
"""Orders held at the sides."""
_STEPS = 8
"""Inventories between one order and the next, so that a curve that ends at a bound is drawn up to it."""
_STYLES = (":", "-", "--")


def drawn(
    name: str,
    curves: Mapping[float, Curve],
    over: Mapping[float, Curve],
    glft: Mapping[float, Curve],
    path: Path,
) -> None:
    """`curves`: by volatility, three of them; `over`: by many, with GLFT's at the same ones."""
    with drawing(path, 1, 2, width_in=9.6, row_height_in=4.0) as ((left, right),):
        _by_inventory(left, name, curves)
        _by_volatility(right, name, over, glft)


def _by_inventory(axes: "Axes", name: str, curves: Mapping[float, Curve]) -> None:
    axes.set_title(f"{name}: quotes by position")
    axes.set_xlabel("orders held")
    axes.set_ylabel("from the fair price, bps")
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    grid = [step / _STEPS for step in range(-_MOST * _STEPS, _MOST * _STEPS + 1)]
    for (volatility, curve), style in zip(curves.items(), _STYLES, strict=True):
        depths = [(held, curve.at(held)) for held in grid]
        asks = [(held, each.delta_ask) for held, each in depths if each.delta_ask is not None]
        bids = [(held, -each.delta_bid) for held, each in depths if each.delta_bid is not None]
        axes.plot(*zip(*asks, strict=True), style, color=ORANGE, label=f"ask at {volatility:.0%} a year")
        axes.plot(*zip(*bids, strict=True), style, color=BLUE, label=f"bid at {volatility:.0%} a year")
    most = max(3.0, *(2.0 * curve.half_bps for curve in curves.values()))
    axes.set_ylim(-most, most)
    _legend(axes, columns=3)


def _by_volatility(axes: "Axes", name: str, over: Mapping[float, Curve], glft: Mapping[float, Curve]) -> None:
    axes.set_title("and by volatility")
    axes.set_xlabel("volatility, % a year")
    axes.set_ylabel("bps")
    for named, curves, style in ((name, over, "-"), ("glft", glft, "--")):
        if named == name and style == "--":
            continue
        volatilities = [100.0 * volatility for volatility in curves]
        halves = [curve.half_bps for curve in curves.values()]
        leans = [curve.skew_bps for curve in curves.values()]
        about = "" if named == name else ", glft"
        axes.plot(volatilities, halves, style, color=BLUE, label=f"half-spread when flat{about}")
        axes.plot(volatilities, leans, style, color=ORANGE, label=f"lean of one order held{about}")
    axes.set_xlim(0.0)
    axes.set_ylim(0.0)
    _legend(axes, columns=2)


def _legend(axes: "Axes", columns: int) -> None:
    """Under the axes, where it hides no line."""
    axes.legend(fontsize=7.5, ncols=columns, loc="upper center", bbox_to_anchor=(0.5, -0.16))
