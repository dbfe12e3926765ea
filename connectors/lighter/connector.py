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

from connectors.lighter import account_streams, contracts, library, translate, wire
from connectors.lighter import transactions as tx
from connectors.lighter.account import AccountReader
from connectors.lighter.account_streams import AccountStreams
from connectors.lighter.channels import Channels
from connectors.lighter.commands import Commands
from connectors.lighter.doctor import Examination
from connectors.lighter.key_check import KeyProblem, look_at_key
from connectors.lighter.keys import KeyRing
from connectors.lighter.last_resort import LastResort
from connectors.lighter.native import NativeLibrary, NativeSigner
from connectors.lighter.orders import OwnOrders
from connectors.lighter.rest import RestClient
from connectors.lighter.sending import SENT_TYPES, Sending
from connectors.lighter.settings import (
    ACK_TIMEOUT_MS,
    QUOTA,
    QUOTA_START,
    LighterSettings,
    Tier,
    capabilities,
)
from connectors.lighter.tokens import Tokens
from connectors.lighter.trading import Trading
from connectors.lighter.translate import LighterTranslator
from connectors.shared.ws_session import Send, SessionLimits, WsSession
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, GridError, MmError, VenueUnreachable
from mm_daemon.domain.events import (
    Event,
    FundingPaid,
    InstrumentUpdated,
    OrderFilled,
    RateLimitUsed,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshot,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import ConnectorContext, Link
from mm_daemon.ports.examination import Probe

MARKET_CHANNELS = ("order_book", "trade", "market_stats")
IGNORED_WORDS = frozenset({"pong", "connected", "unsubscribed"})

_CLOCK_EVERY_NS = 10_000_000_000
_TOKEN_LOOK_S = 1.0
_FUNDING_EVERY_S = 120.0
_PAUSE_S = 0.5
_NS_PER_MS, _NS_PER_S = 1_000_000, 1_000_000_000
_FRAME_BYTES_MAX = 4 << 20
_FIRST_CHANNEL_ERROR = 30_000
_AUTH_ERROR = 30012

_IGNORED = translate.IGNORED_TYPES | account_streams.IGNORED_TYPES | IGNORED_WORDS

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
            self._signer = self._signing(settings, make_signer)
            self._trading = Trading(
                self._rest,
                self._sending,
                self._signer,
                KeyRing(settings.account, settings.api_keys, context.report),
                account=settings.account,
                timeout_s=timeout_s,
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
            tap=context.tap,
            limits=SessionLimits(frame_bytes_max=_FRAME_BYTES_MAX),
            ping='{"type":"ping"}',
        )
        self._markets: Mapping[int, Instrument] = {}
        self._fees: wire.Limits | None = None
        """The account's own, where there is one."""
        self._translator = LighterTranslator({})
        self._orders = OwnOrders({}, 0, settings.order_expiry_s)
        self._reader: AccountReader | None = None
        self._tokens: Tokens | None = None
        if self._signer is not None and self._trading is not None:
            self._tokens = Tokens(self._signer, self._trading.ring, settings.auth_token_s, self._venue_now_ns)
        self.channels = Channels(self._tokens, self._problem)
        self._streams = AccountStreams(context.venue, self._orders)
        self._last_resort: LastResort | None = None
        self._commands: Commands | None = None
        self._awaited: set[str] = set()
        """Private channels whose first frame has not come."""
        self._missed = asyncio.Event()
        """The private channels run, and what happened while they did not is to be read."""
        self._linked = False
        """Whether the daemon was told that the link is up."""
        self._links = 0
        """How many links there were."""
        self._fills_known_ns: int | None = None
        """Every fill up to this venue time has been told; None: no link was ever up."""
        self._stopped: asyncio.Future[None] | None = None
        self._offset_ns = 0
        """What the venue's clock is ahead of ours, by its last frame."""
        self._clock_told_ns = 0
        self._quota_most = QUOTA_START
        self._problems: dict[str, int] = {}
        self._closed = False
        self._handlers: Mapping[str, Callable[[bytes], None]] = {
            "ping": lambda _frame: self.channels.ping(),
            "shutdown": self._on_shutdown,
            "error": self._on_error,
            "": self._on_error,
        }

    def _signing(self, settings: LighterSettings, make_signer: MakeSigner) -> tx.SignsTransactions:
        """The signer of all keys that are named. Raises ConfigError."""
        venue = self._context.venue
        if len(set(settings.api_keys)) < len(settings.api_keys):
            raise ConfigError(f"venue {venue}: api_keys names a key twice: {list(settings.api_keys)}; write each once")
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
        trading, tokens = self._trading, self._tokens
        fees: wire.Limits | None = None
        if trading is not None and tokens is not None and account is not None:
            fees = await self._look_at_keys(trading.ring)
        self._fees = fees
        self._markets = await contracts.markets(self._rest, self._context.venue, self._context.symbols, fees)
        self._translator = LighterTranslator(self._markets)
        self._orders = OwnOrders(self._markets, account or 0, settings.order_expiry_s)
        self._streams = AccountStreams(self._context.venue, self._orders)
        if trading is not None and tokens is not None and account is not None:
            self._reader = AccountReader(
                self._context.venue,
                self._rest,
                account,
                self._orders,
                tokens=tokens,
                keys=settings.api_keys,
                now_ns=self._context.now_ns,
                venue_now_ns=self._venue_now_ns,
            )
            self._last_resort = LastResort(trading, self._reader, self._venue_now_ns)
            self._commands = Commands(
                self._context.venue,
                self._orders,
                trading,
                self._reader,
                self._last_resort,
                emit=self._emit,
                report=self._context.report,
                now_ns=self._context.now_ns,
                venue_now_ns=self._venue_now_ns,
            )
            await trading.start()
            if not self._context.read_only:
                await self._set_leverage(trading)
        return list(self._markets.values())

    async def _look_at_keys(self, ring: KeyRing) -> wire.Limits | None:
        """The account's fees, as the keys may read them that the venue takes: the first private reads, before anything
        begins. Raises VenueUnreachable, or CredentialsRefused when it takes none."""
        account, now_s, fees = self._settings.account, self._venue_now_ns() // _NS_PER_S, None
        assert account is not None and self._signer is not None
        whys: dict[int, str] = {}
        for key in ring.in_turn:
            seen = await look_at_key(self._rest, self._signer, account=account, index=key.index, venue_now_s=now_s)
            if isinstance(seen, KeyProblem):
                whys[key.index] = seen.text if seen.registered else f"not registered: {seen.text}"
            else:
                fees = seen
        ring.refuse(whys)
        if ring.exhausted:
            raise ring.nothing_left()
        return fees

    async def _set_leverage(self, trading: Trading) -> None:
        """Raises VenueUnreachable when the venue refuses it."""
        leverage, isolated = self._settings.leverage, self._settings.isolated
        for number in self._markets if leverage is not None else ():
            assert leverage is not None
            fraction = 10_000 // leverage
            await trading.confirmed([tx.UpdateLeverage(market=number, margin_fraction=fraction, isolated=isolated)])

    # The link

    async def run(self) -> None:
        """Keep the link alive until cancelled. Raises CredentialsRefused when the venue refuses the key."""
        self._stopped = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._session.run())
                group.create_task(self._catch_up())
                group.create_task(self.channels.run())
                group.create_task(self.channels.keep_alive())
                group.create_task(self._watch_key())
                group.create_task(self._watch_contracts())
                if self._trading is not None:
                    group.create_task(self._trading.mend())
                if self._reader is not None and self._tokens is not None:
                    group.create_task(self._keep_token(self._tokens))
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
        return [] if account is None else [f"{name}/{account}" for name in account_streams.CHANNELS]

    def links(self) -> Mapping[str, Link]:
        """One socket carries both the market and the account."""
        return {"all": self._session.link}

    async def _on_open(self, send: Send) -> None:
        self._translator.begin()
        self.channels.begin(send)
        self._sending.begin(send)
        channels = self._private()
        self._awaited = set(channels)
        self._links += 1
        for channel in channels:
            self.channels.subscribe(channel, private=True)
        if not channels:
            self._begin_link(self._context.now_ns())

    def _on_closed(self, cause: str) -> None:
        self.channels.end()
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
                self.channels.subscribe(f"{name}/{number}")

    async def _keep_token(self, tokens: Tokens) -> None:
        """Subscribe the private channels anew with each new token, and read what fell between."""
        used = await tokens.current()
        while True:
            await asyncio.sleep(_TOKEN_LOOK_S)
            token = await tokens.current()
            if token == used:
                continue
            used = token
            for channel in self._private():
                self.channels.subscribe_again(channel, private=True)
            if self._linked:
                self._missed.set()

    # Frames

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        try:
            head = translate.head(frame)
            kind = head.type
            if kind in self._translator.handlers:
                self._on_market(kind, frame, ts_local_ns)
            elif kind in self._streams.handlers:
                self._on_account(kind, frame, ts_local_ns)
            elif kind in SENT_TYPES:
                if not self._sending.heard(frame):
                    self._problem("unasked_answer")
            elif kind in self._handlers:
                self._handlers[kind](frame)
            elif kind not in _IGNORED:
                self._problem("unknown_type")
            if kind.startswith("subscribed/"):
                self.channels.answered(head.channel)
                self._begun(head.channel, ts_local_ns)
        except translate.UNDECODABLE:
            self._problem("malformed")

    def _on_market(self, kind: str, frame: bytes, ts_local_ns: int) -> None:
        for event in self._translator.translate(kind, frame, ts_local_ns):
            self._emit(event)
        if kind.endswith("market_stats"):
            self._look_at_clock(frame, ts_local_ns)
        for number in tuple(self._translator.wants_book):
            del self._translator.wants_book[number]
            self.channels.subscribe_again(f"order_book/{number}")

    def _on_account(self, kind: str, frame: bytes, ts_local_ns: int) -> None:
        for event in self._streams.handlers[kind](frame, ts_local_ns):
            if isinstance(event, OrderFilled) and self._linked:
                self._fills_known_ns = max(self._fills_known_ns or 0, event.ts_venue_ns)
            self._emit(event)

    def _look_at_clock(self, frame: bytes, ts_local_ns: int) -> None:
        timestamp_ns = wire.decode_stats(frame).timestamp * _NS_PER_MS
        if timestamp_ns:
            self._offset_ns = timestamp_ns - ts_local_ns
            if ts_local_ns - self._clock_told_ns >= _CLOCK_EVERY_NS:
                self._clock_told_ns = ts_local_ns
                self._emit(VenueTime(self._context.venue, timestamp_ns, ts_local_ns))

    def _on_shutdown(self, frame: bytes) -> None:
        """The connection is about to be closed: the close itself is what we act upon."""
        wire.decode_shutdown(frame)
        self._problem("shutdown")

    def _on_error(self, frame: bytes) -> None:
        """A transaction's, or a channel's: that one is asked for again when no first frame comes."""
        said = wire.decode_error(frame)
        problem = said.error or wire.Problem(said.code, said.message)
        if problem.code < _FIRST_CHANNEL_ERROR and self._sending.complained(problem):
            return
        self._problem(f"error_{problem.code}")
        if problem.code == _AUTH_ERROR and self._tokens is not None:
            self._tokens.forget()

    def _begun(self, channel: str, ts_local_ns: int) -> None:
        """The first frame of a channel has come; with the last private one, the account's streams run."""
        name = channel.replace(":", "/")
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

    # What was missed

    async def _catch_up(self) -> None:
        """Whenever the private channels run again: tell what happened while they did not, and then that the link is
        up."""
        while True:
            await self._missed.wait()
            since_ns, link = self._fills_known_ns or 0, self._links
            try:
                snapshot = await self.snapshot(since_ns)
            except VenueUnreachable:
                await asyncio.sleep(_PAUSE_S)  # weather: the same again, if the streams still run
                continue
            if link != self._links or not self._missed.is_set():
                continue  # the link has gone again meanwhile, and may be back
            self._missed.clear()
            now_ns = self._context.now_ns()
            told: tuple[OrderFilled | FundingPaid, ...] = (*snapshot.fills, *snapshot.payments)
            for event in told:
                self._emit(msgspec.structs.replace(event, ts_local_ns=now_ns))
            self._fills_known_ns = max([since_ns, *(fill.ts_venue_ns for fill in snapshot.fills)])
            self._emit(VenueSnapshotReceived(self._context.venue, snapshot.ts_venue_ns, now_ns, snapshot))
            if not self._linked:
                self._begin_link(now_ns)

    async def _watch_contracts(self) -> None:
        """No stream tells of a market that is stopped or gets other steps: the contracts are read now and then."""
        shown = dict(self._markets)
        while True:
            await asyncio.sleep(self._settings.contracts_every_s)
            try:
                changed = await contracts.changed(self._rest, self._context.venue, shown, self._fees)
            except VenueUnreachable:
                continue  # weather: they are there the next time
            shown |= changed
            now_ns = self._context.now_ns()
            for each in changed.values():
                self._emit(InstrumentUpdated(each.id, now_ns + self._offset_ns, now_ns, each))

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
        """See `Commands.send`."""
        await self._commander().send(commands)

    async def query_order(self, client_id: ClientOrderId) -> None:
        """See `Commands.query`."""
        await self._commander().query(client_id)

    def recall(self, sent: Mapping[ClientOrderId, str]) -> None:
        """See `RecallsOrders`: under which keys earlier processes have signed."""
        self._orders.recall(sent)

    def _on_quota(self, left: int) -> None:
        self._quota_most = max(self._quota_most, left)
        used, now_ns = self._quota_most - left, self._context.now_ns()
        self._emit(RateLimitUsed(self._context.venue, 0, now_ns, QUOTA, used, self._quota_most))

    def _on_stop(self, error: CredentialsRefused) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_exception(error)

    async def cancel_all(self) -> None:
        """Raises VenueUnreachable when orders are left. See `LastResort`."""
        for row in await self._resort().cancel_all():
            for event in self._orders.reported(row, self._context.now_ns()):
                self._emit(event)

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Raises VenueUnreachable when the venue does not confirm it. See `LastResort`."""
        await self._resort().arm(None if deadline_ns is None else deadline_ns + self._offset_ns)

    def _resort(self) -> LastResort:
        if self._last_resort is None:
            raise self._no_key()
        return self._last_resort

    def _commander(self) -> Commands:
        if self._commands is None:
            raise self._no_key()
        return self._commands

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

    def probes(self) -> Sequence[Probe]:
        """What `doctor` asks. See `Examination`."""
        markets = {number: contract.symbol for number, contract in self._markets.items()}
        now_s = self._venue_now_ns() // _NS_PER_S
        return Examination(self._rest, self._settings, self._signer, markets, now_s).probes()

    async def close(self) -> None:
        """Nothing is said any more; the socket ends with `run`."""
        self._closed = True
        if self._commands is not None:
            await self._commands.close()
        await self._rest.close()

    # Inside

    def _venue_now_ns(self) -> int:
        return self._context.now_ns() + self._offset_ns

    def _problem(self, kind: str) -> None:
        self._problems[kind] = self._problems.get(kind, 0) + 1

    def _emit(self, event: Event) -> None:
        if not self._closed:
            self._context.emit(event)
