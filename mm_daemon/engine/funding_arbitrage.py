"""What carrying a perpetual against spot, or against another venue's perpetual, would bring (MODELS 7.5).

Returns are fractions of one leg's notional, rates fractions per funding period, positive when longs pay; a year has
8760 hours.
"""

import math
from collections.abc import Sequence

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive

_YEAR_H = 8760.0


class FundingArbitrage(msgspec.Struct, frozen=True, gc=False):
    """`short_perp`: short the perpetual and long spot, else the other way round. `net_apr` is `net_return` of the hold
    at its annual pace. `breakeven_periods`: fundings until the fees are earned, None at a rate of zero.
    """

    gross_apr: float
    apy: float
    basis: float
    net_return: float
    net_apr: float
    breakeven_periods: float | None
    short_perp: bool


def funding_arb(
    spot: float,
    perp: float,
    rate: float,
    period_h: float,
    hold_h: float,
    fee_legs: Sequence[float],
    exit_basis: float = 0.0,
    borrow_apr: float = 0.0,
) -> FundingArbitrage:
    """A constant `rate` every `period_h` hours, held for `hold_h` hours; `fee_legs`: fee of each trade in and out.

    `exit_basis`: (perp - spot)/spot at the end; `borrow_apr`: cost of what is borrowed. Raises DomainError for prices
    or hours that are not positive, and for a rate of -100 % or less.
    """
    require_positive(spot=spot, perp=perp, period_h=period_h, hold_h=hold_h)
    require_finite(rate=rate, exit_basis=exit_basis, fees=math.fsum(fee_legs))
    require_not_negative(borrow_apr=borrow_apr)
    if rate <= -1.0:
        raise DomainError(f"a funding rate of {rate} takes more than everything")
    gross_apr = rate * _YEAR_H / period_h
    try:
        apy = math.expm1(_YEAR_H / period_h * math.log1p(rate))
    except OverflowError:
        raise DomainError(f"a rate of {rate} every {period_h} h compounds beyond any number") from None
    basis = (perp - spot) / spot
    fees = math.fsum(fee_legs)
    short_perp = rate >= 0.0
    converged = basis - exit_basis if short_perp else exit_basis - basis
    hold_years = hold_h / _YEAR_H
    net = abs(gross_apr) * hold_years + converged - fees - borrow_apr * hold_years
    breakeven = fees / abs(rate) if rate else None
    return FundingArbitrage(gross_apr, apy, basis, net, net / hold_years, breakeven, short_perp)


def cross_venue_apr(rate_a: float, period_a: float, rate_b: float, period_b: float) -> float:
    """What being short on venue a and long on venue b earns a year: each rate over its own period (hours)."""
    require_finite(rate_a=rate_a, rate_b=rate_b)
    require_positive(period_a=period_a, period_b=period_b)
    return rate_a * _YEAR_H / period_a - rate_b * _YEAR_H / period_b
