"""The official client against a simulated venue, with nothing changed but the URLs. Runs in the client's environment.

Called with the venue's address. The client speaks gRPC to its node; the venue speaks CometBFT's JSON-RPC and Cosmos
REST, so a small gRPC server here hands the three calls on. Prints the names of the checks that held, as JSON; a check
that fails ends it with a traceback. Nothing here imports the daemon.
"""

import asyncio
import base64
import json
import queue
import sys
import threading
import time
import urllib.request
from concurrent import futures
from functools import partial
from typing import Any

import grpc
from dydx_v4_client.indexer.rest.constants import OrderType
from dydx_v4_client.indexer.rest.indexer_client import IndexerClient
from dydx_v4_client.indexer.socket.websocket import IndexerSocket
from dydx_v4_client.key_pair import KeyPair
from dydx_v4_client.network import NodeConfig, make_insecure
from dydx_v4_client.node.builder import TxOptions
from dydx_v4_client.node.client import NodeClient
from dydx_v4_client.node.market import Market
from dydx_v4_client.node.message import subaccount
from dydx_v4_client.wallet import Wallet
from google.protobuf.any_pb2 import Any as AnyMessage
from v4_proto.cosmos.auth.v1beta1.auth_pb2 import BaseAccount
from v4_proto.cosmos.auth.v1beta1.query_pb2 import QueryAccountRequest, QueryAccountResponse
from v4_proto.cosmos.base.tendermint.v1beta1.query_pb2 import GetLatestBlockResponse
from v4_proto.cosmos.tx.v1beta1.service_pb2 import BroadcastTxRequest, BroadcastTxResponse
from v4_proto.dydxprotocol.clob.order_pb2 import Order
from v4_proto.dydxprotocol.clob.tx_pb2 import OrderBatch

PATIENCE_S = 20


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
        return json.load(reply)


def post(url: str, body: Any) -> Any:
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=PATIENCE_S) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return json.load(error)


