"""Recording over real loopback sockets: what is played back is what was heard."""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.recorded.connector import RecordedConnector, RecordedSettings
from connectors.recorded.reader import WireLog
from connectors.recorded.segments import SegmentLog
from connectors.simulators.hyperliquid.settings import CoinSettings
from mm_daemon import registry
from mm_daemon.config.load import loads
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError, UsageError
from mm_daemon.domain.events import BookDelta, BookInvalidated, BookSnapshot, MarketEvent, PublicTrade, TopOfBook
from mm_daemon.domain.instrument import Venue
from mm_daemon.observability.logs import open_log
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.recording import read_index, segments_in
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.recording.recorder import KeepEvents, Recorded, Recorder, RecordSettings, chosen_symbols
from mm_daemon.simulation.symbols import SymbolSettings
from tests.binance_usdm import binance_venue
from tests.dydx import dydx_venue
from tests.hyperliquid import QUICK, hyperliquid_venue, until
from tests.lighter import lighter_venue
from tests.neutral import SECRETS, neutral_venue

BUSY = CoinSettings(volatility=0.5, trades_per_second=40.0)


def config(venues: str, markets: Sequence[tuple[str, str]], environ: dict[str, str] | None = None) -> Config:
    listed = "".join(
        f"  - {{venue: {venue}, symbol: {symbol}, order_size: 1, max_position: 5}}\n" for venue, symbol in markets
    )
    text = f"version: 1\nrisk: {{max_loss: 100}}\nvenues:\n{venues}markets:\n{listed}"
    return loads(text, "test.yaml", settings_of=registry.settings_of, environ=environ or {})


def recorder(loaded: Config, out: Path, **settings: Any) -> Recorder:
    log = open_log(io.StringIO(), people=True, now_ns=lambda: 0)
    return Recorder(loaded, RecordSettings(out=out, **settings), log)


def played(path: Path, venue: str, *symbols: str, **settings: Any) -> RecordedConnector:
    """Found out by what lies there, with no word on wire or contract."""
    clock = Clock()
    context = ConnectorContext(
        venue=Venue(venue),
        symbols=symbols,
        emit=lambda _event: None,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        translator=registry.translator,
    )
    return RecordedConnector(context, RecordedSettings(path=path, **settings))


async def record(loaded: Config, out: Path, *, frames: int, events: KeepEvents = "always") -> Recorded:
    """Until so many frames have been heard."""
    working = recorder(loaded, out, events=events)
    running = asyncio.create_task(working.run())
    await until(lambda: working.writer.taken >= frames or running.done())
    working.stop()
    return await running


def told_live(path: Path, venue: str, *symbols: str) -> list[MarketEvent]:
    return list(played(path / f"{venue}.events", venue, *symbols).events())


def suffix_of(whole: Sequence[MarketEvent], live: Sequence[MarketEvent]) -> Sequence[MarketEvent]:
    """The replayed events from the first one that was told live: before it the link was not up."""
    return whole[whole.index(live[0]) :]


