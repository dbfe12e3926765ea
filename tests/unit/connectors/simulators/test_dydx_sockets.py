"""The simulated indexer and node behind their sockets: shapes as in the samples, ids, batches, limits, faults."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from connectors.dydx import tx
from connectors.dydx.keys import Signer
from connectors.simulators.dydx.server import DydxVenue
from connectors.simulators.dydx.settings import DydxVenueSettings
from connectors.simulators.faults import FaultKind
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.orders import Side
from mm_daemon.ports.simulator import SimulatorContext
from tests.dydx import QUIET, Control, dydx_venue
from tests.shared import shared_file

PATIENCE_S = 5.0


def sample(name: str) -> Any:
    return msgspec.json.decode(shared_file(f"venues/dydx/messages/{name}.json").read_bytes())


class Trader:
    """Sends transactions as a client would, over JSON-RPC."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.chain = control.venue.chain
        self.signer = Signer(self.chain.keys[0])
        self.builder = tx.TxBuilder(self.signer, chain_id="localdydxprotocol", account_number=73)
        self.orders = tx.ShortTermOrders(tx.Subaccount(self.signer.address), 0)

    def uuid(self, client_id: int) -> str:
        return str(tx.OrderId(tx.Subaccount(self.signer.address), client_id, 0).uuid)

    def order(self, client_id: int, ticks: int | None = None) -> bytes:
        """Signed bytes of a bid."""
        bid = self.chain.markets[0].book.best(Side.BUY) - 50 if ticks is None else ticks
        until = self.chain.next_height + 15
        message = self.orders.place(client_id, 1, 10_000_000, bid * 100_000, until, tx.OrderTif.POST_ONLY, False)
        return self.builder.raw(message)

    async def send(self, raw: bytes, node: str = "") -> tuple[int, Any]:
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "broadcast_tx_sync",
            "params": {"tx": base64.b64encode(raw).decode()},
        }
        async with self.control.session.post(f"{self.control.url}{node}", data=msgspec.json.encode(body)) as reply:
            return reply.status, await reply.json()


async def heard(socket: aiohttp.ClientWebSocketResponse) -> Any:
    frame = await socket.receive(PATIENCE_S)
    assert frame.type is aiohttp.WSMsgType.TEXT, frame
    return msgspec.json.decode(frame.data)


async def until(socket: aiohttp.ClientWebSocketResponse, **wanted: Any) -> Any:
    """The next message with these values."""
    while True:
        message = await heard(socket)
        if all(message.get(name) == value for name, value in wanted.items()):
            return message


def socket_of(control: Control) -> Any:
    return control.session.ws_connect(f"{control.url}/v4/ws")


