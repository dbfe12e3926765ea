"""What was traded, over all runs of a state directory: each fill once, and each day's sum.

Only the trade family is read, so it goes back as far as `journal.trade_keep_days`. A fill that was told twice, or that
a snapshot told again, counts once, by the venue's key. The P&L of a day is what the position's books came to at its
last fill or payment, less what they came to at the last one before that day: what the mid did since is the next day's.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from mm_daemon.domain.checkpoint import PositionBooked, PositionState
from mm_daemon.domain.events import ChargedIn, OrderFilled, RunStarted
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.money import from_pair, to_decimal
from mm_daemon.domain.orders import Side
from mm_daemon.domain.reconciliation import Reconciled
from mm_daemon.journal.kept import KeptRuns

_NS_PER_S = 1_000_000_000


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One fill. `value` and `fee` are in the settlement currency; a negative fee is a rebate, None was not told."""

    time_ns: int
    contract: Instrument
    side: Side
    price: Decimal
    size: Decimal
    value: Decimal
    fee: Decimal | None
    maker: bool
    client_id: int
    order_id: str
    trade_id: str
    run: str
    charged: ChargedIn | None = None
    """What the fee was paid in, where that is another currency."""

    @property
    def currency(self) -> str:
        return self.contract.base if self.contract.inverse else self.contract.quote


class Booked(msgspec.Struct, frozen=True):
    """A position's books after a fill or a payment."""

    time_ns: int
    contract: Instrument
    state: PositionState
    run: str


class Opened(msgspec.Struct, frozen=True):
    """The books that a run began with; None: empty ones."""

    contract: Instrument
    state: PositionState | None


Entry = Trade | Booked | Opened


class Day(msgspec.Struct, kw_only=True):
    """One market on one day (UTC), exact decimals; `position` at its end."""

    day: str
    market: InstrumentId
    currency: str
    fills: int = 0
    bought: Decimal = Decimal(0)
    sold: Decimal = Decimal(0)
    volume: Decimal = Decimal(0)
    pnl: Decimal = Decimal(0)
    of_it_fees: Decimal = Decimal(0)
    position: Decimal = Decimal(0)


class History:
    """The fills and bookings of a folder of runs, oldest run first. Afterwards `faults` has what could not be read."""

    def __init__(self, runs: KeptRuns) -> None:
        self._runs = runs
        self._seen: set[tuple[InstrumentId, str]] = set()

    def __iter__(self) -> Iterator[Entry]:
        """Raises JournalError when the folder or a run in it cannot be read."""
        for kept in self._runs:
            record, contracts = kept.record, kept.contracts
            if isinstance(record, RunStarted):
                resumed = () if record.resumed is None else record.resumed.markets
                books = {market.instrument: market.position for market in resumed}
                yield from (Opened(contract, books.get(name)) for name, contract in contracts.items())
            elif isinstance(record, OrderFilled | Reconciled):
                fills = (record,) if isinstance(record, OrderFilled) else record.fills
                yield from self._unseen(fills, contracts, kept.run)
            elif isinstance(record, PositionBooked) and record.instrument in contracts:
                yield Booked(kept.time_ns, contracts[record.instrument], record.state, kept.run)

    def _unseen(
        self, fills: Iterable[OrderFilled], contracts: Mapping[InstrumentId, Instrument], run: str
    ) -> Iterator[Trade]:
        for fill in fills:
            key = fill.instrument, fill.fill_key
            contract = contracts.get(fill.instrument)
            if contract is not None and key not in self._seen:
                self._seen.add(key)
                yield _trade(fill, contract, run)


def _trade(fill: OrderFilled, contract: Instrument, run: str) -> Trade:
    price, size = contract.price(fill.ticks), contract.size(fill.lots)
    worth = size * contract.multiplier
    return Trade(
        time_ns=fill.ts_venue_ns or fill.ts_local_ns,
        contract=contract,
        side=fill.side,
        price=price,
        size=size,
        value=worth / price if contract.inverse else worth * price,
        fee=None if fill.fee is None else to_decimal(from_pair(fill.fee)),
        maker=fill.maker,
        client_id=fill.client_id,
        order_id=fill.venue_order_id,
        trade_id=fill.fill_key,
        run=run,
        charged=fill.charged,
    )


def days(entries: Iterable[Entry]) -> list[Day]:
    """The sums, by day and then by market."""
    found: dict[tuple[str, InstrumentId], Day] = {}
    books: dict[InstrumentId, PositionState | None] = {}
    for entry in entries:
        contract = entry.contract
        if isinstance(entry, Opened):
            # What a run took over is what the one before it left; where that one is gone, it is where counting begins.
            if entry.state is None or contract.id not in books:
                books[contract.id] = entry.state
            continue
        key = utc(entry.time_ns)[:10], contract.id
        currency = contract.base if contract.inverse else contract.quote
        day = found.setdefault(key, Day(day=key[0], market=key[1], currency=currency))
        if isinstance(entry, Trade):
            day.fills += 1
            day.volume += entry.value
            if entry.side is Side.BUY:
                day.bought += entry.size
            else:
                day.sold += entry.size
        else:
            before = books.get(contract.id)
            day.pnl += to_decimal(_total(entry.state) - _total(before))
            day.of_it_fees += to_decimal(_fees(entry.state) - _fees(before))
            day.position = contract.size(entry.state.lots)
            books[contract.id] = entry.state
    return [found[key] for key in sorted(found)]


def _total(state: PositionState | None) -> int:
    return (
        0
        if state is None
        else sum(from_pair(part) for part in (state.spread, state.inventory, state.fees, state.funding))
    )


def _fees(state: PositionState | None) -> int:
    return 0 if state is None else from_pair(state.fees)


def utc(time_ns: int) -> str:
    """`2026-11-26T07:00:00.123456Z`."""
    second = datetime.fromtimestamp(time_ns // _NS_PER_S, UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{time_ns // 1000 % 1_000_000:06d}Z"
