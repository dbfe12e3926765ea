"""The outbox: priority, conflation, pacing, closing, staleness (EXECUTION 6)."""

import pytest

from mm_daemon.core.outbox import CAPACITY, Outbox
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import (
    AmendOrder,
    ApprovedCommand,
    Command,
    DropCode,
    DroppedCommand,
    PlaceOrder,
    Refusal,
    RefusalCode,
)
from mm_daemon.domain.events import RateLimited
from mm_daemon.domain.orders import Purpose, Side
from tests.approval import approved, fold
from tests.orders import MS, SECOND, VENUE, accepted, amend, cancel, cancel_all, place

TTL = 250 * MS
ONE_EACH = dict.fromkeys(CommandClass, 1)


def _bucket(
    capacity: int = 10, kind: BucketKind = BucketKind.WINDOW, period_ms: int = 1000, **changes: object
) -> Bucket:
    fields: dict[str, object] = {"name": "orders", "costs": ONE_EACH, "reserve": 0, "slack_ms": 0}
    return Bucket(kind=kind, capacity=capacity, period_ms=period_ms, **(fields | changes))  # type: ignore[arg-type]


def _outbox(*buckets: Bucket) -> Outbox:
    return Outbox(Capabilities(buckets=buckets), TTL, fold)


def _offer(outbox: Outbox, *commands: Command, now_ns: int = 0) -> list[DroppedCommand]:
    return [drop for command in commands for drop in outbox.offer(approved(command, now_ns), now_ns)]


def _release(outbox: Outbox, now_ns: int = 0, live_orders: int = 0) -> list[Command]:
    released, _ = outbox.release(now_ns, live_orders)
    return [item.command for item in released]


def _flatten(number: int) -> PlaceOrder:
    return place(number, Side.SELL, post_only=False, reduce_only=True, purpose=Purpose.FLATTEN)


def test_venue_without_buckets_never_waits() -> None:
    """Everything leaves at once, by class and in order of arrival."""
    outbox = _outbox()
    _offer(outbox, place(1), amend(2, 98, 5), cancel(3), _flatten(4), place(5))
    assert outbox.waiting == 5
    assert _release(outbox) == [cancel(3), _flatten(4), amend(2, 98, 5), place(1), place(5)]
    assert outbox.waiting == 0
    assert outbox.next_deadline_ns() is None


def test_place_and_cancel_that_never_left_vanish_together() -> None:
    """Nothing reaches the venue; the order is absent."""
    outbox = _outbox()
    _offer(outbox, place(1))
    dropped = _offer(outbox, cancel(1))
    assert [drop.command for drop in dropped] == [place(1), cancel(1)]
    assert {drop.code for drop in dropped} == {DropCode.CONFLATED}
    assert _release(outbox) == []


def test_amend_folds_into_the_place_that_waits() -> None:
    """One place leaves, with the amend's price and size."""
    outbox = _outbox()
    _offer(outbox, place(1))
    assert [drop.command for drop in _offer(outbox, amend(1, 97, 4))] == [amend(1, 97, 4)]
    (command,) = _release(outbox)
    assert isinstance(command, PlaceOrder)
    assert (command.ticks, command.lots) == (97, 4)


def test_refused_fold_leaves_the_place_as_it_was() -> None:
    """The gate's no to the merged place costs the amend, not the place."""

    def refuse(_place: PlaceOrder, command: AmendOrder, now_ns: int) -> ApprovedCommand | Refusal:
        return Refusal(command, RefusalCode.WORST_POSITION)

    outbox = Outbox(Capabilities(), TTL, refuse)
    _offer(outbox, place(1))
    (dropped,) = _offer(outbox, amend(1, 97, 4))
    assert (dropped.command, dropped.code) == (amend(1, 97, 4), DropCode.QUEUE_EXPIRED)
    assert _release(outbox) == [place(1)]


def test_newer_amend_and_cancel_supersede() -> None:
    """Of two amends the newer leaves; a cancel makes an amend superfluous, before and after it."""
    outbox = _outbox()
    assert [d.command for d in _offer(outbox, amend(1, 98, 5), amend(1, 97, 5))] == [amend(1, 98, 5)]
    assert [d.command for d in _offer(outbox, cancel(1))] == [amend(1, 97, 5)]
    assert [d.command for d in _offer(outbox, amend(1, 96, 5))] == [amend(1, 96, 5)]
    assert _release(outbox) == [cancel(1)]


