"""SVG to stand inside a page: text as text, colours as CSS variables.

A picture is drawn in stand-in colours, which are then exchanged for variables of the page (`--ink`, `--blue` ...), so
that it follows the page into dark mode.
"""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
WIDE_IN, NARROW_IN = 11.0, 4.2
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


def svg(name: str, width_in: float, height_in: float, title: str, draw: Callable[["Figure"], None]) -> str:
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
