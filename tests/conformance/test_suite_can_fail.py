"""The suite notices connectors that do what none may do: each is the neutral one with one thing wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from connectors.neutral.connector import NeutralConnector, NeutralSettings
from connectors.shared.ws_session import SessionLimits
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.errors import MmError
from mm_daemon.domain.events import BookInvalidated, CommandOutcomeUnknown, Event, OrderRejected
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import RejectKind
from mm_daemon.ports.connector import ConnectorContext
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit import conformance
from mm_daemon.testkit.conformance import ConnectorConformance, ConnectorUnderTest, Heard
from tests.conformance.test_neutral import NeutralHand
from tests.neutral import SECRETS, neutral_venue

_SUITE = ConnectorConformance()


class Guesses(NeutralConnector):
    """Takes what it does not know for a refusal."""

    def _emit(self, event: Event) -> None:
        if isinstance(event, CommandOutcomeUnknown):
            event = OrderRejected(event.instrument, 0, event.ts_local_ns, event.client_id, RejectKind.OTHER)
        super()._emit(event)


class Resends(NeutralConnector):
    """Sends again what got no answer."""

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        asked = self._rest.post

        async def insist(path: str, body: bytes = b"{}") -> bytes:
            try:
                return await asked(path, body)
            except MmError:
                return await asked(path, body)

        self._rest.post = insist  # type: ignore[method-assign]
        await super().send(commands)
        self._rest.post = asked  # type: ignore[method-assign]


class Forgets(NeutralConnector):
    """Takes a link that is back for one that was never gone."""

    async def _catch_up(self) -> None:
        self._missed = False
        self._link_is_up(0, self._context.now_ns())


class HidesGaps(NeutralConnector):
    """Keeps quiet about a book with a hole."""

    def _emit(self, event: Event) -> None:
        if not isinstance(event, BookInvalidated):
            super()._emit(event)


class Trusts(NeutralConnector):
    """Believes that a silent link is a healthy one."""

    def __init__(self, context: ConnectorContext, settings: NeutralSettings) -> None:
        super().__init__(context, settings)
        self._session._limits = SessionLimits(idle_s=600.0)


@asynccontextmanager
async def _live(kind: type[NeutralConnector]) -> AsyncIterator[ConnectorUnderTest]:
    clock, heard = Clock(), Heard()
    async with neutral_venue(clock=clock) as control:
        context = ConnectorContext(
            venue=Venue("neutral"),
            symbols=("BTC-USDT",),
            emit=heard.put,
            now_ns=clock.now_ns,
            delay_s=clock.delay_s,
            secrets=SECRETS,
        )
        connector = kind(context, NeutralSettings(url=control.url))
        tested = ConnectorUnderTest(connector, heard, NeutralHand(control), clock.now_ns)
        async with tested.running() as live:
            yield live


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (Guesses, _SUITE.test_lost_reply_is_unknown_and_asking_tells),
        (Guesses, _SUITE.test_server_error_is_unknown_and_nobody_guesses),
        (Resends, _SUITE.test_lost_reply_is_unknown_and_asking_tells),
        (Forgets, _SUITE.test_link_that_comes_back_tells_what_was_missed),
        (HidesGaps, _SUITE.test_gap_voids_the_book_until_a_snapshot),
        (Trusts, _SUITE.test_half_open_link_is_noticed),
    ],
    ids=lambda value: value.__name__,
)
async def test_wrong_connector_is_noticed(
    kind: type[NeutralConnector],
    case: Callable[[ConnectorUnderTest], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The right one passes these cases, this one does not."""
    monkeypatch.setattr(conformance, "PATIENCE_S", 2.5)
    async with _live(kind) as live:
        with pytest.raises((AssertionError, pytest.fail.Exception)):
            await case(live)
