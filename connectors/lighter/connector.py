"""`LighterConnector`: the venue behind the connector port, over one socket and, where that is not there, HTTP.

The account's streams are subscribed first; when they run, what was missed is read over HTTP and told, then that the
link is up, and only then the books are subscribed. A token for private reads is made anew ahead of its end, and the
private channels are subscribed again with it. A book that is lost is unsubscribed and subscribed again.

Without `account` it is a feed, for paper runs: it has no account and refuses to trade.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import msgspec

from connectors.lighter import contracts, library, wire
from connectors.lighter import transactions as tx
from connectors.lighter.account import AccountReader
from connectors.lighter.native import NativeLibrary, NativeSigner
from connectors.lighter.orders import OrderCommand, OwnOrders
from connectors.lighter.rest import BAD_AUTH, NeverLeft, OutcomeUnknown, Refused, RestClient
from connectors.lighter.sending import SENT_TYPES, Sending
from connectors.lighter.settings import (
    ACK_TIMEOUT_MS,
    DEAD_MAN_FLOOR_MS,
    QUOTA,
    QUOTA_START,
    TRANSACTIONS,
    LighterSettings,
    Tier,
    capabilities,
)
from connectors.lighter.trading import Trading
from connectors.lighter.translate import IGNORED_TYPES, UNDECODABLE, LighterTranslator, frame_type
from connectors.shared.ws_session import Send, SessionLimits, WsSession
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, PlaceOrder
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, GridError, MmError, VenueUnreachable
from mm_daemon.domain.events import (
    BalanceUpdate,
    Event,
    FundingPaid,
    OrderFilled,
    PositionUpdate,
    RateLimited,
    RateLimitUsed,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshot,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.money import from_text, to_pair
from mm_daemon.domain.orders import ClientOrderId, TimeInForce
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import ConnectorContext

PRIVATE_CHANNELS = (
    "account_all_orders",
    "account_all_trades",
    "account_all_positions",
    "account_tx",
    "user_stats",
)
MARKET_CHANNELS = ("order_book", "trade", "market_stats")
IGNORED_ACCOUNT_TYPES = frozenset(
    f"{verb}/{name}"
    for verb in ("subscribed", "update")
    for name in ("account_all", "account_market", "account_orders", "account_all_assets", "notification")
)
"""Channels of an account that we know and never ask for: the others tell all of it."""
IGNORED_WORDS = frozenset({"pong", "connected"})

_UNANSWERED_MAX = 35
_CLOCK_EVERY_NS = 10_000_000_000
_PING_S = 30.0
"""The venue drops who says nothing for two minutes, however much it says itself."""
_FUNDING_EVERY_S = 120.0
_TOKEN_LOOK_S = 1.0
_PAUSE_S = 0.5
_CANCEL_LOOKS = 20
_CANCEL_PAUSE_S = 0.1
_ALREADY_SCHEDULED = 21712
_FLOOR_SLACK_MS = 1000
"""Added to the shortest deadline: the venue counts from when it looks."""
_NS_PER_MS, _NS_PER_S = 1_000_000, 1_000_000_000
_FRAME_BYTES_MAX = 4 << 20
_USDC = "USDC"
_AUTH_ERROR = 30012

MakeSigner = Callable[[LighterSettings, Mapping[str, str]], tx.SignsTransactions]


def native_signer(settings: LighterSettings, secrets: Mapping[str, str]) -> tx.SignsTransactions:
    """The venue's library with our keys. Raises ConfigError where it is missing or refuses a key."""
    assert settings.account is not None
    native = NativeLibrary.at(library.find(settings.signer_library))
    for index in settings.api_keys:
        key = secrets[f"api_key_{index}"]
        native.add_key(key, chain_id=settings.chain, account=settings.account, key_index=index)
    return NativeSigner(native, account=settings.account)


