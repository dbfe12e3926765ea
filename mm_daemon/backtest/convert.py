"""Recordings in other forms: hftbacktest's array and its collector's files, and Parquet.

Whatever the `recorded` connector reads can be converted. An hftbacktest array is made in memory, as `numpy.savez` wants
it whole (64 bytes a row); Parquet is written in parts, and a collector's file line by line.
"""

import gzip
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np

from mm_daemon import registry
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError, CoreError, UsageError
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    Event,
    FundingUpdate,
    MarketEvent,
    MarkPriceUpdate,
    PublicTrade,
    TopOfBook,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId, Venue
from mm_daemon.domain.orders import Side
from mm_daemon.journal.market_data import JournalMarketData
from mm_daemon.ports.connector import ConnectorContext, NotesDamage, RecordedFeed
from mm_daemon.ports.recording import RecordingIndex, read_index

if TYPE_CHECKING:
    from numpy.typing import NDArray

Form = Literal["npz", "parquet", "collector"]

EVENT_DTYPE = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ],
    align=True,
)
"""A row of hftbacktest 2: what happened, when there and when here, price and quantity."""
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_PART_ROWS = 1 << 19
_BLOCK_ROWS = 1 << 14
_Row = tuple[int, int, int, float, float]


@runtime_checkable
class _ShowsFrames(Protocol):
    """A recording of raw frames."""

    def raw_frames(self) -> Iterator[tuple[int, bytes]] | None:
        """(local time, frame); None: it holds none."""
        ...


class Converted(msgspec.Struct, frozen=True):
    """What was written."""

    files: tuple[str, ...]
    rows: int
    notes: tuple[str, ...]
    """Damage, and what the recording cannot show."""


def form_of(out: Path, asked: Form | None) -> Form:
    """By the name of the file: .npz, .gz (a collector's file), else a folder of Parquet."""
    if asked is not None:
        return asked
    return "npz" if out.suffix == ".npz" else "collector" if out.suffix == ".gz" else "parquet"


def open_feed(
    path: Path,
    *,
    config: Config | None = None,
    venue: str | None = None,
    symbols: Sequence[str] = (),
    damaged: str | None = None,
) -> RecordedFeed:
    """The recording at a path, with the contracts of the configuration's venue or its own.

    Raises ConfigError for what cannot be read, UsageError when it is not said which venue or symbol is meant.
    """
    settings = registry.settings_of("recorded")
    changes: dict[str, Any] = {"path": path} if damaged is None else {"path": path, "damaged": damaged}
    given: msgspec.Struct
    if config is not None:
        chosen = _recorded_venue(config, venue)
        symbols = symbols or config.symbols_of(chosen)
        given, name = msgspec.structs.replace(config.venues[chosen].settings, **changes), chosen
    else:
        given, name = settings(**changes), Venue(venue or _name_of(path))
        symbols = symbols or _symbols_of(path, name)
    context = ConnectorContext(
        venue=name,
        symbols=tuple(symbols),
        emit=_unasked,
        now_ns=lambda: 0,
        delay_s=lambda _until_ns: 0.0,
        translator=registry.translator,
        journal=JournalMarketData,
    )
    make: Callable[..., object] = registry.connector("recorded")
    feed = make(context, given)
    assert isinstance(feed, RecordedFeed)
    return feed


