"""The simulated Hyperliquid behind its sockets: what it answers, what it drops, what a subscription begins with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest

from connectors.simulators.faults import FaultKind
from connectors.simulators.hyperliquid.market import Trade
from connectors.simulators.hyperliquid.server import HyperliquidVenue
from connectors.simulators.hyperliquid.settings import CoinSettings, HyperliquidVenueSettings
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.orders import Side
from mm_daemon.ports.simulator import DescribesItself, SimulatorContext
from mm_daemon.runtime.clock import Clock
from tests.hyperliquid import Control, hyperliquid_venue
from tests.shared import shared_file

PATIENCE_S = 10.0


class Client:
    """A plain socket to the venue."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, text: Any) -> None:
        await self.socket.send_str(text if isinstance(text, str) else msgspec.json.encode(text).decode())

    async def subscribe(self, **subscription: Any) -> None:
        await self.say({"method": "subscribe", "subscription": subscription})

    async def next(self, channel: str | None = None) -> Any:
        """The next message of a channel, or the next at all; None when the connection has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = await self.socket.receive()
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return None
                told = msgspec.json.decode(message.data)
                if channel is None or told["channel"] == channel:
                    return told


@asynccontextmanager
async def client_of(control: Control) -> AsyncIterator[Client]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(control.url.replace("http", "ws") + "/ws") as socket,
    ):
        yield Client(socket)


async def test_unknown_coin_drops_the_connection() -> None:
    """Without a word, with every stream on it; so does an aggregation that cannot be."""
    async with hyperliquid_venue() as control:
        for bad in ({"coin": "btc"}, {"coin": "BTC", "nSigFigs": 9}, {"coin": "BTC", "nSigFigs": 4, "mantissa": 2}):
            async with client_of(control) as client:
                await client.subscribe(type="bbo", coin="BTC")
                assert await client.next("subscriptionResponse") is not None
                await client.subscribe(type="l2Book", **bad)
                while (told := await client.next()) is not None:
                    assert told["channel"] == "bbo"


async def test_delisted_coin_sends_empty_books() -> None:
    """It is known, and nothing rests there."""
    async with hyperliquid_venue() as control, client_of(control) as client:
        await client.subscribe(type="l2Book", coin="MATIC")
        assert (await client.next("l2Book"))["data"]["levels"] == [[], []]


async def test_silence_ends_a_connection() -> None:
    """One to which nothing was sent for a while is closed; what the venue says, a pong too, keeps it."""
    async with hyperliquid_venue(silence_s=0.2) as control:
        async with client_of(control) as client:
            assert await client.next() is None
        async with client_of(control) as client:
            await client.subscribe(type="l2Book", coin="BTC", fast=True)
            for _ in range(20):  # twice the silence, as the books come
                assert (await client.next("l2Book")) is not None
            await client.say({"method": "ping"})
            assert await client.next("pong") == {"channel": "pong"}


async def test_acknowledgements_have_the_defaults_filled_in() -> None:
    """As they were captured, and before any data."""
    captured = msgspec.json.decode(
        shared_file("venues/hyperliquid/messages/ws_ack_subscribe_l2Book_fast.json").read_bytes()
    )
    async with hyperliquid_venue() as control, client_of(control) as client:
        await client.subscribe(type="l2Book", coin="BTC", fast=True)
        assert await client.next() == captured


async def test_what_is_asked_twice_or_not_understood_is_an_error() -> None:
    """In the venue's words; the socket stays open."""
    async with hyperliquid_venue() as control, client_of(control) as client:
        for _ in range(2):
            await client.subscribe(type="allMids")
        assert (await client.next("error"))["data"] == 'Already subscribed: {"type":"allMids"}'
        await client.say({"method": "unsubscribe", "subscription": {"type": "bbo", "coin": "BTC"}})
        assert (await client.next("error"))["data"].startswith("Already unsubscribed: ")
        for bad in (
            "{",
            '{"method":"dance"}',
            '{"method":"post"}',
            '{"method":"subscribe","subscription":{"type":"x"}}',
        ):
            await client.say(bad)
            assert (await client.next("error"))["data"] == f"Error parsing JSON into valid websocket request: {bad}"


