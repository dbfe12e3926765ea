"""Lockouts of one instrument: named, sourced reasons not to touch the quotes for a while (EXECUTION 3.2).

Fill, order and reject lockouts belong to a side and end by themselves; setting one again never shortens it. Others hold
a side or the whole instrument without an end and are cleared by the source that set them. The core asks for a side's
mask at every full decision and for the next expiry when it arms its deadline.
"""

from collections import deque

from mm_daemon.domain.checkpoint import LockoutState, SideLockoutState
from mm_daemon.domain.deadlines import NEVER_NS
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.orders import RejectKind, Side

_MS = 1_000_000
_REJECT_CAP_NS = 60_000 * _MS
_MAX_DOUBLINGS = 32

_BUY, _SELL = Side.BUY, Side.SELL
_FILL = Reason.FILL_LOCKOUT.bit
_ORDER = Reason.ORDER_LOCKOUT.bit
_REJECT = Reason.REJECT_LOCKOUT.bit
_BURST = Reason.FILL_BURST.bit


def lockout_until(now: int, base: int, until: int, consecutive: int = 1, cap: int | None = None) -> int:
    """When a lockout set at `now` ends, all in one unit of time: never before `until`, where it ended so far.

    With a `cap` the base doubles with each of `consecutive` rejects in a row up to the cap (or the base, if that is
    longer).
    """
    duration = base
    if cap is not None and consecutive > 1:
        duration = max(base, min(base << min(consecutive - 1, _MAX_DOUBLINGS), cap))
    return max(until, now + duration)


class _SideLockouts:
    """When each lockout of one side ends, ns; over at that very instant."""

    __slots__ = ("burst_ns", "fill_ns", "fills", "order_ns", "reject_ns", "rejects")

    def __init__(self) -> None:
        self.fill_ns = self.order_ns = self.reject_ns = self.burst_ns = 0
        self.fills: deque[int] = deque()
        """When quotes were filled of late; kept where a burst of fills pulls the side."""
        self.rejects = 0

    def look(self, now_ns: int) -> tuple[int, int]:
        """(the mask of those that run, when the first of them ends)."""
        if now_ns >= max(self.fill_ns, self.order_ns, self.reject_ns, self.burst_ns):
            return 0, NEVER_NS
        bits, until_ns = 0, NEVER_NS
        for bit, end_ns in (
            (_FILL, self.fill_ns),
            (_ORDER, self.order_ns),
            (_REJECT, self.reject_ns),
            (_BURST, self.burst_ns),
        ):
            if now_ns < end_ns:
                bits |= bit
                until_ns = min(until_ns, end_ns)
        return bits, until_ns

    def state(self) -> SideLockoutState:
        return SideLockoutState(self.fill_ns, self.order_ns, self.reject_ns, self.rejects, self.burst_ns)

    def restore(self, state: SideLockoutState) -> None:
        self.fill_ns, self.order_ns, self.reject_ns = state.fill_ns, state.order_ns, state.reject_ns
        self.rejects, self.burst_ns = state.rejects, state.burst_ns

    def shift(self, by_ns: int) -> None:
        self.fills = deque(fill_ns + by_ns for fill_ns in self.fills)
        self.restore(
            SideLockoutState(
                self.fill_ns + by_ns,
                self.order_ns + by_ns,
                self.reject_ns + by_ns,
                self.rejects,
                self.burst_ns + by_ns,
            )
        )


