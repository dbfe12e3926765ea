"""The simulated dYdX behind sockets, all on one port: indexer REST under `/v4/`, its websocket at `/v4/ws`, a node's
CometBFT JSON-RPC and Cosmos REST at the root and again under `/nodes/<name>/`, so that one node can fail and another
answer. `/control` orders faults, from this machine only.

A fault strikes by the path: `/v4/orders`, `/broadcast_tx_sync` (also when it came as JSON-RPC), `/nodes/b`.
"""

import asyncio
import base64
import binascii
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from connectors.simulators.dydx.accounts import Permission
from connectors.simulators.dydx.chain import Answer, Chain
from connectors.simulators.dydx.indexer import Indexer, Invalid, NotFound, limiter
from connectors.simulators.dydx.market import plain
from connectors.simulators.dydx.news import Said
from connectors.simulators.dydx.settings import DydxVenueSettings
from connectors.simulators.dydx.state import Trouble
from connectors.simulators.dydx.stateful import EQUITY_TIERS
from connectors.simulators.dydx.streams import Client, Streams
from connectors.simulators.faults import Fault, FaultKind, FaultPoint, WireFaults
from connectors.simulators.pulse import Pulse
from connectors.simulators.socket import cut, from_here
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.orders import Side
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.simulator import SimulatorContext

_BODY_MAX = 1 << 18
_NS_PER_MS = 1_000_000
_INDEXER_WINDOW_NS = 10 * 10**9
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Hit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/fill`: have so many lots of an order filled. `cancelled`: also one that the node has dropped."""

    order: str
    lots: int
    cancelled: bool = False


class _Trouble(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Trouble
    times: int = 1


class _Halt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/halt`: no block is made for so long; nodes and indexer go on answering."""

    ms: int


class _Level(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/level`: tell listeners of a level that the node does not have."""

    ticker: str
    side: str
    ticks: int
    lots: int


