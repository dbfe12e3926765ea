"""Simulated Binance USD-M, proven by the client that it is for: ccxt and ccxt.pro as they are, but for their URLs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import ccxt
import msgspec
import pytest

from connectors.simulators.faults import FaultKind
from tests.binance_usdm import SYMBOL, UNIFIED, binance_venue, ccxt_client
from tests.neutral import QUIET
from tests.serving import Control

FUNDED = msgspec.structs.replace(QUIET, funding_period_s=10, funding_mean_bps=5.0)


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with binance_venue() as control:
        yield control


@pytest.fixture
async def client(control: Control) -> AsyncIterator[Any]:
    client = ccxt_client(control.url)
    await client.load_markets()
    yield client
    await client.close()


async def best_bid(client: Any) -> float:
    return float((await client.fetch_order_book(UNIFIED))["bids"][0][0])


async def far_bid(client: Any) -> str:
    return f"{await best_bid(client) * 0.99:.1f}"


async def placed(client: Any, name: str, price: str, size: str = "0.01") -> Any:
    return await client.create_order(UNIFIED, "limit", "buy", size, price, {"clientOrderId": name, "postOnly": True})


async def test_reads_of_the_market(client: Any) -> None:
    market = client.market(UNIFIED)
    assert (market["id"], market["precision"], market["linear"]) == (SYMBOL, market["precision"], True)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.0001)
    assert market["limits"]["cost"]["min"] == 5
    book = await client.fetch_order_book(UNIFIED, 5)
    assert len(book["bids"]) == len(book["asks"]) == 5 and book["bids"][0][0] < book["asks"][0][0]
    best = await client.fetch_bids_asks([UNIFIED])
    assert float(best[UNIFIED]["bid"]) <= float(best[UNIFIED]["ask"])
    assert abs(await client.fetch_time() - client.milliseconds()) < 5000
    assert (await client.fetch_funding_rate(UNIFIED))["markPrice"] > 0
    assert (await client.fetch_trading_fee(UNIFIED))["maker"] == pytest.approx(0.00002)


async def test_life_of_an_order(client: Any, control: Control) -> None:
    """Placed, moved, partly filled, shown, cancelled: each in the venue's words, and by the account's stream."""
    price = await far_bid(client)
    orders, fills = asyncio.ensure_future(client.watch_orders()), asyncio.ensure_future(client.watch_my_trades())
    for _ in range(500):
        if any("/private" in url and each.connected.done() for url, each in client.clients.items()):
            break
        await asyncio.sleep(0.01)
    order = await placed(client, "life-1", price)
    assert (order["status"], order["clientOrderId"], order["timeInForce"]) == ("open", "life-1", "PO")
    (told,) = await orders
    assert (told["status"], told["id"]) == ("open", order["id"])
    moved = await client.edit_order(order["id"], UNIFIED, "limit", "buy", "0.02", price)
    assert (moved["amount"], moved["id"]) == (0.02, order["id"])
    await control.fill("life-1", "0.005")
    (fill,) = await fills
    assert (fill["order"], fill["amount"], fill["takerOrMaker"]) == (order["id"], 0.005, "maker")
    assert fill["fee"]["currency"] == "USDT"
    asked = await client.fetch_order(None, UNIFIED, {"origClientOrderId": "life-1"})
    assert (asked["status"], asked["filled"], asked["remaining"]) == ("open", 0.005, 0.015)
    (shown,) = await client.fetch_open_orders(UNIFIED)
    assert shown["id"] == order["id"]
    (position,) = await client.fetch_positions([UNIFIED])
    assert (position["contracts"], position["side"]) == (0.005, "long")
    (trade,) = await client.fetch_my_trades(UNIFIED, since=client.milliseconds() - 60_000)
    assert (trade["id"], trade["fee"]["cost"]) == (fill["id"], fill["fee"]["cost"])
    canceled = await client.cancel_order(order["id"], UNIFIED)
    assert (canceled["status"], canceled["filled"]) == ("canceled", 0.005)
    assert await client.fetch_open_orders(UNIFIED) == []
    balance = await client.fetch_balance()
    assert balance["USDT"]["total"] == pytest.approx(10_000 - trade["fee"]["cost"], abs=1e-6)


async def test_batches_answer_for_each_order(client: Any) -> None:
    price, bid = await far_bid(client), await best_bid(client)
    params = {"postOnly": True}
    rows = [("b-1", price), ("b-2", f"{bid + 500:.1f}"), ("b-3", price)]
    orders = [
        {"symbol": UNIFIED, "type": "limit", "side": "buy", "amount": "0.01", "price": each}
        | {"params": {**params, "clientOrderId": name}}
        for name, each in rows
    ]
    answers = await client.create_orders(orders)
    assert sorted((each["clientOrderId"], each["status"]) for each in answers if each["id"]) == [
        ("b-1", "open"),
        ("b-3", "open"),
    ]
    assert [each["info"]["code"] for each in answers if not each["id"]] == [-5022]
    ids = [each["id"] for each in answers if each["id"]]
    moved = await client.edit_orders(
        [
            {"id": id_, "symbol": UNIFIED, "type": "limit", "side": "buy", "amount": "0.02", "price": price}
            for id_ in ids
        ]
    )
    assert [each["amount"] for each in moved] == [0.02, 0.02]
    gone = await client.cancel_orders(ids, UNIFIED)
    assert {each["status"] for each in gone} == {"canceled"}
    with pytest.raises(ccxt.ExchangeError, match="-4082"):
        await client.create_orders([{**orders[0], "params": params}] * 6)


@pytest.mark.parametrize(
    ("price", "size", "params", "error", "code"),
    [
        ("+500", "0.01", {"postOnly": True}, ccxt.InvalidOrder, "-5022"),
        ("-1", "0.01", {"reduceOnly": True}, ccxt.ExchangeError, "-2022"),
        ("-55000", "0.0001", {}, ccxt.ExchangeError, "-4164"),
        ("-1", "0.01", {"clientOrderId": "no spaces here"}, ccxt.BadRequest, "-4015"),
        ("-1", "90", {}, ccxt.ExchangeError, "-2019"),
        ("+20000", "0.01", {}, ccxt.BadRequest, "-4016"),
        ("-1", "0.01", {"timeInForce": "FOK"}, ccxt.BadRequest, "-1115"),
    ],
)
async def test_refusals(
    client: Any, price: str, size: str, params: dict[str, Any], error: type[Exception], code: str
) -> None:
    at = f"{await best_bid(client) + float(price):.1f}"
    with pytest.raises(error, match=code):
        await client.create_order(UNIFIED, "limit", "buy", size, at, params)


async def test_client_ids_are_unique_among_open_orders(client: Any) -> None:
    price = await far_bid(client)
    first = await placed(client, "twice", price)
    with pytest.raises(ccxt.ExchangeError, match="-4116"):
        await placed(client, "twice", price)
    await client.cancel_order(first["id"], UNIFIED)
    again = await placed(client, "twice", price)
    assert again["id"] != first["id"]


async def test_rules_of_modification(client: Any, control: Control) -> None:
    """No change is refused; a total not above the filled part, or a price that would take, cancels the order."""
    price, bid = await far_bid(client), await best_bid(client)
    order = await placed(client, "m-1", price)
    with pytest.raises(ccxt.ExchangeError, match="-5027"):
        await client.edit_order(order["id"], UNIFIED, "limit", "buy", "0.01", price)
    crossing = await client.edit_order(order["id"], UNIFIED, "limit", "buy", "0.01", f"{bid + 500:.1f}")
    assert crossing["status"] == "canceled"
    order = await placed(client, "m-2", price)
    await control.fill("m-2", "0.005")
    small = await client.edit_order(order["id"], UNIFIED, "limit", "buy", "0.005", price)
    assert (small["status"], small["filled"]) == ("canceled", 0.005)
    with pytest.raises(ccxt.OrderNotFound, match="-2011"):
        await client.edit_order(order["id"], UNIFIED, "limit", "buy", "0.02", price)
    with pytest.raises(ccxt.OrderNotFound, match="-2013"):
        await client.fetch_order("1", UNIFIED)


async def test_market_order_takes_and_reduces(client: Any) -> None:
    bought = await client.create_order(UNIFIED, "market", "buy", "0.01")
    assert (bought["status"], bought["filled"]) == ("closed", 0.01)
    sold = await client.create_order(UNIFIED, "market", "sell", "0.01", None, {"reduceOnly": True})
    assert sold["status"] == "closed"
    assert [each["contracts"] for each in await client.fetch_positions([UNIFIED])] in ([], [0])
    fills = await client.fetch_my_trades(UNIFIED)
    assert {each["takerOrMaker"] for each in fills} == {"taker"}


async def test_countdown_cancels_unless_it_is_told_again(client: Any) -> None:
    await placed(client, "c-1", await far_bid(client))
    ask = {"symbol": SYMBOL, "countdownTime": 100}
    assert (await client.fapiPrivatePostCountdownCancelAll({**ask, "countdownTime": 60_000}))["symbol"] == SYMBOL
    assert len(await client.fetch_open_orders(UNIFIED)) == 1
    await client.fapiPrivatePostCountdownCancelAll(ask)
    for _ in range(250):
        if not await client.fetch_open_orders(UNIFIED):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the order is still open")


async def test_settings_that_are_so_already_are_refused_as_such(client: Any) -> None:
    assert int((await client.set_leverage(5, UNIFIED))["leverage"]) == 5
    with pytest.raises(ccxt.ExchangeError, match="-4059"):
        await client.set_position_mode(False)
    assert not (await client.fetch_position_mode())["hedged"]


async def test_books_of_ccxt_pro_follow_the_stream(client: Any) -> None:
    """ccxt's own sequence checks hold over many updates."""
    for _ in range(10):
        book = await client.watch_order_book(UNIFIED)
    assert book["bids"][0][0] < book["asks"][0][0]


