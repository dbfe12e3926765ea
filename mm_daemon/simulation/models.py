"""What a simulated venue assumes: place in the queue, latency of orders and data, fees (EXECUTION 8).

Small machines without a clock; each simulated venue composes the ones it needs. Sizes are lots, times integer
nanoseconds, money atto. Chance comes only from the `Rng` that is passed in.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple, Protocol

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.rng import Rng

NS_PER_MS = 1_000_000
FRONT_UNKNOWN = math.inf
"""Front of an order at a price whose size was never displayed: all of the level, once it is."""
_NO_OFFSET = 1 << 62
_PPM = 1_000_000


class QueueModel(StrEnum):
    """Where a cancelled lot is taken to have stood; `RISK_AVERSE` always answers: behind us."""

    RISK_AVERSE = "risk_averse"
    POWER = "power"
    LOG = "log"
    POWER2 = "power2"
    LOG2 = "log2"
    POWER3 = "power3"


def chance_behind(model: QueueModel, exponent: float, front: float, behind: float) -> float:
    """p, the chance that a cancelled lot stood behind us, for `front` V and `behind` B lots (EXECUTION 8, Queue)."""
    if model is QueueModel.RISK_AVERSE or front + behind <= 0.0:
        return 1.0
    if model is QueueModel.POWER3:
        return 1.0 - math.pow(front / (front + behind), exponent)
    if model is QueueModel.LOG:
        return _share(math.log1p(behind), math.log1p(behind) + math.log1p(front))
    if model is QueueModel.LOG2:
        return _share(math.log1p(behind), math.log1p(behind + front))
    part: float = behind**exponent
    whole: float = part + front**exponent if model is QueueModel.POWER else (behind + front) ** exponent
    return _share(part, whole)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else 1.0


class QueuePosition:
    """How many lots of others stand before one resting order of ours. Cancels never fill it, only trades do."""

    __slots__ = ("_exponent", "_model", "_traded_lots", "front_lots", "level_lots")

    def __init__(self, model: QueueModel, exponent: float, level_lots: int, front_lots: float) -> None:
        self._model = model
        self._exponent = exponent
        self.level_lots = level_lots
        self._traded_lots = 0
        self.front_lots = front_lots

    def trade(self, lots: int, remaining_lots: int, printed_lots: int) -> int:
        """Lots we fill when `lots` trade at our price; `printed_lots` also counts what others of ours used up."""
        self._traded_lots += printed_lots
        front = self.front_lots - lots
        if front >= 0.0:
            self.front_lots = front
            return 0
        self.front_lots = 0.0
        return min(remaining_lots, math.floor(-front))

    def reach_front(self) -> None:
        """The market traded or is displayed through our price: nobody stands before us any more."""
        self.front_lots = 0.0

    def resynchronise(self, level_lots: int) -> None:
        """The level after a gap: what left meanwhile is unknown, so only the cap is believed."""
        self.level_lots = level_lots
        self._traded_lots = 0
        self.front_lots = min(self.front_lots, float(level_lots))

    def depth(self, level_lots: int) -> None:
        """The level now displays `level_lots`. What trades do not explain was cancelled or joined behind."""
        base = max(self.level_lots - self._traded_lots, 0)
        self.level_lots = level_lots
        self._traded_lots = 0
        cancelled = base - level_lots
        front = self.front_lots
        if cancelled <= 0 or self._model is QueueModel.RISK_AVERSE or front == FRONT_UNKNOWN:
            self.front_lots = min(front, float(level_lots))
            return
        behind = max(base - front, 0.0)
        p = chance_behind(self._model, self._exponent, front, behind)
        front -= (1.0 - p) * cancelled + max(p * cancelled - behind, 0.0)
        self.front_lots = min(max(front, 0.0), float(level_lots))


class LatencyModel(Protocol):
    """Delay of one message, in nanoseconds."""

    def draw(self, at_ns: int) -> int:
        """Of the message that leaves at an instant of the local clock."""
        ...


class ConstantLatency:
    """Every message takes the same time."""

    __slots__ = ("_ns",)

    def __init__(self, ns: int) -> None:
        self._ns = ns

    def draw(self, at_ns: int) -> int:
        return self._ns


class MeasuredLatency:
    """Each message takes a time drawn from a list of measured ones."""

    __slots__ = ("_rng", "_samples_ns")

    def __init__(self, samples_ns: Sequence[int], rng: Rng) -> None:
        self._samples_ns = tuple(samples_ns)
        self._rng = rng

    def draw(self, at_ns: int) -> int:
        return self._samples_ns[self._rng.below(len(self._samples_ns))]


class RecordedLatency:
    """Latencies measured at certain times: between two of them on the straight line, outside as at the nearest."""

    __slots__ = ("_delays_ns", "_place", "_times_ns")

    def __init__(self, rows: Sequence[tuple[int, int]]) -> None:
        """(time, latency) in nanoseconds, in order of time, at least one."""
        self._times_ns = [time_ns for time_ns, _ in rows]
        self._delays_ns = [delay_ns for _, delay_ns in rows]
        self._place = 0
        """Where the last message lay: time rarely goes back, and never far."""

    def draw(self, at_ns: int) -> int:
        times, delays = self._times_ns, self._delays_ns
        place = self._place
        while place > 0 and times[place] > at_ns:
            place -= 1
        while place + 1 < len(times) and times[place + 1] <= at_ns:
            place += 1
        self._place = place
        if at_ns <= times[place] or place + 1 == len(times):
            return delays[place]
        since, span = at_ns - times[place], times[place + 1] - times[place]
        return delays[place] + (delays[place + 1] - delays[place]) * since // span


class MeasuredRow(NamedTuple):
    """Latencies measured at one time, nanoseconds; feed None: not measured."""

    time_ns: int
    entry_ns: int
    response_ns: int
    feed_ns: int | None = None


def latency_model(
    constant_ms: float, samples_ms: Sequence[float], rng: Rng, rows: Sequence[tuple[int, int]] = ()
) -> LatencyModel:
    """The line through `rows` (time, latency in ns), else a draw from `samples_ms`, else the constant.

    Raises DomainError for a negative latency.
    """
    if rows:
        if min(delay_ns for _, delay_ns in rows) < 0:
            raise DomainError("a latency cannot be negative")
        return RecordedLatency(rows)
    if min(constant_ms, *samples_ms, 0.0) < 0.0:
        raise DomainError("a latency cannot be negative")
    if samples_ms:
        return MeasuredLatency([round(ms * NS_PER_MS) for ms in samples_ms], rng)
    return ConstantLatency(round(constant_ms * NS_PER_MS))


class FeedClock:
    """Venue time of market events, in nanoseconds of the local clock.

    Feed latency is (local - venue) less its running minimum, plus a floor: so a venue clock that is off by a constant
    does no harm, and no event is taken to have travelled in less than the floor.
    """

    __slots__ = ("_floor_ns", "_least_offset_ns")

    def __init__(self, floor_ns: int) -> None:
        self._floor_ns = floor_ns
        self._least_offset_ns = _NO_OFFSET

    def observe(self, ts_venue_ns: int, ts_local_ns: int) -> int:
        """When the event happened; 0 for an event without a venue time."""
        if ts_venue_ns <= 0:
            return 0
        offset = ts_local_ns - ts_venue_ns
        if offset < self._least_offset_ns:
            self._least_offset_ns = offset
        return ts_venue_ns + self._least_offset_ns - self._floor_ns

    def local_ns(self, ts_venue_ns: int) -> int:
        """An instant of the venue's clock on this one."""
        if self._least_offset_ns == _NO_OFFSET:
            return ts_venue_ns
        return ts_venue_ns + self._least_offset_ns - self._floor_ns

    def venue_ns(self, clock_ns: int) -> int:
        """The way back: the venue's own timestamp of an instant of this clock."""
        if self._least_offset_ns == _NO_OFFSET:
            return clock_ns
        return clock_ns - self._least_offset_ns + self._floor_ns