async def test_wire_recording_plays_back_what_the_connector_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every event of the live connector, from the raw frames, by the translator that the index names."""
    monkeypatch.setitem(QUICK, "coins", {"BTC": BUSY})
    async with hyperliquid_venue(coins=("BTC",)) as control:
        venues = f"  hyperliquid: {{connector: hyperliquid, network: testnet, url: '{control.url}'}}\n"
        done = await record(config(venues, [("hyperliquid", "BTC")]), tmp_path, frames=400)
    live = told_live(tmp_path, "hyperliquid", "BTC")
    feed = played(tmp_path, "hyperliquid", "BTC")
    assert {BookSnapshot, PublicTrade, TopOfBook} <= {type(event) for event in live}
    assert suffix_of(list(feed.events()), live) == live
    assert (feed.problems, list(feed.notes), done.lost) == ({}, [], 0)
    index = read_index(tmp_path / "hyperliquid")
    assert index is not None
    assert (index.wire, index.holds, index.instruments[0].symbol) == ("hyperliquid", "frames", "BTC")
    (entry,) = index.segments
    assert (entry.frames, entry.open, entry.symbols) == (feed.frames, False, ("BTC",))
    assert entry.bytes == (tmp_path / "hyperliquid" / entry.file).stat().st_size


async def test_a_key_in_the_configuration_is_not_used(tmp_path: Path) -> None:
    """Where the venue gives its market data without one: nothing private is asked for, so that nothing is recorded."""
    async with hyperliquid_venue(coins=("BTC",)) as control:
        venues = (
            f"  hyperliquid: {{connector: hyperliquid, network: testnet, url: '{control.url}', "
            "secrets: {private_key: {env: KEY}}}\n"
        )
        loaded = config(venues, [("hyperliquid", "BTC")], {"KEY": control.key()})
        await record(loaded, tmp_path, frames=60, events="never")
    frames = b" ".join(frame for _, frame in SegmentLog(tmp_path / "hyperliquid").frames())
    assert b'"l2Book"' in frames
    assert not [word for word in (b"orderUpdates", b"userFills", b"userFundings") if word in frames]


async def test_depth_snapshots_of_binance_are_recorded_where_they_came(tmp_path: Path) -> None:
    """The REST reply stands among the frames, so that the book of the replay starts as the live one did."""
    async with binance_venue(market=SymbolSettings(trades_per_second=40.0)) as control:
        venues = (
            f"  binance-usdm: {{connector: ccxt, exchange: binanceusdm, url: '{control.url}', market_data: native}}\n"
        )
        await record(config(venues, [("binance-usdm", "BTCUSDT")]), tmp_path, frames=500)
    live = told_live(tmp_path, "binance-usdm", "BTCUSDT")
    feed = played(tmp_path, "binance-usdm", "BTCUSDT")
    replayed = list(feed.events())
    assert {BookSnapshot, BookDelta, PublicTrade, TopOfBook} <= {type(event) for event in live}
    for kind in (BookSnapshot, BookDelta, PublicTrade, TopOfBook):
        told = [event for event in live if type(event) is kind]
        assert [event for event in replayed if type(event) is kind][-len(told) :] == told
    assert (feed.problems, list(feed.notes)) == ({}, [])
    (segment,) = segments_in(tmp_path / "binance-usdm")
    assert sum(frame.startswith(b'{"lastUpdateId"') for _, frame in WireLog(segment).frames()) == 1


async def test_venue_whose_wire_no_translator_reads_plays_back_its_events(tmp_path: Path) -> None:
    """The frames are kept too; the path of the whole recording means the events."""
    async with neutral_venue() as control:
        venues = (
            f"  neutral: {{connector: neutral, url: '{control.url}', "
            "secrets: {api_key: {env: KEY}, api_secret: {env: SECRET}}}\n"
        )
        environ = {"KEY": SECRETS["api_key"], "SECRET": SECRETS["api_secret"]}
        loaded = config(venues, [("neutral", "BTC-USDT")], environ)
        done = await record(loaded, tmp_path, frames=60, events="auto")
    assert set(done.folders) == {"neutral", "neutral.events"}
    assert done.folders["neutral"][0] > 10
    feed = played(tmp_path, "neutral", "BTC-USDT")
    *events, last = feed.events()
    assert len(events) == feed.frames == done.folders["neutral.events"][0]
    assert isinstance(events[0], BookSnapshot)
    assert isinstance(last, BookInvalidated)  # the recorder has hung up
    renamed = played(tmp_path / "neutral.events", "other", "BTC-USDT")
    assert {event.instrument for event in renamed.events()} == {"other:BTC-USDT"}


@pytest.mark.parametrize("name", ["dydx", "lighter"])
async def test_every_connector_shows_its_frames(tmp_path: Path, name: str) -> None:
    """Without a key: books and trades as the venue sends them, and what was made of them."""
    opened = dydx_venue(symbols=("ETH-USD",)) if name == "dydx" else lighter_venue()
    async with opened as control:
        keys, symbol = (
            (f"network: local, indexer: '{control.url}', nodes: ['{control.url}']", "ETH-USD")
            if name == "dydx"
            else (f"network: testnet, url: '{control.url}'", "ETH")
        )
        loaded = config(f"  {name}: {{connector: {name}, {keys}}}\n", [(name, symbol)])
        done = await record(loaded, tmp_path, frames=40, events="auto")
    assert set(done.folders) == {name, f"{name}.events"}
    frames = b" ".join(frame for _, frame in SegmentLog(tmp_path / name).frames())
    assert b"orderbook" in frames or b"order_book" in frames
    assert BookSnapshot in {type(event) for event in played(tmp_path, name, symbol).events()}


async def test_raw_messages_are_kept_where_ccxt_reads_them(tmp_path: Path) -> None:
    """ccxt's own streams: what the exchange sent, and the events that were made of it."""
    async with binance_venue(market=SymbolSettings(trades_per_second=40.0)) as control:
        venues = f"  binance: {{connector: ccxt, exchange: binanceusdm, url: '{control.url}', market_data: ccxt}}\n"
        done = await record(config(venues, [("binance", "BTCUSDT")]), tmp_path, frames=150, events="auto")
    assert set(done.folders) == {"binance", "binance.events"}
    frames = [msgspec.json.decode(frame) for _, frame in SegmentLog(tmp_path / "binance").frames() if frame]
    kinds = {frame.get("data", frame).get("e") for frame in frames}
    assert {"depthUpdate", "trade"} <= kinds or {"depthUpdate", "aggTrade"} <= kinds
    events = list(played(tmp_path, "binance", "BTCUSDT").events())
    assert {BookSnapshot, PublicTrade} <= {type(event) for event in events}