async def test_lost_update_is_seen_by_ccxts_checks(client: Any, control: Control) -> None:
    await client.watch_order_book(UNIFIED)
    await client.watch_order_book(UNIFIED)
    await control.fault(FaultKind.LOSE_MESSAGE, on="depthUpdate")
    with pytest.raises(ccxt.ChecksumError):
        async with asyncio.timeout(5):
            while True:
                await client.watch_order_book(UNIFIED)


async def test_wrong_signature_and_a_time_that_is_off(control: Control) -> None:
    wrong = ccxt_client(control.url, secret="wrong")
    late = ccxt_client(control.url)
    try:
        with pytest.raises(ccxt.AuthenticationError, match="-1022"):
            await wrong.fetch_balance()
        await late.load_markets()
        late.options["timeDifference"] = 60_000
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await late.fetch_balance()
        late.options["timeDifference"] = -2000
        with pytest.raises(ccxt.InvalidNonce, match="-1021"):
            await late.fetch_balance()
    finally:
        await wrong.close()
        await late.close()


async def test_limits_are_counted_and_going_on_is_a_ban() -> None:
    """Headers tell what was used; beyond it 429 with a time to wait, then 418."""
    async with binance_venue(orders_per_10s=3, refusals_before_ban=2, ban_ms=60_000) as control:
        client = ccxt_client(control.url)
        try:
            await client.load_markets()
            price = await far_bid(client)
            for n in range(3):
                await placed(client, f"l-{n}", price)
            headers = {name.lower(): value for name, value in client.last_response_headers.items()}
            assert headers["x-mbx-order-count-10s"] == "3" and int(headers["x-mbx-used-weight-1m"]) >= 1
            for _ in range(2):
                with pytest.raises((ccxt.RateLimitExceeded, ccxt.DDoSProtection)):
                    await placed(client, "l-9", price)
            assert 1 <= int(client.last_response_headers["Retry-After"]) <= 10
            with pytest.raises(ccxt.DDoSProtection, match="banned until"):
                await placed(client, "l-9", price)
            with pytest.raises(ccxt.DDoSProtection, match="banned until"):
                await client.fetch_time()
        finally:
            await client.close()


