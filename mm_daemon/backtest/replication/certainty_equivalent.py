"""Which quotes are worth most to a CARA investor, all in the same market (MODELS 8.4).

The market is that of Avellaneda and Stoikov's tables; fills are Poisson. What the best policy is worth in continuous
time is known: the exact solution of Gueant, Lehalle and Fernandez-Tapia says it. A step lets each side fill once, which
costs about half of `fill intensity * dt` of that.
"""

import math
from itertools import pairwise

import msgspec
import numpy as np

from mm_daemon.backtest.replication.as2008 import inventory_policy, remaining
from mm_daemon.backtest.replication.simulation import (
    Floats,
    Market,
    Policy,
    linear_policy,
    moments,
    poisson_fills,
    simulate,
)
from mm_daemon.engine.models import glft, glft_exact
from mm_daemon.engine.models.exponential_fills import premium

MARKET = Market(sigma=2.0, A=140.0, k=1.5, horizon=1.0, steps=2000)
GAMMA = 0.1
_BOUND = 100
"""Wider than any path goes: the symmetric quotes' inventory has a standard deviation of 10."""

_SECOND_ORDER = 1e-3
"""Part of the optimum that terms of second order in dt may be worth."""
_EXACT, _CLOSED_FORM = "GLFT, exact", "GLFT, closed form"


class PolicyWorth(msgspec.Struct, frozen=True):
    """`certainty_equivalent` is the sure money a CARA investor finds as good as the policy's profit.

    Quotes that let inventory run free owe it to their few worst paths, so that both it and its standard error differ
    much from sample to sample.
    """

    policy: str
    mean: float
    std: float
    certainty_equivalent: float
    se: float


class Step(msgspec.Struct, frozen=True):
    """By how much a policy of the ranking is worth more than the one before; the standard error is that of the
    difference, both having met the same market.
    """

    better: str
    worse: str
    difference: float
    se: float
    ok: bool


class Report(msgspec.Struct, frozen=True):
    """`optimum`: the best possible in continuous time; `optimum_in_steps`: what is left of it in steps of dt.

    `ok`: every step of the ranking is clear of chance by two standard errors, the closed form of GLFT differs from the
    exact solution by chance alone (four), and the exact solution reaches the optimum but for chance (four) and terms
    of second order in dt.
    """

    paths: int
    seed: int
    optimum: float
    optimum_in_steps: float
    policies: tuple[PolicyWorth, ...]
    steps: tuple[Step, ...]
    optimum_reached: bool
    ok: bool

    def to_json(self) -> bytes:
        """One JSON object."""
        return msgspec.json.encode(self)

    def to_text(self) -> str:
        """The ranking, and how clear it is."""
        lines = [
            f"CARA certainty equivalents, gamma {GAMMA:g}: {self.paths} paths, seed {self.seed}, dt {MARKET.dt:g} s",
            f"{'':<20}{'mean':>8}{'std':>8}{'certainty equivalent':>24}{'over the one above':>22}",
        ]
        gains = ["", *(f"{step.difference:+.3f} ± {step.se:.3f}{'' if step.ok else ' (!)'}" for step in self.steps)]
        for worth, gain in zip(self.policies, gains, strict=True):
            value = f"{worth.certainty_equivalent:.2f} ± {worth.se:.2f}"
            lines.append(f"{worth.policy:<20}{worth.mean:>8.2f}{worth.std:>8.2f}{value:>24}{gain:>22}")
        reached = "reached" if self.optimum_reached else "NOT reached"
        lines.append(
            f"optimum {self.optimum:.2f} in continuous time, {self.optimum_in_steps:.2f} in these steps: {reached}"
        )
        lines.append("the ranking holds" if self.ok else "the ranking does NOT hold")
        return "\n".join(lines)


def replicate(*, paths: int = 10_000, seed: int = 1) -> Report:
    """Five policies over the same `paths`."""
    policies = _policies()
    worths: dict[str, PolicyWorth] = {}
    influences: dict[str, Floats] = {}
    for name, quotes in policies.items():
        profit = simulate(quotes, MARKET, poisson_fills, paths=paths, seed=seed).profit
        sample = moments(profit)
        equivalent, influence = _certainty_equivalent(profit)
        worths[name] = PolicyWorth(name, sample.mean, sample.std, equivalent, moments(influence).mean_se(paths))
        influences[name] = influence

    def step(better: str, worse: str, *, equal: bool = False) -> Step:
        difference = worths[better].certainty_equivalent - worths[worse].certainty_equivalent
        se = moments(influences[better] - influences[worse]).mean_se(paths)
        return Step(better, worse, difference, se, abs(difference) <= 4.0 * se if equal else difference > 2.0 * se)

    steps = tuple(step(better, worse, equal=better == _CLOSED_FORM) for worse, better in pairwise(policies))
    optimum, in_steps = _optimum()
    exact = worths[_EXACT]
    reached = abs(exact.certainty_equivalent - in_steps) <= 4.0 * exact.se + _SECOND_ORDER * optimum
    ok = reached and all(step.ok for step in steps)
    return Report(paths, seed, optimum, in_steps, tuple(worths.values()), steps, reached, ok)


def _optimum() -> tuple[float, float]:
    """What the best policy is worth from a flat start in continuous time, and in steps that let each side fill once."""
    best = glft_exact.quotes(0.0, MARKET.A, MARKET.k, GAMMA, MARKET.sigma, _BOUND, MARKET.horizon)
    assert best.certainty_equivalent is not None  # there is a horizon
    assert best.delta_bid is not None  # and flat is no bound
    lost = 0.5 * MARKET.A * math.exp(-MARKET.k * best.delta_bid) * MARKET.dt
    return best.certainty_equivalent, best.certainty_equivalent * (1.0 - lost)


def _certainty_equivalent(profit: Floats) -> tuple[float, Floats]:
    """`-ln E[e^{-gamma W}]/gamma`, and what each path adds to it to first order, for standard errors."""
    worst = float(profit.min())
    disutility = np.exp(-GAMMA * (profit - worst))  # relative to the worst path, so that none overflows
    mean = float(disutility.mean())
    return worst - math.log(mean) / GAMMA, (1.0 - disutility / mean) / GAMMA


def _policies() -> dict[str, Policy]:
    """From the worst to the best."""
    k, sigma = MARKET.k, MARKET.sigma
    closed = glft.coefficients(MARKET.A, k, GAMMA, sigma)
    exact = glft_exact.solve(MARKET.A, k, GAMMA, sigma, _BOUND).table
    return {
        "symmetric": linear_policy([premium(GAMMA, k)], [0.0], _BOUND),
        "A-S, constant tau": inventory_policy(MARKET, GAMMA, [MARKET.horizon], _BOUND),
        "A-S, finite T": inventory_policy(MARKET, GAMMA, remaining(MARKET), _BOUND),
        _EXACT: Policy(np.array([[*exact.bids, math.inf]]), np.array([[math.inf, *exact.asks]])),
        _CLOSED_FORM: linear_policy([closed.half_spread], [closed.skew], _BOUND),
    }
