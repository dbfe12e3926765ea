"""Recordings in the forms of others: the same market, row by row."""

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.recorded.reader import WireLog
from mm_daemon.backtest.convert.hftbacktest import (
    BUY,
    CLEAR,
    DEPTH,
    EVENT_DTYPE,
    EXCH,
    LOCAL,
    SELL,
    SNAPSHOT,
    TRADE,
    hftbacktest_array,
)
from mm_daemon.backtest.convert.recording import convert, open_feed
from mm_daemon.cli.main import execute
from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import BookDelta, BookSnapshot, MarketEvent, PublicTrade, TopOfBook
from mm_daemon.domain.orders import Side
from mm_daemon.testkit.builders import MS, SYMBOL, delta, instrument, snapshot, trade
from tests.unit.backtest.test_recordings import config, direct, part, wire

__all__ = ["direct", "part"]


def in_order(data: "np.ndarray[Any, Any]") -> bool:
    """What hftbacktest asks of an array: each clock goes on, and nothing is known before it happened."""
    there, here = data[(data["ev"] & EXCH) != 0], data[(data["ev"] & LOCAL) != 0]
    return bool(
        (np.diff(there["exch_ts"]) >= 0).all()
        and (np.diff(here["local_ts"]) >= 0).all()
        and (data["local_ts"] >= data["exch_ts"]).all()
        and (data["ev"] & (EXCH | LOCAL)).all()
    )


def test_array_holds_depth_trades_and_where_a_book_begins() -> None:
    """Flags, prices and sizes of each row; best prices of another stream are left out."""
    events: list[MarketEvent] = [
        snapshot(1, 1000, 1001, lots=3),
        trade(2, Side.SELL, 1000, 2),
        TopOfBook(SYMBOL, 3 * MS, 3 * MS, 1000, 1, 1001, 1, 9),
        delta(4, bids=((1000, 0),), asks=((1002, 7),)),
    ]
    data = hftbacktest_array(iter(events), instrument())
    assert data.dtype == EVENT_DTYPE
    assert EVENT_DTYPE.itemsize == 64
    tick, lot = float(instrument().tick), float(instrument().lot)
    kinds = [int(row["ev"]) for row in data]
    both = EXCH | LOCAL
    book = [row for row in data if row["ev"] & 0xFF == SNAPSHOT]
    assert kinds[0] == CLEAR | BUY | both
    assert {int(row["ev"]) for row in book} == {SNAPSHOT | BUY | both, SNAPSHOT | SELL | both}
    (sold,) = (row for row in data if row["ev"] & 0xFF == TRADE)
    assert (int(sold["ev"]), sold["px"], sold["qty"]) == (TRADE | SELL | both, 1000 * tick, 2 * lot)
    assert kinds[-2:] == [DEPTH | BUY | both, DEPTH | SELL | both]
    assert data[-2]["qty"] == 0
    assert data[-1]["px"] == 1002 * tick
    assert in_order(data)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 5)), min_size=1, max_size=40))
def test_array_is_in_the_order_of_both_clocks(steps: list[tuple[int, int]]) -> None:
    """Whatever the venue's clock does: no row is lost, none doubled on a clock, and the differences keep their size."""
    at, events = 1000, list[MarketEvent]()
    for number, (offset, step) in enumerate(steps):
        at += step
        events.append(PublicTrade(SYMBOL, at + offset, at, Side.BUY, 100 + number, 1, number))
    data = hftbacktest_array(iter(events), instrument())
    assert in_order(data)
    tick = float(instrument().tick)
    prices = sorted((100 + number) * tick for number in range(len(steps)))
    for clock in (EXCH, LOCAL):
        assert sorted(row["px"] for row in data if row["ev"] & clock) == pytest.approx(prices)
    shift = max(0, *(offset for offset, _ in steps))
    latency = {round(float(row["px"]) / tick) - 100: int(row["local_ts"] - row["exch_ts"]) for row in data}
    assert latency == {number: shift - offset for number, (offset, _) in enumerate(steps)}


