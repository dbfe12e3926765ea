"""Figures for reading: signs, spans of time, small bars. Exact numbers stay the decimal texts of `Status`."""

from html import escape

_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


def value(number: float) -> str:
    """A price or the like, eight digits of it."""
    return f"{number:.8g}"


def signed(number: float, digits: int = 2) -> str:
    """`+1.20`, `−0.80`; what rounds to zero has no sign."""
    text = f"{number:+.{digits}f}"
    return f"{abs(number):.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def duration(seconds: float) -> str:
    """`0.4 s`, `41 s`, `3 min 20 s`, `5 h 12 min`, `2 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def money(amount: str, digits: int = 2) -> str:
    """A signed amount; the exact one belongs beside it, as a title."""
    return signed(float(amount), digits)


def tone_of(amount: str) -> str:
    """`gain`, `loss` or `even`, as shown with two digits."""
    shown = round(float(amount), 2)
    return "gain" if shown > 0 else "loss" if shown < 0 else "even"


def share_bar(share: float, label: str, tone: str = "") -> str:
    """A bar filled to `share`, 0..1; `label` says it to whoever cannot see."""
    width = min(max(share, 0.0), 1.0) * 100
    return (
        f'<svg class="bar {tone}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">'
        f'<rect class="rail" width="100" height="6"/><rect class="part" width="{width:.1f}" height="6"/></svg>'
    )