async def test_subscriptions_begin_as_they_do_at_the_venue() -> None:
    """Prints with history, fills and fundings with a snapshot, order updates and best prices with nothing."""
    async with hyperliquid_venue() as control, client_of(control) as client:
        market = control.venue.exchange.by_coin["BTC"]
        now_ms = control.venue._now_ms()
        for age_ms in (30_000, 5_000):
            market.trades.append(Trade(Side.BUY, 600_000, 10, now_ms - age_ms, age_ms, "0x1", "0x2"))
        await client.subscribe(type="trades", coin="BTC")
        assert [row["tid"] for row in (await client.next("trades"))["data"]] == [5_000]
        for kind, rows in (("userFills", "fills"), ("userFundings", "fundings")):
            await client.subscribe(type=kind, user=control.users[0])
            data = (await client.next(kind))["data"]
            assert data == {"isSnapshot": True, "user": control.users[0], rows: []}
        await client.subscribe(type="orderUpdates", user=control.users[0])
        assert (await client.next())["channel"] == "subscriptionResponse"


async def test_false_flag_is_not_understood() -> None:
    """`f` is true or not there."""
    async with hyperliquid_venue() as control, client_of(control) as client:
        action = {"type": "cancel", "cancels": [], "f": False}
        payload = {"action": action, "nonce": 1, "signature": {"r": "0x1", "s": "0x1", "v": 27}}
        await client.say({"method": "post", "id": 3, "request": {"type": "action", "payload": payload}})
        response = (await client.next("post"))["data"]["response"]
        assert response == {"type": "error", "payload": "422 Unprocessable Entity"}


async def test_reads_over_the_socket_bear_their_number() -> None:
    """An unknown coin is null, as over HTTP; a limit is a text."""
    async with hyperliquid_venue() as control, client_of(control) as client:
        request = {"type": "info", "payload": {"type": "l2Book", "coin": "NOPE"}}
        await client.say({"method": "post", "id": 7, "request": request})
        answer = {"id": 7, "response": {"type": "info", "payload": {"type": "l2Book", "data": None}}}
        assert (await client.next("post"))["data"] == answer
        await control.fault(FaultKind.RATE_LIMIT, on="info/l2Book")
        await client.say({"method": "post", "id": 9, "request": request})
        limited = {"id": 9, "response": {"type": "error", "payload": "429 Too Many Requests"}}
        assert (await client.next("post"))["data"] == limited


async def test_connections_and_messages_are_limited() -> None:
    """More sockets than allowed are refused, more messages are answered with a limit."""
    async with hyperliquid_venue(connections=1, messages_per_minute=2) as control, client_of(control) as client:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with client_of(control):
                pass
        assert refused.value.status == 429
        for _ in range(3):
            await client.say({"method": "ping"})
        assert (await client.next("error"))["data"] == "429 Too Many Requests"


async def test_venue_that_is_down_keeps_its_orders() -> None:
    """Links break and nothing is answered for a while; the account is as it was."""
    async with hyperliquid_venue() as control, client_of(control) as client:
        await control.fault(FaultKind.RESTART, ms=50)
        assert await client.next() is None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert await control.info("openOrders", user=control.users[0]) == []
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0)


def test_it_describes_itself_for_programs() -> None:
    """Where it is, whom one can trade as, what there is; one seed gives the same keys."""

    def made(seed: int, **keys: Any) -> HyperliquidVenue:
        context = SimulatorContext(
            host="127.0.0.1", port=0, seed=seed, symbols=("BTC-USDT", "ETH"), now_ns=Clock().now_ns, **keys
        )
        return HyperliquidVenue(context, HyperliquidVenueSettings(accounts=3))

    venue = made(1)
    assert isinstance(venue, DescribesItself)
    told = venue.described("127.0.0.1:9")
    assert (told["rest"], told["ws"]) == ("http://127.0.0.1:9", "ws://127.0.0.1:9/ws")
    assert told["symbols"] == ["BTC", "ETH"] and len(told["accounts"]) == 3
    assert told["accounts"] == made(1).described("")["accounts"] != made(2).described("")["accounts"]


def test_settings_that_cannot_be_are_refused(tmp_path: Any) -> None:
    """A coin that is not traded, and a folder for accounts that are not kept."""
    keys: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "seed": 1, "symbols": ("BTC",), "now_ns": Clock().now_ns}
    with pytest.raises(ConfigError, match=r"coins\.ETH"):
        HyperliquidVenue(SimulatorContext(**keys), HyperliquidVenueSettings(coins={"ETH": CoinSettings()}))
    with pytest.raises(ConfigError, match="--state-dir"):
        HyperliquidVenue(SimulatorContext(**keys, state_dir=tmp_path))
