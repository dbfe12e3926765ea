"""Laws of the outbox: its output depends on events alone, cancels never wait behind places, nothing is lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.outbox import Outbox
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import CancelOrder, Command
from mm_daemon.domain.events import RateLimited
from tests.approval import approved, fold
from tests.orders import MS, SECOND, VENUE, amend, cancel, cancel_all, place

STEP = st.tuples(
    st.sampled_from(("place", "amend", "cancel", "cancel_all", "wait", "slow")), st.integers(1, 8), st.integers(0, 400)
)
BUCKET = st.builds(
    Bucket,
    name=st.just("orders"),
    kind=st.sampled_from(BucketKind),
    capacity=st.integers(2, 12),
    period_ms=st.integers(100, 2000),
    costs=st.fixed_dictionaries({kind: st.integers(0, 2) for kind in CommandClass}),
    reserve=st.none() | st.integers(0, 4),
    cancels_exempt=st.booleans(),
)
Trace = list[tuple[int, str, Command]]


def _run(bucket: Bucket, steps: list[tuple[str, int, int]]) -> tuple[Trace, list[Command], list[Command]]:
    """(what left and what was dropped with its time, what was offered, what waits at the end)."""
    outbox = Outbox(Capabilities(buckets=(bucket,)), 250 * MS, fold)
    trace: Trace = []
    offered: list[Command] = []
    now_ns = 0
    for word, number, wait_ms in steps:
        command: Command | None = None
        if word == "place":
            command = place(number + len(offered) * 10)
        elif word == "amend":
            command = amend(number, 98, 5)
        elif word == "cancel":
            command = cancel(number)
        elif word == "cancel_all":
            command = cancel_all()
        elif word == "slow":
            outbox.apply(RateLimited(VENUE, now_ns, now_ns, None, wait_ms))
        else:
            now_ns += wait_ms * MS
        if command is not None:
            offered.append(command)
            trace += [(now_ns, "dropped", drop.command) for drop in outbox.offer(approved(command, now_ns), now_ns)]
        released, dropped = outbox.release(now_ns, 2)
        trace += [(now_ns, "dropped", drop.command) for drop in dropped]
        trace += [(now_ns, "left", item.command) for item in released]
        waiting = outbox.commands()
        assert outbox.waiting == len(waiting)
        assert (outbox.next_deadline_ns() or now_ns + 1) > now_ns
        if any(isinstance(item.command, CancelOrder) for item in released):
            continue
        cancels_wait = any(isinstance(command, CancelOrder) for command in waiting)
        assert not (cancels_wait and released and not isinstance(released[0].command, CancelOrder | type(cancel_all())))
    return trace, offered, outbox.commands()


@settings(max_examples=100, deadline=None)
@given(bucket=BUCKET, steps=st.lists(STEP, max_size=40))
def test_outbox_depends_on_events_alone_and_loses_nothing(bucket: Bucket, steps: list[tuple[str, int, int]]) -> None:
    """The same events give the same releases at the same times, and each command left, was dropped, or waits."""
    trace, offered, waiting = _run(bucket, steps)
    assert _run(bucket, steps) == (trace, offered, waiting)
    assert len(trace) + len(waiting) == len(offered)


@settings(max_examples=100, deadline=None)
@given(bucket=BUCKET, places=st.integers(0, 30), cancels=st.integers(1, 30))
def test_cancels_leave_as_if_no_place_were_waiting(bucket: Bucket, places: int, cancels: int) -> None:
    """However many places wait, the same cancels leave at the same time."""

    def cancels_left(with_places: int) -> list[Command]:
        outbox = Outbox(Capabilities(buckets=(bucket,)), 60 * SECOND, fold)
        for number in range(with_places):
            outbox.offer(approved(place(number)), 0)
        for number in range(cancels):
            outbox.offer(approved(cancel(1000 + number)), 0)
        released, _ = outbox.release(0, 0)
        return [item.command for item in released if isinstance(item.command, CancelOrder)]

    assert cancels_left(places) == cancels_left(0)