class _Status(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    ticker: str
    status: str


class _Permit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: str
    public_key: str
    subaccounts: tuple[int, ...] | None = None
    pairs: tuple[int, ...] | None = None


class _Revoke(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: str
    id: int


class _Deposit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: str
    number: int
    usdc: Decimal


class _Stream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/stream`: ids that are skipped, a late answer to a subscription, a close with a code."""

    skip_ids: int = 0
    late_subscribed_ms: int = 0
    late_channel: str = ""
    close: int | None = None
    lag_ms: int | None = None


class DydxVenue:
    """Structurally a `VenueSimulator`."""

    Settings: ClassVar[type[msgspec.Struct]] = DydxVenueSettings

    def __init__(self, context: SimulatorContext, settings: DydxVenueSettings | None = None) -> None:
        """Raises ConfigError for markets that are set and not traded, and for a state_dir: accounts live as long as the
        process."""
        self._context = context
        self._settings = settings = settings or DydxVenueSettings()
        unknown = [ticker for ticker in settings.markets if ticker not in context.symbols]
        if unknown:
            raise ConfigError(f"settings: markets.{unknown[0]} is not among --symbols {','.join(context.symbols)}")
        if context.state_dir is not None:
            raise ConfigError("simulate dydx keeps no accounts on disk: leave --state-dir out")
        self._step_ns = 0
        self.lag_ms = settings.indexer_lag_ms
        self.faults = WireFaults(Rng(context.seed).split("faults"), settings.chances)
        self.chain = Chain(context.symbols, settings, context.seed, context.now_ns())
        self._indexer = Indexer(self.chain, self._now_ns, self._lag_blocks)
        self.streams = Streams(
            self.chain, self._indexer, self.faults, Rng(context.seed).split("connections"), self._carry_out
        )
        self._spent: dict[str, deque[int]] = {}
        self.acted: Counter[str] = Counter()
        """How often each thing was asked that may change something here."""
        self._pulse = Pulse(self._live)
        self._down_until_ns = 0
        self._up = True

    def described(self, address: str) -> dict[str, Any]:
        """Where it is, and the accounts to trade with: play money, so that their keys may be shown."""
        accounts = [
            {"address": owner.address, "private_key": key.hex(), "account_number": owner.number}
            for owner, key in zip(self.chain.owners.values(), self.chain.keys, strict=True)
        ]
        return {
            "venue": "dydx",
            "rest": f"http://{address}",
            "ws": f"ws://{address}/v4/ws",
            "node": f"http://{address}",
            "chain_id": self._settings.chain_id,
            "accounts": accounts,
            "symbols": list(self.chain.by_ticker),
        }

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until cancelled. Raises OSError when the port cannot be had."""
        failed = self._pulse.start()
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        batching = pinging = None
        try:
            await web.TCPSite(runner, self._context.host, self._context.port).start()
            host, port = runner.addresses[0][:2]
            self._address = f"{host}:{port}"
            self._pulse.beat()
            batching, pinging = asyncio.ensure_future(self._batch()), asyncio.ensure_future(self._ping())
            listening(self._address)
            await failed
        finally:
            self._up = False
            self._pulse.stop()
            for task in (batching, pinging):
                if task is not None:
                    task.cancel()
            self.streams.cut_all()
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._guard], client_max_size=_BODY_MAX)
        node: list[web.RouteDef] = []
        for prefix in ("", "/nodes/{node}"):
            node += [
                web.post(f"{prefix}/", self._rpc),
                web.get(f"{prefix}/broadcast_tx_sync", self._broadcast_get),
                web.get(f"{prefix}/abci_info", self._abci_info_get),
                web.get(f"{prefix}/cosmos/auth/v1beta1/account_info/{{address}}", self._account_info),
                web.get(f"{prefix}/cosmos/base/tendermint/v1beta1/blocks/latest", self._latest_block),
                web.get(f"{prefix}/dydxprotocol/accountplus/authenticators/{{address}}", self._authenticators),
                web.get(f"{prefix}/dydxprotocol/clob/block_rate", self._block_rate),
                web.get(f"{prefix}/dydxprotocol/clob/equity_tier", self._equity_tier),
                web.get(f"{prefix}/dydxprotocol/v4/feetiers/user_fee_tier", self._user_fee_tier),
            ]
        node.insert(0, web.post("/nodes/{node}", self._rpc))
        application.add_routes(
            [
                web.get("/v4/ws", self._socket),
                web.get("/v4/{rest:.*}", self._read),
                *node,
                web.get("/control/venue", self._described),
                web.post("/control/fault", self._on_fault),
                web.post("/control/fill", self._on_fill),
                web.post("/control/trouble", self._on_trouble),
                web.post("/control/halt", self._on_halt),
                web.post("/control/level", self._on_level),
                web.post("/control/status", self._on_status),
                web.post("/control/permit", self._on_permit),
                web.post("/control/revoke", self._on_revoke),
                web.post("/control/deposit", self._on_deposit),
                web.post("/control/stream", self._on_stream),
                web.get("/control/struck", self._on_struck),
                web.get("/control/acted", self._acted),
            ]
        )
        return application

    # Time

    def _now_ns(self) -> int:
        return self._context.now_ns() + self._step_ns

    def _lag_blocks(self) -> int:
        return self.lag_ms // self._settings.block_ms

    def _live(self) -> float | None:
        """Let the chain live up to now and tell the streams; seconds until it next has something to do."""
        if not self._up:
            return None
        said = self.chain.advance(max(self._now_ns(), self.chain.block_ns))
        if self.lag_ms and said:
            asyncio.get_running_loop().call_later(self.lag_ms / 1000, self._tell, said)
        else:
            self._tell(said)
        return (self.chain.next_deadline_ns() - self._now_ns()) / 1e9

    def _tell(self, said: list[Said]) -> None:
        if self._up:
            self.streams.tell(said)

    async def _batch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.batch_ms / 1000)
            self.streams.flush()

    async def _ping(self) -> None:
        """A ping to everyone now and then; who does not answer in time is closed."""
        settings = self._settings
        while True:
            await asyncio.sleep(settings.ping_s)
            for client in tuple(self.streams.clients):
                client.heard_pong = False
                if not client.mute and not client.socket.closed:
                    await client.socket.ping()
            await asyncio.sleep(settings.pong_s)
            for client in tuple(self.streams.clients):
                if not client.heard_pong:
                    client.close(WSCloseCode.INTERNAL_ERROR, "Heartbeat timeout")

    # Every request

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        control = request.path.startswith("/control/")
        if control and not from_here(request):
            return web.Response(status=403)
        if control:
            return await handler(request)
        if not self._up or self._now_ns() < self._down_until_ns:
            return cut(request)
        fault = self.faults.strike(FaultPoint.REQUEST, request.path)
        if fault is not None and fault.kind is not FaultKind.RATE_LIMIT and fault.kind is not FaultKind.BAN:
            return cut(request) if fault.kind is FaultKind.LOSE_REQUEST else web.Response(status=503)
        if request.path != "/v4/ws":
            refused = self._too_many(request, fault)
            if refused is not None:
                return refused
        response = await handler(request)
        if isinstance(response, web.WebSocketResponse):
            return response
        fault = self.faults.strike(FaultPoint.REPLY, request.path)
        if fault is not None and fault.kind is FaultKind.LOSE_REPLY:
            return cut(request)
        if fault is not None:
            await asyncio.sleep(fault.ms / 1000)
        return response

    def _too_many(self, request: web.Request, fault: Fault | None) -> web.Response | None:
        """429 over a limit: the indexer's name their wait in milliseconds, a node's say nothing."""
        now_ns, path = self._now_ns(), request.path
        indexer = path.startswith("/v4/")
        name = limiter(path) if indexer else "node"
        limit = self._settings.indexer_requests_per_10s if indexer else self._settings.node_requests_per_s
        window_ns = _INDEXER_WINDOW_NS if indexer else 10**9
        spent = self._spent.setdefault(name, deque())
        while spent and spent[0] <= now_ns - window_ns:
            spent.popleft()
        if fault is None and len(spent) < limit:
            spent.append(now_ns)
            return None
        wait_ms = fault.ms if fault is not None else (spent[0] + window_ns - now_ns) // _NS_PER_MS + 1
        if not indexer:
            return web.Response(status=429, text="too many requests")
        headers = {
            "RateLimit-Remaining": "0",
            "RateLimit-Reset": str(now_ns // _NS_PER_MS + wait_ms),
            "RateLimit-Limit": str(limit),
            "Retry-After": str(wait_ms),
        }
        return _json({"errors": [{"msg": "Too many requests"}]}, status=429, headers=headers)

    # Indexer

    async def _read(self, request: web.Request) -> web.Response:
        self._pulse.beat()
        if self._settings.geoblocked:
            text = "Because you appear to be a resident of a restricted country, you may not use this service."
            return _json({"errors": [{"code": "GEOBLOCKED", "msg": text}]}, status=403)
        try:
            return _json(self._indexer.answer(request.path, request.query))
        except NotFound as missing:
            return _json({"errors": [{"msg": str(missing)}]}, status=404)
        except Invalid as invalid:
            return _json({"errors": [invalid.row]}, status=400)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False, max_msg_size=_BODY_MAX, timeout=0.2, compress=False)
        await socket.prepare(request)
        client = self.streams.new(socket, request.transport)
        writing = asyncio.ensure_future(client.write())
        try:
            await self._listen(client)
        finally:
            self.streams.clients.remove(client)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return socket

    async def _listen(self, client: Client) -> None:
        async for frame in client.socket:
            if client.mute:
                continue
            if frame.type is WSMsgType.PING:
                await client.socket.pong(frame.data)
            elif frame.type is WSMsgType.PONG:
                client.heard_pong = True
            elif frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._pulse.beat()
                data = frame.data.encode() if isinstance(frame.data, str) else frame.data
                self.streams.hear(client, data, self._now_ns())

    # Node

    async def _rpc(self, request: web.Request) -> web.Response:
        """CometBFT's JSON-RPC."""
        try:
            asked = msgspec.json.decode(await request.read())
            method, number, params = asked["method"], asked.get("id", -1), asked.get("params") or {}
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
            return _json({"jsonrpc": "2.0", "id": -1, "error": {"code": -32700, "message": "Parse error"}}, status=500)
        if method == "abci_info":
            return _json({"jsonrpc": "2.0", "id": number, "result": self._abci_info()})
        if method not in ("broadcast_tx_sync", "broadcast_tx_async"):
            error = {"code": -32601, "message": "Method not found"}
            return _json({"jsonrpc": "2.0", "id": number, "error": error}, status=404)
        try:
            raw = base64.b64decode(str(params["tx"]), validate=True)
        except (KeyError, TypeError, binascii.Error):
            error = {"code": -32602, "message": "Invalid params", "data": "error converting json params to arguments"}
            return _json({"jsonrpc": "2.0", "id": number, "error": error}, status=500)
        return await self._broadcast(request, raw, number)

    async def _broadcast_get(self, request: web.Request) -> web.Response:
        try:
            raw = bytes.fromhex(request.query.get("tx", "").removeprefix("0x"))
        except ValueError:
            error = {"code": -32602, "message": "Invalid params"}
            return _json({"jsonrpc": "2.0", "id": -1, "error": error}, status=500)
        return await self._broadcast(request, raw, -1)

    async def _broadcast(self, request: web.Request, raw: bytes, number: Any) -> web.Response:
        where = "/broadcast_tx_sync"
        self.acted[where] += 1
        if not request.path.endswith(where):
            fault = self.faults.strike(FaultPoint.REQUEST, where)
            if fault is not None:
                return cut(request) if fault.kind is FaultKind.LOSE_REQUEST else web.Response(status=503)
        self._pulse.beat()
        answer = self.chain.broadcast(raw, self._now_ns())
        self._pulse.beat()
        if not request.path.endswith(where):
            fault = self.faults.strike(FaultPoint.REPLY, where)
            if fault is not None and fault.kind is FaultKind.LOSE_REPLY:
                return cut(request)
            if fault is not None:
                await asyncio.sleep(fault.ms / 1000)
        return _json(_rpc_answer(answer, number), status=500 if answer.cached else 200)

    def _abci_info(self) -> dict[str, Any]:
        self._pulse.beat()
        info = {"data": "dydxprotocol", "version": "9.6.1", "last_block_height": str(self.chain.height)}
        return {"response": info | {"last_block_app_hash": base64.b64encode(bytes(32)).decode()}}

    async def _abci_info_get(self, request: web.Request) -> web.Response:
        return _json({"jsonrpc": "2.0", "id": -1, "result": self._abci_info()})

    async def _account_info(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        owner = self.chain.owners.get(address)
        if owner is None:
            text = f"rpc error: code = NotFound desc = account {address} not found: key not found"
            return _json({"code": 5, "message": text, "details": []}, status=404)
        key = {"@type": "/cosmos.crypto.secp256k1.PubKey", "key": base64.b64encode(owner.public_key).decode()}
        numbers = {"account_number": str(owner.number), "sequence": str(owner.sequence)}
        return _json({"info": {"address": address, "pub_key": key, **numbers}})

    async def _authenticators(self, request: web.Request) -> web.Response:
        owner = self.chain.owners.get(request.match_info["address"])
        permitted = {} if owner is None else owner.authenticators
        rows = [{"id": str(number), "type": "AllOf", "config": _as_set(each)} for number, each in permitted.items()]
        return _json({"account_authenticators": rows})

    async def _latest_block(self, request: web.Request) -> web.Response:
        self._pulse.beat()
        header = {"chain_id": self._settings.chain_id, "height": str(self.chain.height), "time": self.chain.time}
        return _json({"block": {"header": header}})

    async def _block_rate(self, request: web.Request) -> web.Response:
        short = [{"num_blocks": 5, "limit": self._settings.short_term_per_5_blocks}]
        return _json(
            {
                "block_rate_limit_config": {
                    "max_short_term_orders_per_n_blocks": [],
                    "max_stateful_orders_per_n_blocks": [
                        {"num_blocks": blocks, "limit": limit} for blocks, limit in self._settings.stateful_limits
                    ],
                    "max_short_term_order_cancellations_per_n_blocks": [],
                    "max_short_term_orders_and_cancels_per_n_blocks": short,
                    "max_leverage_updates_per_n_blocks": [],
                }
            }
        )

    async def _equity_tier(self, request: web.Request) -> web.Response:
        tiers = [{"usd_tnc_required": str(least * 10**6), "limit": limit} for least, limit in EQUITY_TIERS]
        config = {"short_term_order_equity_tiers": [], "stateful_order_equity_tiers": tiers}
        return _json({"equity_tier_limit_config": config})

    async def _user_fee_tier(self, request: web.Request) -> web.Response:
        tier = {
            "name": "1",
            "absolute_volume_requirement": "0",
            "total_volume_share_requirement_ppm": 0,
            "maker_volume_share_requirement_ppm": 0,
            "maker_fee_ppm": self._settings.maker_fee_ppm,
            "taker_fee_ppm": self._settings.taker_fee_ppm,
        }
        return _json({"index": 0, "tier": tier})

    # Faults and control

    def _carry_out(self, fault: Fault) -> None:
        if fault.kind is FaultKind.DISCONNECT:
            self.streams.cut_all()
        elif fault.kind is FaultKind.HALF_OPEN:
            self.streams.mute_all()
        elif fault.kind is FaultKind.CLOCK_STEP:
            self._step_ns += fault.ms * _NS_PER_MS
        elif fault.kind is FaultKind.RESTART:
            self._down_until_ns = self._now_ns() + fault.ms * _NS_PER_MS
            self.streams.close_all(WSCloseCode.SERVICE_RESTART, "Service restart")

    async def _described(self, request: web.Request) -> web.Response:
        return _json(self.described(self._address))

    async def _on_fault(self, request: web.Request) -> web.Response:
        fault = msgspec.json.decode(await request.read(), type=Fault)
        if fault.point is FaultPoint.AT_ONCE:
            self.faults.struck[fault.kind] += 1
            self._carry_out(fault)
        else:
            self.faults.order(fault)
        return _json({})

    async def _on_fill(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Hit)
        self._pulse.beat()
        found = [order for order in self.chain.orders.values() if order.uuid == wanted.order]
        done = self.chain.hit(found[0], wanted.lots, cancelled=wanted.cancelled) if found else 0
        self._pulse.beat()
        return _json({"filled": done}, status=200 if done else 404)

    async def _on_trouble(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Trouble)
        self.chain.troubles[wanted.kind] += wanted.times
        return _json({})

    async def _on_halt(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Halt)
        self.chain.halt(self._now_ns() + wanted.ms * _NS_PER_MS)
        return _json({})

    async def _on_level(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Level)
        market = self.chain.by_ticker[wanted.ticker]
        side = Side.BUY if wanted.side == "BUY" else Side.SELL
        self.chain.news.level(market, side, wanted.ticks, wanted.lots)
        self._pulse.beat()
        return _json({})

    async def _on_status(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Status)
        self.chain.set_status(self.chain.by_ticker[wanted.ticker], wanted.status)
        self._pulse.beat()
        return _json({})

    async def _on_permit(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Permit)
        permission = Permission(bytes.fromhex(wanted.public_key), wanted.subaccounts, wanted.pairs)
        return _json({"id": self.chain.permit(wanted.owner, permission)})

    async def _on_revoke(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Revoke)
        self.chain.revoke(wanted.owner, wanted.id)
        self._pulse.beat()
        return _json({})

    async def _on_deposit(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Deposit)
        opened = self.chain.open_subaccount(wanted.owner, wanted.number, wanted.usdc)
        self._pulse.beat()
        return _json({"usdc": plain(opened.usdc)})

    async def _on_stream(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Stream)
        self.streams.skip_ids += wanted.skip_ids
        self.streams.late_subscribed_ms = wanted.late_subscribed_ms
        self.streams.late_channel = wanted.late_channel
        if wanted.lag_ms is not None:
            self.lag_ms = wanted.lag_ms
        if wanted.close is not None:
            self.streams.close_all(wanted.close, "ordered")
        return _json({})

    async def _acted(self, request: web.Request) -> web.Response:
        return web.json_response(self.acted)

    async def _on_struck(self, request: web.Request) -> web.Response:
        return _json({kind.value: count for kind, count in self.faults.struck.items()})


def _as_set(permission: Permission) -> str:
    """The chain's form of a permission: base64 of a list of authenticators, each with a base64 of its own."""
    members = [("SignatureVerification", permission.public_key)]
    for kind, numbers in (("SubaccountFilter", permission.subaccounts), ("ClobPairIdFilter", permission.pairs)):
        if numbers is not None:
            members.append((kind, ",".join(map(str, numbers)).encode()))
    listed = [{"type": kind, "config": base64.b64encode(config).decode()} for kind, config in members]
    return base64.b64encode(msgspec.json.encode(listed)).decode()


def _rpc_answer(answer: Answer, number: Any) -> dict[str, Any]:
    if answer.cached:
        error = {"code": -32603, "message": "Internal error", "data": "tx already exists in cache"}
        return {"jsonrpc": "2.0", "id": number, "error": error}
    result = {
        "code": answer.code,
        "data": "",
        "log": answer.log,
        "codespace": answer.codespace,
        "hash": answer.hash,
    }
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _json(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    data = msgspec.json.encode(body)
    return web.Response(body=data, status=status, headers=headers, content_type="application/json")
