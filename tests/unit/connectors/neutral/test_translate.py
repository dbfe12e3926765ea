"""The neutral venue's frames as events, and its words read by both sides, which share no translator."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.neutral import orders, wire
from connectors.neutral.translate import NeutralTranslator
from connectors.simulators.neutral import messages as m
from mm_daemon.domain.events import (
    BookDelta,
    BookInvalidated,
    BookSnapshot,
    FundingPaid,
    FundingUpdate,
    InvalidCause,
    MarkPriceUpdate,
    OrderAccepted,
    OrderAmended,
    OrderCanceled,
    OrderFilled,
    PublicTrade,
)
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.testkit import builders as b

BTC = b.instrument(venue="neutral")
ORDER = m.OrderReport(
    what="accepted",
    client_id=7,
    order_id="v7",
    symbol="BTC-USDT",
    side="buy",
    price="60000.1",
    size="0.010",
    filled="0.002",
    updated_ns=100,
)
FILL = m.FillRow(
    number=1,
    fill_id="7-1",
    client_id=7,
    order_id="v7",
    symbol="BTC-USDT",
    side="buy",
    price="60000.1",
    size="0.002",
    maker=True,
    fee="0.0024",
    time_ns=120,
)


def book(update: int, *, price: str = "60000.1", symbol: str = "BTC-USDT") -> bytes:
    return msgspec.json.encode(
        m.BookMessage(symbol=symbol, update=update, time_ns=update, bids=[(price, "0.005")], asks=[("60000.4", "0")])
    )


def whole_book(update: int) -> bytes:
    levels: list[m.Level] = [("60000.1", "0.004")]
    return msgspec.json.encode(
        m.Book(symbol="BTC-USDT", update=update, time_ns=1, bids=levels, asks=[("60000.5", "1")])
    )


def report(**changes: Any) -> bytes:
    return msgspec.json.encode(m.OrderMessage(order=msgspec.structs.replace(ORDER, **changes)))


@pytest.fixture
def translator() -> NeutralTranslator:
    translator = NeutralTranslator((BTC,))
    translator.begin()
    return translator


def test_book_starts_when_an_update_continues_the_snapshot(translator: NeutralTranslator) -> None:
    """Updates wait for a snapshot; those it contains already are left out; all carry the present time."""
    assert list(translator.wants_book) == ["BTC-USDT"]
    assert [translator.translate(book(update), update) for update in (4, 5, 6)] == [(), (), ()]
    first, *rest = translator.take_book(whole_book(5), 50)
    assert isinstance(first, BookSnapshot)
    assert (first.bids, first.update_id, first.ts_local_ns) == (((600001, 4),), 5, 50)
    assert [(type(event), event.ts_local_ns) for event in rest] == [(BookDelta, 50)]
    (delta,) = translator.translate(book(7), 60)
    assert isinstance(delta, BookDelta)
    assert (delta.bids, delta.asks) == (((600001, 5),), ((600004, 0),))
    assert not translator.wants_book


def test_gap_voids_the_book_and_asks_for_another(translator: NeutralTranslator) -> None:
    """Update 9 behind 7: invalid until a snapshot that 9 continues; one from before the gap is no help."""
    translator.translate(book(6), 1)
    translator.take_book(whole_book(5), 2)
    translator.translate(book(7), 3)
    (gap,) = translator.translate(book(9), 4)
    assert isinstance(gap, BookInvalidated)
    assert gap.cause is InvalidCause.GAP
    assert translator.take_book(whole_book(7), 5) == ()
    assert list(translator.wants_book) == ["BTC-USDT"]
    assert translator.take_book(whole_book(8), 6)
    assert not translator.wants_book


def test_update_off_the_grid_voids_the_book(translator: NeutralTranslator) -> None:
    """A price between two ticks is missing from the book, so the book is void."""
    translator.translate(book(6), 1)
    translator.take_book(whole_book(5), 2)
    (lost,) = translator.translate(book(7, price="60000.15"), 3)
    assert isinstance(lost, BookInvalidated)
    assert lost.cause is InvalidCause.MALFORMED
    assert translator.problems == {"bad_number": 1}


def test_new_link_begins_with_nothing(translator: NeutralTranslator) -> None:
    """What was held or known on the link before is void."""
    translator.translate(book(6), 1)
    translator.take_book(whole_book(5), 2)
    translator.begin()
    assert list(translator.wants_book) == ["BTC-USDT"]
    assert translator.translate(book(7), 3) == ()


def test_market_messages_become_events(translator: NeutralTranslator) -> None:
    """Trades once each, marks in half ticks, funding in 1e-12."""
    trade = msgspec.json.encode(
        m.TradeMessage(symbol="BTC-USDT", trade=3, taker="sell", price="60000.1", size="0.002", time_ns=9)
    )
    assert translator.translate(trade, 10) == (PublicTrade(BTC.id, 9, 10, Side.SELL, 600001, 2, 3),)
    assert translator.translate(trade, 11) == ()
    mark = msgspec.json.encode(m.MarkMessage(symbol="BTC-USDT", price="60000.15", time_ns=9))
    assert translator.translate(mark, 10) == (MarkPriceUpdate(BTC.id, 9, 10, 1200003),)
    funding = msgspec.json.encode(
        m.FundingMessage(symbol="BTC-USDT", rate="0.0000125", due_ns=77, period_ns=88, time_ns=9)
    )
    assert translator.translate(funding, 10) == (FundingUpdate(BTC.id, 9, 10, 12_500_000, 77, 88),)


def test_account_messages_become_events(translator: NeutralTranslator) -> None:
    """Orders, fills and payments, exactly."""
    cid = ClientOrderId(7)
    assert translator.translate(report(), 9) == [OrderAccepted(BTC.id, 100, 9, cid, "v7")]
    accepted, amended = translator.translate(report(what="amended", price="60000.2", updated_ns=101), 9)
    assert (type(accepted), amended) == (OrderAccepted, OrderAmended(BTC.id, 101, 9, cid, "v7", 600002, 10))
    assert translator.translate(report(what="canceled", updated_ns=102), 9) == [
        OrderCanceled(BTC.id, 102, 9, cid, "v7", filled_lots=2)
    ]
    fill = msgspec.json.encode(m.FillMessage(fill=FILL))
    fee = (0, 2_400_000_000_000_000)
    expected = OrderFilled(BTC.id, 120, 9, cid, "v7", "7-1", Side.BUY, 600001, 2, True, fee)
    assert translator.translate(fill, 9) == (expected,)
    row = m.PaymentRow(payment_id="p", symbol="BTC-USDT", amount="-0.5", time_ns=8)
    paid = translator.translate(msgspec.json.encode(m.PaymentMessage(payment=row)), 9)
    assert paid == (FundingPaid(BTC.id, 8, 9, (-1, 5 * 10**17), "p"),)


def test_report_that_is_no_news_is_not_told(translator: NeutralTranslator) -> None:
    """The reply told of the amend; the report of the time before it, and the same once more, change nothing. A question
    gets its answer all the same."""
    translator.translate(report(what="amended", updated_ns=200), 9)
    assert translator.translate(report(updated_ns=100), 9) == []
    assert translator.translate(report(what="amended", updated_ns=200), 9) == []
    result = msgspec.json.decode(
        msgspec.json.encode(m.Result(client_id=7, order=msgspec.structs.replace(ORDER, updated_ns=200))),
        type=wire.Result,
    )
    assert orders.answered(result, translator.symbols, translator.revisions, 10)


def test_other_symbols_are_none_of_ours(translator: NeutralTranslator) -> None:
    """Skipped without a problem."""
    assert translator.translate(book(1, symbol="ETH-USDT"), 1) == ()
    assert translator.translate(report(symbol="ETH-USDT"), 1) == []
    assert not translator.problems


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"channel":"weather"}',
        b'{"channel":"book"}',
        b'{"channel":"book","symbol":"BTC-USDT","update":-1,"time_ns":1,"bids":[],"asks":[]}',
        b'{"channel":"book","symbol":"BTC-USDT","update":1e400,"time_ns":1,"bids":[],"asks":[]}',
        b"[" * 100_000,
    ],
)
def test_bytes_that_mean_nothing_are_counted(translator: NeutralTranslator, frame: bytes) -> None:
    """Malformed, and nothing else happens."""
    assert translator.translate(frame, 1) == ()
    assert translator.problems == {"malformed": 1}


_TEXTS = st.one_of(
    st.text("0123456789.eE+-x", max_size=6), st.sampled_from(["60000.1", "0.001", "nan", "inf", "-1", "1e999", "0"])
)
_VALUES = st.one_of(_TEXTS, st.integers(-(2**70), 2**70), st.none(), st.booleans(), st.lists(_TEXTS, max_size=3))


@given(
    channel=st.sampled_from(["book", "trade", "mark", "funding", "order", "fill", "payment", "login", "error"]),
    changes=st.dictionaries(
        st.sampled_from(["symbol", "update", "time_ns", "bids", "asks", "price", "size", "rate", "taker", "trade"]),
        _VALUES,
    ),
    inner=st.dictionaries(st.sampled_from(["price", "size", "filled", "fee", "what", "time_ns"]), _VALUES),
)
def test_no_frame_raises(channel: str, changes: dict[str, Any], inner: dict[str, Any]) -> None:
    """Whatever stands in a message, it is understood, or counted and dropped (R16)."""
    translator = NeutralTranslator((BTC,))
    translator.begin()
    frame: dict[str, Any] = {
        "channel": channel,
        "symbol": "BTC-USDT",
        "update": 1,
        "time_ns": 1,
        "bids": [["60000.1", "1"]],
        "asks": [],
        "trade": 1,
        "taker": "buy",
        "price": "1",
        "size": "1",
        "rate": "0",
        "due_ns": 1,
        "period_ns": 1,
        **changes,
        "order": {**msgspec.to_builtins(ORDER), **inner},
        "fill": {**msgspec.to_builtins(FILL), **inner},
        "payment": {"payment_id": "p", "symbol": "BTC-USDT", "amount": "1", "time_ns": 1, **inner},
        "error": {"code": "x"},
    }
    translator.translate(json.dumps(frame).encode(), 1)
    translator.take_book(json.dumps(frame).encode(), 2)


def test_contract_is_read_exactly() -> None:
    """Steps as decimals, sizes in lots."""
    row = wire.Instrument("BTC-USDT", "BTC", "USDT", "0.1", "0.001", "0.002", "5", "10", -20, 350, True)
    made = orders.instrument(row, Venue("neutral"))
    assert (made.min_lots, made.max_lots, made.maker_fee_ppm) == (2, 5000, -20)
    assert made.price(600001) * 10 == 600001


def test_fee_below_an_atto_is_rounded_against_us() -> None:
    """Paid fees up, rebates and receipts down."""
    assert orders.fee("0.0000000000000000015") == (0, 2)
    assert orders.fee("-0.0000000000000000015") == (-1, 10**18 - 1)


@pytest.mark.parametrize(("header", "meaning"), [("12/300;850", (12, 300, 850)), ("", None), ("a/b;c", None)])
def test_limits_header(header: str, meaning: tuple[int, int, int] | None) -> None:
    """Used, capacity, milliseconds to the next window."""
    assert orders.limit(header) == meaning
