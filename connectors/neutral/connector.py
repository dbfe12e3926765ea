"""`NeutralConnector`: the neutral venue behind the connector port. Read it to write another; the page
`deploy/docs/your-own-connector.md` says what each part owes the daemon.

Three things run side by side in `run`: the stream, the fetching of book snapshots and of what a broken link may have
missed, and the look at the venue's clock. Outcomes of commands come as reply and by the stream; `orders.Revisions`
makes one story of them. A link that comes back is told to the daemon only after the fills since the last one known, and
an account snapshot, have been told.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar, TypeVar

import msgspec
from msgspec import Meta

from connectors.neutral import orders, wire
from connectors.neutral.doctor import Examination
from connectors.neutral.rest import Refused, RestClient
from connectors.neutral.translate import NeutralTranslator
from connectors.shared.http import NeverLeft, OutcomeUnknown
from connectors.shared.weather import attempt
from connectors.shared.ws_session import Send, WsSession
from mm_daemon.domain.capabilities import AmendQuantity, Bucket, BucketKind, Capabilities, CommandClass, Validity
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, GridError, MmError, VenueUnreachable
from mm_daemon.domain.events import (
    Event,
    FundingPaid,
    OrderFilled,
    OrderNotFound,
    RateLimited,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshot,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import ConnectorContext, Link
from mm_daemon.ports.examination import Probe

_ACK_TIMEOUT_MS = 3000
_DEAD_MAN_FLOOR_MS = 1000
_READ_PAUSE_S = 0.1
_CLOCK_EVERY_S = 10.0
_NS_PER_MS = 1_000_000
_PAGES_MAX = 1000
_BATCH_MAX = 10

T = TypeVar("T", bound=msgspec.Struct)
_Row = TypeVar("_Row", wire.FillRow, wire.PaymentRow)
_Made = TypeVar("_Made", OrderFilled, FundingPaid)


class NeutralSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The neutral venue's own keys. Its key and secret are `secrets: {api_key, api_secret}`."""

    url: Annotated[str, Meta(min_length=1, description="address of the venue, such as http://127.0.0.1:9700")] = (
        "http://127.0.0.1:9700"
    )
    dead_man_ms: (
        Annotated[
            int, Meta(ge=1000, le=3_600_000, description="silence after which the venue cancels all, ms; null = never")
        ]
        | None
    ) = 10_000
    orders_per_10s: Annotated[int, Meta(ge=1, description="the account's limit of places and amends in 10 s")] = 300
    requests_per_minute: Annotated[int, Meta(ge=1, description="the account's limit of requests in a minute")] = 2400


