"""A constant spread that leans against the position: what is left to quote when nothing is calibrated (MODELS 5.1).

Both prices move the same way, down when long and up when short. Numbers outside the domain raise DomainError.
"""

import math

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive
from mm_daemon.engine.units import BPS


class FixedSpreadQuotes(msgspec.Struct, frozen=True, gc=False):
    """Prices, and the spread between them in bps of the mid."""

    center: float
    bid: float
    ask: float
    spread_bps: float


def quotes(
    mid: float,
    spread_bps: float,
    position: float,
    max_position: float,
    skew_bps: float,
    vol_mult: float = 1.0,
    imbalance: float = 0.0,
    imb_beta: float = 0.0,
    min_spread_bps: float = 0.0,
    max_spread_bps: float = math.inf,
) -> FixedSpreadQuotes:
    """Quotes around `mid` shifted by position and book imbalance.

    position and max_position: in the same unit, more than the maximum counts as the maximum; skew_bps: shift at the
    maximum, beyond half the spread the reducing side crosses the mid; vol_mult: widens before the spread is clipped;
    imbalance: in [-1, 1], positive for more bids, moves both quotes by `imb_beta` half-spreads (do not combine it with
    a microprice, which counts it already), |imb_beta| < 1.
    """
    require_positive(mid=mid, max_position=max_position)
    require_finite(position=position, imbalance=imbalance)
    require_not_negative(spread_bps=spread_bps, skew_bps=skew_bps, vol_mult=vol_mult, min_spread_bps=min_spread_bps)
    if not abs(imb_beta) < 1.0:
        raise DomainError(f"imb_beta = {imb_beta} must lie between -1 and 1: at 1 one side has no edge left")
    if not max_spread_bps >= min_spread_bps:
        raise DomainError(f"max_spread_bps = {max_spread_bps} must be at least min_spread_bps = {min_spread_bps}")
    spread = min(max(spread_bps * vol_mult, min_spread_bps), max_spread_bps)
    half = 0.5 * spread
    held = min(max(position / max_position, -1.0), 1.0)
    shift = half * imb_beta * min(max(imbalance, -1.0), 1.0) - skew_bps * held
    center = mid * (1.0 + shift * BPS)
    bid, ask = mid * (1.0 + (shift - half) * BPS), mid * (1.0 + (shift + half) * BPS)
    require_finite(bid=bid, ask=ask)
    return FixedSpreadQuotes(center, bid, ask, spread)
