"""Finding out what became of orders in doubt: fences, queries, deadlines, proof (EXECUTION 2).

An order is in doubt while the outcome of a command is unknown or it is closing: the ledger lists it in `uncertain`, and
keeps its exposure and its slot. Here is what is done about it: at once a fence, or a cancel as a help; queries at
growing distances; after a while its market is pulled, later the whole venue is cancelled and stays out; and when all
four sources of `core/absence.py` say so, it is dead. Waiting alone never makes it so. Owned by `TradingCore`, which
carries out what `Wishes` say; nothing here asks anybody.
"""

from collections.abc import Callable, Mapping

import msgspec

from mm_daemon.core.absence import Evidence, absence_proven, closed_since, nonce_spent
from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.parameters import OrderRules
from mm_daemon.core.venue_clock import VenueClock
from mm_daemon.domain.capabilities import Capabilities, Validity
from mm_daemon.domain.deadlines import sooner
from mm_daemon.domain.decisions import CancelAll, CancelOrder, OrderQuery, Reason
from mm_daemon.domain.events import FenceAnswered, OpenOrder, OrderCanceled, OrderNotFound, OrderRejected, VenueSnapshot
from mm_daemon.domain.instrument import InstrumentId, Venue, venue_of
from mm_daemon.domain.orders import ClientOrderId, InFlight, Phase

_MS = 1_000_000
_QUERY_STEPS_NS = (500 * _MS, 500 * _MS, 1000 * _MS, 2000 * _MS, 4000 * _MS)
"""Queries at 0, 0.5, 1, 2, 4 and 8 seconds."""
_QUERY_EVERY_NS = 10_000 * _MS
_FILLS_OWED_QUERY_NS = 1000 * _MS
_FILLS_OWED_NS = 5000 * _MS
_ANSWERS_KEPT = 8
FILLS_OWED = "fills owed"
"""Source of the lockout while a death report names fills that nobody has told."""


class Wishes(msgspec.Struct):
    """What is to be done now. `owed`: instruments with fills that should have been told by now."""

    cancels: list[CancelOrder] = []
    cancel_all: list[CancelAll] = []
    queries: list[OrderQuery] = []
    owed: list[InstrumentId] = []


class _Question:
    """What is asked about one order, and the evidence so far. Venue times are the venue's own, the others ours."""

    __slots__ = (
        "absent_height",
        "absent_ns",
        "asked",
        "asked_venue_ns",
        "closed_ns",
        "died_ns",
        "helped",
        "lost_ns",
        "next_query_ns",
        "not_found",
        "owed_ns",
        "shown",
        "shown_ns",
        "venue_ns",
    )

    def __init__(self, opened_ns: int, venue_ns: int) -> None:
        self.venue_ns = venue_ns
        """The venue's time when the question was opened: whatever proves an end is later than that."""
        self.lost_ns: int | None = None
        """Since when an outcome is unknown; None: it is only closing."""
        self.next_query_ns = opened_ns
        self.asked = 0
        self.asked_venue_ns = 0
        """The venue's latest known time at the last query."""
        self.helped = False
        self.owed_ns: int | None = None
        """Until when fills that a death report named may be on their way."""
        self.died_ns: int | None = None
        """The venue's time when such a death had been reported; None: none was."""
        self.closed_ns: int | None = None
        self.not_found: tuple[int, ...] = ()
        self.absent_ns: int | None = None
        self.absent_height: int | None = None
        self.shown: OpenOrder | None = None
        """The order in the latest snapshot, if it was there, which is as of `shown_ns`."""
        self.shown_ns = 0