async def test_faults_of_requests(client: Any, control: Control) -> None:
    """A lost reply was carried out; a 503 was not, and does not say so."""
    price = await far_bid(client)
    await control.fault(FaultKind.LOSE_REPLY, on="POST /fapi/v1/order")
    with pytest.raises(ccxt.NetworkError):
        await placed(client, "lost", price)
    assert (await client.fetch_order(None, UNIFIED, {"origClientOrderId": "lost"}))["status"] == "open"
    await control.fault(FaultKind.SERVER_ERROR, on="POST /fapi/v1/order")
    with pytest.raises(ccxt.ExchangeNotAvailable):
        await placed(client, "failed", price)
    with pytest.raises(ccxt.OrderNotFound):
        await client.fetch_order(None, UNIFIED, {"origClientOrderId": "failed"})
    assert (await control.struck())["server_error"] == 1


async def test_funding_is_paid_told_and_listed() -> None:
    """A payment on a position shows in the income and by ACCOUNT_UPDATE, for the same amount."""
    async with binance_venue(market=FUNDED) as control:
        client = ccxt_client(control.url, number=str)
        try:
            await client.load_markets()
            await client.create_order(UNIFIED, "market", "buy", "0.01")
            key = (await client.fapiPrivatePostListenKey())["listenKey"]
            url = f"ws{control.url.removeprefix('http')}/private/ws?listenKey={key}"
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket, asyncio.timeout(20):
                while True:
                    event = await socket.receive_json()
                    if event["e"] == "ACCOUNT_UPDATE" and event["a"]["m"] == "FUNDING_FEE":
                        break
            (paid,) = await client.fetch_funding_history(UNIFIED)
            assert paid["amount"] == event["a"]["B"][0]["bc"] and float(paid["amount"]) < 0
        finally:
            await client.close()


