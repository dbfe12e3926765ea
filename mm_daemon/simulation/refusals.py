"""What a simulated venue refuses beyond its own filters: by chance, by rule, and past its rate limits.

`RejectRules` are a venue's moods and its limits on orders; `VenueLimits` count requests as they arrive, all of each
bucket, where the outbox plans with a part of it: so a refusal means that the pacing was too fast for the link.
"""

from collections import deque
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.capabilities import Bucket, BucketKind, CommandClass
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.orders import RejectKind
from mm_daemon.domain.rng import Rng
from mm_daemon.simulation.account import Refused, VenueAccount, VenueOrder

_Chance = Annotated[float, Meta(ge=0, le=1)]
_NS_PER_MS = 1_000_000
_PER_BP = 10_000
_BY_CHANCE: Refused = (RejectKind.OTHER, "simulated refusal")


class RejectRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refusals of a venue beside its filters on price and size."""

    place_chance: Annotated[_Chance, Meta(description="chance that a place is refused")] = 0.0
    amend_chance: Annotated[_Chance, Meta(description="chance that an amend is refused, the order living on")] = 0.0
    cancel_chance: Annotated[_Chance, Meta(description="chance that a cancel is refused, the order living on")] = 0.0
    max_open_orders: (
        Annotated[int, Meta(gt=0, le=100000, description="open orders of a market beyond which places are refused")]
        | None
    ) = None
    price_band_bps: (
        Annotated[
            float,
            Meta(gt=0, le=100000, description="distance from the best opposite price beyond which orders are refused"),
        ]
        | None
    ) = None
    max_exposure: (
        Annotated[
            float,
            Meta(
                gt=0,
                description="value of a position with all open orders of a side filled, quote currency, beyond which "
                "places are refused for want of margin",
            ),
        ]
        | None
    ) = None


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rate limit of a venue, in requests: the outbox paces by it, and the simulated venue refuses beyond it."""

    name: Annotated[str, Meta(min_length=1, description="what it is called")]
    kind: Annotated[
        Literal["window", "token"], Meta(description="window: so many in any period; token: refilled evenly over it")
    ] = "window"
    capacity: Annotated[int, Meta(gt=0, le=1000000, description="requests a period")]
    period_ms: Annotated[int, Meta(gt=0, le=86400000, description="the period, ms")] = 1000
    cancels: Annotated[bool, Meta(description="cancels count too")] = False

    def bucket(self) -> Bucket:
        costs = {CommandClass.REDUCE: 1, CommandClass.AMEND: 1, CommandClass.PLACE: 1}
        if self.cancels:
            costs |= {CommandClass.CANCEL: 1, CommandClass.CANCEL_ALL: 1}
        return Bucket(
            name=self.name,
            kind=BucketKind(self.kind),
            capacity=self.capacity,
            period_ms=self.period_ms,
            costs=costs,
            reserve=None if self.cancels else 0,
        )


class Refusals:
    """The rules at work on one account. Draws in the order of arrival, so that one seed is one history."""

    def __init__(self, rules: RejectRules, account: VenueAccount, rng: Rng) -> None:
        self._rules = rules
        self._account = account
        self._rng = rng

    def of_place(self, command: PlaceOrder, touch: int) -> Refused | None:
        """`touch` is the best opposite price."""
        rules = self._rules
        if self._happens(rules.place_chance):
            return _BY_CHANCE
        if rules.max_open_orders is not None:
            open_orders = sum(order.instrument == command.instrument for order in self._account.orders.values())
            if open_orders >= rules.max_open_orders:
                return RejectKind.OTHER, f"{open_orders} orders are open, which is all the venue takes"
        banded = self._band(command.ticks, touch)
        if banded is not None:
            return banded
        if rules.max_exposure is not None and not command.reduce_only:
            return self._margin(command, rules.max_exposure)
        return None

    def of_amend(self, command: AmendOrder, touch: int) -> Refused | None:
        return _BY_CHANCE if self._happens(self._rules.amend_chance) else self._band(command.ticks, touch)

    def of_cancel(self, order: VenueOrder) -> Refused | None:
        return _BY_CHANCE if self._happens(self._rules.cancel_chance) else None

    def _band(self, ticks: int, touch: int) -> Refused | None:
        band = self._rules.price_band_bps
        if band is None or touch in {NO_BID, NO_ASK} or abs(ticks - touch) * _PER_BP <= band * touch:
            return None
        return RejectKind.INVALID, f"the price is further than {band:g} bps from the market"

    def _margin(self, command: PlaceOrder, limit: float) -> Refused | None:
        side, account = command.side, self._account
        resting = sum(
            order.remaining_lots
            for order in account.orders.values()
            if order.instrument == command.instrument and order.side is side
        )
        lots = side * account.history.lots(command.instrument) + resting + command.lots
        instrument = account.instruments[command.instrument]
        value = float(instrument.size(lots)) * float(instrument.price(command.ticks) * instrument.multiplier)
        if value <= limit:
            return None
        return RejectKind.INSUFFICIENT_MARGIN, f"a position worth {value:g} needs more margin than {limit:g} allows"

    def _happens(self, chance: float) -> bool:
        return chance > 0.0 and self._rng.uniform() < chance


class VenueLimits:
    """The venue's own count of our requests."""

    def __init__(self, buckets: Sequence[Bucket]) -> None:
        self._counts = [_Count(bucket) for bucket in buckets]

    def refusal(self, request: Command, at_ns: int) -> tuple[str, int] | None:
        """(bucket, milliseconds until it has room) of the first limit that this request passes; None: it is taken,
        and counted.
        """
        kind = _class_of(request)
        for count in self._counts:
            wait_ns = count.wait_ns(count.bucket.cost(kind, 1), at_ns)
            if wait_ns > 0:
                return count.bucket.name, -(-wait_ns // _NS_PER_MS)
        for count in self._counts:
            count.take(count.bucket.cost(kind, 1), at_ns)
        return None


class _Count:
    """One bucket, all of its capacity. `window`: the last period's requests; `token`: units times the period."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._period_ns = bucket.period_ms * _NS_PER_MS
        self._taken: deque[tuple[int, int]] = deque()
        self._used = 0
        self._level = bucket.capacity * self._period_ns
        self._filled_ns = 0

    def wait_ns(self, cost: int, at_ns: int) -> int:
        """How long until so much may be taken; 0: now."""
        if not cost:
            return 0
        capacity, period_ns = self.bucket.capacity, self._period_ns
        if self.bucket.kind is BucketKind.TOKEN:
            self._level = min(self._level + (at_ns - self._filled_ns) * capacity, capacity * period_ns)
            self._filled_ns = at_ns
            return -(-max(cost * period_ns - self._level, 0) // capacity)
        taken = self._taken
        while taken and taken[0][0] <= at_ns - period_ns:
            self._used -= taken.popleft()[1]
        over = self._used + cost - capacity
        for then_ns, units in taken:
            if over <= 0:
                break
            over -= units
            if over <= 0:
                return then_ns + period_ns - at_ns
        return 0

    def take(self, cost: int, at_ns: int) -> None:
        if not cost:
            return
        self._level -= cost * self._period_ns
        self._used += cost
        self._taken.append((at_ns, cost))


def _class_of(request: Command) -> CommandClass:
    if isinstance(request, CancelAll):
        return CommandClass.CANCEL_ALL
    if isinstance(request, CancelOrder):
        return CommandClass.CANCEL
    if isinstance(request, AmendOrder):
        return CommandClass.AMEND
    return CommandClass.REDUCE if request.reduce_only else CommandClass.PLACE
