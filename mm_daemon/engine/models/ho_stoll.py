"""Ho and Stoll's dealer: reservation fees, and a monopolist's quotes against linear demand.

Sources: Ho and Stoll, "Optimal dealer pricing under transactions and return uncertainty" (J. Fin. Econ. 9, 1981); the
competitive reservation fees are those of their later papers (1980, 1983). Restated as MODELS 4, with constant absolute
risk aversion. Units are the caller's; numbers outside the domain raise DomainError.
"""

from enum import StrEnum

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive


class Mode(StrEnum):
    """Who else quotes: COMPETITIVE asks for the reservation fee alone, MONOPOLY for what demand bears."""

    COMPETITIVE = "competitive"
    MONOPOLY = "monopoly"


class HoStollQuotes(msgspec.Struct, frozen=True, gc=False):
    """Depths below and above the mid (may be negative), their sum, and the prices they lead to."""

    delta_bid: float
    delta_ask: float
    spread: float
    bid: float
    ask: float


def quotes(
    mid: float,
    q: float,
    size: float,
    risk_aversion: float,
    sigma: float,
    tau: float,
    cost: float,
    mode: str,
    a: float | None = None,
    b: float | None = None,
) -> HoStollQuotes:
    """Quotes around `mid` at inventory `q` (MODELS 4).

    q and size: inventory and trade size in units; risk_aversion: 1/(price unit); sigma: price per square root of a
    second; tau: seconds held; cost: of one fill, price, negative for a rebate; mode: one of Mode; a, b: arrivals per
    second at depth zero and their decrease per price, `lambda = a - b delta`, for a monopolist alone. A monopolist's
    depth beyond a/b says that no trade is wanted on that side: nobody arrives there. Of the shift of the reservation
    price linear demand lets half through, where exponential demand (Avellaneda-Stoikov) lets all of it.
    """
    require_finite(mid=mid, q=q, cost=cost)
    require_positive(size=size)
    require_not_negative(risk_aversion=risk_aversion, sigma=sigma, tau=tau)
    half_risk = 0.5 * risk_aversion * sigma * sigma * tau
    delta_bid = cost + half_risk * (size + 2.0 * q)
    delta_ask = cost + half_risk * (size - 2.0 * q)
    if mode == Mode.MONOPOLY:
        if a is None or b is None:
            raise DomainError("a monopolist's quotes need the demand a and b")
        require_positive(a=a, b=b)
        delta_bid = 0.5 * (a / b + delta_bid)
        delta_ask = 0.5 * (a / b + delta_ask)
    elif mode != Mode.COMPETITIVE:
        raise DomainError(f"mode = {mode} is none of {', '.join(Mode)}")
    spread, bid, ask = delta_bid + delta_ask, mid - delta_bid, mid + delta_ask
    require_finite(spread=spread, bid=bid, ask=ask)
    return HoStollQuotes(delta_bid, delta_ask, spread, bid, ask)
