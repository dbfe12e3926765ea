"""`HyperliquidConnector`: the venue behind the connector port, over one socket and, where that is not there, HTTP.

The socket carries market data, the account's streams and our actions as posts; its streams begin with acknowledgements
and, on a link that comes back, tell nothing of what was missed: fills, open orders and positions are read over HTTP
before the daemon hears that the link is up. Actions are signed where they are sent, in the gateway's task.

Without `secrets.private_key` it is a feed, for paper runs: it has no account and refuses to trade.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid import actions, contracts
from connectors.hyperliquid.account import Account
from connectors.hyperliquid.doctor import Examination
from connectors.hyperliquid.orders import Batch, OwnOrders
from connectors.hyperliquid.posts import Posts
from connectors.hyperliquid.requests import Asset, Requests
from connectors.hyperliquid.rest import Refused, RestClient
from connectors.hyperliquid.settings import (
    ACK_TIMEOUT_MS,
    BATCH_MAX,
    DEAD_MAN_FLOOR_MS,
    LEAST_A_DAY,
    BookKind,
    HyperliquidSettings,
    Network,
    capabilities,
)
from connectors.hyperliquid.signing import Signer
from connectors.hyperliquid.translate import HyperliquidTranslator
from connectors.shared.http import NeverLeft, OutcomeUnknown
from connectors.shared.weather import attempt
from connectors.shared.ws_session import Send, SessionLimits, WsSession
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, PlaceOrder
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, GridError, MmError, VenueUnreachable
from mm_daemon.domain.events import (
    Event,
    FenceAnswered,
    FundingPaid,
    OrderFilled,
    RateLimited,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshot,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId, RejectKind
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import ConnectorContext, Link
from mm_daemon.ports.examination import Probe

IGNORED_USER_CHANNELS = frozenset(
    {
        "user",  # fills and funding come by userFills and userFundings, cancels by orderUpdates
        "notification",
        "openOrders",
        "clearinghouseState",
        "spotState",
        "twapStates",
        "userHistoricalOrders",
        "userNonFundingLedgerUpdates",
        "userTwapHistory",
        "userTwapSliceFills",
        "webData2",
        "webData3",
    }
)
"""Channels of an account that we know and never ask for."""

_ACTION_TTL_MS = 5000
_DEAD_MAN_SLACK_MS = 500
"""Added to the shortest deadline: the venue counts from the block that the request lands in."""
_CLOCK_EVERY_S = 10.0
_CLOCK_ANSWER_NS = 2_000_000_000
"""An answer that took longer, or waited for the reads' weight, says too little about the time."""
_READ_PAUSE_S = 0.5
_CANCEL_ROUNDS = 5
_NONCES_KEPT = 8192
_ADDRESS_WAIT_MS = 10_000
"""An address that has used up its requests may send one in ten seconds."""
_NS_PER_MS = 1_000_000
_FRAME_BYTES_MAX = 4 << 20
"""The fills that a subscription begins with are up to a megabyte."""
_PING = '{"method":"ping"}'
_HEAD = b'{"channel":"'


