"""One market, recorded in many forms, is one backtest."""

from collections import Counter
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import polars
import pytest

from connectors.recorded.reader import WireLog
from mm_daemon import registry
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.backtest.venues import backtest, compose
from mm_daemon.config.load import loads
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError, UsageError
from mm_daemon.domain.events import MarketEvent
from mm_daemon.domain.instrument import venue_of
from mm_daemon.journal.market_data import JournalMarketData
from mm_daemon.ports.recording import RecordingIndex
from mm_daemon.runtime.recording.segments import SegmentFolder
from tests.shared import shared_file

USDM = "{base: BTC, quote: USDT, tick: 0.1, lot: 0.001, min_notional: 100, maker_fee_bps: 0, taker_fee_bps: 5}"
SPOT = "{base: BTC, quote: USDT, tick: 0.01, lot: 0.00001, min_notional: 5, maker_fee_bps: 10, taker_fee_bps: 10}"
MARKET = (
    "order_size: 0.01, max_position: 0.05, min_position: -0.05, gamma: 0.05, k: 20, max_spread_bps: 50, "
    "intensity: 1.0, volatility: 0.1, fill_lockout_ms: 100, order_lockout_ms: 100"
)
FRAMES = 20_000


def config(**venues: str) -> Config:
    listed = "".join(f"  {name}: {{connector: recorded, {keys}}}\n" for name, keys in venues.items())
    markets = "".join(f"  - {{venue: {name}, symbol: BTCUSDT, {MARKET}}}\n" for name in venues)
    text = f"version: 1\nvenues:\n{listed}markets:\n{markets}"
    return loads(text, "test.yaml", settings_of=registry.settings_of, environ={})


def wire(path: Path, **more: object) -> str:
    keys = "".join(f", {key}: {value}" for key, value in more.items())
    return f"path: {path}, translator: binance-usdm, instruments: {{BTCUSDT: {USDM}}}{keys}"


def outcome(report: BacktestReport) -> Any:
    """All but how long it took and where the journal is."""
    shown = msgspec.to_builtins(report)
    return {key: value for key, value in shown.items() if key not in ("wall_seconds", "journal", "messages", "notes")}


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the USD-M recording, as a plain collector's file."""
    path = tmp_path_factory.mktemp("part") / "usdm"
    with path.open("wb") as file:
        for number, (at_ns, frame) in enumerate(WireLog(shared_file("data/binance-usdm-btcusdt-20240808.gz")).frames()):
            if number >= FRAMES:
                break
            file.write(b"%d %b\n" % (at_ns, frame))
    return path


@pytest.fixture(scope="module")
def direct(part: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BacktestReport, Path]:
    """Its backtest, and the journal of it."""
    journal = tmp_path_factory.mktemp("direct") / "direct.journal"
    report = backtest(config(usdm=wire(part)), journal=journal)
    assert report.markets[0].fills
    return report, journal


def test_segments_are_backtested_as_the_frames_they_were_made_of(
    part: Path, direct: tuple[BacktestReport, Path], tmp_path: Path
) -> None:
    """Many segments and chunks, seamless: the same journal, byte for byte; translator and contract from the index."""
    (instrument,) = compose(config(usdm=wire(part)))[0].markets
    head = RecordingIndex(venue="usdm", wire="binance-usdm", instruments=(instrument.instrument,))
    folder = SegmentFolder(tmp_path / "usdm", head, segment_bytes_max=100_000)
    for number, (at_ns, frame) in enumerate(WireLog(part).frames()):
        folder.append(at_ns, frame)
        if number % 700 == 0:
            folder.flush()
    folder.close()
    assert len(folder.index.segments) > 3
    report = backtest(config(usdm=f"path: {tmp_path}"), journal=tmp_path / "a.journal")
    assert outcome(report) == outcome(direct[0])
    assert (tmp_path / "a.journal").read_bytes() == direct[1].read_bytes()


def test_journal_of_a_run_is_backtested_again(direct: tuple[BacktestReport, Path], tmp_path: Path) -> None:
    """Its market data make the same run again, under the same name or another."""
    report, journal = direct
    again = backtest(config(usdm=f"path: {journal}"), journal=tmp_path / "a.journal")
    assert outcome(again) == outcome(report)
    assert (tmp_path / "a.journal").read_bytes() == journal.read_bytes()
    renamed = backtest(config(other=f"path: {journal}"))
    assert renamed.markets[0].fills == report.markets[0].fills


