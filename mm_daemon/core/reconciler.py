"""Reconciliation of one venue: what its snapshots say, what is repaired by them, and when quoting may go on.

A snapshot's fills and payments that the stream has not told are booked first, in the venue's order; then every market
is compared by `reconcile_diff` and repaired (EXECUTION 7). A market starts, or is let go after a `reconciling` lockout,
by its own comparison alone. Owned by `TradingCore`, which hands it the venue's snapshots.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.parameters import ReconcileRules
from mm_daemon.core.reconcile import Held, Unseen, reconcile_diff
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.checkpoint import FillCursor
from mm_daemon.domain.decisions import CancelAll, CancelOrder, Intent, Reason
from mm_daemon.domain.events import FundingPaid, OpenOrder, OrderAmended, OrderFilled, VenueSnapshot
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import ClientOrderId, InFlight, Phase
from mm_daemon.domain.reconciliation import Diff, DiffKind, Reconciled

OVERLAP_NS = 60_000_000_000
"""Fills are asked for from this long before the cursor on: venues tell some of them late."""
_SETTLED_NS = 10_000_000_000
"""The cursor stays this far behind the venue's time."""
_STREAM_LEAD_NS = 1_000_000_000
"""While running, the stream has this long to tell of a fill before a snapshot does."""
_ROUND_NS = 1_000_000_000
"""Two rounds count as two only when they are this far apart."""

_UNEXPLAINED_ROUNDS = 5
"""A position that stays different for so many rounds is not explained by waiting."""

_STARTING = Reason.STARTING.bit
_POSITION = "position"
_FOREIGN = "order_foreign"
_ON_ITS_WAY = (InFlight.QUEUED, InFlight.SENT)
_IN_DOUBT = (Phase.UNKNOWN, Phase.CLOSING)
_MISSING = (DiffKind.ORDER_MISSING, DiffKind.ORDER_MISSING_ONCE)
_OPEN_ISSUES = frozenset(
    {
        DiffKind.POSITION,
        DiffKind.POSITION_UNEXPLAINED,
        DiffKind.ORDER_EXTRA_OURS,
        DiffKind.ORDER_SIZE,
        DiffKind.ORDER_PRICE,
    }
)
"""What keeps a market from starting."""


class Actions(msgspec.Struct, frozen=True):
    """What a reconciler asks of its core: book a fill (of this age, ns) or a payment, put an intent to the gate, ask
    the venue about an order, give an order a slot, add lots to a position that are no trade.
    """

    fill: Callable[[OrderFilled, int], None]
    payment: Callable[[FundingPaid], None]
    paid: Callable[[FundingPaid], bool]
    """Whether a payment has been booked."""
    submit: Callable[[Intent, MarketState | None, int], None]
    query: Callable[[LedgerOrder], None]
    take_up: Callable[[Sequence[LedgerOrder]], None]
    adopt: Callable[[MarketState, int], None]