async def test_streams_are_routed_as_since_2026(control: Control) -> None:
    """A stream that is asked for on the wrong path is acknowledged and silent; the shard number is ignored."""
    base = f"ws{control.url.removeprefix('http')}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{base}/public/ws/7") as right,
        session.ws_connect(f"{base}/market/ws") as wrong,
    ):
        for socket in (right, wrong):
            await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 1})
            assert await socket.receive_json() == {"result": None, "id": 1}
        assert (await right.receive_json())["e"] == "depthUpdate"
        await wrong.send_json({"method": "LIST_SUBSCRIPTIONS", "id": 2})
        assert await wrong.receive_json() == {"result": ["btcusdt@depth@100ms"], "id": 2}
        await wrong.send_json({"method": "SUBSCRIBE", "params": "x", "id": 3})
        assert (await wrong.receive_json())["error"]["code"] == 2


async def test_streams_of_one_path_are_cut_alone(control: Control) -> None:
    """Those that are left go on."""
    base = f"ws{control.url.removeprefix('http')}"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{base}/public/ws") as public,
        session.ws_connect(f"{base}/private/ws/none") as private,
    ):
        await public.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 1})
        assert (await public.receive_json())["id"] == 1
        await control.fault(FaultKind.DISCONNECT, on="/private")
        async with asyncio.timeout(5):
            assert (await private.receive()).type is not aiohttp.WSMsgType.TEXT
            assert (await public.receive_json())["e"] == "depthUpdate"


async def test_stream_ends_a_client_that_talks_too_much(control: Control) -> None:
    base = f"ws{control.url.removeprefix('http')}"
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{base}/public/ws") as socket:
        for n in range(40):
            await socket.send_json({"method": "LIST_SUBSCRIPTIONS", "id": n})
        async with asyncio.timeout(5):
            while not socket.closed:
                await socket.receive()
        assert socket.close_code == 1008


async def test_listen_key_lives_as_long_as_it_is_extended() -> None:
    async with binance_venue(listen_key_s=0.3) as control:
        client = ccxt_client(control.url)
        try:
            key = (await client.fapiPrivatePostListenKey())["listenKey"]
            assert (await client.fapiPrivatePostListenKey())["listenKey"] == key
            url = f"ws{control.url.removeprefix('http')}/private/ws?listenKey={key}"
            async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket, asyncio.timeout(5):
                assert (await socket.receive_json())["e"] == "listenKeyExpired"
            with pytest.raises(ccxt.AuthenticationError, match="-1125"):
                await client.fapiPrivatePutListenKey()
            assert (await client.fapiPrivatePostListenKey())["listenKey"] != key
        finally:
            await client.close()


async def test_account_outlives_the_venue(tmp_path: Path) -> None:
    """Orders die with it; fills, their names and the position do not."""
    for life in range(2):
        async with binance_venue(state_dir=tmp_path) as control:
            client = ccxt_client(control.url)
            try:
                await client.load_markets()
                if life == 0:
                    order = await placed(client, "kept", await far_bid(client))
                    await control.fill("kept", "0.005")
                    continue
                (trade,) = await client.fetch_my_trades(UNIFIED)
                asked = await client.fetch_order(trade["order"], UNIFIED)
                assert (asked["clientOrderId"], asked["status"], trade["order"]) == ("kept", "canceled", order["id"])
                (position,) = await client.fetch_positions([UNIFIED])
                assert position["contracts"] == 0.005
                later = await placed(client, "next", await far_bid(client))
                assert int(later["id"]) > int(order["id"])
            finally:
                await client.close()


# Hedge mode


@asynccontextmanager
async def hedged() -> AsyncIterator[tuple[Any, Control]]:
    async with binance_venue(hedge_mode=True) as control:
        client = ccxt_client(control.url)
        await client.load_markets()
        yield client, control
        await client.close()


