"""Our pricing models as the quote engine uses them: from inputs in bps and order sizes to a curve over inventory.

The mathematics stands in the modules beside this one. What a fill costs is inside each optimiser (MODELS 2.3): fully
passed on, and thinning the intensity, which makes a model lean more.
"""

import math
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from mm_daemon.domain.errors import CostTooHigh
from mm_daemon.engine.domain_checks import require_finite, require_positive
from mm_daemon.engine.models import avellaneda_stoikov, cartea_jaimungal, glft, glft_exact, ho_stoll
from mm_daemon.engine.models.approach import Approach
from mm_daemon.engine.models.depth_table import INVENTORY_BOUND_LIMIT, Depths
from mm_daemon.engine.models.exponential_fills import premium
from mm_daemon.engine.models.solving import Kept, Work
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.engine.pricing_model import (
    LinearCurve,
    ModelFactory,
    ModelInputs,
    ModelSettings,
    PricingModel,
)
from mm_daemon.engine.profiles import meant_bps
from mm_daemon.engine.units import annual_vol_to_bps

_ALONE = ho_stoll.Mode.MONOPOLY
_DAY_S = 86_400.0
_LEAST_SHARE = 1e-135
"""Of takers that a cost leaves: fewer are none, and the square of fewer is no number any more."""


def most_orders(quoting: QuoteParameters) -> int | None:
    """Up to how many orders held a model can be solved for while trading; None: it need not be solved, or its author
    knows. With an end in sight a hundred take some thirty slices, one a decision; without one a thousand take seven.
    """
    if quoting.model == "cartea_jaimungal" and quoting.tau != "auto":
        return 100
    return INVENTORY_BOUND_LIMIT if quoting.model in ("cartea_jaimungal", "glft_exact") else None


class Glft:
    """The closed form of Gueant, Lehalle and Fernandez-Tapia (MODELS 2.2): the default."""

    def __init__(self, settings: ModelSettings) -> None:
        pass

    def curve(self, inputs: ModelInputs) -> LinearCurve:
        found = _glft(inputs)
        risk = 0.5 * found.skew
        return LinearCurve(inputs.cost_bps + found.c1 + risk, found.skew, risk, found.tau_star)


class AvellanedaStoikov:
    """Finite horizon (MODELS 1.1): `tau` in seconds or what is left of a session; with `auto` it is GLFT (2.2)."""

    def __init__(self, settings: ModelSettings) -> None:
        self._tau = settings.quoting.tau

    def curve(self, inputs: ModelInputs) -> LinearCurve:
        found = _glft(inputs)
        skew, tau = found.skew, found.tau_star
        if self._tau != "auto":
            tau = inputs.session_left_s if isinstance(self._tau, str) else self._tau
            skew = avellaneda_stoikov.skew(inputs.gamma, inputs.sigma_bps, tau or 0.0)
        return LinearCurve(inputs.cost_bps + found.c1 + 0.5 * skew, skew, 0.5 * skew, tau)


