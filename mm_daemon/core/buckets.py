"""Rate-limit buckets of one venue, counted on our side (EXECUTION 6).

Integers throughout, so that pacing is the same on every machine. Of each bucket 90 % is used. A bucket the venue has
closed (retry-after) lets nothing through until it opens again. What the venue says was used counts where it is more
than we know of: somebody else may be using the same limit.
"""

from collections import deque

from mm_daemon.domain.capabilities import Bucket, BucketKind, CommandClass

NS_PER_MS = 1_000_000
_RESERVE_DENOMINATOR = 5
_QUOTA_RESERVE_DENOMINATOR = 20
_FIRST_BACKOFF_NS = 1_000 * NS_PER_MS
_LONGEST_BACKOFF_NS = 30_000 * NS_PER_MS
_CANCELS = frozenset({CommandClass.CANCEL, CommandClass.CANCEL_ALL})
_REDUCE = CommandClass.REDUCE


class Closing:
    """When a bucket, or the whole venue, takes commands again after the venue told us to slow down."""

    __slots__ = ("_backoff_ns", "until_ns")

    def __init__(self) -> None:
        self.until_ns = 0
        self._backoff_ns = _FIRST_BACKOFF_NS

    def close(self, now_ns: int, retry_after_ms: int | None) -> None:
        """Closed for what the venue said; if it said nothing, for 1 s doubling to 30 s until something succeeds."""
        if retry_after_ms is None:
            wait_ns = self._backoff_ns
            self._backoff_ns = min(2 * wait_ns, _LONGEST_BACKOFF_NS)
        else:
            wait_ns = retry_after_ms * NS_PER_MS
        self.until_ns = max(self.until_ns, now_ns + wait_ns)

    def succeeded(self) -> None:
        self._backoff_ns = _FIRST_BACKOFF_NS


