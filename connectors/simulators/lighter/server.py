"""The simulated Lighter behind HTTP and WebSocket, on one port; `/control` orders faults, from this machine only.

`LighterVenue` owns the exchange, the keys, the streams, the limits and the timer that moves them. A transaction is
answered when it is admitted; what became of it comes by the streams. A fault strikes a request by the name of its
endpoint, a transaction as `sendTx` or `sendTxBatch` whichever way it came.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

import msgspec
from aiohttp import WSMsgType, web

from connectors.simulators.faults import Fault, FaultKind, FaultPoint, WireFaults
from connectors.simulators.lighter import codes
from connectors.simulators.lighter.admission import REST_BATCH_MAX, WS_BATCH_MAX, Admission, Transaction
from connectors.simulators.lighter.codes import Refused
from connectors.simulators.lighter.exchange import Exchange
from connectors.simulators.lighter.limits import Limits
from connectors.simulators.lighter.reads import Reads
from connectors.simulators.lighter.settings import FIRST_KEY_INDEX, LighterVenueSettings, Tier
from connectors.simulators.lighter.signing import schnorr
from connectors.simulators.lighter.signing.ecgfp5 import ORDER
from connectors.simulators.lighter.signing.poseidon2 import hash_words, to_bytes
from connectors.simulators.lighter.streams import Client, Streams
from connectors.simulators.pulse import Pulse
from connectors.simulators.socket import cut, from_here
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.simulator import SimulatorContext

_NS_PER_MS = 1_000_000
_BODY_MAX = 1 << 18
_LOOK_S = 0.1
"""The longest time between two looks at what the clock says is due."""

_encode = msgspec.json.Encoder().encode


class _Hit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/fill`: have so many lots of an order filled now, by its index or the client's."""

    index: int
    lots: int