class Resolver:
    """`unresolved` are the markets to be pulled, `stopped` the venues that stay out as a whole."""

    def __init__(
        self,
        rules: OrderRules,
        capabilities: Mapping[Venue, Capabilities],
        clocks: Mapping[Venue, VenueClock],
        ledger: OrderLedger,
        fills_to: Callable[[Venue], tuple[int, int | None]],
    ) -> None:
        """`fills_to`: up to which time of its own, and which block, a venue's fills are known complete."""
        self._withdraw_ns = rules.unknown_withdraw_ms * _MS
        self._stop_ns = rules.unknown_stop_ms * _MS
        self._capabilities = capabilities
        self._clocks = clocks
        self._ledger = ledger
        self._fills_to = fills_to
        self._questions: dict[ClientOrderId, _Question] = {}
        self._deadline_ns: int | None = None
        self.open = False
        """Something was in doubt at the last `pursue`."""
        self.news = False
        """Something was learned since."""
        self.unresolved: dict[InstrumentId, None] = {}
        self.stopped: dict[Venue, None] = {}

    def due(self, now_ns: int) -> bool:
        """Whether `pursue` has anything to do, given that something is or was in doubt."""
        return self.news or self._deadline_ns is None or now_ns >= self._deadline_ns

    def oldest_ns(self, instrument: InstrumentId) -> int | None:
        """Since when the longest unknown outcome of a market has been unknown; None: there is none."""
        oldest_ns: int | None = None
        for client_id, question in self._questions.items():
            order = self._ledger.get(client_id)
            if order is not None and order.instrument == instrument:
                oldest_ns = sooner(oldest_ns, question.lost_ns)
        return oldest_ns

    def holds_out(self, instrument: InstrumentId) -> bool:
        """Whether a market has to stay out for an order in doubt, its own or one of its venue."""
        return instrument in self.unresolved or venue_of(instrument) in self.stopped

    def next_deadline_ns(self) -> int | None:
        """When `pursue` has something to do although nothing happened."""
        return self._deadline_ns if self._questions else None

    # Evidence

    def not_found(self, event: OrderNotFound) -> LedgerOrder | None:
        """The venue knows no such order. Returned when it is one that we took to be working: it seems to be gone."""
        self.news = True
        order = self._ledger.get(event.client_id)
        if order is None or order.final:
            return None
        capabilities = self._capabilities[event.venue]
        question = self._questions.get(event.client_id)
        if question is not None:
            at_ns = event.ts_venue_ns or question.asked_venue_ns
            question.not_found = (*question.not_found, at_ns)[-_ANSWERS_KEPT:]
            nonce = _nonce(order.wire_ref)
            if (
                capabilities.validity is Validity.NONCE
                and nonce is not None
                and event.next_nonce is not None
                and question.closed_ns is None
                and nonce_spent(nonce, event.next_nonce, hash_found=False)
            ):
                question.closed_ns = at_ns
        gone = order.phase is Phase.LIVE and capabilities.validity is not Validity.HEIGHT
        return order if gone and order.amend is not InFlight.SENT else None

    def over(self, order: LedgerOrder, event: OrderCanceled | OrderRejected) -> None:
        """The venue names the end of a version that we do not know, as where a power cut took the amend that made it,
        or says that it has refused what it had accepted: nothing under this id is open any more. As good as an answer
        "no such order", no more than that.
        """
        question = self._questions.get(event.client_id)
        if isinstance(event, OrderCanceled) and (not event.final or event.venue_order_id in order.settled_ids):
            return  # an older version, of which that was known
        if question is not None:
            question.not_found = (*question.not_found, question.asked_venue_ns)[-_ANSWERS_KEPT:]

    def fence_answered(self, event: FenceAnswered) -> None:
        """Either the command can never land, or it has."""
        self.news = True
        question = self._questions.get(event.client_id)
        if question is None:
            return
        if event.accepted:
            question.closed_ns = max(event.ts_venue_ns, question.venue_ns)
        question.next_query_ns = event.ts_local_ns

    def on_snapshot(self, snapshot: VenueSnapshot, now_ns: int) -> None:
        """Which orders in doubt the venue shows. One that it shows against our belief is asked about at once."""
        self.news = True
        shown = {order.client_id: order for order in snapshot.orders if order.client_id is not None}
        for client_id, question in self._questions.items():
            order = self._ledger.get(client_id)
            if order is None or venue_of(order.instrument) != snapshot.venue:
                continue
            there = question.shown = shown.get(client_id)
            question.shown_ns = snapshot.ts_venue_ns
            if there is None:
                question.absent_ns, question.absent_height = snapshot.ts_venue_ns, snapshot.height
            else:
                question.absent_ns = question.absent_height = None
                question.not_found = ()
                if order.phase is not Phase.LIVE:
                    question.next_query_ns = min(question.next_query_ns, now_ns)

    # What to do

    def proven(self) -> tuple[list[ClientOrderId], list[ClientOrderId]]:
        """(orders that are dead, amends that can no longer happen and have not)."""
        dead: list[ClientOrderId] = []
        amends: list[ClientOrderId] = []
        for client_id, question in self._questions.items():
            order = self._ledger.uncertain.get(client_id)
            if order is None:
                continue
            venue = venue_of(order.instrument)
            if self._is_dead(order, venue, question):
                dead.append(client_id)
            elif order.amend is InFlight.UNKNOWN and self._amend_is_over(order, venue, question):
                amends.append(client_id)
        return dead, amends

    def pursue(self, now_ns: int) -> Wishes:
        """Open and close questions, and say what is to be done about those that stand."""
        self.news = False
        wishes = Wishes()
        uncertain = self._ledger.uncertain
        for client_id in [each for each in self._questions if each not in uncertain]:
            del self._questions[client_id]
        unresolved: dict[InstrumentId, None] = {}
        stopped: dict[Venue, None] = {}
        deadline_ns: int | None = None
        for client_id, order in uncertain.items():
            venue = venue_of(order.instrument)
            question = self._questions.get(client_id)
            if question is None:
                question = self._questions[client_id] = _Question(now_ns, self._clocks[venue].at(now_ns))
            due_ns = self._pursue_one(order, venue, question, now_ns, wishes)
            deadline_ns = sooner(deadline_ns, due_ns)
            if question.lost_ns is not None:
                if now_ns >= question.lost_ns + self._withdraw_ns:
                    unresolved[order.instrument] = None
                if now_ns >= question.lost_ns + self._stop_ns:
                    stopped[venue] = None
        for venue in stopped:
            if venue not in self.stopped:
                wishes.cancel_all.append(CancelAll(venue, (Reason.UNRESOLVED_ORDER,)))
        self.unresolved, self.stopped, self._deadline_ns = unresolved, stopped, deadline_ns
        self.open = bool(uncertain)
        return wishes

    def _pursue_one(self, order: LedgerOrder, venue: Venue, question: _Question, now_ns: int, wishes: Wishes) -> int:
        """When to look again."""
        if not order.lost:
            question.lost_ns, question.helped = None, False
        elif question.lost_ns is None:
            question.lost_ns = now_ns
            question.venue_ns = self._clocks[venue].at(now_ns)
            question.next_query_ns, question.asked = now_ns, 0
        if order.lost and not question.helped:
            self._help(order, venue, question, wishes)
        owed_ns = self._owed(order, question, now_ns, wishes)
        if now_ns >= question.next_query_ns:
            self._ask(order, venue, question, now_ns, wishes)
        due_ns = question.next_query_ns if owed_ns is None else min(question.next_query_ns, owed_ns)
        if question.lost_ns is not None:
            for after_ns in (self._withdraw_ns, self._stop_ns):
                if now_ns < question.lost_ns + after_ns < due_ns:
                    due_ns = question.lost_ns + after_ns
        return due_ns

    def _help(self, order: LedgerOrder, venue: Venue, question: _Question, wishes: Wishes) -> None:
        """Once: spend the nonce of the command in doubt, or else cancel, so that less of it may happen."""
        question.helped = True
        capabilities = self._capabilities[venue]
        fence = capabilities.fence and not self._ledger.awaits_answer(venue)
        # Of what an earlier process sent and has no nonce in the journal, nothing else can close the validity.
        forgotten = fence and capabilities.validity is Validity.NONCE and not order.wire_ref
        if order.phase is not Phase.UNKNOWN and order.amend is not InFlight.UNKNOWN and not forgotten:
            return  # a cancel got lost, or the order is gone already: another one proves nothing
        if order.cancel is InFlight.QUEUED or order.cancel is InFlight.SENT:
            return
        wishes.cancels.append(CancelOrder(order.instrument, order.client_id, (Reason.UNKNOWN_FENCE,), fence))

    def _owed(self, order: LedgerOrder, question: _Question, now_ns: int, wishes: Wishes) -> int | None:
        """A death report named fills that nobody has told: ask after a second, compare accounts after five."""
        if order.phase is not Phase.CLOSING or order.cum_lots is None or order.cum_lots <= order.filled_lots:
            question.owed_ns = question.died_ns = None
            return None
        if question.owed_ns is None:
            question.owed_ns = now_ns + _FILLS_OWED_NS
            question.died_ns = self._clocks[venue_of(order.instrument)].at(now_ns)
            question.next_query_ns = now_ns + _FILLS_OWED_QUERY_NS
        if now_ns < question.owed_ns:
            return question.owed_ns
        if question.owed_ns:
            question.owed_ns = 0  # said once
            wishes.owed.append(order.instrument)
        return None

    def _ask(self, order: LedgerOrder, venue: Venue, question: _Question, now_ns: int, wishes: Wishes) -> None:
        wishes.queries.append(OrderQuery(order.instrument, order.client_id))
        step = question.asked
        question.asked += 1
        question.asked_venue_ns = self._clocks[venue].time_ns
        question.next_query_ns = now_ns + (_QUERY_STEPS_NS[step] if step < len(_QUERY_STEPS_NS) else _QUERY_EVERY_NS)

    # Proof

    def _is_dead(self, order: LedgerOrder, venue: Venue, question: _Question) -> bool:
        """Whether the order is dead. One that is known to rest, whatever else is in doubt, is not."""
        if order.phase is not Phase.UNKNOWN and order.phase is not Phase.CLOSING:
            return False
        return self._owes_nothing(order, venue, question) or not absence_proven(self._evidence(order, venue, question))

    def _owes_nothing(self, order: LedgerOrder, venue: Venue, question: _Question) -> bool:
        """Whether an order that the venue has called dead, with more filled than we know of, has no fill left to tell:
        it is not among the open orders since, and fills are complete beyond its end. What it names was filled before
        our record of it began, as with an order whose record a power cut took.
        """
        died_ns, absent_ns = question.died_ns, question.absent_ns
        if died_ns is None or order.cum_lots is None or order.doubted or order.tails or order.pend_lots:
            return False
        return absent_ns is not None and absent_ns > died_ns and self._fills_to(venue)[0] >= died_ns

    def _amend_is_over(self, order: LedgerOrder, venue: Venue, question: _Question) -> bool:
        """Whether an amend in doubt can no longer happen and has not: its validity is closed, and what the venue showed
        later is the version that we know, or nothing where that version has ended.
        """
        if order.phase is not Phase.LIVE and order.phase is not Phase.CLOSING:
            return False
        evidence = self._evidence(order, venue, question)
        since, shown = closed_since(evidence), question.shown
        if since is None or evidence.fills_to is None or evidence.fills_to < since:
            return False
        if shown is None:  # the version we know has ended by a report; nothing stands in its place
            return order.cum_lots is not None and evidence.absent_at is not None and evidence.absent_at > since
        return _is_current(order, shown) and (evidence.kind is Validity.HEIGHT or question.shown_ns > since)

    def _evidence(self, order: LedgerOrder, venue: Venue, question: _Question) -> Evidence:
        capabilities, clock = self._capabilities[venue], self._clocks[venue]
        fills_ns, fills_height = self._fills_to(venue)
        kind = capabilities.validity
        if kind is Validity.HEIGHT:
            if order.expires_height is not None or order.expires_ns is None:
                return Evidence(
                    kind=kind,
                    closes_at=order.expires_height,
                    now=clock.height or 0,
                    absent_at=question.absent_height,
                    fills_to=fills_height,
                )
            kind = Validity.DELAY  # of an earlier run, whose orders ended by time: no block was named for it
        margin_ns = capabilities.validity_margin_ms * _MS
        if kind is Validity.DELAY or order.expires_ns is None:
            sent_ns = question.venue_ns if order.sent_ns is None else order.sent_ns
            closes_at = sent_ns + capabilities.d_max_ms * _MS
        else:
            closes_at = order.expires_ns + margin_ns
        return Evidence(
            kind=kind,
            # What vanished after its validity was over must have been absent since it vanished.
            closes_at=max(closes_at, question.venue_ns),
            closed_at=question.closed_ns,
            now=clock.time_ns,
            not_found=question.not_found,
            absent_at=question.absent_ns,
            fills_to=fills_ns,
        )


def _is_current(order: LedgerOrder, shown: OpenOrder) -> bool:
    """Whether a snapshot's order can only be the version we know, not the one that an amend in doubt asked for."""
    if (shown.ticks, shown.remaining_lots) != (order.ticks, order.remaining_lots):
        return False
    if order.fresh:
        return order.venue_order_id is not None and shown.venue_order_id == order.venue_order_id
    return (order.pend_ticks, order.pend_lots) != (order.ticks, order.lots)


def _nonce(wire_ref: str) -> int | None:
    number = wire_ref.partition(":")[0]
    return int(number) if number.isdecimal() else None