class Node(grpc.GenericRpcHandler):
    """The node's gRPC, as far as the client uses it, handed on to the venue."""

    def __init__(self, url: str) -> None:
        self._url = url

    def service(self, call: Any) -> Any:
        handler = {
            "/cosmos.auth.v1beta1.Query/Account": self._account,
            "/cosmos.base.tendermint.v1beta1.Service/GetLatestBlock": self._block,
            "/cosmos.tx.v1beta1.Service/BroadcastTx": self._broadcast,
        }.get(call.method)
        return None if handler is None else grpc.unary_unary_rpc_method_handler(handler)

    def _account(self, data: bytes, context: Any) -> bytes:
        address = QueryAccountRequest.FromString(data).address
        try:
            info = get(f"{self._url}/cosmos/auth/v1beta1/account_info/{address}")["info"]
        except urllib.error.HTTPError:
            context.abort(grpc.StatusCode.NOT_FOUND, f"account {address} not found")
        account = BaseAccount(
            address=address, account_number=int(info["account_number"]), sequence=int(info["sequence"])
        )
        packed = AnyMessage()
        packed.Pack(account, type_url_prefix="/")
        return QueryAccountResponse(account=packed).SerializeToString()

    def _block(self, _data: bytes, _context: Any) -> bytes:
        info = post(self._url, {"jsonrpc": "2.0", "id": 1, "method": "abci_info", "params": {}})
        response = GetLatestBlockResponse()
        response.block.header.height = int(info["result"]["response"]["last_block_height"])
        return response.SerializeToString()

    def _broadcast(self, data: bytes, _context: Any) -> bytes:
        tx = base64.b64encode(BroadcastTxRequest.FromString(data).tx_bytes).decode()
        answer = post(self._url, {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync", "params": {"tx": tx}})
        response = BroadcastTxResponse()
        if "error" in answer:
            response.tx_response.code, response.tx_response.codespace = 19, "sdk"
        else:
            result = answer["result"]
            response.tx_response.code, response.tx_response.codespace = result["code"], result["codespace"]
            response.tx_response.raw_log, response.tx_response.txhash = result["log"], result["hash"]
        return response.SerializeToString()


class Session:
    """What the checks share. The client id counts on: none is used twice."""

    def __init__(self, url: str, node: NodeClient, socket_url: str) -> None:
        self.url = url
        self.venue = get(f"{url}/control/venue")
        self.indexer = IndexerClient(url)
        self.node = node
        self.socket_url = socket_url
        self.me, self.other = self.venue["accounts"][:2]
        self.client_id = 100
        self.feed: queue.Queue[dict[str, Any]] = queue.Queue()

    async def open(self) -> None:
        key = KeyPair.from_hex(self.me["private_key"])
        account = await self.node.get_account(self.me["address"])
        assert account.account_number == self.me["account_number"]
        self.wallet = Wallet(key, account.account_number, account.sequence)
        assert self.wallet.address == self.me["address"]
        rows = (await self.indexer.markets.get_perpetual_markets("BTC-USD"))["markets"]
        self.market = Market(rows["BTC-USD"])

    async def bid(self) -> float:
        book = await self.indexer.markets.get_perpetual_market_orderbook("BTC-USD")
        return float(book["bids"][0]["price"])

    def new_id(self, flags: int = 0) -> Any:
        self.client_id += 1
        return self.market.order_id(self.me["address"], 0, self.client_id, flags)

    async def order(self, order_id: Any, price: float, **keys: Any) -> Any:
        height = await self.node.latest_block_height()
        terms = {
            "order_type": OrderType.LIMIT,
            "side": Order.Side.SIDE_BUY,
            "size": 0.01,
            "time_in_force": Order.TIME_IN_FORCE_UNSPECIFIED,
            "reduce_only": False,
            "post_only": True,
            "good_til_block": height + 15,
        }
        return self.market.order(order_id=order_id, price=price, **{**terms, **keys})

    async def place(self, order_id: Any, price: float, **keys: Any) -> Any:
        answer = await self.node.place_order(self.wallet, await self.order(order_id, price, **keys))
        return answer.tx_response

    async def open_orders(self) -> list[dict[str, Any]]:
        account = self.indexer.account
        rows: list[dict[str, Any]] = await account.get_subaccount_orders(self.me["address"], 0)
        return [row for row in rows if row["status"] in ("BEST_EFFORT_OPENED", "OPEN")]

    def wait_for(self, wanted: Any) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        while True:
            message = self.feed.get(timeout=max(0.01, until - time.monotonic()))
            if wanted(message):
                return message


async def reads(s: Session) -> None:
    markets = (await s.indexer.markets.get_perpetual_markets())["markets"]
    assert set(markets) == {"BTC-USD", "ETH-USD"} and markets["BTC-USD"]["stepBaseQuantums"] == 1_000_000
    book = await s.indexer.markets.get_perpetual_market_orderbook("BTC-USD")
    assert float(book["bids"][0]["price"]) < float(book["asks"][0]["price"])
    height = await s.indexer.utility.get_height()
    assert abs(int(height["height"]) - await s.node.latest_block_height()) <= 2
    clock = await s.indexer.utility.get_time()
    assert set(clock) == {"iso", "epoch"}
    account = s.indexer.account
    row = (await account.get_subaccount(s.me["address"], 0))["subaccount"]
    assert float(row["equity"]) == 100_000 and row["assetPositions"]["USDC"]["side"] == "LONG"
    assert len((await account.get_subaccounts(s.me["address"]))["subaccounts"]) == 1
    assert (await account.get_subaccount_perpetual_positions(s.me["address"], 0))["positions"] == []
    assert (await account.get_subaccount_asset_positions(s.me["address"], 0))["positions"]
    assert (await account.get_subaccount_fills(s.me["address"], 0))["fills"] == []
    assert (await account.get_funding_payments(s.me["address"], 0))["fundingPayments"] == []
    assert "trades" in await s.indexer.markets.get_perpetual_market_trades("BTC-USD")
    assert "historicalFunding" in await s.indexer.markets.get_perpetual_market_historical_funding("BTC-USD")


async def places_and_replaces_and_cancels(s: Session) -> None:
    order_id, bid = s.new_id(), await s.bid()
    assert (await s.place(order_id, bid - 100)).code == 0
    (row,) = await s.open_orders()
    assert row["clientId"] == str(order_id.client_id) and row["price"] == str(int(bid - 100)) and row["postOnly"]
    height = await s.node.latest_block_height()
    assert (await s.place(order_id, bid - 90, size=0.02, good_til_block=height + 18)).code == 0
    (row,) = await s.open_orders()
    assert (row["price"], row["size"]) == (str(int(bid - 90)), "0.02")
    assert (await s.indexer.account.get_order(row["id"]))["status"] == "BEST_EFFORT_OPENED"
    answer = await s.node.cancel_order(s.wallet, order_id, good_til_block=await s.node.latest_block_height() + 20)
    assert answer.tx_response.code == 0
    assert await s.open_orders() == []


async def cancels_in_batches(s: Session) -> None:
    bid, ids = await s.bid(), [s.new_id() for _ in range(3)]
    for place, order_id in enumerate(ids):
        assert (await s.place(order_id, bid - 100 - place)).code == 0
    assert len(await s.open_orders()) == 3
    batch = OrderBatch(clob_pair_id=0, client_ids=[each.client_id for each in ids])
    height = await s.node.latest_block_height()
    answer = await s.node.batch_cancel_orders(s.wallet, subaccount(s.me["address"], 0), [batch], height + 20)
    assert answer.tx_response.code == 0
    assert await s.open_orders() == []


async def is_refused(s: Session) -> None:
    bid, height = await s.bid(), await s.node.latest_block_height()
    cases: list[tuple[int, str, float, dict[str, Any]]] = [
        (2003, "clob", bid + 1000, {}),
        (10, "clob", bid - 100, {"good_til_block": height - 1}),
        (11, "clob", bid - 100, {"good_til_block": height + 100}),
        (9003, "clob", bid - 100, {"reduce_only": True}),
    ]
    for code, codespace, price, keys in cases:
        answer = await s.place(s.new_id(), price, **keys)
        assert (answer.code, answer.codespace) == (code, codespace), (code, answer)
    stranger = Wallet(KeyPair.from_hex(s.other["private_key"]), s.wallet.account_number, 0)
    mine, s.wallet = s.wallet, stranger
    answer = await s.place(s.new_id(), bid - 100)
    s.wallet = mine
    assert answer.codespace == "sdk" and answer.code


async def trades(s: Session) -> None:
    ask = float((await s.indexer.markets.get_perpetual_market_orderbook("BTC-USD"))["asks"][0]["price"])
    answer = await s.place(
        s.new_id(),
        ask + 500,
        order_type=OrderType.MARKET,
        time_in_force=Order.TIME_IN_FORCE_IOC,
        post_only=False,
        size=0.001,
    )
    assert answer.code == 0
    until = time.monotonic() + PATIENCE_S
    while not (fills := (await s.indexer.account.get_subaccount_fills(s.me["address"], 0))["fills"]):
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    assert sum(float(fill["size"]) for fill in fills) == 0.001
    assert fills[0]["liquidity"] == "TAKER" and fills[0]["market"] == "BTC-USD"
    (position,) = (await s.indexer.account.get_subaccount_perpetual_positions(s.me["address"], 0))["positions"]
    assert (position["side"], position["size"]) == ("LONG", "0.001")


async def keeps_long_term_orders(s: Session) -> None:
    order_id, bid = s.new_id(64), await s.bid()
    until = int(time.time()) + 60
    answer = await s.place(order_id, bid - 100, good_til_block=None, good_til_block_time=until)
    assert answer.code == 0, answer
    await asyncio.sleep(0.3)
    (row,) = await s.open_orders()
    assert (row["status"], row["orderFlags"]) == ("OPEN", "64")
    answer = await s.node.cancel_order(s.wallet, order_id, good_til_block_time=until + 1)
    assert answer.tx_response.code == 0, answer
    await asyncio.sleep(0.3)
    assert await s.open_orders() == []


async def keeps_long_term_orders_by_time(s: Session) -> None:
    """Signed with milliseconds in place of the account's sequence, and refused as the chain refuses."""
    manager, s.node.sequence_manager = s.node.sequence_manager, None
    counted = s.wallet.sequence
    bid, until = await s.bid(), int(time.time()) + 60

    async def place(order_id: Any, **keys: Any) -> Any:
        terms = {"good_til_block": None, "good_til_block_time": until, **keys}
        s.wallet.sequence = max(int(time.time() * 1000), s.wallet.sequence + 1)
        return await s.place(order_id, bid - 100, **terms)

    async def cancel(order_id: Any, until: int) -> int:
        s.wallet.sequence = max(int(time.time() * 1000), s.wallet.sequence + 1)
        answer = await s.node.cancel_order(s.wallet, order_id, good_til_block_time=until)
        return int(answer.tx_response.code)

    first, second = s.new_id(64), s.new_id(64)
    assert (await place(first)).code == 0
    answer = await s.place(second, bid - 100, good_til_block=None, good_til_block_time=until)  # the same time again
    assert (answer.code, answer.codespace) == (32, "sdk"), answer
    await asyncio.sleep(0.3)
    assert (await place(first)).code == 3005
    assert (await place(second, time_in_force=Order.TIME_IN_FORCE_IOC, post_only=False)).code == 3002
    assert (await place(second, good_til_block_time=1)).code == 3003
    assert await cancel(first, until - 1) == 29
    assert await cancel(second, until) == 3006
    (row,) = await s.open_orders()
    assert (row["status"], row["orderFlags"]) == ("OPEN", "64") and "goodTilBlock" not in row
    assert await cancel(first, until) == 0
    assert await cancel(first, until) == 3008
    await asyncio.sleep(0.3)
    assert await s.open_orders() == []
    assert (await s.indexer.account.get_order(row["id"]))["status"] == "CANCELED"
    s.wallet.sequence, s.node.sequence_manager = counted, manager


async def signs_with_a_permissioned_key(s: Session) -> None:
    key = KeyPair.from_hex("07" * 32)
    permit = {"owner": s.me["address"], "public_key": key.public_key_bytes.hex(), "subaccounts": [0], "pairs": [0]}
    number = post(f"{s.url}/control/permit", permit)["id"]
    account = await s.node.get_account(s.me["address"])
    options = TxOptions([number], account.sequence, account.account_number)
    order = await s.order(s.new_id(), await s.bid() - 100)
    trader = Wallet(key, 0, 0)
    answer = await s.node.place_order(trader, order, tx_options=options)
    assert answer.tx_response.code == 0, answer
    answer = await s.node.cancel_order(
        trader, order.order_id, good_til_block=order.good_til_block + 1, tx_options=options
    )
    assert answer.tx_response.code == 0 and await s.open_orders() == []


async def listens(s: Session) -> None:
    ready = threading.Event()

    def heard(socket: IndexerSocket, message: dict[str, Any]) -> None:
        if message["type"] == "connected":
            socket.order_book.subscribe("BTC-USD", batched=False)
            socket.trades.subscribe("BTC-USD")
            socket.markets.subscribe()
            socket.subaccounts.subscribe(s.me["address"], 0)
        if message["type"] == "subscribed" and message["channel"] == "v4_subaccounts":
            ready.set()
        s.feed.put(message)

    socket = IndexerSocket(s.socket_url, on_message=heard)
    thread = threading.Thread(target=socket.run_forever, daemon=True)
    thread.start()
    assert ready.wait(PATIENCE_S)
    order_id, bid = s.new_id(), await s.bid()
    assert (await s.place(order_id, bid - 100)).code == 0
    wanted = str(order_id.client_id)

    def has(message: dict[str, Any], status: str) -> bool:
        if message.get("channel") != "v4_subaccounts" or message["type"] != "channel_data":
            return False
        rows = message["contents"].get("orders", ())
        return any(row["clientId"] == wanted and row["status"] == status for row in rows)

    s.wait_for(lambda message: has(message, "BEST_EFFORT_OPENED"))
    height = await s.node.latest_block_height()
    await s.node.cancel_order(s.wallet, order_id, good_til_block=height + 20)
    s.wait_for(lambda message: has(message, "BEST_EFFORT_CANCELED"))
    # Of the book it asks for each message at once; of trades and markets, by its default, in batches.
    s.wait_for(lambda message: message.get("channel") == "v4_orderbook" and message["type"] == "channel_data")
    socket.close()
    thread.join(PATIENCE_S)


CHECKS = (
    reads,
    places_and_replaces_and_cancels,
    cancels_in_batches,
    is_refused,
    trades,
    keeps_long_term_orders,
    keeps_long_term_orders_by_time,
    signs_with_a_permissioned_key,
    listens,
)


async def main(url: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[Node(url)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    chain = get(f"{url}/control/venue")["chain_id"]
    make_node = partial(NodeConfig, chain, chaintoken_denom="adv4tnt", usdc_denom="usdc")
    socket_url = f"ws{url.removeprefix('http')}/v4/ws"
    network = make_insecure(make_node, url, socket_url, f"127.0.0.1:{port}")
    session = Session(url, await NodeClient.connect(network.node), socket_url)
    await session.open()
    held = []
    for check in CHECKS:
        await check(session)
        held.append(check.__name__)
    server.stop(None)
    print(json.dumps(held))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
