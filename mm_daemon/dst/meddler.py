"""Somebody else with our credentials: a person at the venue's own screen, or a second program with our ids.

What they do to orders of ours is told on our stream like anything else, at times before our own acknowledgement. The
invariants do not hold us to what becomes of such an order (`Checks.meddled`), only to what we do about it.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import AmendOrder, Reason, Turn
from mm_daemon.domain.events import (
    Event,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderEvent,
    OrderExpired,
    OrderStatus,
)
from mm_daemon.domain.instrument import InstrumentId, grid_floor
from mm_daemon.domain.orders import ClientOrderId, InFlight, Phase, RejectKind, Side
from mm_daemon.domain.rng import Rng
from mm_daemon.dst.chance import chance, pick
from mm_daemon.dst.checks import Checks
from mm_daemon.dst.link import Link
from mm_daemon.dst.scenario import Scenario
from mm_daemon.dst.venue import ReferenceVenue, VenueOrder

_FIRST_STRANGE_ID = 1_600_000_000_000
"""Below all ids of the daemon, which begin with the clock's milliseconds."""
_IN_DOUBT = (Reason.UNKNOWN_FENCE,)
"""Why a command leaves in the very turn in which an outcome became unknown."""
_SELDOM = ((Phase.UNKNOWN,), (Phase.QUEUED, Phase.SENT), (Phase.CLOSING,))
"""Phases that do not last, those first that are seen least."""
T = TypeVar("T")
_REFUSALS = (RejectKind.OTHER, RejectKind.RATE_LIMITED, RejectKind.HALTED)
_TOLD_AGAIN = (OrderCanceled, OrderExpired, OrderAmendRejected, OrderCancelRejected, OrderAmended)


