"""Widen first, then stop: limits on volatility and losses; and the age and the loss at which a position is closed.

The first two answer with a multiplier of the spread (1: as it is) or with None: quote nothing. All stand before the
risk gate, which refuses what they let through by mistake. Thresholds are exceeded strictly.
"""

import math

from mm_daemon.engine.domain_checks import require_not_negative, require_positive

_NS = 1_000_000_000
_PER_BP = 1e4


def _ramp(value: float, start: float, end: float, most: float) -> float:
    """1 up to `start`, rising in a straight line to `most` at `end`, and staying there."""
    if value <= start:
        return 1.0
    return most if value >= end else 1.0 + (most - 1.0) * (value - start) / (end - start)


class _WidenThenStop:
    """The ramp and where it ends; once stopped, it takes `resume` to go on."""

    __slots__ = ("_most", "_resume", "_stop", "_widen", "stopped")

    def __init__(self, widen: float, stop: float, most: float, resume: float) -> None:
        require_not_negative(widen=widen, resume=resume, hysteresis=stop - resume, widening=most - 1.0)
        require_positive(width=stop - widen)
        self._widen, self._stop, self._most, self._resume = widen, stop, most, resume
        self.stopped = False

    def judge(self, value: float) -> float | None:
        if value > self._stop or math.isnan(value):
            self.stopped = True
        elif self.stopped and value <= self._resume:
            self.stopped = False
        return None if self.stopped else _ramp(value, self._widen, self._stop, self._most)


class VolatilityLimits:
    """Widens from a volatility on and stops above another, until it has calmed down to a share of that."""

    __slots__ = ("_steps",)

    def __init__(self, widen_bps: float, stop_bps: float, max_multiplier: float, resume_share: float = 0.8) -> None:
        """Volatilities in bps per square root of a second; quoting resumes at `resume_share * stop_bps`. Raises
        DomainError unless `widen_bps` < `stop_bps`, the multiplier is at least 1 and the share at most 1.
        """
        self._steps = _WidenThenStop(widen_bps, stop_bps, max_multiplier, resume_share * stop_bps)

    @property
    def stopped(self) -> bool:
        return self._steps.stopped

    def judge(self, sigma_bps: float) -> float | None:
        """The spread's multiplier, or None: stop. What is no number stops."""
        return self._steps.judge(sigma_bps)

    def restore(self, stopped: bool) -> None:
        """As an earlier life left it."""
        self._steps.stopped = stopped


class ToxicityLimits:
    """Widens as VPIN grows; takers' sides are pulled elsewhere, as VPIN has none."""

    __slots__ = ("_most", "_top", "_widen")

    def __init__(self, widen: float, top: float, max_multiplier: float) -> None:
        """`widen` and `top`: VPIN from which quotes widen, and at which they do by `max_multiplier`. Raises DomainError
        unless `widen` < `top` and the multiplier is at least 1.
        """
        require_not_negative(widen=widen, widening=max_multiplier - 1.0)
        require_positive(width=top - widen)
        self._widen, self._top, self._most = widen, top, max_multiplier

    def judge(self, vpin: float | None) -> float:
        """The spread's multiplier; 1 while VPIN is not known."""
        if vpin is None or not vpin > self._widen:
            return 1.0
        return _ramp(vpin, self._widen, self._top, self._most)


class LossLimits:
    """Widens as a period's loss grows and stops above a limit, until `reset`: a new period or a person. A profit, of
    whatever size, does nothing.
    """

    __slots__ = ("_steps",)

    def __init__(self, widen_loss: float, stop_loss: float, max_multiplier: float) -> None:
        """Losses as positive numbers of one currency. Raises DomainError unless `widen_loss` < `stop_loss` and the
        multiplier is at least 1.
        """
        self._steps = _WidenThenStop(widen_loss, stop_loss, max_multiplier, 0.0)

    @property
    def stopped(self) -> bool:
        return self._steps.stopped

    def judge(self, pnl: float) -> float | None:
        """The spread's multiplier at the period's profit (loss negative), or None: stop. What is no number stops."""
        if self._steps.stopped:
            return None
        return self._steps.judge(max(-pnl, 0.0) if pnl == pnl else pnl)

    def stop(self) -> None:
        """As if the limit had been passed: it has, in an earlier life."""
        self._steps.stopped = True

    def reset(self) -> None:
        """A new period begins."""
        self._steps.stopped = False


class PositionTimeout:
    """How long a position has not been flat and not changed its sign. `since_ns`: None while flat."""

    __slots__ = ("_long", "_max_age_ns", "since_ns")

    def __init__(self, max_age_s: float) -> None:
        require_positive(max_age_s=max_age_s)
        self._max_age_ns = math.ceil(max_age_s * _NS)
        self._long = False
        self.since_ns: int | None = None

    def on_position(self, ts_ns: int, lots: int) -> None:
        """The position is `lots` from `ts_ns` on."""
        if not lots:
            self.since_ns = None
        elif self.since_ns is None or (lots > 0) is not self._long:
            self.since_ns, self._long = ts_ns, lots > 0

    def expired(self, now_ns: int) -> bool:
        """Whether the position is to be closed."""
        return self.since_ns is not None and now_ns - self.since_ns >= self._max_age_ns

    def due_ns(self) -> int | None:
        """When it expires; None while flat."""
        return None if self.since_ns is None else self.since_ns + self._max_age_ns

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much."""
        if self.since_ns is not None:
            self.since_ns += by_ns


class StopLoss:
    """A position that has lost more than `stop_bps` of its average price is to be closed. `tripped` until flat."""

    __slots__ = ("_stop", "tripped")

    def __init__(self, stop_bps: float) -> None:
        require_positive(stop_bps=stop_bps)
        self._stop = stop_bps / _PER_BP
        self.tripped = False

    def judge(self, position_lots: float, average_ticks: float | None, mid_ticks: float) -> bool:
        """Whether the position is to be closed at this mid. Unknown prices trip nothing, and clear nothing."""
        if not position_lots:
            self.tripped = False
        elif average_ticks is not None and average_ticks > 0.0 and mid_ticks > 0.0:
            against = average_ticks - mid_ticks if position_lots > 0 else mid_ticks - average_ticks
            if against > self._stop * average_ticks:
                self.tripped = True
        return self.tripped
