"""Pieces that both views of the page are made of: marks of records, tones, bars, events.

Every text that is not ours to choose (a symbol, a venue's words, who asked) goes through `escape`.
"""

import shlex
from collections.abc import Sequence
from html import escape

from mm_daemon.observability.page.figures import money, signed, tone_of
from mm_daemon.observability.recent import Line
from mm_daemon.observability.status import MarketStatus

Fragments = dict[str, str]
"""Pieces of HTML by the name of the place they belong to."""

MARKS = {"quoting": "●", "partly": "◐", "off": "■"}
"""A shape beside each colour."""
_TONE_WORDS = {"quoting": "quoting", "partly": "one side", "off": "not quoting"}
_EVENTS_SHOWN = 25
_LOW = 0.2


class Marks:
    """Writes the marks that lead from a figure to its record."""

    def __init__(self, journal: str) -> None:
        self._command = f"mm-daemon journal show {shlex.quote(journal)}"

    def mark(self, first: int | None, last: int | None = None) -> str:
        """`#1204`, with the command that shows it. Empty where there is no record in this run."""
        if first is None:
            return ""
        end = (first if last is None else last) + 1
        command = escape(f"{self._command} --from {first} --to {end}")
        return f'<a class="rec" href="#record" title="{command}" data-key="{first}">#{first}</a>'

    def as_of(self, end: int) -> str:
        command = escape(f"{self._command} --to {end}")
        return f'<a class="rec" href="#record" title="{command}" data-key="{end}">#{end}</a>'

    @property
    def hint(self) -> str:
        return f"{self._command} --from NUMBER --to NUMBER+1"


def events(lines: Sequence[Line], marks: Marks) -> str:
    """The newest first."""
    if not lines:
        return '<p class="none">Nothing yet.</p>'
    items = "".join(
        f'<li class="{escape(line.level)}"><time>{escape(line.ts[11:19])}</time> '
        f'<span class="about">{escape(line.name)}</span> <span>{_level(line.level)}{escape(line.text)} '
        f"{'' if line.records is None else marks.mark(*line.records)}</span></li>"
        for line in lines[: -_EVENTS_SHOWN - 1 : -1]
    )
    return f'<ol class="events">{items}</ol>'


def _level(level: str) -> str:
    return "" if level == "info" else f'<b class="level">{escape(level)}</b> '


def shape(tone: str) -> str:
    """The mark beside a word that says the same."""
    return f'<span aria-hidden="true">{MARKS[tone]}</span>'


def amount(exact: str, digits: int = 2) -> str:
    """Money with its sign, rounded for reading; the exact amount is its title."""
    return f'<span class="{tone_of(exact)}" title="{escape(exact)}">{money(exact, digits)}</span>'


def table(kind: str, caption: str, heads: Sequence[str], rows: str) -> str:
    """A table with a caption for those who cannot see what it is; `rows` is HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<table class="{kind}"><caption class="unseen">{caption}</caption>'
        f"{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{rows}</tbody></table>"
    )


def tone(of: str) -> str:
    return f'<span class="tone {of}">{shape(of)} {_TONE_WORDS[of]}</span>'


def minus(size: str) -> str:
    """With the sign that is as wide as a digit."""
    return escape(size.replace("-", "−"))


def signed_size(size: str) -> str:
    shown = size if size.startswith("-") or float(size) == 0 else f"+{size}"
    return f"<b>{minus(shown)}</b>"


def position_bar(status: MarketStatus, *, wide: bool = False) -> str:
    """Where the position stands between its limits, and where the orders that are out could take it."""
    least, most, held = float(status.min_position), float(status.max_position), float(status.position)
    span = most - least
    if span <= 0:
        return ""

    def at(size: float) -> float:
        return min(max((size - least) / span, 0.0), 1.0) * 100

    worst = at(float(status.worst_short)), at(float(status.worst_long))
    ends = sorted((at(0.0), at(held)))
    used = held / most if held > 0 and most else held / least if held < 0 and least else 0.0
    label = f"{used:.0%} of the limit used"
    return (
        f'<svg class="bar inventory {"wide" if wide else ""} {"full" if used > 0.9 else ""}" viewBox="0 0 100 6" '
        f'preserveAspectRatio="none" role="img" aria-label="{label}"><rect class="rail" width="100" height="6"/>'
        f'<rect class="worst" x="{worst[0]:.1f}" width="{max(worst[1] - worst[0], 0):.1f}" y="2" height="2"/>'
        f'<rect class="part" x="{ends[0]:.1f}" width="{max(ends[1] - ends[0], 0.8):.1f}" height="6"/>'
        f'<rect class="zero" x="{at(0.0) - 0.2:.1f}" width="0.4" height="6"/></svg>'
    )


def pair(name: str, said: str, tone: str = "") -> str:
    return f'<div class="{tone}"><dt>{name}</dt><dd>{said}</dd></div>'


def low(share: float) -> str:
    return "warn" if share < _LOW else ""


def bps(number: float | None) -> str:
    return "–" if number is None else f"{signed(number)} bps"