async def legged(client: Any, name: str, side: str, leg: str | None, size: str = "0.01", **params: Any) -> Any:
    """An order about a leg that nobody reaches; a sale is far above the market."""
    bid = await best_bid(client)
    price = f"{bid * (0.99 if side == 'buy' else 1.01):.1f}"
    params |= {"clientOrderId": name, "postOnly": True} | ({} if leg is None else {"positionSide": leg})
    return await client.create_order(UNIFIED, "limit", side, size, price, params)


async def held(client: Any) -> dict[str, float]:
    rows = await client.fetch_positions([UNIFIED])
    return {row["info"]["positionSide"]: float(row["info"]["positionAmt"]) for row in rows}


async def test_hedge_mode_keeps_long_and_short_apart() -> None:
    """Bought and sold on legs of their own, shown apart wherever the venue names a leg, and closed leg by leg."""
    async with hedged() as (client, control):
        for name, side, leg in (("long", "buy", "LONG"), ("short", "sell", "SHORT")):
            order = await legged(client, name, side, leg)
            assert order["info"]["positionSide"] == leg
            await control.fill(name, "0.01")
        assert await held(client) == {"LONG": 0.01, "SHORT": -0.01}
        sides = [(row["side"], row["hedged"]) for row in await client.fetch_positions([UNIFIED])]
        assert sides == [("long", True), ("short", True)]
        trades = await client.fetch_my_trades(UNIFIED)
        assert [trade["info"]["positionSide"] for trade in trades] == ["LONG", "SHORT"]
        await legged(client, "close", "sell", "LONG")
        await control.fill("close", "0.004")
        assert await held(client) == {"LONG": 0.006, "SHORT": -0.01}


async def test_hedge_mode_covers_what_closes_and_no_more() -> None:
    """All orders that close a leg together, amends among them: -2022; what opens is free."""
    async with hedged() as (client, control):
        with pytest.raises(ccxt.ExchangeError, match="-2022"):
            await legged(client, "nothing", "sell", "LONG")
        await legged(client, "long", "buy", "LONG")
        await control.fill("long", "0.01")
        first = await legged(client, "half", "sell", "LONG", "0.006")
        with pytest.raises(ccxt.ExchangeError, match="-2022"):
            await legged(client, "more", "sell", "LONG", "0.005")
        with pytest.raises(ccxt.ExchangeError, match="-2022"):
            await client.edit_order(first["id"], UNIFIED, "limit", "sell", "0.0101", first["price"])
        await client.edit_order(first["id"], UNIFIED, "limit", "sell", "0.01", first["price"])
        await legged(client, "other", "sell", "SHORT", "0.05")


async def test_modes_do_not_take_each_others_words(client: Any) -> None:
    """-4061 for a leg in one-way mode and for none in hedge mode, where reduceOnly is -1106."""
    with pytest.raises(ccxt.ExchangeError, match="-4061"):
        await legged(client, "leg", "buy", "LONG")
    async with hedged() as (other, _):
        for leg in ("BOTH", None):
            with pytest.raises(ccxt.ExchangeError, match="-4061"):
                await legged(other, "none", "buy", leg)
        with pytest.raises(ccxt.ExchangeError, match="-1106"):
            await legged(other, "reduce", "sell", "LONG", reduceOnly=True)


async def test_the_mode_changes_while_nothing_is_open(client: Any, control: Control) -> None:
    await client.set_position_mode(True)
    assert (await client.fetch_position_mode(UNIFIED))["hedged"] is True
    with pytest.raises(ccxt.ExchangeError, match="-4059"):
        await client.set_position_mode(True)
    await legged(client, "a", "buy", "LONG")
    with pytest.raises(ccxt.ExchangeError, match="-4067"):
        await client.set_position_mode(False)
    await control.fill("a", "0.01")
    with pytest.raises(ccxt.ExchangeError, match="-4068"):
        await client.set_position_mode(False)


async def test_legs_outlive_the_venue(tmp_path: Path) -> None:
    for life in range(2):
        async with binance_venue(hedge_mode=True, state_dir=tmp_path) as control:
            client = ccxt_client(control.url)
            await client.load_markets()
            if not life:
                for name, side, leg in (("long", "buy", "LONG"), ("short", "sell", "SHORT")):
                    await legged(client, name, side, leg)
                    await control.fill(name, "0.01")
            assert await held(client) == {"LONG": 0.01, "SHORT": -0.01}
            await client.close()
