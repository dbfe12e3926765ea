"""When a position is worked off instead of quoted around: it loses too much, is too old or too large, or the day has
cost too much (MODELS 7).

The side that would grow it is then not quoted, and the other one stands where it is next to trade while still a maker.
What is left of a position that is too small for an order cannot be worked off: it is quoted around as if there were
none. A day's loss also widens the quotes before that. What a person must know of it outlives the process.
"""

import math

import msgspec

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.money import ATTO, from_pair, to_pair
from mm_daemon.domain.signal_states import GuardState
from mm_daemon.engine.inventory import Position
from mm_daemon.engine.overlays.soft_limits import LossLimits, PositionTimeout, StopLoss
from mm_daemon.engine.parameters import QuoteParameters

_DAY_NS = 86_400_000_000_000
_ABRUPT = 0.999
"""Share of the loss to stop at from which quotes widen where nobody said from when."""
_STOP_LOSS = Reason.STOP_LOSS.bit
_POSITION_AGE = Reason.POSITION_AGE.bit
_MAX_POSITION = Reason.MAX_POSITION.bit
_LOSS_LIMIT = Reason.LOSS_LIMIT.bit


class Guarded(msgspec.Struct, frozen=True, gc=False):
    """What a guard says. `reasons`: why the position may only be reduced, as a mask, 0: it may grow; `widening`: what
    the half-spread is multiplied by.
    """

    reasons: int = 0
    widening: float = 1.0


UNGUARDED = Guarded()


class PositionGuard:
    """Guards one market's position. Judged at each pricing, and when `due_ns` has come."""

    __slots__ = (
        "_age",
        "_day",
        "_day_began_atto",
        "_exit_longest",
        "_exit_share",
        "_exit_shortest",
        "_least_lots",
        "_least_tick_lots",
        "_loss",
        "_size_alone",
        "_stop",
        "timed",
    )

    def __init__(
        self, instrument: Instrument, quoting: QuoteParameters, *, min_position_lots: int, max_position_lots: int
    ) -> None:
        """Raises DomainError for losses that contradict each other."""
        # Of an order: its least size, and the least product of ticks and lots.
        self._least_lots = instrument.min_lots
        unit = instrument.tick * instrument.lot * instrument.multiplier
        self._least_tick_lots = math.ceil(instrument.min_notional / unit)
        self._stop = None if quoting.stop_loss_bps is None else StopLoss(quoting.stop_loss_bps)
        self._age = None if quoting.max_position_age_s is None else PositionTimeout(quoting.max_position_age_s)
        self.timed = self._age is not None
        """Whether what it says may change by time alone."""
        self._exit_share = quoting.inventory_exit_at
        self._loss: LossLimits | None = None
        if quoting.day_loss_stop is not None:
            widen = quoting.day_loss_widen
            widen = _ABRUPT * quoting.day_loss_stop if widen is None else widen
            self._loss = LossLimits(widen, quoting.day_loss_stop, quoting.day_loss_widening)
        self._day = -1
        self._day_began_atto = 0
        self._size_alone = self._stop is None and self._age is None and self._loss is None
        """Nothing but the size of the position matters: the default, and judged for next to nothing."""
        self.resize(min_position_lots, max_position_lots)

    def resize(self, min_position_lots: int, max_position_lots: int) -> None:
        """The position limits have changed."""
        share = 1.0 if self._exit_share is None else self._exit_share
        self._exit_longest, self._exit_shortest = share * max_position_lots, share * min_position_lots

    def judge(self, position: Position, mid_ticks: float, now_ns: int) -> Guarded:
        """What holds for this position at this mid."""
        lots = position.lots
        if self._size_alone and self._exit_shortest <= lots <= self._exit_longest:
            return UNGUARDED
        if abs(lots) < self._least_lots or abs(lots) * mid_ticks < self._least_tick_lots:
            lots = 0
        reasons, widening = 0, 1.0
        if self._stop is not None and self._stop.judge(lots, position.average_ticks, mid_ticks):
            reasons |= _STOP_LOSS
        if self._age is not None:
            self._age.on_position(now_ns, lots)
            if self._age.expired(now_ns):
                reasons |= _POSITION_AGE
        if self._exit_share is not None and lots and not self._exit_shortest <= lots <= self._exit_longest:
            reasons |= _MAX_POSITION
        if self._loss is not None:
            by_loss = self._loss.judge(self._day_result(position.total_atto, now_ns))
            if by_loss is None:
                reasons |= _LOSS_LIMIT
            else:
                widening = by_loss
        return UNGUARDED if not reasons and widening == 1.0 else Guarded(reasons, widening)

    def due_ns(self, now_ns: int) -> int | None:
        """When the position is too old; None: never, or it is already."""
        due_ns = None if self._age is None else self._age.due_ns()
        return due_ns if due_ns is not None and due_ns > now_ns else None

    def lose_clock(self, back_ns: int) -> None:
        """Time begins anew, `back_ns` earlier."""
        if self._age is not None:
            self._age.shift(-back_ns)

    def state(self) -> GuardState:
        return GuardState(
            None if self._age is None else self._age.since_ns,
            self._stop is not None and self._stop.tripped,
            self._loss is not None and self._loss.stopped,
            self._day,
            to_pair(self._day_began_atto),
        )

    def restore(self, state: GuardState, position: Position) -> None:
        """Go on from an earlier life with the position it left."""
        if self._age is not None and state.since_ns is not None:
            self._age.on_position(state.since_ns, position.lots)
        if self._stop is not None:
            self._stop.tripped = state.stop_tripped
        if self._loss is not None and state.day >= 0:
            self._day, self._day_began_atto = state.day, from_pair(state.day_began)
            if state.loss_stopped:
                self._loss.stop()

    def _day_result(self, total_atto: int, now_ns: int) -> float:
        """Profit since the day (UTC) began or this market was first quoted in it, in the settlement currency."""
        day = now_ns // _DAY_NS
        if day != self._day:
            self._day, self._day_began_atto = day, total_atto
            if self._loss is not None:
                self._loss.reset()
        return (total_atto - self._day_began_atto) / ATTO


def guard_of(
    instrument: Instrument, quoting: QuoteParameters, *, min_position_lots: int, max_position_lots: int
) -> PositionGuard | None:
    """The guard that a configuration asks for; None: it asks for none."""
    asked = (quoting.stop_loss_bps, quoting.max_position_age_s, quoting.inventory_exit_at, quoting.day_loss_stop)
    if all(value is None for value in asked):
        return None
    return PositionGuard(instrument, quoting, min_position_lots=min_position_lots, max_position_lots=max_position_lots)
