"""Rate limits as venues state them: what batches cost, blocks, quotas, and the venue's own count (EXECUTION 6)."""

import msgspec
import pytest

from mm_daemon.core.batching import batches
from mm_daemon.core.outbox import Outbox
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import Command, PlaceOrder, Reason
from mm_daemon.domain.events import RateLimitUsed
from mm_daemon.domain.instrument import instrument_id
from mm_daemon.domain.orders import Purpose, Side, TimeInForce
from tests.approval import approved, fold
from tests.orders import MS, SECOND, VENUE, cancel, cancel_all, place

ONE_EACH = dict.fromkeys(CommandClass, 1)
EACH_ONE_BATCH = dict.fromkeys(CommandClass, 1)


def _outbox(*buckets: Bucket, batch_max: int = 1) -> Outbox:
    return Outbox(Capabilities(buckets=buckets, batch_max=batch_max), 60 * SECOND, fold)


def _offer(outbox: Outbox, *commands: Command, now_ns: int = 0) -> None:
    for command in commands:
        outbox.offer(approved(command, now_ns), now_ns)


def _count(outbox: Outbox, now_ns: int = 0) -> int:
    return len(outbox.release(now_ns, 0)[0])


@pytest.mark.parametrize(
    ("batch_costs", "step", "sizes"),
    [
        ({}, None, {1: 1, 2: 2, 41: 41}),
        (EACH_ONE_BATCH, 40, {1: 1, 2: 1, 39: 1, 40: 2, 79: 2, 80: 3}),
        ({CommandClass.PLACE: 5}, None, {1: 1, 2: 5, 5: 5}),
    ],
    ids=["each", "one and another for each forty", "flat"],
)
def test_a_batch_costs_what_its_venue_says(
    batch_costs: dict[CommandClass, int], step: int | None, sizes: dict[int, int]
) -> None:
    """By its formula, and the outbox has taken just that when the batch has left."""
    bucket = Bucket(
        name="weight",
        kind=BucketKind.TOKEN,
        capacity=1000,
        period_ms=60_000,
        costs=ONE_EACH,
        reserve=0,
        batch_costs=batch_costs,
        batch_step=step,
    )
    for size, cost in sizes.items():
        outbox = _outbox(bucket, batch_max=100)
        _offer(outbox, *[place(number, ticks=number + 1) for number in range(size)])
        assert _count(outbox) == size
        assert outbox.left("weight") == 900 - cost == 900 - bucket.cost(CommandClass.PLACE, size)


def test_a_batch_is_of_one_class_one_family_and_makers_apart_from_takers() -> None:
    """And no longer than the venue takes; what is counted is what is sent."""
    taker = PlaceOrder(
        place(9).instrument, place(9).client_id, Side.BUY, 0, 99, 1, (Reason.NEW_QUOTE,), post_only=False,
        time_in_force=TimeInForce.IOC,
    )  # fmt: skip
    hedge = place(8, purpose=Purpose.HEDGE)
    commands = [approved(c) for c in (cancel(1), cancel(2), hedge, place(3), place(4), place(5), taker, cancel_all())]
    grouped = [[each.command for each in batch] for batch in batches(commands, 2)]
    assert grouped == [[cancel(1), cancel(2)], [hedge], [place(3), place(4)], [place(5)], [taker], [cancel_all()]]
    other = msgspec.structs.replace(place(6), instrument=instrument_id(VENUE, "SPOT"))
    mixed = [approved(command) for command in (place(3), other, place(4))]
    assert [len(batch) for batch in batches(mixed, 9)] == [3]
    assert [len(batch) for batch in batches(mixed, 9, lambda name: name[-4:])] == [1, 1, 1]


