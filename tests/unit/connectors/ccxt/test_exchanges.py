"""OKX, Bybit and KuCoin futures, offline: what ccxt makes of our commands, and we of what the venues say."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    Event,
    OrderAccepted,
    OrderAmended,
    OrderAmendRejected,
    OrderCanceled,
    OrderCancelRejected,
    OrderFilled,
    OrderRejected,
    RateLimited,
)
from mm_daemon.domain.orders import ClientOrderId, RejectKind, Side, TimeInForce
from tests.unit.connectors.ccxt.offline import Offline, filled_in, payload

OURS = {"clOrdId": "mm1", "ordId": "111", "orderLinkId": "mm1", "orderId": "111", "clientOid": "mm1"}


@pytest.fixture
async def okx() -> AsyncIterator[Offline]:
    offline = await Offline("okx").load()
    yield offline
    await offline.close()


@pytest.fixture
async def bybit() -> AsyncIterator[Offline]:
    offline = await Offline("bybit").load()
    yield offline
    await offline.close()


@pytest.fixture
async def kucoin() -> AsyncIterator[Offline]:
    offline = await Offline("kucoinfutures").load()
    yield offline
    await offline.close()


async def placed(offline: Offline, exchange: str, number: int = 1, ticks: int = 250_000) -> Event:
    offline.answer(filled_in(payload(exchange, "rest_place_order"), **OURS))
    (event,) = await offline.send(offline.place(number, ticks))
    return event


# Contracts


def test_amounts_are_the_venues_and_sizes_are_base_units(okx: Offline, bybit: Offline, kucoin: Offline) -> None:
    """OKX and KuCoin count contracts, Bybit base currency; a lot is worth the same in each of our configurations."""
    assert (okx.contract.instrument.lot, okx.contract.step) == (Decimal("0.0001"), Decimal("0.01"))
    assert (kucoin.contract.instrument.lot, kucoin.contract.step) == (Decimal("0.001"), Decimal(1))
    assert (bybit.contract.instrument.lot, bybit.contract.step) == (Decimal("0.001"), Decimal("0.001"))
    assert (okx.contract.amount(4), kucoin.contract.amount(4), bybit.contract.amount(4)) == ("0.04", "4", "0.004")
    assert {each.contract.instrument.base for each in (okx, bybit, kucoin)} == {"BTC"}
    assert (bybit.contract.instrument.min_notional, bybit.contract.instrument.max_lots) == (5, 100_000)


# OKX


async def test_okx_places(okx: Offline) -> None:
    """A single order goes to the batch endpoint; price and size are exact text, and the id is ours."""
    event = await placed(okx, "okx")
    assert event == OrderAccepted(okx.contract.instrument.id, 0, event.ts_local_ns, ClientOrderId(1), "111")
    method, path, (item,) = okx.sent[-1]
    assert (method, path) == ("POST", "/api/v5/trade/batch-orders")
    assert (item["ordType"], item["sz"], item["px"], item["clOrdId"], item["side"]) == (
        "post_only",
        "0.04",
        "25000",
        "mm1",
        "buy",
    )
    okx.answer(filled_in(payload("okx", "rest_place_order"), clOrdId="mm2", ordId="112"))
    await okx.send(
        okx.place(2, 250_000, side=Side.SELL, post_only=False, reduce_only=True, time_in_force=TimeInForce.IOC)
    )
    (item,) = okx.sent[-1][2]
    assert (item["ordType"], item["side"], item["reduceOnly"]) == ("ioc", "sell", True)


async def test_okx_answers_for_each_of_a_batch(okx: Offline) -> None:
    """Partly taken and wholly refused batches, each order with a reason of its own."""
    good = {"clOrdId": "mm1", "ordId": "111", "tag": "", "ts": "1695190491421", "sCode": "0", "sMsg": ""}
    bad = {"clOrdId": "mm2", "ordId": "", "tag": "", "ts": "1695190491421", "sCode": "51008", "sMsg": "no margin"}
    okx.answer({"code": "2", "msg": "", "data": [good, bad]})
    accepted, refused = await okx.send(okx.place(1, 250_000), okx.place(2, 250_000))
    assert isinstance(accepted, OrderAccepted) and accepted.client_id == 1
    assert isinstance(refused, OrderRejected) and refused.kind is RejectKind.INSUFFICIENT_MARGIN
    okx.answer(
        {"code": "1", "msg": "", "data": [{**bad, "clOrdId": "mm3"}, {**bad, "sCode": "51000", "sMsg": "price"}]}
    )
    told = await okx.send(okx.place(3, 250_000), okx.place(4, 250_000))
    assert [(each.client_id, each.kind) for each in told if isinstance(each, OrderRejected)] == [
        (3, RejectKind.INSUFFICIENT_MARGIN),
        (4, RejectKind.INVALID),
    ]


async def test_okx_amend_is_taken_by_the_reply_and_told_by_the_stream(okx: Offline) -> None:
    await placed(okx, "okx")
    okx.answer(filled_in(payload("okx", "rest_amend_order"), ordId="111"))
    assert await okx.send(okx.amend(1, 250_010)) == []
    assert okx.sent[-1] == (
        "POST",
        "/api/v5/trade/amend-order",
        {"instId": "BTC-USDT-SWAP", "ordId": "111", "newSz": "0.04", "newPx": "25001"},
    )
    (amended,) = await _okx_order(okx, state="live", px="25001.0")
    assert isinstance(amended, OrderAmended) and (amended.ticks, amended.lots) == (250_010, 4)
    (failed,) = await _okx_order(okx, state="live", px="25001.0", amendResult="-1", uTime="1654084353265")
    assert isinstance(failed, OrderAmendRejected)


async def test_okx_cancels(okx: Offline) -> None:
    """By the venue's id, and by ours where it is not known; the end is told by the stream, with what was filled."""
    await placed(okx, "okx")
    okx.answer(filled_in(payload("okx", "rest_cancel_order"), ordId="111", clOrdId="mm1"))
    assert await okx.send(okx.cancel(1)) == []
    assert okx.sent[-1][2] == {"instId": "BTC-USDT-SWAP", "ordId": "111"}
    okx.answer(filled_in(payload("okx", "rest_cancel_order"), ordId="777", clOrdId="mm7"))
    await okx.send(okx.cancel(7))
    assert okx.sent[-1][2] == {"instId": "BTC-USDT-SWAP", "clOrdId": "mm7"}
    (ended,) = await _okx_order(okx, state="canceled", accFillSz="0.01")
    assert isinstance(ended, OrderCanceled) and (ended.filled_lots, ended.final) == (1, True)
    row = {"clOrdId": "mm1", "ordId": "111", "ts": "1", "sCode": "51400", "sMsg": "Cancellation failed"}
    okx.answer({"code": "1", "msg": "All operations failed", "data": [row]})
    (refused,) = await okx.send(okx.cancel(1))
    assert isinstance(refused, OrderCancelRejected) and refused.kind is RejectKind.GONE


