"""The streams of the simulated venue: which connection listens to what, and the life of the listen key.

`/public`, `/market` and `/private` are apart, as since 2026: a stream that is asked for on the wrong one stays silent,
and nobody is told. A connection on `/private` is told of the account while its listen key lives.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from connectors.simulators.binance_usdm.published import Said
from connectors.simulators.binance_usdm.settings import BinanceUsdmSettings
from connectors.simulators.delivery import Delivery
from connectors.simulators.faults import Fault, WireFaults
from connectors.simulators.socket import Socket

PUBLIC, MARKET, PRIVATE, UNROUTED = "public", "market", "private", ""
_ON_PUBLIC = ("depth", "bookTicker", "trade")
_ON_MARKET = ("aggTrade", "markPrice")
_NAME = re.compile(r"^([a-z0-9_]+)@([A-Za-z]+)(?:@(?:\d+ms|\d+s))?$")
_STREAMS_MAX = 1024

_encode = msgspec.json.Encoder().encode


class Listener(Socket):
    """One connected client."""

    def __init__(self, socket: web.WebSocketResponse, transport: Any, route: str, *, wrapped: bool, key: str) -> None:
        super().__init__(socket, transport, text=True)
        self.route = route
        self.wrapped = wrapped
        self.key = key
        self.streams: dict[str, str] = {}
        """Names as they were subscribed, by the stream that they mean."""
        self.heard_ns = 0
        self._second = -1
        self._messages = 0

    def too_many(self, now_ns: int, most: int) -> bool:
        """Count one message of the client."""
        second = now_ns // 1_000_000_000
        if second != self._second:
            self._second, self._messages = second, 0
        self._messages += 1
        return self._messages > most

    def subscribe(self, names: list[str]) -> bool:
        """False, and nothing done, for a name that means nothing."""
        found = [(_NAME.match(name), name) for name in names]
        if any(match is None for match, _ in found) or len(self.streams) + len(names) > _STREAMS_MAX:
            return False
        for match, name in found:
            assert match is not None
            self.streams[f"{match[1]}@{match[2]}"] = name
        return True

    def unsubscribe(self, names: list[str]) -> None:
        self.streams = {stream: name for stream, name in self.streams.items() if name not in names}

    def name_of(self, said: Said, key: str) -> str | None:
        """As which stream the client hears a message; None: it does not."""
        if not said.stream:
            return self.key if self.route == PRIVATE and key and self.key == key else None
        kind = said.stream.partition("@")[2]
        routed = kind in _ON_MARKET if self.route == MARKET else kind in _ON_PUBLIC
        return self.streams.get(said.stream) if routed and self.route != PRIVATE else None


class Streams:
    def __init__(self, settings: BinanceUsdmSettings, faults: WireFaults, carry_out: Callable[[Fault], None]) -> None:
        """`carry_out` does what a fault of the kind `AT_ONCE` says."""
        self._life_ns = round(settings.listen_key_s * 1e9)
        self._delivery = Delivery[Said](faults, carry_out, self._send)
        self.listeners: list[Listener] = []
        self.key = ""
        """The listen key that lives; empty: none."""
        self._key_until_ns = 0
        self._keys_made = 0

    def tell(self, messages: list[Said]) -> None:
        for message in messages:
            self._delivery.deliver(message.channel, message)

    def cut(self, path: str = "/") -> None:
        """Those whose path begins so."""
        for listener in self.listeners:
            if f"/{listener.route}".startswith(path):
                listener.cut()

    def mute(self, path: str = "/") -> None:
        for listener in self.listeners:
            if f"/{listener.route}".startswith(path):
                listener.mute = True

    # Listen key

    def open_key(self, now_ns: int) -> str:
        """The key that lives, or a new one; either lives from now on."""
        self.expire(now_ns)
        if not self.key:
            self._keys_made += 1
            self.key = hashlib.sha256(f"listen key {self._keys_made} {now_ns}".encode()).hexdigest()
        self._key_until_ns = now_ns + self._life_ns
        return self.key

    def extend_key(self, now_ns: int) -> bool:
        self.expire(now_ns)
        self._key_until_ns = now_ns + self._life_ns
        return bool(self.key)

    def close_key(self) -> None:
        self.key = ""

    def expire(self, now_ns: int) -> None:
        """A key that nobody extended: its listeners are told, and hear nothing more."""
        if self.key and now_ns >= self._key_until_ns:
            word = {"e": "listenKeyExpired", "E": now_ns // 1_000_000, "listenKey": self.key}
            self._send(Said("listenKeyExpired", "", word), None)
            self.key = ""

    def _send(self, said: Said, before: bytes | None) -> None:
        frame = _encode(said.data)
        for listener in tuple(self.listeners):
            name = listener.name_of(said, self.key)
            if name is not None:
                if before is not None:
                    listener.put(before)
                listener.put(_encode({"stream": name, "data": said.data}) if listener.wrapped else frame)
