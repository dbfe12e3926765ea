"""What a simulated venue remembers of our account: every order, fill and funding payment, and what they add up to.

The history is a sequence of entries. `AccountHistory` is their sum, so that a venue which is started again from the
entries of its file knows what it knew before. The venue books entries here (`simulation/account.py`), its connector
keeps them in a file (`connectors/shared/account_file.py`); the core reads neither.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from mm_daemon.domain.events import FundingPaid, OrderFilled
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.money import MoneyPair, from_pair, to_pair
from mm_daemon.domain.orders import ClientOrderId, Side

TRADES_KEPT = 4096
ENDED_KEPT = 1024
"""Fills (and payments) and ended orders that are remembered one by one. Their sum is remembered for ever."""


class _Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all entries: only the encoding is shared."""


class ContractKnown(_Entry, frozen=True, array_like=True, gc=False, tag="contract"):
    """What one tick and one lot of a market mean in the entries from here on."""

    instrument: InstrumentId
    tick: Decimal
    lot: Decimal
    multiplier: Decimal

    @classmethod
    def of(cls, instrument: Instrument) -> "ContractKnown":
        return cls(instrument.id, instrument.tick, instrument.lot, instrument.multiplier)


class OrderKnown(_Entry, frozen=True, array_like=True, gc=False, tag="order"):
    """An order as the venue holds it from here on: taken, changed or ended. `lots` includes `filled_lots`."""

    instrument: InstrumentId
    client_id: ClientOrderId
    venue_order_id: str
    side: Side
    ticks: int
    lots: int
    filled_lots: int
    ended: bool


class TradeBooked(_Entry, frozen=True, array_like=True, gc=False, tag="trade"):
    """A fill, and what it did to the cash of its market: less the price paid, less the fee."""

    fill: OrderFilled
    cash: MoneyPair


class MidSeen(_Entry, frozen=True, array_like=True, gc=False, tag="mid"):
    """The last mid of a market that exists only here, in half ticks: where it opens again."""

    instrument: InstrumentId
    half_ticks: int


class Carried(_Entry, frozen=True, array_like=True, gc=False, tag="carried"):
    """What the fills and payments of a market add up to that are no longer remembered one by one."""

    instrument: InstrumentId
    lots: int
    cash: MoneyPair
    fees: MoneyPair
    funding: MoneyPair
    trades: int


Entry = ContractKnown | OrderKnown | TradeBooked | FundingPaid | MidSeen | Carried


class Holding:
    """One market of the account. Signs as in the core's P&L: fees and funding are what they brought, so fees paid are
    negative; cash starts at zero. All money in atto of the settlement currency."""

    __slots__ = ("cash_atto", "fees_atto", "funding_atto", "lots", "trades")

    def __init__(self) -> None:
        self.lots = 0
        self.cash_atto = 0
        self.fees_atto = 0
        self.funding_atto = 0
        self.trades = 0

    def add(self, entry: TradeBooked | FundingPaid | Carried) -> None:
        if isinstance(entry, TradeBooked):
            fill = entry.fill
            self.lots += fill.side * fill.lots
            self.cash_atto += from_pair(entry.cash)
            self.fees_atto -= from_pair(fill.fee or (0, 0))
            self.trades += 1
        elif isinstance(entry, FundingPaid):
            amount = from_pair(entry.amount)
            self.cash_atto += amount
            self.funding_atto += amount
        else:
            self.lots += entry.lots
            self.cash_atto += from_pair(entry.cash)
            self.fees_atto += from_pair(entry.fees)
            self.funding_atto += from_pair(entry.funding)
            self.trades += entry.trades

    def carried(self, instrument: InstrumentId) -> Carried:
        return Carried(
            instrument,
            self.lots,
            to_pair(self.cash_atto),
            to_pair(self.fees_atto),
            to_pair(self.funding_atto),
            self.trades,
        )


