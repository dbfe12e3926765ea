"""Who listens to what at the simulated Lighter, what a subscription begins with, and what goes wrong on the way."""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from connectors.simulators.delivery import Delivery
from connectors.simulators.faults import Fault, WireFaults
from connectors.simulators.lighter import codes
from connectors.simulators.lighter.codes import Refused
from connectors.simulators.lighter.exchange import Exchange, Key, Said
from connectors.simulators.lighter.limits import Minute
from connectors.simulators.lighter.reads import Reads
from connectors.simulators.lighter.settings import LighterVenueSettings
from connectors.simulators.socket import Socket
from mm_daemon.domain.rng import Rng

_OF_MARKET = frozenset({"order_book", "ticker", "trade", "market_stats"})
_OF_ACCOUNT = frozenset(
    {
        "account_all",
        "account_all_orders",
        "account_all_trades",
        "account_all_positions",
        "account_all_assets",
        "user_stats",
        "account_tx",
        "notification",
    }
)
_OF_BOTH = frozenset({"account_market", "account_orders"})
_WITHOUT_TOKEN = frozenset({"account_all", "user_stats"})
_SNAPSHOT_TRADES = 50

_encode = msgspec.json.Encoder().encode


class Client(Socket):
    """One connection: what it listens to, as `key: when its token ends` (ms; 0: it needs none)."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: Any,
        settings: LighterVenueSettings,
        now_ms: int,
        offset: int,
        *,
        read_only: bool,
    ) -> None:
        super().__init__(socket, transport, text=True)
        self.subscriptions: dict[Key, int] = {}
        self.opened_ms = self.heard_ms = self.pinged_ms = now_ms
        self.messages = Minute(settings.messages_per_minute)
        self.read_only = read_only
        self._offset = offset

    def next_offset(self, step: int) -> int:
        """An API server's own count: it only grows, with holes, and is another one for each connection."""
        self._offset += step
        return self._offset


