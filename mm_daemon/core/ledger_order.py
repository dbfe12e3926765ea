"""One order of ours and the versions of it that may be alive: sizes, fills, exposure (EXECUTION 1).

A native amend makes an order have versions. Where an amend names a *total*, versions share one filled count and the
larger size counts; where it names a *fresh* order, every version may fill on its own until its death is settled: the
current one, the one asked for (`pend`), and the tails, which are older versions. Owned and changed by the order ledger
alone; everybody else reads.
"""

from collections import deque

from mm_daemon.domain.checkpoint import OrderState, TailState
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, PlaceOrder, Reason
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import FINAL_PHASES, ClientOrderId, InFlight, Phase, Purpose, Side

_SETTLED_IDS_KEPT = 16

_CLOSING, _QUEUED = Phase.CLOSING, InFlight.QUEUED
_PLACE_PENDING = Reason.PLACE_PENDING.bit
_AMEND_PENDING = Reason.AMEND_PENDING.bit
_CANCEL_PENDING = Reason.CANCEL_PENDING.bit
_ORDER_UNKNOWN = Reason.ORDER_UNKNOWN.bit
_PHASE_BITS = {
    Phase.QUEUED: _PLACE_PENDING,
    Phase.SENT: _PLACE_PENDING,
    Phase.UNKNOWN: _ORDER_UNKNOWN,
    Phase.CLOSING: _CANCEL_PENDING,
}
_AMEND_BITS = {InFlight.QUEUED: _AMEND_PENDING, InFlight.SENT: _AMEND_PENDING, InFlight.UNKNOWN: _ORDER_UNKNOWN}
_CANCEL_BITS = {InFlight.QUEUED: _CANCEL_PENDING, InFlight.SENT: _CANCEL_PENDING, InFlight.UNKNOWN: _ORDER_UNKNOWN}


class Tail:
    """An older version whose death is not settled. `lots` becomes the filled size its death report names."""

    __slots__ = ("filled_lots", "lots", "ticks", "venue_order_id")

    def __init__(self, venue_order_id: str | None, ticks: int, lots: int, filled_lots: int) -> None:
        self.venue_order_id = venue_order_id
        self.ticks = ticks
        self.lots = lots
        self.filled_lots = filled_lots


