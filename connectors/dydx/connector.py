"""`DydxConnector`: dYdX v4 behind the connector port. Reads come from the indexer, writes go to nodes.

Four things run side by side in `run`: the websocket; what a broken link may have missed; the checks of the books, the
clocks and how far the indexer is behind the node; and the learning of how orders ended whose last block has passed.
Nothing cancels for us when we are gone: an order ends with its block, a few seconds after it was sent; a stateful one
(`stateful.py`), of which only those have any who ask for them, with its time.

Without `secrets.private_key` it is a feed, for paper runs: it has no account and refuses to trade.
"""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar, TypeVar

import msgspec

from connectors.dydx import answers, tx, wire
from connectors.dydx.account import Account
from connectors.dydx.commands import Commands
from connectors.dydx.doctor import Examination
from connectors.dydx.endings import Endings
from connectors.dydx.http import Http, Indexer, Nodes, Refused, decoded
from connectors.dydx.keys import PREFIX, Signer, private_key
from connectors.dydx.numbers import Grid
from connectors.dydx.orders import OwnOrders
from connectors.dydx.own import Market
from connectors.dydx.settings import (
    ACK_TIMEOUT_MS,
    DydxSettings,
    capabilities,
)
from connectors.dydx.stateful import Nonces
from connectors.dydx.translate import ACCOUNT, BOOK, HEIGHT, MARKETS, TRADABLE, TRADES, DydxTranslator
from connectors.shared.cosmos_address import is_address
from connectors.shared.weather import attempt
from connectors.shared.ws_session import Send, SessionLimits, WsSession
from mm_daemon.domain.capabilities import Validity
from mm_daemon.domain.decisions import ApprovedCommand, PlaceOrder
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, GridError, MmError, VenueUnreachable
from mm_daemon.domain.events import (
    Event,
    OrderFilled,
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

_NS_PER_MS = 1_000_000
_READ_PAUSE_S = 0.1
_CLOCK_EVERY_S = 10.0
_BROKEN_PAUSE_S, _BROKEN_PAUSE_MAX_S = 0.1, 10.0
_SETTLED_LINK_S = 10.0
_FRAME_BYTES_MAX = 4 << 20
_PROBE_ID = tx.CLIENT_ID_MAX
"""Client id whose cancel proves at the start that the key may sign: no order of ours can bear it within its block."""

T = TypeVar("T", bound=msgspec.Struct)


class _Broken(Exception):
    """This connection is of no more use."""


class DydxConnector:
    """Structurally a `Connector`."""

    Settings: ClassVar[type[msgspec.Struct]] = DydxSettings

    def __init__(self, context: ConnectorContext, settings: DydxSettings | None = None) -> None:
        """Raises ConfigError for addresses that are none and for a secret that is no key."""
        self._settings = settings = settings or DydxSettings()
        self._context = context
        where = settings.endpoints
        for name, url in (("indexer", where.indexer), ("node_rest", where.rest), *(("nodes", u) for u in where.nodes)):
            if not url.startswith(("http://", "https://")):
                raise ConfigError(f"venue {context.venue}: {name} {url!r} must begin with http:// or https://")
        self._where = where
        self._signer: Signer | None = None
        key = context.secrets.get("private_key")
        if key is not None:
            try:
                self._signer = Signer(private_key(key))
            except ConfigError as error:
                raise ConfigError(f"venue {context.venue}: secrets.private_key: {error}") from None
        self._owner = self._owner_of(settings)
        self._subaccount = tx.Subaccount(self._owner, settings.subaccount)
        self.capabilities = capabilities(settings)
        self._http = Http(now_ns=context.now_ns, timeout_s=ACK_TIMEOUT_MS / 1000 * 0.9)
        self._indexer = Indexer(self._http, where.indexer)
        self.nodes = Nodes(self._http, where.nodes)
        self._session = WsSession(
            f"ws{where.indexer.removeprefix('http')}/v4/ws",
            rng=Rng(0).split(context.venue),
            now_ns=context.now_ns,
            on_open=self._on_open,
            on_frame=self._on_frame,
            on_closed=self._on_closed,
            tap=context.tap,
            limits=SessionLimits(frame_bytes_max=_FRAME_BYTES_MAX),
        )
        self._markets: Sequence[Market] = ()
        self._keep_orders(())
        self._translator = DydxTranslator(context.venue, (), None)
        self._commands: Commands | None = None
        self._nonces = Nonces()
        self._missed = asyncio.Event()
        """The streams run, and what happened while they did not is to be read."""
        self._links = 0
        self._linked = False
        """Whether the daemon was told that the link is up."""
        self._fills_known_ns: int | None = None
        """Every fill up to this venue time has been told; None: no link was ever up."""
        self._closed = False

    def _owner_of(self, settings: DydxSettings) -> str:
        """Whose account it is; empty without a key. Raises ConfigError."""
        if self._signer is None:
            return ""
        owner = settings.owner or self._signer.address
        if not is_address(owner, PREFIX):
            raise ConfigError(f"venue {self._context.venue}: owner {owner!r} is no address of dYdX")
        if owner != self._signer.address and settings.authenticator is None:
            raise ConfigError(
                f"venue {self._context.venue}: the key is that of {self._signer.address}, not of owner {owner}: "
                "correct one of them, or name the authenticator under which the owner lets this key trade"
            )
        return owner

    def _keep_orders(self, markets: Sequence[Market]) -> None:
        """Begin with no order on these markets, and with who asks about them."""
        venue, now_ns = self._context.venue, self._context.now_ns
        self._orders = OwnOrders(markets, self._subaccount, self._settings.ttl_s)
        self._account = Account(venue, self._indexer, self._subaccount, self._orders, now_ns)
        self._endings = Endings(
            venue,
            self._account,
            self._orders,
            window=self._settings.block_window,
            by_height=self.capabilities.validity is Validity.HEIGHT,
            emit=self._emit,
            now_ns=now_ns,
            venue_ns=self._venue_ns,
        )

    # Contracts

    async def load_instruments(self) -> Sequence[Instrument]:
        """Raises VenueUnreachable, CredentialsRefused, or ConfigError for a symbol that the venue does not have."""
        await self._measure_clock()
        rows = decoded(await self._indexer.get("/v4/perpetualMarkets"), wire.Markets).markets
        for symbol in self._context.symbols:
            if symbol not in rows:
                shown = ", ".join(sorted(rows)[:20])
                raise ConfigError(f"venue {self._context.venue} has no symbol {symbol}; there are {shown} ...")
        fees = await self._fees()
        try:
            markets = [self._market(rows[symbol], fees) for symbol in self._context.symbols]
        except GridError as error:
            raise VenueUnreachable(f"venue {self._context.venue} names a contract we cannot trade: {error}") from error
        self._markets = markets
        instruments = [market.instrument for market in markets]
        self._keep_orders(markets)
        orders = self._orders if self._signer is not None else None
        offset_ns = self._translator.offset_ns
        self._translator = DydxTranslator(self._context.venue, instruments, orders)
        self._translator.offset_ns = offset_ns
        if self._signer is not None:
            await self._open_account(self._signer)
        return instruments

    def _market(self, row: wire.Market, fees: wire.FeeTier) -> Market:
        """Raises GridError."""
        grid = Grid(
            clob_pair_id=int(row.clobPairId),
            atomic_resolution=row.atomicResolution,
            quantum_conversion_exponent=row.quantumConversionExponent,
            step_base_quantums=row.stepBaseQuantums,
            subticks_per_tick=row.subticksPerTick,
        )
        base, _, quote = row.ticker.partition("-")
        instrument = Instrument(
            venue=self._context.venue,
            symbol=row.ticker,
            base=base,
            quote=quote or "USD",
            tick=_plain(grid.tick),
            lot=_plain(grid.step),
            maker_fee_ppm=fees.maker_fee_ppm,
            taker_fee_ppm=fees.taker_fee_ppm,
            tradable=row.status in TRADABLE,
        )
        return Market(instrument, grid, self._subaccount)

    async def _fees(self) -> wire.FeeTier:
        """The account's tier; without one, or where the node does not say, what fills say counts alone."""
        if not self._owner:
            return wire.FeeTier()
        try:
            path = f"{self._where.rest}/dydxprotocol/v4/feetiers/user_fee_tier?user={self._owner}"
            return decoded(await self._http.ask("GET", path), wire.FeeReply).tier
        except VenueUnreachable:
            return wire.FeeTier()

    async def _open_account(self, signer: Signer) -> None:
        """The account's number and, where we may send one, a cancel of nothing as proof of the key. Raises
        CredentialsRefused or VenueUnreachable."""
        url = f"{self._where.rest}/cosmos/auth/v1beta1/account_info/{self._owner}"
        try:
            number = decoded(await self._http.ask("GET", url), wire.AccountReply).info.account_number
        except Refused as refused:
            if refused.status != 404:
                raise
            raise CredentialsRefused(
                f"account {self._owner} does not exist on {self._where.chain_id}: deposit into it first, or correct "
                "the key (a mnemonic with a mistyped word is another account)"
            ) from None
        ids = () if self._settings.authenticator is None else (self._settings.authenticator,)
        builder = tx.TxBuilder(signer, chain_id=self._where.chain_id, account_number=number, authenticators=ids)
        self._commands = Commands(
            self._context.venue,
            self._orders,
            self.nodes,
            builder,
            self._nonces,
            window=self._settings.block_window,
            emit=self._emit,
            now_ns=self._context.now_ns,
            venue_ns=self._venue_ns,
            measure_clock=self._measure_clock,
        )
        await self._commands.ask_height()
        self._endings.first_height = self._orders.height
        if self._context.read_only:
            return
        probe = self._markets[0].messages.cancel(_PROBE_ID, self._orders.height + 2)
        result = await self.nodes.broadcast(builder.raw(probe))
        if answers.key_refused(result):
            raise CredentialsRefused(f"the node refused our key: {result.codespace} {result.code}, {result.log}")

    # The link

    async def run(self) -> None:
        """Keep the link alive until cancelled."""
        await attempt(self._measure_clock)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen())
                group.create_task(self._keep_clock())
                group.create_task(self._watch_lag())
                group.create_task(self._check_books())
                if self._signer is not None:
                    group.create_task(self._catch_up())
                    group.create_task(self._endings.settle())
        except* MmError as failed:
            raise failed.exceptions[0] from None
        finally:
            self._on_closed("the session has ended")

    @property
    def problems(self) -> Mapping[str, int]:
        """Frames that could not be used, by kind."""
        oversized = self._session.ends["oversized"]
        return {**self._translator.problems, "oversized": oversized} if oversized else self._translator.problems

    async def _listen(self) -> None:
        """A connection of no more use is given up for another one, with growing pauses when that happens again soon."""
        loop, pause_s = asyncio.get_running_loop(), _BROKEN_PAUSE_S
        while True:
            begun_s = loop.time()
            try:
                await self._session.run()
            except _Broken as broken:
                self._on_closed(str(broken))
            pause_s = (
                _BROKEN_PAUSE_S if loop.time() - begun_s > _SETTLED_LINK_S else min(2 * pause_s, _BROKEN_PAUSE_MAX_S)
            )
            await asyncio.sleep(pause_s)

    def links(self) -> Mapping[str, Link]:
        """The indexer's socket: market and account; orders leave over the nodes' HTTP."""
        return {"all": self._session.link}

    async def _on_open(self, send: Send) -> None:
        translator = self._translator
        translator.begin()
        self._links += 1
        wanted: list[dict[str, object]] = [{"channel": HEIGHT}, {"channel": MARKETS, "batched": False}]
        if self._owner:
            wanted.append({"channel": ACCOUNT, "id": f"{self._owner}/{self._settings.subaccount}", "batched": False})
        for symbol in self._context.symbols:
            wanted += [{"channel": channel, "id": symbol, "batched": False} for channel in (BOOK, TRADES)]
        for each in wanted:
            translator.ids.pending += 1
            await send(msgspec.json.encode({"type": "subscribe", **each}))

    def _on_frame(self, frame: bytes, ts_local_ns: int) -> None:
        translator = self._translator
        for event in translator.translate(frame, ts_local_ns):
            if isinstance(event, OrderFilled) and self._linked:
                self._fills_known_ns = max(self._fills_known_ns or 0, event.ts_venue_ns)
            self._emit(event)
        if translator.broken is not None:
            raise _Broken(translator.broken)
        if not self._linked and not self._missed.is_set():
            self._look_whether_up(ts_local_ns)

    def _look_whether_up(self, ts_local_ns: int) -> None:
        """The link is up once the height is known and, with an account, its stream runs and what it missed is told."""
        answered = self._translator.answered
        if HEIGHT not in answered or MARKETS not in answered:
            return
        if self._signer is None:
            self._link_is_up(ts_local_ns)
        elif ACCOUNT in answered:
            self._missed.set()

    def _link_is_up(self, ts_local_ns: int) -> None:
        self._linked = True
        at_ns = ts_local_ns + self._translator.offset_ns
        self._emit(VenueConnected(self._context.venue, at_ns, ts_local_ns))
        for event in self._translator.show_books(ts_local_ns):
            self._emit(event)

    def _on_closed(self, cause: str) -> None:
        self._missed.clear()
        if self._linked:
            self._linked = False
            self._translator.telling = False
            self._emit(VenueDisconnected(self._context.venue, 0, self._context.now_ns(), cause))

    async def _catch_up(self) -> None:
        """The account's stream runs again: tell what happened while it did not, and then that the link is up."""
        while True:
            await self._missed.wait()
            link = self._links
            try:
                since_ns = self._fills_known_ns
                now_ns = self._context.now_ns()
                first = since_ns is None
                snapshot = await self.snapshot(now_ns + self._translator.offset_ns if since_ns is None else since_ns)
            except (VenueUnreachable, CredentialsRefused):
                await asyncio.sleep(_READ_PAUSE_S)  # weather: the same again
                continue
            if link != self._links or not self._missed.is_set():
                continue  # the link has gone again meanwhile
            now_ns = self._context.now_ns()
            if not first:
                for fill in snapshot.fills:
                    self._emit(msgspec.structs.replace(fill, ts_local_ns=now_ns))
                self._emit(VenueSnapshotReceived(self._context.venue, snapshot.ts_venue_ns, now_ns, snapshot))
            self._fills_known_ns = max(
                [since_ns or snapshot.ts_venue_ns, *(fill.ts_venue_ns for fill in snapshot.fills)]
            )
            self._missed.clear()
            self._link_is_up(now_ns)

    # Clocks and checks

    async def _keep_clock(self) -> None:
        while True:
            await asyncio.sleep(_CLOCK_EVERY_S)
            await attempt(self._measure_clock)

    async def _measure_clock(self) -> None:
        asked_ns = self._context.now_ns()
        time = decoded(await self._indexer.get("/v4/time"), wire.Time)
        now_ns = self._context.now_ns()
        venue_ns = round(time.epoch * 1000) * _NS_PER_MS
        self._translator.offset_ns = venue_ns - (asked_ns + now_ns) // 2
        self._emit(VenueTime(self._context.venue, venue_ns, now_ns))

    async def _watch_lag(self) -> None:
        """An indexer that has fallen behind the node shows books of the past: they are not trusted until it is back."""
        while True:
            await asyncio.sleep(self._settings.lag_check_s)
            await attempt(self._look_at_lag)

    async def _look_at_lag(self) -> None:
        before = self._translator.height
        height = await self.nodes.height()
        if before is None:
            return
        lag = height - max(before, self._translator.height or 0)
        detail = f"the indexer is {lag} blocks behind the node"
        for event in self._translator.trust_books(lag <= self._settings.max_lag_blocks, detail, self._context.now_ns()):
            self._emit(event)

    async def _check_books(self) -> None:
        """Removals may be missed for long: each book is compared with the REST interface's now and then."""
        while True:
            await asyncio.sleep(self._settings.book_check_s)
            for symbol in self._context.symbols:
                await attempt(lambda symbol=symbol: self._check_book(symbol))  # type: ignore[misc]

    async def _check_book(self, symbol: str) -> None:
        asked_ns, link = self._context.now_ns(), self._links
        reply = await self._indexer.get(f"/v4/orderbooks/perpetualMarket/{symbol}")
        if link == self._links:
            for event in self._translator.check_book(symbol, reply, asked_ns, self._context.now_ns()):
                self._emit(event)

    # Commands

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """See `Commands.send`; without an account all are refused."""
        if self._commands is None:
            self._refuse_all(commands)
        else:
            await self._commands.send(commands)

    def _refuse_all(self, commands: Sequence[ApprovedCommand]) -> None:
        for approved in commands:
            command, now_ns = approved.command, self._context.now_ns()
            if isinstance(command, PlaceOrder):
                order, _ = self._orders.place(command)
                for event in self._orders.refused(command, order, RejectKind.OTHER, "there is no key", now_ns):
                    self._emit(event)

    async def query_order(self, client_id: ClientOrderId) -> None:
        """See `Endings.query`. Raises VenueUnreachable when there is no answer."""
        await self._endings.query(client_id)

    async def cancel_all(self) -> None:
        """See `Endings.cancel_all`. Raises VenueUnreachable when that cannot be confirmed."""
        if self._commands is not None:
            await self._endings.cancel_all(self._commands)

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """There is no switch to arm: orders end with their block."""
        raise VenueUnreachable("dYdX has no dead man's switch: orders end by themselves")

    # The account

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """As `Account.snapshot`; of nothing where there is no account. Raises VenueUnreachable."""
        if self._signer is None:
            now_ns = self._context.now_ns()
            return VenueSnapshot(self._context.venue, now_ns, now_ns, (), ())
        return await self._account.snapshot(since_ns, self._translator.offset_ns)

    def probes(self) -> Sequence[Probe]:
        """What `doctor` asks. See `Examination`."""
        return Examination(
            self._http,
            self._indexer,
            self.nodes,
            self._settings,
            self._signer,
            self._owner,
            self._context.symbols,
        ).probes()

    async def close(self) -> None:
        """Nothing is said any more; the stream ends with `run`."""
        self._closed = True
        await self._http.close()

    # Inside

    def _venue_ns(self) -> int:
        """The venue's time of now, as last measured."""
        return self._context.now_ns() + self._translator.offset_ns

    def _emit(self, event: Event) -> None:
        if not self._closed:
            self._context.emit(event)


def _plain(number: Decimal) -> Decimal:
    """Without zeros at the end, and without an exponent above zero, which texts of prices would show."""
    return Decimal(f"{number.normalize():f}")
