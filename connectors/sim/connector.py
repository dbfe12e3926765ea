"""`SimConnector`: a venue with seeded order flow inside this process, for as many symbols as the configuration asks.

Orders of ours trade with synthetic ones and never leave the process. They die when the connector is closed. Positions,
cash and history do not: with a `state_dir` they are kept in a file, and so are the mids, so that the market opens where
it was. Without one, as in backtests, every start is the first.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from connectors.shared.account_file import AccountFile, account_path
from connectors.shared.venue_pump import VenuePump
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import VenueConnected, VenueSnapshot
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.ports.connector import ConnectorContext, VirtualVenue
from mm_daemon.simulation.embedded import EmbeddedMarket, EmbeddedSettings, EmbeddedSymbol
from mm_daemon.simulation.faults import FaultPlan
from mm_daemon.simulation.symbols import SymbolSettings, build_symbol

_MIDS_EVERY_NS = 1_000_000_000


class SimSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The embedded market's own keys."""

    seed: Annotated[int, Meta(ge=0, description="seed of the order flow; one seed is one history")] = 1
    entry_latency_ms: Annotated[
        float, Meta(ge=0, le=60000, description="time from the release of a command to its arrival, ms")
    ] = 2.0
    response_latency_ms: Annotated[
        float, Meta(ge=0, le=60000, description="time from a match or reply to our learning of it, ms")
    ] = 2.0
    feed_latency_ms: Annotated[
        float, Meta(ge=0, le=60000, description="time from a book change or trade to our learning of it, ms")
    ] = 1.0
    publish_interval_ms: Annotated[
        float, Meta(ge=1, le=60000, description="shortest time between two book updates of a symbol, ms")
    ] = 100.0
    faults: (
        Annotated[FaultPlan, Meta(description="what goes wrong, to see how it is dealt with; null = nothing")] | None
    ) = None
    symbols: Annotated[
        dict[str, SymbolSettings], Meta(description="keys of single symbols; the others take the defaults")
    ] = {}


class SimConnector:
    """The embedded market behind the connector port."""

    Settings: ClassVar[type[msgspec.Struct]] = SimSettings

    def __init__(self, context: ConnectorContext, settings: SimSettings | None = None) -> None:
        """Raises ConfigError when `symbols` names one that no market uses, JournalError when the account's file cannot
        be used."""
        settings = settings or SimSettings()
        for name in settings.symbols:
            if name not in context.symbols:
                known = ", ".join(context.symbols)
                raise ConfigError(f"venue {context.venue}: symbols.{name} belongs to no market; there are {known}")
        self._context = context
        file = (
            None
            if context.state_dir is None
            else AccountFile(account_path(context.state_dir, context.venue), context.venue)
        )
        symbols = [
            _reopened(build_symbol(context.venue, name, settings.symbols.get(name, SymbolSettings())), file)
            for name in context.symbols
        ]
        common = EmbeddedSettings(
            seed=settings.seed,
            opening=0 if file is None else file.openings - 1,
            entry_latency_ms=settings.entry_latency_ms,
            response_latency_ms=settings.response_latency_ms,
            feed_latency_ms=settings.feed_latency_ms,
            publish_interval_ms=settings.publish_interval_ms,
            faults=settings.faults,
        )
        self._market = EmbeddedMarket(context.venue, symbols, common)
        self.capabilities = self._market.capabilities()
        self._file = file
        self._mids_due_ns = 0
        if file is not None:
            self._market.account.note = file.add
            self._market.account.restore(file.history)
        self._pump = VenuePump(self._market, context, None if file is None else self._save)

    def instruments(self) -> Sequence[Instrument]:
        return self._market.instruments()

    def virtual(self) -> VirtualVenue:
        """The market itself, for a caller with a clock of its own; not to be mixed with `run`."""
        return self._market

    async def load_instruments(self) -> Sequence[Instrument]:
        return self._market.instruments()

    async def run(self) -> None:
        """Live with the clock until cancelled. The books are shown at once, and again when it is run again."""
        now_ns = self._context.now_ns()
        self._context.emit(VenueConnected(self._context.venue, now_ns, now_ns))
        self._market.show_books(now_ns)
        self._pump.turn(now_ns)
        await self._pump.run()

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        self._market.submit(commands, self._context.now_ns())
        self._pump.arm()

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        return self._market.snapshot(self._context.now_ns(), since_ns)

    async def query_order(self, client_id: ClientOrderId) -> None:
        self._market.query(client_id, self._context.now_ns())
        self._pump.arm()

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Orders die with the process: there is nothing to arm."""

    async def cancel_all(self) -> None:
        self._market.cancel_all(self._context.now_ns())
        self._pump.arm()

    def fronts(self) -> Mapping[ClientOrderId, float]:
        """Lots of others before each resting order of ours, for reports."""
        return self._market.fronts()

    async def close(self) -> None:
        self._pump.stop()
        self._market.close()
        if self._file is not None:
            self._note_mids()
            self._file.close()

    def _save(self, now_ns: int) -> None:
        """Put what the venue has booked into the file, and each second where its prices are."""
        assert self._file is not None
        if now_ns >= self._mids_due_ns:
            self._mids_due_ns = now_ns + _MIDS_EVERY_NS
            self._note_mids()
        self._file.save()

    def _note_mids(self) -> None:
        for instrument, half_ticks in self._market.mids().items():
            self._market.account.note_mid(instrument, half_ticks)


def _reopened(symbol: EmbeddedSymbol, file: AccountFile | None) -> EmbeddedSymbol:
    """The symbol with the price it was last seen at, if it was ever seen on this grid."""
    if file is None:
        return symbol
    instrument = symbol.instrument
    half_ticks, contract = file.history.mids.get(instrument.id), file.history.contracts.get(instrument.id)
    if half_ticks is None or contract is None or contract.tick != instrument.tick:
        return symbol
    return msgspec.structs.replace(symbol, start_price=instrument.tick * half_ticks / 2)
