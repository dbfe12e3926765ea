"""Tables as market data: columns and times as people write them, fills no better than the table can show, damage named
by its line."""

import gzip
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.recorded.connector import InstrumentSettings, RecordedConnector, RecordedSettings
from connectors.recorded.tables import Times
from mm_daemon import registry
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    FundingUpdate,
    MarketEvent,
    OrderFilled,
    PublicTrade,
    TopOfBook,
    VolatilityUpdate,
)
from mm_daemon.domain.instrument import Venue, instrument_id
from mm_daemon.domain.orders import Side
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from tests.simulated import Hand, place

VENUE = Venue("table")
BTC = instrument_id(VENUE, "BTC")
START_S = 1_700_000_040  # a full minute
S = 1_000_000_000
CONTRACT = InstrumentSettings(
    base="BTC", quote="USD", tick=Decimal("0.5"), lot=Decimal("0.01"), maker_fee_bps=0, taker_fee_bps=0
)
QUOTES = f"timestamp,bid,ask,bid_size,ask_size\n{START_S},100,101,1,2\n{START_S + 1},100.5,101,3,4\n"


def feed(
    path: Path | None, table: object = None, symbols: Sequence[str] = ("BTC",), **settings: Any
) -> RecordedConnector:
    context = ConnectorContext(
        venue=VENUE,
        symbols=tuple(symbols),
        emit=lambda _event: None,
        now_ns=lambda: 0,
        delay_s=lambda _until_ns: 0.0,
        translator=registry.translator,
        table=table,
    )
    given = {"instruments": dict.fromkeys(symbols, CONTRACT), **settings}
    return RecordedConnector(context, RecordedSettings(path=path, **given))


