"""What the estimators of one market have learned, as a checkpoint keeps it (see `domain/checkpoint.py`).

Each struct is the state of the class its docstring names, under the names of its fields. Times are nanoseconds of the
core's clock, prices ticks, sizes lots; sums are decayed to the time of the last event unless said otherwise.
"""

import msgspec

from mm_daemon.domain.money import MoneyPair


class _State(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all states: only the encoding is shared."""


class VolatilityState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/volatility.py`: decayed sums, and where its sampling clock stands."""

    squares: float
    time_s: float
    observed_s: float
    events: int
    sampled: float
    sampled_ns: int
    price: float
    last_ns: int
    due_ns: int
    robust: tuple[float, ...] = ()
    """Of `engine/signals/robust_volatility.py`, by the estimator of that name."""
    robust_kind: str = ""


class GuardState(_State, frozen=True, array_like=True, gc=False):
    """`engine/position_guard.py`. `since_ns`: when the position was opened; `day`: days since 1970 (UTC), -1: none."""

    since_ns: int | None
    stop_tripped: bool
    loss_stopped: bool
    day: int
    day_began: MoneyPair


class IntensityState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/fill_intensity.py`. Sums grow from `origin_ns` on; `start` and `lost` are weights of time, all of
    them by `half_life_s` and of orders from `d0_bps` on (None: as whoever reads it). `stood` and `stood_bps`: for how
    long entries of each size stood up to the weight `counted`, and times their size; empty in states of before. Of
    half the touch: as it was then, its sum over the weights, and its mean.
    """

    origin_ns: int
    start: float
    seen_ns: int
    due_ns: int
    lost: float
    buys: float
    sells: float
    squares: float
    excess: float
    histogram: tuple[float, ...]
    fair: float
    A: float | None
    A_buy: float | None
    A_sell: float | None
    k: float | None
    n_eff: float
    r2: float
    confidence: float
    good_ns: int | None
    half_life_s: float | None = None
    d0_bps: float | None = None
    counted: float = 1.0
    counted_bps: float = 0.0
    stood: tuple[float, ...] = ()
    stood_bps: tuple[float, ...] = ()
    touch_ticks: float = 0.0
    touch_sum: float = 0.0
    usual_ticks: float = 0.0


class AdjustedMicropriceState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/adjusted_microprice.py`. State i is bucket * spreads + spread - 1; `stay` and `to` are square
    matrices row by row, `jumps` half-ticks by the state they began in; `due_moves` is when the next table is solved.
    """

    buckets: int
    spreads: int
    stay: tuple[float, ...]
    to: tuple[float, ...]
    jumps: tuple[float, ...]
    moves: int
    table: tuple[float, ...]
    due_moves: int = 200


class OrderFlowState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/flow.py`."""

    flow: float
    depth: float
    weight: float
    events: int
    last_ns: int
    bid_ticks: int
    bid_lots: float
    ask_ticks: int
    ask_lots: float
    value: float | None


class RegressionState(_State, frozen=True, array_like=True, gc=False):
    """The sums of `DecayedRegression` in `engine/signals/kyle.py`."""

    s: float
    ss: float
    sx: float
    sy: float
    sxx: float
    sxy: float
    syy: float


class KyleState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/kyle.py`, with the bin at hand."""

    sums: RegressionState
    bins: int
    volume: float
    half_ticks: int
    opened_half_ticks: int
    last_ns: int
    due_ns: int
    value: float | None


class MomentumState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/momentum.py`."""

    ema_fast: float
    ema_slow: float
    price: float
    moved_ns: int
    last_ns: int
    observed_s: float
    changes: int
    trend_bps: float | None


class VpinState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/toxicity.py`."""

    filled: float
    imbalance: float
    ring: tuple[float, ...]
    full: int


class SizeOutlierState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/trade_size.py`."""

    weight: float
    mean: float
    scatter: float
    seen: int
    last_ns: int
    z: float
    flagged: bool


class SignedVolumeState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/trade_size.py`."""

    value: float
    last_ns: int


class RegimeState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/regime.py`."""

    fast: VolatilityState
    slow: VolatilityState


class DepthCapState(_State, frozen=True, array_like=True, gc=False):
    """`engine/sizing.py`: when the displayed depth was last read, the largest bid and ask it allows, and what was
    displayed on both sides at the last looks, in lots.
    """

    looked_ns: int
    lots: tuple[int, int] | None
    looks: tuple[tuple[int, int], ...]


class PulledSideState(_State, frozen=True, array_like=True, gc=False):
    """Until when one of our sides is pulled, and for how long it was."""

    until_ns: int
    length_ns: int


class PullState(_State, frozen=True, array_like=True, gc=False):
    """`engine/overlays/adverse_selection.py`."""

    bid: PulledSideState
    ask: PulledSideState


class OverlaysState(_State, frozen=True, array_like=True, gc=False):
    """`engine/conditions.py`: the sides that are pulled, where any may be, and whether it is too volatile to quote."""

    pull: PullState | None
    volatility_stopped: bool = False


class SignalsState(_State, frozen=True, array_like=True, gc=False):
    """`engine/signals/market_signals.py`: all of the above that a market estimates."""

    regime: RegimeState
    momentum: MomentumState
    order_flow: OrderFlowState
    microprice: AdjustedMicropriceState
    intensity: IntensityState
    kyle: KyleState
    size_outlier: SizeOutlierState
    signed_volume: SignedVolumeState
    vpin: VpinState
