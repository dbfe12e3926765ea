"""The outbox: what was approved waits here until its venue's pacing lets it leave (EXECUTION 6).

One per venue, pure, the same live, in paper and in a backtest. Commands leave by class (cancel_all, cancel, reduce,
amend, place), first come first served within a class, and a command that is blocked is overtaken by nothing of a lower
class. Commands about one order that has not left yet are folded together. A venue without buckets never waits.
"""

from collections.abc import Callable

from mm_daemon.core.batching import Batch, FamilyOf, command_class
from mm_daemon.core.buckets import Closing, bucket_state
from mm_daemon.domain.capabilities import BucketKind, Capabilities, CommandClass
from mm_daemon.domain.deadlines import sooner
from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    CancelOrder,
    Command,
    DropCode,
    DroppedCommand,
    PlaceOrder,
    Reason,
    Refusal,
)
from mm_daemon.domain.events import (
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderEvent,
    RateLimited,
    RateLimitUsed,
)

CAPACITY = 512
_SOFT_SHARE = 5
"""Below this part of a quota quotes may lag further behind (EXECUTION 5)."""

_CANCEL_ALL, _CANCEL, _REDUCE, _AMEND, _PLACE = range(5)
_CLASSES = (CommandClass.CANCEL_ALL, CommandClass.CANCEL, CommandClass.REDUCE, CommandClass.AMEND, CommandClass.PLACE)
_CANCELS = (CommandClass.CANCEL_ALL, CommandClass.CANCEL)
_EXPIRING = (_REDUCE, _AMEND, _PLACE)
_RANKS = {kind: rank for rank, kind in enumerate(_CLASSES)}

Merge = Callable[[PlaceOrder, AmendOrder, int], ApprovedCommand | Refusal]
"""The gate's review of a waiting place that takes over the price and size of its amend."""

_Waiting = tuple[ApprovedCommand, int]
"""A command and when it was offered."""