class NeutralConnector:
    """Structurally a `Connector`."""

    Settings: ClassVar[type[msgspec.Struct]] = NeutralSettings

    def __init__(self, context: ConnectorContext, settings: NeutralSettings | None = None) -> None:
        """Raises ConfigError when a secret is missing or the address is none."""
        settings = settings or NeutralSettings()
        if not settings.url.startswith(("http://", "https://")):
            raise ConfigError(f"venue {context.venue}: url {settings.url!r} must begin with http:// or https://")
        missing = [name for name in ("api_key", "api_secret") if name not in context.secrets]
        if missing:
            raise ConfigError(
                f"venue {context.venue}: secrets.{missing[0]} is missing; write for example "
                f"secrets: {{{missing[0]}: {{env: NEUTRAL_{missing[0].upper()}}}}}"
            )
        self._context = context
        self.capabilities = _capabilities(settings)
        url = settings.url.rstrip("/")
        self._rest = RestClient(
            url,
            key=context.secrets["api_key"],
            secret=context.secrets["api_secret"],
            now_ns=context.now_ns,
            timeout_s=_ACK_TIMEOUT_MS / 1000 * 0.9,
            on_limit=self._on_limit,
        )
        self._stream = f"ws{url.removeprefix('http')}/v1/stream"
        self._session = WsSession(
            self._stream,
            rng=Rng(0).split(context.venue),
            now_ns=context.now_ns,
            on_open=self._on_open,
            on_frame=self._on_frame,
            on_closed=self._on_closed,
            tap=context.tap,
        )
        self._translator = NeutralTranslator(())
        self._instruments: Mapping[InstrumentId, Instrument] = {}
        self._reading = asyncio.Event()
        """Something is to be read: a book, or what a broken link may have missed."""
        self._missed = False
        self._linked = False
        """Whether the daemon was told that the link is up."""
        self._fills_known_ns: int | None = None
        """Every fill up to this venue time has been told; None: no link was ever up."""
        self._closed = False

    # Contracts

    async def load_instruments(self) -> Sequence[Instrument]:
        """Raises VenueUnreachable, CredentialsRefused, or ConfigError for a symbol that the venue does not have."""
        await self._measure_clock()
        await self._rest.get("/v1/account")  # a key that is refused is told before anything begins
        reply = _decoded(await self._rest.get("/v1/instruments"), wire.Instruments)
        rows = {row.symbol: row for row in reply.instruments}
        for symbol in self._context.symbols:
            if symbol not in rows:
                raise ConfigError(f"venue {self._context.venue} has no symbol {symbol}; there are {', '.join(rows)}")
        try:
            found = [orders.instrument(rows[symbol], self._context.venue) for symbol in self._context.symbols]
        except GridError as error:
            raise VenueUnreachable(f"venue {self._context.venue} names a contract we cannot trade: {error}") from error
        self._instruments = {instrument.id: instrument for instrument in found}
        self._translator = NeutralTranslator(found)
        return found

    # The link

    async def run(self) -> None:
        """Keep the link alive until cancelled. Raises CredentialsRefused when the venue refuses the key."""
        await attempt(self._measure_clock)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._session.run())
                group.create_task(self._read())
                group.create_task(self._keep_clock())
        except* MmError as failed:
            raise failed.exceptions[0] from None
        finally:
            self._on_closed("the session has ended")

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind."""
        oversized = self._session.ends["oversized"]
        return {**self._translator.problems, "oversized": oversized} if oversized else self._translator.problems

    def links(self) -> Mapping[str, Link]:
        """One socket carries both the market and the account."""
        return {"all": self._session.link}

    async def _on_open(self, send: Send) -> None:
        self._translator.begin()
        key, time_ms, nonce, sign = self._rest.sign("GET", "/v1/stream")
        login = {"op": "login", "key": key, "time_ms": time_ms, "nonce": nonce, "sign": sign}
        await send(msgspec.json.encode(login))
        await send(msgspec.json.encode({"op": "subscribe", "symbols": self._context.symbols}))

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        translator = self._translator
        waiting, login = len(translator.wants_book), translator.login
        for event in translator.translate(frame, ts_local_ns):
            if isinstance(event, OrderFilled) and self._linked:
                self._fills_known_ns = max(self._fills_known_ns or 0, event.ts_venue_ns)
            self._emit(event)
        if login is None and translator.login is not None:
            self._logged_in(translator.login, ts_local_ns)
        elif login is None and translator.refused is not None:
            raise _login_error(translator.refused)
        if len(translator.wants_book) > waiting:
            self._reading.set()

    def _logged_in(self, login: wire.LoggedIn, ts_local_ns: int) -> None:
        if self._fills_known_ns is None:
            self._fills_known_ns = login.time_ns
            self._link_is_up(login.time_ns, ts_local_ns)
        else:
            self._missed = True
        self._reading.set()

    def _link_is_up(self, ts_venue_ns: int, ts_local_ns: int) -> None:
        self._linked = True
        self._emit(VenueConnected(self._context.venue, ts_venue_ns, ts_local_ns))

    def _on_closed(self, cause: str) -> None:
        self._missed = False
        if self._linked:
            self._linked = False
            self._emit(VenueDisconnected(self._context.venue, 0, self._context.now_ns(), cause))

    async def _read(self) -> None:
        """Fetch what the stream alone cannot give, one thing after the other, as long as something is missing."""
        while True:
            await self._reading.wait()
            self._reading.clear()
            try:
                if self._missed and self._session.connected:
                    await self._catch_up()
                for symbol in tuple(self._translator.wants_book):
                    await self._fetch_book(symbol)
            except (OutcomeUnknown, NeverLeft, Refused):
                self._reading.set()  # weather: the same again after a pause
            if self._translator.wants_book:
                self._reading.set()
            await asyncio.sleep(_READ_PAUSE_S)

    async def _fetch_book(self, symbol: str) -> None:
        translator = self._translator
        reply = await self._rest.get(f"/v1/book?symbol={symbol}")
        for event in translator.take_book(reply, self._context.now_ns()):
            self._emit(event)

    async def _catch_up(self) -> None:
        """The private stream runs again: tell what happened while it did not, and then that the link is up."""
        link = self._translator.login
        fills = await self._fills_since(self._fills_known_ns or 0)
        snapshot = await self.snapshot(self._fills_known_ns or 0)
        if link is None or link is not self._translator.login or not self._missed:
            return  # the link has gone again meanwhile
        now_ns = self._context.now_ns()
        for fill in fills:
            self._emit(msgspec.structs.replace(fill, ts_local_ns=now_ns))
        self._emit(VenueSnapshotReceived(self._context.venue, snapshot.ts_venue_ns, now_ns, snapshot))
        self._missed = False
        self._fills_known_ns = max([link.time_ns, *(fill.ts_venue_ns for fill in fills)])
        self._link_is_up(snapshot.ts_venue_ns, now_ns)

    # The venue's clock

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_EVERY_S)
            try:
                await self._measure_clock()
            except (OutcomeUnknown, NeverLeft, Refused):
                continue  # weather: the offset known is the best there is

    async def _measure_clock(self) -> None:
        asked_ns = self._context.now_ns()
        time = _decoded(await self._rest.get("/v1/time"), wire.Time)
        now_ns = self._context.now_ns()
        self._rest.offset_ns = time.time_ns - (asked_ns + now_ns) // 2
        self._emit(VenueTime(self._context.venue, time.time_ns, now_ns))

    # Commands

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """One request for one batch of one kind. Nothing is ever sent twice: what is not known is said to be unknown,
        and the core asks."""
        batch: list[OrderCommand] = [
            approved.command
            for approved in commands
            if isinstance(approved.command, PlaceOrder | AmendOrder | CancelOrder)
        ]
        path, body = orders.request(batch, self._instruments)
        try:
            reply = msgspec.json.decode(await self._rest.post(path, body), type=wire.Results)
            told = orders.outcomes(
                batch, reply, self._translator.symbols, self._translator.revisions, self._context.now_ns()
            )
        except Refused as refused:
            told = [orders.refusal(each, refused.problem, self._context.now_ns()) for each in batch]
            if refused.problem.code == "outside_window":
                await attempt(self._measure_clock)
        except (NeverLeft, CredentialsRefused) as error:
            problem = wire.Problem("not_sent", str(error))
            told = [orders.refusal(each, problem, self._context.now_ns()) for each in batch]
        except (OutcomeUnknown, msgspec.DecodeError, GridError) as error:
            told = [orders.unknown(each, str(error), self._context.now_ns()) for each in batch]
        for event in told:
            self._emit(event)

    async def query_order(self, client_id: ClientOrderId) -> None:
        """Raises VenueUnreachable when there is no answer."""
        try:
            text = await self._rest.get(f"/v1/order?client_id={client_id}")
        except Refused as refused:
            if refused.problem.code != "unknown_order":
                raise
            now_ns = self._context.now_ns()
            self._emit(OrderNotFound(self._context.venue, refused.problem.time_ns, now_ns, client_id))
            return
        translator, result = self._translator, _decoded(text, wire.Result)
        try:
            told = orders.answered(result, translator.symbols, translator.revisions, self._context.now_ns())
        except GridError as error:
            raise OutcomeUnknown(f"order {client_id} cannot be read: {error}") from error
        for event in told:
            self._emit(event)

    async def cancel_all(self) -> None:
        """Raises VenueUnreachable when the venue does not confirm it."""
        reply = _decoded(await self._rest.post("/v1/cancel-all"), wire.Canceled)
        translator, now_ns = self._translator, self._context.now_ns()
        try:
            told = [orders.reported(each, translator.symbols, translator.revisions, now_ns) for each in reply.canceled]
        except GridError as error:
            raise OutcomeUnknown(f"an order cannot be read: {error}") from error
        for events in told:
            for event in events:
                self._emit(event)

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Raises VenueUnreachable when the venue does not confirm it."""
        timeout_ms: int | None = None
        if deadline_ns is not None:
            timeout_ms = max((deadline_ns - self._context.now_ns()) // _NS_PER_MS, _DEAD_MAN_FLOOR_MS)
        _decoded(await self._rest.post("/v1/dead-man", msgspec.json.encode({"timeout_ms": timeout_ms})), wire.DeadMan)

    # The account

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """Orders and positions of one instant, and the fills and payments from `since_ns` up to that instant: what is
        booked behind it is left for the next one. Raises VenueUnreachable or CredentialsRefused."""
        requested_ns = self._context.now_ns()
        account = _decoded(await self._rest.get("/v1/account"), wire.Account)
        fills: list[OrderFilled] = []
        payments: list[FundingPaid] = []
        if since_ns <= account.time_ns:
            fills = [each for each in await self._fills_since(since_ns) if each.ts_venue_ns <= account.time_ns]
            payments = [each for each in await self._payments_since(since_ns) if each.ts_venue_ns <= account.time_ns]
        symbols = self._translator.symbols
        try:
            shown, held = orders.open_orders(account.orders, symbols), orders.positions(account.positions, symbols)
        except GridError as error:
            raise OutcomeUnknown(f"the account cannot be read: {error}") from error
        venue = self._context.venue
        return VenueSnapshot(venue, account.time_ns, requested_ns, shown, held, tuple(fills), tuple(payments))

    async def _fills_since(self, since_ns: int) -> list[OrderFilled]:
        """Page after page, until the last one is in."""
        found: list[OrderFilled] = []
        first = 0
        for _ in range(_PAGES_MAX):
            page = _decoded(await self._rest.get(f"/v1/fills?since_ns={since_ns}&first={first}"), wire.Fills)
            found += self._of_ours(page.fills, orders.filled)
            if page.next is None:
                return found
            first = page.next
        raise OutcomeUnknown(f"fills since {since_ns} do not end after {_PAGES_MAX} pages")

    async def _payments_since(self, since_ns: int) -> list[FundingPaid]:
        reply = _decoded(await self._rest.get(f"/v1/payments?since_ns={since_ns}"), wire.Payments)
        return self._of_ours(reply.payments, orders.paid)

    def _of_ours(self, rows: Sequence[_Row], made: Callable[[_Row, Instrument, int], _Made]) -> list[_Made]:
        symbols, now_ns = self._translator.symbols, self._context.now_ns()
        try:
            return [made(row, symbols[row.symbol], now_ns) for row in rows if row.symbol in symbols]
        except GridError as error:
            raise OutcomeUnknown(f"the account's history cannot be read: {error}") from error

    def probes(self) -> Sequence[Probe]:
        """What `doctor` asks. See `Examination`."""
        return Examination(self._rest, self._stream).probes()

    async def close(self) -> None:
        """Nothing is said any more; the stream ends with `run`."""
        self._closed = True
        await self._rest.close()

    # Inside

    def _emit(self, event: Event) -> None:
        if not self._closed:
            self._context.emit(event)

    def _on_limit(self, bucket: str, wait_ms: int, banned: bool) -> None:
        now_ns = self._context.now_ns()
        self._emit(RateLimited(self._context.venue, 0, now_ns, bucket or None, wait_ms, banned))


def _capabilities(settings: NeutralSettings) -> Capabilities:
    acting = dict.fromkeys((CommandClass.PLACE, CommandClass.AMEND, CommandClass.REDUCE), 1)
    return Capabilities(
        amend=True,
        amend_quantity=AmendQuantity.TOTAL,
        amend_new_venue_id=False,
        decrease_keeps_place=False,
        cancel_final=True,
        post_only=True,
        reduce_only=True,
        batch_max=_BATCH_MAX,
        ack_timeout_ms=_ACK_TIMEOUT_MS,
        validity=Validity.EXPIRES_AT,
        dead_man_floor_ms=None if settings.dead_man_ms is None else _DEAD_MAN_FLOOR_MS,
        dead_man_ms=settings.dead_man_ms,
        buckets=(
            Bucket(
                name="orders",
                kind=BucketKind.WINDOW,
                capacity=settings.orders_per_10s,
                period_ms=10_000,
                costs=acting,
                cancels_exempt=True,
            ),
            Bucket(
                name="requests",
                kind=BucketKind.WINDOW,
                capacity=settings.requests_per_minute,
                period_ms=60_000,
                costs=dict.fromkeys(CommandClass, 1),
            ),
        ),
        simulated=False,
    )


def _login_error(problem: wire.Problem) -> MmError:
    """A refused key will stay refused; a time that is off is measured anew when `run` starts again."""
    text = f"the venue refused our login: {problem.code}, {problem.text}"
    return CredentialsRefused(text) if problem.code in ("bad_key", "bad_signature") else VenueUnreachable(text)


def _decoded(text: bytes, wanted: type[T]) -> T:
    """Raises OutcomeUnknown for an answer that makes no sense."""
    try:
        return msgspec.json.decode(text, type=wanted)
    except msgspec.DecodeError as error:
        raise OutcomeUnknown(f"the venue's answer makes no sense: {error}") from error