class _RemoveKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/remove_key`: a key that its owner has taken from the account."""

    key_index: int


class _SetNonce(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /control/nonce`: the next nonce of a key, as if another process had used it."""

    key_index: int
    nonce: int


class _LineDropped(Exception):
    """A request that is answered by cutting its line."""


class LighterVenue:
    """Structurally a `VenueSimulator`."""

    Settings: ClassVar[type[msgspec.Struct]] = LighterVenueSettings

    def __init__(self, context: SimulatorContext, settings: LighterVenueSettings | None = None) -> None:
        """Raises ConfigError for symbols that cannot be, and for a state_dir: the account lives as long as we do."""
        self._context = context
        self._settings = settings = settings or LighterVenueSettings()
        unknown = [name for name in settings.symbols if name not in context.symbols]
        if unknown:
            raise ConfigError(f"settings: symbols.{unknown[0]} is not among --symbols {','.join(context.symbols)}")
        if context.state_dir is not None:
            raise ConfigError("simulate lighter keeps no account on disk: leave --state-dir out")
        rng = Rng(context.seed)
        self._step_ns = 0
        self.exchange = Exchange(context.symbols, settings, context.seed)
        self.secrets = {FIRST_KEY_INDEX + place: _secret(context.seed, place) for place in range(settings.api_keys)}
        self.admission = Admission(
            self.exchange,
            chain_id=settings.chain_id,
            account=settings.account_index,
            keys={index: schnorr.public_key(secret) for index, secret in self.secrets.items()},
            verify=settings.verify_signatures,
        )
        self.limits = Limits(settings)
        self.faults = WireFaults(rng.split("faults"), settings.chances)
        self._reads = Reads(self.exchange, self.admission, settings)
        self._streams = Streams(
            self.exchange, self._reads, settings, rng.split("offsets"), self.faults, self._carry_out
        )
        self._offsets = rng.split("servers")
        self.acted: Counter[str] = Counter()
        """How often each thing was asked that may change something here."""
        self._pulse = Pulse(self._live)
        self._up = False
        self._held: set[asyncio.Task[None]] = set()

    def described(self, address: str) -> dict[str, Any]:
        """Where it is, and the keys to trade with: play money, so that they may be shown."""
        keys = [{"api_key_index": index, "private_key": private_key(secret)} for index, secret in self.secrets.items()]
        return {
            "venue": "lighter",
            "rest": f"http://{address}",
            "ws": f"ws://{address}/stream",
            "chain_id": self._settings.chain_id,
            "account_index": self._settings.account_index,
            "api_keys": keys,
            "symbols": list(self._context.symbols),
        }

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until cancelled. Raises OSError when the port cannot be had."""
        failed = self._pulse.start()
        application = web.Application(middlewares=[self._guard], client_max_size=_BODY_MAX)
        reads = [web.get(f"/api/v1/{name}", self._on_read(name)) for name in self._reads.names]
        application.add_routes(
            [
                *reads,
                web.get("/", self._on_status),
                web.get("/info", self._on_info),
                web.get("/stream", self._on_socket),
                web.post("/api/v1/sendTx", self._on_send),
                web.post("/api/v1/sendTxBatch", self._on_send_batch),
                web.post("/api/v1/changeAccountTier", self._on_change_tier),
                web.post("/control/fault", self._on_fault),
                web.post("/control/fill", self._on_fill),
                web.post("/control/nonce", self._on_nonce),
                web.post("/control/remove_key", self._on_remove_key),
                web.get("/control/struck", self._on_struck),
                web.get("/control/acted", self._acted),
            ]
        )
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._context.host, self._context.port).start()
            host, port = runner.addresses[0][:2]
            self._up = True
            self._pulse.beat()
            listening(f"{host}:{port}")
            await failed
        finally:
            self._up = False
            self._pulse.stop()
            self._streams.cut_all()
            for task in tuple(self._held):
                task.cancel()
            await runner.cleanup()

    # Time

    def _now_ns(self) -> int:
        return self._context.now_ns() + self._step_ns

    def _now_ms(self) -> int:
        return self._now_ns() // _NS_PER_MS

    def _live(self) -> float | None:
        """Everything up to now, told to the streams; seconds until more is due."""
        if not self._up:
            return None
        said = self.exchange.advance(self._now_ns())
        self.limits.traded(self.exchange.volume)
        self.exchange.volume = 0.0
        self._streams.tell(said, self._now_ms())
        ahead_s = (self.exchange.next_deadline_ns() - self._now_ns()) / 1e9
        return min(ahead_s, _LOOK_S, self._settings.stats_interval_ms / 1000)

    # HTTP

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        control = request.path.startswith("/control/")
        if control and not from_here(request):
            return web.Response(status=403)
        if not self._up and not control:
            return cut(request)
        try:
            return await handler(request)
        except _LineDropped:
            return cut(request)
        except Refused as refused:
            return _answer({"code": refused.code, "message": refused.text}, status=refused.status)
        except msgspec.DecodeError as error:
            return _answer({"code": codes.BAD_PARAMETER, "message": str(error)}, status=400)

    def _on_read(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            self._pulse.beat()
            fault = await self._strike(name)
            self.limits.read(name, self._now_ms())
            token = request.headers.get("authorization") or request.query.get("auth", "")
            body = self._reads.read(name, request.query, token, self._now_ms())
            await self._hold(fault)
            return _answer({"code": codes.OK, **body})

        return handler

    async def _on_status(self, _request: web.Request) -> web.Response:
        return _answer({"status": 200, "network_id": 1, "timestamp": self._now_ms() // 1000})

    async def _on_info(self, _request: web.Request) -> web.Response:
        return _answer({"contract_address": f"0x{0:040x}"})

    async def _on_send(self, request: web.Request) -> web.Response:
        form = await request.post()
        sent = [(_whole(form.get("tx_type")), str(form.get("tx_info", "")))]
        reply = await self._send("sendTx", sent, REST_BATCH_MAX)
        if reply is None:
            raise _LineDropped
        return _answer(reply)

    async def _on_send_batch(self, request: web.Request) -> web.Response:
        form = await request.post()
        sent = _batch(str(form.get("tx_types", "")), str(form.get("tx_infos", "")))
        reply = await self._send("sendTxBatch", sent, REST_BATCH_MAX)
        if reply is None:
            raise _LineDropped
        return _answer(reply)

    async def _send(self, name: str, sent: list[tuple[int, str]], most: int) -> dict[str, Any] | None:
        """Admit transactions; the answer, None where it is to be lost. Raises Refused."""
        self.acted.update(f"{name} {tx_type}" for tx_type, _ in sent)
        self._pulse.beat()
        fault = await self._strike(name)
        now_ms = self._now_ms()
        before = dict(self.admission.nonces)
        made = self.admission.admit(sent, now_ms, most=most)
        try:
            remark = self.limits.send([each.tx_type for each in made], now_ms)
        except Refused:
            self.admission.nonces = before  # what was refused has used no nonce
            raise
        reply = self._admitted(made, remark, batch=name == "sendTxBatch")
        asyncio.get_running_loop().call_soon(self._pulse.beat)
        try:
            await self._hold(fault)
        except _LineDropped:
            return None
        return reply

    def _admitted(self, made: list[Transaction], remark: str | None, *, batch: bool) -> dict[str, Any]:
        executed_ms = self.exchange.submit(made, self._now_ns())
        hashes = [each.hash for each in made]
        reply: dict[str, Any] = {"code": codes.OK}
        if remark is not None:
            reply["message"] = remark
        reply |= {"tx_hash": hashes if batch else hashes[0], "predicted_execution_time_ms": executed_ms}
        if self._settings.tier is Tier.PREMIUM:
            reply["volume_quota_remaining"] = self.limits.quota
        return reply

    async def _on_change_tier(self, request: web.Request) -> web.Response:
        self.acted["changeAccountTier"] += 1
        token = request.headers.get("authorization") or request.query.get("auth", "")
        self._reads.authorise(token, self._now_ms())
        raise Refused(codes.BAD_PARAMETER, "the simulated account's tier is set by its settings")

    # Faults

    async def _strike(self, where: str) -> Fault | None:
        """What goes wrong before a request is looked at; the fault that waits for its reply. Raises Refused."""
        fault = self.faults.strike(FaultPoint.REQUEST, where)
        if fault is not None:
            if fault.kind is FaultKind.LOSE_REQUEST:
                raise _LineDropped
            if fault.kind is FaultKind.SERVER_ERROR:
                raise Refused(29500, "internal server error", 500)
            if fault.kind is FaultKind.BAN:
                self.limits.refuse_for(fault.ms, self._now_ms())
            raise Refused(codes.RATE_LIMITED, "Too Many Requests!", 429)
        return self.faults.strike(FaultPoint.REPLY, where)

    @staticmethod
    async def _hold(fault: Fault | None) -> None:
        if fault is None:
            return
        if fault.kind is FaultKind.LOSE_REPLY:
            raise _LineDropped
        await asyncio.sleep(fault.ms / 1000)

    def _carry_out(self, fault: Fault) -> None:
        if fault.kind is FaultKind.DISCONNECT:
            self._streams.cut_all()
        elif fault.kind is FaultKind.HALF_OPEN:
            self._streams.mute_all()
        elif fault.kind is FaultKind.CLOCK_STEP:
            self._step_ns += fault.ms * _NS_PER_MS
        elif fault.kind is FaultKind.RESTART:
            self._streams.announce_shutdown(fault.ms)
            asyncio.get_running_loop().call_later(fault.ms / 1000, self._streams.cut_all)

    # Sockets

    async def _on_socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._streams.clients) >= self._settings.connections:
            raise Refused(codes.RATE_LIMITED, "Too Many Requests!", 429)
        socket = web.WebSocketResponse(autoping=False, max_msg_size=_BODY_MAX, timeout=0.2, compress=False)
        await socket.prepare(request)
        first = int(self._offsets.uniform() * 2_000_000)
        read_only = request.query.get("readonly") == "true"
        client = Client(socket, request.transport, self._settings, self._now_ms(), first, read_only=read_only)
        self._streams.clients.append(client)
        client.put(_encode({"session_id": f"{first:032x}", "type": "connected"}))
        writing = asyncio.ensure_future(client.write())
        try:
            async for frame in socket:
                client.heard_ms = self._now_ms()
                if client.mute:
                    continue
                if frame.type is WSMsgType.PING:
                    await socket.pong(frame.data)
                elif frame.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._hear(client, frame.data)
        finally:
            self._streams.clients.remove(client)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return socket

    def _hear(self, client: Client, data: str | bytes) -> None:
        self._pulse.beat()
        try:
            asked = msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            _complain(client, codes.WS_JSON, "Invalid JSON")
            return
        kind = asked.get("type") if isinstance(asked, dict) else None
        if kind in ("jsonapi/sendtx", "jsonapi/sendtxbatch"):
            task = asyncio.ensure_future(self._send_over_socket(client, kind, asked.get("data")))
            self._held.add(task)
            task.add_done_callback(self._held.discard)
            return
        if not client.messages.take(1, self._now_ms()):
            _complain(client, codes.WS_RATE, "Too Many Websocket Messages!")
            return
        try:
            self._do(client, kind, asked)
        except Refused as refused:
            _complain(client, refused.code, refused.text)

    def _do(self, client: Client, kind: Any, asked: Any) -> None:
        """Raises Refused."""
        if kind == "ping":
            client.put(b'{"type":"pong"}')
        elif kind in ("subscribe", "unsubscribe"):
            channel, token = asked.get("channel"), asked.get("auth", "")
            if not isinstance(channel, str) or not isinstance(token, str):
                raise Refused(codes.WS_CHANNEL, "Invalid Channel: none")
            if kind == "subscribe":
                self._streams.subscribe(client, channel, token)
            else:
                self._streams.unsubscribe(client, channel)
        elif kind != "pong":
            raise Refused(codes.WS_TYPE, f"Invalid Type: {kind}")

    async def _send_over_socket(self, client: Client, kind: str, data: Any) -> None:
        own: dict[str, Any] = {}
        try:
            if not isinstance(data, dict):
                raise Refused(codes.WS_DATA, "Invalid Data")
            own = {"id": data["id"]} if isinstance(data.get("id"), str) else {}
            if client.read_only:
                raise Refused(codes.WS_UNSUPPORTED, "a read only connection sends no transactions")
            if kind == "jsonapi/sendtx":
                sent = [(_whole(data.get("tx_type")), _encode(data.get("tx_info")).decode())]
                reply = await self._send("sendTx", sent, WS_BATCH_MAX)
            else:
                sent = _batch(data.get("tx_types"), data.get("tx_infos"))
                reply = await self._send("sendTxBatch", sent, WS_BATCH_MAX)
            if reply is not None:
                client.put(_encode({**own, **reply, "type": kind}))
        except Refused as refused:
            client.put(_encode({**own, "type": kind, "code": refused.code, "message": refused.text}))
        except _LineDropped:
            client.cut()

    # Control

    async def _on_fault(self, request: web.Request) -> web.Response:
        fault = msgspec.json.decode(await request.read(), type=Fault)
        if fault.point is FaultPoint.AT_ONCE:
            self.faults.struck[fault.kind] += 1
            self._carry_out(fault)
        else:
            self.faults.order(fault)
        return _answer({"code": codes.OK})

    async def _on_fill(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_Hit)
        self._pulse.beat()
        if not self.exchange.hit(wanted.index, wanted.lots, self._now_ns()):
            raise Refused(codes.ORDER_NOT_ACTIVE, f"no active order {wanted.index}", 404)
        self._pulse.beat()
        return _answer({"code": codes.OK})

    async def _on_nonce(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_SetNonce)
        if wanted.key_index not in self.admission.nonces:
            raise Refused(codes.KEY_NOT_FOUND, "api key not found", 404)
        self.admission.nonces[wanted.key_index] = wanted.nonce
        return _answer({"code": codes.OK})

    async def _on_remove_key(self, request: web.Request) -> web.Response:
        wanted = msgspec.json.decode(await request.read(), type=_RemoveKey)
        if self.admission.keys.pop(wanted.key_index, None) is None:
            raise Refused(codes.KEY_NOT_FOUND, "api key not found", 404)
        return _answer({"code": codes.OK})

    async def _acted(self, request: web.Request) -> web.Response:
        return web.json_response(self.acted)

    async def _on_struck(self, _request: web.Request) -> web.Response:
        return _answer({kind.value: count for kind, count in self.faults.struck.items()})


def private_key(secret: int) -> str:
    """As the venue writes one: 40 bytes, little-endian, in hex."""
    return f"0x{secret.to_bytes(40, 'little').hex()}"


def _secret(seed: int, place: int) -> int:
    """A key that is worth nothing: anybody can make it from the seed."""
    words = hash_words([*b"simulated lighter", seed, place])
    return int.from_bytes(to_bytes(words), "little") % (ORDER - 1) + 1


def _batch(types: Any, infos: Any) -> list[tuple[int, str]]:
    """A batch's transactions from its two texts. Raises Refused."""
    try:
        kinds = msgspec.json.decode(types, type=list[int])
        texts = msgspec.json.decode(infos, type=list[str])
    except (msgspec.DecodeError, TypeError):
        raise Refused(codes.BAD_PARAMETER, "tx_types and tx_infos must be JSON lists as text") from None
    if len(kinds) != len(texts):
        raise Refused(codes.BATCH_EMPTY, "tx_types and tx_infos differ in length")
    return list(zip(kinds, texts, strict=True))


def _whole(value: Any) -> int:
    """Raises Refused for what is no whole number."""
    text = str(value)
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise Refused(codes.BAD_PARAMETER, "tx_type must be a number")
    return int(text)


def _complain(client: Client, code: int, text: str) -> None:
    client.put(_encode({"error": {"code": code, "message": text}}))


def _answer(body: Mapping[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(body=_encode(body), content_type="application/json", status=status)
