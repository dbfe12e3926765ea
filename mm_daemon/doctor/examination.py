"""The doctor: looks at each venue of a configuration as a run would find it, and changes nothing anywhere.

A venue's connector is built with `read_only`, its contracts are loaded, its streams run, its probes are asked one after
the other and each for a limited time, its account is looked at, and what it tells of its markets goes into a core of
the daemon's own, whose engine then says what it would quote. No command is ever made. The venues are looked at side by
side; what happens at one says nothing about another.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.explaining import Scene, explain
from mm_daemon.backtest.explanation import MarketExplanation
from mm_daemon.config.build import core_parameters
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.config.schema import Config, VenueConfig
from mm_daemon.core.market import MarketState
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.doctor import common
from mm_daemon.doctor.findings import Report, VenueFindings, in_order, report
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, MmError, VenueUnreachable
from mm_daemon.domain.events import Event, MarketEvent, VenueSnapshot, VenueTime
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.ports.examination import Check, Examined, Probe, Verdict, failed, not_applicable, ok, warning
from mm_daemon.runtime.clock import Clock

TIMEOUT_S = 10.0
WATCH_S = 3.0
_CLOSE_S = 2.0
_NO_FILLS_NS = 1 << 62
_SHORTEST_SECRET = 6
_HIDDEN = "***"
_MARKET = MarketEvent.__args__
_ONLY_LIVE = ("agent", "tier", "permissions", "balance", "margin", "position_mode", "limits", "dead_man", "orders")
"""Checks of what paper does without."""
_ACCOUNT_CHECKS = ("credentials", "balance", "orders", "position")

T = TypeVar("T")


async def examine(
    config: Config,
    *,
    paper: bool = False,
    timeout_s: float = TIMEOUT_S,
    watch_s: float = WATCH_S,
    clock: Clock | None = None,
    connector_named: Callable[[str], Callable[..., Connector]] = registry.connector,
) -> Report:
    """Look at every venue that has a market. `timeout_s`: for each question; `watch_s`: how long a market is watched
    once its book is there, so that its volatility is measured a little."""
    clock = clock or Clock()
    mode = "paper" if paper else config.mode
    venues = [
        _VenueExamination(config, settings, clock, connector_named, live=mode == "live", timeout_s=timeout_s)
        for venue, settings in config.venues.items()
        if config.symbols_of(venue)
    ]
    found = await asyncio.gather(*(each.run(watch_s) for each in venues))
    return report(config.file, mode, found)


class _VenueExamination:
    """One venue, once."""

    def __init__(
        self,
        config: Config,
        settings: VenueConfig,
        clock: Clock,
        connector_named: Callable[[str], Callable[..., Connector]],
        *,
        live: bool,
        timeout_s: float,
    ) -> None:
        venue = settings.name
        self._config = msgspec.structs.replace(
            config,
            venues={venue: settings},
            markets=tuple(market for market in config.markets if market.venue == venue),
        )
        self._venue: Venue = venue
        self._settings = settings
        self._clock = clock
        self._connector_named = connector_named
        self._live = live
        self._timeout_s = timeout_s
        self._checks: list[Check] = []
        self._explained: tuple[MarketExplanation, ...] = ()
        self._core: TradingCore | None = None
        self._books_there = asyncio.Event()
        self._times: list[VenueTime] = []
        self._has_account = bool(settings.secrets)

    async def run(self, watch_s: float) -> VenueFindings:
        make = self._connector_named(self._settings.connector)
        examined = issubclass(make, Examined) if isinstance(make, type) else False
        connector = self._built(with_secrets=examined)
        if connector is not None:
            try:
                await self._look(connector, watch_s)
            finally:
                await self._closed(connector)
        return VenueFindings(
            self._venue,
            self._settings.connector,
            in_order(self._judged(self._without_secrets(check)) for check in self._checks),
            self._explained,
        )

    # The connector

    def _built(self, *, with_secrets: bool) -> Connector | None:
        """None, and a finding, where there can be none."""
        settings = self._settings
        context = ConnectorContext(
            venue=self._venue,
            symbols=self._config.symbols_of(self._venue),
            emit=self._hear,
            now_ns=self._clock.now_ns,
            delay_s=self._clock.delay_s,
            secrets=settings.secrets if with_secrets else {},
            translator=registry.translator,
            read_only=True,
        )
        try:
            return self._connector_named(settings.connector)(context, settings.settings)
        except MmError as error:
            if with_secrets or not self._has_account:
                self._failed("configuration", str(error), f"correct it in {settings.place}")
            else:
                text = f"the connector {settings.connector} wants its key, and does not say that it only reads here"
                advice = "its author: offer `Examined` (deploy/docs/your-own-connector.md); nothing else was looked at"
                self._checks.append(warning("credentials", text, advice))
            return None

    async def _closed(self, connector: Connector) -> None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                await connector.close()
        except (TimeoutError, OSError) as error:
            self._checks.append(warning("connection", f"it did not close: {type(error).__name__}", "nothing to do"))

    def _hear(self, event: Event) -> None:
        if isinstance(event, VenueTime):
            self._times.append(event)
        elif self._core is not None and isinstance(event, _MARKET):
            self._core.apply(event)
            if not self._books_there.is_set() and all(each.book.trusted for each in self._core.markets.values()):
                self._books_there.set()

    # The examination

    async def _look(self, connector: Connector, watch_s: float) -> None:
        if connector.capabilities.simulated:
            self._has_account = False
        instruments = await self._instruments(connector)
        if instruments is None:
            return
        core = self._core = self._core_of(connector, instruments)
        running: asyncio.Task[None] | None = None
        if core is not None and not connector.capabilities.recorded:
            running = asyncio.create_task(connector.run())
        try:
            await self._ask(connector.probes() if isinstance(connector, Examined) else ())
            snapshot = await self._account(connector, instruments)
            if running is not None and core is not None:
                await self._watch(running, core, watch_s)
                self._quotes(core, snapshot)
        finally:
            if running is not None:
                running.cancel()
                await asyncio.wait([running], timeout=_CLOSE_S)
        self._of_all(connector, instruments)

    async def _instruments(self, connector: Connector) -> Sequence[Instrument] | None:
        began_ns = self._clock.now_ns()
        try:
            instruments = await self._limited(connector.load_instruments())
        except CredentialsRefused as error:
            self._checks.append(ok("connection", f"the venue answers ({self._ms_since(began_ns)} ms)"))
            await self._ask(connector.probes() if isinstance(connector, Examined) else ())
            self._failed("credentials", str(error), "correct the key or the account in `secrets` and the venue's keys")
            self._unlooked("the venue has refused the key")
            return None
        except ConfigError as error:
            self._failed("configuration", str(error), f"correct it in {self._settings.place}")
            return None
        except (VenueUnreachable, TimeoutError, OSError) as error:
            self._failed(
                "connection",
                f"the venue cannot be reached: {self._said(error)}",
                "look at the address, this machine's network, and whether the venue lets this country in",
            )
            self._unlooked("the venue cannot be reached")
            return None
        text = f"the venue answers; it named {len(instruments)} of our markets in {self._ms_since(began_ns)} ms"
        self._checks.append(ok("connection", text))
        return instruments

    def _unlooked(self, cause: str) -> None:
        self._checks.append(not_applicable("quotes", f"not looked at: {cause}"))

    def _core_of(self, connector: Connector, instruments: Sequence[Instrument]) -> TradingCore | None:
        """A core that only listens; None, and what is wrong, where the contracts do not allow the configuration."""
        try:
            parameters = core_parameters(self._config, instruments, {self._venue: connector.capabilities})
            return TradingCore(parameters, None, registry.PricingModels())
        except ConfigProblems as problems:
            self._checks += common.refused_sizes(problems)
            self._unlooked("the sizes do not fit the contracts")
        except MmError as error:
            self._failed("configuration", str(error), "correct the keys of the market")
            self._unlooked("the configuration contradicts itself")
        return None

    async def _ask(self, probes: Sequence[Probe]) -> None:
        for probe in probes:
            try:
                self._checks += await self._limited(probe.ask())
            except CredentialsRefused as error:
                self._failed("credentials", str(error), "correct the key or the account")
            except (MmError, TimeoutError, OSError) as error:
                self._failed(probe.name, f"not known: {self._said(error)}", "run `doctor` again; it may be weather")

    async def _account(self, connector: Connector, instruments: Sequence[Instrument]) -> VenueSnapshot | None:
        """Orders and positions, where there is an account."""
        if connector.capabilities.simulated:
            self._checks.append(not_applicable("credentials", "orders never leave this process: there is no account"))
            return None
        if not self._has_account:
            self._no_key()
            return None
        if not isinstance(connector, Examined):
            text = f"not looked at: the connector {self._settings.connector} does not offer `Examined`"
            self._checks += [not_applicable(name, text) for name in _ACCOUNT_CHECKS]
            return None
        rules = self._config.reconcile
        try:
            snapshot = await self._limited(connector.snapshot(_NO_FILLS_NS))
        except CredentialsRefused as error:
            self._failed("credentials", str(error), "correct the key or the account")
            return None
        except (MmError, TimeoutError, OSError) as error:
            self._failed("orders", f"the account cannot be read: {self._said(error)}", "run `doctor` again")
            return None
        contracts = {instrument.id: instrument for instrument in instruments}
        self._checks.append(common.orders(snapshot, rules))
        self._checks += common.positions(snapshot, contracts, rules)
        return snapshot

    def _no_key(self) -> None:
        if self._live:
            advice = f"name it under `secrets` in {self._settings.place} (the venue's page in deploy/docs says how)"
            self._failed("credentials", "there is no key, and mode: live trades with one", advice)
        else:
            self._checks.append(not_applicable("credentials", "there is no key; mode: paper needs none"))

    # The markets

    async def _watch(self, running: asyncio.Task[None], core: TradingCore, watch_s: float) -> None:
        """Until every book is there and was watched for a while, or the time is over."""
        markets = core.markets.values()
        waiting = asyncio.create_task(self._books_there.wait())
        await asyncio.wait([running, waiting], timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await asyncio.wait([running], timeout=watch_s if any(each.book.trusted for each in markets) else 0.0)
        if running.done() and not running.cancelled() and (error := running.exception()) is not None:
            if not isinstance(error, MmError | OSError):
                raise error
            self._failed("connection", f"the stream has ended: {error}", "run `doctor` again")
        self._checks += common.untrusted(markets, self._timeout_s)

    def _quotes(self, core: TradingCore, snapshot: VenueSnapshot | None) -> None:
        held = dict(snapshot.positions) if snapshot is not None else {}
        now_ns = self._clock.now_ns()
        explained = []
        for market in core.markets.values():
            if not market.book.trusted:
                continue
            market.resize(market.book, now_ns)
            self._checks.append(common.size(market))
            explained.append(explain(self._scene(market, held.get(market.id, 0), now_ns)))
        self._explained = tuple(explained)
        self._checks += map(common.quotes, explained)

    def _scene(self, market: MarketState, position_lots: int, now_ns: int) -> Scene:
        return Scene(
            parameters=market.parameters,
            engine=market.engine,
            book=market.book,
            position_lots=position_lots,
            now_ns=now_ns,
            source=f"the live book of {self._venue}",
        )

    # What is said of every venue

    def _of_all(self, connector: Connector, instruments: Sequence[Instrument]) -> None:
        capabilities = connector.capabilities
        self._checks.append(common.clock(self._times, self._config.risk.max_clock_skew_ms))
        self._checks += map(common.contract, instruments)
        whose = (
            "this account's" if self._has_account else "the market's" if capabilities.simulated else "a new account's"
        )
        priced_in = {market.symbol: market.quoting.fees_in_model for market in self._config.markets}
        self._checks += [common.fees(each, priced_in=priced_in[each.symbol], whose=whose) for each in instruments]
        told = {check.name for check in self._checks}
        if "limits" not in told:
            self._checks.append(common.limits(capabilities))
        if "dead_man" not in told:
            self._checks.append(common.dead_man(capabilities, self._config.orders.order_blocks))
        if capabilities.recorded:
            self._checks.append(not_applicable("quotes", "a recording: `mm-daemon explain` plays it and prices"))

    # Inside

    async def _limited(self, question: Awaitable[T]) -> T:
        async with asyncio.timeout(self._timeout_s):
            return await question

    def _said(self, error: Exception) -> str:
        return f"no answer within {self._timeout_s:g} s" if isinstance(error, TimeoutError) else str(error)

    def _ms_since(self, began_ns: int) -> str:
        return f"{(self._clock.now_ns() - began_ns) / 1e6:.0f}"

    def _failed(self, name: str, text: str, advice: str) -> None:
        """Once for each name: what is found wrong twice is said as it was found first."""
        if not any(check.name == name and check.verdict is Verdict.FAILED for check in self._checks):
            self._checks.append(failed(name, text, advice))

    def _judged(self, check: Check) -> Check:
        """What is wrong with an account keeps nobody from trading on paper."""
        if self._live or check.verdict is not Verdict.FAILED or check.name not in _ONLY_LIVE:
            return check
        return msgspec.structs.replace(check, verdict=Verdict.WARNING)

    def _without_secrets(self, check: Check) -> Check:
        """A connector owes that no message holds a secret; here it is made sure of."""
        text, advice = check.text, check.advice
        for secret in self._settings.secrets.values():
            if len(secret) >= _SHORTEST_SECRET:
                text, advice = text.replace(secret, _HIDDEN), advice.replace(secret, _HIDDEN)
        return msgspec.structs.replace(check, text=text, advice=advice)
