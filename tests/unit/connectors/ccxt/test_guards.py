"""The doubts about ccxt's books, its exceptions, and its contracts."""

import asyncio
from decimal import Decimal
from typing import Any

import ccxt
import ccxt.pro as ccxt_pro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.ccxt.books import BookGuard, look_after
from connectors.ccxt.contracts import Contract, contract, find_market
from connectors.ccxt.dialects import dialect
from connectors.ccxt.outcomes import after
from connectors.ccxt.settings import CcxtSettings
from connectors.ccxt.streams import ProStreams, from_ccxt
from mm_daemon.domain.errors import ConfigError, GridError
from mm_daemon.domain.events import BookInvalidated, BookSnapshot, InvalidCause, PublicTrade
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import RejectKind, Side
from mm_daemon.domain.rng import Rng

MARKET: dict[str, Any] = {
    "id": "BTCUSDT",
    "symbol": "BTC/USDT:USDT",
    "base": "BTC",
    "quote": "USDT",
    "settle": "USDT",
    "contract": True,
    "linear": True,
    "active": True,
    "contractSize": "0.01",
    "precision": {"price": "0.1", "amount": "1"},
    "limits": {"amount": {"min": "2", "max": "1000"}, "cost": {"min": "5"}},
    "maker": "0.0002",
    "taker": "0.0005",
}
VENUE = Venue("v")


class Bench:
    """A guard with a clock of its own."""

    def __init__(self, **settings: Any) -> None:
        self.now_ns = 1_000_000_000
        self.guard = BookGuard(
            contract(MARKET, "BTCUSDT", VENUE), CcxtSettings(exchange="x", **settings), lambda: self.now_ns
        )

    def book(self, bid: float = 100.0, ask: float = 100.1, size: float = 3.0) -> Any:
        return self.guard.on_book({"bids": [[bid, size], [bid - 1, size]], "asks": [[ask, size]], "timestamp": 1})


def test_book_is_told_whole_and_once() -> None:
    """Sizes are lots of whole contracts; the same book again is no news."""
    bench = Bench()
    (snapshot,) = bench.book()
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.bids, snapshot.asks) == (((1000, 3), (990, 3)), ((1001, 3),))
    assert bench.book() == ()
    assert len(bench.book(size=4.0)) == 1


def test_crossed_book_is_void_until_a_good_one() -> None:
    bench = Bench()
    bench.book()
    (void,) = bench.book(bid=101.0)
    assert isinstance(void, BookInvalidated) and void.cause is InvalidCause.CROSSED
    assert bench.book(bid=101.0) == () and bench.guard.problems["crossed"] == 2
    assert isinstance(bench.book()[0], BookSnapshot)


def test_book_that_nothing_is_heard_of_is_void() -> None:
    bench = Bench(book_max_age_ms=1000)
    bench.book()
    bench.now_ns += 900_000_000
    bench.book()  # the same again is a sign of life
    bench.now_ns += 900_000_000
    assert bench.guard.look() == ()
    bench.now_ns += 200_000_000
    assert isinstance(bench.guard.look()[0], BookInvalidated) and bench.guard.problems["too_old"] == 1
    assert bench.guard.look() == ()


def test_book_that_is_not_the_exchanges_is_found_by_comparing() -> None:
    """Once may be a moment of the market; twice is a drift."""
    bench = Bench()
    bench.book()
    same = {"bids": [[100.0, 9.0], [99.0, 9.0]], "asks": [[100.1, 9.0]]}
    other = {"bids": [[90.0, 9.0], [89.0, 9.0]], "asks": [[90.1, 9.0]]}
    assert bench.guard.compare(same)
    assert bench.guard.compare(other) and bench.guard.compare(same)
    assert bench.guard.compare(other) and not bench.guard.compare(other)
    assert bench.guard.problems["drift"] == 3