def test_cancel_all_swallows_what_has_not_left() -> None:
    """In the order it was offered; only the cancel_all leaves."""
    outbox = _outbox()
    commands: list[Command] = [place(1), cancel(2), amend(3, 98, 5)]
    for now_ns, command in enumerate(commands):
        _offer(outbox, command, now_ns=now_ns)
    assert [drop.command for drop in _offer(outbox, cancel_all(), now_ns=5)] == commands
    assert _release(outbox, 5) == [cancel_all()]


def test_nine_tenths_of_a_window_are_used() -> None:
    """The rest of a limit is never touched, and no window sees more, wherever the venue lets it begin."""
    outbox = Outbox(Capabilities(buckets=(_bucket(10),)), 60 * SECOND, fold)
    _offer(outbox, *[place(number) for number in range(5)], now_ns=900 * MS)
    assert len(_release(outbox, 900 * MS)) == 5
    _offer(outbox, *[place(number) for number in range(5, 12)], now_ns=1100 * MS)
    assert len(_release(outbox, 1100 * MS)) == 4
    assert outbox.next_deadline_ns() == 1900 * MS
    assert _release(outbox, 1900 * MS - 1) == []
    assert len(_release(outbox, 1900 * MS)) == 3


def test_tokens_come_back_evenly() -> None:
    """9 usable units a second: one each ninth of a second, to the nanosecond."""
    outbox = Outbox(Capabilities(buckets=(_bucket(10, BucketKind.TOKEN),)), 60 * SECOND, fold)
    _offer(outbox, *[place(number) for number in range(11)])
    assert len(_release(outbox)) == 9
    due_ns = outbox.next_deadline_ns()
    assert due_ns == -(-SECOND // 9)
    assert _release(outbox, due_ns - 1) == []
    assert len(_release(outbox, due_ns)) == 1


def test_reserve_is_kept_for_cancels() -> None:
    """Places leave 20 % of the bucket, reducing orders half of that, cancels nothing."""
    outbox = _outbox(_bucket(20, reserve=None))
    _offer(outbox, *[place(number) for number in range(30)])
    assert len(_release(outbox)) == 14  # 18 usable, 4 kept
    outbox = _outbox(_bucket(20, reserve=None))
    _offer(outbox, *[_flatten(number) for number in range(30)])
    assert len(_release(outbox)) == 16
    _offer(outbox, *[cancel(number + 100) for number in range(30)])
    assert len(_release(outbox)) == 2


def test_reserve_covers_cancelling_every_live_order() -> None:
    """With more live orders than the fixed reserve, their cancels decide."""
    outbox = _outbox(_bucket(20, reserve=None))
    _offer(outbox, *[place(number) for number in range(30)])
    assert len(_release(outbox, live_orders=10)) == 8


def test_blocked_command_is_not_overtaken_by_a_lower_class() -> None:
    """A dear amend waits, and the cheap place behind it waits as well."""
    costs = {CommandClass.AMEND: 5, CommandClass.PLACE: 1, CommandClass.CANCEL: 1}
    outbox = _outbox(_bucket(5, costs=costs))
    _offer(outbox, place(1), amend(2, 98, 5), cancel(3))
    assert _release(outbox) == [cancel(3)]
    assert outbox.commands() == [amend(2, 98, 5), place(1)]


def test_waiting_too_long_drops_places_and_amends_but_no_cancel() -> None:
    """Prices go stale after the time to live; a cancel never does."""
    outbox = _outbox(_bucket(10))
    outbox.apply(RateLimited(VENUE, 0, 0, None, 1000))
    _offer(outbox, place(1), amend(2, 98, 5), cancel(3))
    assert outbox.release(TTL - 1, 0) == ([], [])
    assert outbox.next_deadline_ns() == TTL
    released, dropped = outbox.release(TTL, 0)
    assert released == []
    assert [(d.command, d.code) for d in dropped] == [
        (amend(2, 98, 5), DropCode.QUEUE_EXPIRED),
        (place(1), DropCode.QUEUE_EXPIRED),
    ]
    assert outbox.next_deadline_ns() == SECOND
    assert _release(outbox, SECOND) == [cancel(3)]


@pytest.mark.parametrize("exempt", [True, False])
def test_retry_after_closes_cancels_too_unless_exempt(exempt: bool) -> None:
    """Going on would turn a slow-down into a ban, except where the venue exempts cancels."""
    outbox = _outbox(_bucket(10, cancels_exempt=exempt))
    outbox.apply(RateLimited(VENUE, 0, 0, "orders", 100))
    _offer(outbox, cancel(1), place(2))
    assert _release(outbox, 50 * MS) == ([cancel(1)] if exempt else [])
    assert outbox.closed_until(50 * MS) == 100 * MS
    assert place(2) in _release(outbox, 100 * MS)
    assert outbox.closed_until(100 * MS) is None


def test_ban_closes_everything() -> None:
    """No message at all before its end, exempt or not."""
    outbox = _outbox(_bucket(10, cancels_exempt=True))
    outbox.apply(RateLimited(VENUE, 0, 0, "orders", 5000, banned=True))
    _offer(outbox, cancel(1))
    assert _release(outbox, 4 * SECOND) == []
    assert outbox.next_deadline_ns() == 5 * SECOND
    assert _release(outbox, 5 * SECOND) == [cancel(1)]


def test_a_shorter_wait_behind_a_ban_does_not_end_it() -> None:
    """Of a ban that a restart brought along, too: nothing is asked before its end."""
    outbox = _outbox()
    outbox.ban(60 * SECOND)
    outbox.apply(RateLimited(VENUE, 0, 0, None, 100))
    assert outbox.closed_until(SECOND) == 60 * SECOND
    assert _release(outbox, 59 * SECOND) == []


def test_slow_down_of_one_bucket_leaves_others_open() -> None:
    """Cancels that cost nothing in the closed bucket still leave."""
    places_only = _bucket(10, costs={CommandClass.PLACE: 1})
    outbox = _outbox(places_only, _bucket(100, name="weight"))
    outbox.apply(RateLimited(VENUE, 0, 0, "orders", 100))
    _offer(outbox, place(1), cancel(2))
    assert _release(outbox) == [cancel(2)]


def test_backoff_doubles_to_thirty_seconds_and_a_success_resets_it() -> None:
    """Without a value from the venue: 1, 2, 4 ... 30 s, and 1 s again after an answer."""
    outbox = _outbox()
    now_ns, waits = 0, []
    for _ in range(7):
        outbox.apply(RateLimited(VENUE, 0, now_ns))
        until_ns = outbox.closed_until(now_ns)
        assert until_ns is not None
        waits.append((until_ns - now_ns) // SECOND)
        now_ns = until_ns
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    outbox.apply(accepted(1))
    outbox.apply(RateLimited(VENUE, 0, now_ns))
    assert outbox.closed_until(now_ns) == now_ns + SECOND


def test_shorter_retry_after_never_opens_sooner() -> None:
    """Closed until the later of what was said."""
    outbox = _outbox()
    outbox.apply(RateLimited(VENUE, 0, 0, None, 5000))
    outbox.apply(RateLimited(VENUE, 0, 0, None, 100))
    assert outbox.closed_until(0) == 5 * SECOND


def test_full_outbox_takes_no_place_but_every_cancel() -> None:
    """Bounded: the core refuses by `full`; a place offered all the same comes back."""
    outbox = _outbox(_bucket(10))
    outbox.apply(RateLimited(VENUE, 0, 0, None, 100))
    _offer(outbox, *[place(number) for number in range(CAPACITY)])
    assert outbox.full
    assert [drop.command for drop in _offer(outbox, place(9999))] == [place(9999)]
    assert _offer(outbox, cancel(10_000)) == []


def test_cancel_dearer_than_its_bucket_leaves_when_the_bucket_is_full() -> None:
    """A limit too small to hold a cancel must not hold it for ever."""
    outbox = _outbox(_bucket(2, costs={CommandClass.CANCEL: 5}))
    _offer(outbox, cancel(1))
    assert _release(outbox) == [cancel(1)]


def test_units_left_are_told_by_name() -> None:
    """For the status page; an unknown name is a KeyError."""
    outbox = _outbox(_bucket(10))
    _offer(outbox, place(1))
    _release(outbox)
    assert outbox.left("orders") == 8
    with pytest.raises(KeyError):
        outbox.left("weight")