class Outbox:
    """Commands waiting for one venue. Each class holds one command per order at most, so only places can pile up."""

    __slots__ = (
        "_alone",
        "_batch_max",
        "_batches_cost",
        "_buckets",
        "_classes",
        "_closed_until_ns",
        "_closing",
        "_deadline_ns",
        "_exempt",
        "_family_of",
        "_height",
        "_merge",
        "_quotas",
        "_ttl_ns",
        "banned_until_ns",
        "paced",
        "waiting",
    )

    def __init__(
        self, capabilities: Capabilities, ttl_ns: int, merge: Merge, family_of: FamilyOf = lambda instrument: ""
    ) -> None:
        self._ttl_ns = ttl_ns
        self._merge = merge
        self._batch_max = capabilities.batch_max
        self._family_of = family_of
        self._buckets = [bucket_state(bucket) for bucket in capabilities.buckets]
        self._quotas = [state for state in self._buckets if state.bucket.kind is BucketKind.QUOTA]
        self._alone = {kind: [bucket.cost(kind, 1) for bucket in capabilities.buckets] for kind in CommandClass}
        """What one command costs in each bucket, with no other in its batch."""
        self._batches_cost = any(bucket.batch_costs for bucket in capabilities.buckets)
        """Whether a command may cost less behind others of its batch."""
        self._height = 0
        """The venue's, as last heard."""
        self.paced = bool(self._buckets)
        """Whether `hold` can say anything: the venue has limits, or has told us to slow down."""
        self._exempt = any(bucket.cancels_exempt for bucket in capabilities.buckets)
        self._closing = Closing()
        self.banned_until_ns = 0
        """The venue takes no message at all before; 0: it never said so."""
        self._closed_until_ns = 0
        self._classes: tuple[dict[int, _Waiting], ...] = ({}, {}, {}, {}, {})
        self._deadline_ns: int | None = None
        self.waiting = 0
        """Commands waiting."""

    @property
    def full(self) -> bool:
        """No place may be offered: the core refuses it with `outbox_full`."""
        return self.waiting >= CAPACITY

    def commands(self) -> list[Command]:
        """What waits, in the order it would leave."""
        return [approved.command for waiting in self._classes for approved, _ in waiting.values()]

    def left(self, bucket: str) -> int:
        """Whole units left in a bucket when it was last looked at. Raises KeyError for a name the venue lacks."""
        for state in self._buckets:
            if state.bucket.name == bucket:
                return state.left()
        raise KeyError(bucket)

    def headroom(self) -> dict[str, float]:
        """The share of each bucket that was left when it was last looked at, 0..1."""
        return {state.bucket.name: state.left() / state.usable for state in self._buckets if state.usable}

    # In

    def offer(self, approved: ApprovedCommand, now_ns: int) -> list[DroppedCommand]:
        """Take a command in; the answer is what it made superfluous, itself perhaps included."""
        command = approved.command
        if isinstance(command, CancelAll):
            dropped = self._swallow()
            self._put(_CANCEL_ALL, 0, approved, now_ns)
            return dropped
        if isinstance(command, CancelOrder):
            return self._offer_cancel(command, approved, now_ns)
        if isinstance(command, AmendOrder):
            return self._offer_amend(command, approved, now_ns)
        if self.full:
            return [DroppedCommand(command, DropCode.QUEUE_EXPIRED)]
        self._put(_rank(command), command.client_id, approved, now_ns)
        return []

    def _offer_cancel(self, command: CancelOrder, approved: ApprovedCommand, now_ns: int) -> list[DroppedCommand]:
        client_id = command.client_id
        if not self.waiting:
            self._put(_CANCEL, client_id, approved, now_ns)
            return []
        dropped = self._take_out(client_id, (_REDUCE, _PLACE))
        if dropped:  # it never left: nothing is there to cancel
            dropped.append(DroppedCommand(command, DropCode.CONFLATED))
            return dropped
        dropped = self._take_out(client_id, (_AMEND,))
        older = self._put(_CANCEL, client_id, approved, now_ns)
        if older is not None:
            dropped.append(DroppedCommand(older.command, DropCode.CONFLATED))
        return dropped

    def _offer_amend(self, command: AmendOrder, approved: ApprovedCommand, now_ns: int) -> list[DroppedCommand]:
        client_id = command.client_id
        if not self.waiting:
            self._put(_AMEND, client_id, approved, now_ns)
            return []
        for rank in (_REDUCE, _PLACE):
            place = self._classes[rank].get(client_id)
            if place is not None and isinstance(place[0].command, PlaceOrder):
                merged = self._merge(place[0].command, command, now_ns)
                if isinstance(merged, Refusal):  # the place waits on as it is
                    return [DroppedCommand(command, DropCode.QUEUE_EXPIRED)]
                self._put(rank, client_id, merged, now_ns)
                return [DroppedCommand(command, DropCode.CONFLATED)]
        if client_id in self._classes[_CANCEL] or self._classes[_CANCEL_ALL]:
            return [DroppedCommand(command, DropCode.CONFLATED)]
        older = self._put(_AMEND, client_id, approved, now_ns)
        return [] if older is None else [DroppedCommand(older.command, DropCode.CONFLATED)]

    def _put(self, rank: int, key: int, approved: ApprovedCommand, now_ns: int) -> ApprovedCommand | None:
        """Enter a command; one that takes another's place keeps its turn. Returns the one it replaced."""
        waiting = self._classes[rank]
        older = waiting.get(key)
        waiting[key] = (approved, now_ns)
        self._deadline_ns = now_ns
        if older is None:
            self.waiting += 1
            return None
        return older[0]

    def _take_out(self, client_id: int, ranks: tuple[int, ...]) -> list[DroppedCommand]:
        dropped: list[DroppedCommand] = []
        for rank in ranks:
            entry = self._classes[rank].pop(client_id, None)
            if entry is not None:
                self.waiting -= 1
                dropped.append(DroppedCommand(entry[0].command, DropCode.CONFLATED))
        return dropped

    def _swallow(self) -> list[DroppedCommand]:
        """A cancel_all makes everything that waits superfluous."""
        if not self.waiting:
            return []
        entries = [entry for waiting in self._classes for entry in waiting.values()]
        entries.sort(key=lambda entry: entry[1])
        dropped = [DroppedCommand(approved.command, DropCode.CONFLATED) for approved, _ in entries]
        for waiting in self._classes:
            waiting.clear()
        self.waiting = 0
        return dropped

    def take_back(self, client_id: int) -> list[DroppedCommand]:
        """Places and amends of an order that have not left, and that nobody wants any more (EXECUTION 6)."""
        dropped = self._take_out(client_id, _EXPIRING)
        return [DroppedCommand(drop.command, DropCode.QUEUE_EXPIRED) for drop in dropped]

    # Events

    def at_height(self, height: int, now_ns: int) -> None:
        """The venue has made another block."""
        self._height = max(self._height, height)
        self._deadline_ns = now_ns

    def used(self, event: RateLimitUsed) -> None:
        """The venue tells its own count of a limit (a response's headers). An unknown limit is none of ours."""
        now_ns = event.ts_local_ns
        for state in self._buckets:
            if state.bucket.name == event.bucket:
                state.refill(now_ns, self._height)
                state.correct(event.used, event.capacity, now_ns, self._height)
        self._deadline_ns = now_ns

    def ban(self, until_ns: int) -> None:
        """No message before this instant, whatever it costs."""
        self.banned_until_ns = max(self.banned_until_ns, until_ns)
        self._closed_until_ns = max(self._closed_until_ns, self.banned_until_ns)
        self.paced = True

    def apply(self, event: OrderEvent | RateLimited) -> None:
        """Retry-after closes, success forgets the backoff. The count itself was taken at release."""
        if isinstance(event, RateLimited):
            self._slow_down(event)
        elif isinstance(event, OrderAccepted | OrderAmended | OrderCanceled):
            self._closing.succeeded()
            for state in self._buckets:
                state.closing.succeeded()

    def _slow_down(self, event: RateLimited) -> None:
        now_ns = event.ts_local_ns
        self.paced = True
        named = [state for state in self._buckets if state.bucket.name == event.bucket]
        for state in named:
            state.closing.close(now_ns, event.retry_after_ms)
        if not named or event.banned:
            self._closing.close(now_ns, event.retry_after_ms)
        if event.banned:
            self.ban(self._closing.until_ns)
        closings = [self._closing, *(state.closing for state in self._buckets)]
        self._closed_until_ns = max(self.banned_until_ns, *(closing.until_ns for closing in closings))
        self._deadline_ns = now_ns

    def closed_until(self, now_ns: int) -> int | None:
        """The end of the longest retry-after or ban that runs; None while nothing is closed."""
        return self._closed_until_ns if self._closed_until_ns > now_ns else None

    def hold(self, amends: bool, live_orders: int, now_ns: int) -> tuple[Reason | None, int | None]:
        """Why what moves a quote, an amend or else a place, would be too old before it could leave, and until when;
        None: it would not. Without an end only an event opens the limit again.
        """
        kind = _CLASSES[_AMEND if amends else _PLACE]
        opens_ns = self._opens_ns(kind, now_ns)
        if opens_ns > now_ns:
            return Reason.VENUE_BACKOFF, opens_ns
        until_ns = now_ns
        for state, cost in zip(self._buckets, self._alone[kind], strict=True):
            if kind not in state.concerned:
                continue
            state.refill(now_ns, self._height)
            ready_ns = state.ready_ns(kind, cost, live_orders, now_ns)
            if ready_ns is None:
                return Reason.BUDGET_HOLD, None
            until_ns = max(until_ns, ready_ns)
        return (None, None) if until_ns < now_ns + self._ttl_ns else (Reason.BUDGET_HOLD, until_ns)

    @property
    def scarce(self) -> bool:
        """A quota of the venue is nearly used up: quotes should move less."""
        return bool(self._quotas) and any(_SOFT_SHARE * state.level < state.usable for state in self._quotas)

    # Out

    def release(self, now_ns: int, live_orders: int) -> tuple[list[ApprovedCommand], list[DroppedCommand]]:
        """What may leave now, in order, and what waited too long. The cost of cancelling `live_orders` is kept back."""
        released: list[ApprovedCommand] = []
        if not self.waiting:
            return released, []
        if not self._buckets and now_ns >= self._closing.until_ns and now_ns >= self.banned_until_ns:
            for waiting in self._classes:
                if waiting:
                    released += [approved for approved, _ in waiting.values()]
                    waiting.clear()
            self.waiting = 0
            return released, []
        dropped = self._expire(now_ns)
        for state in self._buckets:
            state.refill(now_ns, self._height)
        ready_ns: int | None = None
        batch = Batch(self._batch_max, self._family_of)
        for kind, waiting in zip(_CLASSES, self._classes, strict=True):
            while waiting:
                key, (approved, _) = next(iter(waiting.items()))
                joins = self._batches_cost and batch.takes(approved.command)
                units = self._units(kind, batch.size) if joins else self._alone[kind]
                if not self._may_leave(kind, units, live_orders, now_ns):
                    ready_ns = self._ready_ns(kind, units, live_orders, now_ns)
                    break
                if self._batches_cost:
                    batch.add(approved.command)
                released.append(approved)
                del waiting[key]
                self.waiting -= 1
                for state, cost in zip(self._buckets, units, strict=True):
                    state.take(cost, now_ns, self._height)
            else:
                continue
            break
        self._deadline_ns = self._earliest(ready_ns) if self.waiting else None
        return released, dropped

    def _units(self, kind: CommandClass, before: int) -> list[int]:
        """What one more command costs in each bucket, behind so many of its batch."""
        return [
            max(state.bucket.cost(kind, before + 1) - state.bucket.cost(kind, before), 0) for state in self._buckets
        ]

    def next_deadline_ns(self) -> int | None:
        """When `release` could do something it could not do last time: a command may leave, or has waited too long."""
        return self._deadline_ns if self.waiting else None

    def _expire(self, now_ns: int) -> list[DroppedCommand]:
        """Prices go stale: a place or amend that waited its time is dropped, and decided again if still wanted."""
        dropped: list[DroppedCommand] = []
        latest_ns = now_ns - self._ttl_ns
        for rank in _EXPIRING:
            waiting = self._classes[rank]
            if not waiting:
                continue
            for key, (approved, offered_ns) in tuple(waiting.items()):
                if offered_ns <= latest_ns:
                    del waiting[key]
                    dropped.append(DroppedCommand(approved.command, DropCode.QUEUE_EXPIRED))
                    self.waiting -= 1
        return dropped

    def _may_leave(self, kind: CommandClass, units: list[int], live_orders: int, now_ns: int) -> bool:
        if now_ns < self._opens_ns(kind, now_ns):
            return False
        for state, cost in zip(self._buckets, units, strict=True):
            if kind in state.concerned and not state.allows(kind, cost, live_orders):
                return False
        return True

    def _opens_ns(self, kind: CommandClass, now_ns: int) -> int:
        """The end of every closing that concerns this class; 0 where none runs any more."""
        if now_ns >= self._closed_until_ns and now_ns >= self.banned_until_ns:
            return 0
        cancel = kind in _CANCELS
        opens_ns = self.banned_until_ns
        if not (cancel and self._exempt):
            opens_ns = max(opens_ns, self._closing.until_ns)
        for state in self._buckets:
            if kind in state.concerned and not (cancel and state.bucket.cancels_exempt):
                opens_ns = max(opens_ns, state.closing.until_ns)
        return opens_ns

    def _ready_ns(self, kind: CommandClass, units: list[int], live_orders: int, now_ns: int) -> int | None:
        ready_ns = max(self._opens_ns(kind, now_ns), now_ns)
        for state, cost in zip(self._buckets, units, strict=True):
            if kind in state.concerned:
                bucket_ns = state.ready_ns(kind, cost, live_orders, now_ns)
                if bucket_ns is None:
                    return None
                ready_ns = max(ready_ns, bucket_ns)
        return ready_ns

    def _earliest(self, ready_ns: int | None) -> int | None:
        """The sooner of `ready_ns` and the first command to go stale."""
        offered_ns = (at_ns for rank in _EXPIRING for _, at_ns in self._classes[rank].values())
        oldest_ns = min(offered_ns, default=None)
        return ready_ns if oldest_ns is None else sooner(ready_ns, oldest_ns + self._ttl_ns)


def _rank(command: Command) -> int:
    return _RANKS[command_class(command)]
