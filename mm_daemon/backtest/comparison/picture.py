"""The comparison on the embedded market as one picture: what each model earned and what it held meanwhile."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from mm_daemon.backtest.comparison.page import by_contender, mean_error
from mm_daemon.backtest.comparison.play import Figures

_Z95 = 1.96
_PARTS = (("spread", "#4c9f70"), ("inventory", "#c8553d"), ("fees", "#8d99ae"))


def draw(figures: Sequence[Figures], path: Path) -> None:
    """Needs matplotlib, which nothing else does. The same figures give the same bytes."""
    matplotlib = import_module("matplotlib")
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "models", "font.size": 9, "svg.fonttype": "path"})
    pyplot = import_module("matplotlib.pyplot")
    runs = by_contender(figures)
    titles = list(runs)
    places = range(len(titles))
    drawn, (money, held) = pyplot.subplots(1, 2, figsize=(8.6, 3.0), width_ratios=(1.7, 1), layout="constrained")
    height = 0.2
    for row, (part, colour) in enumerate((*_PARTS, ("total", "#22333b"))):
        found = [mean_error([getattr(run, part) for run in runs[title]]) for title in titles]
        money.barh(
            [place + (row - 1.5) * height for place in places],
            [mean for mean, _ in found],
            height,
            xerr=[_Z95 * error for _, error in found],
            color=colour,
            label=part,
            error_kw={"elinewidth": 0.9, "capsize": 2},
        )
    money.axvline(0.0, color="black", linewidth=0.8)
    money.set_yticks(list(places), titles)
    money.set_xlabel("USDT in ten minutes")
    low, high = money.get_xlim()
    money.set_xlim(low, high + 0.12 * (high - low))
    money.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    found = [mean_error([run.held_orders for run in runs[title]]) for title in titles]
    held.errorbar(
        [mean for mean, _ in found],
        list(places),
        xerr=[_Z95 * error for _, error in found],
        fmt="o",
        color="#22333b",
        capsize=2,
    )
    held.set_yticks(list(places), [])
    held.set_xlim(0.0)
    held.set_xlabel("orders held, mean over time")
    for axes in (money, held):
        axes.set_ylim(len(titles) - 0.5, -0.5)
        axes.spines[["top", "right"]].set_visible(False)
    drawn.savefig(path, metadata={"Date": None})
    pyplot.close(drawn)