def differing(got: Any, want: Any, path: str = "") -> list[str]:
    """Where the kinds or the names of two values are different; names that may be there are no matter in lists."""
    if isinstance(want, dict) and isinstance(got, dict):
        if path.endswith(("markets", "openPerpetualPositions", "assetPositions", "oraclePrices")):
            return differing(next(iter(got.values())), next(iter(want.values())), f"{path}.*") if got and want else []
        missing = [f"{path}.{name} is missing" for name in want if name not in got]
        both = [line for name in want if name in got for line in differing(got[name], want[name], f"{path}.{name}")]
        return missing + both
    if isinstance(want, list) and isinstance(got, list):
        return differing(got[0], want[0], f"{path}[0]") if got and want else []
    if want is None or got is None:
        return []
    return [] if isinstance(got, type(want)) else [f"{path}: {got!r} instead of {want!r}"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("rest_perpetual_markets", "/v4/perpetualMarkets"),
        ("rest_perpetual_markets_one", "/v4/perpetualMarkets?ticker=BTC-USD"),
        ("rest_orderbook", "/v4/orderbooks/perpetualMarket/BTC-USD"),
        ("rest_trades", "/v4/trades/perpetualMarket/BTC-USD?limit=3"),
        ("rest_height", "/v4/height"),
        ("rest_time", "/v4/time"),
        ("rest_address", "/v4/addresses/{me}"),
        ("rest_subaccount", "/v4/addresses/{me}/subaccountNumber/0"),
        ("rest_subaccount_not_found", "/v4/addresses/{me}/subaccountNumber/99"),
        ("rest_perpetual_positions_open", "/v4/perpetualPositions?address={me}&subaccountNumber=0&status=OPEN"),
        ("rest_asset_positions", "/v4/assetPositions?address={me}&subaccountNumber=0"),
        ("rest_orders_open", "/v4/orders?address={me}&subaccountNumber=0&status=OPEN,BEST_EFFORT_OPENED"),
        ("rest_orders_empty", "/v4/orders?address={me}&subaccountNumber=0&ticker=ETH-USD"),
        ("rest_order_by_id", "/v4/orders/{order}"),
        ("rest_order_not_found", "/v4/orders/da4c2777-71b8-5841-b516-0f8ef071beea"),
        ("rest_fills", "/v4/fills?address={me}&subaccountNumber=0&limit=2"),
        ("rest_historical_funding", "/v4/historicalFunding/BTC-USD?limit=3"),
        ("rest_error_validation", "/v4/orders?address={me}&subaccountNumber=X"),
    ],
)
async def test_answers_have_the_shape_of_the_samples(name: str, path: str) -> None:
    async with dydx_venue(funding_period_s=1) as control:
        trader = Trader(control)
        await trader.send(trader.order(1))
        await control.fill(trader.uuid(1), 4)
        subaccount = trader.chain.subaccounts[control.address, 0]
        while not subaccount.fills or not trader.chain.markets[0].funding:  # noqa: ASYNC110 - blocks have no event
            await asyncio.sleep(0.01)
        wanted = sample(name)
        status, got = await control.get(path.format(me=control.address, order=trader.uuid(1)))
        assert status == wanted["status"]
        assert differing(got, wanted["body"]) == []


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("node_account_query", "/cosmos/auth/v1beta1/account_info/{me}"),
        ("node_block_rate_limits", "/dydxprotocol/clob/block_rate"),
        ("node_equity_tiers", "/dydxprotocol/clob/equity_tier"),
        ("node_abci_info", "/nodes/b/abci_info"),
    ],
)
async def test_the_node_answers_in_the_shape_of_the_samples(name: str, path: str) -> None:
    async with dydx_venue() as control:
        status, got = await control.get(path.format(me=control.address))
        assert status == 200 and differing(got, sample(name)["body"]) == []


async def test_broadcasts_answer_in_the_shape_of_the_samples() -> None:
    async with dydx_venue() as control:
        trader = Trader(control)
        raw = trader.order(1)
        _, taken = await trader.send(raw)
        assert differing(taken, sample("node_broadcast_ok")["cometbft_broadcast_tx_sync"]) == []
        assert taken["result"]["hash"] == tx.tx_hash(raw)
        _, again = await trader.send(raw, "/nodes/b")
        assert differing(again, sample("node_broadcast_tx_in_mempool_cache")["cometbft_broadcast_tx_sync"]) == []
        _, crossing = await trader.send(trader.order(2, 70_000))
        wanted = sample("node_broadcast_post_only_would_cross")["cometbft_broadcast_tx_sync"]
        for part in ("code", "codespace", "log"):
            assert crossing["result"][part] == wanted["result"][part]
        status, got = await control.get(f"/broadcast_tx_sync?tx=0x{trader.order(3).hex()}")
        assert status == 200 and got["result"]["code"] == 0


