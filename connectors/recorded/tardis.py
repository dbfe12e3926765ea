"""CSV files of Tardis: `incremental_book_L2`, `trades` and `book_ticker`, merged by local time.

Times are microseconds; rows of one message share a local time. A message of `is_snapshot` rows is a whole book. The
files number nothing, so the venue's time in microseconds stands for the sequence: it tells which of book and best
prices is newer. Queue positions and fills are those of any recorded book.
"""

from collections.abc import Iterator, Mapping, Sequence
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any

from connectors.recorded.reader import DAMAGE_MAX, Damage, Damaged
from connectors.recorded.tables import CsvTable, text_of
from connectors.shared.displayed import Displayed
from mm_daemon.domain.errors import ConfigError, GridError
from mm_daemon.domain.events import BookDelta, BookSnapshot, MarketEvent, PublicTrade, TopOfBook
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import Side

_BOOK = ("symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "price", "amount")
_TRADES = ("symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
_TICKER = ("symbol", "timestamp", "local_timestamp", "ask_amount", "ask_price", "bid_price", "bid_amount")
LAYOUTS: Mapping[str, tuple[str, ...]] = {"incremental_book_L2": _BOOK, "trades": _TRADES, "book_ticker": _TICKER}
_AGGRESSORS = {b"buy": Side.BUY, b"sell": Side.SELL}
_NS_PER_US = 1000
_EARLIEST_US, _LATEST_US = 10**14, 10**17


def layout_of(columns: Sequence[str]) -> str | None:
    """Which of the three a first line is; None: none."""
    names = set(columns)
    return next((kind for kind, wanted in LAYOUTS.items() if names.issuperset(wanted)), None)


class TardisFeed:
    """Files of any of the layouts, each layout's one after the other, all merged."""

    def __init__(self, paths: Sequence[Path], instruments: Sequence[Instrument], damaged: Damaged) -> None:
        """Raises ConfigError for a file of another layout, or when there is none."""
        self._instruments = instruments
        self._files: dict[str, list[CsvTable]] = {}
        for path in paths:
            table = CsvTable(path, damaged)
            kind = layout_of(table.columns)
            if kind is None:
                raise ConfigError(
                    f"recording {path}:1: the columns {', '.join(table.columns)} are none of Tardis's layouts "
                    f"{', '.join(LAYOUTS)}"
                )
            self._files.setdefault(kind, []).append(table)
        self._tables = [table for tables in self._files.values() for table in tables]
        self.frames = 0
        self._off_grid = 0

    def first_ns(self) -> int:
        for event in TardisFeed([Path(each.name) for each in self._tables], self._instruments, "skip").events():
            return event.ts_local_ns
        names = ", ".join(each.symbol for each in self._instruments)
        raise ConfigError(f"recording {self._tables[0].name}: holds no row of {names}")

    @property
    def damage(self) -> Sequence[Damage]:
        return [each for table in self._tables for each in table.damage][:DAMAGE_MAX]

    @property
    def notes(self) -> Sequence[str]:
        notes = [note for table in self._tables for note in table.notes][:DAMAGE_MAX]
        if "incremental_book_L2" not in self._files:
            notes.append(
                f"{self._tables[0].name}: no incremental_book_L2, so that no book starts and nothing is quoted"
            )
        elif "trades" not in self._files:
            notes.append(f"{self._tables[0].name}: no trades: orders are filled only where the book crosses them")
        return notes

    @property
    def length(self) -> tuple[int, int]:
        lengths = [table.length for table in self._tables]
        return sum(read for read, _ in lengths), sum(size for _, size in lengths)

    @property
    def problems(self) -> Mapping[str, int]:
        damaged = sum(table.damaged for table in self._tables)
        counts = {"recording_damage": damaged, "off_grid": self._off_grid}
        return {kind: count for kind, count in counts.items() if count}

    def events(self) -> Iterator[MarketEvent]:
        self.frames = self._off_grid = 0
        streams = [self._events_of(kind, tables) for kind, tables in self._files.items()]
        return streams[0] if len(streams) == 1 else merge(*streams, key=attrgetter("ts_local_ns"))

    def _events_of(self, kind: str, tables: Sequence[CsvTable]) -> Iterator[MarketEvent]:
        read = {"incremental_book_L2": self._books, "trades": self._trades, "book_ticker": self._tickers}[kind]
        markets = {each.symbol: _Market(each) for each in self._instruments}
        last_us = 0
        for table in sorted(tables, key=_first_time):
            rows = _Rows(table, LAYOUTS[kind], markets, last_us)
            yield from read(rows)
            last_us = rows.last_us
            self.frames += rows.read

    def _books(self, rows: "_Rows") -> Iterator[MarketEvent]:
        """Rows of one local time, symbol and kind are one message."""
        key: tuple[_Market, int, bool] | None = None
        levels: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        newest_us = 0
        for market, local_us, venue_us, row in rows:
            snapshot = row[3] in (b"true", b"True", b"1")
            if key is None or key[1] != local_us or key[0] is not market or key[2] != snapshot:
                if key is not None:
                    yield from key[0].book(levels, newest_us, key[1], snapshot=key[2])
                key, levels, newest_us = (market, local_us, snapshot), ([], []), 0
            newest_us = max(newest_us, venue_us)
            side = 0 if row[4] == b"bid" else 1 if row[4] == b"ask" else None
            if side is None:
                rows.spoil(f"side {text_of(row[4])!r} is neither bid nor ask")
                continue
            level = self._level(rows, market, row[5], row[6])
            if level is not None:
                levels[side].append(level)
        if key is not None:
            yield from key[0].book(levels, newest_us, key[1], snapshot=key[2])

    def _trades(self, rows: "_Rows") -> Iterator[MarketEvent]:
        for market, local_us, venue_us, row in rows:
            level = self._level(rows, market, row[5], row[6])
            aggressor = _AGGRESSORS.get(row[4])
            if level is None or not level[1] or aggressor is None:  # `unknown`: the venue does not say who took
                continue
            market.trade_id += 1
            number = int(row[3]) if row[3].isdigit() and len(row[3]) < 19 else market.trade_id
            times = venue_us * _NS_PER_US, local_us * _NS_PER_US
            yield PublicTrade(market.instrument.id, *times, aggressor, level[0], level[1], number)

    def _tickers(self, rows: "_Rows") -> Iterator[MarketEvent]:
        for market, local_us, venue_us, row in rows:
            if not (row[3] and row[4] and row[5] and row[6]):
                continue  # a side of the book is empty
            bid = self._level(rows, market, row[5], row[6])
            ask = self._level(rows, market, row[4], row[3])
            if bid is None or ask is None:
                continue
            if bid[0] >= ask[0]:
                rows.spoil("the best prices are crossed")
                continue
            times = venue_us * _NS_PER_US, local_us * _NS_PER_US
            yield TopOfBook(market.instrument.id, *times, *bid, *ask, venue_us)

    def _level(self, rows: "_Rows", market: "_Market", price: bytes, amount: bytes) -> tuple[int, int] | None:
        try:
            return market.displayed.ticks(float(price)), market.displayed.lots(float(amount))
        except (GridError, ValueError) as error:
            self._off_grid += isinstance(error, GridError)
            rows.spoil(str(error))
            return None


class _Market:
    """One instrument's grids, and how far its book has come."""

    __slots__ = ("displayed", "instrument", "trade_id", "update_us")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.displayed = Displayed(instrument)
        self.update_us = 0
        self.trade_id = 0

    def book(self, levels: Any, venue_us: int, local_us: int, *, snapshot: bool) -> Iterator[MarketEvent]:
        bids, asks = tuple(levels[0]), tuple(levels[1])
        self.update_us = max(self.update_us, venue_us)
        times = venue_us * _NS_PER_US, local_us * _NS_PER_US
        if snapshot:
            bids, asks = (tuple(each for each in side if each[1]) for side in (bids, asks))
            yield BookSnapshot(self.instrument.id, *times, bids, asks, self.update_us)
        elif bids or asks:
            yield BookDelta(self.instrument.id, *times, bids, asks, self.update_us)


class _Rows:
    """Rows of our symbols with their times; whatever else is there is named."""

    def __init__(self, table: CsvTable, wanted: Sequence[str], markets: Mapping[str, _Market], last_us: int) -> None:
        self._table = table
        self._places = [table.columns.index(name) for name in wanted]
        self._markets: dict[bytes, _Market] = {symbol.encode(): market for symbol, market in markets.items()}
        self._others: set[bytes] = set()
        self.last_us = last_us
        self.read = 0

    def spoil(self, what: str) -> None:
        self._table.spoil(what)

    def __iter__(self) -> Iterator[tuple[_Market, int, int, Sequence[bytes]]]:
        places, markets = self._places, self._markets
        for cells in self._table.rows():
            self.read += 1
            row = [each if isinstance(each, bytes) else str(each).encode() for each in (cells[i] for i in places)]
            market = markets.get(row[0]) or markets.get(row[0].upper())
            if market is None:
                self._name_other(row[0])
                continue
            try:
                venue_us, local_us = int(row[1]), int(row[2])
            except ValueError:
                venue_us = local_us = 0
            if not (_EARLIEST_US <= local_us < _LATEST_US and _EARLIEST_US <= venue_us < _LATEST_US):
                self.spoil("timestamp or local_timestamp is no time in microseconds")
                continue
            if local_us < self.last_us:
                self.spoil("local_timestamp steps back; the time before it is used")
                local_us = self.last_us
            self.last_us = local_us
            yield market, local_us, venue_us, row

    def _name_other(self, symbol: bytes) -> None:
        """Once for each symbol that is not ours."""
        if symbol not in self._others:
            self._others.add(symbol)
            ours = ", ".join(each.decode() for each in self._markets)
            self.spoil(f"rows of {text_of(symbol)} stand here, which is not quoted (only {ours}); they are left out")


def _first_time(table: CsvTable) -> bytes:
    place = table.columns.index("local_timestamp")
    head = CsvTable(Path(table.name), "skip")
    return next((bytes(row[place]).rjust(20) for row in head.rows()), b"")
