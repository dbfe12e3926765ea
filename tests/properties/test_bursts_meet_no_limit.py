"""Law: however many commands want to leave at once, a venue that counts strictly never has to refuse one (R4).

The venue counts arrivals in every stretch of its period, whatever its windows begin with, by its own batch formula.
Messages arrive in order, up to `SLACK` closer together than they left.
"""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.batching import batches, command_class
from mm_daemon.core.outbox import Outbox
from mm_daemon.domain.capabilities import Bucket, BucketKind, Capabilities, CommandClass
from mm_daemon.domain.decisions import ApprovedCommand, CancelAll, CancelOrder, Command
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.approval import approved, fold
from tests.orders import MS, SECOND, amend, cancel, cancel_all, place
from tests.unit.core.desk import Desk

SLACK_MS = 100
ONE = dict.fromkeys(CommandClass, 1)
CANCELS_FREE = {CommandClass.REDUCE: 1, CommandClass.AMEND: 1, CommandClass.PLACE: 1}

BINANCE = Capabilities(
    amend=True,
    batch_max=5,
    buckets=(
        Bucket(
            name="orders10s", kind=BucketKind.WINDOW, capacity=300, period_ms=10_000, costs=CANCELS_FREE,
            batch_costs=dict.fromkeys(CANCELS_FREE, 5),
        ),
        Bucket(
            name="orders1m", kind=BucketKind.WINDOW, capacity=1200, period_ms=60_000, costs=CANCELS_FREE,
            batch_costs=dict.fromkeys(CANCELS_FREE, 1),
        ),
        Bucket(name="weight", kind=BucketKind.WINDOW, capacity=2400, period_ms=60_000, costs=ONE),
    ),
)  # fmt: skip
HYPERLIQUID = Capabilities(
    amend=True,
    batch_max=100,
    buckets=(
        Bucket(
            name="ip", kind=BucketKind.TOKEN, capacity=1200, period_ms=60_000, costs=ONE, batch_costs=ONE, batch_step=40
        ),
        Bucket(name="messages", kind=BucketKind.WINDOW, capacity=20, period_ms=1000, costs=ONE, batch_costs=ONE),
    ),
)
SMALL = st.builds(
    Bucket,
    name=st.just("small"),
    kind=st.sampled_from((BucketKind.WINDOW, BucketKind.TOKEN)),
    capacity=st.integers(5, 40),
    period_ms=st.integers(1000, 5000),
    costs=st.fixed_dictionaries({kind: st.integers(0, 2) for kind in CommandClass}),
    batch_costs=st.dictionaries(st.sampled_from(CommandClass), st.integers(1, 5)),
    batch_step=st.none() | st.integers(1, 5),
)


@dataclass
class StrictVenue:
    """Counts what arrives against each of its limits; `refused` names the limits that were passed."""

    buckets: tuple[Bucket, ...]
    refused: list[str] = field(default_factory=list)
    taken: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)
    last_ns: int = 0

    def arrive(self, batch: list[ApprovedCommand], left_ns: int, delay_ms: int) -> None:
        now_ns = self.last_ns = max(self.last_ns, left_ns + delay_ms * MS)
        kind = command_class(batch[0].command)
        for bucket in self.buckets:
            taken = self.taken.setdefault(bucket.name, deque())
            taken.append((now_ns, bucket.cost(kind, len(batch))))
            if bucket.kind is BucketKind.WINDOW:
                while taken[0][0] <= now_ns - bucket.period_ms * MS:
                    taken.popleft()
                used = float(sum(units for _, units in taken))
            else:
                used = self._drained(taken, bucket)
            if used > bucket.capacity:
                self.refused.append(bucket.name)

    @staticmethod
    def _drained(taken: deque[tuple[int, int]], bucket: Bucket) -> float:
        """A bucket that runs out evenly: what is in it now."""
        used, last_ns = 0.0, taken[0][0]
        for at_ns, units in taken:
            used = max(used - (at_ns - last_ns) * bucket.capacity / (bucket.period_ms * MS), 0.0) + units
            last_ns = at_ns
        return used


def _live(
    capabilities: Capabilities, bursts: list[tuple[int, str, int]], delays: list[int]
) -> tuple[StrictVenue, list[tuple[int, Command]], Outbox]:
    """Offer bursts at their times, release whenever the outbox asks for it."""
    outbox = Outbox(capabilities, 60 * SECOND, fold)
    venue = StrictVenue(capabilities.buckets)
    left: list[tuple[int, Command]] = []
    now_ns = number = sent = 0
    for wait_ms, word, size in bursts:
        until_ns = now_ns + wait_ms * MS
        while (due_ns := outbox.next_deadline_ns()) is not None and due_ns <= until_ns:
            now_ns = max(now_ns, due_ns)
            sent = _release(outbox, venue, left, now_ns, delays, sent, capabilities.batch_max)
        now_ns = until_ns
        for _ in range(size):
            number += 1
            command: Command = place(number) if word == "place" else amend(number, 98, 5)
            if word == "cancel":
                command = cancel(number)
            outbox.offer(approved(cancel_all() if word == "cancel_all" else command, now_ns), now_ns)
        sent = _release(outbox, venue, left, now_ns, delays, sent, capabilities.batch_max)
    return venue, left, outbox


