"""The exact quotes of Gueant, Lehalle and Fernandez-Tapia with a bound on inventory, finite horizon or stationary.

Sources: GLFT, "Dealing with the inventory risk" (Math. Finan. Econ. 7, 2013), Prop. 1-2 and Thm 1-2; execution risk
apart as in Gueant, "Optimal market making" (arXiv 1605.01862); MODELS 2.1. Solve once for a set of parameters, then
look up depths, which is O(1). Units are the caller's, inventory counts in trade sizes. A fee f a fill is exact as
`f + depth` of the table solved with `glft.fee_adjusted_A(A, k, f)`. Numbers outside the domain raise DomainError.
"""

import math

import msgspec

from mm_daemon.engine.domain_checks import require_finite, require_not_negative, require_positive
from mm_daemon.engine.models.depth_table import DepthTable, depth_table, interpolate, whole_bound
from mm_daemon.engine.models.exponential_fills import log_risk_factor, premium
from mm_daemon.engine.models.solving import Work, at_once
from mm_daemon.engine.models.tridiagonal import Generator, evolve, find_leading


class GlftSolution(msgspec.Struct, frozen=True):
    """Depths over inventory, and what the optimal quotes are worth to a CARA investor.

    `certainty_equivalents`: for a start at q = -Q..Q, money worth as much as quoting until the horizon, beyond the
    position at today's mid; None where there is no horizon. `ce_rate`: the same per second, once the horizon is far.
    """

    table: DepthTable
    certainty_equivalents: tuple[float, ...] | None
    ce_rate: float


class GlftExactQuotes(msgspec.Struct, frozen=True, gc=False):
    """Depths at one inventory (None: no quote on that side) and what starting from it is worth, as in GlftSolution."""

    delta_bid: float | None
    delta_ask: float | None
    certainty_equivalent: float | None
    ce_rate: float


def solve(
    A: float,
    k: float,
    gamma: float,
    sigma: float,
    Q: int,
    T: float | None = None,
    mu: float = 0.0,
    xi: float | None = None,
) -> GlftSolution:
    """Depths for inventories -Q..Q (MODELS 2.1).

    A: fills per second and side at distance zero; k: decay, 1/price; gamma: risk aversion, 1/(price unit); sigma: price
    per square root of a second; Q: bound in trade sizes; T: seconds left, None for the stationary quotes; mu: drift,
    price per second; xi: aversion to execution risk alone, gamma unless given.
    """
    stationary = at_once(find_stationary(A, k, gamma, sigma, Q, mu, xi))
    if T is None:
        return stationary
    generator, execution = _problem(A, k, gamma, sigma, Q, mu, gamma if xi is None else xi)
    ce_rate = stationary.ce_rate
    require_not_negative(T=T)
    require_finite(certainty_equivalent=ce_rate * T)
    log_values = evolve(generator, [0.0] * len(generator.diagonal), T)[-1].tolist()
    worth = tuple(value / k + ce_rate * T for value in log_values)
    return GlftSolution(depth_table(log_values, k, execution, execution), worth, ce_rate)


def find_stationary(
    A: float, k: float, gamma: float, sigma: float, Q: int, mu: float = 0.0, xi: float | None = None
) -> Work[GlftSolution]:
    """As `solve` without T, in slices."""
    generator, execution = _problem(A, k, gamma, sigma, Q, mu, gamma if xi is None else xi)
    stationary = yield from find_leading(generator)
    ce_rate = stationary.rate / k
    require_finite(ce_rate=ce_rate)
    return GlftSolution(depth_table(stationary.log_vector, k, execution, execution), None, ce_rate)


def _problem(A: float, k: float, gamma: float, sigma: float, Q: int, mu: float, xi: float) -> tuple[Generator, float]:
    """-M of the paper and the premium of one fill; `v = exp(-M T) 1`, M with a_q on and -eta beside the diagonal."""
    require_positive(A=A, k=k)
    require_not_negative(gamma=gamma, sigma=sigma, xi=xi)
    require_finite(mu=mu)
    bound = whole_bound(Q)
    execution = premium(xi, k)
    require_finite(premium=execution)
    eta = A * math.exp(-log_risk_factor(xi / k))
    risk = 0.5 * k * gamma * sigma * sigma
    diagonal = tuple(k * mu * q - risk * q * q for q in range(-bound, bound + 1))
    return Generator(eta, diagonal, eta), execution


def quotes(
    q: float,
    A: float,
    k: float,
    gamma: float,
    sigma: float,
    Q: int,
    T: float | None = None,
    mu: float = 0.0,
    xi: float | None = None,
) -> GlftExactQuotes:
    """Depths at one inventory; to quote again and again, keep what `solve` gives. Parameters as there; q: inventory in
    trade sizes, fractions allowed.
    """
    solution = solve(A, k, gamma, sigma, Q, T, mu, xi)
    depths = solution.table.at(q)
    worth = solution.certainty_equivalents
    return GlftExactQuotes(
        depths.delta_bid,
        depths.delta_ask,
        None if worth is None else interpolate(worth, q + Q),
        solution.ce_rate,
    )
