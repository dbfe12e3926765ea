"""Rate-limit buckets of one venue, counted on our side (EXECUTION 6).

Integers throughout, so that pacing is the same on every machine. Of each bucket 90 % is used. A bucket the venue has
closed (retry-after) lets nothing through until it opens again.
"""

from mm_daemon.domain.capabilities import Bucket, BucketKind, CommandClass

NS_PER_MS = 1_000_000
_USABLE_NUMERATOR, _USABLE_DENOMINATOR = 9, 10
_RESERVE_DENOMINATOR = 5
_FIRST_BACKOFF_NS = 1_000 * NS_PER_MS
_LONGEST_BACKOFF_NS = 30_000 * NS_PER_MS


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
    """How much of one bucket is left. Amounts are units times the period, so that a refill needs no fraction."""

    __slots__ = ("_full", "_left", "_refilled_ns", "bucket", "closing", "costs", "period_ns", "usable")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.costs = bucket.costs
        self.closing = Closing()
        self.period_ns = max(bucket.period_ms, 1) * NS_PER_MS
        self.usable = bucket.capacity * _USABLE_NUMERATOR // _USABLE_DENOMINATOR
        self._full = self._left = self.usable * self.period_ns
        self._refilled_ns: int | None = None

    def doubled_reserve(self, kind: CommandClass, live_orders: int) -> int:
        """Twice the units that must be left after a command of this kind: all of the reserve for places and amends,
        half of it for reducing orders, nothing for cancels."""
        if kind is CommandClass.CANCEL or kind is CommandClass.CANCEL_ALL:
            return 0
        bucket = self.bucket
        fixed = -(-bucket.capacity // _RESERVE_DENOMINATOR) if bucket.reserve is None else bucket.reserve
        whole = max(fixed, live_orders * self.costs.get(CommandClass.CANCEL, 0))
        return whole if kind is CommandClass.REDUCE else 2 * whole

    def refill(self, now_ns: int) -> None:
        last_ns = self._refilled_ns
        if self.bucket.kind is BucketKind.WINDOW:
            window = now_ns // self.period_ns
            if last_ns is None or window > last_ns // self.period_ns:
                self._left = self._full
        elif last_ns is not None and now_ns > last_ns:
            self._left = min(self._full, self._left + (now_ns - last_ns) * self.usable)
        self._refilled_ns = now_ns if last_ns is None else max(last_ns, now_ns)

    def allows(self, kind: CommandClass, live_orders: int) -> bool:
        """Whether a command of this kind may leave, by the amounts of the last `refill`."""
        return self._short(kind, live_orders) <= 0

    def take(self, kind: CommandClass) -> None:
        self._left -= self.costs.get(kind, 0) * self.period_ns

    def ready_ns(self, kind: CommandClass, live_orders: int, now_ns: int) -> int | None:
        """When `allows` will be true if nothing else happens; None: not with this reserve."""
        short = self._short(kind, live_orders)
        if short <= 0:
            return now_ns
        if short > 2 * (self._full - self._left):
            return None
        if self.bucket.kind is BucketKind.WINDOW:
            return (now_ns // self.period_ns + 1) * self.period_ns
        return now_ns + -(-short // (2 * self.usable))

    def left(self) -> int:
        """Whole units left at the last `refill`."""
        return self._left // self.period_ns

    def _short(self, kind: CommandClass, live_orders: int) -> int:
        """Twice the amount that is missing. A cancel dearer than the bucket leaves when the bucket is full."""
        cost = self.costs.get(kind, 0)
        if kind is CommandClass.CANCEL or kind is CommandClass.CANCEL_ALL:
            cost = min(cost, self.usable)
        needed = 2 * cost + self.doubled_reserve(kind, live_orders)
        return needed * self.period_ns - 2 * self._left