class HyperliquidConnector:
    """Structurally a `Connector`."""

    Settings: ClassVar[type[msgspec.Struct]] = HyperliquidSettings

    def __init__(self, context: ConnectorContext, settings: HyperliquidSettings) -> None:
        """Raises ConfigError for a secret that is no key."""
        if not settings.rest_url.startswith(("http://", "https://")):
            raise ConfigError(f"venue {context.venue}: url {settings.rest_url!r} must begin with http:// or https://")
        self._context = context
        self._settings = settings
        key = context.secrets.get("private_key")
        self._signer: Signer | None = None
        if key is not None:
            try:
                self._signer = Signer(key, mainnet=settings.network is Network.MAINNET)
            except ConfigError as error:
                raise ConfigError(f"venue {context.venue}: secrets.private_key: {error}") from None
        self.capabilities = capabilities(settings, settings.requests_per_day)
        self._rest = RestClient(
            settings.rest_url,
            now_ns=context.now_ns,
            timeout_s=ACK_TIMEOUT_MS / 1000 * 0.9,
            weight_per_minute=settings.weight_per_minute,
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
            ping=_PING,
        )
        self._translator = HyperliquidTranslator(())
        self._orders = OwnOrders(())
        self._assets: Mapping[str, Asset] = {}
        self._numbers: Mapping[str, int] = {}
        """Asset numbers of every coin of the venue, ours or not."""
        self._user: str | None = None
        """Whose account it is; None: there is none."""
        self._account: Account | None = None
        self._requests: Requests | None = None
        self._nonces: dict[ClientOrderId, int] = {}
        """Of the newest placement or amend of each order."""
        self._posts = Posts(ACK_TIMEOUT_MS / 1000 * 0.9)
        self._offset_ns = 0
        """What the venue's clock is ahead of ours."""
        self._awaited: set[str] = set()
        """Streams that have not been acknowledged yet."""
        self._missed = asyncio.Event()
        """The streams run, and what happened while they did not is to be read."""
        self._links = 0
        """How many connections there have been."""
        self._linked = False
        """Whether the daemon was told that the link is up."""
        self._fills_known_ns: int | None = None
        """Every fill up to this venue time has been told; None: no link was ever up."""
        self._user_problems: dict[str, int] = {}
        self._closed = False
        self._handlers = {
            b"orderUpdates": self._on_updates,
            b"userFills": self._on_fills,
            b"userFundings": self._on_fundings,
            b"post": self._on_post,
            b"subscriptionResponse": self._on_acknowledged,
        }

    # Contracts and account

    async def load_instruments(self) -> Sequence[Instrument]:
        """Raises VenueUnreachable, CredentialsRefused, or ConfigError for a symbol that the venue does not have."""
        await self._measure_clock()
        self._user = await self._find_account()
        fees = await contracts.fees(self._rest, self._user)
        found = await contracts.assets(self._rest, self._context.venue, self._context.symbols, fees)
        self._assets = {asset.coin: asset for asset in found.ours}
        self._numbers = found.numbers
        instruments = [asset.instrument for asset in found.ours]
        self._translator = HyperliquidTranslator(instruments)
        self._orders = OwnOrders(found.ours, fast_cancels=self._settings.fast_cancels)
        if self._user is not None:
            self._account = Account(
                self._context.venue, self._rest, self._user, self._orders, self._context.now_ns, self._venue_now_ns
            )
        if self._signer is not None:
            self._requests = Requests(self._signer, self._venue_now_ns, vault=self._settings.vault)
            await self._read_budget()
        self._check_leverage()
        return instruments

    async def _find_account(self) -> str | None:
        """Whose account the key may act for. Raises CredentialsRefused."""
        if self._signer is None:
            return None
        address = self._signer.address
        role = await self._rest.info({"type": "userRole", "user": address}, aw.UserRole)
        acts_for = role.data.user if role.role == "agent" and role.data is not None else address
        if role.role == "missing" or acts_for is None:
            raise CredentialsRefused(
                f"venue {self._context.venue}: {self._settings.network} does not know the key's address {address}: "
                "approve it as an agent of your account, or deposit to it"
            )
        wanted = self._settings.account
        if wanted is not None and wanted.lower() != acts_for.lower():
            raise CredentialsRefused(
                f"venue {self._context.venue}: the key {address} acts for {acts_for}, not for account {wanted}"
            )
        return (self._settings.vault or acts_for).lower()

    async def _read_budget(self) -> None:
        """The address's requests that are left pace places and amends, unless the configuration names a number."""
        if self._settings.requests_per_day is not None:
            return
        limit = await self._rest.info({"type": "userRateLimit", "user": self._user}, aw.UserRateLimit)
        left = max(limit.nRequestsCap + limit.nRequestsSurplus - limit.nRequestsUsed, 0)
        self.capabilities = capabilities(self._settings, max(left, LEAST_A_DAY))

    def _check_leverage(self) -> None:
        """Raises ConfigError for one that a market does not allow."""
        leverage = self._settings.leverage
        for asset in self._perpetuals():
            if leverage is not None and leverage > asset.max_leverage:
                most = f"the {asset.max_leverage} of {asset.coin}"
                raise ConfigError(f"venue {self._context.venue}: leverage {leverage} is above {most}")

    async def _set_leverage(self) -> None:
        """Before anything is traded, and not when somebody only wants to cancel. Raises VenueUnreachable when the venue
        refuses it."""
        leverage, cross = self._settings.leverage, not self._settings.isolated
        if leverage is not None and self._requests is not None and not self._context.read_only:
            for asset in self._perpetuals():
                await self._confirmed(actions.UpdateLeverage(asset.number, cross, leverage))

    def _perpetuals(self) -> list[Asset]:
        return [asset for asset in self._assets.values() if not asset.instrument.spot]

    # The link

    async def run(self) -> None:
        """Keep the link alive until cancelled. Raises VenueUnreachable when the leverage cannot be set."""
        try:
            await self._set_leverage()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._session.run())
                group.create_task(self._catch_up())
                group.create_task(self._keep_clock())
        except* MmError as failed:
            raise failed.exceptions[0] from None
        finally:
            self._on_closed("the session has ended")

    def links(self) -> Mapping[str, Link]:
        """One socket carries both the market and the account."""
        return {"all": self._session.link}

    @property
    def wire(self) -> str:
        return "hyperliquid"

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind."""
        oversized = self._session.ends["oversized"]
        more = {**self._user_problems, **({"oversized": oversized} if oversized else {})}
        return {**self._translator.problems, **more} if more else self._translator.problems

    async def _on_open(self, send: Send) -> None:
        self._links += 1
        self._translator.begin()
        self._posts.begin(send)
        wanted = self._subscriptions()
        self._awaited = {str(each["type"]) for each in wanted if "user" in each} or {"l2Book"}
        for each in wanted:
            await send(msgspec.json.encode({"method": "subscribe", "subscription": each}).decode())

    def _subscriptions(self) -> list[dict[str, object]]:
        """The account's streams first, so that they run before the books are trusted. Only coins that `meta` named: the
        venue drops the whole connection for any other."""
        wanted: list[dict[str, object]] = []
        if self._user is not None:
            wanted += [{"type": kind, "user": self._user} for kind in ("orderUpdates", "userFills", "userFundings")]
        for coin in self._assets:
            fast = {"fast": True} if self._settings.book is BookKind.FAST else {}
            wanted.append({"type": "l2Book", "coin": coin, **fast})
            wanted += [{"type": kind, "coin": coin} for kind in ("bbo", "trades", "activeAssetCtx")]
        return wanted

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        if frame.startswith(_HEAD):
            handler = self._handlers.get(frame[len(_HEAD) : frame.find(b'"', len(_HEAD))])
            if handler is not None:
                try:
                    handler(frame, ts_local_ns)
                except (msgspec.DecodeError, GridError, RecursionError):
                    self._problem("malformed_account")
                return
        linked = self._linked
        for event in self._translator.translate(frame, ts_local_ns):
            if linked:
                self._emit(event)

    def _problem(self, kind: str) -> None:
        self._user_problems[kind] = self._user_problems.get(kind, 0) + 1

    def _on_acknowledged(self, frame: bytes, ts_local_ns: int) -> None:
        acknowledged = aw.decode_acknowledgement(frame).data
        if not self._awaited or acknowledged.method != "subscribe":
            return
        self._awaited.discard(acknowledged.subscription.type)
        if self._awaited:
            return
        if self._fills_known_ns is None or self._user is None:
            self._fills_known_ns = ts_local_ns + self._offset_ns
            self._link_is_up(self._fills_known_ns, ts_local_ns)
        else:
            self._missed.set()

    def _link_is_up(self, ts_venue_ns: int, ts_local_ns: int) -> None:
        self._linked = True
        self._emit(VenueConnected(self._context.venue, ts_venue_ns, ts_local_ns))

    def _on_closed(self, cause: str) -> None:
        self._missed.clear()
        self._posts.end(cause)
        if self._linked:
            self._linked = False
            self._emit(VenueDisconnected(self._context.venue, 0, self._context.now_ns(), cause))

    async def _catch_up(self) -> None:
        """Whenever the streams run again: tell what happened while they did not, and then that the link is up."""
        while True:
            await self._missed.wait()
            since_ns, link = self._fills_known_ns or 0, self._links
            try:
                snapshot = await self.snapshot(since_ns)
            except VenueUnreachable:
                await asyncio.sleep(_READ_PAUSE_S)  # weather: the same again, if the streams still run
                continue
            if link != self._links or not self._missed.is_set():
                continue  # the link has gone meanwhile, and perhaps come back: what it missed is not in this snapshot
            self._missed.clear()
            now_ns = self._context.now_ns()
            told: tuple[OrderFilled | FundingPaid, ...] = (*snapshot.fills, *snapshot.payments)
            for event in told:
                self._emit(msgspec.structs.replace(event, ts_local_ns=now_ns))
            self._fills_known_ns = max([since_ns, *(fill.ts_venue_ns for fill in snapshot.fills)])
            self._emit(VenueSnapshotReceived(self._context.venue, snapshot.ts_venue_ns, now_ns, snapshot))
            self._link_is_up(snapshot.ts_venue_ns, now_ns)

    # The account's streams

    def _on_updates(self, frame: bytes, ts_local_ns: int) -> None:
        for update in aw.decode_updates(frame).data:
            for event in self._orders.updated(update, ts_local_ns):
                self._emit(event)

    def _on_fills(self, frame: bytes, ts_local_ns: int) -> None:
        """The snapshot that a subscription begins with is history: what was missed is read with its time."""
        data = aw.decode_fills(frame).data
        for fill in () if data.isSnapshot else data.fills:
            event = self._orders.filled(fill, ts_local_ns)
            if event is not None:
                if self._linked:
                    self._fills_known_ns = max(self._fills_known_ns or 0, event.ts_venue_ns)
                self._emit(event)

    def _on_fundings(self, frame: bytes, ts_local_ns: int) -> None:
        data = aw.decode_fundings(frame).data
        for row in () if data.isSnapshot else data.fundings:
            event = self._orders.paid(row.coin, row.time, row.usdc, ts_local_ns)
            if event is not None:
                self._emit(event)

    def _on_post(self, frame: bytes, ts_local_ns: int) -> None:
        self._posts.answered(aw.decode_post(frame).data)

    # The venue's clock

    def _venue_now_ns(self) -> int:
        return self._context.now_ns() + self._offset_ns

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_EVERY_S)
            await attempt(self._measure_clock)

    async def _measure_clock(self) -> None:
        asked_ns = self._context.now_ns()
        status = await self._rest.info({"type": "exchangeStatus"}, aw.ExchangeStatus)
        now_ns = self._context.now_ns()
        if now_ns - asked_ns < _CLOCK_ANSWER_NS or not self._offset_ns:
            self._offset_ns = status.time * _NS_PER_MS - (asked_ns + now_ns) // 2
        self._emit(VenueTime(self._context.venue, status.time * _NS_PER_MS, now_ns))

    # Commands

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """One action for one batch of one kind, two where quotes and takers are mixed. It returns when the bytes are on
        the socket: replies are told as they come, and what has no reply in time is said to be unknown. A cancel that
        follows goes by the same socket, and a block runs quotes before cancels, so it never overtakes its quote."""
        batch: Batch = [
            each.command for each in commands if isinstance(each.command, PlaceOrder | AmendOrder | CancelOrder)
        ]
        fences = [
            each for each in batch if isinstance(each, CancelOrder) and each.fence and each.client_id in self._nonces
        ]
        for fence in fences:
            await self._fence(fence)
        asked, refused = self._orders.requested([each for each in batch if each not in fences], self._context.now_ns())
        for event in refused:
            self._emit(event)
        for action, part in asked:
            await self._act(action, part)

    async def _act(self, action: actions.Action, batch: Batch) -> None:
        nonce = self._trading().next_nonce()
        self._remember_nonce(batch, nonce)
        body = self._trading().signed(action, expires_ms=self._expiry_ms(batch), nonce=nonce)
        try:
            sent = await self._posts.send("action", body, lambda reply: self._replied(batch, reply))
            if not sent:
                self._told(batch, await self._rest.exchange(body))
        except Refused as refused:
            self._refused(batch, refused)
        except NeverLeft as error:
            self._say(self._orders.refused(batch, f"not sent: {error}", self._context.now_ns(), RejectKind.OTHER))
        except OutcomeUnknown as error:
            self._say(self._orders.lost(batch, str(error), self._context.now_ns()))

    def _remember_nonce(self, batch: Batch, nonce: int) -> None:
        """What a fence would need, of the last few thousand placements and amends."""
        nonces = self._nonces
        for command in batch:
            if not isinstance(command, CancelOrder):
                nonces.pop(command.client_id, None)
                nonces[command.client_id] = nonce
                if len(nonces) > _NONCES_KEPT:
                    del nonces[next(iter(nonces))]

    async def _fence(self, command: CancelOrder) -> None:
        """Spend the nonce of a command in doubt, by an action that does nothing: whichever comes first is the only one.
        Taken: the command can never land. Refused as used: it has."""
        body = self._trading().signed(actions.Noop(), nonce=self._nonces[command.client_id])
        try:
            reply = aw.decode_reply(await self._rest.exchange(body))
        except (VenueUnreachable, msgspec.DecodeError, RecursionError) as error:
            self._say(self._orders.lost([command], f"fence: {error}", self._context.now_ns()))
            return
        used = isinstance(reply.response, str)
        if used and not str(reply.response).startswith("Invalid nonce: duplicate"):
            self._say(self._orders.refused([command], f"fence: {reply.response}", self._context.now_ns()))
            return
        at_ns, now_ns = self._venue_now_ns(), self._context.now_ns()
        self._emit(FenceAnswered(command.instrument, at_ns, now_ns, command.client_id, not used))

    def _expiry_ms(self, batch: Batch) -> int | None:
        """Until when, by its own clock, the venue may take a batch: as the commands say, or for a few seconds. Cancels
        may come late."""
        if isinstance(batch[0], CancelOrder):
            return None
        wanted = [each.expires_ns for each in batch if not isinstance(each, CancelOrder) and each.expires_ns]
        return min(wanted, default=self._venue_now_ns() + _ACTION_TTL_MS * _NS_PER_MS) // _NS_PER_MS

    def _replied(self, batch: Batch, reply: bytes | VenueUnreachable) -> None:
        """The end of a post, whatever it is."""
        if isinstance(reply, bytes):
            self._told(batch, reply)
        elif isinstance(reply, Refused):
            self._refused(batch, reply)
        else:
            self._say(self._orders.lost(batch, str(reply), self._context.now_ns()))

    def _told(self, batch: Batch, text: bytes) -> None:
        now_ns = self._context.now_ns()
        try:
            reply = aw.decode_reply(text)
        except (msgspec.DecodeError, RecursionError) as error:
            self._say(self._orders.lost(batch, f"the reply makes no sense: {error}", now_ns))
            return
        if isinstance(reply.response, str) and reply.response.startswith("Too many cumulative requests"):
            self._emit(RateLimited(self._context.venue, 0, now_ns, "address", _ADDRESS_WAIT_MS))
        self._say(self._orders.replied(batch, reply, now_ns))

    def _refused(self, batch: Batch, refused: Refused) -> None:
        """Refused before it was looked at; a limit does not say for how long."""
        now_ns = self._context.now_ns()
        if refused.limited:
            self._emit(RateLimited(self._context.venue, 0, now_ns))
        kind = RejectKind.RATE_LIMITED if refused.limited else RejectKind.INVALID
        self._say(self._orders.refused(batch, refused.text, now_ns, kind))

    async def query_order(self, client_id: ClientOrderId) -> None:
        """Raises VenueUnreachable when there is no answer. An id that the venue does not know is no proof of anything
        (R7), so nothing is said of it."""
        self._say(await self._owned().order(client_id))

    async def cancel_all(self) -> None:
        """Every order of the account, ours or not, of any market. Raises VenueUnreachable when some stay open."""
        for _ in range(_CANCEL_ROUNDS):
            shown = await self._owned().open_rows()
            if not shown:
                return
            for first in range(0, len(shown), BATCH_MAX):
                rows = [actions.CancelWire(self._number(row.coin), row.oid) for row in shown[first : first + BATCH_MAX]]
                await self._confirmed(actions.Cancel(rows))
        if await self._owned().open_rows():
            raise VenueUnreachable(f"orders are still open after {_CANCEL_ROUNDS} rounds of cancels")

    def _number(self, coin: str) -> int:
        """Raises VenueUnreachable for a coin that the venue did not name at the start."""
        number = self._numbers.get(coin)
        if number is None:
            raise VenueUnreachable(f"an order is open on {coin}, which was not among the venue's markets at the start")
        return number

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Raises VenueUnreachable when the venue does not confirm it; it does not before 1,000,000 USDC are traded."""
        if deadline_ns is None:
            await self._confirmed(actions.ScheduleCancel())
            return
        soonest_ns = self._context.now_ns() + (DEAD_MAN_FLOOR_MS + _DEAD_MAN_SLACK_MS) * _NS_PER_MS
        at_ms = (max(deadline_ns, soonest_ns) + self._offset_ns) // _NS_PER_MS
        await self._confirmed(actions.ScheduleCancel(at_ms))

    async def _confirmed(self, action: actions.Action) -> None:
        """An action of our own, over HTTP. Raises VenueUnreachable unless the venue took it; that an order is gone
        already is no failure."""
        reply = await self._rest.exchange(self._trading().signed(action))
        try:
            told = aw.decode_reply(reply)
        except (msgspec.DecodeError, RecursionError) as error:
            raise OutcomeUnknown(f"the venue's reply makes no sense: {error}") from error
        if isinstance(told.response, str):
            raise VenueUnreachable(f"the venue refused: {told.response}")

    def _trading(self) -> Requests:
        """Raises CredentialsRefused without a key."""
        if self._requests is None:
            raise self._no_key()
        return self._requests

    def _owned(self) -> Account:
        """Raises CredentialsRefused without a key."""
        if self._account is None:
            raise self._no_key()
        return self._account

    def _no_key(self) -> CredentialsRefused:
        return CredentialsRefused(
            f"venue {self._context.venue} has no key to trade with; write for example "
            "secrets: {private_key: {env: HYPERLIQUID_PRIVATE_KEY}}, or run with mode: paper"
        )

    # The account

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """See `Account.snapshot`. Raises VenueUnreachable or CredentialsRefused."""
        return await self._owned().snapshot(since_ns)

    def probes(self) -> Sequence[Probe]:
        """What `doctor` asks. See `Examination`."""
        address = None if self._signer is None else self._signer.address
        return Examination(self._rest, self._settings, address, list(self._assets.values())).probes()

    async def close(self) -> None:
        """Nothing is said any more; the socket ends with `run`."""
        self._closed = True
        await self._rest.close()

    # Inside

    def _say(self, events: Sequence[Event]) -> None:
        for event in events:
            self._emit(event)

    def _emit(self, event: Event) -> None:
        if not self._closed:
            self._context.emit(event)
