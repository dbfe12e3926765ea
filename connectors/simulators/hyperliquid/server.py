"""The simulated Hyperliquid behind HTTP and WebSocket, on one port; `/control` orders faults, from this machine only.

`HyperliquidVenue` owns the exchange, the streams, the limits and the timer that makes blocks. An action is answered
when its block is done, over whichever way it came; a fault strikes it by the name of its type (`order`, `batchModify`,
`cancelByCloid`, ...), a read by `info/` and its type.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
from aiohttp import WSMsgType, web

from connectors.simulators.faults import Fault, FaultKind, FaultPoint, WireFaults
from connectors.simulators.hyperliquid import info, wire
from connectors.simulators.hyperliquid.exchange import Exchange
from connectors.simulators.hyperliquid.limits import Limits
from connectors.simulators.hyperliquid.settings import HyperliquidVenueSettings
from connectors.simulators.hyperliquid.streams import Client, DropConnection, Streams
from connectors.simulators.pulse import Pulse
from connectors.simulators.socket import cut, from_here
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.simulator import SimulatorContext

_BODY_MAX = 1 << 18
_NS_PER_MS = 1_000_000
_UNREADABLE = "Failed to deserialize the JSON body into the target type"
_NO_JSON = "Failed to parse the request body as JSON"
_WRONG_TYPE = "Expected request with `Content-Type: application/json`"
_TOO_MANY = "429 Too Many Requests"
_FAILED = "502 Bad Gateway"
_BATCH_WEIGHT = 40

_decode_exchange = msgspec.json.Decoder(wire.ExchangeRequest).decode
_decode_info = msgspec.json.Decoder(wire.InfoRequest).decode
_decode_frame = msgspec.json.Decoder(wire.SocketRequest).decode
_encode = msgspec.json.Encoder().encode


class _Hit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/fill`: have so many lots of an order filled now, by its oid or cloid."""

    user: str
    order: int | str
    lots: int


class Turned(Exception):
    """A request that is answered with a status and a text instead of a reply; status 0: by cutting the line."""

    def __init__(self, status: int, text: str = "", kind: str = "text/plain") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.kind = kind