class BucketState:
    """How much of one bucket is left. `left()` tells whole units; inside, a kind may count in finer ones (`scale`)."""

    __slots__ = ("_cancel_cost", "_reserve", "bucket", "closing", "concerned", "level", "scale", "usable")

    def __init__(self, bucket: Bucket, scale: int = 1) -> None:
        self.bucket = bucket
        self.concerned = frozenset(kind for kind in CommandClass if bucket.concerns(kind))
        """Classes of commands that cost something."""
        self.closing = Closing()
        self.scale = scale
        self.usable = bucket.capacity * bucket.use_percent // 100
        self.level = self.usable * scale
        """Units left, times `scale`."""
        share = _QUOTA_RESERVE_DENOMINATOR if bucket.kind is BucketKind.QUOTA else _RESERVE_DENOMINATOR
        self._reserve = -(-bucket.capacity // share) if bucket.reserve is None else bucket.reserve
        self._cancel_cost = bucket.costs.get(CommandClass.CANCEL, 0)

    def doubled_reserve(self, kind: CommandClass, live_orders: int) -> int:
        """Twice the units that must be left after a command of this kind: all of the reserve for places and amends,
        half of it for reducing orders, nothing for cancels."""
        if kind in _CANCELS:
            return 0
        whole = max(self._reserve, live_orders * self._cancel_cost)
        return whole if kind is _REDUCE else 2 * whole

    def allows(self, kind: CommandClass, units: int, live_orders: int) -> bool:
        """Whether a command of this kind that costs so much may leave, by the amounts of the last `refill`."""
        return self._short(kind, units, live_orders) <= 0

    def left(self) -> int:
        """Whole units left at the last `refill`."""
        return self.level // self.scale

    def refill(self, now_ns: int, height: int) -> None:
        """What time, or the venue's height, has brought back."""

    def take(self, units: int, now_ns: int, height: int) -> None:
        self.level -= units * self.scale

    def correct(self, used: int, capacity: int | None, now_ns: int, height: int) -> None:
        """The venue says that so much of its limit is used: what is more than we counted counts from now on."""
        more = self.usable - self.left() - used
        if more < 0:
            self.take(-more, now_ns, height)

    def ready_ns(self, kind: CommandClass, units: int, live_orders: int, now_ns: int) -> int | None:
        """When `allows` will be true if nothing else happens; None: time alone does not bring it."""
        short = self._short(kind, units, live_orders)
        return now_ns if short <= 0 else self._brings(short, now_ns)

    def _brings(self, doubled_short: int, now_ns: int) -> int | None:
        return None

    def _short(self, kind: CommandClass, units: int, live_orders: int) -> int:
        """Twice the amount that is missing. A cancel dearer than the bucket leaves when the bucket is full."""
        if kind in _CANCELS:
            units = min(units, self.usable)
        needed = 2 * units + self.doubled_reserve(kind, live_orders)
        return needed * self.scale - 2 * self.level


class _Tokens(BucketState):
    """Amounts are units times the period, so that a refill needs no fraction."""

    __slots__ = ("_full", "_refilled_ns")

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket, max(bucket.period_ms, 1) * NS_PER_MS)
        self._full = self.level
        self._refilled_ns: int | None = None

    def refill(self, now_ns: int, height: int) -> None:
        last_ns = self._refilled_ns
        if last_ns is not None and now_ns > last_ns:
            self.level = min(self._full, self.level + (now_ns - last_ns) * self.usable)
        self._refilled_ns = now_ns if last_ns is None else max(last_ns, now_ns)

    def _brings(self, doubled_short: int, now_ns: int) -> int | None:
        if not self.usable or doubled_short > 2 * (self._full - self.level):
            return None
        return now_ns + -(-doubled_short // (2 * self.usable))


class _Recent(BucketState):
    """What was taken of late, each until it is `span` old: no window of that length sees more than is usable, wherever
    the venue's own windows begin.
    """

    __slots__ = ("_span", "_taken")

    def __init__(self, bucket: Bucket, span: int) -> None:
        super().__init__(bucket)
        self._span = span
        self._taken: deque[tuple[int, int]] = deque()

    def _forget(self, now: int) -> None:
        taken = self._taken
        while taken and taken[0][0] <= now - self._span:
            self.level += taken.popleft()[1]

    def _take_at(self, units: int, now: int) -> None:
        if not units:
            return
        self.level -= units
        taken = self._taken
        if taken and taken[-1][0] == now:
            units += taken.pop()[1]
        taken.append((now, units))


class _Window(_Recent):
    __slots__ = ()

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket, max(bucket.period_ms + bucket.slack_ms, 1) * NS_PER_MS)

    def refill(self, now_ns: int, height: int) -> None:
        self._forget(now_ns)

    def take(self, units: int, now_ns: int, height: int) -> None:
        self._take_at(units, now_ns)

    def _brings(self, doubled_short: int, now_ns: int) -> int | None:
        for taken_ns, units in self._taken:
            doubled_short -= 2 * units
            if doubled_short <= 0:
                return max(taken_ns + self._span, now_ns)
        return None


class _Blocks(_Recent):
    """Only the next heights bring anything back, so there is no time to wait for."""

    __slots__ = ()

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(bucket, max(bucket.blocks, 1))

    def refill(self, now_ns: int, height: int) -> None:
        self._forget(height)

    def take(self, units: int, now_ns: int, height: int) -> None:
        self._take_at(units, height)


class _Quota(BucketState):
    """The venue's word counts both ways: it grants more as we trade, and only it knows how much."""

    __slots__ = ()

    def correct(self, used: int, capacity: int | None, now_ns: int, height: int) -> None:
        if capacity is not None:
            self.usable = capacity * self.bucket.use_percent // 100
        self.level = self.usable - used


def bucket_state(bucket: Bucket) -> BucketState:
    """A full bucket of its kind."""
    if bucket.kind is BucketKind.TOKEN:
        return _Tokens(bucket)
    if bucket.kind is BucketKind.WINDOW:
        return _Window(bucket)
    return _Blocks(bucket) if bucket.kind is BucketKind.PER_BLOCK else _Quota(bucket)