async def test_okx_fee_on_the_stream_has_the_sign_that_the_venue_meant(okx: Offline) -> None:
    """OKX writes what it charges as negative; ccxt turns it on REST and forgets to on the stream."""
    await placed(okx, "okx")
    await _okx_order(okx, state="live")
    message = _okx_message(
        state="partially_filled", fillPx="25000.0", fillSz="0.01", accFillSz="0.01", uTime="1654084353290"
    )
    (row,) = await okx.hear("watch_my_trades", message)
    fill = okx.kept.filled(row, 1)
    assert fill is not None and (fill.client_id, fill.lots, fill.maker, fill.fill_key) == (1, 1, True, "242589207")
    assert fill.fee == (0, 25_221_680_000_000_000)


async def test_okx_limit_is_told_and_refuses(okx: Offline) -> None:
    okx.answer({"code": "50011", "msg": "Requests too frequent.", "data": []}, 429)
    (refused,) = await okx.send(okx.place(1, 250_000))
    assert isinstance(refused, OrderRejected) and refused.kind is RejectKind.RATE_LIMITED
    assert [type(event) for event in okx.events] == [RateLimited]


async def test_okx_service_failure_is_unknown(okx: Offline) -> None:
    okx.answer({"code": "50001", "msg": "Service temporarily unavailable.", "data": []}, 503)
    (unknown,) = await okx.send(okx.place(1, 250_000))
    assert isinstance(unknown, CommandOutcomeUnknown)


async def test_okx_dead_man_is_a_countdown(okx: Offline) -> None:
    okx.answer(payload("okx", "rest_cancel_all_after"))
    await okx.requests.ask("cancel_all_orders_after", 30_000)
    assert okx.sent[-1] == ("POST", "/api/v5/trade/cancel-all-after", {"timeOut": 30})


def _okx_message(**keys: Any) -> Any:
    ours = {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "ordId": "111", "clOrdId": "mm1", "side": "buy"}
    order = {"px": "25000.0", "sz": "0.04", "accFillSz": "0", "fillSz": "0", "fillPx": "", **keys}
    return filled_in(payload("okx", "ws_order"), **ours, **order)


async def _okx_order(okx: Offline, **keys: Any) -> list[Event]:
    rows = await okx.hear("watch_orders", _okx_message(**keys))
    return [event for row in rows for event in okx.kept.reported(row, 1)]


