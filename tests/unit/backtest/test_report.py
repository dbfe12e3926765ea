"""The report: exact parts, JSON numbers, uptime and a table people can read."""

import json
from decimal import Decimal
from typing import Any

import pytest

from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket, Source
from mm_daemon.domain.instrument import Venue
from mm_daemon.testkit.builders import VENUE, core_parameters, instrument, market
from tests.unit.backtest.doubles import ListFeed, ObedientVenue, tape

REQUIRED = {
    "messages",
    "rows",
    "decisions",
    "orders_placed",
    "orders_canceled",
    "orders_amended",
    "fills",
    "maker_fills",
    "taker_fills",
    "volume",
    "position",
    "max_abs_position",
    "quote_uptime",
    "pnl",
    "wall_seconds",
    "journal",
}


@pytest.fixture(scope="module")
def report() -> BacktestReport:
    contract = instrument(maker_fee_ppm=200, taker_fee_ppm=500)
    sources: dict[Venue, Source] = {VENUE: RecordedMarket(ListFeed(list(tape(120))), ObedientVenue())}
    return run_backtest(core_parameters(market(contract)), sources)


def exact(report: BacktestReport) -> Any:
    return json.loads(report.to_json(), parse_float=Decimal, parse_int=Decimal)


def test_json_has_every_promised_key(report: BacktestReport) -> None:
    """One object with the figures that a person or a script asks a backtest for."""
    parsed = exact(report)
    assert parsed.keys() >= REQUIRED
    assert parsed["pnl"].keys() == {"total", "spread", "inventory", "fees", "funding"}


def test_parts_add_up_to_the_last_digit(report: BacktestReport) -> None:
    """Read as decimals, parts equal the total, and the total equals cash and position less the start."""
    parsed = exact(report)
    assert parsed["fills"] > 3
    for view in (parsed, *parsed["markets"]):
        pnl = view["pnl"]
        assert pnl["total"] != 0
        assert pnl["total"] == pnl["spread"] + pnl["inventory"] + pnl["fees"] + pnl["funding"]
        assert pnl["total"] == view["cash"] + view["position_value"] - view["start_value"]
    (only,) = parsed["markets"]
    assert only["position_value"] == only["position"] * only["final_mid"]
    assert only["pnl"]["fees"] < 0


def test_counts_agree_with_each_other(report: BacktestReport) -> None:
    """Every order placed has ended one way; positions stay within their limit; volume is of the fills."""
    assert report.fills == report.maker_fills + report.taker_fills
    assert report.orders_placed == report.orders_canceled + report.fills + report.orders_rejected
    assert report.max_abs_position is not None
    assert report.position is not None
    assert abs(report.position) <= report.max_abs_position <= Decimal("0.05")
    assert report.volume is not None
    assert report.volume > 0
    (only,) = report.markets
    assert only.quote_uptime <= min(only.bid_uptime, only.ask_uptime)


def test_numbers_are_plain(report: BacktestReport) -> None:
    """No number is written as text or with a positive exponent."""
    text = report.to_json().decode()
    assert "E+" not in text
    assert '"total":"' not in text


def test_table_names_the_market_and_its_result(report: BacktestReport) -> None:
    """A person sees what was quoted, for how long, and what came of it."""
    text = report.to_text()
    for words in ("test:BTC-USDT", "pnl total", "quoted both sides", "QUOTE new_quote"):
        assert words in text


def test_different_currencies_are_not_added() -> None:
    """Money in two currencies has no sum: the total is absent, the markets have theirs."""
    contracts = (instrument(), instrument("ETH-EUR", venue="other"))
    sources: dict[Venue, Source] = {
        VENUE: RecordedMarket(ListFeed(list(tape(3))), ObedientVenue()),
        Venue("other"): RecordedMarket(ListFeed([]), ObedientVenue()),
    }
    report = run_backtest(core_parameters(*(market(contract) for contract in contracts)), sources)
    assert report.pnl is None
    assert report.position is None
    assert [m.currency for m in report.markets] == ["USDT", "EUR"]
