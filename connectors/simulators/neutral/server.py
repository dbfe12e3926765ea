"""The neutral venue behind HTTP and WebSocket, on one port; `/control` orders faults, from this machine only.

`NeutralVenue` owns the exchange, the doorkeeper, the streams and the timer that lets the market live. Each request is
judged in this order: is the venue up, is the caller banned or too quick, is the signature good, is the body well
formed; then it is carried out, what came of it is told to the streams, and the reply leaves.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from connectors.simulators.faults import Fault, FaultKind, FaultPoint, WireFaults
from connectors.simulators.neutral import messages as m
from connectors.simulators.neutral.doorkeeper import ORDERS, REQUESTS, Doorkeeper, Refused
from connectors.simulators.neutral.exchange import Exchange
from connectors.simulators.neutral.settings import NeutralVenueSettings
from connectors.simulators.neutral.streams import Listener, Streams
from connectors.simulators.socket import cut, from_here
from mm_daemon.domain.errors import GridError
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.simulator import SimulatorContext

DEFAULT_KEY = "neutral-key"
DEFAULT_SECRET = "neutral-secret"
_BODY_MAX = 1 << 16
_FRAME_MAX = 1 << 16
_NS_PER_MS = 1_000_000
_FREE = ("/v1/time", "/v1/instruments", "/v1/book", "/v1/stream")
"""What may be asked without a key."""
_ACTING = ("/v1/place", "/v1/amend")
"""What counts as orders, one for each item, beside the request."""

T = TypeVar("T", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Hit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/fill`: have so much of an order filled now."""

    client_id: int
    size: str


