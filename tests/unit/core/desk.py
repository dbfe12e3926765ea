"""A desk for tests of the core: events go in with their time, turns come out, acknowledgements are one call."""

from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import AmendOrder, CancelOrder, Command, PlaceOrder, Turn
from mm_daemon.domain.events import (
    DeadlineReached,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.testkit import builders

MS = builders.MS
SYMBOL = InstrumentId("test:BTC-USDT")


class Desk:
    """Drives one core the way every driver does: apply, then decide at the event's time."""

    def __init__(self, parameters: CoreParameters | None = None) -> None:
        self.core = TradingCore(parameters or builders.core_parameters())
        self.now_ms = 0
        self.turns: list[Turn] = []
        self._fills = 0

    def feed(self, *events: Event) -> Turn:
        """All events, then one decision at the last one's time."""
        for event in events:
            self.core.apply(event)
        self.now_ms = max(self.now_ms, events[-1].ts_local_ns // MS)
        turn = self.core.decide(events[-1].ts_local_ns)
        self.turns.append(turn)
        return turn

    def open_market(self, at_ms: int = 0, bid: int = 600_000, ask: int = 600_001, lots: int = 1000) -> Turn:
        return self.feed(
            builders.connected(at_ms), builders.account(at_ms), builders.snapshot(at_ms, bid, ask, lots=lots)
        )

    def acknowledge(self, turn: Turn, at_ms: int) -> Turn:
        """The venue does what every released command of `turn` asked."""
        events: list[Event] = []
        for command in commands(turn):
            at = at_ms * MS
            if isinstance(command, PlaceOrder):
                events.append(OrderAccepted(command.instrument, at, at, command.client_id, f"v{command.client_id}"))
            elif isinstance(command, AmendOrder):
                venue_id = f"v{command.client_id}"
                events.append(
                    OrderAmended(command.instrument, at, at, command.client_id, venue_id, command.ticks, command.lots)
                )
            elif isinstance(command, CancelOrder):
                order = self.core.ledger.get(command.client_id)
                assert order is not None
                events.append(
                    OrderCanceled(
                        command.instrument, at, at, command.client_id, f"v{command.client_id}", True, order.filled_lots
                    )
                )
        return self.feed(*events)

    def wait(self, at_ms: int) -> Turn:
        """Let the core's own deadlines up to `at_ms` pass; the last that released commands, or else the last."""
        last = Turn(at_ms * MS)
        while (deadline := self.core.next_deadline_ns()) is not None and deadline <= at_ms * MS:
            turn = self.feed(DeadlineReached(deadline))
            if turn.released or not last.released:
                last = turn
        return last

    def fill(self, side: Side, lots: int, at_ms: int) -> Turn:
        """Part of our quote on a side trades at its price."""
        order = self.quote(side)
        self._fills += 1
        at = at_ms * MS
        return self.feed(
            OrderFilled(
                SYMBOL, at, at, order.client_id, f"v{order.client_id}", f"f{self._fills}", side, order.ticks, lots, True
            )
        )

    def quote(self, side: Side) -> LedgerOrder:
        order = self.core.markets[SYMBOL].working(side)
        assert order is not None, f"no {side.word} of ours"
        return order

    def says(self) -> str:
        """The standing decision in words."""
        return " | ".join(decision.compact() for decision in self.core.markets[SYMBOL].decisions)


def commands(turn: Turn) -> list[Command]:
    return [approved.command for approved in turn.released]


def kinds(turn: Turn) -> list[str]:
    """The released commands by name and side, in order."""
    names = []
    for command in commands(turn):
        side = f" {command.side.word}" if isinstance(command, PlaceOrder) else ""
        names.append(type(command).__name__ + side)
    return names


def accepted(client_id: int, at_ms: int) -> OrderAccepted:
    return OrderAccepted(SYMBOL, at_ms * MS, at_ms * MS, ClientOrderId(client_id), f"v{client_id}")
