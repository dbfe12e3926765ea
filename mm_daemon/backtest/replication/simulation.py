"""Many market makers at once, in the market of the papers: a random walk, and fills with intensity `A e^{-k depth}`.

Policies are tables over inventory, so that one step of all paths is a few operations on arrays. Time runs in steps: at
each, with the state at its beginning, either side may fill once, at a price off the old mid; then the mid moves up or
down by `sigma sqrt(dt)`.
"""

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FillRule = Callable[[Floats], Floats]
"""The probability of a fill within a step from `intensity * dt`."""
_BATCH = 20_000
"""Paths simulated together: their state stays in the processor's cache."""


class Market(msgspec.Struct, frozen=True):
    """`sigma`: price per square root of a second; `A`: fills per second and side at depth 0; `k`: 1/price; `horizon` in
    seconds, cut into `steps`.
    """

    sigma: float
    A: float
    k: float
    horizon: float
    steps: int

    @property
    def dt(self) -> float:
        """Seconds a step."""
        return self.horizon / self.steps


class Policy(msgspec.Struct, frozen=True):
    """Depths over inventory -bound..bound, shape (steps, 2 bound + 1), or (1, ...) where time does not matter.

    A depth of infinity is no quote. The ends of the grid never quote away from it, whatever their depth: a policy
    without an inventory bound needs a grid whose ends its paths do not reach.
    """

    bids: Floats
    asks: Floats


class Outcome(msgspec.Struct, frozen=True):
    """One element a path. `profit`: cash and inventory at the last mid; `squared_inventory`: the integral of q^2 dt."""

    profit: Floats
    final_q: Floats
    squared_inventory: Floats


class Moments(msgspec.Struct, frozen=True):
    """Of a sample of independent paths."""

    mean: float
    std: float
    kurtosis: float

    def mean_se(self, paths: int) -> float:
        """Standard error of the mean of that many paths."""
        return self.std / math.sqrt(paths)

    def relative_std_se(self, paths: int) -> float:
        """Standard error of the standard deviation, as a part of it; the kurtosis says how uncertain it is."""
        return math.sqrt((self.kurtosis - 1.0) / (4.0 * paths))


def moments(sample: Floats) -> Moments:
    """Mean, standard deviation (n - 1) and kurtosis (3 for a normal sample; 0 where nothing varies)."""
    mean = float(sample.mean())
    deviations = sample - mean
    variance = float((deviations**2).mean())
    kurtosis = float((deviations**4).mean()) / variance**2 if variance > 0.0 else 0.0
    return Moments(mean, math.sqrt(variance * len(sample) / (len(sample) - 1)), kurtosis)


def first_order_fills(expected: Floats) -> Floats:
    """`min(1, intensity dt)`: what Avellaneda and Stoikov's simulation does."""
    return np.minimum(expected, 1.0)


def poisson_fills(expected: Floats) -> Floats:
    """`1 - e^{-intensity dt}`: whether a Poisson stream has an arrival within the step."""
    return -np.expm1(-expected)


def linear_policy(half_spreads: Sequence[float], skews: Sequence[float], bound: int) -> Policy:
    """Depths `half_spread +- skew q`, one of each for every step, or one for all."""
    flat = np.array(half_spreads)[:, None]
    shift = np.array(skews)[:, None] * np.arange(-bound, bound + 1)
    return Policy(flat + shift, flat - shift)


def simulate(policy: Policy, market: Market, fills: FillRule, *, paths: int, seed: int) -> Outcome:
    """`paths` market makers that start flat. Policies simulated with one seed meet the same market and the same luck.

    `fills` is one of the rules here. Both sides may fill in one step, independently.
    """
    rng = np.random.default_rng(seed)
    bid_fills, bid_gains = _fills_and_gains(policy.bids, market, fills, closed=-1)
    ask_fills, ask_gains = _fills_and_gains(policy.asks, market, fills, closed=0)
    parts = [
        _simulate_batch(rng, min(_BATCH, paths - start), market, bid_fills, bid_gains, ask_fills, ask_gains)
        for start in range(0, paths, _BATCH)
    ]
    profits, final_qs, squares = zip(*parts, strict=True)
    return Outcome(np.concatenate(profits), np.concatenate(final_qs), np.concatenate(squares))


def _fills_and_gains(
    depths: Floats, market: Market, fills: FillRule, *, closed: int
) -> tuple[NDArray[np.float32], Floats]:
    """Probability of a fill within a step and what it earns against the old mid; none where the grid is `closed`."""
    with np.errstate(over="ignore"):  # far from flat a depth can be so negative that a fill is certain
        probabilities = fills(market.A * np.exp(-market.k * depths) * market.dt)
    probabilities[:, closed] = 0.0
    return probabilities.astype(np.float32), np.where(np.isfinite(depths), depths, 0.0)


def _simulate_batch(
    rng: np.random.Generator,
    paths: int,
    market: Market,
    bid_fills: NDArray[np.float32],
    bid_gains: Floats,
    ask_fills: NDArray[np.float32],
    ask_gains: Floats,
) -> tuple[Floats, Floats, Floats]:
    flat = bid_fills.shape[1] // 2
    place = np.full(paths, flat)
    profit, squared = np.zeros(paths), np.zeros(paths)
    move = market.sigma * math.sqrt(market.dt)
    for step in range(market.steps):
        bid_row, ask_row = step % len(bid_fills), step % len(ask_fills)
        chance = rng.random((3, paths), dtype=np.float32)
        bought = chance[0] < bid_fills[bid_row].take(place)
        sold = chance[1] < ask_fills[ask_row].take(place)
        profit += bought * bid_gains[bid_row].take(place)
        profit += sold * ask_gains[ask_row].take(place)
        place += bought
        place -= sold
        held = (place - flat).astype(np.float64)
        profit += held * np.where(chance[2] < 0.5, -move, move)
        squared += held * held
    return profit, (place - flat).astype(np.float64), squared * market.dt