class AvellanedaStoikovInfinite:
    """Discounted utility (MODELS 1.2), with the position limit as its bound and the paper's natural discount rate.

    With that rate volatility cancels out: for comparison. A cost is added; intensity does not appear in this model.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._bound = float(settings.max_orders)

    def curve(self, inputs: ModelInputs) -> "StationaryCurve":
        return StationaryCurve(inputs, self._bound, _glft(inputs).tau_star)


class StationaryCurve:
    """Beyond the bound, and on it, the side that would grow the position has no quote; the other one stays."""

    __slots__ = ("_bound", "_inputs", "half_bps", "risk_bps", "skew_bps", "tau_s")

    def __init__(self, inputs: ModelInputs, bound: float, tau_s: float | None) -> None:
        self._inputs, self._bound, self.tau_s = inputs, bound, tau_s
        flat, held = self.at(0.0), self.at(1.0)
        self.half_bps = flat.delta_ask or 0.0
        self.skew_bps = self.half_bps - (held.delta_ask or 0.0)
        self.risk_bps = self.half_bps - inputs.cost_bps - premium(inputs.gamma, inputs.k)

    def at(self, q: float) -> Depths:
        inputs, most = self._inputs, self._bound
        q = most if q > most else -most if q < -most else q
        found = avellaneda_stoikov.infinite(0.0, q, inputs.gamma, inputs.sigma_bps, inputs.k, most)
        bid, ask = found.bid, found.ask
        return Depths(None if bid is None else inputs.cost_bps - bid, None if ask is None else inputs.cost_bps + ask)


class AvellanedaStoikovSymmetric:
    """The paper's benchmark (MODELS 1.3): the average spread of the finite horizon, around the fair price whatever is
    held. Only position limits hold its inventory. With `tau: session` the average is over a session, with `auto` the
    horizon is GLFT's.
    """

    def __init__(self, settings: ModelSettings) -> None:
        quoting = settings.quoting
        self._horizon_s = quoting.session_s if quoting.tau == "session" else quoting.tau

    def curve(self, inputs: ModelInputs) -> LinearCurve:
        horizon_s = self._horizon_s if isinstance(self._horizon_s, float) else _glft(inputs).tau_star or 0.0
        found = avellaneda_stoikov.symmetric(0.0, inputs.gamma, inputs.sigma_bps, horizon_s, 0.0, inputs.k)
        half = 0.5 * found.spread
        return LinearCurve(inputs.cost_bps + half, 0.0, half - premium(inputs.gamma, inputs.k), horizon_s)


class HoStoll:
    """A dealer alone before linear demand (MODELS 4): that which touches the exponential one at the mid, so that nobody
    is left at a distance of `1/k`. Half of the reservation price's shift reaches the quotes.
    """

    def __init__(self, settings: ModelSettings) -> None:
        self._tau = settings.quoting.tau

    def curve(self, inputs: ModelInputs) -> LinearCurve:
        tau = self._tau if isinstance(self._tau, float) else inputs.session_left_s or _glft(inputs).tau_star
        demand = inputs.A, inputs.A * inputs.k
        flat, held = (
            ho_stoll.quotes(0.0, q, 1.0, inputs.gamma, inputs.sigma_bps, tau or 0.0, inputs.cost_bps, _ALONE, *demand)
            for q in (0.0, 1.0)
        )
        skew = held.delta_bid - flat.delta_bid
        return LinearCurve(flat.delta_bid, skew, 0.5 * skew, tau)


class Solution(Protocol):
    def at(self, q: float) -> Depths: ...


class TableCurve:
    """Depths solved for whole inventories and looked up between them; beyond the bound a side has no quote."""

    __slots__ = ("_cost", "half_bps", "risk_bps", "skew_bps", "table", "tau_s")

    def __init__(self, table: Solution, cost_bps: float, riskless_bps: float, tau_s: float | None) -> None:
        """`riskless_bps`: the half-spread of somebody who does not mind inventory."""
        self.table, self._cost = table, cost_bps
        flat, held = table.at(0.0), table.at(1.0)
        bid, ask = flat.delta_bid or 0.0, flat.delta_ask or 0.0
        self.half_bps = cost_bps + 0.5 * (bid + ask)
        self.skew_bps = ask - (held.delta_ask or 0.0)
        self.risk_bps = self.half_bps - cost_bps - riskless_bps
        self.tau_s = tau_s

    def at(self, q: float) -> Depths:
        depths, cost = self.table.at(q), self._cost
        bid, ask = depths.delta_bid, depths.delta_ask
        return Depths(None if bid is None else bid + cost, None if ask is None else ask + cost)


class Solved:
    """A model whose one table serves until an input has moved by two percent."""

    def __init__(self, find: Callable[[ModelInputs, int], Work[TableCurve]], max_orders: int) -> None:
        """`find`: of inputs and the bound on inventory, in order sizes."""
        self._kept = Kept(lambda inputs: find(inputs, max_orders))

    @property
    def unfinished(self) -> bool:
        return self._kept.unfinished

    def curve(self, inputs: ModelInputs) -> TableCurve:
        return self._kept.solution(inputs)


def glft_exact_model(settings: ModelSettings) -> PricingModel:
    """GLFT with the position limit as its bound, solved for each inventory (MODELS 2.1, stationary)."""
    return Solved(_find_glft, settings.max_orders)


def cartea_jaimungal_model(settings: ModelSettings) -> PricingModel:
    """Penalties on inventory and unequal flow (MODELS 3.1), with `phi = gamma sigma^2 / 2`: stationary, or with `tau`
    seconds or the rest of a session left, at whose end an inventory costs its `terminal_penalty`.
    """
    if settings.quoting.tau == "auto":
        return Solved(_find_cartea_jaimungal, settings.max_orders)
    return FiniteCarteaJaimungal(settings)


class Ending(msgspec.Struct, frozen=True):
    """A solution for all of the time to the end, and the inputs that it holds for."""

    inputs: ModelInputs
    approach: Approach
    tau_star: float | None


class FiniteCarteaJaimungal:
    """Solved for all of the time to the end, once that is near enough to be seen."""

    def __init__(self, settings: ModelSettings) -> None:
        quoting = settings.quoting
        self._tau = quoting.tau
        self._horizon_s = quoting.tau if isinstance(quoting.tau, float) else quoting.session_s
        self._alpha = quoting.terminal_penalty
        self._bound = settings.max_orders
        self._kept = Kept(self._find)
        self._left_s = 0.0
        self._ending: Ending | None = None
        self._curve: TableCurve | None = None

    @property
    def unfinished(self) -> bool:
        return self._kept.unfinished

    def curve(self, inputs: ModelInputs) -> TableCurve:
        left_s = self._tau if isinstance(self._tau, float) else inputs.session_left_s or 0.0
        passed, self._left_s = left_s != self._left_s, left_s
        ending = self._kept.solution(inputs)
        approach, known = ending.approach, ending.inputs
        if not approach.solved and left_s <= approach.until_s:
            self._kept.renew(inputs)
        curve = self._curve
        if curve is None or passed or ending is not self._ending:
            tau_s = left_s if ending.tau_star is None else min(ending.tau_star, left_s)
            table = approach.at(left_s)
            if curve is None or table is not curve.table or tau_s != curve.tau_s:
                self._curve = curve = TableCurve(table, known.cost_bps, 1.0 / known.k, tau_s)
            self._ending = ending
        return curve

    def _find(self, inputs: ModelInputs) -> Work[Ending]:
        flows, phi, tau_star = _thinned(inputs), _running_penalty(inputs), _glft(inputs).tau_star
        approach = yield from cartea_jaimungal.find_approach(
            inputs.k, *flows, phi, self._alpha, self._bound, self._horizon_s
        )
        if self._left_s <= approach.until_s:
            yield from approach.solve()
        return Ending(inputs, approach, tau_star)


def _find_glft(inputs: ModelInputs, bound: int) -> Work[TableCurve]:
    thinned = inputs.A * _share_left(inputs)
    solved = yield from glft_exact.find_stationary(thinned, inputs.k, inputs.gamma, inputs.sigma_bps, bound)
    closed = _glft(inputs)
    return TableCurve(solved.table, inputs.cost_bps, closed.c1, closed.tau_star)


def _find_cartea_jaimungal(inputs: ModelInputs, bound: int) -> Work[TableCurve]:
    solved = yield from cartea_jaimungal.find_stationary(
        inputs.k, *_thinned(inputs), _running_penalty(inputs), 0.0, bound
    )
    return TableCurve(solved.table, inputs.cost_bps, 1.0 / inputs.k, _glft(inputs).tau_star)


def _thinned(inputs: ModelInputs) -> tuple[float, float]:
    """Takers that lift asks and that hit bids, less those whom a fill's cost keeps away."""
    left = _share_left(inputs)
    return inputs.A_buy * left, inputs.A_sell * left