async def test_okx_history_begins_with_the_newest(okx: Offline) -> None:
    """What lies before a full page is asked for, too."""
    from connectors.ccxt.account import AccountReader
    from mm_daemon.domain.instrument import Venue
    from mm_daemon.ports.connector import ConnectorContext

    context = ConnectorContext(
        venue=Venue("okx"), symbols=(), emit=okx.events.append, now_ns=lambda: 0, delay_s=lambda _: 0.0
    )
    reader = AccountReader(context, okx.requests, okx.prices, lambda: 0, page=2)
    whole = payload("okx", "rest_get_user_trades")
    row = {**whole["data"][0], "instId": "BTC-USDT-SWAP", "instType": "SWAP", "fillSz": "0.01", "fillPx": "25000"}
    rows = [
        {**row, "tradeId": str(n), "billId": str(n), "ts": str(1000 + n), "fillTime": str(1000 + n)} for n in range(5)
    ]
    for page in (rows[3:], rows[4:], rows[2:4], rows[0:3], rows[0:1]):
        okx.answer({**whole, "data": page[::-1]})
    found = await reader._pages("fetch_my_trades", "BTC/USDT:USDT", 1_000_000_000)
    assert sorted(each["id"] for each in found) == ["0", "1", "2", "3", "4"]
    assert "end=1003" in okx.sent[2][1] and "begin=1000" in okx.sent[2][1]


# Bybit


async def test_bybit_places_amends_and_cancels(bybit: Offline) -> None:
    await placed(bybit, "bybit")
    method, path, body = bybit.sent[-1]
    assert (method, path) == ("POST", "/v5/order/create")
    assert (body["orderLinkId"], body["timeInForce"], body["qty"], body["price"]) == (
        "mm1",
        "PostOnly",
        "0.004",
        "25000",
    )
    bybit.answer(filled_in(payload("bybit", "rest_edit_order"), **OURS))
    assert await bybit.send(bybit.amend(1, 250_010)) == []
    amend = {"symbol": "BTCUSDT", "orderId": "111", "category": "linear", "qty": "0.004", "price": "25001"}
    assert bybit.sent[-1] == ("POST", "/v5/order/amend", amend)
    bybit.answer(filled_in(payload("bybit", "rest_cancel_order"), **OURS))
    assert await bybit.send(bybit.cancel(1)) == []
    assert bybit.sent[-1][2] == {"symbol": "BTCUSDT", "orderId": "111", "category": "linear"}
    bybit.answer(filled_in(payload("bybit", "rest_cancel_order"), **OURS))
    await bybit.send(bybit.cancel(7))
    assert bybit.sent[-1][2] == {"symbol": "BTCUSDT", "category": "linear", "orderLinkId": "mm7"}


async def test_bybit_answers_for_each_of_a_batch(bybit: Offline) -> None:
    """Codes stand apart from the orders, by their place."""
    answer = payload("bybit", "rest_place_multiple_orders")
    answer["result"]["list"][0] |= {"symbol": "BTCUSDT", "orderLinkId": "mm1", "orderId": "111"}
    answer["result"]["list"][1] |= {"symbol": "BTCUSDT", "orderLinkId": "", "orderId": ""}
    answer["retExtInfo"]["list"][1] = {"code": 110007, "msg": "ab not enough for new order"}
    bybit.answer(answer)
    accepted, refused = await bybit.send(bybit.place(1, 250_000), bybit.place(2, 250_000))
    assert isinstance(accepted, OrderAccepted) and accepted.venue_order_id == "111"
    assert isinstance(refused, OrderRejected) and refused.kind is RejectKind.INSUFFICIENT_MARGIN


@pytest.mark.parametrize(
    ("code", "kind"),
    [(110001, RejectKind.GONE), (110017, RejectKind.REDUCE_ONLY), (10006, RejectKind.RATE_LIMITED)],
)
async def test_bybit_refusals(bybit: Offline, code: int, kind: RejectKind) -> None:
    bybit.answer({"retCode": code, "retMsg": "words", "result": {}, "retExtInfo": {}, "time": 1})
    (refused,) = await bybit.send(bybit.place(1, 250_000))
    assert isinstance(refused, OrderRejected) and refused.kind is kind


async def test_bybit_server_error_is_unknown(bybit: Offline) -> None:
    bybit.answer({"retCode": 10016, "retMsg": "Server error.", "result": {}, "retExtInfo": {}, "time": 1})
    (unknown,) = await bybit.send(bybit.place(1, 250_000))
    assert isinstance(unknown, CommandOutcomeUnknown)