class LedgerOrder:
    """An order's state. `lots`, `filled_lots`, `ticks` are those of the current version; `exposure` is what the order
    may still add to its side, in lots, all versions together; `alive_ticks()` the prices of all of them.
    """

    __slots__ = (
        "_alive_ticks",
        "accepted",
        "amend",
        "amend_command",
        "amended",
        "cancel",
        "cancel_after_ns",
        "cancel_command",
        "cancel_refusals",
        "client_id",
        "cum_lots",
        "current_alive",
        "doubted",
        "expires_height",
        "expires_ns",
        "exposure",
        "filled_lots",
        "final_word",
        "fresh",
        "instrument",
        "level",
        "lots",
        "new_ids",
        "pend_lots",
        "pend_ticks",
        "pending_bits",
        "phase",
        "post_only",
        "purpose",
        "reduce_only",
        "remaining_lots",
        "replaced_ns",
        "sent_ns",
        "settled_ids",
        "side",
        "since_ns",
        "tails",
        "ticks",
        "touched_ns",
        "uncertain",
        "venue_order_id",
        "version_ns",
        "wire_ref",
    )

    def __init__(self, place: PlaceOrder, *, fresh: bool, new_ids: bool, now_ns: int) -> None:
        self.client_id: ClientOrderId = place.client_id
        self.instrument: InstrumentId = place.instrument
        self.side: Side = place.side
        self.level: int | None = place.level if place.purpose is Purpose.QUOTE else None
        self.purpose: Purpose = place.purpose
        self.post_only = place.post_only
        self.reduce_only = place.reduce_only
        self.ticks = place.ticks
        self.lots = place.lots
        self.filled_lots = 0
        self.cum_lots: int | None = None
        """Filled size of the current version as a final report of its death named it."""
        self.current_alive = True
        """False once the current version is known to have been replaced by nothing (`place_leg_failed`)."""
        self.phase = Phase.QUEUED
        self.final_word = Phase.CANCELED
        """The final phase this order takes if it ends without being filled."""
        self.amend = InFlight.NONE
        self.cancel = InFlight.NONE
        self.amend_command: AmendOrder | None = None
        self.cancel_command: CancelOrder | CancelAll | None = None
        self.cancel_refusals = 0
        """Cancels in a row that the venue refused without saying that the order is gone."""
        self.cancel_after_ns = 0
        """After such a refusal no other cancel is sent before this."""
        self.pend_ticks = 0
        self.pend_lots = 0
        self.sent_ns: int | None = None
        """When the last place or amend left, by the venue's clock as far as it is known; None: not known."""
        self.expires_ns = place.expires_ns
        """Latest validity of its commands that have left, by the venue's clock."""
        self.expires_height = place.expires_height
        self.wire_ref = ""
        """What the last place or amend was called on the wire."""
        self.doubted = False
        """It is CLOSING because the venue seems to have lost it, not because a report named its death."""
        self.uncertain = False
        """It is in doubt what the venue holds: see `core/resolver.py`."""
        self.venue_order_id: str | None = None
        self.tails: list[Tail] = []
        self.settled_ids: deque[str] = deque(maxlen=_SETTLED_IDS_KEPT)
        self.accepted = False
        self.amended = False
        self.fresh = fresh
        self.new_ids = new_ids
        self.touched_ns = now_ns
        self.version_ns = 0
        """The venue's time of the last amend report; 0: none with a time in this life."""
        self.replaced_ns = 0
        """When a version became a tail, on the venue's clock as far as it is known; 0: not in this life."""
        self.since_ns = now_ns
        """When it was last sent to the venue or moved there."""
        self.exposure = place.lots
        self.pending_bits = _PLACE_PENDING
        """Why its slot must wait: a mask of place_pending, amend_pending, cancel_pending, order_unknown."""
        self.remaining_lots = place.lots
        """What the current version has left to fill."""
        self._alive_ticks: tuple[int, ...] = (place.ticks,)

    @classmethod
    def restored(cls, state: OrderState, *, fresh: bool, new_ids: bool) -> "LedgerOrder":
        """The order of an earlier life, with no exposure counted yet: call `refresh`. Its last touch was before now."""
        place = PlaceOrder(
            state.instrument,
            state.client_id,
            state.side,
            state.level or 0,
            state.ticks,
            state.lots,
            (),
            post_only=state.post_only,
            reduce_only=state.reduce_only,
            purpose=state.purpose,
        )
        order = cls(place, fresh=fresh, new_ids=new_ids, now_ns=0)
        order.filled_lots = state.filled_lots
        order.cum_lots = state.cum_lots
        order.current_alive = state.current_alive
        order.phase, order.final_word = state.phase, state.final_word
        order.amend, order.cancel = state.amend, state.cancel
        order.pend_ticks, order.pend_lots = state.pend_ticks, state.pend_lots
        order.venue_order_id = state.venue_order_id
        order.tails = [Tail(tail.venue_order_id, tail.ticks, tail.lots, tail.filled_lots) for tail in state.tails]
        order.settled_ids.extend(state.settled_ids)
        order.accepted, order.amended = state.accepted, state.amended
        order.since_ns = state.since_ns
        order.sent_ns, order.wire_ref = state.sent_ns, state.wire_ref
        order.expires_ns, order.expires_height = state.expires_ns, state.expires_height
        order.doubted = state.doubted
        order.exposure = 0
        return order

    def state(self, final_ns: int | None, now_ns: int) -> OrderState:
        """As a next life may take it up: a queued amend or cancel never left, a sent one is unknown. An order that
        only its queued amend kept alive has ended at `now_ns`.
        """
        amending = self.amend is not InFlight.NONE and self.amend is not InFlight.QUEUED
        cancelling = self.cancel is not InFlight.NONE and self.cancel is not InFlight.QUEUED
        phase: Phase = Phase.UNKNOWN if self.phase is Phase.SENT else self.phase
        if final_ns is None and not self.exposure_with(self.pend_lots if amending else 0):
            phase = self.ends_as
            cancelling, final_ns = False, now_ns
        return OrderState(
            self.client_id,
            self.instrument,
            self.side,
            self.level,
            self.purpose,
            self.post_only,
            self.reduce_only,
            self.ticks,
            self.lots,
            self.filled_lots,
            self.cum_lots,
            self.current_alive,
            phase,
            self.final_word,
            InFlight.UNKNOWN if amending else InFlight.NONE,
            InFlight.UNKNOWN if cancelling else InFlight.NONE,
            self.pend_ticks if amending else 0,
            self.pend_lots if amending else 0,
            self.venue_order_id,
            tuple(TailState(tail.venue_order_id, tail.ticks, tail.lots, tail.filled_lots) for tail in self.tails),
            tuple(self.settled_ids),
            self.accepted,
            self.amended,
            final_ns,
            self.since_ns,
            self.sent_ns,
            self.expires_ns,
            self.expires_height,
            self.wire_ref,
            self.doubted,
        )

    @property
    def final(self) -> bool:
        return self.phase in FINAL_PHASES

    @property
    def may_be_alive(self) -> bool:
        return self.phase not in FINAL_PHASES

    @property
    def resting(self) -> bool:
        """The venue is known to hold it, with something left to fill: what counts as quoting."""
        return self.phase is Phase.LIVE and self.remaining_lots > 0

    @property
    def lost(self) -> bool:
        """The outcome of a command is unknown, or the venue seems to have lost the order: EXECUTION 2 applies."""
        return (
            self.phase is Phase.UNKNOWN
            or (self.phase is Phase.CLOSING and self.doubted)
            or self.amend is InFlight.UNKNOWN
            or self.cancel is InFlight.UNKNOWN
        )

    @property
    def ends_as(self) -> Phase:
        """The final phase, should no version be able to fill any more: FILLED if the current one is full."""
        full = self.current_alive and self.filled_lots >= self.lots
        return Phase.FILLED if full else self.final_word

    def may_cancel(self, now_ns: int) -> bool:
        """Whether a cancel makes sense: none is on its way, the order is not said to be dead, and the venue did not
        refuse one just now. A lost one may be repeated.
        """
        return (
            self.cancel is not InFlight.QUEUED
            and self.cancel is not InFlight.SENT
            and self.phase is not Phase.CLOSING
            and now_ns >= self.cancel_after_ns
        )

    def alive_ticks(self) -> tuple[int, ...]:
        """Prices of all versions that may be alive, the amend in flight included."""
        return self._alive_ticks

    def tail_at(self, ticks: int) -> bool:
        """Whether an older version may still rest at this price."""
        return bool(self.tails) and any(tail.ticks == ticks for tail in self.tails)

    def exposure_with(self, pend_lots: int) -> int:
        """The exposure if an amend to `pend_lots` were in flight; 0 means none (EXECUTION 1, formula)."""
        if self.phase in FINAL_PHASES:
            return 0
        cum, filled = self.cum_lots, self.filled_lots
        if not self.fresh:
            return max((cum if cum is not None else max(self.lots, pend_lots)) - filled, 0)
        exposure = pend_lots
        if self.current_alive:
            exposure += max((cum if cum is not None else self.lots) - filled, 0)
        for tail in self.tails:
            exposure += max(tail.lots - tail.filled_lots, 0)
        return exposure

    # What follows changes the order: for the ledger's table only.

    def refresh(self) -> int:
        """Bring what follows from the other fields up to date; returns the change of exposure."""
        before = self.exposure
        self.exposure = self.exposure_with(self.pend_lots)
        self.remaining_lots = max(self.lots - self.filled_lots, 0)
        self._alive_ticks = self._versions() if self.exposure else ()
        self.pending_bits = 0
        self.uncertain = False
        if self.phase not in FINAL_PHASES:
            self.pending_bits = bits = (
                _PHASE_BITS.get(self.phase, 0) | _AMEND_BITS.get(self.amend, 0) | _CANCEL_BITS.get(self.cancel, 0)
            )
            self.uncertain = bits & _ORDER_UNKNOWN != 0 or self.phase is _CLOSING
        return self.exposure - before

    def _versions(self) -> tuple[int, ...]:
        if not self.pend_lots and not self.tails:
            return (self.ticks,)
        ticks: list[int] = []
        if not self.fresh or (self.current_alive and self._current_left() > 0):
            ticks.append(self.ticks)
        if self.pend_lots:
            ticks.append(self.pend_ticks)
        if self.tails:
            ticks += [tail.ticks for tail in self.tails]
        return tuple(ticks)

    def _current_left(self) -> int:
        return (self.cum_lots if self.cum_lots is not None else self.lots) - self.filled_lots

    def note_validity(self, expires_ns: int | None, expires_height: int | None) -> None:
        """A place or an amend leaves: until all of them are over, one may still take effect."""
        if expires_ns is not None and (self.expires_ns is None or expires_ns > self.expires_ns):
            self.expires_ns = expires_ns
        if expires_height is not None and (self.expires_height is None or expires_height > self.expires_height):
            self.expires_height = expires_height

    def set_pend(self, command: AmendOrder) -> None:
        self.amend = _QUEUED
        self.amend_command = command
        self.pend_ticks = command.ticks
        self.pend_lots = command.lots

    def clear_pend(self) -> None:
        self.amend = InFlight.NONE
        self.amend_command = None
        self.pend_ticks = self.pend_lots = 0

    def clear_cancel(self) -> None:
        self.cancel = InFlight.NONE
        self.cancel_command = None

    def tail(self, venue_order_id: str) -> Tail | None:
        """The tail under this venue id. One whose id was never told takes the first id that belongs to nothing else."""
        nameless = None
        for tail in self.tails:
            if tail.venue_order_id == venue_order_id:
                return tail
            if tail.venue_order_id is None:
                nameless = tail
        if nameless is None or self.is_current(venue_order_id) or venue_order_id in self.settled_ids:
            return None
        nameless.venue_order_id = venue_order_id
        return nameless

    def is_current(self, venue_order_id: str) -> bool:
        """Whether a report under this venue id is about the current version; so are nameless and first-named ones."""
        return not venue_order_id or self.venue_order_id is None or venue_order_id == self.venue_order_id

    def names_pend(self, venue_order_id: str) -> bool:
        """Whether a venue id that belongs to no version yet must be the amend's, whose acknowledgement is still out.

        Before the place is answered a `fresh` order takes it so too (the table's SENT column; the sum of exposures is
        the same either way), a `total` one does not, because the larger of its two sizes has to go on counting.
        """
        if not self.pend_lots or not venue_order_id or venue_order_id in self.settled_ids:
            return False
        return self.fresh if self.venue_order_id is None else venue_order_id != self.venue_order_id

    def learn_id(self, venue_order_id: str) -> None:
        """Keep the first venue id."""
        if self.venue_order_id is None and venue_order_id:
            self.venue_order_id = venue_order_id

    def replace_current(self, venue_order_id: str, ticks: int, lots: int) -> None:
        """The venue says that the order now has this price and size under this id."""
        if venue_order_id in self.settled_ids or self.tail(venue_order_id) is not None:
            return  # the late acknowledgement of a version that was itself replaced since
        self.amended = True
        if self._repeats_current(venue_order_id, ticks, lots):
            self.ticks, self.lots = ticks, lots
            return
        same_id = self.venue_order_id is not None and self.is_current(venue_order_id)
        if self.fresh:
            self.retire_current(settled=same_id)
            self.filled_lots = 0
        elif not same_id:
            self._settle_id(self.venue_order_id)
        self.venue_order_id = venue_order_id or self.venue_order_id
        self.ticks, self.lots = ticks, lots
        self.cum_lots = None
        self.current_alive = True
        self.clear_pend()

    def _repeats_current(self, venue_order_id: str, ticks: int, lots: int) -> bool:
        """Whether an amend report tells again what is known, so that it must not clear an amend sent since."""
        if not self.is_current(venue_order_id) or self.venue_order_id is None:
            return False
        if self.new_ids or not self.pend_lots:
            return True
        same_as_current = ticks == self.ticks and lots == self.lots
        same_as_pend = ticks == self.pend_ticks and lots == self.pend_lots
        return same_as_current and not same_as_pend

    def retire_current(self, *, settled: bool) -> None:
        """The current version of a `fresh` order is gone; unless `settled` it is a tail while it may have fills."""
        if settled:
            return
        if self.current_alive and self._current_left() > 0:
            bound = self.cum_lots if self.cum_lots is not None else self.lots
            self.tails.append(Tail(self.venue_order_id, self.ticks, bound, self.filled_lots))
        else:
            self._settle_id(self.venue_order_id)
        self.venue_order_id = None
        self.current_alive = False

    def settle_tail(self, tail: Tail) -> None:
        """Forget a tail that has nothing left to fill; its id stays known, so that a later fill under it is late."""
        if tail.filled_lots >= tail.lots:
            self.tails.remove(tail)
            self._settle_id(tail.venue_order_id)

    def drop_tails(self) -> None:
        """No older version can fill any more."""
        for tail in self.tails:
            self._settle_id(tail.venue_order_id)
        self.tails.clear()

    def _settle_id(self, venue_order_id: str | None) -> None:
        if venue_order_id is not None and venue_order_id not in self.settled_ids:
            self.settled_ids.append(venue_order_id)

    def finish(self, phase: Phase) -> None:
        """No venue can fill it any more."""
        self.phase = phase
        self.clear_pend()
        self.clear_cancel()
        self.drop_tails()

    def finish_if_done(self) -> None:
        """Final when no version can fill."""
        if self.phase not in FINAL_PHASES and not self.exposure_with(self.pend_lots):
            self.finish(self.ends_as)
