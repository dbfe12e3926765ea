"""What can be said about the quotes of one market: the answer of `mm-daemon explain`, for people and for programs.

Filled by `explaining.py` from the quote engine itself, told in words by `text.py`. Prices and sizes that a venue would
see are exact decimal texts, what a model computes is a float. Basis points are of the mid.
"""

from typing import Literal

import msgspec

from mm_daemon.domain.decisions import Doubt, Reason
from mm_daemon.engine.parameters import FairPrice, VolatilityEstimator

Origin = Literal["configured", "solved", "measured", "calibration_file"]
SigmaOrigin = Literal["given", "prior", "calibration_file", "estimate", "floor"]
GuardName = Literal["inventory", "stop_loss", "position_age", "day_loss", "volatility", "hours", "toxic_flow"]
PartName = Literal[
    "reference",
    "momentum",
    "flow",
    "funding",
    "max_shift",
    "unequal_flow",
    "inventory",
    "intensity",
    "risk",
    "fees",
    "adverse",
    "impact",
    "max_skew",
    "widening",
    "toxic",
    "low_confidence",
    "spread_limits",
    "near_limit",
    "least_edge",
]


class Part(msgspec.Struct, frozen=True):
    """A reason for where a quote is, as what it adds to the quote's price: upwards positive, on either side."""

    name: PartName
    bps: float
    ticks: float


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What the quotes are made for. Prices and sizes are None where that side of the book is empty."""

    source: str
    """Where it comes from, in words."""
    now_ns: int
    bid: str | None
    bid_size: str | None
    ask: str | None
    ask_size: str | None
    position: str
    min_position: str
    max_position: str
    orders_held: float
    """Position off its target in order sizes, negative when short: the models' q."""
    order_size: str
    """Of the inner quotes, before what a limit or a skew takes off."""
    sized_by: str | None
    """What made it so large, in words; None: it is configured as it is."""


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """What watches over position or market: what it sees and from where on it acts, in words; whether it does."""

    name: GuardName
    acts: bool
    words: str


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Prices. `fair` is what the quotes are built around, `uses` what is asked for; `reservation` is the price in their
    middle before any side is held at its least edge: shifted, and against the inventory.
    """

    mid: float
    microprice: float
    fair: float
    uses: FairPrice
    reservation: float
    unadjusted: str | None = None
    """Why the microprice stands in for the adjusted one; None: it does not."""


class Volatility(msgspec.Struct, frozen=True, kw_only=True):
    """Of the mid, in bps per square root of a second; `annual` and `prior_annual` as a fraction a year.

    `floor`: the estimate is below half a tick in a half-life, and that is used.
    """

    sigma_bps: float
    annual: float
    origin: SigmaOrigin
    estimate_bps: float | None
    prior_annual: float
    half_life_s: float
    estimator: VolatilityEstimator
    confidence: float
    """In the estimate, 0 to 1."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The latest look at the market's takers; `age_s` is that of the last good fit, None: there was none."""

    n_eff: float
    r2: float
    confidence: float
    refused: int
    age_s: float | None


class WarmStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The calibration file that a market begins with, and how old what it says is; `confidence` in its A and k."""

    file: str
    age_s: float
    volatility: float
    intensity: float
    k: float
    confidence: float


class FillIntensity(msgspec.Struct, frozen=True, kw_only=True):
    """Takers' orders a second at distance 0 that lift our ask (`A_buy`), hit our bid (`A_sell`); decay `k`, 1/bps."""

    A_buy: float
    A_sell: float
    A_origin: Origin
    k: float
    k_origin: Origin
    measurement: Measurement | None
    """None: nothing is measured."""


class RiskAversion(msgspec.Struct, frozen=True, kw_only=True):
    """`gamma`, 1/(bps order), is `base` times `regime_multiple`."""

    gamma: float
    base: float
    origin: Origin
    regime_multiple: float


