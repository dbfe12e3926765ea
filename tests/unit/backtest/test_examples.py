"""The ready configurations of `deploy/examples` trade like market makers on what was really recorded."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from mm_daemon import registry
from mm_daemon.backtest.report import BacktestReport, MarketReport
from mm_daemon.backtest.venues import backtest
from mm_daemon.config.load import load
from mm_daemon.config.schema import Config
from mm_daemon.domain.codec import Record
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, PlaceOrder
from mm_daemon.domain.events import MarketEvent
from mm_daemon.domain.instrument import SignificantFigures, grid_floor
from mm_daemon.journal.log import JournalReader
from tests.shared import shared_file

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


def example(name: str) -> Config:
    folder = shared_file("data/DATA.md").parents[1]
    return load(EXAMPLES / f"{name}.yaml", settings_of=registry.settings_of, environ={"MM_SHARED": str(folder)})


def played(name: str, journal: Path | None = None) -> BacktestReport:
    return backtest(example(name), journal=journal)


def records(path: Path) -> Iterator[Record]:
    with JournalReader(path) as reader:
        for frame in reader:
            yield from frame.records


def figures(market: MarketReport) -> tuple[object, ...]:
    return (market.orders_placed, market.orders_amended, market.fills, market.volume, market.cash, market.pnl)


@pytest.mark.parametrize(
    ("name", "frames", "requotes", "problems"),
    [
        ("recorded-binance-spot", 41_249, 200, {"off_grid_size": 3}),
        ("recorded-hyperliquid", 55, 5, {}),
    ],
)
def test_example_quotes_both_sides_fills_and_stays_in_its_limits(
    name: str, frames: int, requotes: int, problems: dict[str, int]
) -> None:
    """To the last frame of the recording, as a maker, with nothing rejected and nothing left open."""
    config = example(name)
    report = backtest(config)
    assert report.messages == frames
    assert report.quote_uptime > 0.9
    assert report.orders_placed + report.orders_amended > requotes
    assert report.orders_rejected == 0
    assert (report.fills > 0, report.taker_fills) == (True, 0)
    most = config.markets[0].max_position
    assert report.max_abs_position is not None
    assert most is not None
    assert report.max_abs_position <= most
    assert (report.open_orders, report.clean) == (0, True)
    assert report.problems == problems


def test_prices_of_few_figures_are_the_only_ones_sent(tmp_path: Path) -> None:
    """At six figures before the point Hyperliquid takes whole dollars only."""
    played("recorded-hyperliquid", tmp_path / "j")
    grid = SignificantFigures(figures=5, decimals=1)
    approved = [record.command for record in records(tmp_path / "j") if isinstance(record, ApprovedCommand)]
    sent = [command.ticks for command in approved if isinstance(command, PlaceOrder | AmendOrder)]
    assert len(sent) > 5
    assert [ticks for ticks in sent if grid_floor(ticks, grid) != ticks or ticks % 10] == []


def test_two_recordings_are_one_run_in_local_order(tmp_path: Path) -> None:
    """Every event of both, none before an earlier one; paper orders move no market, so each fares as alone."""
    together = played("recorded-two-venues", tmp_path / "j")
    assert together.messages == 93_954 + 41_249
    last_ns = 0
    counts: Counter[str] = Counter()
    for event in records(tmp_path / "j"):
        if isinstance(event, get_args(MarketEvent)):
            assert event.ts_local_ns >= last_ns
            last_ns = event.ts_local_ns
            counts[event.instrument] += 1
    assert counts == {
        "binance-usdm:BTCUSDT": 6547 + 1 + 21_313 + 66_089,
        "binance-spot:BTCUSDT": 3449 + 1 + 9757 + 28_040,
    }
    futures, spot = together.markets
    alone = [played(name).markets[0] for name in ("recorded-binance-usdm", "recorded-binance-spot")]
    assert [figures(futures), figures(spot)] == [figures(market) for market in alone]


@pytest.mark.parametrize("name", ["binance-testnet", "bybit-testnet", "kucoin-live", "okx-testnet"])
def test_example_of_an_exchange_is_valid_and_live(name: str) -> None:
    """With a key in the environment it is read without a complaint, and no key is in it."""
    words = ("API_KEY", "API_SECRET", "PASSPHRASE")
    exchange = name.partition("-")[0].upper()
    environ = {f"{exchange}{test}_{word}": "a-secret" for test in ("", "_TESTNET") for word in words}
    config = load(EXAMPLES / f"{name}.yaml", settings_of=registry.settings_of, environ=environ)
    (venue,) = config.venues.values()
    assert (config.mode, venue.connector) == ("live", "ccxt")
    assert set(venue.secrets.values()) == {"a-secret"}


@pytest.mark.parametrize("name", ["binance-paper", "bybit-paper", "kucoin-paper", "okx-paper"])
def test_example_on_paper_needs_no_key(name: str) -> None:
    config = load(EXAMPLES / f"{name}.yaml", settings_of=registry.settings_of, environ={})
    (venue,) = config.venues.values()
    assert (config.mode, venue.connector, dict(venue.secrets)) == ("paper", "ccxt", {})