class HyperliquidVenue:
    """Structurally a `VenueSimulator`."""

    Settings: ClassVar[type[msgspec.Struct]] = HyperliquidVenueSettings

    def __init__(self, context: SimulatorContext, settings: HyperliquidVenueSettings | None = None) -> None:
        """Raises ConfigError for a symbol named twice or in `settings` only, and for a state_dir: accounts live as long
        as the process."""
        self._context = context
        self._settings = settings = settings or HyperliquidVenueSettings()
        self.coins = tuple(dict.fromkeys(_coin(symbol) for symbol in context.symbols))
        unknown = [coin for coin in settings.coins if coin not in self.coins]
        if unknown:
            raise ConfigError(f"settings: coins.{unknown[0]} is not among --symbols {','.join(self.coins)}")
        if context.state_dir is not None:
            raise ConfigError("simulate hyperliquid keeps no accounts on disk: leave --state-dir out")
        self._step_ns = 0
        self._down_until_ns = 0
        self.faults = WireFaults(Rng(context.seed).split("faults"), settings.chances)
        self.exchange = Exchange(self.coins, settings, context.seed, context.now_ns())
        self._info = info.Info(self.exchange, self._now_ms, unified=settings.unified)
        self._limits = Limits(settings)
        self._streams = Streams(self.exchange, self._info, settings, self.faults, self._carry_out)
        self.acted: Counter[str] = Counter()
        """How often each thing was asked that may change something here."""
        self._pulse = Pulse(self._live)
        self._posts: set[asyncio.Task[None]] = set()
        self._up = True

    def described(self, address: str) -> dict[str, Any]:
        """Where it is, and the accounts to trade with: play money, so that their keys may be shown."""
        accounts = [
            {"address": account, "private_key": f"0x{key.hex()}"}
            for account, key in zip(self.exchange.accounts, self.exchange.keys, strict=False)
        ]
        return {
            "venue": "hyperliquid",
            "rest": f"http://{address}",
            "ws": f"ws://{address}/ws",
            "accounts": accounts,
            "symbols": list(self.coins),
        }

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until cancelled. Raises OSError when the port cannot be had."""
        failed = self._pulse.start()
        application = web.Application(middlewares=[self._guard], client_max_size=_BODY_MAX)
        application.add_routes(
            [
                web.post("/info", self._on_info),
                web.post("/exchange", self._on_exchange),
                web.get("/ws", self._on_socket),
                web.post("/control/fault", self._on_fault),
                web.post("/control/fill", self._on_fill),
                web.get("/control/struck", self._on_struck),
                web.get("/control/acted", self._acted),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._context.host, self._context.port).start()
            host, port = runner.addresses[0][:2]
            self._pulse.beat()
            listening(f"{host}:{port}")
            await failed
        finally:
            self._up = False
            self._pulse.stop()
            self._streams.cut_all()
            for post in self._posts:
                post.cancel()
            await runner.cleanup()

    # Time

    def _now_ns(self) -> int:
        return self._context.now_ns() + self._step_ns

    def _now_ms(self) -> int:
        return self._now_ns() // _NS_PER_MS

    def _live(self) -> float | None:
        """All blocks up to now, told to the streams; seconds to the next one."""
        if not self._up:
            return None
        self._streams.tell(self.exchange.advance(self._now_ns()), self._now_ms())
        return (self.exchange.next_deadline_ns() - self._now_ns()) / 1e9

    # HTTP

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/control/") and not from_here(request):
            return web.Response(status=403)
        if not request.path.startswith("/control/") and self._down():
            return cut(request)
        try:
            response: web.StreamResponse = await handler(request)
        except Turned as turned:
            return (
                cut(request)
                if not turned.status
                else web.Response(status=turned.status, text=turned.text, content_type=turned.kind)
            )
        return response

    def _down(self) -> bool:
        return not self._up or self._now_ns() < self._down_until_ns

    async def _on_info(self, request: web.Request) -> web.Response:
        asked = _decoded(await _body(request), _decode_info)
        return web.Response(body=_encode(await self._read(asked)), content_type="application/json")

    async def _read(self, asked: wire.InfoRequest) -> Any:
        """A read's reply. Raises Turned."""
        self._pulse.beat()
        fault = await self._strike(f"info/{asked.type}")
        try:
            reply = self._info.read(asked)
        except info.BadRequest:
            raise Turned(422, _UNREADABLE) from None
        except info.NoSuch:
            raise Turned(500, "null", "application/json") from None
        if not self._limits.may_read(info.weight(asked.type, reply), self._now_ms()):
            raise Turned(429, _TOO_MANY)
        await self._hold(fault)
        return reply

    async def _on_exchange(self, request: web.Request) -> web.Response:
        asked = _decoded(await _body(request), _decode_exchange)
        reply = await self._act(asked, weighs=True)
        return web.Response(body=_encode(reply), content_type="application/json")

    async def _act(self, asked: wire.ExchangeRequest, *, weighs: bool) -> dict[str, Any]:
        """An action's reply, once its block is done. Raises Turned."""
        self.acted[str(asked.action.__struct_config__.tag)] += 1
        if getattr(asked.action, "f", True) is False:
            raise Turned(422, _UNREADABLE)
        fault = await self._strike(str(asked.action.__struct_config__.tag))
        rows = next((len(getattr(asked.action, name, ())) for name in ("orders", "modifies", "cancels")), 0)
        if weighs and not self._limits.may_read(1 + rows // _BATCH_WEIGHT, self._now_ms()):
            raise Turned(429, _TOO_MANY)
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.exchange.submit(asked, lambda reply: None if done.done() else done.set_result(reply))
        reply = await done
        await self._hold(fault)
        return reply

    async def _strike(self, where: str) -> Fault | None:
        """What goes wrong before a request is looked at; the fault that waits for its reply. Raises Turned."""
        fault = self.faults.strike(FaultPoint.REQUEST, where)
        if fault is not None:
            if fault.kind is FaultKind.LOSE_REQUEST:
                raise Turned(0)
            if fault.kind is FaultKind.SERVER_ERROR:
                raise Turned(502, _FAILED)
            self._limits.refuse_for(self._now_ms(), fault.ms if fault.kind is FaultKind.BAN else 0)
            raise Turned(429, _TOO_MANY)
        return self.faults.strike(FaultPoint.REPLY, where)

    @staticmethod
    async def _hold(fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind is FaultKind.LOSE_REPLY:
            raise Turned(0)
        await asyncio.sleep(fault.ms / 1000)

    # Sockets

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        limits, now_ms = self._settings, self._now_ms()
        if len(self._streams.clients) >= limits.connections or not self._limits.may_connect(now_ms):
            raise Turned(429, _TOO_MANY)
        socket = web.WebSocketResponse(autoping=False, max_msg_size=_BODY_MAX, timeout=0.2, compress=False)
        await socket.prepare(request)
        client = Client(socket, request.transport, now_ms)
        self._streams.clients.append(client)
        writing = asyncio.ensure_future(client.write())
        try:
            async for frame in socket:
                if frame.type is WSMsgType.PING and not client.mute:
                    await socket.pong(frame.data)
                elif frame.type in (WSMsgType.TEXT, WSMsgType.BINARY) and not client.mute:
                    data = frame.data.encode() if isinstance(frame.data, str) else frame.data
                    self._hear(client, data)
        finally:
            self._streams.clients.remove(client)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return socket

    def _hear(self, client: Client, data: bytes) -> None:
        self._pulse.beat()
        if not self._limits.may_say(self._now_ms()):
            self._streams.say(client, "error", _TOO_MANY)
            return
        try:
            asked = _decode_frame(data)
            self._do(client, asked)
        except DropConnection:
            client.cut()
        except (msgspec.DecodeError, ValueError):
            text = data.decode("utf-8", "replace")
            self._streams.say(client, "error", f"Error parsing JSON into valid websocket request: {text}")

    def _do(self, client: Client, asked: wire.SocketRequest) -> None:
        if asked.method == "ping":
            self._streams.put(client, b'{"channel":"pong"}')
        elif asked.method == "post":
            if asked.id is None or asked.request is None:
                raise ValueError("a post needs an id and a request")
            if client.posts >= self._settings.posts_in_flight:
                self._reply(client, asked.id, "error", _TOO_MANY)
                return
            client.posts += 1
            post = asyncio.ensure_future(self._post(client, asked.id, asked.request))
            self._posts.add(post)
            post.add_done_callback(self._posts.discard)
        elif asked.subscription is None:
            raise ValueError("no subscription")
        elif asked.method == "subscribe":
            self._streams.subscribe(client, asked.subscription)
        else:
            self._streams.unsubscribe(client, asked.subscription)

    async def _post(self, client: Client, number: int, asked: wire.PostRequest) -> None:
        """A request over the socket; its reply bears its number, and replies come as they are ready."""
        try:
            if asked.type == "action":
                reply: Any = await self._act(_decoded(asked.payload, _decode_exchange), weighs=False)
            elif asked.type == "info":
                wanted = _decoded(asked.payload, _decode_info)
                reply = {"type": wanted.type, "data": await self._read(wanted)}
            else:
                raise Turned(422, _UNREADABLE)
            self._reply(client, number, asked.type, reply)
        except Turned as turned:
            if not turned.status:
                client.cut()
            elif turned.status == 500:
                self._reply(client, number, "error", "500 Internal Server Error")
            else:
                text = {422: "422 Unprocessable Entity", 400: "400 Bad Request"}.get(turned.status, turned.text)
                self._reply(client, number, "error", text)
        finally:
            client.posts -= 1

    def _reply(self, client: Client, number: int, kind: str, payload: Any) -> None:
        self._streams.say(client, "post", {"id": number, "response": {"type": kind, "payload": payload}})

    # Faults and control

    def _carry_out(self, fault: Fault) -> None:
        if fault.kind is FaultKind.DISCONNECT:
            self._streams.cut_all()
        elif fault.kind is FaultKind.HALF_OPEN:
            self._streams.mute_all()
        elif fault.kind is FaultKind.CLOCK_STEP:
            self._step_ns += fault.ms * _NS_PER_MS
        elif fault.kind is FaultKind.RESTART:
            self._down_until_ns = self._now_ns() + fault.ms * _NS_PER_MS
            self.exchange.upgraded(self._down_until_ns // _NS_PER_MS + self._settings.post_only_ms)
            self._streams.cut_all()

    async def _on_fault(self, request: web.Request) -> web.Response:
        fault = _decoded(await request.read(), msgspec.json.Decoder(Fault).decode)
        if fault.point is FaultPoint.AT_ONCE:
            self.faults.struck[fault.kind] += 1
            self._carry_out(fault)
        else:
            self.faults.order(fault)
        return web.Response(body=_encode(fault), content_type="application/json")

    async def _on_fill(self, request: web.Request) -> web.Response:
        wanted = _decoded(await request.read(), msgspec.json.Decoder(_Hit).decode)
        self._pulse.beat()
        account = self.exchange.accounts.get(wanted.user.lower())
        order = None if account is None else account.find(wanted.order)
        if account is None or order is None or order.oid not in account.orders or order.trigger is not None:
            raise Turned(404, f"no open order {wanted.order} of {wanted.user}")
        filled = self.exchange.floor.hit(account, order, wanted.lots, self.exchange.block_ms)
        return web.Response(body=_encode({"filled": filled}), content_type="application/json")

    async def _acted(self, request: web.Request) -> web.Response:
        return web.json_response(self.acted)

    async def _on_struck(self, request: web.Request) -> web.Response:
        return web.Response(body=_encode(self.faults.struck), content_type="application/json")


def _coin(symbol: str) -> str:
    """The coin of a symbol: `BTC` of `BTC` and of `BTC-USDC`."""
    return symbol.partition("-")[0]


async def _body(request: web.Request) -> bytes:
    if request.content_type != "application/json":
        raise Turned(415, _WRONG_TYPE)
    return await request.read()


def _decoded(data: bytes | msgspec.Raw, decode: Callable[[bytes | msgspec.Raw], Any]) -> Any:
    """Raises Turned: 400 for what is no JSON, 422 for JSON that means nothing."""
    try:
        return decode(data)
    except msgspec.ValidationError:
        raise Turned(422, _UNREADABLE) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Turned(400, _NO_JSON) from None
