"""What verbs that draw share: matplotlib where it is installed, a figure in the house's style, a file at the end.

matplotlib is optional and heavy, so it is imported when a picture is asked for. Backend Agg: no display is needed, and
none is used.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm_daemon.domain.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
BLUE, ORANGE, GREY = "#2f6db3", "#d9822b", "#6b7280"
_STYLE: dict[Any, Any] = {
    "axes.edgecolor": "#9ca3af",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 9,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "legend.edgecolor": "none",
    "legend.fontsize": 8.5,
    "svg.hashsalt": "mm-daemon",
}


def check_plot(path: Path) -> None:
    """Before the work: can this picture be made at all? Raises UsageError."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--plot {path}: must end in {' or '.join(SUFFIXES)}, which says what is drawn")
    try:
        import matplotlib
    except ImportError:
        raise UsageError("--plot needs matplotlib, which is not installed: pip install 'mm-daemon[research]'") from None
    matplotlib.use("Agg")


@contextmanager
def drawing(
    path: Path, rows: int, columns: int, *, width_in: float, row_height_in: float
) -> "Iterator[list[list[Axes]]]":
    """Axes by row and column to draw on; at the end they are written to a file that `check_plot` has approved.

    The same drawing gives the same bytes. Raises UsageError when the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, row_height_in * rows), dpi=120, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)  # type: ignore[union-attr, call-arg]
        axes = figure.subplots(rows, columns, squeeze=False)
        yield [list(row) for row in axes]
        try:
            figure.savefig(path, metadata=metadata)
        except OSError as error:
            raise UsageError(f"--plot {path}: cannot be written: {error.strerror}") from error


def nothing_to_draw(axes: "Axes", why: str) -> None:
    """Words where a picture would be."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes, color=GREY, wrap=True)
