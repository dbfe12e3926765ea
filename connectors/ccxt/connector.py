"""`CcxtConnector`: any centralised venue that ccxt has streams of, behind the connector port.

Requests go through one ccxt instance, streams through others that are thrown away when they fail. The link is up when
market data and, where there is a key, the account's stream stand; a link that comes back is told only after the fills
since the last one known and an account snapshot. For Binance USD-M `market_data: native` takes books from our own
translator on the venue's wire.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from connectors.ccxt import books, position_mode
from connectors.ccxt.abilities import (
    DEAD_MAN_FLOOR_MS,
    OF_ALL,
    OF_EACH,
    capabilities,
    check_position_mode,
    check_streams,
    countdown,
    has_key,
    order_params,
    two_way,
)
from connectors.ccxt.account import AccountReader
from connectors.ccxt.client import Factory
from connectors.ccxt.contracts import Contract, contract, find_market
from connectors.ccxt.dialects import dialect
from connectors.ccxt.doctor import Examination
from connectors.ccxt.fees import FeeNotPriced, FeePrices
from connectors.ccxt.legs import Legs, leg_of
from connectors.ccxt.native import NativeMarketData
from connectors.ccxt.orders import OrderBookkeeping
from connectors.ccxt.requests import LimitsHeard, NothingToChange, OrderUnknown, Requests
from connectors.ccxt.settings import CcxtSettings, MarketData, PositionMode
from connectors.ccxt.streams import ProStreams, from_ccxt
from connectors.shared.weather import attempt
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, OrderCommand, PlaceOrder
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, GridError, MmError, VenueUnreachable
from mm_daemon.domain.events import (
    Event,
    OrderAccepted,
    OrderNotFound,
    VenueConnected,
    VenueDisconnected,
    VenueSnapshot,
    VenueSnapshotReceived,
    VenueTime,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.domain.rng import Rng
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.ports.examination import Probe

_CLOCK_EVERY_S = 10.0
_CATCH_UP_PAUSE_S = 0.2
_SILENT_NS = 10_000_000_000
_LOOK_S = 1.0
_FUNDING_EVERY_S = 30.0
_NS_PER_MS = 1_000_000
_DEFAULT_FUNDING_HOURS = 8


class CcxtConnector:
    """Structurally a `Connector`."""

    Settings: ClassVar[type[msgspec.Struct]] = CcxtSettings

    def __init__(self, context: ConnectorContext, settings: CcxtSettings) -> None:
        """Imports ccxt. Raises ConfigError for an exchange that ccxt does not have, or half a key."""
        self._context = context
        self._settings = settings
        self._dialect = dialect(settings.exchange)
        self._offset_ns = 0
        """What the venue's clock is ahead of ours."""
        self._limits = LimitsHeard(context.venue, self._dialect, now_ns=context.now_ns, emit=self._emit)
        self._factory = Factory(
            settings,
            self._dialect,
            context.secrets,
            venue=context.venue,
            now_ms=lambda: (context.now_ns() + self._offset_ns) // _NS_PER_MS,
            on_response=self._limits.hear,
        )
        self._with_key = has_key(context, self._factory)
        check_position_mode(context, settings, can=two_way(self._dialect, self._factory.features))
        if settings.market_data is MarketData.NATIVE and (
            self._dialect.translator is None or context.translator is None
        ):
            raise ConfigError(
                f"venue {context.venue}: there is no native market data of {settings.exchange}; write market_data: ccxt"
            )
        check_streams(context, settings, self._factory.has, with_key=self._with_key)
        if self._with_key and self._dialect.leverage_in_orders and settings.leverage is None:
            raise ConfigError(
                f"venue {context.venue}: {settings.exchange} takes the leverage with each order; write leverage: 5, "
                "or another one"
            )
        self.capabilities = capabilities(settings, self._dialect, self._factory.has)
        self._countdown = countdown(self._dialect, self._factory.has)
        self._requests: Requests | None = None
        self._account: AccountReader | None = None
        self._prices: FeePrices | None = None
        self._contracts: Sequence[Contract] = ()
        self._native: NativeMarketData | None = None
        self._market: ProStreams | None = None
        self._user: ProStreams | None = None
        self._guards: Sequence[books.BookGuard] = ()
        self._joined = asyncio.Event()
        self._linked = False
        """Whether the daemon was told that the link is up."""
        self._fills_known_ns: int | None = None
        """Every fill up to this venue time has been told; None: no link was ever up."""
        self._unheard: dict[ClientOrderId, int] = {}
        """Accepted orders that the account's stream has said nothing of, and since when."""
        self._counted: Counter[str] = Counter()
        self._closed = False

    # Contracts

    async def load_instruments(self) -> Sequence[Instrument]:
        """Raises VenueUnreachable, CredentialsRefused, or ConfigError for a symbol that cannot be traded here."""
        if self._requests is not None:
            return [each.instrument for each in self._contracts]
        exchange = self._factory.build()
        self._factory.open(exchange)
        self._requests = requests = Requests(
            exchange,
            self._dialect,
            OrderBookkeeping((), self._settings.client_id_prefix, self._dialect),
            self._limits,
            self._now_ns,
            order_params(self._settings, self._dialect),
        )
        try:
            await self._measure_clock()
            await requests.read("load_markets")
            self._contracts = [await self._contract(symbol) for symbol in self._context.symbols]
            self._prices = prices = FeePrices(
                requests.read, exchange.markets.values, self._settings.fee_prices, self._now_ns
            )
            legs: Legs | None = None
            if self._settings.position_mode is PositionMode.TWO_WAY:
                legs = Legs(self._now_ns, self.capabilities.d_max_ms * _NS_PER_MS)
            prefix = self._settings.client_id_prefix
            requests.kept = OrderBookkeeping(self._contracts, prefix, self._dialect, legs, prices)
            self._account = AccountReader(self._context, requests, prices, self._shown_ns, page=self._dialect.page)
            if self._with_key:
                await self._prepare_account()
            await self._prepare_streams()
        except BaseException:
            await exchange.close()
            self._requests = None
            raise
        return [each.instrument for each in self._contracts]

    async def _contract(self, symbol: str) -> Contract:
        requests = self._asking
        market = find_market(requests.exchange.markets.values(), symbol, self._context.venue)
        fees: Mapping[str, Any] | None = None
        if self._with_key and requests.can("fetchTradingFee"):
            try:
                fees = await requests.read("fetch_trading_fee", market["symbol"])
            except VenueUnreachable:
                self._counted["fee_not_told"] += 1  # what the exchange asks of everybody is close to it
        try:
            return contract(market, symbol, self._context.venue, fees)
        except GridError as error:
            raise VenueUnreachable(f"venue {self._context.venue} names a contract we cannot trade: {error}") from error

    async def _prepare_account(self) -> None:
        """A key that is refused is told before anything begins, and the account is set as the configuration says."""
        requests = self._asking
        for method in self._dialect.prepare:
            await requests.read(method)
        await requests.read("fetch_positions", [each.unified for each in self._contracts])
        if self._prices is not None:
            settled_in = {each.instrument.quote for each in self._contracts}
            await self._prices.expect((each, quote) for each in self._dialect.fee_currencies for quote in settled_in)
        if not self._context.read_only:
            if self._settings.set_position_mode:
                await position_mode.switch(requests, self._settings.position_mode, self._context.venue)
            else:
                await self._check_position_mode()
            await self._set_up_account()

    async def _set_up_account(self) -> None:
        requests, settings = self._asking, self._settings
        steps: list[tuple[str, tuple[Any, ...]]] = []
        for each in self._contracts:
            if settings.margin_mode is not None:
                steps.append(("set_margin_mode", (settings.margin_mode.value, each.unified)))
            if settings.leverage is not None and not self._dialect.leverage_in_orders:
                steps.append(("set_leverage", (settings.leverage, each.unified)))
        for method, args in steps:
            try:
                await requests.read(method, *args)
            except NothingToChange:
                continue

    async def _check_position_mode(self) -> None:
        """Raises ConfigError for an account that is not in the mode that the configuration says."""
        wanted = self._settings.position_mode
        try:
            found = await position_mode.told(self._asking, self._contracts)
        except VenueUnreachable:
            found = None
        if found is None:
            self._counted["position_mode_not_told"] += 1  # orders will say so
        elif found is not wanted:
            wrong, ways_out = position_mode.mismatch(found, wanted)
            raise ConfigError(f"venue {self._context.venue}: {wrong}; {ways_out}")

    async def _prepare_streams(self) -> None:
        context, settings, rng = self._context, self._settings, Rng(0).split(self._context.venue)
        if settings.market_data is MarketData.NATIVE:
            assert context.translator is not None and self._dialect.translator is not None
            hours = await self._funding_hours()
            self._native = NativeMarketData(
                native_url(self._asking.exchange),
                [
                    (each.instrument, hours.get(each.instrument.symbol, _DEFAULT_FUNDING_HOURS))
                    for each in self._contracts
                ],
                context.translator(self._dialect.translator),
                rng=rng.split("market"),
                now_ns=context.now_ns,
                emit=self._emit,
                fetch_depth=self._fetch_depth,
                on_up=self._joined.set,
                on_down=self._on_down,
                tap=context.tap,
            )
        else:
            self._guards = [books.BookGuard(each, settings, context.now_ns) for each in self._contracts]
            self._market = ProStreams(
                self._factory,
                lambda: self._asking.exchange,
                [self._watch(books.watch_book, guard) for guard in self._guards]
                + [self._watch(books.watch_trades, guard) for guard in self._guards],
                rng=rng.split("market"),
                on_up=self._joined.set,
                on_down=self._on_down,
                tap=None if context.tap is None else self._show_raw,
            )
        if self._with_key and not self._context.read_only:
            self._user = ProStreams(
                self._factory,
                lambda: self._asking.exchange,
                [self._watch_orders, self._watch_fills],
                rng=rng.split("user"),
                on_up=self._joined.set,
                on_down=self._on_down,
            )

    def _watch(self, watch: Callable[..., Awaitable[None]], guard: books.BookGuard) -> Callable[[Any], Awaitable[None]]:
        return lambda exchange: watch(exchange, guard, self._tell_market)

    async def _funding_hours(self) -> Mapping[str, int]:
        """Hours between fundings where they are not the usual ones."""
        rows = await self._asking.read("fapiPublicGetFundingInfo")
        return {str(row["symbol"]): int(row["fundingIntervalHours"]) for row in rows if "fundingIntervalHours" in row}

    async def _fetch_depth(self, symbol: str) -> bytes:
        reply = await self._asking.read("fapiPublicGetDepth", {"symbol": symbol, "limit": 1000})
        return msgspec.json.encode(reply)

    # The link

    async def run(self) -> None:
        """Keep the link alive until cancelled. Raises CredentialsRefused when the venue refuses the key."""
        try:
            async with asyncio.TaskGroup() as group:
                for part in (self._native, self._market, self._user):
                    if part is not None:
                        group.create_task(part.run())
                group.create_task(self._join())
                group.create_task(self._keep_clock())
                group.create_task(self._keep_watch())
                if self._prices is not None and self._with_key:
                    group.create_task(self._prices.keep())
                for guard in self._guards:
                    group.create_task(self._look_after(guard))
                    group.create_task(self._poll_funding(guard))
        except* MmError as failed:
            raise failed.exceptions[0] from None
        finally:
            self._on_down("the session has ended")

    @property
    def wire(self) -> str | None:
        """Only on the native wire do our translators read what the exchange sends."""
        return self._dialect.translator if self._settings.market_data is MarketData.NATIVE else None

    def _show_raw(self, frame: bytes) -> None:
        if self._context.tap is not None:
            self._context.tap(frame, self._context.now_ns())

    @property
    def problems(self) -> Mapping[str, int]:
        """What could not be used, and what was doubted, by kind."""
        total = Counter(self._counted)
        if self._native is not None:
            total.update(self._native.problems)
        for guard in self._guards:
            total.update(guard.problems)
        for name, part in (("market", self._market), ("user", self._user)):
            if part is not None:
                total.update({f"{name}_{cause}": count for cause, count in part.ends.items() if cause != "failed"})
        if self._prices is not None:
            total.update(self._prices.problems)
        return +total

    @property
    def _complete(self) -> bool:
        """Whether every part of the link stands."""
        parts = [part for part in (self._native, self._market, self._user) if part is not None]
        return all(part.up for part in parts)

    def _on_down(self, cause: str) -> None:
        if self._native is not None:
            self._native.stop_telling()
        self._unheard.clear()
        if self._linked:
            self._linked = False
            self._joined.set()
            self._emit(VenueDisconnected(self._context.venue, 0, self._context.now_ns(), cause))

    async def _join(self) -> None:
        """Tell that the link is up, after what was missed."""
        while True:
            await self._joined.wait()
            self._joined.clear()
            while self._complete and not self._linked:
                try:
                    await self._catch_up()
                except CredentialsRefused:
                    raise
                except VenueUnreachable:
                    self._counted["catch_up_failed"] += 1
                    await asyncio.sleep(_CATCH_UP_PAUSE_S)

    async def _catch_up(self) -> None:
        """Raises VenueUnreachable or CredentialsRefused."""
        venue, shown_ns = self._context.venue, self._shown_ns()
        if self._prices is not None and self._with_key:
            await self._prices.ensure()
        if self._fills_known_ns is not None and self._account is not None:
            snapshot = await self._account.snapshot(self._fills_known_ns)
            if not self._complete:
                return  # the link has gone again meanwhile
            now_ns = self._context.now_ns()
            for fill in snapshot.fills:
                self._emit(msgspec.structs.replace(fill, ts_local_ns=now_ns))
            self._emit(VenueSnapshotReceived(venue, snapshot.ts_venue_ns, now_ns, snapshot))
            shown_ns = snapshot.ts_venue_ns
        if self._with_key:
            self._fills_known_ns = shown_ns
        self._linked = True
        if self._native is not None:
            self._native.begin()
        self._emit(VenueConnected(venue, shown_ns, self._context.now_ns()))
        for guard in self._guards:
            guard.forget()

    async def _keep_watch(self) -> None:
        """An account's stream that says nothing of an order that was accepted is broken, whatever it looks like."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if self._user is not None and any(
                self._context.now_ns() - since_ns > _SILENT_NS for since_ns in self._unheard.values()
            ):
                self._unheard.clear()
                self._user.recycle("silent")

    async def _look_after(self, guard: books.BookGuard) -> None:
        assert self._market is not None
        look_s = self._settings.book_max_age_ms / 4000
        await books.look_after(
            guard,
            self._tell_market,
            self._fetch_book,
            self._market.recycle,
            every_s=self._settings.book_compare_s,
            look_s=look_s,
        )

    async def _fetch_book(self, unified: str) -> Any:
        try:
            return await self._asking.read("fetch_order_book", unified, 100)
        except VenueUnreachable:
            self._counted["no_snapshot"] += 1
            return None

    async def _poll_funding(self, guard: books.BookGuard) -> None:
        """Mark and predicted funding, where the venue has them."""
        while self._asking.can("fetchFundingRate"):
            try:
                self._tell_market(
                    guard.on_funding(await self._asking.read("fetch_funding_rate", guard.contract.unified))
                )
            except VenueUnreachable:
                self._counted["no_funding_rate"] += 1
            await asyncio.sleep(_FUNDING_EVERY_S)

    def _tell_market(self, events: Sequence[Event]) -> None:
        if self._linked:
            for event in events:
                self._emit(event)

    # The account's stream

    async def _watch_orders(self, exchange: Any) -> None:
        while True:
            for row in await from_ccxt(exchange.watch_orders()):
                self._hear(row, self._on_order)

    async def _watch_fills(self, exchange: Any) -> None:
        while True:
            for row in await from_ccxt(exchange.watch_my_trades()):
                self._hear(row, self._on_fill)

    def _hear(self, row: Any, handle: Callable[[Any], None]) -> None:
        try:
            handle(row)
        except GridError:
            self._counted["bad_number"] += 1

    def _on_order(self, row: Any) -> None:
        kept = self._asking.kept
        client_id = kept.owner(row)
        if client_id is not None:
            self._unheard.pop(client_id, None)
        for event in kept.reported(row, self._context.now_ns()):
            self._emit(event)

    def _on_fill(self, row: Any) -> None:
        kept = self._asking.kept
        if kept.owner(row) is None and not kept.is_named(str(row.get("order") or "")):
            self._counted["fill_without_name"] += 1  # reconciliation finds out whose it is
            return
        try:
            fill = kept.filled(row, self._context.now_ns())
        except FeeNotPriced as missing:
            self._counted["fee_not_priced"] += 1
            self._on_down(str(missing))  # and it is told when the link is up again, which is once there is a price
            return
        if fill is None:
            return
        self._unheard.pop(fill.client_id, None)
        if kept.legs is not None:
            kept.legs.fill(fill, leg_of(row.get("info")))
        self._emit(fill)
        if self._linked:
            self._fills_known_ns = max(self._fills_known_ns or 0, fill.ts_venue_ns)

    # The venue's clock

    async def _keep_clock(self) -> None:
        while True:
            for _ in range(round(_CLOCK_EVERY_S / _LOOK_S)):
                await asyncio.sleep(_LOOK_S)
                if self._asking.clock_refused:
                    break
            try:
                await self._measure_clock()
            except VenueUnreachable:
                self._counted["no_time"] += 1  # the offset known is the best there is

    async def _measure_clock(self) -> None:
        requests = self._asking
        if not requests.can("fetchTime"):
            return
        asked_ns = self._context.now_ns()
        shown_ns = int(await requests.read("fetch_time")) * _NS_PER_MS
        now_ns = self._context.now_ns()
        self._offset_ns = shown_ns - (asked_ns + now_ns) // 2
        requests.clock_refused = False
        self._emit(VenueTime(self._context.venue, shown_ns, now_ns))

    # Commands

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        """One batch of one kind. Nothing is ever sent twice: what is not known is said to be unknown."""
        batch: list[OrderCommand] = [
            approved.command
            for approved in commands
            if isinstance(approved.command, PlaceOrder | AmendOrder | CancelOrder)
        ]
        if not batch:
            return
        for event in await self._asking.send(batch):
            if isinstance(event, OrderAccepted) and self._linked and self._user is not None:
                self._unheard.setdefault(event.client_id, self._context.now_ns())
            self._emit(event)
        if self._asking.clock_refused:
            await attempt(self._measure_clock)

    async def query_order(self, client_id: ClientOrderId) -> None:
        """Raises VenueUnreachable when there is no answer."""
        requests, asked_ns = self._asking, self._shown_ns()
        known = requests.kept.known(client_id)
        spelt = {**self._dialect.query_params, self._dialect.client_id_param: requests.kept.spell(client_id)}
        for each in self._contracts if known is None else [known.contract]:
            name = known.venue_id if known is not None and known.venue_id else None
            params = dict(self._dialect.query_params) if name else spelt
            try:
                row = await requests.read("fetch_order", name, each.unified, params)
                told = requests.kept.reported(row, self._context.now_ns(), client_id=client_id, again=True)
            except OrderUnknown:
                continue
            except GridError as error:
                raise VenueUnreachable(f"order {client_id} cannot be read: {error}") from error
            for event in told:
                self._emit(event)
            return
        self._emit(OrderNotFound(self._context.venue, asked_ns, self._context.now_ns(), client_id))

    async def cancel_all(self) -> None:
        """Raises VenueUnreachable when the venue does not confirm it."""
        requests = self._asking
        alive = requests.kept.alive()
        if requests.can("cancelAllOrders"):
            for each in self._contracts:
                await requests.ask("cancel_all_orders", each.unified)
        assert self._account is not None
        for order in await self._account.open_orders():
            if order.client_id is None:
                await requests.ask(
                    "cancel_order", order.venue_order_id, requests.kept.contracts[order.instrument].unified
                )
            else:
                cancel = CancelOrder(order.instrument, order.client_id, ())
                for event in await requests.send([cancel]):
                    self._emit(event)
        for client_id in alive:  # the stream may be gone: what became of them is asked for
            known = requests.kept.known(client_id)
            if known is not None and not known.ended and known.venue_id:
                await self.query_order(client_id)

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Raises VenueUnreachable when the venue does not confirm it."""
        timeout_ms = 0
        if deadline_ns is not None:
            floor_ms = self.capabilities.dead_man_floor_ms or DEAD_MAN_FLOOR_MS
            timeout_ms = max((deadline_ns - self._context.now_ns()) // _NS_PER_MS, floor_ms)
        if self._countdown == OF_EACH:
            asked = [
                self._asking.ask(
                    "fapiPrivatePostCountdownCancelAll",
                    {"symbol": self._asking.exchange.market_id(each.unified), "countdownTime": timeout_ms},
                )
                for each in self._contracts
            ]
            await asyncio.gather(*asked)
        elif self._countdown == OF_ALL:
            await self._asking.ask("cancel_all_orders_after", timeout_ms)

    # The account

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        """Orders, positions, fills and payments as of one reading. Raises VenueUnreachable or CredentialsRefused."""
        if not self._with_key:
            raise CredentialsRefused(
                f"venue {self._context.venue}: there is no key; write secrets: {{api_key: ..., api_secret: ...}}, or "
                "mode: paper"
            )
        assert self._account is not None
        return await self._account.snapshot(since_ns)

    def probes(self) -> Sequence[Probe]:
        """What `doctor` asks, once the instruments are loaded. See `Examination`."""
        if self._requests is None:
            return ()
        native = self._settings.market_data is MarketData.NATIVE
        stream = f"{native_url(self._requests.exchange)}/public/ws" if native else None
        return Examination(
            self._requests,
            self._settings,
            self._dialect,
            self._contracts,
            self._limits,
            with_key=self._with_key,
            stream=stream,
        ).probes()

    async def close(self) -> None:
        """Nothing is said any more; the streams end with `run`."""
        self._closed = True
        if self._requests is not None:
            await self._requests.exchange.close()

    # Inside

    @property
    def _asking(self) -> Requests:
        if self._requests is None:
            raise VenueUnreachable(f"venue {self._context.venue}: its instruments have not been loaded")
        return self._requests

    def _now_ns(self) -> int:
        return self._context.now_ns()

    def _shown_ns(self) -> int:
        """The venue's time, as last measured."""
        return self._context.now_ns() + self._offset_ns

    def _emit(self, event: Event) -> None:
        legs = self._requests.kept.legs if self._requests is not None else None
        if legs is not None:
            legs.apply(event)
        if not self._closed:
            self._context.emit(event)


def native_url(exchange: Any) -> str:
    """Where Binance's routed streams begin."""
    url: str = exchange.urls["api"]["ws"]["linear"]
    return url.removesuffix("/ws")