def _release(
    outbox: Outbox,
    venue: StrictVenue,
    left: list[tuple[int, Command]],
    now_ns: int,
    delays: list[int],
    sent: int,
    batch_max: int,
) -> int:
    released, _ = outbox.release(now_ns, 3)
    for batch in batches(released, batch_max):
        venue.arrive(batch, now_ns, delays[sent % len(delays)])
        left += [(now_ns, item.command) for item in batch]
        sent += 1
    return sent


BURSTS = st.lists(
    st.tuples(st.integers(0, 3000), st.sampled_from(("place", "amend", "cancel", "cancel_all")), st.integers(1, 120)),
    max_size=12,
)
DELAYS = st.lists(st.integers(0, SLACK_MS), min_size=1, max_size=7)


@settings(max_examples=150, deadline=None)
@given(bucket=SMALL, batch_max=st.integers(1, 12), bursts=BURSTS, delays=DELAYS)
def test_no_burst_meets_a_limit(
    bucket: Bucket, batch_max: int, bursts: list[tuple[int, str, int]], delays: list[int]
) -> None:
    """Of any limit, by any batch formula. A cancel dearer than the whole limit is sent all the same."""
    dearest = max(bucket.cost(kind, size) for kind in CommandClass for size in range(1, batch_max + 1))
    if dearest > bucket.capacity * bucket.use_percent // 100:
        return
    venue, _, _ = _live(Capabilities(buckets=(bucket,), batch_max=batch_max), bursts, delays)
    assert venue.refused == []


@settings(max_examples=20, deadline=None)
@given(delays=DELAYS, start_ms=st.integers(0, 60_000))
def test_ten_times_too_much_for_a_real_venue(delays: list[int], start_ms: int) -> None:
    """3000 orders at once, then cancels: none refused, and every cancel leaves before any order still waiting."""
    for capabilities in (BINANCE, HYPERLIQUID):
        bursts = [(start_ms, "place", 500)] + [(300, "place", 500)] * 5 + [(10, "cancel", 15), (10_000, "place", 10)]
        venue, left, outbox = _live(capabilities, bursts, delays)
        assert venue.refused == []
        cancelled = [at_ns for at_ns, command in left if isinstance(command, CancelOrder)]
        offered_ns = (start_ms + 1500 + 10) * MS
        assert len(cancelled) == 15
        assert max(cancelled) <= offered_ns + SECOND
        assert not any(isinstance(command, CancelOrder | CancelAll) for command in outbox.commands())


def test_a_market_that_runs_away_never_costs_a_rate_limit_answer() -> None:
    """Twelve markets whose prices jump every 20 ms would move 1200 quotes a second where 20 are allowed; what is too
    aggressive is pulled, and nothing is refused by gate or venue."""
    limit = Bucket(name="orders", kind=BucketKind.WINDOW, capacity=20, period_ms=1000, costs=CANCELS_FREE)
    quoting = QuoteParameters(fair_price="mid", order_lockout_ms=0, fill_lockout_ms=0, decide_interval_ms=0)
    contracts = [builders.instrument(f"C{number}-USDT") for number in range(12)]
    desk = Desk(
        builders.core_parameters(
            *(builders.market(contract, quoting=quoting) for contract in contracts),
            capabilities=Capabilities(amend=True, buckets=(limit,)),
        )
    )
    symbols = [InstrumentId(contract.id) for contract in contracts]
    venue = StrictVenue((limit,))
    desk.feed(builders.connected(), builders.account())
    for step in range(150):
        at_ms, price = 20 * step, 600_000 + 400 * (step % 7) - 300 * (step % 4)
        books = [builders.snapshot(at_ms, price, price + 1, symbol=symbol, update_id=step + 1) for symbol in symbols]
        turns = [desk.feed(*books)]
        turns.append(desk.acknowledge(turns[0], at_ms) if turns[0].released else desk.wait(at_ms))
        for turn in turns:
            for batch in batches(turn.released, 1):
                venue.arrive(batch, at_ms * MS, 0)
    released = [item.command for turn in desk.turns for item in turn.released]
    refusals = [refusal for turn in desk.turns for refusal in turn.refusals]
    orders = [command for command in released if not isinstance(command, CancelOrder)]
    assert venue.refused == []
    assert refusals == []
    assert 30 <= len(orders) <= 60
    assert any(isinstance(command, CancelOrder) for command in released)
