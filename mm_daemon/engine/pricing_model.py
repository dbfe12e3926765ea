"""What a pricing model is to the quote engine, the shape that most of them have, and how their answers are read.

A model answers a set of inputs with a curve: how far from the fair price to quote each side at any inventory. The
engine keeps the curve while the inputs stay, so that a quote costs a look-up. Everything is in bps of the mid, order
sizes and seconds (MODELS 0.2). Ours are in `engine/models/catalogue.py`; others come by the entry-point group
`mm_daemon.models`: a callable that takes `ModelSettings` and gives a `PricingModel`.
"""

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import msgspec

from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.models.depth_table import Depths
from mm_daemon.engine.parameters import QuoteParameters

_INF = math.inf


class ModelSettings(msgspec.Struct, frozen=True, gc=False):
    """What a model is made from, once. `max_orders`: the larger position limit in order sizes, at least 1."""

    quoting: QuoteParameters
    max_orders: int


class ModelInputs(msgspec.Struct, frozen=True, gc=False):
    """What a model may price by.

    sigma_bps: volatility, bps per square root of a second; A_buy, A_sell: takers' orders a second at distance zero that
    lift our ask, that hit our bid; k: decay with distance, 1/bps; gamma: risk aversion, 1/(bps order); cost_bps: what a
    fill costs, fee (negative: a rebate) and expected adverse move together, which each quote has to earn;
    session_left_s: for models with an end, None for those without.
    """

    sigma_bps: float
    A_buy: float
    A_sell: float
    k: float
    gamma: float
    cost_bps: float
    session_left_s: float | None = None

    @property
    def A(self) -> float:
        """Of one side, on average."""
        return 0.5 * (self.A_buy + self.A_sell)


class Curve(Protocol):
    """Depths at every inventory, and the figures by which people know a model.

    `half_bps`: half of the spread when flat; `skew_bps`: how far one order held shifts both quotes, near flat;
    `risk_bps`: the part of `half_bps` that volatility causes; `tau_s`: how long a unit of inventory is held, None where
    the model has no such horizon.
    """

    @property
    def half_bps(self) -> float: ...
    @property
    def skew_bps(self) -> float: ...
    @property
    def risk_bps(self) -> float: ...
    @property
    def tau_s(self) -> float | None: ...

    def at(self, q: float) -> Depths:
        """Depths in bps at `q` orders held (negative: short); None for a side without a quote."""
        ...


class PricingModel(Protocol):
    def curve(self, inputs: ModelInputs) -> Curve:
        """Raises DomainError when these inputs have no quotes."""
        ...


@runtime_checkable
class Watcher(Protocol):
    """What a model may be besides: one with a signal of its own. It is told what happens in its market, and asked for a
    curve at each pricing; how far its curve stands off the fair price when flat is held within `max_shift_bps`. What it
    has learned is its own: it begins anew with each life and each change of parameters.
    """

    def on_book(self, ts_ns: int, bid_ticks: int, bid_lots: int, ask_ticks: int, ask_lots: int) -> None:
        """The best prices of a trusted book after any change of it; lots at a best price may be zero."""
        ...

    def on_trade(self, ts_ns: int, buy: bool, ticks: int, lots: int) -> None:
        """A print; `buy` when its aggressor bought."""
        ...


@runtime_checkable
class Solving(Protocol):
    """What a model may be besides: one that is solved in slices, and answers by the solution before until then."""

    @property
    def unfinished(self) -> bool:
        """Whether it is to be asked again although its inputs stay."""
        ...


ModelFactory = Callable[[ModelSettings], PricingModel]


class LinearCurve(msgspec.Struct, frozen=True, gc=False):
    """Quotes that move in proportion to inventory, without a bound. `up_bps`: by how much both of them move up."""

    half_bps: float
    skew_bps: float
    risk_bps: float
    tau_s: float | None
    up_bps: float = 0.0

    def at(self, q: float) -> Depths:
        shift = q * self.skew_bps - self.up_bps
        return Depths(self.half_bps + shift, self.half_bps - shift)


def tilt_bps(inputs: ModelInputs, curve: Curve, most_bps: float, *, watches: bool = False) -> float:
    """How far the model's centre stands below the fair price with nothing held, within `most_bps`: only a market in
    which takers buy and sell at unequal rates tilts it, or what a model that `watches` makes of its market.
    """
    if inputs.A_buy == inputs.A_sell and not watches:
        return 0.0
    flat = curve.at(0.0)
    if flat.delta_bid is None or flat.delta_ask is None:
        return 0.0
    return max(-most_bps, min(most_bps, 0.5 * (flat.delta_bid - flat.delta_ask)))


def inventory_offsets(depths: Depths, half_bps: float, tilt_bps: float, most_bps: float) -> tuple[float, float]:
    """How far inventory moves bid and ask away from the fair price, bps, each within `most_bps`. A side on which the
    model does not quote mirrors the other one. Raises DomainError for depths that are not finite.
    """
    bid, ask = depths.delta_bid, depths.delta_ask
    bid_off = 0.0 if bid is None else bid - half_bps - tilt_bps
    ask_off = 0.0 if ask is None else ask - half_bps + tilt_bps
    if not (-_INF < bid_off < _INF and -_INF < ask_off < _INF):
        raise DomainError(f"depths {bid} and {ask} around a half-spread of {half_bps} are not finite")
    bid_off = most_bps if bid_off > most_bps else -most_bps if bid_off < -most_bps else bid_off
    ask_off = most_bps if ask_off > most_bps else -most_bps if ask_off < -most_bps else ask_off
    return -ask_off if bid is None else bid_off, -bid_off if ask is None else ask_off
