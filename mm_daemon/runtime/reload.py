"""What a changed configuration file means for a daemon that runs: what can be applied now, and what takes a restart.

`defaults`, `markets` and `risk` say how to price and what may be risked; the core goes by new ones from one event to
the next. Everything else (venues, which markets there are, files, ports) was wired at the start and stays. Called by
`runtime/app.py` at SIGHUP and when an operator asks.
"""

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec
from structlog.typing import FilteringBoundLogger

from mm_daemon import registry
from mm_daemon.config.build import core_parameters
from mm_daemon.config.load import load
from mm_daemon.config.schema import Config, Market
from mm_daemon.core.market import MarketState
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.errors import ConfigError, DomainError
from mm_daemon.domain.events import ParametersChanged
from mm_daemon.domain.instrument import InstrumentId, Venue

_APPLIED = ("risk",)
_NOT_COMPARED = ("file", "markets", "venues", *_APPLIED)
_SPOKEN = {"money": "sizes in money", "warm": "calibration file"}
_PLACES = ("path", "place", "places")


class Changes(msgspec.Struct, frozen=True):
    """What one reading of the file came to."""

    parameters: CoreParameters
    """What the core is to go by: those of before where nothing that can be applied has changed."""
    applied: tuple[str, ...]
    """Each changed key that takes effect, as `sim:BTC-USDT gamma 0.05 -> 0.1`."""
    waiting: tuple[str, ...]
    """Each section or market whose change takes a restart."""

    def __str__(self) -> str:
        applied = "; ".join(self.applied) or "nothing that can change while running has changed"
        if not self.waiting:
            return applied
        return f"{applied}; takes effect at the next start only: {', '.join(self.waiting)}"


class Reloader:
    """Reads the configuration again, as often as somebody asks, and says what came of it."""

    def __init__(
        self,
        config: Config,
        core: TradingCore,
        capabilities: Mapping[Venue, Capabilities],
        *,
        emit: Callable[[ParametersChanged], None],
        now_ns: Callable[[], int],
        log: FilteringBoundLogger,
        reading: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`reading` is entered around each reading of the file."""
        self._config = config
        """What the daemon goes by now."""
        self._core = core
        self._capabilities = capabilities
        self._emit = emit
        self._now_ns = now_ns
        self._log = log
        self._reading = reading
        self._asked_by: asyncio.Queue[str] = asyncio.Queue(maxsize=1)

    def ask(self, who: str) -> None:
        """From a signal handler: `run` will see to it. Asking twice before it has is asking once."""
        if not self._asked_by.full():
            self._asked_by.put_nowait(who)

    async def run(self) -> None:
        """Answer those who ask by signal, until cancelled."""
        while True:
            who = await self._asked_by.get()
            try:
                event, _ = await self.read(who)
            except ConfigError:
                continue  # said in the log
            if event is not None:
                self._emit(event)

    async def read(self, who: str) -> tuple[ParametersChanged | None, str]:
        """Read the file and say in the log, and in the text returned, what changes; with it the event that makes it
        so, None where nothing does.

        Raises ConfigError, with everything as it was, when the file or a part of it cannot be used.
        """
        try:
            with self._reading():
                config, found = await asyncio.to_thread(self._read)
        except ConfigError as error:
            text = f"{self._config.file} is bad, the configuration in use stays:\n{error}"
            self._log.error("config_bad", text=text)
            raise
        self._config = config
        write = self._log.warning if found.waiting else self._log.info
        write("config_read", text=f"configuration read again for {who}: {found}")
        event = ParametersChanged(self._now_ns(), found.parameters.to_json(), who) if found.applied else None
        return event, str(found)

    def _read(self) -> tuple[Config, Changes]:
        models = registry.PricingModels()
        file = self._config.file
        new = load(Path(file), settings_of=registry.settings_of, environ=os.environ, models=models)
        config, found = changes(self._config, new, self._core.parameters, self._capabilities)
        for market in found.parameters.markets:
            try:  # the core must not be told what it cannot do
                MarketState(market, models)
            except DomainError as error:
                raise ConfigError(f"{file}: {market.instrument.id}: {error}") from error
        return config, found


def changes(
    old: Config, new: Config, running: CoreParameters, capabilities: Mapping[Venue, Capabilities]
) -> tuple[Config, Changes]:
    """The configuration to go by from here on, and what changes with it.

    `old`: what the daemon goes by now. Raises ConfigProblems for what a venue would not take.
    """
    markets = {market.id: market for market in new.markets}
    pace = old.risk.max_orders_per_second  # part of what the outboxes were built with
    risk = msgspec.structs.replace(new.risk, max_orders_per_second=pace)
    effective = msgspec.structs.replace(
        old,
        risk=risk,
        markets=tuple(markets.get(market.id, market) for market in old.markets),
    )
    instruments = [market.instrument for market in running.markets]
    parameters = core_parameters(effective, instruments, capabilities, first_client_id=running.first_client_id)
    applied = (
        *_differences(old.risk, risk, "risk"),
        *(
            text
            for market in old.markets
            for text in _market_differences(market, markets.get(market.id, market), str(market.id))
        ),
    )
    waiting = (
        *(name for name in Config.__struct_fields__ if name not in _NOT_COMPARED and _differ(old, new, name)),
        *(() if new.risk == risk else ("risk.max_orders_per_second",)),
        *_venues_that_differ(old, new),
        *_markets_that_came_or_went(old, new),
    )
    return effective, Changes(parameters if applied else running, applied, waiting)


def _market_differences(old: Market, new: Market, name: str) -> Iterator[str]:
    plain = [key for key in Market.__struct_fields__ if key not in (*_PLACES, "quoting")]
    for key in plain:
        if _differ(old, new, key):
            yield _change(name, key, old, new)
    yield from _differences(old.quoting, new.quoting, name)


def _differences(old: msgspec.Struct, new: msgspec.Struct, name: str) -> Iterator[str]:
    for key in old.__struct_fields__:
        if _differ(old, new, key):
            yield _change(name, key, old, new)


def _change(name: str, key: str, old: msgspec.Struct, new: msgspec.Struct) -> str:
    before, after = getattr(old, key), getattr(new, key)
    if isinstance(before, msgspec.Struct) or isinstance(after, msgspec.Struct):
        return f"{name} {_SPOKEN.get(key, key)}"
    return f"{name} {key} {_said(before)} -> {_said(after)}"


def _said(value: object) -> str:
    return "null" if value is None else str(value)


def _differ(old: msgspec.Struct, new: msgspec.Struct, key: str) -> bool:
    return bool(getattr(old, key) != getattr(new, key))


def _venues_that_differ(old: Config, new: Config) -> Iterator[str]:
    """Secrets are compared and never said."""
    for name in dict.fromkeys([*old.venues, *new.venues]):
        before, after = old.venues.get(name), new.venues.get(name)
        if before is None or after is None or _wiring(before) != _wiring(after):
            yield f"venues.{name}"


def _wiring(venue: object) -> tuple[object, ...]:
    return tuple(getattr(venue, key) for key in ("connector", "settings", "secrets"))


def _markets_that_came_or_went(old: Config, new: Config) -> Iterator[InstrumentId | str]:
    before, after = {market.id for market in old.markets}, {market.id for market in new.markets}
    for name in sorted(after - before):
        yield f"new market {name}"
    for name in sorted(before - after):
        yield f"{name}, which is no longer in the file (`disable` takes it out of trade now)"
