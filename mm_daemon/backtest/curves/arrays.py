"""The arrays that a run becomes."""

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_daemon.backtest.calibration.intensity import IntensityFit
from mm_daemon.backtest.curves.order_lives import OrderSamples
from mm_daemon.backtest.curves.quoting_time import Standing
from mm_daemon.backtest.curves.samples import Floats
from mm_daemon.backtest.relived import Relived
from mm_daemon.backtest.tally import Tally
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.engine.markouts import MarkoutFigures


class FillCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Our fills, oldest first; of more than the limit every `stride`-th. One entry each."""

    seen: int
    """All fills, those that only a venue's snapshot told of included: they have no markouts."""
    stride: int
    times_ns: NDArray[np.int64]
    """When we learned of it."""
    side: Floats
    """+1: we bought, -1: we sold."""
    price: Floats
    size: Floats
    """Base units (contracts where a contract is not one unit)."""
    fee: Floats
    """Settlement currency; negative: a rebate."""
    mid: Floats
    """The mid that the core booked it at."""
    maker: Floats
    """1 or 0."""
    distance_bps: Floats
    """Distance of our price from the mid just before the trade, at least 0."""
    horizons_s: tuple[float, ...]
    markouts_bps: Floats
    """Fills by horizons: what the fill was worth so much later, bps of its price; NaN: not known."""


class DistanceCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Our own quotes by distance from the mid, both sides: the experiment of MODELS 6.4-3."""

    width_bps: float
    seconds: Floats
    """Time with a quote resting in that bin."""
    fills: Floats


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """Books in atto, as the core took them up."""

    spread_atto: int
    inventory_atto: int
    fees_atto: int
    funding_atto: int
    cash_atto: int
    worth_atto: int
    """Of the position, at its mark."""

    @property
    def parts(self) -> tuple[int, int, int, int]:
        return self.spread_atto, self.inventory_atto, self.fees_atto, self.funding_atto


class MarketCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One market. All arrays of curves are of one length, an entry for each bucket of time."""

    instrument: Instrument
    currency: str
    """Of money: the settlement currency."""
    max_position: float
    min_position: float
    """The limits, as the run began."""
    start_ns: int
    """Where the first bucket begins: the run's start."""
    times_ns: NDArray[np.int64]
    """Where the bucket ends; values without `low` or `high` are as they stood then."""
    mid: Floats
    """NaN: the book could not be trusted."""
    mid_low: Floats
    mid_high: Floats
    bid: Floats
    """Our best bid that rests at the venue; NaN: none."""
    bid_low: Floats
    bid_high: Floats
    ask: Floats
    ask_low: Floats
    ask_high: Floats
    position: Floats
    position_low: Floats
    position_high: Floats
    equity: Floats
    """P&L of this run so far: `spread + inventory + fees + funding`."""
    equity_low: Floats
    equity_high: Floats
    spread: Floats
    inventory: Floats
    fees: Floats
    funding: Floats
    volume: Floats
    """Notional traded so far."""
    bid_quoted: Floats
    """Share of the bucket with a bid of ours at the venue."""
    ask_quoted: Floats
    both_quoted: Floats
    fills: FillCurves
    markouts: Mapping[str, tuple[MarkoutFigures, ...]]
    """By side, `bid` and `ask`: mean and standard error at each horizon, over all fills."""
    distances: DistanceCurves
    standing: Standing
    """What was decided, by time: action and decisive reason."""
    orders: OrderSamples
    intensity: IntensityFit
    """Taker orders of the market by the distance they reached, and the exponential through them."""
    left: Left | None
    """The books that the run before left, from which this one's P&L is counted; None: it began with empty ones."""


class RunCurves(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One run. `tally` has the exact books and the statistics; `markets` by instrument, as configured."""

    run: Relived
    tally: Tally
    rows: int
    """Level changes and trades."""
    decisions: int
    markets: Mapping[InstrumentId, MarketCurves]
