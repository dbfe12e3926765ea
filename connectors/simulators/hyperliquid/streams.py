"""Who listens to what at the simulated Hyperliquid, what a subscription begins with, and what goes wrong on the way."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from connectors.simulators.delivery import Delivery
from connectors.simulators.faults import Fault, WireFaults
from connectors.simulators.hyperliquid import wire
from connectors.simulators.hyperliquid.exchange import Exchange, Key, Said, trade_row
from connectors.simulators.hyperliquid.info import FAST, FULL, Info, good_aggregation
from connectors.simulators.hyperliquid.settings import HyperliquidVenueSettings
from connectors.simulators.socket import Socket

_CHANNELS = {"userEvents": "user"}
"""Where the channel of the data is not the name of the subscription."""
_OF_COIN = frozenset({"l2Book", "bbo", "trades", "activeAssetCtx"})
_OF_USER = frozenset({"orderUpdates", "userFills", "userEvents", "userFundings"})
_HISTORY_MS = 20_000
_PAST_FILLS = 2000
_MIDS_MS = 5000

_encode = msgspec.json.Encoder().encode


class DropConnection(Exception):
    """What the venue answers to by dropping the whole connection, without a word."""


class Client(Socket):
    """One connection: its subscriptions by what they listen to, as they were asked for."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, now_ms: int) -> None:
        super().__init__(socket, transport, text=True)
        self.subscriptions: dict[Key, dict[str, Any]] = {}
        self.posts = 0
        self.told_ms = now_ms
        """When anything was last sent."""

    @property
    def users(self) -> set[str]:
        return {key[1] for key in self.subscriptions if key[0] in _OF_USER}


