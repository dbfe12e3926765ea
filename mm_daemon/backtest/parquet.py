"""A recording as Parquet: trades, book, quotes and funding, each in parts, so that memory stays flat. Made by
`convert.py`; needs polars."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    FundingUpdate,
    MarketEvent,
    MarkPriceUpdate,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.ports.connector import RecordedFeed

_PART_ROWS = 1 << 19
_BLOCK_ROWS = 1 << 14


class _Part:
    """Rows of one table, written in files of half a million."""

    def __init__(self, folder: Path, name: str, columns: Mapping[str, Any]) -> None:
        self._folder = folder
        self._name = name
        self._columns = columns
        self._rows: list[tuple[object, ...]] = []
        self._blocks: list[Any] = []
        self.files: list[Path] = []
        self.count = 0

    def add(self, row: tuple[object, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _BLOCK_ROWS:
            self._pack()
            if len(self._blocks) * _BLOCK_ROWS >= _PART_ROWS:
                self.flush()

    def flush(self) -> None:
        """Write what is there into a file of its own."""
        self._pack()
        if not self._blocks:
            return
        path = self._folder / f"{self._name}-{len(self.files):05d}.parquet"
        _polars().concat(self._blocks).write_parquet(path)
        self.files.append(path)
        self._blocks = []

    def _pack(self) -> None:
        if self._rows:
            self._blocks.append(_polars().DataFrame(self._rows, schema=self._columns, orient="row"))
            self.count += len(self._rows)
            self._rows = []


def write_parquet(feed: RecordedFeed, out: Path) -> tuple[list[Path], int]:
    """trades, book (level changes; `snapshot` begins anew), quotes and funding, as far as there are any."""
    polars = _polars()
    i64, f64, text, flag = polars.Int64, polars.Float64, polars.String, polars.Boolean
    head = {"symbol": text, "ts_venue_ns": i64, "ts_local_ns": i64}
    out.mkdir(parents=True, exist_ok=True)
    trades = _Part(out, "trades", {**head, "side": text, "price": f64, "size": f64, "trade_id": i64})
    book = _Part(out, "book", {**head, "update_id": i64, "snapshot": flag, "side": text, "price": f64, "size": f64})
    quotes = _Part(
        out,
        "quotes",
        {**head, "bid_price": f64, "bid_size": f64, "ask_price": f64, "ask_size": f64, "update_id": i64},
    )
    rates = _Part(out, "funding", {**head, "mark_price": f64, "rate": f64, "next_ns": i64})
    known = {each.id: each for each in feed.instruments()}
    for event in feed.events():
        _add(event, known, trades, book, quotes, rates)
    parts = (trades, book, quotes, rates)
    for part in parts:
        part.flush()
    return [path for part in parts for path in part.files], sum(part.count for part in parts)


def _add(
    event: MarketEvent,
    known: Mapping[InstrumentId, Instrument],
    trades: _Part,
    book: _Part,
    quotes: _Part,
    rates: _Part,
) -> None:
    instrument = known[event.instrument]
    tick, lot = float(instrument.tick), float(instrument.lot)
    head = instrument.symbol, event.ts_venue_ns, event.ts_local_ns
    if isinstance(event, PublicTrade):
        trades.add((*head, event.aggressor.word, event.ticks * tick, event.lots * lot, event.trade_id))
    elif isinstance(event, BookDelta | BookSnapshot):
        whole = isinstance(event, BookSnapshot)
        for side, levels in (("bid", event.bids), ("ask", event.asks)):
            for ticks, lots in levels:
                book.add((*head, event.update_id, whole, side, ticks * tick, lots * lot))
    elif isinstance(event, TopOfBook):
        best = event.bid_ticks * tick, event.bid_lots * lot, event.ask_ticks * tick, event.ask_lots * lot
        quotes.add((*head, *best, event.update_id))
    elif isinstance(event, BookInvalidated):
        book.add((*head, -1, True, None, None, None))  # the book is void until the next snapshot
    elif isinstance(event, MarkPriceUpdate):
        rates.add((*head, event.mark_half_ticks * tick / 2, None, None))
    elif isinstance(event, FundingUpdate):
        rates.add((*head, None, event.rate_e12 / 1e12, event.next_ns))


def _polars() -> Any:
    try:
        import polars
    except ImportError:
        raise ConfigError(
            "Parquet needs polars; install it with `pip install 'mm-daemon[research]'`, or write .npz"
        ) from None
    return polars