def test_damaged_journal_stops_or_gives_its_good_part(direct: tuple[BacktestReport, Path], tmp_path: Path) -> None:
    """A byte changed in the middle is named by file and place."""
    data = bytearray(direct[1].read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "b.journal").write_bytes(data)
    with pytest.raises(ConfigError, match=r"b\.journal.*`damaged: skip`"):
        backtest(config(usdm=f"path: {tmp_path / 'b.journal'}"))
    half = backtest(config(usdm=f"path: {tmp_path / 'b.journal'}, damaged: skip"))
    assert 0 < half.rows < direct[0].rows
    assert half.problems["recording_damage"] == 1


def test_damaged_recording_stops_or_gives_its_good_part(
    part: Path, direct: tuple[BacktestReport, Path], tmp_path: Path
) -> None:
    """File and line in the message; what is good is backtested on request, and the report names what is not."""
    lines = part.read_bytes().split(b"\n")
    lines[5000] = b"rubbish"
    (tmp_path / "bad").write_bytes(b"\n".join(lines))
    with pytest.raises(ConfigError, match=r"bad: line 5001 \(byte \d+\): line does not begin with a time"):
        backtest(config(usdm=wire(tmp_path / "bad")))
    report = backtest(config(usdm=wire(tmp_path / "bad", damaged="skip")))
    assert report.problems["recording_damage"] == 1
    assert any("line 5001" in note for note in report.notes)


def test_spot_and_perpetual_recordings_are_merged_by_local_time(tmp_path: Path) -> None:
    """Every event of both files, in order of its local time, as the core was told."""
    spot = (
        f"path: {shared_file('data/binance-spot-btcusdt-20240808.gz')}, translator: binance-spot, "
        f"instruments: {{BTCUSDT: {SPOT}}}"
    )
    both = config(usdm=wire(shared_file("data/binance-usdm-btcusdt-20240808.gz")), spot=spot)
    backtest(both, journal=tmp_path / "both.journal", duration_s=60)
    told = [event for event in JournalMarketData(tmp_path / "both.journal").events() if hasattr(event, "instrument")]
    assert [event.ts_local_ns for event in told] == sorted(event.ts_local_ns for event in told)
    last_ns = told[-1].ts_local_ns
    alone: dict[str, list[MarketEvent]] = {}
    for venue, source in compose(both)[1].items():
        assert isinstance(source, RecordedMarket)
        alone[venue] = [event for event in source.feed.events() if event.ts_local_ns <= last_ns]
    for name, events in alone.items():
        assert [event for event in told if venue_of(event.instrument) == name] == events
        assert len(events) > 1000
    merged = sorted(alone["usdm"] + alone["spot"], key=attrgetter("ts_local_ns"))
    assert told == merged, "what ties comes in the order of the configuration"
    switches = sum(a.instrument != b.instrument for a, b in pairwise(told))
    assert switches > 1000, Counter(event.instrument for event in told)


def test_table_in_memory_is_backtested(tmp_path: Path) -> None:
    """Without a path; a table for a venue that is not there is a mistake."""
    rows = 600
    table = polars.DataFrame(
        {
            "timestamp": [1_700_000_000 + n for n in range(rows)],
            "bid": [60_000 + (n % 40) for n in range(rows)],
            "ask": [60_001 + (n % 40) for n in range(rows)],
        }
    )
    memory = config(quotes=f"instruments: {{BTCUSDT: {USDM}}}")
    report = backtest(memory, tables={"quotes": table})
    assert report.markets[0].fills
    assert any("queues, trades and depth are not modelled" in note for note in report.notes)
    with pytest.raises(UsageError, match="a table is given for other; the configuration has quotes"):
        backtest(memory, tables={"other": table})
    table.write_csv(tmp_path / "quotes.csv")
    from_file = backtest(config(quotes=f"path: {tmp_path / 'quotes.csv'}, instruments: {{BTCUSDT: {USDM}}}"))
    assert outcome(from_file) == outcome(report)


def test_a_recording_without_a_word_on_its_contracts_asks_for_them(part: Path) -> None:
    """Or for whose wire it is."""
    with pytest.raises(ConfigError, match=r"no definition of BTCUSDT; give tick, lot and fees under venues\.usdm"):
        backtest(config(usdm=f"path: {part}, translator: binance-usdm"))
    with pytest.raises(ConfigError, match=r"venues\.usdm\.translator: is missing"):
        backtest(config(usdm=f"path: {part}, instruments: {{BTCUSDT: {USDM}}}"))