class NeutralVenue:
    """Structurally a `VenueSimulator`."""

    Settings: ClassVar[type[msgspec.Struct]] = NeutralVenueSettings

    def __init__(self, context: SimulatorContext, settings: NeutralVenueSettings | None = None) -> None:
        """Raises ConfigError or JournalError as `Exchange` does."""
        self._context = context
        self._settings = settings or NeutralVenueSettings()
        self._step_ns = 0
        self.faults = WireFaults(Rng(context.seed).split("faults"), self._settings.chances)
        self._exchange = Exchange(context, self._settings, self._now_ns())
        key = context.secrets.get("api_key", DEFAULT_KEY)
        self._doorkeeper = Doorkeeper(self._settings, key, context.secrets.get("api_secret", DEFAULT_SECRET))
        self._streams = Streams(self.faults, self._carry_out)
        self.acted: Counter[str] = Counter()
        """How often each thing was asked that may change something here."""
        self._timer: asyncio.TimerHandle | None = None
        self._up = True
        self._failed: asyncio.Future[None] | None = None

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until cancelled. Raises OSError when the port cannot be had."""
        self._failed = asyncio.get_running_loop().create_future()
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._context.host, self._context.port).start()
            host, port = runner.addresses[0][:2]
            self._turn()
            listening(f"{host}:{port}")
            await self._failed
        finally:
            self._up = False
            if self._timer is not None:
                self._timer.cancel()
            self._streams.cut_all()
            self._exchange.close()
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._answer], client_max_size=_BODY_MAX)
        application.add_routes(
            [
                web.get("/v1/time", self._time),
                web.get("/v1/instruments", self._instruments),
                web.get("/v1/book", self._book),
                web.get("/v1/stream", self._stream),
                web.get("/v1/account", self._account),
                web.get("/v1/orders", self._orders),
                web.get("/v1/order", self._order),
                web.get("/v1/positions", self._positions),
                web.get("/v1/fills", self._fills),
                web.get("/v1/payments", self._payments),
                web.post("/v1/place", self._place),
                web.post("/v1/amend", self._amend),
                web.post("/v1/cancel", self._cancel),
                web.post("/v1/cancel-all", self._cancel_all),
                web.post("/v1/dead-man", self._dead_man),
                web.post("/control/fault", self._order_fault),
                web.post("/control/fill", self._hit),
                web.get("/control/struck", self._struck),
                web.get("/control/acted", self._acted),
            ]
        )
        return application

    # Time

    def _now_ns(self) -> int:
        """The market's time. What clients are shown and judged by may be set off against it by a fault."""
        return self._context.now_ns()

    def _shown_ns(self) -> int:
        return self._now_ns() + self._step_ns

    def _turn(self) -> None:
        """Let the market live up to now, tell the streams, and come back when it next has something to do."""
        if not self._up:
            return
        try:
            self._streams.tell(self._exchange.advance(self._now_ns()))
            if not self._up:  # a fault among the messages took the venue down
                return
            deadline_ns = self._exchange.next_deadline_ns()
        except Exception as error:  # the edge of a timer: whoever runs us is told
            if self._failed is None or self._failed.done():
                raise
            self._failed.set_exception(error)
            return
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.0005, (deadline_ns - self._now_ns()) / 1e9)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._turn)

    # Every request

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/control/"):
            if not from_here(request):
                return _reply(m.Refusal(error=m.Problem(code="forbidden", text="only from this machine")), status=403)
            return await self._refusing(request, handler)
        if not self._up:
            return cut(request)
        if request.method != "GET":
            self.acted[request.path] += 1
        fault = self.faults.strike(FaultPoint.REQUEST, request.path)
        if fault is not None and fault.kind is FaultKind.LOSE_REQUEST:
            return cut(request)
        if fault is not None and fault.kind is FaultKind.SERVER_ERROR:
            return _reply(m.Refusal(error=m.Problem(code="unavailable", text="try again later")), status=503)
        response = await self._refusing(request, handler, fault)
        if isinstance(response, web.WebSocketResponse):
            return response
        if not self._up:
            return cut(request)
        fault = self.faults.strike(FaultPoint.REPLY, request.path)
        if fault is not None and fault.kind is FaultKind.LOSE_REPLY:
            return cut(request)
        if fault is not None and fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.ms / 1000)
        for name, value in self._doorkeeper.headers(self._shown_ns() // _NS_PER_MS):
            response.headers[name] = value
        return response

    async def _refusing(self, request: web.Request, handler: Handler, fault: Fault | None = None) -> web.StreamResponse:
        """The handler's answer, or the words of a refusal."""
        try:
            if not request.path.startswith("/control/"):
                await self._let_in(request, fault)
            return await handler(request) if self._up else cut(request)
        except Refused as refused:
            response = _reply(m.Refusal(error=refused.problem), status=refused.status)
            if refused.problem.retry_after_ms is not None:
                response.headers["Retry-After"] = str(-(-refused.problem.retry_after_ms // 1000))
            return response
        except web.HTTPException as error:
            return _reply(m.Refusal(error=m.Problem(code="bad_request", text=error.reason)), status=error.status)

    async def _let_in(self, request: web.Request, fault: Fault | None) -> None:
        now_ms = self._shown_ns() // _NS_PER_MS
        if fault is not None and fault.kind is FaultKind.BAN:
            self._doorkeeper.ban(now_ms, fault.ms)
        if fault is not None and fault.kind is FaultKind.RATE_LIMIT:
            raise self._doorkeeper.slow_down(ORDERS if request.path in _ACTING else REQUESTS, fault.ms)
        body = await request.read()
        self._doorkeeper.spend({REQUESTS: 1}, now_ms)
        if request.path in _FREE:
            return
        try:
            self._doorkeeper.check_signature(
                key=request.headers["X-Key"],
                time_ms=int(request.headers["X-Time"]),
                nonce=int(request.headers["X-Nonce"]),
                sign=request.headers["X-Sign"],
                method=request.method,
                path=request.raw_path,
                body=body,
                now_ms=now_ms,
            )
        except (KeyError, ValueError):
            headers = "X-Key, X-Time, X-Nonce and X-Sign are needed"
            raise Refused(401, m.Problem(code="unsigned", text=headers)) from None

    # What anybody may ask

    async def _time(self, request: web.Request) -> web.Response:
        return _reply(m.Time(time_ns=self._shown_ns()))

    async def _instruments(self, request: web.Request) -> web.Response:
        return _reply(self._exchange.instruments())

    async def _book(self, request: web.Request) -> web.Response:
        """The book as published: while a fault delays the reply, the stream runs ahead of it."""
        self._turn()
        book = self._exchange.book(request.query.get("symbol", ""), self._now_ns())
        if book is None:
            raise Refused(404, m.Problem(code="unknown_symbol", text="no such symbol"))
        return _reply(book)

    # What the account's owner may ask

    async def _account(self, request: web.Request) -> web.Response:
        self._turn()
        return _reply(self._exchange.account(self._now_ns()))

    async def _orders(self, request: web.Request) -> web.Response:
        self._turn()
        return _reply(m.OpenOrders(orders=self._exchange.open_orders()))

    async def _positions(self, request: web.Request) -> web.Response:
        self._turn()
        account = self._exchange.account(self._now_ns())
        return _reply(msgspec.structs.replace(account, orders=[]))

    async def _order(self, request: web.Request) -> web.Response:
        self._turn()
        result = self._exchange.order(_number(request, "client_id"))
        if result.error is not None and result.error.code == "unknown_order":
            raise Refused(404, msgspec.structs.replace(result.error, time_ns=self._shown_ns()))
        return _reply(result)

    async def _fills(self, request: web.Request) -> web.Response:
        self._turn()
        return _reply(
            self._exchange.fills(since_ns=_number(request, "since_ns", 0), first=_number(request, "first", 0))
        )

    async def _payments(self, request: web.Request) -> web.Response:
        self._turn()
        return _reply(self._exchange.payments(_number(request, "since_ns", 0)))

    async def _place(self, request: web.Request) -> web.Response:
        wanted = await _read(request, m.PlaceRequest)
        self._doorkeeper.spend({ORDERS: len(wanted.orders)}, self._shown_ns() // _NS_PER_MS)
        return self._told(self._exchange.place(wanted.orders, self._now_ns()))

    async def _amend(self, request: web.Request) -> web.Response:
        wanted = await _read(request, m.AmendRequest)
        self._doorkeeper.spend({ORDERS: len(wanted.orders)}, self._shown_ns() // _NS_PER_MS)
        return self._told(self._exchange.amend(wanted.orders, self._now_ns()))

    async def _cancel(self, request: web.Request) -> web.Response:
        wanted = await _read(request, m.CancelRequest)
        return self._told(self._exchange.cancel(wanted.orders, self._now_ns()))

    async def _cancel_all(self, request: web.Request) -> web.Response:
        return self._told(self._exchange.cancel_all(self._now_ns()))

    async def _dead_man(self, request: web.Request) -> web.Response:
        wanted = await _read(request, m.DeadManRequest)
        return self._told(self._exchange.arm_dead_man(wanted.timeout_ms, self._now_ns()))

    def _told(self, answer: msgspec.Struct) -> web.Response:
        """The answer, once the streams have been told what came of it."""
        self._turn()
        return _reply(answer)

    # Stream

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False, max_msg_size=_FRAME_MAX, timeout=0.2)
        await socket.prepare(request)
        listener = Listener(socket, request.transport)
        self._streams.listeners.append(listener)
        writing = asyncio.ensure_future(listener.write())
        try:
            await self._listen(listener)
        finally:
            self._streams.listeners.remove(listener)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return socket

    async def _listen(self, listener: Listener) -> None:
        socket = listener.socket
        async for frame in socket:
            if listener.mute:
                continue
            if frame.type is WSMsgType.PING:
                await socket.pong(frame.data)
            elif frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                try:
                    self._hear(listener, msgspec.json.decode(frame.data, type=m.StreamRequest))
                except Refused as refused:
                    listener.put(msgspec.json.encode(m.ErrorMessage(error=refused.problem)))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    problem = m.Problem(code="bad_request", text=str(error))
                    listener.put(msgspec.json.encode(m.ErrorMessage(error=problem)))
            elif frame.type is WSMsgType.ERROR:
                await socket.close(code=WSCloseCode.PROTOCOL_ERROR)

    def _hear(self, listener: Listener, asked: m.StreamRequest) -> None:
        if isinstance(asked, m.Subscribe):
            listener.symbols |= frozenset(asked.symbols)
            return
        self._doorkeeper.check_signature(
            key=asked.key,
            time_ms=asked.time_ms,
            nonce=asked.nonce,
            sign=asked.sign,
            method="GET",
            path="/v1/stream",
            body=b"",
            now_ms=self._shown_ns() // _NS_PER_MS,
        )
        self._turn()
        listener.put(msgspec.json.encode(m.LoginMessage(time_ns=self._exchange.account(self._now_ns()).time_ns)))
        listener.private = True

    # Control

    async def _order_fault(self, request: web.Request) -> web.Response:
        fault = await _read(request, Fault)
        if fault.point is FaultPoint.AT_ONCE:
            self.faults.struck[fault.kind] += 1
            self._carry_out(fault)
        else:
            self.faults.order(fault)
        return _reply(fault)

    async def _hit(self, request: web.Request) -> web.Response:
        wanted = await _read(request, _Hit)
        self._turn()
        try:
            done = self._exchange.hit(wanted.client_id, wanted.size, self._now_ns())
        except GridError as error:
            raise Refused(400, m.Problem(code="invalid", text=str(error))) from None
        self._turn()
        if not done:
            raise Refused(404, m.Problem(code="unknown_order", text=f"no open order {wanted.client_id}"))
        return _reply(wanted)

    async def _acted(self, request: web.Request) -> web.Response:
        return web.json_response(self.acted)

    async def _struck(self, request: web.Request) -> web.Response:
        return web.json_response({kind.value: count for kind, count in self.faults.struck.items()})

    def _carry_out(self, fault: Fault) -> None:
        if fault.kind is FaultKind.CLOCK_STEP:
            self._step_ns += fault.ms * _NS_PER_MS
            self._exchange.step_ns = self._step_ns
        elif fault.kind is FaultKind.DISCONNECT:
            self._streams.cut_all()
        elif fault.kind is FaultKind.HALF_OPEN:
            self._streams.mute_all()
        elif fault.kind is FaultKind.RESTART and self._up:
            self._up = False
            self._streams.cut_all()
            self._exchange.close()
            asyncio.get_running_loop().call_later(max(fault.ms, 1) / 1000, self._reopen)

    def _reopen(self) -> None:
        if self._failed is None or self._failed.done():
            return
        try:
            self._exchange = Exchange(self._context, self._settings, self._now_ns())
            self._exchange.step_ns = self._step_ns
        except Exception as error:  # the edge of a timer: whoever runs us is told
            self._failed.set_exception(error)
            return
        self._up = True
        self._turn()


def _reply(answer: msgspec.Struct, *, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(answer), content_type="application/json", status=status)


async def _read(request: web.Request, wanted: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=wanted)
    except msgspec.DecodeError as error:
        raise Refused(400, m.Problem(code="bad_request", text=str(error))) from None


def _number(request: web.Request, name: str, default: int | None = None) -> int:
    text = request.query.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise Refused(400, m.Problem(code="bad_request", text=f"{name} must be a whole number")) from None
