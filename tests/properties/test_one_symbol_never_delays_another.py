"""Law of the house: what befalls one symbol neither delays nor changes what is decided for another.

Ten symbols trade on one core and one venue. A run in which the first is visited by gaps, resyncs, silence, rejects,
lost answers, fills and floods is laid beside a run in which nothing happened to it: for the other nine every decision
and every command must be the same, at the same nanosecond.
"""

from collections import defaultdict
from functools import cache
from heapq import heappop, heappush

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import (
    AmendOrder,
    CancelOrder,
    Command,
    DecisionsChanged,
    DroppedCommand,
    PlaceOrder,
    Refusal,
    Turn,
)
from mm_daemon.domain.events import (
    BookInvalidated,
    CommandOutcomeUnknown,
    DeadlineReached,
    Event,
    InstrumentUpdated,
    InvalidCause,
    OperatorAction,
    OperatorRequest,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    StreamStale,
    VenueSnapshot,
    VenueSnapshotReceived,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Operation, RejectKind, Side
from mm_daemon.domain.rng import Rng
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders

MS = builders.MS
SYMBOLS = 10
END_MS = 3000
STEP_MS = 20
ANSWER_MS = 5
QUOTING = QuoteParameters(
    k=2.0,
    order_lockout_ms=50,
    fill_lockout_ms=300,
    reject_lockout_ms=200,
    max_book_age_ms=500,
    decide_interval_ms=100,
    volatility_step_ms=100,
)
MARKETS = tuple(
    builders.market(builders.instrument(f"S{n}-USDT"), quoting=QUOTING, max_position_lots=40) for n in range(SYMBOLS)
)
IDS = tuple(market.instrument.id for market in MARKETS)
FIRST = IDS[0]

TROUBLES = (
    "gap",
    "crossed",
    "stale",
    "silence",
    "reject",
    "unknown",
    "mute",
    "fill",
    "stranger",
    "pause",
    "contract",
    "flood",
)
Trouble = tuple[int, str]
"""Milliseconds and what happens to the first symbol then."""
Answer = tuple[int, Command | DecisionsChanged | DroppedCommand | Refusal]


class World:
    """Ten markets, their venue, and one core: apply, decide, and deadlines at their instants, as every driver does."""

    def __init__(self, troubles: list[Trouble]) -> None:
        self.core = TradingCore(builders.core_parameters(*MARKETS))
        self.answers: dict[InstrumentId, list[Answer]] = defaultdict(list)
        self._troubles = dict(troubles)
        self._ordinals: dict[InstrumentId, dict[int, int]] = defaultdict(dict)
        self._queue: list[tuple[int, int, Event]] = []
        self._count = 0
        self._quiet_until_ms = 0
        self._mood = ""
        self._walks = [Rng(17).split(f"walk {n}") for n in range(SYMBOLS)]
        self._bids = [100_000 + 1000 * n for n in range(SYMBOLS)]

    def run(self) -> "World":
        venue = MARKETS[0].instrument.venue
        nothing_open = VenueSnapshot(venue, 0, 0, (), ())
        self._turn(0, [builders.connected(0), VenueSnapshotReceived(venue, 0, 0, nothing_open)])
        for at_ms in range(1, END_MS):
            self._until(at_ms * MS - 1)
            events = self._markets(at_ms)
            if at_ms in self._troubles:
                events += self._happens(self._troubles[at_ms], at_ms)
            events += self._due(at_ms * MS)
            if events:
                self._turn(at_ms * MS, events)
        return self

    def _markets(self, at_ms: int) -> list[Event]:
        """Every symbol has a new book each 20 ms, two symbols at a time, and a fill of its own now and then."""
        events: list[Event] = []
        for n, instrument in enumerate(IDS):
            if at_ms % STEP_MS != n // 2:
                continue
            walk = self._walks[n]
            self._bids[n] += int(walk.uniform() * 9) - 4
            filled = walk.uniform() < 0.01
            if n == 0 and at_ms < self._quiet_until_ms:
                continue
            events.append(
                builders.snapshot(at_ms, self._bids[n], self._bids[n] + 2, update_id=at_ms, symbol=instrument)
            )
            if filled:
                events += self._fill(instrument, Side.BUY if at_ms % 2 else Side.SELL, at_ms)
        return events

    def _happens(self, what: str, at_ms: int) -> list[Event]:
        at = at_ms * MS
        if what in ("gap", "crossed"):
            self._quiet_until_ms = at_ms + 300
            cause = InvalidCause.GAP if what == "gap" else InvalidCause.CROSSED
            return [BookInvalidated(FIRST, at, at, cause)]
        if what == "stale":
            self._quiet_until_ms = at_ms + 100
            return [StreamStale(FIRST, at, at, "depth")]
        if what == "silence":
            self._quiet_until_ms = at_ms + 1500
            return []
        if what in ("reject", "unknown", "mute"):
            self._mood = what
            return []
        if what == "fill":
            return self._fill(FIRST, Side.BUY, at_ms) + self._fill(FIRST, Side.SELL, at_ms)
        if what == "stranger":
            return [
                OrderFilled(FIRST, at, at, ClientOrderId(10**9), "v?", f"stranger {at}", Side.BUY, 100_000, 1, True)
            ]
        if what == "pause":
            return [OperatorRequest(at, OperatorAction.PAUSE, "test", FIRST)]
        if what == "contract":
            return [InstrumentUpdated(FIRST, at, at, MARKETS[0].instrument)]
        bid = self._bids[0]
        return [builders.snapshot(at_ms, bid - n, bid + 2 - n, update_id=at_ms, symbol=FIRST) for n in range(200)]

    def _fill(self, instrument: InstrumentId, side: Side, at_ms: int) -> list[Event]:
        order = self.core.markets[instrument].working(side)
        if order is None or not order.venue_order_id or order.remaining_lots < 2:
            return []
        at, venue_id = at_ms * MS, order.venue_order_id
        key = f"{instrument} {side.word} {at}"
        return [OrderFilled(instrument, at, at, order.client_id, venue_id, key, side, order.ticks, 2, True)]

    def _until(self, until_ns: int) -> None:
        """The core's own deadlines and the venue's answers, each at its instant."""
        while True:
            deadline_ns = self.core.next_deadline_ns()
            next_ns = min(
                until_ns + 1 if deadline_ns is None else deadline_ns, self._queue[0][0] if self._queue else until_ns + 1
            )
            if next_ns > until_ns:
                return
            events = self._due(next_ns)
            if deadline_ns is not None and deadline_ns <= next_ns:
                events.append(DeadlineReached(next_ns))
            self._turn(next_ns, events)

    def _due(self, now_ns: int) -> list[Event]:
        events = []
        while self._queue and self._queue[0][0] <= now_ns:
            events.append(heappop(self._queue)[2])
        return events

    def _turn(self, now_ns: int, events: list[Event]) -> None:
        for event in events:
            self.core.apply(event)
        turn = self.core.decide(now_ns)
        for approved in turn.released:
            self._answer(approved.command, now_ns + ANSWER_MS * MS)
        self._note(turn)

    def _note(self, turn: Turn) -> None:
        for changed in turn.decisions:
            self.answers[changed.instrument].append((turn.now_ns, changed))
        commands = [approved.command for approved in turn.released]
        refused = [refusal.intent for refusal in turn.refusals]
        for command in (*commands, *refused, *(dropped.command for dropped in turn.dropped)):
            assert isinstance(command, PlaceOrder | AmendOrder | CancelOrder)
            known = self._ordinals[command.instrument]
            ordinal = ClientOrderId(known.setdefault(command.client_id, len(known)))
            self.answers[command.instrument].append((turn.now_ns, msgspec.structs.replace(command, client_id=ordinal)))

    def _answer(self, command: Command, at: int) -> None:
        """What the venue says; to the first symbol, once after each such trouble, something bad or nothing."""
        assert isinstance(command, PlaceOrder | AmendOrder | CancelOrder)
        instrument, client_id = command.instrument, command.client_id
        venue_id = f"v{client_id}"
        if instrument == FIRST and self._mood:
            mood, self._mood = self._mood, ""
            if mood == "unknown":
                operation = {PlaceOrder: Operation.PLACE, AmendOrder: Operation.AMEND}.get(
                    type(command), Operation.CANCEL
                )
                self._say(at, CommandOutcomeUnknown(instrument, at, at, client_id, operation))
            elif mood == "reject" and isinstance(command, PlaceOrder):
                self._say(at, OrderRejected(instrument, at, at, client_id, RejectKind.POST_ONLY_CROSS))
            elif mood == "reject" and isinstance(command, AmendOrder):
                self._say(at, OrderAmendRejected(instrument, at, at, client_id, RejectKind.INVALID))
            return
        if isinstance(command, PlaceOrder):
            self._say(at, OrderAccepted(instrument, at, at, client_id, venue_id))
        elif isinstance(command, AmendOrder):
            self._say(at, OrderAmended(instrument, at, at, client_id, venue_id, command.ticks, command.lots))
        else:
            order = self.core.ledger.get(client_id)
            filled_lots = 0 if order is None else order.filled_lots
            self._say(at, OrderCanceled(instrument, at, at, client_id, venue_id, True, filled_lots))

    def _say(self, at: int, event: Event) -> None:
        self._count += 1
        heappush(self._queue, (at, self._count, event))


@cache
def undisturbed() -> World:
    return World([]).run()


def same_for_the_other_nine(disturbed: World) -> None:
    calm = undisturbed()
    for instrument in IDS[1:]:
        assert disturbed.answers[instrument] == calm.answers[instrument], instrument
    for instrument in IDS[1:]:
        assert disturbed.core.markets[instrument].position.lots == calm.core.markets[instrument].position.lots


@pytest.mark.parametrize("trouble", TROUBLES)
def test_no_single_trouble_of_one_symbol_is_felt_by_the_others(trouble: str) -> None:
    """Each kind alone, and it does change what happens to the first."""
    disturbed = World([(1000, trouble), (2000, trouble)]).run()
    assert disturbed.answers[FIRST] != undisturbed().answers[FIRST]
    same_for_the_other_nine(disturbed)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(1, END_MS - 1), st.sampled_from(TROUBLES)), max_size=30))
@example([(n, TROUBLES[n // 7 % len(TROUBLES)]) for n in range(7, END_MS, 7)])
def test_no_run_of_troubles_of_one_symbol_is_felt_by_the_others(troubles: list[Trouble]) -> None:
    """Any of them, at any time, in any order; the other nine quote throughout."""
    same_for_the_other_nine(World(troubles).run())


def test_the_nine_are_alive() -> None:
    """Without that, the law would hold of the dead: each of them quotes, moves, fills and is locked out."""
    calm = undisturbed()
    for instrument in IDS[1:]:
        kinds = {type(answer) for _, answer in calm.answers[instrument]}
        assert kinds >= {DecisionsChanged, PlaceOrder, AmendOrder}
        assert len(calm.answers[instrument]) > 50
    assert any(calm.core.markets[instrument].position.lots for instrument in IDS[1:])
