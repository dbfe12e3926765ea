"""A half-spread and a lean for people who want to say neither: aggressive, balanced or conservative.

Both scale with the configured volatility, so that one word fits a calm market and a wild one: the half-spread is so
many times what the mid moves in ten seconds, the lean at the position limit so many times that half-spread. These are
places to start from, not advice.
"""

import math
from typing import NamedTuple

from mm_daemon.engine.parameters import ProfileName, QuoteParameters

_WINDOW_S = 10.0


class _Profile(NamedTuple):
    half_spread_moves: float
    lean_half_spreads: float


_PROFILES: dict[ProfileName, _Profile] = {
    "aggressive": _Profile(0.5, 0.5),
    "balanced": _Profile(1.0, 1.0),
    "conservative": _Profile(2.0, 1.5),
}


def meant_bps(quoting: QuoteParameters, sigma_bps: float) -> tuple[float | None, float | None]:
    """(half-spread when flat and before fees, lean at the position limit): what is said in bps, else by the profile at
    this volatility, else None.
    """
    half_bps, lean_bps = quoting.half_spread_bps, quoting.skew_bps_at_max
    if quoting.profile is None:
        return half_bps, lean_bps
    profile = _PROFILES[quoting.profile]
    if half_bps is None:
        half_bps = profile.half_spread_moves * sigma_bps * math.sqrt(_WINDOW_S)
    if lean_bps is None:
        lean_bps = profile.lean_half_spreads * half_bps
    return half_bps, lean_bps