def convert(feed: RecordedFeed, out: Path, form: Form) -> Converted:
    """Write a recording in another form. Raises UsageError when that form cannot hold it, or `out` is there already."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists already and is not overwritten; name another file")
    try:
        if form == "npz":
            files, rows = _write_npz(feed, out)
        elif form == "collector":
            files, rows = _write_collector(feed, out)
        else:
            files, rows = _write_parquet(feed, out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from error
    notes = tuple(feed.notes) if isinstance(feed, NotesDamage) else ()
    return Converted(tuple(str(each) for each in files), rows, notes)


# hftbacktest


def hftbacktest_array(events: Iterator[MarketEvent], instrument: Instrument) -> "NDArray[np.void]":
    """Depth and trades of one instrument as hftbacktest's rows.

    Its two clocks must each go on, and nothing may come here before it happened there: venue times are moved back by
    the smallest latency where the recording machine's clock was behind, and a row whose order differs between the two
    clocks stands twice, once for each, as hftbacktest's own preparation does it. Best prices of another stream than the
    depth are left out, as its converters do.
    """
    blocks: list[NDArray[np.void]] = []
    block: list[_Row] = []
    tick, lot = float(instrument.tick), float(instrument.lot)
    for event in events:
        if event.instrument == instrument.id:
            block.extend(_rows_of(event, tick, lot))
            if len(block) >= _BLOCK_ROWS:
                blocks.append(_packed(block))
                block = []
    blocks.append(_packed(block))
    data = np.concatenate(blocks)
    del blocks
    return _in_both_orders(_after_the_event(data)) if len(data) else data


def _rows_of(event: MarketEvent, tick: float, lot: float) -> Iterator[_Row]:
    there, here = event.ts_venue_ns, event.ts_local_ns
    if isinstance(event, BookDelta | BookSnapshot):
        kind = DEPTH
        if isinstance(event, BookSnapshot):
            kind = SNAPSHOT
            for side, levels, last in ((BUY, event.bids, min), (SELL, event.asks, max)):
                if levels:
                    yield CLEAR | side, there, here, last(levels)[0] * tick, 0.0
        for side, levels in ((BUY, event.bids), (SELL, event.asks)):
            for ticks, lots in levels:
                yield kind | side, there, here, ticks * tick, lots * lot
    elif isinstance(event, PublicTrade):
        side = BUY if event.aggressor is Side.BUY else SELL
        yield TRADE | side, there, here, event.ticks * tick, event.lots * lot


def _packed(rows: list[_Row]) -> "NDArray[np.void]":
    data = np.zeros(len(rows), EVENT_DTYPE)
    if rows:
        kinds, there, here, prices, sizes = zip(*rows, strict=True)
        data["ev"], data["exch_ts"], data["local_ts"], data["px"], data["qty"] = kinds, there, here, prices, sizes
    return data


def _after_the_event(data: "NDArray[np.void]") -> "NDArray[np.void]":
    """Local times moved so that the fastest row has no latency, where some came before they happened."""
    least = int((data["local_ts"] - data["exch_ts"]).min())
    if least < 0:
        data["local_ts"] -= least
    return data


def _in_both_orders(data: "NDArray[np.void]") -> "NDArray[np.void]":
    """Rows in the order of both clocks: one that is early on one and late on the other is split into two."""
    there, here = (np.argsort(data[clock], kind="stable") for clock in ("exch_ts", "local_ts"))
    if np.array_equal(there, here):
        out = data[there]
        out["ev"] |= EXCH | LOCAL
        return out
    by_exch, by_local = array("q", there.tobytes()), array("q", here.tobytes())
    exch, local = (array("q", np.ascontiguousarray(data[clock]).tobytes()) for clock in ("exch_ts", "local_ts"))
    rows, kinds = array("q"), array("Q")
    size, e, i = len(data), 0, 0
    while e < size or i < size:
        if e < size and i < size:
            first, second = by_exch[e], by_local[i]
            if first == second:
                rows.append(first)
                kinds.append(EXCH | LOCAL)
                e, i = e + 1, i + 1
                continue
            earlier = (exch[first], local[first]) <= (exch[second], local[second])
        else:
            earlier = e < size
        rows.append(by_exch[e] if earlier else by_local[i])
        kinds.append(EXCH if earlier else LOCAL)
        e, i = e + earlier, i + (not earlier)
    out = data[np.frombuffer(rows, np.int64)]
    out["ev"] |= np.frombuffer(kinds, np.uint64)
    return out


def _write_npz(feed: RecordedFeed, out: Path) -> tuple[list[Path], int]:
    instruments = feed.instruments()
    if len(instruments) != 1:
        names = ", ".join(each.symbol for each in instruments)
        raise UsageError(f"an array of hftbacktest holds one market, and there are {names}; choose one with --symbol")
    data = hftbacktest_array(feed.events(), instruments[0])
    with out.open("xb") as file:
        np.savez_compressed(file, data=data)
    return [out], len(data)


def _write_collector(feed: RecordedFeed, out: Path) -> tuple[list[Path], int]:
    frames = feed.raw_frames() if isinstance(feed, _ShowsFrames) else None
    if frames is None:
        raise UsageError("a collector's file holds raw frames, and this recording has none; write .npz or Parquet")
    rows = 0
    with gzip.open(out, "xb") as file:
        for ts_local_ns, frame in frames:
            if frame and b"\n" not in frame:
                file.write(b"%d %b\n" % (ts_local_ns, frame))
                rows += 1
    return [out], rows


# Parquet


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


def _write_parquet(feed: RecordedFeed, out: Path) -> tuple[list[Path], int]:
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


def _recorded_venue(config: Config, venue: str | None) -> Venue:
    names = [name for name, each in config.venues.items() if each.connector == "recorded"]
    if venue is not None and venue in names:
        return Venue(venue)
    if venue is None and len(names) == 1:
        return names[0]
    raise UsageError(f"--venue: the configuration has the recorded venues {', '.join(names) or 'none'}; name one")


def _name_of(path: Path) -> str:
    """The venue of a folder of segments, by its index; any name will do where a recording has none."""
    index = _index_at(path, None)
    return index.venue if index is not None else "recording"


def _symbols_of(path: Path, venue: Venue) -> Sequence[str]:
    """Symbols that the recording itself knows. Raises UsageError when it knows none."""
    index = _index_at(path, venue)
    if index is not None:
        return [each.symbol for each in index.instruments]
    if path.is_dir() or path.suffix == ".journal":
        instruments = JournalMarketData(path).instruments()
        return [each.symbol for each in instruments if each.venue == venue] or [each.symbol for each in instruments]
    raise UsageError(
        f"{path} does not say what its contracts are; give --config with a venue of `connector: recorded` that "
        "names translator and instruments"
    )


def _index_at(path: Path, venue: str | None) -> RecordingIndex | None:
    """That of a folder of segments, or of the venue in a folder of them; None: there is none, or more than one."""
    try:
        if not path.is_dir():
            return None
        found = [index for each in (path, *sorted(path.iterdir())) if each.is_dir() and (index := read_index(each))]
    except (OSError, ValueError) as error:
        raise ConfigError(f"recording {path}: its index cannot be read: {error}") from error
    venues = {index.venue: index for index in found if venue in (None, index.venue)}
    return next(iter(venues.values())) if len(venues) == 1 else None


def _unasked(event: Event) -> None:
    raise CoreError(f"a recording spoke while it was converted: {event!r}")