def test_real_recording_becomes_an_array_of_the_same_book(part: Path, tmp_path: Path) -> None:
    """The rows of the venue's clock, applied one by one, are the book that our own reading ends with."""
    feed = open_feed(part, config=config(usdm=wire(part)))
    done = convert(feed, tmp_path / "a.npz", "npz")
    data = np.load(tmp_path / "a.npz")["data"]
    assert len(data) == done.rows > 10_000
    assert in_order(data)
    depth: dict[tuple[int, float], float] = {}
    for row in data[(data["ev"] & LOCAL) != 0]:
        kind, side = int(row["ev"]) & 0xFF, int(row["ev"]) & (BUY | SELL)
        if kind in (DEPTH, SNAPSHOT):
            depth[side, round(float(row["px"]), 6)] = float(row["qty"])
    book = OrderBook()
    contract = feed.instruments()[0]
    for event in feed.events():
        if isinstance(event, BookDelta | BookSnapshot):
            book.apply(event)
    shown = {(BUY, round(t * 0.1, 6)): n * 0.001 for t, n in book.levels(Side.BUY, 10**6)}
    shown |= {(SELL, round(t * 0.1, 6)): n * 0.001 for t, n in book.levels(Side.SELL, 10**6)}
    assert {key: size for key, size in depth.items() if size} == pytest.approx(shown)
    assert contract.symbol == "BTCUSDT"


def test_collectors_file_is_the_frames_again(part: Path, tmp_path: Path) -> None:
    """Byte for byte, so that hftbacktest's own tools read it."""
    feed = open_feed(part, config=config(usdm=wire(part)))
    convert(feed, tmp_path / "a.gz", "collector")
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == part.read_bytes()
    assert list(WireLog(tmp_path / "a.gz").frames()) == list(WireLog(part).frames())


def test_parquet_holds_trades_changes_and_quotes(part: Path, tmp_path: Path) -> None:
    """Every event of the recording, in tables of their own."""
    feed = open_feed(part, config=config(usdm=wire(part)))
    done = convert(feed, tmp_path / "out", "parquet")
    events = list(feed.events())
    trades = polars.read_parquet(tmp_path / "out" / "trades-*.parquet")
    quotes = polars.read_parquet(tmp_path / "out" / "quotes-*.parquet")
    book = polars.read_parquet(tmp_path / "out" / "book-*.parquet")
    prints = [event for event in events if isinstance(event, PublicTrade)]
    assert trades["ts_local_ns"].to_list() == [event.ts_local_ns for event in prints]
    assert trades["price"].to_list() == pytest.approx([event.ticks * 0.1 for event in prints])
    assert trades["side"].to_list() == [event.aggressor.word for event in prints]
    assert quotes.height == sum(isinstance(event, TopOfBook) for event in events)
    assert book.height == sum(
        len(event.bids) + len(event.asks) for event in events if isinstance(event, BookDelta | BookSnapshot)
    )
    assert done.rows == trades.height + quotes.height + book.height


def test_quotes_of_parquet_are_a_recording_again(part: Path, tmp_path: Path) -> None:
    """What is written can be read: the quotes as a table of quotes."""
    convert(open_feed(part, config=config(usdm=wire(part))), tmp_path / "out", "parquet")
    (quotes,) = (tmp_path / "out").glob("quotes-*.parquet")
    again = open_feed(quotes, config=config(usdm=f"{wire(quotes)}, columns: {{time: ts_local_ns}}"))
    events = list(again.events())
    first = polars.read_parquet(quotes).row(0, named=True)
    assert isinstance(events[0], BookSnapshot)
    assert events[0].bids[0][0] == round(first["bid_price"] / 0.1)
    assert len(events) == polars.read_parquet(quotes).height


def test_command_line_converts_and_refuses_in_words(
    part: Path, direct: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A journal needs no configuration; nothing is overwritten; what cannot be is said."""
    assert execute(["convert", str(direct[1]), str(tmp_path / "a.npz")]) == 0
    assert "a.npz" in capsys.readouterr().out
    assert execute(["convert", str(direct[1]), str(tmp_path / "a.npz")]) == 64
    assert "exists already" in capsys.readouterr().err
    assert execute(["convert", str(direct[1]), str(tmp_path / "a.gz")]) == 64
    assert "holds raw frames, and this recording has none" in capsys.readouterr().err
    assert execute(["convert", str(part), str(tmp_path / "b.npz")]) == 64
    assert "does not say what its contracts are; give --config" in capsys.readouterr().err
    assert execute(["convert", str(tmp_path / "none"), str(tmp_path / "b.npz")]) == 64
    assert "none: there is no such recording" in capsys.readouterr().err
    other = shutil.copy(direct[1], tmp_path / "mine.mmj")
    assert execute(["convert", str(other), str(tmp_path / "mine.npz")]) == 0
    with pytest.raises(UsageError, match="the configuration has the recorded venues a, b; name one"):
        open_feed(part, config=config(a=wire(part), b=wire(part)))