class LockoutSet:
    """The lockouts of one instrument. Durations in milliseconds, instants in the core's nanoseconds.

    Masks are remembered: they hold from `_since_ns` until just before `_until_ns`, the next end of a lockout.
    """

    __slots__ = (
        "_burst_fills",
        "_burst_ns",
        "_burst_window_ns",
        "_buy",
        "_fill_ns",
        "_held",
        "_masks",
        "_order_ns",
        "_reject_ns",
        "_sell",
        "_since_ns",
        "_until_ns",
    )

    def __init__(
        self,
        fill_lockout_ms: int,
        order_lockout_ms: int,
        reject_lockout_ms: int,
        *,
        fill_burst: int | None = None,
        fill_burst_window_ms: int = 1000,
        fill_burst_pause_ms: int = 10_000,
    ) -> None:
        """`fill_burst`: that many fills of a side within the window pull it for the pause; None: none do."""
        self._burst_fills = fill_burst
        self._burst_window_ns = fill_burst_window_ms * _MS
        self._burst_ns = fill_burst_pause_ms * _MS
        self._buy = _SideLockouts()
        self._sell = _SideLockouts()
        self._held: dict[tuple[Reason, str], Side | None] = {}
        self._masks = (0, 0)
        self._changed()
        self._fill_ns = fill_lockout_ms * _MS
        self._order_ns = order_lockout_ms * _MS
        self._reject_ns = reject_lockout_ms * _MS

    def after_fill(self, side: Side, now_ns: int, age_ns: int = 0) -> None:
        """A quote's fill was applied. `age_ns`: how old a recovered fill is; one older than the lockout starts none."""
        if age_ns > self._fill_ns:
            return
        locked = self._of(side)
        locked.fill_ns = lockout_until(now_ns, self._fill_ns, locked.fill_ns)
        if self._burst_fills is not None:
            self._count_fill(locked, self._burst_fills, now_ns)
        self._changed()

    def _count_fill(self, locked: _SideLockouts, limit: int, now_ns: int) -> None:
        """A side that trades faster than anybody meant has the wrong price (MODELS 7): it is pulled."""
        fills = locked.fills
        fills.append(now_ns)
        while fills[0] <= now_ns - self._burst_window_ns:
            fills.popleft()
        if len(fills) >= limit:
            fills.clear()
            locked.burst_ns = lockout_until(now_ns, self._burst_ns, locked.burst_ns)

    def after_order(self, side: Side, now_ns: int) -> None:
        """A place or an amend was released to the venue."""
        locked = self._of(side)
        locked.order_ns = lockout_until(now_ns, self._order_ns, locked.order_ns)
        self._changed()

    def after_reject(self, side: Side, now_ns: int, kind: RejectKind) -> None:
        """The venue rejected a place or an amend. Doubles with each in a row, but never for a post-only order that
        crossed.
        """
        locked = self._of(side)
        if kind is RejectKind.POST_ONLY_CROSS:
            locked.reject_ns = lockout_until(now_ns, self._reject_ns, locked.reject_ns)
        else:
            locked.rejects += 1
            locked.reject_ns = lockout_until(now_ns, self._reject_ns, locked.reject_ns, locked.rejects, _REJECT_CAP_NS)
        self._changed()

    def after_accept(self, side: Side) -> None:
        """The venue accepted a place or amend: the next reject counts as the first. A running lockout stays."""
        self._of(side).rejects = 0

    def hold(self, reason: Reason, source: str, side: Side | None = None) -> None:
        """Set a lockout of a side, or (None) of the whole instrument, that only the same source can clear."""
        if self._held.get((reason, source), side) is not side:
            side = None  # one source, both sides
        self._held[reason, source] = side
        self._changed()

    def release(self, reason: Reason, source: str) -> bool:
        """Clear what `source` set under that name; other sources keep theirs. False if it was not set."""
        if (reason, source) not in self._held:
            return False
        del self._held[reason, source]
        self._changed()
        return True

    @property
    def holds_all(self) -> bool:
        """Whether a lockout without an end holds the whole instrument, not a side of it alone."""
        return None in self._held.values()

    def held(self) -> tuple[tuple[Reason, str], ...]:
        """The lockouts without an end, as (reason, source), oldest first."""
        return tuple(self._held)

    def masks(self, now_ns: int) -> tuple[int, int]:
        """Bits of the reasons that lock bids and asks now, the instrument's own included."""
        if not self._since_ns <= now_ns < self._until_ns:
            self._look(now_ns)
        return self._masks

    def mask(self, side: Side, now_ns: int) -> int:
        """The same for one side."""
        bids, asks = self.masks(now_ns)
        return bids if side is _BUY else asks

    def _changed(self) -> None:
        """An end was moved, or a lockout without one came or went: what was known of the masks is void."""
        self._since_ns = self._until_ns = NEVER_NS

    def _look(self, now_ns: int) -> None:
        """Bring the masks up to `now_ns`."""
        buy, buy_until_ns = self._buy.look(now_ns)
        sell, sell_until_ns = self._sell.look(now_ns)
        for (reason, _), side in self._held.items():
            if side is not _SELL:
                buy |= reason.bit
            if side is not _BUY:
                sell |= reason.bit
        self._masks = buy, sell
        self._since_ns, self._until_ns = now_ns, min(buy_until_ns, sell_until_ns)

    def until_ns(self, side: Side, reason: Reason) -> int:
        """When a side's fill, order, reject or burst lockout ends (or ended; 0: never set): what `fill_lockout 640 ms`
        is made of.
        """
        locked = self._of(side)
        if reason is Reason.FILL_LOCKOUT:
            return locked.fill_ns
        if reason is Reason.ORDER_LOCKOUT:
            return locked.order_ns
        if reason is Reason.FILL_BURST:
            return locked.burst_ns
        return locked.reject_ns if reason is Reason.REJECT_LOCKOUT else 0

    def next_expiry_ns(self, now_ns: int) -> int | None:
        """The next instant at which a lockout of either side ends, or None while none runs."""
        if not self._since_ns <= now_ns < self._until_ns:
            self._look(now_ns)
        return None if self._until_ns == NEVER_NS else self._until_ns

    def state(self) -> LockoutState:
        held = tuple((str(reason), source) for reason, source in self._held)
        sides = tuple(0 if side is None else int(side) for side in self._held.values())
        return LockoutState(self._buy.state(), self._sell.state(), held, sides if any(sides) else ())

    def restore(self, state: LockoutState) -> None:
        """Become what `state` was taken of."""
        self._buy.restore(state.buy)
        self._sell.restore(state.sell)
        sides = state.sides or (0,) * len(state.held)
        for (reason, source), side in zip(state.held, sides, strict=True):
            self.hold(Reason(reason), source, Side(side) if side else None)
        self._changed()

    def shift(self, by_ns: int) -> None:
        """The clock was set by so much: what runs keeps the time it has left."""
        self._buy.shift(by_ns)
        self._sell.shift(by_ns)
        self._changed()

    def _of(self, side: Side) -> _SideLockouts:
        return self._buy if side is _BUY else self._sell