async def test_bybit_stream_tells_orders_and_fills(bybit: Offline) -> None:
    await placed(bybit, "bybit")
    ours = {**OURS, "symbol": "BTCUSDT", "category": "linear", "side": "Buy"}
    order = {"price": "25001.0", "qty": "0.004", "cumExecQty": "0", "orderType": "Limit", "timeInForce": "PostOnly"}
    told: list[Event] = []
    for status, filled in (("New", "0"), ("PartiallyFilledCanceled", "0.001")):
        message = filled_in(payload("bybit", "ws_order"), **ours, **order, orderStatus=status)
        message["data"][0]["cumExecQty"] = filled
        rows = await bybit.hear("watch_orders", message)
        for row in rows:
            told += bybit.kept.reported(row, 1)
    assert [type(event) for event in told] == [OrderAmended, OrderCanceled]
    assert isinstance(told[1], OrderCanceled) and told[1].filled_lots == 1
    message = filled_in(payload("bybit", "ws_user_trades"), **ours, execPrice="25001.0", execQty="0.001")
    (row,) = await bybit.hear("watch_my_trades", message)
    fill = bybit.kept.filled(row, 1)
    assert isinstance(fill, OrderFilled) and (fill.client_id, fill.ticks, fill.lots) == (1, 250_010, 1)
    assert fill.fee == (0, 5_061_000_000_000_000)


def test_bybit_disconnect_protection_is_no_dead_mans_switch(bybit: Offline) -> None:
    from connectors.ccxt.abilities import capabilities

    assert bybit.exchange.has["cancelAllOrdersAfter"]
    assert capabilities(bybit.settings, bybit.dialect, bybit.exchange.has).dead_man_floor_ms is None


# KuCoin


async def test_kucoin_places_and_cancels(kucoin: Offline) -> None:
    """Whole contracts, and the leverage that the configuration says instead of ccxt's 1."""
    await placed(kucoin, "kucoin")
    method, path, body = kucoin.sent[-1]
    assert (method, path) == ("POST", "/api/v1/orders")
    assert (body["clientOid"], body["size"], body["price"], body["leverage"], body["postOnly"]) == (
        "mm1",
        4,
        "2500",
        3,
        True,
    )
    kucoin.answer(filled_in(payload("kucoin", "rest_cancel_order"), cancelledOrderIds=["111"]))
    assert await kucoin.send(kucoin.cancel(1)) == []
    assert kucoin.sent[-1][:2] == ("DELETE", "/api/v1/orders/111")
    kucoin.answer(filled_in(payload("kucoin", "rest_cancel_order_by_client_order_id"), clientOid="mm7"))
    await kucoin.send(kucoin.cancel(7))
    assert kucoin.sent[-1][1] == "/api/v1/orders/client-order/mm7?symbol=XBTUSDTM"


async def test_kucoin_answers_for_each_of_a_batch(kucoin: Offline) -> None:
    answer = payload("kucoin", "rest_place_multiple_orders")
    answer["data"][0] |= {"orderId": "111", "clientOid": "mm1", "symbol": "XBTUSDTM"}
    answer["data"][1] |= {"orderId": None, "clientOid": "mm2", "symbol": "XBTUSDTM", "code": "300003", "msg": "margin"}
    kucoin.answer(answer)
    accepted, refused = await kucoin.send(kucoin.place(1, 250_000), kucoin.place(2, 250_000))
    assert isinstance(accepted, OrderAccepted) and accepted.venue_order_id == "111"
    assert isinstance(refused, OrderRejected) and refused.kind is RejectKind.INSUFFICIENT_MARGIN


async def test_kucoin_stream_tells_orders_and_fills(kucoin: Offline) -> None:
    await placed(kucoin, "kucoin")
    data = {"symbol": "XBTUSDTM", "orderId": "111", "clientOid": "mm1", "price": "2500", "size": "4"}
    message = filled_in(payload("kucoin", "ws_order"), **data, filledSize="1", remainSize="3")
    message["topic"] = "/contractMarket/tradeOrders"
    (row,) = await kucoin.hear("watch_my_trades", message)
    assert kucoin.kept.filled(row, 1) is None, "a report of an order is no trade, although ccxt says so"
    message["data"] |= {"type": "match", "matchSize": "1", "matchPrice": "2500", "tradeId": "t1"}
    (row,) = await kucoin.hear("watch_my_trades", message)
    fill = kucoin.kept.filled(row, 1)
    assert isinstance(fill, OrderFilled)
    assert (fill.client_id, fill.ticks, fill.lots, fill.maker, fill.fill_key) == (1, 250_000, 1, True, "t1")
    message["data"] |= {"type": "canceled", "status": "done", "ts": message["data"]["ts"] + 10_000_000}
    rows = await kucoin.hear("watch_orders", message)
    (ended,) = [event for row in rows for event in kucoin.kept.reported(row, 1)]
    assert isinstance(ended, OrderCanceled) and ended.filled_lots == 1