def tick_atto(instrument: Instrument) -> int:
    """Atto that one lot is worth per tick of a linear contract. Raises DomainError when that is no whole number."""
    unit = Fraction(instrument.tick) * Fraction(instrument.lot) * Fraction(instrument.multiplier) * ATTO
    if unit.denominator != 1:
        raise DomainError(f"{instrument.id}: one lot at one tick is no whole number of 1e-18 {instrument.quote}")
    return unit.numerator


class FeeSchedule:
    """A venue's fees on one instrument: parts per million of notional by role, negative for a rebate."""

    __slots__ = ("_maker_ppm", "_taker_ppm", "_unit_atto")

    def __init__(self, instrument: Instrument) -> None:
        self._unit_atto = tick_atto(instrument)
        self._maker_ppm = instrument.maker_fee_ppm
        self._taker_ppm = instrument.taker_fee_ppm

    def fee_atto(self, ticks: int, lots: int, *, maker: bool) -> int:
        """Fee of a fill in atto, positive when we pay; a rest below one atto is rounded against us."""
        return self.fee_at(self._maker_ppm if maker else self._taker_ppm, ticks, lots)

    def fee_at(self, ppm: int, ticks: int, lots: int) -> int:
        """The same at a rate of its own, parts per million."""
        return -(-self._unit_atto * ticks * lots * ppm // _PPM)

    def notional_atto(self, ticks: int, lots: int) -> int:
        """What `lots` cost at a price, in atto."""
        return self._unit_atto * ticks * lots