class Streams:
    def __init__(
        self,
        exchange: Exchange,
        info: Info,
        settings: HyperliquidVenueSettings,
        faults: WireFaults,
        carry_out: Callable[[Fault], None],
    ) -> None:
        """`carry_out` does what a fault of the kind `AT_ONCE` says."""
        self._exchange = exchange
        self._info = info
        self._settings = settings
        self._delivery = Delivery[Said](faults, carry_out, self._send)
        self._due_ms: dict[str, int] = {}
        self.clients: list[Client] = []
        self.now_ms = 0

    # Subscriptions

    def subscribe(self, client: Client, asked: wire.Subscription) -> None:
        """Acknowledge, then tell what a subscription begins with. Raises DropConnection for what the venue cannot
        stand, ValueError for what it does not understand."""
        key, full = self._key(asked)
        if key in client.subscriptions:
            self.say(client, "error", f"Already subscribed: {msgspec.json.encode(full).decode()}")
            return
        limits, others = self._settings, [each for other in self.clients for each in other.subscriptions]
        users = {each[1] for each in [*others, key] if each[0] in _OF_USER}
        if len(others) >= limits.subscriptions or len(users) > limits.users:
            what = "subscriptions" if len(others) >= limits.subscriptions else "users"
            self.say(client, "error", f"Cannot track more than {getattr(limits, what)} total {what}.")
            return
        client.subscriptions[key] = full
        self.say(client, "subscriptionResponse", {"method": "subscribe", "subscription": full})
        self._begin(client, key)

    def unsubscribe(self, client: Client, asked: wire.Subscription) -> None:
        """Raises as `subscribe`."""
        key, full = self._key(asked)
        if client.subscriptions.pop(key, None) is None:
            self.say(client, "error", f"Already unsubscribed: {msgspec.json.encode(full).decode()}")
            return
        self.say(client, "subscriptionResponse", {"method": "unsubscribe", "subscription": full})

    def _key(self, asked: wire.Subscription) -> tuple[Key, dict[str, Any]]:
        """What a subscription listens to, and how it is acknowledged: with the defaults filled in."""
        kind = asked.type
        if kind == "allMids":
            return (kind,), {"type": kind}
        if kind in _OF_COIN:
            if asked.coin is None:
                raise ValueError("no coin")
            if asked.coin not in self._exchange.by_coin:
                raise DropConnection
            if kind != "l2Book":
                return (kind, asked.coin), {"type": kind, "coin": asked.coin}
            if not good_aggregation(asked.nSigFigs, asked.mantissa):
                raise DropConnection
            full = {"nSigFigs": asked.nSigFigs, "mantissa": asked.mantissa, "fast": asked.fast}
            pace = "fast" if asked.fast else "full"
            key = (kind, asked.coin, pace, str(asked.nSigFigs), str(asked.mantissa))
            return key, {"type": kind, "coin": asked.coin, **full}
        if kind in _OF_USER and asked.user is not None:
            return (kind, asked.user.lower()), {"type": kind, "user": asked.user.lower()}
        raise ValueError(f"no subscription {kind}")

    def _begin(self, client: Client, key: Key) -> None:
        kind = key[0]
        if kind == "trades":
            market = self._exchange.by_coin[key[1]]
            past = [trade for trade in market.trades if trade.time_ms >= self.now_ms - _HISTORY_MS]
            if past:
                self.say(client, kind, [trade_row(market, trade) for trade in past])
        elif kind in ("userFills", "userFundings"):
            account = self._exchange.accounts.get(key[1])
            name = "fills" if kind == "userFills" else "fundings"
            rows: list[Any] = []
            if account is not None:
                rows = list(reversed(account.fills if kind == "userFills" else account.funding))[:_PAST_FILLS]
            self.say(client, kind, {"isSnapshot": True, "user": key[1], name: rows})

    # Telling

    def tell(self, said: list[Said], now_ms: int) -> None:
        """What has happened, then what the venue's clocks say is due."""
        self.now_ms = now_ms
        for each in said:
            self._tell(each)
        for name, period_ms in (
            ("fast", self._settings.fast_book_ms),
            ("full", self._settings.full_book_ms),
            ("context", self._settings.context_ms),
            ("mids", _MIDS_MS),
        ):
            if now_ms >= self._due_ms.get(name, 0):
                self._due_ms[name] = now_ms + period_ms
                self._tick(name)
        for client in tuple(self.clients):
            if now_ms - client.told_ms >= self._settings.silence_s * 1000:
                client.cut()

    def _tick(self, name: str) -> None:
        wanted = dict.fromkeys(key for client in self.clients for key in client.subscriptions)
        for key in wanted:
            if name == "mids" and key == ("allMids",):
                self._tell(Said(key, {"mids": self._info.mids()}))
            elif name == "context" and key[0] == "activeAssetCtx":
                context = self._info.context(self._exchange.by_coin[key[1]])
                self._tell(Said(key, {"coin": key[1], "ctx": context}))
            elif key[0] == "l2Book" and key[2] == name:
                market = self._exchange.by_coin[key[1]]
                figures, mantissa = (None if part == "None" else int(part) for part in key[3:])
                levels = FAST if name == "fast" else FULL
                self._tell(Said(key, self._info.book(market, levels, figures, mantissa)))

    def _tell(self, said: Said) -> None:
        channel = said.key[0]
        if not any(said.key in client.subscriptions for client in self.clients):
            return
        self._delivery.deliver(channel, said)

    def _send(self, said: Said, before: bytes | None) -> None:
        channel = said.key[0]
        if channel == "activeAssetCtx" and self._exchange.by_coin[said.key[1]].pair is not None:
            channel = "activeSpotAssetCtx"
        frame = _frame(channel, said.data)
        for client in tuple(self.clients):
            if said.key in client.subscriptions:
                if before is not None:
                    client.put(before)
                self.put(client, frame)

    def say(self, client: Client, channel: str, data: Any) -> None:
        """Something for one client alone."""
        self.put(client, _frame(channel, data))

    def put(self, client: Client, frame: bytes) -> None:
        client.told_ms = self.now_ms
        client.put(frame)

    def cut_all(self) -> None:
        for client in self.clients:
            client.cut()

    def mute_all(self) -> None:
        for client in self.clients:
            client.mute = True


def _frame(channel: str, data: Any) -> bytes:
    return _encode({"channel": _CHANNELS.get(channel, channel), "data": data})
