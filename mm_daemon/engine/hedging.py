"""When to take liquidity to get rid of a position, and how much of it (MODELS 7.4).

Holding d units until the quotes have worked them off costs a quarter of `gamma sigma^2 tau* d^2`; hedging one unit
saves half of `skew |d|` at the margin and costs a taker's fee, half the spread and slippage. So a hedge pays only
outside the band `2 cost / skew`.
"""

import math

import msgspec

from mm_daemon.domain.orders import Side
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive

_BUY, _SELL = Side.BUY, Side.SELL
_LOT_SLACK = 1e-9


class Hedge(msgspec.Struct, frozen=True, gc=False):
    """`side` is None and `lots` 0 when nothing is to be done. `band` in the unit of positions, None where infinite.

    `forced`: the position was too large for too long, whatever it costs. Hedges are reduce-only.
    """

    band: float | None
    forced: bool
    side: Side | None
    lots: int
    size: float


def hedge_rule(
    position: float,
    target: float,
    threshold: float,
    ratio: float,
    min_size: float,
    lot: float,
    cost: float,
    skew: float,
    age: float,
    max_latency: float,
) -> Hedge:
    """The hedge of one moment. `position` includes hedges that are out; positions and sizes in one unit.

    `cost` of taking one unit (fee, half spread, slippage) and `skew` per unit held, both in price; `age`: seconds since
    the distance to the target first exceeded `threshold`, and after `max_latency` of them costs no
    longer matter. `ratio`: share of the distance to hedge, never more than all of it. Exceeding is strict. Raises
    DomainError for negative numbers, and unless the lot is positive.
    """
    require_finite(position=position, target=target)
    require_not_negative(threshold=threshold, ratio=ratio, min_size=min_size, cost=cost, skew=skew, age=age)
    require_positive(lot=lot)
    if not max_latency >= 0.0:  # infinite is a valid patience
        require_not_negative(max_latency=max_latency)
    distance = position - target
    held = abs(distance)
    band = 2.0 * cost / skew if skew > 0.0 else math.inf
    forced = held > threshold and age >= max_latency
    lots = 0
    if forced or (held > threshold and held > band):
        lots = math.floor(min(ratio * held, held) / lot + _LOT_SLACK)
    size = lots * lot
    if not lots or size < min_size * (1.0 - _LOT_SLACK):
        return Hedge(_finite(band), forced, None, 0, 0.0)
    return Hedge(_finite(band), forced, _SELL if distance > 0.0 else _BUY, lots, size)


def _finite(band: float) -> float | None:
    return band if band < math.inf else None