class AccountHistory:
    """The sum of the entries so far. `entries` writes it down again, shorter and with the same sum."""

    __slots__ = ("_dropped", "_holdings", "contracts", "ended", "last_client_id", "mids", "open", "payments", "trades")

    def __init__(self) -> None:
        self._holdings: dict[InstrumentId, Holding] = {}
        self._dropped: dict[InstrumentId, Holding] = {}
        """The part of `_holdings` whose fills and payments are no longer kept."""
        self.contracts: dict[InstrumentId, ContractKnown] = {}
        self.trades: deque[TradeBooked] = deque()
        self.payments: deque[FundingPaid] = deque()
        self.open: dict[ClientOrderId, OrderKnown] = {}
        self.ended: dict[ClientOrderId, OrderKnown] = {}
        self.mids: dict[InstrumentId, int] = {}
        self.last_client_id = 0
        """The highest client order id that any order of this account ever had."""

    @property
    def holdings(self) -> Mapping[InstrumentId, Holding]:
        return self._holdings

    def lots(self, instrument: InstrumentId) -> int:
        """The net position, in lots."""
        holding = self._holdings.get(instrument)
        return holding.lots if holding is not None else 0

    @property
    def last_ns(self) -> int:
        """Time of the last fill or payment; 0 before the first."""
        trade_ns = self.trades[-1].fill.ts_venue_ns if self.trades else 0
        return max(trade_ns, self.payments[-1].ts_venue_ns if self.payments else 0)

    def apply(self, entry: Entry) -> None:
        if isinstance(entry, OrderKnown):
            self._note_order(entry)
        elif isinstance(entry, TradeBooked):
            self._book(entry.fill.instrument, entry)
            self.trades.append(entry)
            if len(self.trades) > TRADES_KEPT:
                self._drop(self.trades.popleft())
            order = self.open.get(entry.fill.client_id)
            if order is not None:
                filled_lots = order.filled_lots + entry.fill.lots
                self.open[order.client_id] = msgspec.structs.replace(order, filled_lots=filled_lots)
        elif isinstance(entry, FundingPaid):
            self._book(entry.instrument, entry)
            self.payments.append(entry)
            if len(self.payments) > TRADES_KEPT:
                self._drop(self.payments.popleft())
        elif isinstance(entry, MidSeen):
            self.mids[entry.instrument] = entry.half_ticks
        elif isinstance(entry, ContractKnown):
            self.contracts[entry.instrument] = entry
        else:
            self._book(entry.instrument, entry)
            self._drop(entry)

    def end_open_orders(self) -> None:
        """The process died and its orders with it, as a dead man's switch would have it."""
        for order in tuple(self.open.values()):
            self._note_order(msgspec.structs.replace(order, ended=True))

    def fills_since(self, since_ns: int) -> Iterator[OrderFilled]:
        """From the first fill at or after a venue time on, everything in the order of booking."""
        found = False
        for trade in self.trades:
            found = found or trade.fill.ts_venue_ns >= since_ns
            if found:
                yield trade.fill

    def payments_since(self, since_ns: int) -> Iterator[FundingPaid]:
        found = False
        for payment in self.payments:
            found = found or payment.ts_venue_ns >= since_ns
            if found:
                yield payment

    def entries(self) -> Iterator[Entry]:
        """The fewest entries that add up to this history."""
        for instrument, holding in self._dropped.items():
            yield holding.carried(instrument)
        yield from self.contracts.values()
        yield from self.trades
        yield from self.payments
        yield from self.ended.values()
        yield from self.open.values()
        for instrument, half_ticks in self.mids.items():
            yield MidSeen(instrument, half_ticks)

    def _book(self, instrument: InstrumentId, entry: TradeBooked | FundingPaid | Carried) -> None:
        self._holdings.setdefault(instrument, Holding()).add(entry)

    def _drop(self, entry: TradeBooked | FundingPaid | Carried) -> None:
        instrument = entry.fill.instrument if isinstance(entry, TradeBooked) else entry.instrument
        self._dropped.setdefault(instrument, Holding()).add(entry)

    def _note_order(self, order: OrderKnown) -> None:
        self.last_client_id = max(self.last_client_id, order.client_id)
        if not order.ended:
            self.open[order.client_id] = order
            return
        self.open.pop(order.client_id, None)
        self.ended[order.client_id] = order
        if len(self.ended) > ENDED_KEPT:
            del self.ended[next(iter(self.ended))]