def test_blocks_bring_back_what_blocks_allowed() -> None:
    """Ten units in any two blocks, nine of them used: time alone brings nothing, the second next height does."""
    outbox = _outbox(Bucket(name="chain", kind=BucketKind.PER_BLOCK, capacity=10, blocks=2, costs=ONE_EACH, reserve=0))
    outbox.at_height(100, 0)
    _offer(outbox, *[place(number) for number in range(20)])
    assert _count(outbox) == 9
    assert _count(outbox, 10 * SECOND) == 0
    assert outbox.hold(False, 0, 10 * SECOND) == (Reason.BUDGET_HOLD, None)
    outbox.at_height(101, 11 * SECOND)
    assert _count(outbox, 11 * SECOND) == 0
    outbox.at_height(102, 12 * SECOND)
    assert _count(outbox, 12 * SECOND) == 9


def test_the_venues_count_is_taken_where_it_is_higher() -> None:
    """Somebody else uses the same limit; a count lower than ours forgets what is still on its way."""
    outbox = _outbox(
        Bucket(name="orders", kind=BucketKind.WINDOW, capacity=10, period_ms=900, costs=ONE_EACH, reserve=0)
    )
    _offer(outbox, place(1), place(2))
    assert _count(outbox) == 2
    outbox.used(RateLimitUsed(VENUE, 0, 0, "orders", 1))
    assert outbox.left("orders") == 7
    outbox.used(RateLimitUsed(VENUE, 0, 500 * MS, "orders", 8))
    assert outbox.left("orders") == 1
    outbox.used(RateLimitUsed(VENUE, 0, 500 * MS, "nobody's", 8))
    _offer(outbox, *[place(number) for number in range(10, 20)], now_ns=500 * MS)
    assert _count(outbox, 500 * MS) == 1
    assert outbox.next_deadline_ns() == SECOND  # our own two are over first
    assert _count(outbox, SECOND) == 2
    assert _count(outbox, 1500 * MS - 1) == 0
    assert _count(outbox, 1500 * MS) == 7


def test_a_quota_is_what_the_venue_says_and_does_not_come_back() -> None:
    """Up as well as down; below a fifth it is scarce, at a twentieth it is kept for cancels."""
    costs = {**ONE_EACH, CommandClass.CANCEL: 0, CommandClass.CANCEL_ALL: 0}
    outbox = _outbox(Bucket(name="requests", kind=BucketKind.QUOTA, capacity=100, use_percent=100, costs=costs))
    _offer(outbox, *[place(number) for number in range(200)])
    assert _count(outbox) == 95
    assert outbox.scarce
    assert outbox.hold(True, 0, 3600 * SECOND) == (Reason.BUDGET_HOLD, None)
    _offer(outbox, cancel(1000))
    assert [type(item.command) for item in outbox.release(0, 0)[0]] == [type(cancel(1000))]
    outbox.used(RateLimitUsed(VENUE, 0, SECOND, "requests", 95, 200))
    assert not outbox.scarce
    assert outbox.left("requests") == 105
    assert outbox.hold(True, 0, SECOND) == (None, None)


def test_a_limit_that_opens_in_time_holds_nothing() -> None:
    """What would leave within its time to live may be asked for; what would not is held until it could."""
    bucket = Bucket(name="orders", kind=BucketKind.WINDOW, capacity=10, period_ms=900, costs=ONE_EACH, reserve=0)
    outbox = Outbox(Capabilities(buckets=(bucket,)), 250 * MS, fold)
    _offer(outbox, *[place(number) for number in range(9)])
    assert _count(outbox) == 9
    assert outbox.hold(False, 0, 0) == (Reason.BUDGET_HOLD, SECOND)
    assert outbox.hold(False, 0, 750 * MS) == (Reason.BUDGET_HOLD, SECOND)
    assert outbox.hold(False, 0, 751 * MS) == (None, None)


def test_nobody_waits_for_an_order_that_was_taken_back() -> None:
    """Superseded places and amends vanish, cancels stay."""
    outbox = _outbox(Bucket(name="orders", kind=BucketKind.WINDOW, capacity=0, period_ms=900, costs=ONE_EACH))
    _offer(outbox, place(1), cancel(2))
    assert [drop.command for drop in outbox.take_back(1)] == [place(1)]
    assert outbox.take_back(2) == []
    assert outbox.commands() == [cancel(2)]