async def test_feeds_have_the_shape_of_the_samples() -> None:
    async with dydx_venue() as control, socket_of(control) as socket:
        trader = Trader(control)
        assert differing(await heard(socket), sample("ws_connected")) == []
        account = f"{control.address}/0"
        for channel, name, file in (
            ("v4_orderbook", "BTC-USD", "ws_orderbook_subscribed"),
            ("v4_trades", "BTC-USD", "ws_trades_subscribed"),
            ("v4_markets", "", "ws_markets_subscribed"),
            ("v4_subaccounts", account, "ws_subaccounts_subscribed"),
            ("v4_block_height", "", "ws_block_height_subscribed"),
        ):
            await socket.send_json({"type": "subscribe", "channel": channel, "id": name, "batched": False})
            got = await until(socket, type="subscribed", channel=channel)
            assert differing(got, sample(file)) == []
        height = await until(socket, channel="v4_block_height", type="channel_data")
        assert differing(height, sample("ws_block_height_update")) == []
        await trader.send(trader.order(1))
        opened = await until(socket, channel="v4_subaccounts", type="channel_data")
        assert differing(opened, sample("ws_subaccounts_order_best_effort_opened")) == []
        await control.fill(trader.uuid(1), 4)
        filled = await until(socket, channel="v4_subaccounts", type="channel_data")
        assert differing(filled, sample("ws_subaccounts_fill_maker_partial")) == []
        await socket.send_json({"type": "unsubscribe", "channel": "v4_trades", "id": "BTC-USD"})
        assert differing(await until(socket, type="unsubscribed"), sample("ws_unsubscribed")) == []


async def test_ids_count_each_message_once_and_a_lost_one_leaves_a_hole() -> None:
    async with dydx_venue() as control, socket_of(control) as socket:
        assert (await heard(socket))["message_id"] == 0
        await socket.send_json({"type": "subscribe", "channel": "v4_block_height"})
        ids = [(await heard(socket))["message_id"] for _ in range(4)]
        assert ids == [1, 2, 3, 4]
        await control.fault(FaultKind.LOSE_MESSAGE, on="v4_block_height")
        after = [(await heard(socket))["message_id"] for _ in range(3)]
        assert after[-1] > 7 and sorted(set(after)) == after


async def test_a_late_answer_to_a_subscription_keeps_its_early_id() -> None:
    async with dydx_venue() as control, socket_of(control) as socket:
        await heard(socket)
        await control.post("stream", {"late_subscribed_ms": 200})
        await socket.send_json({"type": "subscribe", "channel": "v4_block_height"})
        first = await heard(socket)
        assert first["type"] == "channel_data" and first["message_id"] == 2
        assert (await until(socket, type="subscribed"))["message_id"] == 1


async def test_batches_are_collected() -> None:
    async with dydx_venue(batch_ms=200) as control, socket_of(control) as socket:
        await heard(socket)
        await socket.send_json({"type": "subscribe", "channel": "v4_block_height", "batched": True})
        await until(socket, type="subscribed")
        batch = await heard(socket)
        assert batch["type"] == "channel_batch_data" and len(batch["contents"]) >= 2