def _share_left(inputs: ModelInputs) -> float:
    """Of the takers, `e^(-k cost)`. Raises CostTooHigh where that is nobody."""
    share = glft.fee_adjusted_A(1.0, inputs.k, inputs.cost_bps)
    if inputs.cost_bps > 0.0 and share * min(inputs.A, 1.0) < _LEAST_SHARE:
        raise CostTooHigh(
            f"a fill costs {inputs.cost_bps:.4g} bps, and with k = {inputs.k:.4g} per bps no taker comes that far"
        )
    return share


def _running_penalty(inputs: ModelInputs) -> float:
    return 0.5 * inputs.gamma * inputs.sigma_bps * inputs.sigma_bps


class FixedSpread:
    """A constant half-spread, `half_spread_bps`, that leans by `skew_bps_at_max` at the position limit (MODELS 5.1):
    what is left when nothing can be calibrated. Without those keys: the spread that earns `1/k`, leaning by half of it.

    Its horizon is how long these quotes hold a fill at the intensity and k given, a day at most: takers come at
    `A e^{-k half}` a side, and a position q makes them come unequally by `2 k skew q` of that, so that it decays with
    `1 / (2 A k skew e^{-k half})`, as tau* is derived for GLFT (MODELS 2.2).
    """

    def __init__(self, settings: ModelSettings) -> None:
        quoting = settings.quoting
        self._half, self._at_max = meant_bps(quoting, annual_vol_to_bps(quoting.volatility))
        self._max_orders = settings.max_orders

    def curve(self, inputs: ModelInputs) -> "ClippedCurve":
        require_positive(k=inputs.k)
        half = 1.0 / inputs.k if self._half is None else self._half
        require_finite(half=half, cost_bps=inputs.cost_bps)
        at_max = 0.5 * half if self._at_max is None else self._at_max
        half, skew = inputs.cost_bps + half, at_max / self._max_orders
        decay = 2.0 * inputs.A * inputs.k * skew * math.exp(min(-inputs.k * half, 0.0))
        tau_s = 1.0 / decay if decay > 1.0 / _DAY_S else _DAY_S
        return ClippedCurve(half, skew, self._max_orders, tau_s)


class ClippedCurve:
    """A shift in proportion to inventory that grows no further beyond the limit."""

    __slots__ = ("_most", "half_bps", "skew_bps", "tau_s")

    risk_bps = 0.0

    def __init__(self, half_bps: float, skew_bps: float, most: float, tau_s: float | None) -> None:
        self.half_bps, self.skew_bps, self._most, self.tau_s = half_bps, skew_bps, most, tau_s

    def at(self, q: float) -> Depths:
        shift = self.skew_bps * min(max(q, -self._most), self._most)
        return Depths(self.half_bps + shift, self.half_bps - shift)


MODELS: Mapping[str, ModelFactory] = {
    "glft": Glft,
    "glft_exact": glft_exact_model,
    "avellaneda_stoikov": AvellanedaStoikov,
    "avellaneda_stoikov_infinite": AvellanedaStoikovInfinite,
    "avellaneda_stoikov_symmetric": AvellanedaStoikovSymmetric,
    "cartea_jaimungal": cartea_jaimungal_model,
    "ho_stoll": HoStoll,
    "fixed_spread": FixedSpread,
}


def _glft(inputs: ModelInputs) -> glft.GlftCoefficients:
    return glft.coefficients(inputs.A * _share_left(inputs), inputs.k, inputs.gamma, inputs.sigma_bps)