class Streams:
    def __init__(
        self,
        exchange: Exchange,
        reads: Reads,
        settings: LighterVenueSettings,
        rng: Rng,
        faults: WireFaults,
        carry_out: Callable[[Fault], None],
    ) -> None:
        """`carry_out` does what a fault of the kind `AT_ONCE` says."""
        self._exchange = exchange
        self._reads = reads
        self._settings = settings
        self._rng = rng
        self._delivery = Delivery[Said](faults, carry_out, self._send)
        self._stats_ms = 0
        self.clients: list[Client] = []
        self.now_ms = 0

    # Subscriptions

    def subscribe(self, client: Client, channel: str, token: str) -> None:
        """Raises Refused."""
        key = self._key(channel)
        if key in client.subscriptions:
            raise Refused(codes.WS_ALREADY, f"Already Subscribed to : {_said(channel)}")
        if len(client.subscriptions) >= self._settings.subscriptions:
            raise Refused(codes.WS_SUBSCRIBE, "Too Many Subscriptions!")
        until_ms = 0
        if key[0] not in _OF_MARKET and key[0] != "height":
            if client.read_only:
                raise Refused(codes.WS_UNSUPPORTED, f"Unsupported Channel: {channel} on a read only connection")
            if not token and key[0] not in _WITHOUT_TOKEN:
                raise Refused(codes.WS_SUBSCRIBE, f"auth field is required for channel {channel}")
            if token:
                until_ms = self._authorised(token)
        client.subscriptions[key] = until_ms
        for body in self._begin(key):
            client.put(_encode(self._framed(client, key, body, "subscribed")))

    def _authorised(self, token: str) -> int:
        try:
            return self._reads.authorise(token, self.now_ms)
        except Refused as refused:
            raise Refused(codes.WS_SUBSCRIBE, refused.text) from None

    def unsubscribe(self, client: Client, channel: str) -> None:
        """Raises Refused."""
        if client.subscriptions.pop(self._key(channel), None) is None:
            raise Refused(codes.WS_NOT_SUBSCRIBED, f"Not Subscribed to : {_said(channel)}")
        client.put(_encode({"type": "unsubscribed", "channel": _said(channel)}))

    def _key(self, channel: str) -> Key:
        """Raises Refused for a channel that does not exist, or is another account's."""
        name, *parts = channel.split("/")
        numbers, own = [str(number) for number in self._exchange.books], str(self._exchange.account.index)
        if name == "height" and not parts:
            return (name,)
        if name in _OF_MARKET and len(parts) == 1 and (parts[0] in numbers or channel == "market_stats/all"):
            return (name, parts[0])
        if name in _OF_ACCOUNT and parts == [own]:
            return (name,)
        if name in _OF_BOTH and len(parts) == 2 and parts[0] in numbers and parts[1] == own:
            return (name, parts[0])
        if name == "candle":
            raise Refused(codes.WS_UNSUPPORTED, f"Unsupported Channel: {channel} is not simulated")
        raise Refused(codes.WS_CHANNEL, f"Invalid Channel: {channel}")

    def _begin(self, key: Key) -> list[dict[str, Any]]:
        """The snapshot of a channel, if it has one."""
        exchange, name = self._exchange, key[0]
        account = exchange.account
        number = int(key[1]) if len(key) > 1 and key[1].isdigit() else 0
        if name == "order_book":
            return [exchange.book_snapshot(number)]
        if name == "ticker":
            return [exchange.ticker(number)]
        if name == "trade":
            rows = list(exchange.books[number].trades)[-_SNAPSHOT_TRADES:]
            return [{"trades": rows, "liquidation_trades": [], "nonce": exchange.books[number].nonce}]
        if name == "market_stats":
            return [self._stats(key)]
        if name == "height":
            return [{"height": exchange.height}]
        if name == "account_all_orders":
            by_market = {str(each): exchange.open_rows(each) for each in exchange.books if exchange.orders_of(each)}
            return [{"orders": by_market}]
        if name == "account_orders":
            nonce = exchange.books[number].nonce
            return [{"account": account.index, "nonce": nonce, "orders": {str(number): exchange.open_rows(number)}}]
        if name == "account_all_trades":
            rows = list(account.trades)[-_SNAPSHOT_TRADES:]
            return [{"trades": rows, "total_volume": 0, "monthly_volume": 0, "weekly_volume": 0, "daily_volume": 0}]
        if name == "account_all_positions":
            return [{"positions": exchange.positions(), "shares": []}]
        if name == "account_all_assets":
            return [{"assets": {"3": account.asset()}}]
        if name == "user_stats":
            return [{"stats": account.stats(exchange.marks())}]
        if name == "account_all":
            assets, positions = {"3": account.asset()}, exchange.positions()
            none: dict[str, Any] = {"trades": {}, "funding_histories": {}, "shares": []}
            return [{"account": account.index, "assets": assets, "positions": positions, **none}]
        if name == "account_market":
            return [exchange.market_of_account(number, exchange.open_rows(number), [])]
        return [{"txs": []}] if name == "account_tx" else [{"notifs": []}]

    def _stats(self, key: Key) -> dict[str, Any]:
        if key[1] == "all":
            return {"market_stats": {str(each): book.stats() for each, book in self._exchange.books.items()}}
        return {"market_stats": self._exchange.books[int(key[1])].stats()}

    # Telling

    def tell(self, said: list[Said], now_ms: int) -> None:
        """What has happened, then what the clock says is due."""
        self.now_ms = now_ms
        for client in self.clients:
            for key in [key for key, until_ms in client.subscriptions.items() if 0 < until_ms <= now_ms]:
                del client.subscriptions[key]  # a token that has ended is the end of what it opened, without a word
        for each in said:
            if any(each.key in client.subscriptions for client in self.clients):
                self._delivery.deliver(each.key[0], each)
        if now_ms >= self._stats_ms:
            self._stats_ms = now_ms + self._settings.stats_interval_ms
            self._tick()
        for client in tuple(self.clients):
            self._keep(client)

    def _tick(self) -> None:
        for key in dict.fromkeys(key for client in self.clients for key in client.subscriptions):
            if key[0] in ("market_stats", "user_stats", "height"):
                self._delivery.deliver(key[0], Said(key, self._begin(key)[0]))

    def _keep(self, client: Client) -> None:
        """Ping a connection, and drop one that is silent or old."""
        limits = self._settings
        if self.now_ms - client.heard_ms >= limits.idle_s * 1000 or self.now_ms - client.opened_ms >= (
            limits.life_s * 1000
        ):
            client.cut()
        elif self.now_ms - client.pinged_ms >= limits.ping_s * 1000:
            client.pinged_ms = self.now_ms
            client.put(b'{"type":"ping"}')

    def _send(self, said: Said, before: bytes | None) -> None:
        for client in tuple(self.clients):
            if said.key in client.subscriptions:
                if before is not None:
                    client.put(before)
                client.put(_encode(self._framed(client, said.key, said.body, "update")))

    def _framed(self, client: Client, key: Key, body: dict[str, Any], verb: str) -> dict[str, Any]:
        name, account = key[0], self._exchange.account.index
        if name in _OF_ACCOUNT:
            channel = f"{name}:{account}"
        elif name == "account_market":
            channel = f"account_market/{key[1]}/{account}"
        else:
            channel = ":".join(key)
        frame = {"channel": channel, **body, "timestamp": self.now_ms, "type": f"{verb}/{name}"}
        if name == "order_book":
            offset = client.next_offset(1 + int(self._rng.uniform() * 5))
            frame |= {"offset": offset, "order_book": {**body["order_book"], "offset": offset}}
        return frame

    def cut_all(self) -> None:
        for client in self.clients:
            client.cut()

    def mute_all(self) -> None:
        for client in self.clients:
            client.mute = True

    def announce_shutdown(self, ms: int) -> None:
        for client in self.clients:
            client.put(_encode({"type": "shutdown", "close_in_ms": ms}))


def _said(channel: str) -> str:
    return channel.replace("/", ":")
