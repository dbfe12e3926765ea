"""Binance USD-M behind HTTP and WebSocket, on one port; `/control` orders faults, from this machine only.

Each request is judged in this order: is the venue up, is the caller banned or too quick, is the key known and the
signature good, are the fields well formed; then it is carried out, what came of it is told to the streams, and the
reply leaves with the counts of the limits. Clients reach it unmodified but for their URLs. A `disconnect` or
`half_open` ordered `on` a path, such as `/private`, takes the streams below it alone.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from connectors.simulators.binance_usdm import rows
from connectors.simulators.binance_usdm.exchange import Exchange
from connectors.simulators.binance_usdm.fields import Fields, batch, heard, list_of, symbol_of, whole
from connectors.simulators.binance_usdm.limits import ORDERS_1M, ORDERS_10S, WEIGHT, Limits, Refused
from connectors.simulators.binance_usdm.orders import asked
from connectors.simulators.binance_usdm.rows import NS_PER_MS, Row
from connectors.simulators.binance_usdm.settings import BinanceUsdmSettings
from connectors.simulators.binance_usdm.streams import MARKET, PRIVATE, PUBLIC, UNROUTED, Listener, Streams
from connectors.simulators.faults import Fault, FaultKind, FaultPoint, WireFaults
from connectors.simulators.pulse import Pulse
from connectors.simulators.socket import cut, from_here
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.simulator import SimulatorContext

DEFAULT_KEY = "binance-usdm-key"
DEFAULT_SECRET = "binance-usdm-secret"
_BODY_MAX = 1 << 16
_FRAME_MAX = 1 << 16
_CANCELS_MAX = 10
_FOREVER_MS = 1 << 53
_DEPTH_WEIGHTS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_UNKNOWN_STATUS = "Unknown error, please check your request or try again later."

Answer = Row | list[Row] | list[Any]
Call = Callable[[Fields, int], Answer]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Hit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/fill`: have so much of an order filled now."""

    client_id: str
    size: str


class _Route(msgspec.Struct, frozen=True):
    """A call of the API: what carries it out, its weight, whether it is signed, and its share of the order counts."""

    call: Call
    weight: int = 1
    signed: bool = True
    key_only: bool = False
    orders: tuple[int, int] = (0, 0)