async def test_what_the_socket_refuses() -> None:
    async with dydx_venue(subscriptions=1) as control, socket_of(control) as socket:
        await heard(socket)
        asked: list[tuple[dict[str, Any], str]] = [
            ({"type": "subscribe", "channel": "v4_nothing"}, "ws_error_invalid_channel"),
            ({"type": "subscribe", "channel": "v4_orderbook", "id": "NOPE-USD"}, "ws_error_invalid_subscription_id"),
            ({"type": "subscribe", "channel": "v4_orderbook", "id": "BTC-USD"}, ""),
            ({"type": "subscribe", "channel": "v4_orderbook", "id": "BTC-USD"}, "ws_error_already_subscribed"),
        ]
        for message, file in asked:
            await socket.send_json(message)
            if not file:
                await until(socket, type="subscribed")
                continue
            got, want = await until(socket, type="error"), sample(file)
            assert got["message"] == want["message"] and set(want) <= set(got)
        await socket.send_json({"type": "subscribe", "channel": "v4_orderbook", "id": "ETH-USD"})
        limited = await until(socket, type="error")
        assert limited["message"] == "Per-connection subscription limit reached for v4_orderbook (limit=1)."
        await socket.send_json({"type": "ping"})
        await socket.send_json({"type": "subscribe", "channel": "v4_orderbook", "id": "BTC-USD"})
        assert (await until(socket, type="error"))["message"].startswith("Too many subscribe attempts")
        while (frame := await socket.receive(PATIENCE_S)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert socket.close_code == 1008, frame


async def test_an_unknown_account_has_empty_contents() -> None:
    async with dydx_venue() as control, socket_of(control) as socket:
        await heard(socket)
        await socket.send_json({"type": "subscribe", "channel": "v4_subaccounts", "id": f"{control.address}/77"})
        assert (await until(socket, type="subscribed"))["contents"] == {}


async def test_who_does_not_answer_pings_is_closed() -> None:
    async with dydx_venue(ping_s=0.1, pong_s=0.1) as control:
        url = f"{control.url}/v4/ws"
        async with control.session.ws_connect(url, autoping=False) as socket:
            while (await socket.receive(PATIENCE_S)).type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING):
                pass
            assert socket.close_code == 1011


async def test_a_restart_is_announced() -> None:
    async with dydx_venue() as control, socket_of(control) as socket:
        await heard(socket)
        await control.fault(FaultKind.RESTART, ms=100)
        while (await socket.receive(PATIENCE_S)).type is aiohttp.WSMsgType.TEXT:
            pass
        assert socket.close_code == 1012


async def test_indexer_limits_name_their_wait_in_milliseconds() -> None:
    async with dydx_venue(indexer_requests_per_10s=3) as control:
        for _ in range(3):
            assert (await control.get("/v4/time"))[0] == 200
        async with control.session.get(f"{control.url}/v4/time") as reply:
            assert reply.status == 429 and 9000 < int(reply.headers["Retry-After"]) <= 10_000
            assert differing(await reply.json(), sample("rest_error_rate_limited")["body"]) == []
        path = f"/v4/fills?address={control.address}&subaccountNumber=0"
        assert (await control.get(path))[0] == 200  # a limiter of its own


async def test_one_node_fails_and_another_answers() -> None:
    async with dydx_venue() as control:
        trader = Trader(control)
        await control.fault(FaultKind.SERVER_ERROR, on="/nodes/a", times=2)
        async with control.session.post(f"{control.url}/nodes/a", data=b"{}") as reply:
            assert reply.status == 503
        status, got = await trader.send(trader.order(1), "/nodes/b")
        assert status == 200 and got["result"]["code"] == 0


async def test_a_lost_reply_was_carried_out() -> None:
    async with dydx_venue() as control:
        trader = Trader(control)
        await control.fault(FaultKind.LOSE_REPLY, on="/broadcast_tx_sync")
        with pytest.raises(aiohttp.ClientError):
            await trader.send(trader.order(1))
        assert len(trader.chain.orders) == 1


async def test_the_indexer_lags_behind_the_chain() -> None:
    async with dydx_venue() as control:
        await control.post("stream", {"lag_ms": 1000})
        _, told = await control.get("/v4/height")
        _, node = await control.get("/abci_info")
        assert int(node["result"]["response"]["last_block_height"]) - int(told["height"]) == 10


def test_what_cannot_be_set(tmp_path: Path) -> None:
    context = SimulatorContext(host="127.0.0.1", port=0, seed=1, symbols=("BTC-USD",), now_ns=lambda: 10**18)
    with pytest.raises(ConfigError, match=r"markets\.ETH-USD"):
        DydxVenue(context, DydxVenueSettings(markets={"ETH-USD": QUIET}))
    with pytest.raises(ConfigError, match="state-dir"):
        DydxVenue(msgspec.structs.replace(context, state_dir=tmp_path))
