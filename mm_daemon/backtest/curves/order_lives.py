"""The life of our orders, as we saw it: from the release of a command to its answer, and what became of the order.

    time to acknowledge = the venue's acceptance heard - place released
    time to amend       = the amend's confirmation heard - amend released
    time to cancel      = the cancellation heard - cancel released
    life                = its end heard - place released
    queue ahead         = size displayed at our price when its acceptance was heard: those who were there before us

Instants are those of our own clock, the decide marker for a release, so both ways and the venue's own time are in it.
"""

from collections.abc import Mapping

import msgspec

from mm_daemon.backtest.curves.samples import NAN, Floats, Thinned
from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder
from mm_daemon.domain.events import (
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCancelRejected,
    OrderEvent,
    OrderFilled,
)
from mm_daemon.domain.instrument import InstrumentId, venue_of
from mm_daemon.domain.orders import ClientOrderId

_NS_PER_MS = 1e6
_NS = 1e9


class OrderSamples(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Samples of each measure, in the order in which they were known; `seen` counts all of them by name."""

    ack_ms: Floats
    amend_ms: Floats
    cancel_ms: Floats
    life_s: Floats
    queue_ahead: Floats
    """Base units, at each acceptance and amend."""
    first_fill_s: Floats
    """From the acceptance or amend that the order stood at to its first fill."""
    filled_share: Floats
    """Size filled over size, of orders that ended."""
    seen: Mapping[str, int]


class _Life:
    __slots__ = ("amend_ns", "cancel_ns", "filled", "lots", "placed_ns", "since_ns")

    def __init__(self, placed_ns: int, lots: int) -> None:
        self.placed_ns, self.lots = placed_ns, lots
        self.since_ns: int | None = None
        self.amend_ns: int | None = None
        self.cancel_ns: int | None = None
        self.filled = 0


class OrderLives:
    """One market's orders."""

    def __init__(self, instrument: InstrumentId, samples: int, lot: float) -> None:
        self._instrument = instrument
        self._lot = lot
        self._alive: dict[ClientOrderId, _Life] = {}
        self._samples = {name: Thinned(1, samples) for name in OrderSamples.__struct_fields__ if name != "seen"}

    def released(self, command: Command, now_ns: int) -> None:
        if isinstance(command, CancelAll):
            if command.venue == venue_of(self._instrument):
                for alive in self._alive.values():
                    alive.cancel_ns = alive.cancel_ns or now_ns
            return
        if command.instrument != self._instrument:
            return
        if isinstance(command, PlaceOrder):
            self._alive[command.client_id] = _Life(now_ns, command.lots)
        life = self._alive.get(command.client_id)
        if isinstance(command, AmendOrder) and life is not None:
            life.amend_ns, life.lots = now_ns, max(life.lots, command.lots)
        elif isinstance(command, CancelOrder) and life is not None:
            life.cancel_ns = now_ns

    def heard(self, event: OrderEvent, order: LedgerOrder | None, book: OrderBook, now_ns: int) -> None:
        """After the core has taken it in; `order` as it is now."""
        life = self._alive.get(event.client_id)
        if life is None or order is None:
            return
        if isinstance(event, OrderAccepted) and life.since_ns is None:
            self._add("ack_ms", (now_ns - life.placed_ns) / _NS_PER_MS)
            self._stands(life, order, book, now_ns)
        elif isinstance(event, OrderAmended) and life.amend_ns is not None:
            self._add("amend_ms", (now_ns - life.amend_ns) / _NS_PER_MS)
            life.amend_ns = None
            self._stands(life, order, book, now_ns)
        elif isinstance(event, OrderAmendRejected):
            life.amend_ns = None
        elif isinstance(event, OrderCancelRejected):
            life.cancel_ns = None
        elif isinstance(event, OrderFilled):
            if not life.filled and life.since_ns is not None:
                self._add("first_fill_s", (now_ns - life.since_ns) / _NS)
            life.filled += event.lots
        if order.final:
            if life.cancel_ns is not None and not isinstance(event, OrderFilled):
                self._add("cancel_ms", (now_ns - life.cancel_ns) / _NS_PER_MS)
            self._add("life_s", (now_ns - life.placed_ns) / _NS)
            self._add("filled_share", min(life.filled / life.lots, 1.0) if life.lots else NAN)
            del self._alive[event.client_id]

    def samples(self) -> OrderSamples:
        return OrderSamples(
            **{name: samples.numpy()[0] for name, samples in self._samples.items()},
            seen={name: samples.seen for name, samples in self._samples.items()},
        )

    def _stands(self, life: _Life, order: LedgerOrder, book: OrderBook, now_ns: int) -> None:
        life.since_ns = now_ns
        if book.trusted:
            self._add("queue_ahead", book.lots_at(order.side, order.ticks) * self._lot)

    def _add(self, name: str, value: float) -> None:
        self._samples[name].add((value,))
