"""Cartea and Jaimungal's market maker: penalties on inventory instead of utility, asymmetric flow, adverse selection.

Source: Cartea, Jaimungal and Penalva, "Algorithmic and High-Frequency Trading" (2015), sec. 10.2 and 10.4, as MODELS
3.1. The market maker maximises `E[X_T + Q_T (S_T - alpha Q_T) - phi int Q^2 dt]`. With phi = gamma sigma^2 / 2 and no
adverse selection it is GLFT with xi = 0. Fill probability is `e^{-kappa delta}`, which a negative depth takes beyond
one: such depths are returned as the formula has them, and the pipeline's floors decide. Units are the caller's,
inventory counts in trade sizes. Numbers outside the domain raise DomainError.
"""

import math

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive
from mm_daemon.engine.models.approach import Approach
from mm_daemon.engine.models.depth_table import DepthTable, depth_table, interpolate, whole_bound
from mm_daemon.engine.models.solving import Work, at_once
from mm_daemon.engine.models.tridiagonal import Generator, evolve, find_leading, leading


class CjSolution(msgspec.Struct, frozen=True):
    """Depths over inventory, and what the optimal quotes earn.

    `h`: value beyond cash and inventory at the mid for q = -Q..Q, in price; None where there is no horizon. `h_rate`:
    long-run profit per second net of the running penalty.
    """

    table: DepthTable
    h: tuple[float, ...] | None
    h_rate: float


class CjQuotes(msgspec.Struct, frozen=True, gc=False):
    """Depths at one inventory (None: no quote on that side); `h` at that inventory and `h_rate` as in CjSolution."""

    delta_bid: float | None
    delta_ask: float | None
    h: float | None
    h_rate: float


def solve(
    kappa: float,
    lam_buy: float,
    lam_sell: float,
    phi: float,
    alpha: float,
    Q: int,
    T: float | None = None,
    eps_buy: float = 0.0,
    eps_sell: float = 0.0,
) -> CjSolution:
    """Depths for inventories -Q..Q (MODELS 3.1).

    kappa: decay of the fill probability, 1/price; lam_buy: market orders per second that may lift our ask; lam_sell:
    that may hit our bid; phi: running penalty, price/(unit^2 s); alpha: terminal penalty, price/unit^2; Q: bound in
    trade sizes; T: seconds left, None for the stationary quotes, which do not depend on alpha; eps_buy, eps_sell: how
    far each buy (sell) order moves the mid up (down), whether it fills us or not, in price.
    """
    if T is not None:
        return schedule(kappa, lam_buy, lam_sell, phi, alpha, Q, T, 1, eps_buy, eps_sell)[-1]
    return at_once(find_stationary(kappa, lam_buy, lam_sell, phi, alpha, Q, eps_buy, eps_sell))


def find_stationary(
    kappa: float,
    lam_buy: float,
    lam_sell: float,
    phi: float,
    alpha: float,
    Q: int,
    eps_buy: float = 0.0,
    eps_sell: float = 0.0,
) -> Work[CjSolution]:
    """As `solve` without T, in slices."""
    generator = _generator(kappa, lam_buy, lam_sell, phi, alpha, Q, eps_buy, eps_sell)
    stationary = yield from find_leading(generator)
    h_rate = stationary.rate / kappa
    require_finite(h_rate=h_rate)
    table = depth_table(stationary.log_vector, kappa, *_premiums(kappa, eps_buy, eps_sell))
    return CjSolution(table, None, h_rate)


def schedule(
    kappa: float,
    lam_buy: float,
    lam_sell: float,
    phi: float,
    alpha: float,
    Q: int,
    T: float,
    steps: int,
    eps_buy: float = 0.0,
    eps_sell: float = 0.0,
) -> tuple[CjSolution, ...]:
    """Solutions with 0, T/steps, 2 T/steps, ..., T seconds left; parameters as for `solve`. One solution costs about as
    much as all of them.
    """
    generator = _generator(kappa, lam_buy, lam_sell, phi, alpha, Q, eps_buy, eps_sell)
    require_not_negative(T=T)
    if steps < 1:
        raise DomainError(f"steps = {steps} must be at least 1")
    h_rate = leading(generator).rate / kappa
    require_finite(h=h_rate * T)
    premiums = _premiums(kappa, eps_buy, eps_sell)
    log_terminal = [-alpha * kappa * (i - Q) * (i - Q) for i in range(len(generator.diagonal))]
    return tuple(
        CjSolution(
            depth_table(log_values, kappa, *premiums),
            tuple(value / kappa + h_rate * (T * step / steps) for value in log_values),
            h_rate,
        )
        for step, log_values in enumerate(evolve(generator, log_terminal, T, steps).tolist())
    )


def find_approach(
    kappa: float,
    lam_buy: float,
    lam_sell: float,
    phi: float,
    alpha: float,
    Q: int,
    horizon_s: float,
    eps_buy: float = 0.0,
    eps_sell: float = 0.0,
) -> Work[Approach]:
    """Depths with any time left up to `horizon_s`: what `schedule` has, to a thousandth of 1/kappa, in slices and from
    plain floats. Parameters as for `solve`.
    """
    generator = _generator(kappa, lam_buy, lam_sell, phi, alpha, Q, eps_buy, eps_sell)
    end = [-alpha * kappa * (i - Q) * (i - Q) for i in range(len(generator.diagonal))]
    final = yield from find_leading(generator)
    return Approach(generator, final, end, kappa, *_premiums(kappa, eps_buy, eps_sell), horizon_s)


def quotes(
    q: float,
    kappa: float,
    lam_buy: float,
    lam_sell: float,
    phi: float,
    alpha: float,
    Q: int,
    T: float | None = None,
    eps_buy: float = 0.0,
    eps_sell: float = 0.0,
) -> CjQuotes:
    """Depths at one inventory; to quote again and again, keep what `solve` gives. Parameters as there; q: inventory in
    trade sizes, fractions allowed.
    """
    solution = solve(kappa, lam_buy, lam_sell, phi, alpha, Q, T, eps_buy, eps_sell)
    depths = solution.table.at(q)
    h = None if solution.h is None else interpolate(solution.h, q + Q)
    return CjQuotes(depths.delta_bid, depths.delta_ask, h, solution.h_rate)


def _generator(
    kappa: float,
    lam_buy: float,
    lam_sell: float,
    phi: float,
    alpha: float,
    Q: int,
    eps_buy: float,
    eps_sell: float,
) -> Generator:
    """M of MODELS 3.1: `w' = M w` backwards in time, `h = ln(w)/kappa`."""
    require_positive(kappa=kappa, lam_buy=lam_buy, lam_sell=lam_sell)
    require_not_negative(phi=phi, alpha=alpha, eps_buy=eps_buy, eps_sell=eps_sell)
    bound = whole_bound(Q)
    require_finite(terminal_penalty=alpha * kappa * Q * Q)
    drift = lam_buy * eps_buy - lam_sell * eps_sell
    return Generator(
        lam_buy * math.exp(-1.0 - kappa * eps_buy),
        tuple(kappa * (drift - phi * q) * q for q in range(-bound, bound + 1)),
        lam_sell * math.exp(-1.0 - kappa * eps_sell),
    )


def _premiums(kappa: float, eps_buy: float, eps_sell: float) -> tuple[float, float]:
    """What ask and bid charge for one fill: the monopolist's 1/kappa, and the move that comes with the fill."""
    return 1.0 / kappa + eps_buy, 1.0 / kappa + eps_sell