class LighterConnector:
    """Structurally a `Connector`."""

    Settings: ClassVar[type[msgspec.Struct]] = LighterSettings

    def __init__(
        self, context: ConnectorContext, settings: LighterSettings, make_signer: MakeSigner = native_signer
    ) -> None:
        """Raises ConfigError for a secret that is missing or no key, and where the signer library is missing."""
        if not settings.rest_url.startswith(("http://", "https://")):
            raise ConfigError(f"venue {context.venue}: url {settings.rest_url!r} must begin with http:// or https://")
        self._context = context
        self._settings = settings
        self.capabilities = capabilities(settings)
        timeout_s = ACK_TIMEOUT_MS / 1000 * 0.9
        self._rest = RestClient(
            settings.rest_url,
            timeout_s=timeout_s,
            reads_per_minute=settings.reads_per_minute,
            weighed=settings.tier is not Tier.STANDARD,
        )
        self._sending = Sending(self._rest, timeout_s)
        self._signer: tx.SignsTransactions | None = None
        self._trading: Trading | None = None
        if settings.account is not None:
            self._signer = self._keys(settings, make_signer)
            self._trading = Trading(
                self._rest,
                self._sending,
                self._signer,
                account=settings.account,
                keys=settings.api_keys,
                on_quota=self._on_quota,
                on_stop=self._on_stop,
            )
        self._session = WsSession(
            settings.socket_url,
            rng=Rng(0).split(context.venue),
            now_ns=context.now_ns,
            on_open=self._on_open,
            on_frame=self._on_frame,
            on_closed=self._on_closed,
            limits=SessionLimits(frame_bytes_max=_FRAME_BYTES_MAX),
            ping='{"type":"ping"}',
        )
        self._markets: Mapping[int, Instrument] = {}
        self._translator = LighterTranslator({})
        self._orders = OwnOrders({}, 0, settings.order_expiry_s)
        self._reader: AccountReader | None = None
        self._send: Send | None = None
        self._wishes: deque[dict[str, str]] = deque()
        """Messages to send when the venue has answered enough of those before."""
        self.unanswered = 0
        """Subscriptions that wait for their first frame."""
        self._wished = asyncio.Event()
        self._pinged = asyncio.Event()
        self._awaited: set[str] = set()
        """Private channels whose first frame has not come."""
        self._missed = asyncio.Event()
        """The private channels run, and what happened while they did not is to be read."""
        self._linked = False
        """Whether the daemon was told that the link is up."""
        self._fills_known_ns: int | None = None
        """Every fill up to this venue time has been told; None: no link was ever up."""
        self._token_text = ""
        self._token_renew_ns = 0
        self._subscribed_token = ""
        self._stopped: asyncio.Future[None] | None = None
        self._offset_ns = 0
        """What the venue's clock is ahead of ours, by its last frame."""
        self._clock_told_ns = 0
        self._armed = False
        """Whether we have scheduled a cancel-all at the venue."""
        self._quota_most = QUOTA_START
        self._positions: dict[InstrumentId, int] = {}
        self._collateral = ""
        self._problems: dict[str, int] = {}
        self._closed = False
        self._handlers: Mapping[str, Callable[[bytes, int], None]] = {
            **{f"{verb}/account_all_orders": self._on_orders for verb in ("subscribed", "update")},
            **{f"{verb}/account_all_positions": self._on_positions for verb in ("subscribed", "update")},
            **{f"{verb}/account_tx": self._on_transactions for verb in ("subscribed", "update")},
            **{f"{verb}/user_stats": self._on_user_stats for verb in ("subscribed", "update")},
            "update/account_all_trades": self._on_fills,
            "subscribed/account_all_trades": self._on_old_fills,
            "unsubscribed": self._on_answer,
            "ping": self._on_ping,
            "shutdown": self._on_shutdown,
            "error": self._on_error,
            "": self._on_error,
        }

    def _keys(self, settings: LighterSettings, make_signer: MakeSigner) -> tx.SignsTransactions:
        venue = self._context.venue
        for index in settings.api_keys:
            name = f"api_key_{index}"
            if name not in self._context.secrets:
                raise ConfigError(
                    f"venue {venue}: secrets.{name} is missing; write for example "
                    f"secrets: {{{name}: {{env: LIGHTER_{name.upper()}}}}}"
                )
        try:
            return make_signer(settings, self._context.secrets)
        except ConfigError as error:
            raise ConfigError(f"venue {venue}: {error}") from None

    # Contracts and account

    async def load_instruments(self) -> Sequence[Instrument]:
        """Raises VenueUnreachable, CredentialsRefused, or ConfigError for a symbol that the venue does not have."""
        settings, account = self._settings, self._settings.account
        fees: wire.Limits | None = None
        if self._trading is not None:
            await self._trading.check_keys()
            fees = await self._limits()
        self._markets = await contracts.markets(self._rest, self._context.venue, self._context.symbols, fees)
        self._translator = LighterTranslator(self._markets)
        self._orders = OwnOrders(self._markets, account or 0, settings.order_expiry_s)
        if account is not None and self._trading is not None:
            self._reader = AccountReader(
                self._context.venue,
                self._rest,
                account,
                self._orders,
                token=self._token,
                now_ns=self._context.now_ns,
                venue_now_ns=self._venue_now_ns,
            )
            await self._trading.start()
            await self._set_leverage(self._trading)
        return list(self._markets.values())

    async def _limits(self) -> wire.Limits:
        """The first private read: a token that is refused is told before anything begins."""
        try:
            return await self._rest.read(
                "accountLimits", wire.Limits, token=await self._token(), account_index=self._settings.account
            )
        except Refused as refused:
            if refused.code == BAD_AUTH or refused.code in (401, 403):
                raise CredentialsRefused(f"venue {self._context.venue}: {refused.text}") from None
            raise

    async def _set_leverage(self, trading: Trading) -> None:
        """Raises VenueUnreachable when the venue refuses it."""
        leverage = self._settings.leverage
        for number in self._markets if leverage is not None else ():
            assert leverage is not None
            fraction = 10_000 // leverage
            await trading.confirmed(
                [tx.UpdateLeverage(market=number, margin_fraction=fraction, isolated=self._isolated)]
            )

    @property
    def _isolated(self) -> bool:
        return self._settings.isolated

    # Tokens

    async def _token(self) -> str:
        """A token for private reads, made anew when two thirds of its life are over."""
        now_ns = self._venue_now_ns()
        if self._signer is None:
            raise self._no_key()
        if now_ns >= self._token_renew_ns:
            life_s = self._settings.auth_token_s
            deadline_s = now_ns // _NS_PER_S + life_s
            self._token_text = await self._signer.auth_token(deadline_s, self._settings.api_keys[0])
            self._token_renew_ns = now_ns + life_s * _NS_PER_S * 2 // 3
        return self._token_text

    async def _keep_token(self) -> None:
        """Subscribe the private channels anew, ahead of their token's end: the venue does not say when it comes."""
        while True:
            token = await self._token()
            renewed = self._linked and token != self._subscribed_token
            if renewed:
                self._subscribed_token = token
                for channel in self._private():
                    self._wish({"type": "unsubscribe", "channel": channel})
                    self._wish({"type": "subscribe", "channel": channel, "auth": token})
                self._missed.set()  # nothing is told between the two
            left_s = (self._token_renew_ns - self._venue_now_ns()) / _NS_PER_S
            await asyncio.sleep(min(max(left_s, 0.1), _TOKEN_LOOK_S))

    # The link

    async def run(self) -> None:
        """Keep the link alive until cancelled. Raises CredentialsRefused when the venue refuses the key."""
        self._stopped = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._session.run())
                group.create_task(self._catch_up())
                group.create_task(self._subscribe())
                group.create_task(self._keep_alive())
                group.create_task(self._watch_key())
                if self._reader is not None:
                    group.create_task(self._keep_token())
                    group.create_task(self._watch_funding(self._reader))
        except* MmError as failed:
            raise failed.exceptions[0] from None
        finally:
            self._on_closed("the session has ended")

    async def _watch_key(self) -> None:
        if self._stopped is not None:
            await self._stopped

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind."""
        oversized = self._session.ends["oversized"]
        more = {"oversized": oversized} if oversized else {}
        foreign = {"foreign_fill": self._orders.foreign_fills} if self._orders.foreign_fills else {}
        return {**self._translator.problems, **self._problems, **more, **foreign}

    def _private(self) -> list[str]:
        account = self._settings.account
        return [] if account is None else [f"{name}/{account}" for name in PRIVATE_CHANNELS]

    async def _on_open(self, send: Send) -> None:
        self._translator.begin()
        self._wishes.clear()
        self.unanswered = 0
        self._send = send
        self._sending.begin(send)
        channels = self._private()
        self._awaited = {channel.partition("/")[0] for channel in channels}
        if not channels:
            self._begin_link(self._context.now_ns())
            return
        self._subscribed_token = token = await self._token()
        for channel in channels:
            self._wish({"type": "subscribe", "channel": channel, "auth": token})

    def _on_closed(self, cause: str) -> None:
        self._send = None
        self._missed.clear()
        self._sending.end(cause)
        if self._linked:
            self._linked = False
            self._emit(VenueDisconnected(self._context.venue, 0, self._context.now_ns(), cause))

    def _begin_link(self, now_ns: int) -> None:
        """Everything private runs and is known: the link is up, and the books may come."""
        self._linked = True
        self._emit(VenueConnected(self._context.venue, now_ns + self._offset_ns, now_ns))
        for number in self._markets:
            for name in MARKET_CHANNELS:
                self._wish({"type": "subscribe", "channel": f"{name}/{number}"})

    def _wish(self, message: dict[str, str]) -> None:
        self._wishes.append(message)
        self._wished.set()

    async def _subscribe(self) -> None:
        """Send what is wished for, keeping few enough unanswered."""
        while True:
            await self._wished.wait()
            self._wished.clear()
            while self._wishes and self._send is not None and self.unanswered < _UNANSWERED_MAX:
                self.unanswered += 1
                await self._say(self._wishes.popleft())

    async def _say(self, message: Mapping[str, str]) -> None:
        send = self._send
        if send is None:
            return
        try:
            await send(msgspec.json.encode(message).decode())
        except Exception as error:  # the socket is gone: the session hears of it too, and begins again
            self._problem(f"unsent_{type(error).__name__}")

    async def _keep_alive(self) -> None:
        """Answer the venue's pings, and send one of our own when there was none for a while."""
        while True:
            word = "pong"
            try:
                async with asyncio.timeout(_PING_S):
                    await self._pinged.wait()
            except TimeoutError:
                word = "ping"
            self._pinged.clear()
            await self._say({"type": word})

    # Frames

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        try:
            kind = frame_type(frame)
            if kind in self._translator.handlers:
                self._on_market(kind, frame, ts_local_ns)
                return
            if kind in SENT_TYPES:
                if not self._sending.heard(frame):
                    self._problem("unasked_answer")
                return
            handler = self._handlers.get(kind)
            if handler is not None:
                handler(frame, ts_local_ns)
            elif kind not in IGNORED_TYPES and kind not in IGNORED_ACCOUNT_TYPES and kind not in IGNORED_WORDS:
                self._problem("unknown_type")
        except UNDECODABLE:
            self._problem("malformed")

    def _on_market(self, kind: str, frame: bytes, ts_local_ns: int) -> None:
        if kind.startswith("subscribed/"):
            self._answered()
        for event in self._translator.translate(kind, frame, ts_local_ns):
            self._emit(event)
        if kind.endswith("market_stats"):
            self._look_at_clock(frame, ts_local_ns)
        for number in tuple(self._translator.wants_book):
            del self._translator.wants_book[number]
            for word in ("unsubscribe", "subscribe"):
                self._wish({"type": word, "channel": f"order_book/{number}"})

    def _look_at_clock(self, frame: bytes, ts_local_ns: int) -> None:
        timestamp_ns = wire.decode_stats(frame).timestamp * _NS_PER_MS
        if timestamp_ns:
            self._offset_ns = timestamp_ns - ts_local_ns
            if ts_local_ns - self._clock_told_ns >= _CLOCK_EVERY_NS:
                self._clock_told_ns = ts_local_ns
                self._emit(VenueTime(self._context.venue, timestamp_ns, ts_local_ns))

    def _answered(self) -> None:
        self.unanswered = max(self.unanswered - 1, 0)
        self._wished.set()

    def _on_answer(self, _frame: bytes, _ts_local_ns: int) -> None:
        self._answered()

    def _on_ping(self, _frame: bytes, _ts_local_ns: int) -> None:
        self._pinged.set()

    def _on_shutdown(self, frame: bytes, _ts_local_ns: int) -> None:
        """The connection is about to be closed: the close itself is what we act upon."""
        wire.decode_shutdown(frame)
        self._problem("shutdown")

    def _on_error(self, frame: bytes, _ts_local_ns: int) -> None:
        said = wire.decode_error(frame)
        problem = said.error or wire.Problem(said.code, said.message)
        if problem.code < 30_000 and self._sending.complained(problem):
            return
        self._answered()
        self._problem(f"error_{problem.code}")
        if problem.code == _AUTH_ERROR and "auth" in problem.message:
            self._token_renew_ns = 0  # whatever was wrong with the token, the next one is another

    def _acknowledged(self, name: str, ts_local_ns: int) -> None:
        """The first frame of a private channel."""
        self._answered()
        if name not in self._awaited:
            return
        self._awaited.discard(name)
        if self._awaited:
            return
        if self._fills_known_ns is None:
            self._fills_known_ns = ts_local_ns + self._offset_ns
            self._begin_link(ts_local_ns)
        else:
            self._missed.set()

    def _on_orders(self, frame: bytes, ts_local_ns: int) -> None:
        message = wire.decode_orders(frame)
        for rows in (message.orders or {}).values():
            for row in rows or ():
                for event in self._orders.reported(row, ts_local_ns):
                    self._emit(event)
        if message.type.startswith("subscribed"):
            self._acknowledged("account_all_orders", ts_local_ns)

    def _on_fills(self, frame: bytes, ts_local_ns: int) -> None:
        trades = wire.decode_account_trades(frame).trades
        rows = trades if isinstance(trades, list) else [row for each in (trades or {}).values() for row in each or ()]
        for row in rows:
            for event in self._orders.filled(row, ts_local_ns):
                if self._linked:
                    self._fills_known_ns = max(self._fills_known_ns or 0, event.ts_venue_ns)
                self._emit(event)

    def _on_old_fills(self, frame: bytes, ts_local_ns: int) -> None:
        """The first frame is history: what was missed is read with its time."""
        wire.decode_account_trades(frame)
        self._acknowledged("account_all_trades", ts_local_ns)

    def _on_positions(self, frame: bytes, ts_local_ns: int) -> None:
        message = wire.decode_positions(frame)
        for instrument, lots in self._orders.positions((message.positions or {}).values()):
            if self._positions.get(instrument) != lots:
                self._positions[instrument] = lots
                self._emit(PositionUpdate(instrument, message.timestamp * _NS_PER_MS, ts_local_ns, lots))
        if message.type.startswith("subscribed"):
            self._acknowledged("account_all_positions", ts_local_ns)

    def _on_transactions(self, frame: bytes, ts_local_ns: int) -> None:
        message = wire.decode_transactions(frame)
        if message.type.startswith("subscribed"):
            self._acknowledged("account_tx", ts_local_ns)
            return  # history
        for row in message.txs or ():
            for event in self._orders.recorded(row, ts_local_ns):
                self._emit(event)

    def _on_user_stats(self, frame: bytes, ts_local_ns: int) -> None:
        message = wire.decode_user_stats(frame)
        if message.stats.collateral != self._collateral:
            self._collateral = message.stats.collateral
            total = to_pair(from_text(self._collateral)[0])
            self._emit(BalanceUpdate(self._context.venue, message.timestamp * _NS_PER_MS, ts_local_ns, _USDC, total))
        if message.type.startswith("subscribed"):
            self._acknowledged("user_stats", ts_local_ns)

    # What was missed

    async def _catch_up(self) -> None:
        """Whenever the private channels run again: tell what happened while they did not, and then that the link is
        up."""
        while True:
            await self._missed.wait()
            since_ns = self._fills_known_ns or 0
            try:
                snapshot = await self.snapshot(since_ns)
            except VenueUnreachable:
                await asyncio.sleep(_PAUSE_S)  # weather: the same again, if the streams still run
                continue
            if not self._missed.is_set():
                continue  # the link has gone again meanwhile
            self._missed.clear()
            now_ns = self._context.now_ns()
            told: tuple[OrderFilled | FundingPaid, ...] = (*snapshot.fills, *snapshot.payments)
            for event in told:
                self._emit(msgspec.structs.replace(event, ts_local_ns=now_ns))
            self._fills_known_ns = max([since_ns, *(fill.ts_venue_ns for fill in snapshot.fills)])
            self._emit(VenueSnapshotReceived(self._context.venue, snapshot.ts_venue_ns, now_ns, snapshot))
            if not self._linked:
                self._begin_link(now_ns)

    async def _watch_funding(self, reader: AccountReader) -> None:
        """Payments come by no stream that we listen to: they are read, a while after they may have been made."""
        since_ns = self._venue_now_ns()
        told: deque[str] = deque(maxlen=256)
        while True:
            await asyncio.sleep(_FUNDING_EVERY_S)
            try:
                paid = await reader.payments(since_ns)
            except (VenueUnreachable, GridError):
                continue  # weather: they are there the next time
            for each in paid:
                if each.payment_key not in told:
                    told.append(each.payment_key)
                    self._emit(msgspec.structs.replace(each, ts_local_ns=self._context.now_ns()))
            since_ns = max([since_ns, *(each.ts_venue_ns for each in paid)])

    # Commands

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """One batch under one signature each and one key. Nothing is ever sent twice: what is not known is said to be
        unknown, and the core asks."""
        trading, now_ns = self._trader(), self._context.now_ns
        batch: list[OrderCommand] = []
        made: list[tx.Transaction] = []
        for approved in commands:
            command = approved.command
            if not isinstance(command, PlaceOrder | AmendOrder | CancelOrder):
                continue
            try:
                made.append(self._orders.transaction(command, self._venue_now_ns()))
                batch.append(command)
            except GridError as error:
                self._emit(self._orders.refused(command, 21701, str(error), now_ns()))
        if not batch:
            return
        takes = any(isinstance(each, PlaceOrder) and not _makes(each) for each in batch)

        def prepared(signed: Sequence[tx.Signed]) -> None:
            for command, each in zip(batch, signed, strict=True):
                self._orders.sent(command, each)

        try:
            await trading.carry(made, takes=takes, prepared=prepared)
        except Refused as refused:
            self._look_at_limit(refused)
            self._tell_refused(batch, refused.code, refused.text)
        except (NeverLeft, ConfigError, GridError) as error:
            self._tell_refused(batch, 0, f"not sent: {error}")
        except OutcomeUnknown as error:
            for command in batch:
                self._emit(self._orders.unknown(command, str(error), now_ns()))

    def _tell_refused(self, batch: Sequence[OrderCommand], code: int, text: str) -> None:
        for command in batch:
            self._emit(self._orders.refused(command, code, text, self._context.now_ns()))

    def _look_at_limit(self, refused: Refused) -> None:
        if refused.limited:
            bucket = QUOTA if "quota" in refused.text else TRANSACTIONS
            self._emit(RateLimited(self._context.venue, 0, self._context.now_ns(), bucket))

    def _on_quota(self, left: int) -> None:
        self._quota_most = max(self._quota_most, left)
        used, now_ns = self._quota_most - left, self._context.now_ns()
        self._emit(RateLimitUsed(self._context.venue, 0, now_ns, QUOTA, used, self._quota_most))

    def _on_stop(self, error: CredentialsRefused) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_exception(error)

    async def query_order(self, client_id: ClientOrderId) -> None:
        """Raises VenueUnreachable when there is no answer. An id that the venue does not know is no proof of anything
        (R7), so nothing is said of it."""
        for event in await self._owned().order(client_id):
            self._emit(event)

    async def cancel_all(self) -> None:
        """Every order of the account: at once, and one by one where the quota is used up, since cancels cost none.
        Raises VenueUnreachable when orders are left."""
        trading, reader = self._trader(), self._owned()
        rows = await reader.open_rows()
        try:
            await trading.confirmed([tx.CancelAllOrders()])  # also for what is only on its way to be an order
        except Refused as refused:
            if not refused.limited:
                raise
            for row in rows:
                await trading.confirmed([tx.CancelOrder(market=row.market_index, index=row.order_index)])
        if not rows:
            return
        left = rows
        for _ in range(_CANCEL_LOOKS):
            left = await reader.open_rows()
            if not left:
                break
            await asyncio.sleep(_CANCEL_PAUSE_S)
        else:
            raise OutcomeUnknown(f"{len(left)} order(s) are still open after cancel-all")
        gone = {row.order_index for row in rows}
        for row in await reader.ended_rows():
            if row.order_index in gone:
                for event in self._orders.reported(row, self._context.now_ns()):
                    self._emit(event)

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """While one cancel-all is scheduled another is refused: it is called off first, and gone before the new one is
        sent. Raises VenueUnreachable when the venue does not confirm it."""
        trading, reader = self._trader(), self._owned()
        if deadline_ns is None or self._armed:
            await self._disarm(trading, reader)
        if deadline_ns is None:
            return
        try:
            await trading.confirmed([self._scheduled(deadline_ns)])
        except Refused as refused:
            if refused.code != _ALREADY_SCHEDULED:
                raise
            await self._disarm(trading, reader)  # another process has left one
            await trading.confirmed([self._scheduled(deadline_ns)])
        self._armed = True

    def _scheduled(self, deadline_ns: int) -> tx.CancelAllOrders:
        soonest_ms = self._venue_now_ns() // _NS_PER_MS + DEAD_MAN_FLOOR_MS + _FLOOR_SLACK_MS
        wanted_ms = (deadline_ns + self._offset_ns) // _NS_PER_MS
        return tx.CancelAllOrders(when=tx.SCHEDULED, time_ms=max(wanted_ms, soonest_ms))

    async def _disarm(self, trading: Trading, reader: AccountReader) -> None:
        await trading.confirmed([tx.CancelAllOrders(when=tx.ABORT)])
        self._armed = False
        for _ in range(_CANCEL_LOOKS):
            if not await reader.cancel_all_ms():
                return
            await asyncio.sleep(_CANCEL_PAUSE_S)
        raise OutcomeUnknown("the scheduled cancel-all does not go away")

    def _trader(self) -> Trading:
        if self._trading is None:
            raise self._no_key()
        return self._trading

    def _owned(self) -> AccountReader:
        if self._reader is None:
            raise self._no_key()
        return self._reader

    def _no_key(self) -> CredentialsRefused:
        return CredentialsRefused(
            f"venue {self._context.venue} has no account to trade with; write its index as account and "
            "secrets: {api_key_4: {env: LIGHTER_API_KEY_4}}, or run with mode: paper"
        )

    # The account

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """See `AccountReader.snapshot`. Raises VenueUnreachable or CredentialsRefused."""
        return await self._owned().snapshot(since_ns)

    async def close(self) -> None:
        """Nothing is said any more; the socket ends with `run`."""
        self._closed = True
        await self._rest.close()

    # Inside

    def _venue_now_ns(self) -> int:
        return self._context.now_ns() + self._offset_ns

    def _problem(self, kind: str) -> None:
        self._problems[kind] = self._problems.get(kind, 0) + 1

    def _emit(self, event: Event) -> None:
        if not self._closed:
            self._context.emit(event)


def _makes(order: PlaceOrder) -> bool:
    return order.post_only and order.time_in_force is TimeInForce.GTC
