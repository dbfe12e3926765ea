"""Pulling the side that would be hit next, for a cool-down (MODELS 6.8).

A small state machine a side: clear, or pulled until an instant. A trip while pulled starts the cool-down anew; one that
follows within a cool-down of its end lasts twice as long, up to a cap; later ones start again from the first length.
"""

from mm_daemon.domain.orders import Side
from mm_daemon.domain.signal_states import PulledSideState, PullState
from mm_daemon.engine.domain_checks import require_not_negative, require_positive

_BUY = Side.BUY
_MS = 1_000_000


class _Pulled:
    __slots__ = ("length_ns", "until_ns")

    def __init__(self) -> None:
        self.until_ns = self.length_ns = 0


class AdverseSelectionPull:
    """Owned by one market. `trips` counts what has tripped it."""

    __slots__ = ("_ask", "_bid", "_cool_down_ns", "_longest_ns", "trips")

    def __init__(self, cool_down_ms: int, longest_ms: int) -> None:
        """Raises DomainError unless the cool-down is positive and not above the longest one."""
        require_positive(cool_down_ms=cool_down_ms)
        require_not_negative(slack_ms=longest_ms - cool_down_ms)
        self._cool_down_ns, self._longest_ns = cool_down_ms * _MS, longest_ms * _MS
        self._bid, self._ask = _Pulled(), _Pulled()
        self.trips = 0

    def trip(self, aggressor: Side, now_ns: int) -> None:
        """Takers on `aggressor`'s side know more than we do: pull the quote they would take. Never shortens a pull."""
        side = self._ask if aggressor is _BUY else self._bid
        length_ns = self._cool_down_ns
        if now_ns < side.until_ns:
            length_ns = side.length_ns
        elif now_ns - side.until_ns < side.length_ns:
            length_ns = min(2 * side.length_ns, self._longest_ns)
        self.trips += 1
        side.length_ns = length_ns
        side.until_ns = max(side.until_ns, now_ns + length_ns)

    def pulled(self, side: Side, now_ns: int) -> bool:
        """Whether our quote on `side` (BUY: the bid) is to be out of the market now."""
        return now_ns < (self._bid if side is _BUY else self._ask).until_ns

    @property
    def tripped(self) -> bool:
        """Whether a side is pulled or ever was."""
        return bool(self._bid.length_ns or self._ask.length_ns)

    def next_expiry_ns(self, now_ns: int) -> int | None:
        """When the next pull ends; None while nothing is pulled."""
        running = [side.until_ns for side in (self._bid, self._ask) if now_ns < side.until_ns]
        return min(running, default=None)

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much: what runs keeps the time it has left."""
        for side in (self._bid, self._ask):
            if side.until_ns:
                side.until_ns += by_ns

    def state(self) -> PullState:
        return PullState(*(PulledSideState(side.until_ns, side.length_ns) for side in (self._bid, self._ask)))

    def restore(self, state: PullState) -> None:
        """Become what `state` was taken of."""
        for side, kept in ((self._bid, state.bid), (self._ask, state.ask)):
            side.until_ns, side.length_ns = kept.until_ns, kept.length_ns