class Meddler:
    def __init__(
        self,
        scenario: Scenario,
        venue: ReferenceVenue,
        link: Link,
        checks: Checks,
        rng: Rng,
        note: Callable[[Event], None],
    ) -> None:
        """`note` is shown what is told by another way than the venue's stream."""
        self._scenario = scenario
        self._venue = venue
        self._link = link
        self._checks = checks
        self._rng = rng
        self._note = note
        self._strange_id = _FIRST_STRANGE_ID

    def actions(self) -> dict[str, Callable[[], None]]:
        return {
            "order of ours trimmed": self._trim,
            "order of ours moved": self._move,
            "order of ours amended by hand": self._amend,
            "amend by hand refused": self._refuse_amend,
            "cancel by hand refused": self._refuse_cancel,
            "order of ours asked about by hand": self._ask,
            "order under an id of ours": self._place,
            "report told again": self._tell_again,
        }

    def after_turn(self, turn: Turn) -> None:
        """An order may be in doubt this very moment, or wait in an outbox."""
        core = self._core
        for approved in turn.released:
            if isinstance(approved.command, AmendOrder) and chance(self._rng, 8):
                self.end(approved.command.client_id)
        if any(approved.command.reasons == _IN_DOUBT for approved in turn.released):
            self._amend()
            pick(self._rng, (self._amend, self._refuse_amend, self._refuse_cancel, self._ask))()
        elif core is not None and core.dispatch.waiting and chance(self._rng, 4):
            self._place()
        elif core is not None and self._scenario.fresh and core.ledger.uncertain and chance(self._rng, 30):
            self._tell_again()

    def after_arrival(self) -> None:
        """The venue may have an order of which we have not heard so yet."""
        if chance(self._rng, 2):
            pick(self._rng, (self._amend, self._refuse_amend, self._refuse_cancel, self._ask))()

    def end(self, client_id: ClientOrderId) -> None:
        """An order is cancelled by hand, and then once more: that it is gone is heard before that it was cancelled."""
        order = self._venue.orders.get(client_id)
        if order is not None:
            self._venue.kill_order(order, expired=False)
            now_ns = self._venue.tick()
            self._tell(OrderCancelRejected(order.instrument, now_ns, 0, client_id, RejectKind.GONE))

    def before_snapshot(self) -> None:
        """What is changed now is seen when accounts are compared."""
        if chance(self._rng, 35):
            pick(self._rng, (self._trim, self._move))()

    # Who is meant

    @property
    def _core(self) -> TradingCore | None:
        return self._checks.core

    def _resting(self) -> VenueOrder | None:
        """An order of ours that rests, most often one of which we have not heard so."""
        orders = list(self._venue.orders.values())
        return self._oddest([(order, self._phase(order.client_id)) for order in orders])

    def _oddest(self, found: Sequence[tuple[T, Phase | None]]) -> T | None:
        """One of them, most often of those in the phases that are seldom seen."""
        for phases in _SELDOM:
            chosen = [each for each, phase in found if phase in phases]
            if chosen and chance(self._rng, 60):
                return pick(self._rng, chosen)
        return pick(self._rng, found)[0] if found else None

    def _known(self, client_id: ClientOrderId | None) -> LedgerOrder | None:
        core = self._core
        return None if core is None or client_id is None else core.ledger.get(client_id)

    def _phase(self, client_id: ClientOrderId | None) -> Phase | None:
        order = self._known(client_id)
        return None if order is None else order.phase

    def _any_of_ours(self) -> LedgerOrder | None:
        """Alive by what we know, of young ones first, or just ended; none that an amend of ours is out for: a refusal
        would be taken for the answer to it."""
        core = self._core
        if core is None:
            return None
        alive = [order for instrument in self._scenario.ids for order in core.ledger.alive(instrument)]
        ended = [self._known(client_id) for client_id in list(self._venue.ended)[-12:]]
        orders = [each for each in (*alive, *filter(None, ended)) if each.amend is InFlight.NONE]
        return self._oddest([(order, order.phase) for order in orders])

    # What they do

    def _trim(self) -> None:
        """The venue makes an order smaller and says nothing."""
        order = self._old()
        if order is not None and order.left > 1:
            order.lots -= 1 + self._rng.below(order.left - 1)

    def _move(self) -> None:
        """It moves one away from the market and says nothing."""
        order = self._old()
        if order is not None:
            order.ticks = self._behind(order)

    def _old(self) -> VenueOrder | None:
        """The order of ours that has rested longest, as we know."""
        for order in self._venue.orders.values():
            known = self._known(order.client_id)
            if known is not None and known.phase is Phase.LIVE and known.amend is InFlight.NONE:
                return order
        return None

    def _behind(self, order: VenueOrder) -> int:
        grid = self._venue.instruments[order.instrument].grid
        ticks = order.ticks - order.side * (1 + self._rng.below(4))
        below = grid_floor(ticks, grid)
        return below if order.side is Side.BUY or below == ticks else order.ticks

    def _amend(self) -> None:
        """A person takes some of an order's size away, or moves it back."""
        order = self._resting()
        if order is None or self._scenario.fresh:
            return  # where an amend makes another order, that one is not ours any more
        known = self._known(order.client_id)
        if known is not None and known.amend is not InFlight.NONE:
            return
        assert order.client_id is not None
        order.ticks = self._behind(order)
        if order.left > 1 and chance(self._rng, 50):
            order.lots -= 1
        now_ns = self._venue.tick()
        self._tell(OrderAmended(order.instrument, now_ns, 0, order.client_id, order.name, order.ticks, order.lots))

    def _refuse_amend(self) -> None:
        """A person asks for an amend and does not get it."""
        known = self._any_of_ours()
        if known is None:
            return
        order = self._venue.orders.get(known.client_id)
        if order is not None and chance(self._rng, 60):
            self._venue.kill_order(order, expired=False)  # the old one is gone and the new one not there
            kind = RejectKind.PLACE_LEG_FAILED
        elif order is not None or known.phase is Phase.LIVE:
            kind = pick(self._rng, _REFUSALS)
        elif known.client_id in self._venue.ended:
            kind = pick(self._rng, (RejectKind.GONE, RejectKind.PLACE_LEG_FAILED, RejectKind.OTHER))
        else:
            kind = pick(self._rng, (RejectKind.GONE, RejectKind.OTHER))
        self._tell(OrderAmendRejected(known.instrument, self._venue.tick(), 0, known.client_id, kind))

    def _refuse_cancel(self) -> None:
        core = self._core
        alive = [each for name in self._scenario.ids for each in core.ledger.alive(name)] if core is not None else []
        over = [each for each in alive if each.client_id in self._venue.ended]
        if over and chance(self._rng, 70):  # we have not heard so yet
            gone = pick(self._rng, over)
            kind = RejectKind.FILLED if self._venue.ended[gone.client_id].full else RejectKind.GONE
            self._tell(OrderCancelRejected(gone.instrument, self._venue.tick(), 0, gone.client_id, kind))
            return
        known = self._any_of_ours()
        if known is not None and known.cancel is InFlight.NONE:
            kind = pick(self._rng, _REFUSALS)
            self._tell(OrderCancelRejected(known.instrument, self._venue.tick(), 0, known.client_id, kind))

    def _ask(self) -> None:
        """The answer to somebody else's question comes to us too."""
        order = self._resting()
        if order is not None and order.client_id is not None:
            self._tell(
                OrderStatus(
                    order.instrument,
                    self._venue.tick(),
                    0,
                    order.client_id,
                    order.name,
                    order.ticks,
                    order.lots,
                    order.filled,
                )
            )

    def _place(self) -> None:
        """A second program uses our ids: one that we are about to use, or one that we never used."""
        core, rng = self._core, self._rng
        if core is None or not self._checks.known_for_long:
            return
        queued = [
            order
            for instrument in self._scenario.ids
            for order in core.ledger.alive(instrument)
            if order.phase is Phase.QUEUED
        ]
        if queued:
            order = pick(rng, queued)
            instrument, side, ticks, lots = order.instrument, order.side, order.ticks, order.lots
            client_id = order.client_id
        else:
            self._strange_id -= 1
            client_id, instrument = ClientOrderId(self._strange_id), pick(rng, self._scenario.ids)
            side, lots = pick(rng, (Side.BUY, Side.SELL)), 1 + rng.below(6)
            ticks = self._behind_touch(instrument, side)
        if client_id in self._venue.ended or client_id in self._venue.orders:
            return
        self._checks.meddled.add(client_id)
        self._link.hasty = True
        self._venue.place_strange(client_id, instrument, side, ticks, lots, pick(rng, ("rests", "fills", "ends")))
        self._link.hasty = False

    def _behind_touch(self, instrument: InstrumentId, side: Side) -> int:
        ticks = self._venue.quotes[instrument].mid - side * (5 + self._rng.below(12))
        return grid_floor(ticks, self._venue.instruments[instrument].grid)

    def _tell_again(self) -> None:
        """What was told before comes once more, as after a reconnect."""
        found = [
            (event, self._phase(event.client_id))
            for event in self._venue.told
            if isinstance(event, _TOLD_AGAIN) and self._takes_no_amend(event.client_id)
        ]
        replaced = [  # the end of an older version, while the order itself is ending
            (event, phase)
            for event, phase in found
            if phase is Phase.CLOSING and isinstance(event, OrderCanceled) and event.replaced
        ]
        told = self._oddest(replaced or found)
        if told is not None:
            self._tell(told)

    def _takes_no_amend(self, client_id: ClientOrderId) -> bool:
        known = self._known(client_id)
        return known is not None and known.amend is InFlight.NONE

    def _tell(self, event: OrderEvent) -> None:
        self._note(event)
        self._link.overtake(event)
