"""The simulated indexer's websocket: who listens to what, message ids, batches, and what goes wrong on the way.

A subscribe request takes its message id when it is received, and is answered behind what was said meanwhile when a
fault delays it (`late_subscribed_ms`). Ids are per connection, over all channels.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
from aiohttp import WSCloseCode, web

from connectors.simulators.dydx.chain import Chain
from connectors.simulators.dydx.indexer import Indexer
from connectors.simulators.dydx.news import BOOK, HEIGHT, MARKETS, SUBACCOUNTS, TRADES, Said
from connectors.simulators.faults import Fault, FaultKind, FaultPoint, WireFaults
from connectors.simulators.socket import Socket
from mm_daemon.domain.rng import Rng

_OVERSIZED = b" " * (5 << 20)
_VERSIONS = {BOOK: "1.0.0", TRADES: "2.1.0", MARKETS: "1.0.0", SUBACCOUNTS: "3.0.0", HEIGHT: "1.0.0"}
PARENTS = "v4_parent_subaccounts"
_VERSIONS[PARENTS] = "3.0.0"
_CANDLES = "v4_candles"
_VERSIONS[_CANDLES] = "1.0.0"
_ACCOUNT_SUBSCRIPTIONS = 256
_PER_SECOND = 2
_PARENT_EVERY = 128

_encode = msgspec.json.Encoder().encode


class Client(Socket):
    """One connection."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None, name: str) -> None:
        super().__init__(socket, transport, text=True)
        self.id = name
        self.subscriptions: dict[tuple[str, str], bool] = {}
        """(channel, id) to whether it is batched."""
        self.batches: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.message_id = 0
        self.heard_pong = True
        self.tries: dict[tuple[str, str], list[int]] = {}
        """When each channel was subscribed to within the last second, ns."""
        self.invalid: list[int] = []
        self._closing: asyncio.Task[None] | None = None

    def next_id(self) -> int:
        self.message_id += 1
        return self.message_id

    def close(self, code: int, reason: str) -> None:
        """Close behind what waits."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close(code, reason))

    async def _close(self, code: int, reason: str) -> None:
        while self._waiting and not self.mute:  # noqa: ASYNC110 - the queue has no event for being empty
            await asyncio.sleep(0.001)
        await self.socket.close(code=code, message=reason.encode())


class Streams:
    def __init__(
        self, chain: Chain, indexer: Indexer, faults: WireFaults, rng: Rng, carry_out: Callable[[Fault], None]
    ) -> None:
        self._chain = chain
        self._indexer = indexer
        self._faults = faults
        self._rng = rng
        self._carry_out = carry_out
        self._held: dict[str, list[Said]] = {}
        self.clients: list[Client] = []
        self.skip_ids = 0
        """How many next messages are preceded by an id that nobody ever gets."""
        self.late_subscribed_ms = 0
        """How late the next answer to a subscribe request of `late_channel` comes; "": of any."""
        self.late_channel = ""

    def new(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> Client:
        name = str(UUID(int=self._rng.bits() << 64 | self._rng.bits(), version=4))
        client = Client(socket, transport, name)
        self.clients.append(client)
        client.put(_encode({"type": "connected", "connection_id": client.id, "message_id": 0}))
        return client

    # What clients say

    def hear(self, client: Client, data: bytes, now_ns: int) -> None:
        try:
            asked = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._invalid(client, "Invalid message: could not parse", now_ns)
            return
        if not isinstance(asked, dict) or "type" not in asked:
            self._invalid(client, "Invalid message: type is required", now_ns)
            return
        kind, channel = asked["type"], str(asked.get("channel", ""))
        if kind == "ping":
            return
        if kind not in ("subscribe", "unsubscribe"):
            self._invalid(client, f"Invalid message type: {kind}", now_ns)
        elif channel not in _VERSIONS:
            self._invalid(client, f"Invalid channel: {channel}", now_ns)
        elif kind == "subscribe":
            self._subscribe(client, channel, str(asked.get("id", "")), bool(asked.get("batched", False)), now_ns)
        else:
            name = _id_of(channel, str(asked.get("id", "")))
            client.subscriptions.pop((channel, name), None)
            client.batches.pop((channel, name), None)
            self._send(client, {"type": "unsubscribed", **_head(client, channel, name)})

    def _invalid(self, client: Client, text: str, now_ns: int, **more: str) -> None:
        client.invalid = [*(at for at in client.invalid if now_ns - at < 10**9), now_ns]
        self._error(client, text, **more)
        if len(client.invalid) > _PER_SECOND:
            client.close(WSCloseCode.POLICY_VIOLATION, "Rate limited")

    def _error(self, client: Client, text: str, **more: str) -> None:
        """Errors repeat the current id."""
        row = {"type": "error", "message": text, "connection_id": client.id, "message_id": client.message_id}
        client.put(_encode(row | more))

    def _subscribe(self, client: Client, channel: str, asked_id: str, batched: bool, now_ns: int) -> None:
        name = _id_of(channel, asked_id)
        key = (channel, name)
        client.tries[key] = [*(at for at in client.tries.get(key, ()) if now_ns - at < 10**9), now_ns]
        if len(client.tries[key]) > _PER_SECOND:
            text = f"Too many subscribe attempts for channel {channel}-{name}. Please  reconnect and try again."
            self._error(client, text)
            client.close(WSCloseCode.POLICY_VIOLATION, "Rate limited")
            return
        if key in client.subscriptions:
            text = f"Invalid subscribe message: already subscribed ({channel}-{name})"
            self._error(client, text, channel=channel, id=name)
            return
        private = channel in (SUBACCOUNTS, PARENTS)
        limit = _ACCOUNT_SUBSCRIPTIONS if private else self._chain.settings.subscriptions
        if sum(each == channel for each, _ in client.subscriptions) >= limit:
            self._error(client, f"Per-connection subscription limit reached for {channel} (limit={limit}).")
            return
        contents = self._snapshot(channel, name)
        if contents is None:
            self._invalid(client, f"Invalid subscription id for channel: ({channel}-{name})", now_ns)
            return
        row = {"type": "subscribed", **_head(client, channel, name), "contents": contents}
        late_ms = self.late_subscribed_ms if self.late_channel in ("", channel) else 0
        self.late_subscribed_ms -= late_ms
        client.subscriptions[key] = batched
        if late_ms:
            asyncio.get_running_loop().call_later(late_ms / 1000, client.put, _encode(row))
        else:
            client.put(_encode(row))

    def _snapshot(self, channel: str, name: str) -> dict[str, Any] | None:
        chain, indexer = self._chain, self._indexer
        if channel == MARKETS:
            return indexer.markets()
        if channel == HEIGHT:
            return {"height": str(chain.height), "time": chain.time}
        if channel == _CANDLES:
            return {"candles": []} if name.partition("/")[0] in chain.by_ticker else None
        if channel in (BOOK, TRADES):
            market = chain.by_ticker.get(name)
            if market is None:
                return None
            return market.shown() if channel == BOOK else {"trades": list(market.trades)}
        address, _, number = name.partition("/")
        if not number.isdigit() or (channel == PARENTS and int(number) >= _PARENT_EVERY):
            return None
        subaccount = indexer.find(address, int(number))
        if subaccount is None:
            return {}
        orders = indexer.open_orders(subaccount)
        return {
            "subaccount": indexer.subaccount(subaccount),
            "orders": orders,
            "blockHeight": str(chain.height),
        }

    # What clients are told

    def tell(self, said: list[Said]) -> None:
        for each in said:
            self._tell(each)

    def flush(self) -> None:
        """Send what waits in batches."""
        for client in self.clients:
            batches, client.batches = client.batches, {}
            for (channel, name), contents in batches.items():
                row = {"type": "channel_batch_data", **_head(client, channel, name), "version": _VERSIONS[channel]}
                self._send(client, row | {"contents": contents})

    def _tell(self, said: Said) -> None:
        fault = self._faults.strike(FaultPoint.MESSAGE, said.channel)
        kind = None if fault is None else fault.kind
        held = self._held.pop(said.channel, [])
        if fault is not None and fault.point is FaultPoint.AT_ONCE:
            self._carry_out(fault)
        if kind is FaultKind.REORDER:
            self._held[said.channel] = [said]
        elif kind is FaultKind.DELAY_MESSAGE and fault is not None:
            asyncio.get_running_loop().call_later(fault.ms / 1000, self._deliver, said)
        elif kind is FaultKind.LOSE_MESSAGE:
            self._deliver(said, lose=True)
        else:
            before = {FaultKind.MALFORMED: b'{"type":', FaultKind.OVERSIZED: _OVERSIZED}.get(kind) if kind else None
            self._deliver(said, before)
            if kind is FaultKind.DUPLICATE:
                self._deliver(said)
        for late in held:
            self._deliver(late)

    def _deliver(self, said: Said, before: bytes | None = None, *, lose: bool = False) -> None:
        """To everyone who listens. `lose`: it never comes, and leaves a hole in the ids."""
        skip, self.skip_ids = (1, self.skip_ids - 1) if self.skip_ids else (0, 0)
        for client in tuple(self.clients):
            for channel, name in _keys(said):
                batched = client.subscriptions.get((channel, name))
                if batched is None:
                    continue
                contents = said.contents
                if channel == PARENTS:
                    contents = contents | {"subaccountNumber": int(said.id.rpartition("/")[2])}
                if batched and not lose:
                    client.batches.setdefault((channel, name), []).append(contents)
                    continue
                client.message_id += skip
                if before is not None:
                    client.put(before)
                head = _head(client, channel, name)
                if not lose:
                    self._send(
                        client, {"type": "channel_data", **head, "version": _VERSIONS[channel], "contents": contents}
                    )

    @staticmethod
    def _send(client: Client, row: dict[str, Any]) -> None:
        client.put(_encode(row))

    def close_all(self, code: int, reason: str) -> None:
        for client in self.clients:
            client.close(code, reason)

    def cut_all(self) -> None:
        for client in self.clients:
            client.cut()

    def mute_all(self) -> None:
        for client in self.clients:
            client.mute = True


def _id_of(channel: str, asked: str) -> str:
    return "" if channel == MARKETS else HEIGHT if channel == HEIGHT else asked


def _head(client: Client, channel: str, name: str) -> dict[str, Any]:
    """v4_markets has no id."""
    head: dict[str, Any] = {"connection_id": client.id, "message_id": client.next_id(), "channel": channel}
    return head | {"id": name} if name else head


def _keys(said: Said) -> tuple[tuple[str, str], ...]:
    if said.channel != SUBACCOUNTS:
        return ((said.channel, said.id),)
    address, _, number = said.id.partition("/")
    return ((SUBACCOUNTS, said.id), (PARENTS, f"{address}/{int(number) % _PARENT_EVERY}"))