async def test_book_that_has_grown_too_large_is_begun_anew() -> None:
    """ccxt keeps every level that the venue once named; ours is cut."""
    bench = Bench(book_levels=2)
    bids = [[float(price), 1.0] for price in range(6000, 0, -1)]
    (snapshot,) = bench.guard.on_book({"bids": bids, "asks": [[6001.0, 1.0]]})
    assert isinstance(snapshot, BookSnapshot) and len(snapshot.bids) == 2
    said: asyncio.Queue[str] = asyncio.Queue()

    async def no_book(_unified: str) -> None:
        return None

    looking = asyncio.create_task(
        look_after(bench.guard, lambda _events: None, no_book, said.put_nowait, every_s=60.0, look_s=0.001)
    )
    async with asyncio.timeout(5):
        assert await said.get() == "grown"
    looking.cancel()
    assert bench.guard.problems["grown"] == 1


def test_trades_are_told_once_and_bad_ones_counted() -> None:
    bench = Bench()
    good = {"id": "7", "side": "buy", "price": "100.1", "amount": "3", "timestamp": 5}
    (trade,) = bench.guard.on_trades([good, good])
    assert isinstance(trade, PublicTrade)
    assert (trade.aggressor, trade.ticks, trade.lots, trade.trade_id) == (Side.BUY, 1001, 3, 7)
    bad = [{**good, "id": "8", "price": "nan"}, {**good, "id": "9", "side": None}, {**good, "id": "a", "amount": "0"}]
    assert bench.guard.on_trades(bad) == []
    assert (bench.guard.problems["bad_number"], bench.guard.problems["bad_trade"]) == (1, 2)