class Reconciler:
    """Of one venue and its markets. `cursor` is None until the venue's first snapshot."""

    def __init__(
        self,
        venue: Venue,
        capabilities: Capabilities,
        markets: Sequence[MarketState],
        ledger: OrderLedger,
        actions: Actions,
        rules: ReconcileRules,
    ) -> None:
        self.venue = venue
        self.cursor: FillCursor | None = None
        self.agreed_ns: int | None = None
        """When a round last found no difference."""
        self.whole = True
        """The journal that we continue had no torn tail: one clean round is enough to start."""
        self.complete_to: tuple[int, int | None] = (0, None)
        """Up to which time of its own, and which block, the venue's fills are known complete."""
        self._rules = rules
        self.relives = False
        """An earlier life is lived again: what it booked at once, as it was starting, its records tell."""
        self._final_absence = capabilities.simulated and not capabilities.lossy
        """A venue in this process forgets nothing: an order that its snapshot lacks is dead, and at the start nothing
        that an earlier process sent is still on its way.
        """
        self._markets = {market.id: market for market in markets}
        self._ledger = ledger
        self._actions = actions
        self._misses: dict[ClientOrderId, int] = {}
        self._odd: dict[ClientOrderId, int] = {}
        self._clean_rounds: dict[InstrumentId, tuple[int, int]] = {}
        self._held_ns: dict[InstrumentId, int] = {}
        self._unexplained: dict[InstrumentId, tuple[int, int, int]] = {}
        """(lots that the venue has more, rounds in which it had, when the last of them was asked for)."""

    @property
    def fills_since_ns(self) -> int | None:
        """From what venue time on the next snapshot should tell fills; None: nothing is known of this venue yet."""
        return None if self.cursor is None else max(self.cursor.complete_ns - OVERLAP_NS, 0)

    def kept_cursor(self) -> FillCursor | None:
        """The cursor as another life needs it."""
        return None if self.cursor is None else msgspec.structs.replace(self.cursor, history_ns=self.history_ns())

    def history_ns(self) -> int:
        """Fills and payments up to this venue time are not news, whatever their key."""
        forgotten_ns = self._ledger.history_ns.get(self.venue, 0)
        return forgotten_ns if self.cursor is None else max(self.cursor.history_ns, forgotten_ns)

    def take(self, snapshot: VenueSnapshot, now_ns: int) -> Reconciled | None:
        """One round; what came of it, when that is worth a record."""
        first = self.cursor is None
        fills, pending = ([], []) if first else self._unseen_fills(snapshot)
        payments = [] if first else self._unseen_payments(snapshot)
        diffs = {
            market.id: self._standing(market, self._compare(market, snapshot, fills, pending, now_ns), snapshot)
            for market in self._markets.values()
        }
        complete_ns = max(snapshot.ts_venue_ns - _SETTLED_NS, self.complete_to[0])
        self.complete_to = complete_ns, snapshot.fills_height
        for fill in fills:
            age_ns = max(snapshot.ts_venue_ns - fill.ts_venue_ns, 0)
            self._actions.fill(msgspec.structs.replace(fill, ts_local_ns=now_ns), age_ns)
        for payment in payments:
            self._actions.payment(msgspec.structs.replace(payment, ts_local_ns=now_ns))
        released = False
        for market in self._markets.values():
            self._repair(market, diffs[market.id], snapshot, now_ns)
            released |= self._let_go(market, diffs[market.id], snapshot.requested_ns)
        self._forget_resolved(diffs.values())
        self._note_boxed(snapshot)
        self._advance(snapshot)
        found = tuple(
            diff for each in diffs.values() for diff in each if diff.kind is not DiffKind.POSITION_NOT_COMPARED
        )
        if not found:
            self.agreed_ns = now_ns
        if not (found or released or payments):
            return None
        clean = all(market.agreed for market in self._markets.values())
        return Reconciled(self.venue, now_ns, found, clean, tuple(fills), tuple(payments))

    def relive(self, record: Reconciled) -> None:
        """Take in what this round of an earlier life booked, as far as its snapshot alone did not say so."""
        for fill in record.fills:
            if not self._ledger.known(fill):
                self._actions.fill(msgspec.structs.replace(fill, ts_local_ns=record.now_ns), 0)
        for payment in record.payments:
            if not self._actions.paid(payment):
                self._actions.payment(msgspec.structs.replace(payment, ts_local_ns=record.now_ns))

    def hold(self, source: str, now_ns: int, only: MarketState | None = None) -> None:
        """Nothing of this venue, or of one market, is quoted until two rounds, asked for after this, found no
        difference.
        """
        for market in self._markets.values() if only is None else (only,):
            self._held_ns[market.id] = now_ns
            self._hold(market, source)
            self._clean_rounds.pop(market.id, None)

    def adopt_position(self, market: MarketState, now_ns: int) -> Reconciled | None:
        """A person says that the venue's position is right; None: there is no difference to take over."""
        unexplained = self._unexplained.pop(market.id, None)
        if unexplained is None:
            return None
        lots = unexplained[0]
        self._actions.adopt(market, lots)
        return Reconciled(self.venue, now_ns, (Diff(DiffKind.POSITION_ADOPTED, lots),), False)

    # What the venue knows and we do not

    def _unseen_fills(self, snapshot: VenueSnapshot) -> tuple[list[OrderFilled], list[OrderFilled]]:
        """(fills to book, fills that the stream should tell any moment), in the order of (venue time, key)."""
        history_ns = self.history_ns()
        book: list[OrderFilled] = []
        pending: list[OrderFilled] = []
        for fill in sorted(snapshot.fills, key=_fill_order):
            market = self._markets.get(fill.instrument)
            known = fill.ts_venue_ns <= history_ns or self._ledger.seen(fill.instrument, fill.fill_key)
            if market is None or known:
                continue
            starting = market.halts & _STARTING and not self.relives
            late = fill.ts_venue_ns <= snapshot.ts_venue_ns - _STREAM_LEAD_NS
            (book if starting or late else pending).append(fill)
        return book, pending

    def _unseen_payments(self, snapshot: VenueSnapshot) -> list[FundingPaid]:
        history_ns = self.history_ns()
        unseen: list[FundingPaid] = []
        for payment in sorted(snapshot.payments, key=_payment_order):
            market = self._markets.get(payment.instrument)
            if market is None or payment.ts_venue_ns <= history_ns or self._actions.paid(payment):
                continue
            starting = market.halts & _STARTING and not self.relives
            if starting or payment.ts_venue_ns <= snapshot.ts_venue_ns - _STREAM_LEAD_NS:
                unseen.append(payment)
        return unseen

    def _compare(
        self,
        market: MarketState,
        snapshot: VenueSnapshot,
        fills: Sequence[OrderFilled],
        pending: Sequence[OrderFilled],
        now_ns: int,
    ) -> list[Diff]:
        racing = {fill.client_id for fill in pending if fill.instrument == market.id}
        died_with_us = self._final_absence and bool(market.halts & _STARTING)
        held = [
            Held(
                order.client_id,
                order.ticks,
                order.remaining_lots,
                now_ns if order.client_id in racing or (_on_its_way(order) and not died_with_us) else order.touched_ns,
            )
            for order in self._ledger.alive(market.id)
        ]
        here = [fill for fill in fills if fill.instrument == market.id]
        fees = [from_pair(fill.base_fee) for fill in here if fill.base_fee is not None]
        return reconcile_diff(
            held,
            market.position.lots - (market.position.lots_taken_by(sum(fees)) if fees else 0),
            [Unseen(fill.fill_key, fill.client_id, fill.side * fill.lots) for fill in here],
            [order for order in snapshot.orders if order.instrument == market.id],
            next((lots for instrument, lots in snapshot.positions if instrument == market.id), 0),
            requested_ns=snapshot.requested_ns,
            fills_touched_ns=now_ns if racing else self._ledger.fills_touched_ns(market.id),
            misses=self._misses,
            misses_before_missing=0 if market.halts & _STARTING else 1,
            touched_ns=self._touched_ns,
        )

    def _standing(self, market: MarketState, found: list[Diff], snapshot: VenueSnapshot) -> list[Diff]:
        """What is found, less what is being looked into: an order in doubt is missing until it is proven dead. A
        position that has differed for long is called by another name.
        """
        if self._final_absence:
            kept = found
        else:
            kept = [diff for diff in found if diff.kind not in _MISSING or not self._in_doubt(diff)]
        position = next((diff for diff in kept if diff.kind is DiffKind.POSITION), None)
        if position is None:
            if not any(diff.kind is DiffKind.POSITION_NOT_COMPARED for diff in kept):
                self._unexplained.pop(market.id, None)
            return kept
        lots = int(position.subject)
        if market.instrument.spot and abs(lots) == 1:  # what is held of a lot is known to the venue alone
            return [Diff(DiffKind.POSITION_ADOPTED, lots) if diff is position else diff for diff in kept]
        before, rounds, last_ns = self._unexplained.get(market.id, (lots, 0, 0))
        if before != lots:
            rounds = 0
        if rounds == 0 or snapshot.requested_ns >= last_ns + _ROUND_NS:
            rounds, last_ns = rounds + 1, snapshot.requested_ns
        self._unexplained[market.id] = lots, rounds, last_ns
        if rounds < _UNEXPLAINED_ROUNDS:
            return kept
        adopted = self._rules.position_adopt == "venue"
        name = DiffKind.POSITION_ADOPTED if adopted else DiffKind.POSITION_UNEXPLAINED
        return [Diff(name, lots) if diff is position else diff for diff in kept]

    def _in_doubt(self, diff: Diff) -> bool:
        order = None if isinstance(diff.subject, str) else self._ledger.get(ClientOrderId(diff.subject))
        return order is not None and order.phase in _IN_DOUBT

    def _touched_ns(self, client_id: ClientOrderId) -> int | None:
        order = self._ledger.get(client_id)
        return None if order is None else order.touched_ns

    def _note_boxed(self, snapshot: VenueSnapshot) -> None:
        """What is held long and short at once; not where the stream has told of a fill since."""
        if snapshot.boxed is None:
            return
        boxed = dict(snapshot.boxed)
        for market in self._markets.values():
            if self._ledger.fills_touched_ns(market.id) < snapshot.requested_ns:
                market.facts.boxed_lots = boxed.get(market.id, 0)
                market.facts.boxed_ns = snapshot.requested_ns

    # Repair

    def _repair(self, market: MarketState, diffs: Sequence[Diff], snapshot: VenueSnapshot, now_ns: int) -> None:
        here = [order for order in snapshot.orders if order.instrument == market.id]
        shown = {order.client_id: order for order in here}
        self._count_foreign(market, here, now_ns)
        self._settle_tails(market, here, snapshot, now_ns)
        for diff in diffs:
            if isinstance(diff.subject, str):
                continue  # fills are booked by now; orders of others were seen to
            client_id = ClientOrderId(diff.subject)
            if diff.kind is DiffKind.ORDER_MISSING_ONCE:
                self._misses[client_id] = self._misses.get(client_id, 0) + 1
                self._query(client_id)
            elif diff.kind is DiffKind.ORDER_MISSING:
                self._bury(client_id, now_ns)
            elif diff.kind is DiffKind.ORDER_EXTRA_OURS:
                self._see_to_orphan(market, client_id, shown[client_id], now_ns)
            elif diff.kind is DiffKind.ORDER_SIZE:
                self._doubt(market, client_id, shown[client_id], now_ns)
            elif diff.kind is DiffKind.ORDER_PRICE:
                self._move(market, client_id, shown[client_id], now_ns)
            elif diff.kind is DiffKind.POSITION or diff.kind is DiffKind.POSITION_UNEXPLAINED:
                self._hold(market, _POSITION)
            elif diff.kind is DiffKind.POSITION_ADOPTED:
                self._unexplained.pop(market.id, None)
                self._actions.adopt(market, diff.subject)

    def _forget_resolved(self, rounds: Iterable[Sequence[Diff]]) -> None:
        """Only what differs in rounds running is counted."""
        standing = {(diff.kind, diff.subject) for diffs in rounds for diff in diffs}
        self._misses = {
            client_id: count
            for client_id, count in self._misses.items()
            if (DiffKind.ORDER_MISSING_ONCE, client_id) in standing
        }
        self._odd = {
            client_id: count for client_id, count in self._odd.items() if (DiffKind.ORDER_SIZE, client_id) in standing
        }

    def _bury(self, client_id: ClientOrderId, now_ns: int) -> None:
        if self._final_absence:
            self._ledger.prove_dead(client_id, now_ns)
            return
        order = self._ledger.get(client_id)
        if order is not None and order.phase is not Phase.CLOSING:
            self._ledger.suspect(client_id, now_ns)

    def _count_foreign(self, market: MarketState, here: Sequence[OpenOrder], now_ns: int) -> None:
        """Orders of others fill our position, so they count; what else is done about them is configured."""
        foreign = {
            order.venue_order_id: (order.side, order.remaining_lots) for order in here if order.client_id is None
        }
        self._ledger.set_foreign(market.id, foreign)
        if not foreign or self._rules.on_foreign_order == "ignore":
            return
        if self._rules.on_foreign_order == "halt":
            self._hold(market, _FOREIGN)
        else:
            # No other command reaches an order without an id of ours; our quotes come back by themselves.
            self._actions.submit(CancelAll(self.venue, (Reason.FOREIGN,)), None, now_ns)

    def _settle_tails(
        self, market: MarketState, here: Sequence[OpenOrder], snapshot: VenueSnapshot, now_ns: int
    ) -> None:
        """A replaced version whose end nobody told: it is not there, and its fills are known."""
        ids = [order.venue_order_id for order in here]
        for order in [each for each in self._ledger.alive(market.id) if each.tails]:
            replaced_ns = max(order.replaced_ns, order.sent_ns or 0)
            gone = not any(tail.venue_order_id in ids for tail in order.tails)
            if gone and order.touched_ns < snapshot.requested_ns and self.complete_to[0] > replaced_ns:
                self._ledger.bury_tails(order.client_id, now_ns)

    def _query(self, client_id: ClientOrderId) -> None:
        order = self._ledger.get(client_id)
        if order is not None and order.may_be_alive:
            self._actions.query(order)

    def _see_to_orphan(self, market: MarketState, client_id: ClientOrderId, shown: OpenOrder, now_ns: int) -> None:
        if self._ledger.get(client_id) is None:
            order = self._ledger.adopt(shown, client_id, now_ns)
            if self._rules.on_orphan == "adopt":
                order.level = 0  # any: the next decision pairs it with the level it serves, or finds it superfluous
                self._actions.take_up((order,))
            else:
                self._actions.submit(CancelOrder(market.id, client_id, (Reason.ORPHAN,)), market, now_ns)
        else:
            # It is over by all we know: what else we believe of it may be as wrong.
            self._hold(market, "order_extra_ours")
            self._actions.submit(CancelAll(self.venue, (Reason.ORPHAN,)), None, now_ns)

    def _doubt(self, market: MarketState, client_id: ClientOrderId, shown: OpenOrder, now_ns: int) -> None:
        """A remaining size that no fill explains: unless an amend in doubt does, stay out, ask, and the second time
        cancel it.
        """
        order = self._ledger.get(client_id)
        if order is None:
            return
        if order.pend_lots and shown.remaining_lots == order.pend_lots - order.filled_lots:
            self._move(market, client_id, shown, now_ns)
            return
        self._query(client_id)
        self._odd[client_id] = rounds = self._odd.get(client_id, 0) + 1
        market.lockouts.hold(Reason.RECONCILING, f"order_size {order.side.word}", order.side)
        if rounds > 1:
            self._cancel(market, client_id, now_ns)

    def _move(self, market: MarketState, client_id: ClientOrderId, shown: OpenOrder, now_ns: int) -> None:
        """Another price: the amend whose answer was lost, or else nothing we know of."""
        order = self._ledger.get(client_id)
        if order is None:
            return
        if order.pend_lots and order.pend_ticks == shown.ticks:
            self._ledger.apply(
                OrderAmended(market.id, 0, now_ns, client_id, shown.venue_order_id, order.pend_ticks, order.pend_lots)
            )
        else:
            self._cancel(market, client_id, now_ns)

    def _cancel(self, market: MarketState, client_id: ClientOrderId, now_ns: int) -> None:
        order = self._ledger.get(client_id)
        if order is not None and order.may_be_alive and order.cancel not in _ON_ITS_WAY:
            self._actions.submit(CancelOrder(market.id, client_id, (Reason.RECONCILING,)), market, now_ns)

    @staticmethod
    def _hold(market: MarketState, source: str) -> None:
        market.lockouts.hold(Reason.RECONCILING, source)
        market.facts.reconciling = True

    # Letting go

    def _let_go(self, market: MarketState, diffs: Sequence[Diff], requested_ns: int) -> bool:
        """Whether this round ended the start or a `reconciling` lockout of this market."""
        starting = bool(market.halts & _STARTING)
        if starting:
            clean = not any(diff.kind in _OPEN_ISSUES for diff in diffs)
        elif any(diff.kind is DiffKind.POSITION_NOT_COMPARED for diff in diffs):
            return False
        else:
            clean = all(diff.kind is DiffKind.ORDER_FOREIGN for diff in diffs)
        if self._rules.on_foreign_order != "ignore":
            clean = clean and not any(diff.kind is DiffKind.ORDER_FOREIGN for diff in diffs)
        if not (starting or market.lockouts.held()):
            return False
        rounds, last_ns = self._clean_rounds.get(market.id, (0, 0))
        last_touch_ns = max(self._ledger.fills_touched_ns(market.id), self._held_ns.get(market.id, -1))
        touched = not starting and last_touch_ns >= requested_ns
        if not clean or touched:
            self._clean_rounds.pop(market.id, None)
            return False
        if rounds == 0 or requested_ns >= last_ns + _ROUND_NS:
            rounds, last_ns = rounds + 1, requested_ns
            self._clean_rounds[market.id] = (rounds, last_ns)
        if rounds < (1 if starting and self.whole else 2):
            return False
        self._clean_rounds.pop(market.id, None)
        for reason, source in market.lockouts.held():
            if reason is Reason.RECONCILING:
                market.lockouts.release(reason, source)
        market.facts.reconciling = False
        market.halts &= ~_STARTING
        return True

    def _advance(self, snapshot: VenueSnapshot) -> None:
        """The snapshot came in whole: its fills need not be asked for again, but for the overlap."""
        settled_ns = snapshot.ts_venue_ns - _SETTLED_NS
        cursor = self.cursor
        if cursor is None:
            self.cursor = FillCursor(self.venue, settled_ns, snapshot.ts_venue_ns)
            return
        newest_ns = max((fill.ts_venue_ns for fill in snapshot.fills), default=cursor.complete_ns)
        complete_ns = max(cursor.complete_ns, min(newest_ns, settled_ns))
        self.cursor = FillCursor(self.venue, complete_ns, cursor.history_ns)


def _on_its_way(order: LedgerOrder) -> bool:
    """An answer is awaited, which may be in the snapshot already: nothing can be told by comparing."""
    waiting = order.phase is Phase.QUEUED or order.phase is Phase.SENT
    return waiting or order.amend in _ON_ITS_WAY or order.cancel in _ON_ITS_WAY or bool(order.tails)


def _fill_order(fill: OrderFilled) -> tuple[int, str]:
    return fill.ts_venue_ns, fill.fill_key


def _payment_order(payment: FundingPaid) -> tuple[int, str]:
    return payment.ts_venue_ns, payment.payment_key