class BinanceUsdmVenue:
    """Structurally a `VenueSimulator`."""

    Settings: ClassVar[type[msgspec.Struct]] = BinanceUsdmSettings

    def __init__(self, context: SimulatorContext, settings: BinanceUsdmSettings | None = None) -> None:
        """Raises ConfigError or JournalError as `Exchange` does."""
        self._context = context
        self._settings = settings or BinanceUsdmSettings()
        self._step_ns = 0
        self.faults = WireFaults(Rng(context.seed).split("faults"), self._settings.chances)
        self._exchange = Exchange(context, self._settings)
        key, secret = context.secrets.get("api_key", DEFAULT_KEY), context.secrets.get("api_secret", DEFAULT_SECRET)
        self._limits = Limits(self._settings, key, secret)
        self._streams = Streams(self._settings, self.faults, self._carry_out)
        self.acted: Counter[str] = Counter()
        """How often each thing was asked that may change something here."""
        self._pulse = Pulse(self._live)
        self._up = True
        self._routes = self._calls()
        self._client_ids = 0
        self._hedged = self._settings.hedge_mode

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until cancelled. Raises OSError when the port cannot be had."""
        failed = self._pulse.start()
        application = web.Application(middlewares=[self._answer], client_max_size=_BODY_MAX)
        for route in (PUBLIC, MARKET, PRIVATE, UNROUTED):
            for kind in ("ws", "stream"):
                path = f"/{route}/{kind}" if route else f"/{kind}"
                for tail in ("", "/{tail:.*}"):
                    application.router.add_get(path + tail, self._stream)
        application.router.add_post("/control/fault", self._order_fault)
        application.router.add_post("/control/fill", self._hit)
        application.router.add_get("/control/struck", self._struck)
        application.router.add_get("/control/acted", self._acted)
        application.router.add_route("*", "/{path:.*}", self._api)
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
            self._streams.cut()
            self._exchange.close()
            await runner.cleanup()

    # Time

    def _now_ns(self) -> int:
        """The market's time. What clients are shown and judged by may be set off against it by a fault."""
        return self._context.now_ns()

    def _shown_ms(self) -> int:
        return (self._now_ns() + self._step_ns) // NS_PER_MS

    def _live(self) -> float | None:
        """Let the market live up to now and tell the streams; seconds until it next has something to do."""
        if not self._up:
            return None
        self._streams.expire(self._now_ns())
        self._streams.tell(self._exchange.advance(self._now_ns()))
        if not self._up:  # a fault among the messages took the venue down
            return None
        return (self._exchange.next_deadline_ns() - self._now_ns()) / 1e9

    # Every request

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/control/"):
            return await handler(request) if from_here(request) else web.Response(status=403)
        if not self._up:
            return cut(request)
        where = f"{request.method} {request.path}"
        if request.method != "GET":
            self.acted[where] += 1
        fault = self.faults.strike(FaultPoint.REQUEST, where)
        if fault is not None and fault.kind is FaultKind.LOSE_REQUEST:
            return cut(request)
        if fault is not None and fault.kind is FaultKind.SERVER_ERROR:
            return web.Response(text=_UNKNOWN_STATUS, status=503)
        if fault is not None and fault.kind is FaultKind.BAN:
            self._limits.ban(self._shown_ms(), fault.ms)
        if fault is not None and fault.kind is FaultKind.RATE_LIMIT:
            return self._refused(request, self._limits.slow_down(fault.ms, orders=self._is_order(request)))
        response = await handler(request)
        if isinstance(response, web.WebSocketResponse):
            return response
        if not self._up:
            return cut(request)
        fault = self.faults.strike(FaultPoint.REPLY, where)
        if fault is not None and fault.kind is FaultKind.LOSE_REPLY:
            return cut(request)
        if fault is not None and fault.kind is FaultKind.DELAY:
            await asyncio.sleep(fault.ms / 1000)
        return response

    async def _api(self, request: web.Request) -> web.Response:
        route = self._routes.get((request.method, request.path))
        if route is None:
            return web.Response(status=404)
        try:
            return self._reply(request, await self._carried_out(request, route), 200)
        except Refused as refused:
            return self._refused(request, refused)

    def _reply(self, request: web.Request, answer: Answer, status: int) -> web.Response:
        headers = dict(self._limits.headers(self._shown_ms(), orders=self._is_order(request)))
        return web.Response(
            body=msgspec.json.encode(answer), content_type="application/json", status=status, headers=headers
        )

    def _refused(self, request: web.Request, refused: Refused) -> web.Response:
        response = self._reply(request, {"code": refused.code, "msg": refused.text}, refused.status)
        if refused.retry_after_ms is not None:
            response.headers["Retry-After"] = str(-(-refused.retry_after_ms // 1000))
        return response

    def _is_order(self, request: web.Request) -> bool:
        route = self._routes.get((request.method, request.path))
        return route is not None and route.orders != (0, 0)

    async def _carried_out(self, request: web.Request, route: _Route) -> Answer:
        """Raises Refused."""
        body, query = await request.text(), request.rel_url.raw_query_string
        fields = dict(parse_qsl(query, keep_blank_values=True)) | dict(parse_qsl(body, keep_blank_values=True))
        now_ms = self._shown_ms()
        weight = route.weight
        if request.path == "/fapi/v1/depth":
            weight = _DEPTH_WEIGHTS.get(whole(fields, "limit", 500), 20)
        elif request.path == "/fapi/v1/openOrders" and not fields.get("symbol"):
            weight = 40
        self._limits.spend({WEIGHT: weight, ORDERS_10S: route.orders[0], ORDERS_1M: route.orders[1]}, now_ms)
        if route.signed or route.key_only:
            self._limits.check_key(request.headers.get("X-MBX-APIKEY", ""))
        if route.signed:
            self._limits.check_signature(query, body, fields, now_ms)
        self._pulse.beat()
        answer = route.call(fields, self._now_ns())
        self._pulse.beat()
        return answer

    def _calls(self) -> dict[tuple[str, str], _Route]:
        free = {
            "/fapi/v1/ping": _Route(lambda fields, now_ns: {}, signed=False),
            "/fapi/v1/time": _Route(lambda fields, now_ns: {"serverTime": self._shown_ms()}, signed=False),
            "/fapi/v1/exchangeInfo": _Route(self._exchange_info, signed=False),
            "/fapi/v1/depth": _Route(self._depth, signed=False),
            "/fapi/v1/ticker/bookTicker": _Route(self._book_ticker, 5, signed=False),
            "/fapi/v1/premiumIndex": _Route(self._premium, 10, signed=False),
            "/fapi/v1/fundingInfo": _Route(lambda fields, now_ns: [], 0, signed=False),
        }
        mine = {
            "/fapi/v1/order": _Route(self._get_order),
            "/fapi/v1/openOrder": _Route(self._get_open_order),
            "/fapi/v1/openOrders": _Route(lambda fields, _: self._exchange.open_orders(fields.get("symbol", ""))),
            "/fapi/v1/allOrders": _Route(self._all_orders, 5),
            "/fapi/v1/userTrades": _Route(self._trades, 5),
            "/fapi/v1/income": _Route(self._income, 30),
            "/fapi/v2/positionRisk": _Route(self._positions, 5),
            "/fapi/v3/positionRisk": _Route(self._positions, 5),
            "/fapi/v2/account": _Route(lambda fields, now_ns: self._exchange.balances(now_ns, hedged=self._hedged), 5),
            "/fapi/v3/account": _Route(lambda fields, now_ns: self._exchange.balances(now_ns, hedged=self._hedged), 5),
            "/fapi/v3/balance": _Route(
                lambda fields, now_ns: self._exchange.balances(now_ns, hedged=self._hedged)["assets"], 5
            ),
            "/fapi/v1/accountConfig": _Route(self._account_config, 5),
            "/fapi/v1/symbolConfig": _Route(self._symbol_config, 5),
            "/fapi/v1/leverageBracket": _Route(self._brackets),
            "/fapi/v1/commissionRate": _Route(self._commission, 20),
            "/fapi/v1/positionSide/dual": _Route(lambda fields, now_ns: {"dualSidePosition": self._hedged}, 30),
            "/fapi/v1/multiAssetsMargin": _Route(lambda fields, now_ns: {"multiAssetsMargin": False}, 30),
            "/fapi/v1/rateLimit/order": _Route(lambda fields, now_ns: self._limits.order_limits(self._shown_ms())),
        }
        acting = {
            ("POST", "/fapi/v1/order"): _Route(self._place, 0, orders=(1, 1)),
            ("PUT", "/fapi/v1/order"): _Route(self._modify, 0, orders=(1, 1)),
            ("DELETE", "/fapi/v1/order"): _Route(self._cancel),
            ("POST", "/fapi/v1/batchOrders"): _Route(self._place_many, 5, orders=(5, 1)),
            ("PUT", "/fapi/v1/batchOrders"): _Route(self._modify_many, 5, orders=(5, 1)),
            ("DELETE", "/fapi/v1/batchOrders"): _Route(self._cancel_many),
            ("DELETE", "/fapi/v1/allOpenOrders"): _Route(self._cancel_all),
            ("POST", "/fapi/v1/countdownCancelAll"): _Route(self._count_down, 10),
            ("POST", "/fapi/v1/leverage"): _Route(self._leverage),
            ("POST", "/fapi/v1/marginType"): _Route(self._margin_type),
            ("POST", "/fapi/v1/positionSide/dual"): _Route(self._position_mode),
        }
        keys = {
            ("POST", "/fapi/v1/listenKey"): _Route(self._open_key, signed=False, key_only=True),
            ("PUT", "/fapi/v1/listenKey"): _Route(self._extend_key, signed=False, key_only=True),
            ("DELETE", "/fapi/v1/listenKey"): _Route(self._close_key, signed=False, key_only=True),
        }
        return {**{("GET", path): route for path, route in (free | mine).items()}, **acting, **keys}

    # What anybody may ask

    def _exchange_info(self, fields: Fields, now_ns: int) -> Row:
        settings = self._settings
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
            | {"limit": settings.weight_per_minute},
            {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": settings.orders_per_minute},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": settings.orders_per_10s},
        ]
        symbols = [
            rows.instrument_row(each, settings.percent_price, settings.open_orders_max)
            for each in self._exchange.published.instruments.values()
        ]
        assets = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}]
        head = {"timezone": "UTC", "serverTime": self._shown_ms(), "futuresType": "U_MARGINED", "exchangeFilters": []}
        return {**head, "rateLimits": limits, "assets": assets, "symbols": symbols}

    def _depth(self, fields: Fields, now_ns: int) -> Row:
        limit = whole(fields, "limit", 500)
        if limit not in _DEPTH_WEIGHTS:
            raise Refused(-4021, f"{limit} is not valid depth limit.")
        return self._exchange.published.depth(symbol_of(fields), limit, now_ns)

    def _book_ticker(self, fields: Fields, now_ns: int) -> Answer:
        if fields.get("symbol"):
            return self._exchange.published.best(fields["symbol"], now_ns)
        return [self._exchange.published.best(symbol, now_ns) for symbol in self._exchange.published.instruments]

    def _premium(self, fields: Fields, now_ns: int) -> Answer:
        if fields.get("symbol"):
            return self._exchange.published.premium(fields["symbol"], now_ns)
        return [self._exchange.published.premium(symbol, now_ns) for symbol in self._exchange.published.instruments]

    # What the account's owner may ask

    def _get_order(self, fields: Fields, now_ns: int) -> Row:
        return self._exchange.order(self._named(fields, -2013), full=True)

    def _get_open_order(self, fields: Fields, now_ns: int) -> Row:
        named = self._named(fields, -2013)
        if not self._exchange.is_open(named):
            raise Refused(-2013, "Order does not exist.")
        return self._exchange.order(named, full=True)

    def _all_orders(self, fields: Fields, now_ns: int) -> list[Row]:
        return self._exchange.all_orders(symbol_of(fields), whole(fields, "startTime", 0), whole(fields, "limit", 500))

    def _trades(self, fields: Fields, now_ns: int) -> list[Row]:
        return self._exchange.trades(
            symbol_of(fields),
            since_ms=whole(fields, "startTime", 0),
            until_ms=whole(fields, "endTime", _FOREVER_MS),
            first=whole(fields, "fromId", 0),
            order_id=whole(fields, "orderId", 0),
            limit=min(whole(fields, "limit", 500), 1000),
        )

    def _income(self, fields: Fields, now_ns: int) -> list[Row]:
        if fields.get("incomeType", "FUNDING_FEE") != "FUNDING_FEE":
            return []
        since_ms, until_ms = whole(fields, "startTime", 0), whole(fields, "endTime", _FOREVER_MS)
        limit = min(whole(fields, "limit", 100), 1000)
        return self._exchange.income(fields.get("symbol", ""), since_ms, until_ms, limit)

    def _positions(self, fields: Fields, now_ns: int) -> list[Row]:
        return self._exchange.positions(fields.get("symbol", ""), hedged=self._hedged)

    def _account_config(self, fields: Fields, now_ns: int) -> Row:
        may = dict.fromkeys(("canTrade", "canDeposit", "canWithdraw"), True)
        return {"feeTier": 0, **may, "dualSidePosition": self._hedged, "multiAssetsMargin": False, "tradeGroupId": -1}

    def _symbol_config(self, fields: Fields, now_ns: int) -> list[Row]:
        return [
            {"symbol": symbol, "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": leverage}
            | {"maxNotionalValue": "100000000"}
            for symbol, leverage in self._exchange.leverage.items()
        ]

    def _brackets(self, fields: Fields, now_ns: int) -> list[Row]:
        bracket: Row = {"bracket": 1, "initialLeverage": 125, "notionalCap": 100_000_000, "notionalFloor": 0}
        bracket |= {"maintMarginRatio": 0.004, "cum": 0.0}
        return [{"symbol": symbol, "brackets": [bracket]} for symbol in self._exchange.published.instruments]

    def _commission(self, fields: Fields, now_ns: int) -> Row:
        symbol = symbol_of(fields)
        instrument = self._exchange.published.instruments.get(symbol)
        if instrument is None:
            raise Refused(-1121, "Invalid symbol.")
        maker, taker = instrument.maker_fee_ppm / 1e6, instrument.taker_fee_ppm / 1e6
        rates = {"makerCommissionRate": f"{maker:.6f}", "takerCommissionRate": f"{taker:.6f}"}
        return {"symbol": symbol, **rates, "rpiCommissionRate": "0"}

    # Orders

    def _place(self, fields: Fields, now_ns: int) -> Row:
        self._client_ids += 1
        name = f"web_{now_ns}_{self._client_ids}"
        order = asked(fields, fresh=True, hedged=self._hedged, default_client_id=name)
        return self._exchange.place(order, now_ns)

    def _modify(self, fields: Fields, now_ns: int) -> Row:
        order = asked(fields, fresh=False)
        return self._exchange.modify(self._named(fields, -2013), order, now_ns)

    def _cancel(self, fields: Fields, now_ns: int) -> Row:
        return self._exchange.cancel(self._named(fields, -2011), now_ns)

    def _place_many(self, fields: Fields, now_ns: int) -> list[Row]:
        return self._each(batch(fields), self._place, now_ns)

    def _modify_many(self, fields: Fields, now_ns: int) -> list[Row]:
        return self._each(batch(fields), self._modify, now_ns)

    def _cancel_many(self, fields: Fields, now_ns: int) -> list[Row]:
        """ccxt writes the names of the lists in small letters."""
        low = {name.lower(): text for name, text in fields.items()}
        by_number = list_of(low.get("orderidlist", "[]"), "orderIdList")
        by_client = list_of(low.get("origclientorderidlist", "[]"), "origClientOrderIdList")
        wanted = [{"orderId": str(each)} for each in by_number] or [{"origClientOrderId": str(e)} for e in by_client]
        if not 0 < len(wanted) <= _CANCELS_MAX:
            raise Refused(-4082, f"Invalid batch number, {len(wanted)} orders; at most {_CANCELS_MAX}.")
        return self._each([{"symbol": symbol_of(fields), **each} for each in wanted], self._cancel, now_ns)

    def _each(self, wanted: list[dict[str, str]], call: Callable[[Fields, int], Row], now_ns: int) -> list[Row]:
        """A result for each, in the order of the request: the status is 200 even when all are refused."""
        results: list[Row] = []
        for fields in wanted:
            try:
                results.append(call(fields, now_ns))
            except Refused as refused:
                results.append({"code": refused.code, "msg": refused.text})
        return results

    def _cancel_all(self, fields: Fields, now_ns: int) -> Row:
        instrument = self._exchange.published.instruments.get(symbol_of(fields))
        if instrument is None:
            raise Refused(-1121, "Invalid symbol.")
        self._exchange.cancel_all(instrument, now_ns)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _count_down(self, fields: Fields, now_ns: int) -> Row:
        symbol, ms = symbol_of(fields), whole(fields, "countdownTime", -1)
        if ms < 0:
            raise Refused(-1102, "Mandatory parameter 'countdownTime' was not sent, was empty/null, or malformed.")
        self._exchange.count_down(symbol, ms, now_ns)
        return {"symbol": symbol, "countdownTime": str(ms)}

    # The account's settings

    def _leverage(self, fields: Fields, now_ns: int) -> Row:
        symbol, leverage = symbol_of(fields), whole(fields, "leverage", 0)
        if symbol not in self._exchange.leverage:
            raise Refused(-1121, "Invalid symbol.")
        if not 1 <= leverage <= 125:
            raise Refused(-4028, f"Leverage {leverage} is not valid")
        self._exchange.leverage[symbol] = leverage
        return {"leverage": leverage, "maxNotionalValue": "100000000", "symbol": symbol}

    def _margin_type(self, fields: Fields, now_ns: int) -> Row:
        if fields.get("marginType") != "CROSSED":
            raise Refused(-4047, "Margin type cannot be changed if there exists open orders.")
        raise Refused(-4046, "No need to change margin type.")

    def _position_mode(self, fields: Fields, now_ns: int) -> Row:
        """Only while nothing is open."""
        hedged = fields.get("dualSidePosition", "").lower()
        if hedged not in ("true", "false"):
            raise Refused(-1102, "Mandatory parameter 'dualSidePosition' was not sent, was empty/null, or malformed.")
        if (hedged == "true") is self._hedged:
            raise Refused(-4059, "No need to change position side.")
        if self._exchange.open_orders(""):
            raise Refused(-4067, "Position side cannot be changed if there exists open orders.")
        if not self._exchange.flat:
            raise Refused(-4068, "Position side cannot be changed if there exists position.")
        self._hedged = hedged == "true"
        return {"code": 200, "msg": "success"}

    def _open_key(self, fields: Fields, now_ns: int) -> Row:
        return {"listenKey": self._streams.open_key(now_ns)}

    def _extend_key(self, fields: Fields, now_ns: int) -> Row:
        if not self._streams.extend_key(now_ns):
            raise Refused(-1125, "This listenKey does not exist.")
        return {"listenKey": self._streams.key}

    def _close_key(self, fields: Fields, now_ns: int) -> Row:
        self._streams.close_key()
        return {}

    # Streams

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        _, *parts = request.path.split("/")
        route = parts.pop(0) if parts[0] in (PUBLIC, MARKET, PRIVATE) else UNROUTED
        wrapped, tail = parts[0] == "stream", [name for name in parts[1:] if name]
        socket = web.WebSocketResponse(autoping=False, max_msg_size=_FRAME_MAX, timeout=0.2, compress=False)
        await socket.prepare(request)
        key = request.query.get("listenKey", tail[0] if route == PRIVATE and tail else "")
        listener = Listener(socket, request.transport, route, wrapped=wrapped, key=key)
        listener.heard_ns = self._now_ns()
        names = request.query.get("streams", "").split("/") if wrapped else tail
        listener.subscribe([name for name in names if "@" in name])
        self._streams.listeners.append(listener)
        background = [asyncio.ensure_future(listener.write()), asyncio.ensure_future(self._keep(listener))]
        try:
            await self._listen(listener)
        finally:
            self._streams.listeners.remove(listener)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        return socket

    async def _keep(self, listener: Listener) -> None:
        """Ping a stream, cut one that does not answer, and end it with the day."""
        settings, opened_ns = self._settings, self._now_ns()
        while True:
            await asyncio.sleep(min(settings.ping_s, settings.socket_s))
            now_ns = self._now_ns()
            if now_ns - opened_ns >= settings.socket_s * 1e9:
                await listener.socket.close(code=WSCloseCode.GOING_AWAY)
            elif now_ns - listener.heard_ns > settings.pong_s * 1e9:
                listener.cut()
            elif not listener.mute:
                await listener.socket.ping(str(self._shown_ms()).encode())

    async def _listen(self, listener: Listener) -> None:
        socket = listener.socket
        async for frame in socket:
            if listener.mute:
                continue
            now_ns = self._now_ns()
            if listener.too_many(now_ns, self._settings.messages_per_s):
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Too many requests")
            elif frame.type is WSMsgType.PING:
                await socket.pong(frame.data)
            elif frame.type is WSMsgType.PONG:
                listener.heard_ns = now_ns
            elif frame.type is WSMsgType.TEXT:
                listener.put(msgspec.json.encode(heard(listener, frame.data)))
            elif frame.type is WSMsgType.ERROR:
                await socket.close(code=WSCloseCode.PROTOCOL_ERROR)

    # Control

    async def _order_fault(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except msgspec.DecodeError as error:
            return web.Response(text=str(error), status=400)
        if fault.point is FaultPoint.AT_ONCE:
            self.faults.struck[fault.kind] += 1
            self._carry_out(fault)
        else:
            self.faults.order(fault)
        return web.Response()

    async def _hit(self, request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read(), type=_Hit)
        except msgspec.DecodeError as error:
            return web.Response(text=str(error), status=400)
        self._pulse.beat()
        done = self._exchange.hit(wanted.client_id, wanted.size, self._now_ns())
        self._pulse.beat()
        return web.Response(status=200 if done else 404)

    async def _acted(self, request: web.Request) -> web.Response:
        return web.json_response(self.acted)

    async def _struck(self, request: web.Request) -> web.Response:
        return web.json_response({kind.value: count for kind, count in self.faults.struck.items()})

    def _carry_out(self, fault: Fault) -> None:
        # Left to chance, `on` names the message that it struck, and every stream goes.
        path = fault.on if fault.on.startswith("/") else "/"
        if fault.kind is FaultKind.CLOCK_STEP:
            self._step_ns += fault.ms * NS_PER_MS
        elif fault.kind is FaultKind.DISCONNECT:
            self._streams.cut(path)
        elif fault.kind is FaultKind.HALF_OPEN:
            self._streams.mute(path)
        elif fault.kind is FaultKind.RESTART and self._up:
            self._up = False
            self._streams.cut()
            self._streams.close_key()
            self._exchange.close()
            asyncio.get_running_loop().call_later(max(fault.ms, 1) / 1000, self._reopen)

    def _reopen(self) -> None:
        if not self._pulse.awaited:
            return
        try:
            self._exchange = Exchange(self._context, self._settings)
        except Exception as error:  # the edge of a timer: whoever runs us is told
            self._pulse.fail(error)
            return
        self._up = True
        self._pulse.beat()

    def _named(self, fields: Fields, unknown: int) -> Any:
        order_id, client_id = fields.get("orderId", ""), fields.get("origClientOrderId", "")
        return self._exchange.named(symbol_of(fields), order_id, client_id, unknown)