@given(
    st.lists(st.tuples(st.floats(), st.floats()), max_size=4), st.lists(st.tuples(st.floats(), st.floats()), max_size=4)
)
def test_no_book_raises_or_crosses(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
    bench = Bench()
    bench.book()
    for event in bench.guard.on_book({"bids": bids, "asks": asks}):
        if isinstance(event, BookSnapshot):
            assert event.bids[0][0] < event.asks[0][0]


# Contracts


def test_contract_keeps_every_digit() -> None:
    made = contract(MARKET, "BTCUSDT", VENUE, {"maker": "-0.00005", "taker": None})
    assert (made.instrument.tick, made.instrument.lot, made.step) == (Decimal("0.1"), Decimal("0.01"), Decimal(1))
    assert (made.instrument.min_lots, made.instrument.max_lots, made.instrument.min_notional) == (2, 1000, 5)
    assert (made.instrument.maker_fee_ppm, made.instrument.taker_fee_ppm) == (-50, 0)


@given(st.integers(1, 10**9), st.integers(0, 12), st.integers(1, 10**6))
def test_amounts_and_prices_survive_the_way_to_text_and_back(lots: int, decimals: int, ticks: int) -> None:
    step = Decimal(1).scaleb(-decimals)
    precision = {"price": f"{step:f}", "amount": f"{step:f}"}
    made: Contract = contract({**MARKET, "precision": precision, "limits": {}}, "X", VENUE)
    assert made.lots(made.amount(lots)) == lots and made.ticks(made.price(ticks)) == ticks
    assert "e" not in made.amount(lots).lower() + made.price(ticks).lower()


@pytest.mark.parametrize("step", ["0", "-1", "nan", "x", None])
def test_step_that_is_none_is_refused(step: str | None) -> None:
    with pytest.raises(GridError):
        contract({**MARKET, "precision": {"price": step, "amount": "1"}}, "X", VENUE)


def test_market_is_found_by_either_name_and_only_where_it_is_one() -> None:
    spot = {**MARKET, "symbol": "BTC/USDT", "contract": False, "linear": None}
    inverse = {**MARKET, "id": "BTCUSD", "symbol": "BTC/USD:BTC", "linear": False}
    dated = {**MARKET, "symbol": "BTC/USDT:USDT-270326"}
    assert find_market([spot, MARKET], "BTCUSDT", VENUE) is MARKET
    assert find_market([spot, MARKET], "BTC/USDT:USDT", VENUE) is MARKET
    with pytest.raises(ConfigError, match="several contracts"):
        find_market([MARKET, dated], "BTCUSDT", VENUE)
    with pytest.raises(ConfigError, match="no linear perpetual"):
        find_market([inverse], "BTCUSD", VENUE)


# Outcomes


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class ClientConnectorError(Exception):
    """By the name of aiohttp's."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ccxt.RequestTimeout("binanceusdm POST https://x"), None),
        (ccxt.ExchangeNotAvailable("binanceusdm POST https://x 503"), None),
        (ccxt.NetworkError("reset"), None),
        (ccxt.OperationFailed('binanceusdm {"code":-1000,"msg":"unknown"}'), None),
        (ccxt.ExchangeError('binanceusdm {"code":-1007,"msg":"Timeout waiting for response"}'), None),
        (ccxt.BadResponse("not json"), None),
        (ccxt.ExchangeError("something"), None),
        (ValueError("a bug of ccxt"), None),
        (TimeoutError(), None),
        (ccxt.RateLimitExceeded("x"), RejectKind.RATE_LIMITED),
        (ccxt.DDoSProtection('binanceusdm {"code":-1003,"msg":"banned"}'), RejectKind.RATE_LIMITED),
        (ccxt.ExchangeError('binanceusdm {"code":-1008,"msg":"throttled"}'), RejectKind.RATE_LIMITED),
        (ccxt.InvalidOrder('binanceusdm {"code":-5022,"msg":"maker"}'), RejectKind.POST_ONLY_CROSS),
        (ccxt.ExchangeError('binanceusdm {"code":-2019,"msg":"margin"}'), RejectKind.INSUFFICIENT_MARGIN),
        (ccxt.ExchangeError('binanceusdm {"code":-2022,"msg":"reduce"}'), RejectKind.REDUCE_ONLY),
        (ccxt.OrderNotFound('binanceusdm {"code":-2011,"msg":"gone"}'), RejectKind.GONE),
        (ccxt.ExchangeError('binanceusdm {"code":-9999,"msg":"a new one"}'), RejectKind.OTHER),
        (ccxt.InvalidNonce('binanceusdm {"code":-1021,"msg":"time"}'), RejectKind.OTHER),
        (ccxt.InsufficientFunds("x"), RejectKind.INSUFFICIENT_MARGIN),
        (ccxt.ArgumentsRequired("x"), RejectKind.INVALID),
        (_caused(ccxt.ExchangeNotAvailable("x"), ClientConnectorError("refused")), RejectKind.OTHER),
    ],
)
def test_what_an_exception_leaves_us_knowing(error: Exception, kind: RejectKind | None) -> None:
    """Unknown wherever the venue may have done it; a refusal only where it says that it did not, or never heard."""
    assert after(error, dialect("binanceusdm")).kind is kind


def test_no_change_is_success_and_a_refused_time_is_noticed() -> None:
    known = dialect("binanceusdm")
    assert after(ccxt.ExchangeError('binanceusdm {"code":-5027,"msg":"No need"}'), known).no_change
    assert after(ccxt.InvalidNonce('binanceusdm {"code":-1021,"msg":"time"}'), known).clock


class _Failing:
    """An exchange whose streams end as they are told to."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    async def watch(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error", [TypeError("'<' not supported"), ccxt.NetworkError("reset"), KeyError("data"), asyncio.CancelledError()]
)
async def test_whatever_ccxt_raises_of_a_stream_ends_that_instance_alone(error: BaseException) -> None:
    """Also its own bugs, and its cancelling of what waits: counted, told as down, and built anew."""
    instances, downs = 0, asyncio.Queue[str]()

    class Instances:
        def build(self) -> Any:
            nonlocal instances
            instances += 1
            made = ccxt_pro.binanceusdm({"timeout_on_exit": 0})
            made.watch_it = _Failing(error).watch
            return made

        def open(self, exchange: Any) -> None:
            exchange.open()

    shared = ccxt_pro.binanceusdm()
    shared.set_markets([])
    streams = ProStreams(
        Instances(),  # type: ignore[arg-type]
        lambda: shared,
        [lambda exchange: from_ccxt(exchange.watch_it())],
        rng=Rng(1),
        on_up=lambda: None,
        on_down=downs.put_nowait,
    )
    running = asyncio.create_task(streams.run())
    try:
        async with asyncio.timeout(5):
            assert await downs.get() and await downs.get()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert instances >= 2 and streams.ends["failed"] >= 2