async def test_a_venue_that_cannot_be_reached_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """It is tried again and again; what the other one sends is on the disk."""
    async with hyperliquid_venue() as control:
        venues = (
            f"  hyperliquid: {{connector: hyperliquid, network: testnet, url: '{control.url}'}}\n"
            "  gone: {connector: hyperliquid, network: testnet, url: 'http://127.0.0.1:9'}\n"
        )
        loaded = config(venues, [("gone", "BTC"), ("hyperliquid", "BTC")])
        done = await record(loaded, tmp_path, frames=100, events="never")
    assert set(done.folders) == {"hyperliquid"}
    assert done.folders["hyperliquid"][0] >= 90


def test_only_markets_that_are_asked_for_and_known() -> None:
    """By venue or by market; a name that nobody has is a mistake."""
    venues = "".join(f"  {name}: {{connector: hyperliquid, network: testnet}}\n" for name in "ab")
    loaded = config(venues, [("a", "BTC"), ("a", "ETH"), ("b", "BTC")])
    assert chosen_symbols(loaded, ()) == {"a": ("BTC", "ETH"), "b": ("BTC",)}
    assert chosen_symbols(loaded, ("a:ETH", "b")) == {"a": ("ETH",), "b": ("BTC",)}
    with pytest.raises(UsageError, match=r"a:SOL: the configuration has no such market; it has a:BTC, a:ETH, b:BTC"):
        chosen_symbols(loaded, ("a:SOL",))


async def test_a_recording_is_not_recorded_again(tmp_path: Path) -> None:
    """It is converted."""
    (tmp_path / "a.csv").write_text("timestamp,bid,ask\n1700000000,1,2\n")
    contract = "{base: A, quote: B, tick: 1, lot: 1, maker_fee_bps: 0, taker_fee_bps: 0}"
    venues = f"  v: {{connector: recorded, path: {tmp_path / 'a.csv'}, instruments: {{X: {contract}}}}}\n"
    with pytest.raises(ConfigError, match="is a recording already"):
        await recorder(config(venues, [("v", "X")]), tmp_path / "out").run()