class HalfSpread(msgspec.Struct, frozen=True, kw_only=True):
    """Half of the spread before any side is held at its least edge, bps: all other fields add up to `total_bps`.

    intensity: what a model without inventory risk and costs asks for a fill; risk: for holding what was filled;
    fees (negative: a rebate) and adverse (expected move against us after a fill): as far as the model passes them on;
    inventory: what some models add for what is held already; max_skew: what `max_skew_bps` takes off with the skew
    above it; widening: in a wild market; impact: what Kyle's lambda adds to the adverse move; toxic: for VPIN;
    low_confidence: because of `doubts`; spread_limits: by `min_spread_bps` and `max_spread_bps`.
    """

    intensity_bps: float
    risk_bps: float
    fees_bps: float
    adverse_bps: float
    impact_bps: float
    inventory_bps: float
    max_skew_bps: float
    widening_bps: float
    toxic_bps: float
    low_confidence_bps: float
    spread_limits_bps: float
    total_bps: float
    widening: float
    """The half-spread times this, in a wild market; the next two likewise."""
    toxic_widening: float
    confidence_widening: float
    vpin: float | None
    """None: not known, or not asked for."""
    doubts: tuple[Doubt, ...]
    doubt_words: tuple[str, ...]
    """The same for people."""


class Skew(msgspec.Struct, frozen=True, kw_only=True):
    """How far inventory shifts both quotes, bps, against it. At a limit None where nothing would be priced there."""

    per_order_bps: float
    model_per_order_bps: float
    """As the model has it, before `max_skew_bps`."""
    at_max_position_bps: float | None
    at_min_position_bps: float | None
    horizon_s: float | None
    """How long a unit of inventory is held, where the model has such a horizon."""
    left_s: float | None = None
    """Of the session or of `tau`, at whose end the model prices; None: its quotes have no end."""


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """The least half-spread that pays for maker fee (negative: a rebate) and adverse move of a fill."""

    half_spread_bps: float
    half_spread: float
    half_spread_ticks: float
    fee_bps: float
    adverse_bps: float
    impact_bps: float


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What one more fill does to both quotes, upwards positive: in ticks of the quotes, in bps before rounding.

    All None where nothing would be quoted any more; `reasons`, of bid and of ask, say why a side would not be.
    """

    position: str
    bid_ticks: int | None
    ask_ticks: int | None
    bid_bps: float | None
    ask_bps: float | None
    bid_reasons: tuple[Reason, ...]
    ask_reasons: tuple[Reason, ...]


class LevelBehind(msgspec.Struct, frozen=True, kw_only=True):
    """A further level of a ladder: fields as in `SideExplanation`. It is quoted unless there are reasons not to."""

    price: str
    ticks: int
    size: str
    from_mid_bps: float
    edge_bps: float
    reasons: tuple[Reason, ...]
    words: tuple[str, ...]


class SideExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One quote. `mid_ticks` plus the ticks of all `parts` is `unrounded_ticks`; that plus `rounding_ticks` plus
    `post_only_ticks` is `ticks`.
    """

    side: Literal["bid", "ask"]
    price: str
    ticks: int
    size: str
    mid_ticks: float
    parts: tuple[Part, ...]
    unrounded_ticks: float
    rounding_ticks: float
    """Onto the grid: a bid down, an ask up."""
    post_only_ticks: float
    """Off the opposite best price, and an ask off our own bid."""
    from_mid_bps: float
    """Of the quote, positive on its own side of the mid; likewise the next two."""
    from_mid_ticks: float
    behind_best_ticks: int
    """Behind the best price of its side; negative: better than that."""
    quoted: bool
    reasons: tuple[Reason, ...]
    """Why it is not."""
    words: tuple[str, ...]
    """The same for people."""
    edge_bps: float
    """What a fill earns at the fair price, after fee and expected adverse move."""
    edge_money: float | None
    """That for a fill of the whole size, in `currency`; None for inverse contracts."""
    tolerance_ticks: int
    """How far a working quote may be too passive before it has to move."""
    tolerance_bps: float
    behind: tuple[LevelBehind, ...]
    """The other levels, nearest first."""
    after_fill: Move | None
    """None for a side without size."""


class Quotes(msgspec.Struct, frozen=True, kw_only=True):
    """Both quotes, and what they are made of."""

    reference: Reference
    volatility: Volatility
    intensity: FillIntensity
    risk_aversion: RiskAversion
    half_spread: HalfSpread
    skew: Skew
    break_even: BreakEven
    bid: SideExplanation
    ask: SideExplanation
    warm_start: WarmStarted | None = None


class MarketExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One market. `quotes` is None where nothing can be priced, and `reasons` say why."""

    venue: str
    symbol: str
    base: str
    currency: str
    """What it is priced in."""
    tick: str
    model: str
    situation: Situation
    reasons: tuple[Reason, ...]
    words: tuple[str, ...]
    """Reasons for people."""
    notes: tuple[str, ...]
    """What is to be known about these numbers."""
    guards: tuple[Guard, ...]
    quotes: Quotes | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    config: str
    markets: tuple[MarketExplanation, ...]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)
