"""`PaperConnector`: another connector's market data, with our orders executed by `SimulatedVenue` in this process.

The application builds the inner connector with `emit` leading to `receive`, and this one around it. The inner connector
never sees a command; what it says about a real account is not passed on, because that account is not ours here. Ours
is kept in a file where there is a `state_dir`: orders die with the process, positions, cash and history do not.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from connectors.shared.account_file import AccountFile, account_path
from connectors.shared.venue_pump import VenuePump
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    Event,
    LinkEvent,
    MarketEvent,
    VenueSnapshot,
)
from mm_daemon.domain.instrument import Instrument
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.ports.connector import CatchesUp, Connector, ConnectorContext
from mm_daemon.simulation.fee_tiers import on_tier
from mm_daemon.simulation.policy import VenuePolicy, paper_capabilities
from mm_daemon.simulation.venue import SimulatedVenue

_MARKET = MarketEvent.__args__
_LINK = LinkEvent.__args__


class PaperConnector:
    """Market data of `inner`, orders of ours nowhere but here. Its settings are the assumptions about the venue."""

    Settings: ClassVar[type[msgspec.Struct]] = VenuePolicy

    def __init__(self, context: ConnectorContext, settings: VenuePolicy, inner: Connector) -> None:
        """Raises JournalError when the account's file cannot be used."""
        self._context = context
        self._inner = inner
        self._policy = settings
        self.capabilities = paper_capabilities(settings, inner.capabilities)
        self._venue = SimulatedVenue(context.venue, (), settings)
        self._file: AccountFile | None = None
        if context.state_dir is not None:
            self._file = AccountFile(account_path(context.state_dir, context.venue), context.venue)
            self._venue.account.note = self._file.add
            self._venue.account.restore(self._file.history)
        self._pump = VenuePump(self._venue, context, self._save, self._catch_up)
        self.withheld = 0
        """Events of the inner connector about a real account that were not passed on."""

    @property
    def inner(self) -> Connector:
        return self._inner

    def receive(self, event: Event) -> None:
        """An event of the inner connector. What our venue has to say of the time before it is said first, so that the
        core sees the order of a backtest, however late a timer is."""
        if isinstance(event, _MARKET):
            self._pump.turn(event.ts_local_ns - 1)
            self._venue.on_market(event)
            self._context.emit(event)
            self._pump.turn(event.ts_local_ns)
        elif isinstance(event, _LINK):
            self._context.emit(event)
        else:
            self.withheld += 1

    async def load_instruments(self) -> Sequence[Instrument]:
        """The inner connector's definitions; raises what it raises, and ConfigError when the account holds a position
        in lots of another size."""
        policy = self._policy
        instruments = [
            on_tier(instrument, policy.fee_tiers, policy.fee_tier_volume)
            for instrument in await self._inner.load_instruments()
        ]
        for instrument in instruments:
            if instrument.venue != self._context.venue:
                raise ConfigError(f"{instrument.id} does not belong to venue {self._context.venue}")
            self._venue.add(instrument)
        return instruments

    async def run(self) -> None:
        """As long as the inner connector runs. Commands are answered before and after, until `close`."""
        await self._inner.run()

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        self._venue.submit(commands, self._context.now_ns())
        self._pump.arm()

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        return self._venue.snapshot(self._context.now_ns(), since_ns)

    async def query_order(self, client_id: ClientOrderId) -> None:
        self._venue.query(client_id, self._context.now_ns())
        self._pump.arm()

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Orders die with the process: there is nothing to arm."""

    async def cancel_all(self) -> None:
        self._venue.cancel_all(self._context.now_ns())
        self._pump.arm()

    def fronts(self) -> Mapping[ClientOrderId, float]:
        """Lots of others before each resting order of ours, for reports."""
        return self._venue.fronts()

    async def close(self) -> None:
        self._pump.stop()
        self._venue.close()
        if self._file is not None:
            self._file.close()
        await self._inner.close()

    def _catch_up(self, until_ns: int) -> None:
        """A recording that plays late is not overtaken by what our venue does later; nobody can ask that of a live
        feed."""
        if isinstance(self._inner, CatchesUp):
            self._inner.catch_up(until_ns)

    def _save(self, now_ns: int) -> None:
        if self._file is not None:
            self._file.save()