def written(tmp_path: Path, text: str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def books(events: Sequence[MarketEvent]) -> list[tuple[int, Any, Any]]:
    return [((e.ts_local_ns - START_S * S) // S, e.bids, e.asks) for e in events if isinstance(e, BookSnapshot)]


# Times


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1700000040", "s"),
        ("1700000040.25", "s"),
        ("1700000040250", "ms"),
        ("1700000040250000", "us"),
        ("1700000040250000000", "ns"),
        ("2023-11-14T22:14:00.25Z", "ISO 8601"),
        ("2023-11-14 22:14:00.250000000+00:00", "ISO 8601"),
        ("2023-11-14T23:14:00.250+01:00", "ISO 8601"),
        ("2023-11-14 22:14:00.25", "ISO 8601"),
    ],
)
def test_unit_of_times_is_told_by_their_size(text: str, unit: str) -> None:
    """Exactly, to the nanosecond; without a zone it is UTC."""
    times = Times()
    expected = START_S * S + (0 if text == "1700000040" else 250_000_000)
    assert (times.ns(text.encode()), times.unit) == (expected, unit)
    assert Times().ns(text) == expected


@given(st.integers(10**17, 4 * 10**18))
def test_every_form_of_a_time_is_the_same_instant(at_ns: int) -> None:
    """Integers of any unit, decimals and ISO, whatever their last digits."""
    assert Times().ns(at_ns) == at_ns
    assert Times().ns(at_ns // 1000) == at_ns // 1000 * 1000
    assert Times().ns(f"{at_ns // S}.{at_ns % S:09d}") == at_ns
    whole = datetime.fromtimestamp(at_ns // S, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert Times().ns(f"{whole}.{at_ns % S:09d}Z") == at_ns


def test_a_time_of_another_unit_than_the_first_is_no_time() -> None:
    """A file that changes its unit would jump half a century."""
    times = Times()
    times.ns(b"1700000040")
    with pytest.raises(ValueError, match="1700000040250 is no time since 1973"):
        times.ns(b"1700000040250")
    with pytest.raises(ValueError, match="'soon' is no time; write seconds"):
        times.ns(b"soon")


# Quotes


def everywhere(tmp_path: Path, kind: str) -> RecordedConnector:
    rows = {
        "timestamp": [START_S, START_S + 1],
        "bid": [100.0, 100.5],
        "ask": [101.0, 101.0],
        "bid_size": [1.0, 3.0],
        "ask_size": [2.0, 4.0],
    }
    frame = polars.DataFrame(rows)
    if kind == "polars":
        return feed(None, frame)
    if kind == "parquet":
        frame.write_parquet(tmp_path / "t.parquet")
        return feed(tmp_path / "t.parquet")
    return feed(written(tmp_path, QUOTES.replace(",", ";") if kind == "semi.csv" else QUOTES, kind))


@pytest.mark.parametrize("kind", ["a.csv", "a.csv.gz", "semi.csv", "parquet", "polars"])
def test_quotes_are_books_of_one_level(tmp_path: Path, kind: str) -> None:
    """The same from any kind of table, each reading from its beginning."""
    table = everywhere(tmp_path, kind)
    assert table.starts_at_ns == START_S * S
    for _ in range(2):
        events = list(table.events())
        assert books(events) == [(0, ((200, 100),), ((202, 200),)), (1, ((201, 300),), ((202, 400),))]
    assert table.frames == 2
    assert any("queues, trades and depth are not modelled" in note for note in table.notes)


def test_columns_go_by_many_names_and_may_be_told(tmp_path: Path) -> None:
    """Upper case, blanks, other words; what is not found is asked for by name."""
    text = f"Open Time;Best Bid Price;best_ask_price\n{START_S}000;100;101\n"
    (only,) = books(list(feed(written(tmp_path, text)).events()))
    assert only[1][0][0] == 200
    odd = written(tmp_path, f"when,b1,a1\n{START_S},100,101\n", "odd.csv")
    with pytest.raises(ConfigError, match=r"odd\.csv:1: not understood.*when, b1, a1.*format: and columns:"):
        feed(odd)
    with pytest.raises(ConfigError, match=r"odd\.csv:1: quotes need a column time"):
        feed(odd, format="quotes")
    told = feed(odd, columns={"time": "when", "bid": "b1", "ask": "a1"})
    assert len(books(list(told.events()))) == 1
    with pytest.raises(ConfigError, match=r"columns\.bid: there is no column 'b2'.*; the file has when, b1, a1"):
        feed(odd, columns={"time": "when", "bid": "b2", "ask": "a1"})


def test_prices_between_ticks_are_rounded_apart(tmp_path: Path) -> None:
    """Never to a better market than the table shows; and it is counted."""
    table = feed(written(tmp_path, f"timestamp,bid,ask\n{START_S},100.2,100.7\n"))
    assert books(list(table.events()))[0][1:] == (((200, 10**9),), ((202, 10**9),))
    assert table.problems == {"off_grid_price": 1}


def hand_on(events: Sequence[MarketEvent], orders: Callable[[Hand], None]) -> Hand:
    """Orders that rest from the first book on, and what the later ones do to them."""
    contract = CONTRACT.instrument(VENUE, "BTC")
    policy = VenuePolicy(feed_floor_ms=0.0, entry_latency_ms=0.001, response_latency_ms=0.0)
    hand = Hand(SimulatedVenue(VENUE, [contract], policy))
    hand.market(events[0])
    orders(hand)
    hand.market(*events[1:])
    return hand


def ordered(*orders: tuple[int, Side, int]) -> Callable[[Hand], None]:
    def send(hand: Hand) -> None:
        at_ms = START_S * 1000 + 60_001
        for number, side, ticks in orders:
            hand.send(at_ms, msgspec.structs.replace(place(number, side, ticks, 10), instrument=BTC))

    return send


# Bars

BAR = "timestamp,open,high,low,close,volume\n"


@pytest.mark.parametrize(
    ("bar", "filled"),
    [
        ("100,104,96,98,5", {193, 194, 197, 199}),  # closed lower: bids above the low, 96 = 192 ticks
        ("100,104,96,102,5", {201, 202, 207}),  # closed higher: asks below the high, 104 = 208 ticks
        ("100,101,98,100,5", {197, 199}),  # closed where it opened: the further extreme
        ("100,100,100,100,5", set()),  # a touch is no fill
    ],
)
def test_a_bar_fills_what_it_traded_through_on_the_side_it_closed_against(
    tmp_path: Path, bar: str, filled: set[int]
) -> None:
    """Strictly through, one side of it, at our own price; the order at the extreme itself is not filled."""
    text = f"{BAR}{START_S},100,100,100,100,5\n{START_S + 60},{bar}\n"
    events = list(feed(written(tmp_path, text)).events())
    bids, asks = (192, 193, 194, 197, 199), (201, 202, 207, 208)
    every = [(1 + n, Side.BUY, ticks) for n, ticks in enumerate(bids)]
    every += [(20 + n, Side.SELL, ticks) for n, ticks in enumerate(asks)]
    hand = hand_on(events, ordered(*every))
    hand.until(START_S * 1000 + 200_000)
    assert {event.ticks for event in hand.of(OrderFilled)} == filled


def test_bars_are_told_at_their_end_with_the_spread_that_is_assumed(tmp_path: Path) -> None:
    """Nothing is known of a bar while it lasts; its length is the shortest distance of the first rows."""
    text = f"{BAR}{START_S},100,102,99,101,5\n{START_S + 60},101,101,101,101,0.5\n{START_S + 180},101,101,101,101,0\n"
    assert books(list(feed(written(tmp_path, text), spread_bps=200.0).events())) == [
        (60, ((203, 500),), ((204, 500),)),  # closed higher: the high, 204 ticks, less one
        (60, ((199, 500),), ((205, 500),)),
        (120, ((199, 50),), ((205, 50),)),
        (240, ((199, 1),), ((205, 1),)),
    ]
    table = feed(written(tmp_path, text), bar_seconds=30)
    assert table.starts_at_ns == (START_S + 30) * S
    list(table.events())
    assert any("bars only: an order is filled where the price traded through it" in note for note in table.notes)
    with pytest.raises(ConfigError, match="one bar does not tell how long a bar is; write bar_seconds"):
        list(feed(written(tmp_path, f"{BAR}{START_S},1,1,1,1,1\n")).events())


@given(st.lists(st.tuples(*[st.integers(150, 250)] * 4), min_size=2, max_size=12))
def test_no_bar_fills_an_order_it_did_not_trade_through(prices: list[tuple[int, int, int, int]]) -> None:
    """Whatever the bars are: a bid only above their low, an ask only below their high."""
    rows = [(max(four), min(four), *four[:2]) for four in prices]
    table = polars.DataFrame(
        {
            "timestamp": [START_S + 60 * n for n in range(len(rows))],
            "open": [row[2] / 2 for row in rows],
            "high": [row[0] / 2 for row in rows],
            "low": [row[1] / 2 for row in rows],
            "close": [row[3] / 2 for row in rows],
        }
    )
    events = list(feed(None, table).events())
    middle = rows[0][3]
    orders = [(n, Side.BUY, middle - n) for n in range(1, 20)] + [(20 + n, Side.SELL, middle + n) for n in range(1, 20)]
    first_end = next(n for n, e in enumerate(events) if e.ts_local_ns > events[0].ts_local_ns)
    hand = hand_on(events[first_end - 1 :], ordered(*orders))
    hand.until(START_S * 1000 + 60_000 * (len(rows) + 2))
    low, high = min(row[1] for row in rows[1:]), max(row[0] for row in rows[1:])
    for fill in hand.of(OrderFilled):
        assert fill.ticks > low if fill.side is Side.BUY else fill.ticks < high


# Damage


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("1700000042,100\n", "line 4: has 2 fields, the first line has 5"),
        ("rubbish,100,101,1,1\n", "line 4: 'rubbish' is no time"),
        (f"{START_S - 5},100,101,1,1\n", "line 4: time steps back"),
        (f"{START_S + 2},101,100,1,1\n", "line 4: bid 101 and ask 100 make no book"),
        (f"{START_S + 2},x,100,1,1\n", "line 4: a number cannot be read"),
        (f"{START_S + 2},100,101,-1,1\n", "line 4: a number cannot be read: a size of -1"),
    ],
)
def test_a_bad_row_stops_with_its_line_or_is_left_out(tmp_path: Path, bad: str, what: str) -> None:
    """By default nothing behind it is used; `damaged: skip` uses all the others."""
    path = written(tmp_path, f"{QUOTES}{bad}{START_S + 9},100,102,1,1\n")
    with pytest.raises(ConfigError) as stopped:
        list(feed(path).events())
    assert f"{path}: {what}" in str(stopped.value)
    assert "`damaged: skip`" in str(stopped.value)
    good = feed(path, damaged="skip")
    assert [at_s for at_s, _, _ in books(list(good.events()))] == [0, 1, 9]
    assert good.problems == {"recording_damage": 1}
    assert any(what in note for note in good.notes)


def test_rows_of_other_symbols_are_named_once(tmp_path: Path) -> None:
    """A table of several markets serves each of them; one that is not quoted is a mistake, or left out."""
    text = f"timestamp,symbol,bid,ask\n{START_S},BTC,100,101\n{START_S},ETH,10,11\n{START_S + 1},ETH,10,11\n"
    path = written(tmp_path, text)
    assert {e.instrument for e in feed(path, symbols=("BTC", "ETH")).events()} == {BTC, instrument_id(VENUE, "ETH")}
    with pytest.raises(ConfigError, match=r"line 3: rows of ETH stand here, which is not quoted \(only BTC\)"):
        list(feed(path).events())
    one = feed(path, damaged="skip")
    assert len(list(one.events())) == 1
    assert one.problems == {"recording_damage": 1}
    with pytest.raises(ConfigError, match="has no column that names the symbol, and table has 2 markets"):
        feed(written(tmp_path, QUOTES, "b.csv"), symbols=("BTC", "ETH"))


def test_cut_gzip_and_cut_parquet_are_named(tmp_path: Path) -> None:
    """The good part of a gzip is used on request; a Parquet file has its index at the end and is lost."""
    text = QUOTES + "".join(f"{START_S + n},100,101,{n},1\n" for n in range(2, 3000))
    path = written(tmp_path, text, "a.csv.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ConfigError, match=r"a\.csv\.gz: line \d+: gzip is damaged at byte"):
        list(feed(path).events())
    assert 100 < len(list(feed(path, damaged="skip").events())) < 3000
    polars.DataFrame({"timestamp": [START_S], "bid": [1.0], "ask": [2.0]}).write_parquet(tmp_path / "p.parquet")
    (tmp_path / "p.parquet").write_bytes((tmp_path / "p.parquet").read_bytes()[:-20])
    with pytest.raises(ConfigError, match=r"p\.parquet: not readable as Parquet"):
        feed(tmp_path / "p.parquet")


def test_what_is_nothing_of_the_kind_says_so(tmp_path: Path) -> None:
    """No file, an empty folder, no path at all, a thing that is no table."""
    with pytest.raises(ConfigError, match="No such file"):
        feed(tmp_path / "no.csv")
    with pytest.raises(ConfigError, match="holds no segments, no journal and no table"):
        feed(tmp_path)
    with pytest.raises(ConfigError, match=r"venues\.table\.path: is missing"):
        feed(None)
    with pytest.raises(ConfigError, match="a list is no table of polars or pandas"):
        feed(None, [1, 2])


# Funding


def test_a_series_of_funding_is_joined_between_first_and_last_event(tmp_path: Path) -> None:
    """What was known before stands at the first event, in force until it is due."""
    hour = 3600
    rates = written(
        tmp_path,
        "timestamp,rate\n" + "".join(f"{START_S + (n - 2) * 8 * hour},{n}e-4\n" for n in range(6)),
        "rates.csv",
    )
    quotes = f"timestamp,bid,ask\n{START_S + 60},100,101\n{START_S + 9 * hour},100,101\n"
    table = feed(written(tmp_path, quotes), funding={"BTC": rates})
    updates = [event for event in table.events() if isinstance(event, FundingUpdate)]
    assert [((e.ts_local_ns // S) - START_S, e.rate_e12, (e.next_ns // S) - START_S) for e in updates] == [
        (60, 300_000_000, 8 * hour),
        (8 * hour, 400_000_000, 16 * hour),
    ]
    assert [event.ts_local_ns for event in table.events()] == sorted(event.ts_local_ns for event in table.events())
    assert any("better than live" in note for note in table.notes)
    with pytest.raises(ConfigError, match=r"funding\.ETH: no market of that name is quoted here; there are BTC"):
        feed(written(tmp_path, quotes), funding={"ETH": rates})


def test_funding_column_of_a_table_is_told_with_its_rows(tmp_path: Path) -> None:
    """Due at the next full period of the clock."""
    text = f"timestamp,bid,ask,funding_rate\n{START_S},100,101,0.0001\n{START_S + 1},100,101,\n"
    table = feed(written(tmp_path, text), funding_hours=1.0)
    (update,) = (event for event in table.events() if isinstance(event, FundingUpdate))
    assert (update.rate_e12, update.period_ns) == (100_000_000, 3600 * S)
    assert update.next_ns % (3600 * S) == 0
    assert update.ts_local_ns < update.next_ns <= update.ts_local_ns + 3600 * S


def test_volatility_column_stands_for_the_estimate(tmp_path: Path) -> None:
    """As a fraction a year, with its row; a percentage is a mistake that is named."""
    text = f"timestamp,bid,ask,volatility\n{START_S},100,101,0.5\n{START_S + 1},100,101,\n"
    table = feed(written(tmp_path, text))
    (update,) = (event for event in table.events() if isinstance(event, VolatilityUpdate))
    assert (update.annual_e6, update.ts_local_ns) == (500_000, START_S * S)
    assert any("in the place of the engine's own estimate" in note for note in table.notes)
    with pytest.raises(ConfigError, match=r"line 2: volatility cannot be used: 500 is not within 0 and 100"):
        list(feed(written(tmp_path, text.replace("0.5", "500"))).events())


# Tardis

US = START_S * 10**6
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"


def row(at: int, *rest: object) -> str:
    return ",".join(map(str, ("x", "BTC", US + at, US + at + 5, *rest))) + "\n"


def tardis(tmp_path: Path) -> Path:
    folder = tmp_path / "tardis"
    folder.mkdir()
    book = BOOK + row(0, "true", "bid", 100, 1) + row(0, "true", "bid", 99.5, 2) + row(0, "true", "ask", 101, 3)
    book += row(10, "false", "bid", 100, 0) + row(10, "false", "bid", 100.5, 4)
    trades = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    trades += row(4, 7, "sell", 100, 0.5) + row(5, 8, "unknown", 100, 0.5)
    best = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n" + row(
        12, 1, 101, 100.5, 2
    )
    written(folder, book, "x_incremental_book_L2_2023-11-14_BTC.csv.gz")
    written(folder, trades, "x_trades_2023-11-14_BTC.csv.gz")
    written(folder, best, "x_book_ticker_2023-11-14_BTC.csv")
    return folder


def test_files_of_tardis_are_one_feed(tmp_path: Path) -> None:
    """Three layouts of a folder, plain and packed, merged by local time; rows of one message are one event."""
    source = feed(tardis(tmp_path))
    events = list(source.events())
    at_ns = [START_S * S + (at + 5) * 1000 for at in (0, 4, 10, 12)]
    assert [event.ts_local_ns for event in events] == at_ns
    times = [(each - 5000, each) for each in at_ns]
    assert events == [
        BookSnapshot(BTC, *times[0], ((200, 100), (199, 200)), ((202, 300),), US),
        PublicTrade(BTC, *times[1], Side.SELL, 200, 50, 7),
        BookDelta(BTC, *times[2], ((200, 0), (201, 400)), (), US + 10),
        TopOfBook(BTC, *times[3], 201, 200, 202, 100, US + 12),
    ]
    assert (source.problems, list(source.notes)) == ({}, [])
    only = feed(tmp_path / "tardis" / "x_incremental_book_L2_2023-11-14_BTC.csv.gz")
    assert [type(event) for event in only.events()] == [BookSnapshot, BookDelta]
    assert any("no trades: orders are filled only where the book crosses them" in note for note in only.notes)
    pattern = feed(tmp_path / "tardis" / "*_book_*.csv*")
    assert [type(event) for event in pattern.events()] == [BookSnapshot, BookDelta, TopOfBook]


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        (row(20, "false", "bid", 100.3, 1), "price of table:BTC: '100.3' is not a multiple of 0.5"),
        (row(20, "false", "middle", 100, 1), "side 'middle' is neither bid nor ask"),
        (row(-20, "false", "bid", 99, 1), "local_timestamp steps back"),
        (row(20, "false", "bid", 99, 1).replace("BTC", "ETH"), "rows of ETH stand here"),
        ("x,BTC,1,2,false,bid,99,1\n", "is no time in microseconds"),
        ("x,BTC\n", "has 2 fields, the first line has 8"),
    ],
)
def test_bad_rows_of_tardis_are_named_by_line(tmp_path: Path, bad: str, what: str) -> None:
    """And skipped on request."""
    good = BOOK + row(0, "true", "bid", 100, 1) + row(0, "true", "ask", 101, 3)
    path = written(tmp_path, good + bad + row(30, "false", "bid", 99, 1))
    with pytest.raises(ConfigError) as stopped:
        list(feed(path).events())
    assert f"{path}: line 4: " in str(stopped.value)
    assert what in str(stopped.value)
    rest = list(feed(path, damaged="skip").events())
    assert isinstance(rest[0], BookSnapshot)
    assert rest[-1].ts_local_ns == START_S * S + 35_000


@pytest.mark.parametrize("kind", ["csv", "parquet", "tardis"])
def test_memory_stays_flat_however_long_a_table_is(tmp_path: Path, kind: str) -> None:
    """Rows are read as they are needed."""
    rows = 60_000
    if kind == "tardis":
        head = BOOK + row(0, "true", "bid", 100, 1) + row(0, "true", "ask", 101, 3)
        path = written(tmp_path, head + "".join(row(n, "false", "bid", 100, n) for n in range(1, rows)))
    else:
        table = polars.DataFrame({"timestamp": [START_S + n for n in range(rows)]})
        table = table.with_columns(bid=polars.lit(100.0), ask=polars.lit(101.0))
        path = tmp_path / f"long.{kind}"
        table.write_csv(path) if kind == "csv" else table.write_parquet(path)
    source = feed(path)
    tracemalloc.start()
    try:
        assert sum(1 for _ in source.events()) >= rows - 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20
    assert source.bytes_read == source.bytes_total or kind == "parquet"
