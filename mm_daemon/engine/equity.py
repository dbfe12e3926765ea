"""Equity on a fixed clock, while trading: Sharpe ratio and drawdown of samples that are not kept (MODELS 7.6).

The online form of `statistics.equity_stats`, exact: increments are added up as integers.
"""

import math

from mm_daemon.engine.statistics import NO_SPREAD


class EquityCurve:
    """Samples in atto of a currency, at equal distances in time."""

    __slots__ = ("_largest", "_last", "_moves", "_peak", "_square", "_sum", "drawdown_atto")

    def __init__(self) -> None:
        self._last: int | None = None
        self._peak = self._moves = self._sum = self._square = self._largest = 0
        self.drawdown_atto = 0
        """Largest fall from the peak so far; the first sample is the first peak."""

    @property
    def samples(self) -> int:
        return 0 if self._last is None else self._moves + 1

    def add(self, atto: int, times: int = 1) -> None:
        """The next `times` samples, at least one, are all this."""
        if self._last is None:
            self._last = self._peak = atto
            self._moves = times - 1
            return
        move = atto - self._last
        self._last = atto
        self._moves += times
        self._sum += move
        self._square += move * move
        self._largest = max(self._largest, abs(move))
        self._peak = max(self._peak, atto)
        self.drawdown_atto = max(self.drawdown_atto, self._peak - atto)

    def sharpe(self) -> tuple[float, float] | None:
        """Mean over deviation of one interval's increment, in currency, and the standard error
        `sqrt((1 + SR^2/2)/n)` of it (Lo 2002). Not annual. None below two increments, and without risk.
        """
        n = self._moves
        if n < 2:
            return None
        spread = n * self._square - self._sum * self._sum
        deviation = math.sqrt(spread / (n * (n - 1)))
        if not deviation > NO_SPREAD * self._largest:
            return None
        ratio = self._sum / n / deviation
        return ratio, math.sqrt((1.0 + 0.5 * ratio * ratio) / n)
