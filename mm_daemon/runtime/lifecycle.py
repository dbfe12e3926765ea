"""How a run begins and how it ends: what must hold before the first quote, and that no order stays behind.

`StopRequest` collects the wish to stop; `stop_cleanly` carries it out: the core allows cancels only and cancels all,
and each venue's own snapshot has to confirm it before the deadline. `keep_reconciled` compares in between.
`cancel_without_core` is for the day the core itself is broken. Called by `runtime/app.py`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from mm_daemon.core.parameters import CoreParameters, OrderRules
from mm_daemon.domain.capabilities import Capabilities, Validity
from mm_daemon.domain.errors import MmError, ReconciliationFailed, VenueUnreachable
from mm_daemon.domain.events import Event, ShutdownRequested, VenueSnapshot, VenueSnapshotReceived
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.ports.connector import Connector

HURRY_S = 1.0
"""What a second signal leaves of the deadline."""
_START_TIMEOUT_S = 20.0
_ANSWER_TIMEOUT_S = 3.0
_LOOK_S = 0.02
_PUSH_S = 2.0
"""Cancels are repeated at least so often while a stop is not confirmed ..."""
_LEAST_PUSH_S = 0.2
"""... and at most so often, when its time is nearly over."""
_LEFTOVER_TRIES = 10
_UNSETTLED_ROUND_S = 1.0
_NO_FILLS_NS = 1 << 62
_FORGOTTEN_LOOK_S = 0.5
_NS_PER_MS = 1_000_000


class StopRequest:
    """Whether, why and until when the run is to stop. Later requests never lengthen the time."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._asked = asyncio.Event()
        self.reason = ""
        self.deadline_s = float("inf")
        """On the event loop's clock."""

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self, reason: str) -> None:
        """The first request opens the time to cancel and confirm."""
        if not self.asked:
            self.reason = reason
            self.deadline_s = asyncio.get_running_loop().time() + self._timeout_s
            self._asked.set()

    def hurry(self, reason: str) -> None:
        """A person asked; asking again shortens what is left, and skips nothing."""
        if self.asked:
            self.deadline_s = min(self.deadline_s, asyncio.get_running_loop().time() + HURRY_S)
        else:
            self.ask(reason)

    async def wait(self) -> None:
        await self._asked.wait()


class Stoppable(Protocol):
    """What a stop needs to know of the core."""

    @property
    def stopped(self) -> bool:
        """No order of ours may be alive any more."""
        ...


class Reconcilable(Protocol):
    """What a comparison with the venues needs to know of the core."""

    @property
    def reconciled(self) -> bool:
        """Every market agrees with its venue."""
        ...

    def fills_since_ns(self, venue: Venue) -> int | None:
        """From what venue time on fills are wanted; None: this venue was never met, and its fills are none of ours."""
        ...


async def load_instruments(connectors: Mapping[Venue, Connector]) -> list[Instrument]:
    """The definitions of every venue's symbols. Raises VenueUnreachable, CredentialsRefused or ConfigError."""
    instruments: list[Instrument] = []
    for venue, connector in connectors.items():
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                instruments += await connector.load_instruments()
        except TimeoutError:
            raise VenueUnreachable(f"{venue} did not name its instruments within {_START_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise VenueUnreachable(f"{venue} cannot be reached: {error}") from error
    return instruments


async def outlast_forgotten(
    parameters: CoreParameters, connectors: Mapping[Venue, Connector], waiting: Callable[[], None] = lambda: None
) -> None:
    """After a power cut: wait, by each venue's own time, until nothing can land any more that was sent and forgotten.

    What was written within the last second of a machine's life may not be on its disk, a place under way among it. It
    was sent before now, so it is void when its validity is over (EXECUTION 2, V). What has landed by then is cancelled
    while we wait, and what is left is seen by the comparison that follows. `waiting` is called at every look. Raises
    VenueUnreachable.
    """
    for venue, connector in connectors.items():
        capabilities = parameters.venues.get(venue, connector.capabilities)
        if capabilities.simulated:
            continue  # it went down with us, and everything that was under way to it
        begin = await _ask(venue, connector)
        now = begin
        while not _is_over(parameters.orders, capabilities, begin, now):
            if _ours(now):
                await _cancel_leftovers(venue, connector)
            waiting()
            await asyncio.sleep(_FORGOTTEN_LOOK_S)
            now = await _ask(venue, connector)


def _is_over(rules: OrderRules, capabilities: Capabilities, begin: VenueSnapshot, now: VenueSnapshot) -> bool:
    """Whether everything that was sent before `begin` is void by `now`."""
    if capabilities.validity is Validity.HEIGHT and begin.height is not None and now.height is not None:
        most = capabilities.max_order_blocks
        return now.height > begin.height + (rules.order_blocks if most is None else most)
    if capabilities.validity is Validity.DELAY or capabilities.validity is Validity.HEIGHT:
        longest_ms = capabilities.d_max_ms
    else:
        longest_ms = max(rules.action_ttl_ms, capabilities.action_ttl_floor_ms) + capabilities.validity_margin_ms
    return now.ts_venue_ns > begin.ts_venue_ns + longest_ms * _NS_PER_MS


async def clear_leftovers(
    core: Reconcilable,
    connectors: Mapping[Venue, Connector],
    emit: Callable[[Event], None],
    now_ns: Callable[[], int],
    *,
    adopt: bool = False,
) -> None:
    """Look at every venue before anything is quoted, and cancel orders of ours that an earlier run left behind, or
    leave them for the core to `adopt`.

    That snapshot, with the fills since the core's cursor, goes into the inbox: the core starts a market when it agrees.
    Raises VenueUnreachable or ReconciliationFailed.
    """
    for venue, connector in connectors.items():
        for _ in range(_LEFTOVER_TRIES):
            snapshot = await _ask(venue, connector, core.fills_since_ns(venue))
            if adopt or not _ours(snapshot):
                emit(VenueSnapshotReceived(venue, snapshot.ts_venue_ns, now_ns(), snapshot))
                break
            await _cancel_leftovers(venue, connector)
            await asyncio.sleep(_PUSH_S / _LEFTOVER_TRIES)
        else:
            raise ReconciliationFailed(
                f"{venue} still shows open orders of an earlier run after {_LEFTOVER_TRIES} cancels; "
                "cancel them at the venue, then start again"
            )


async def _cancel_leftovers(venue: Venue, connector: Connector) -> None:
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            await connector.cancel_all()
    except TimeoutError:
        raise VenueUnreachable(f"{venue} did not take a cancel-all within {_ANSWER_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise VenueUnreachable(f"{venue} did not cancel what an earlier run left: {error}") from error


async def keep_reconciled(
    core: Reconcilable,
    connectors: Mapping[Venue, Connector],
    *,
    emit: Callable[[Event], None],
    now_ns: Callable[[], int],
    interval_s: float,
    start_timeout_s: float,
    on_never: Callable[[], None],
    log: FilteringBoundLogger,
) -> None:
    """Show the core its venues' accounts every `interval_s`, and every second while it does not agree with one (R12).

    `on_never` is called, once, when it has not agreed with all of them within `start_timeout_s` of the start.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + start_timeout_s
    next_round_s = loop.time() + interval_s
    agreed_once = False
    while True:
        await asyncio.sleep(_UNSETTLED_ROUND_S)
        agreed_once = agreed_once or core.reconciled
        if not agreed_once and loop.time() >= give_up_s:
            on_never()
            return
        if core.reconciled and loop.time() < next_round_s:
            continue
        next_round_s = loop.time() + interval_s
        for venue, connector in connectors.items():
            try:
                snapshot = await _ask(venue, connector, core.fills_since_ns(venue))
            except MmError as error:
                log.warning("unconfirmed", venue=venue, text=f"the account cannot be compared: {error}")
            else:
                emit(VenueSnapshotReceived(venue, snapshot.ts_venue_ns, now_ns(), snapshot))


async def stop_cleanly(
    core: Stoppable,
    connectors: Mapping[Venue, Connector],
    request: StopRequest,
    *,
    emit: Callable[[Event], None],
    now_ns: Callable[[], int],
    log: FilteringBoundLogger,
) -> bool:
    """Cancel everything and have it confirmed. True when no venue shows an open order of ours any more.

    A cancel may be lost, or overtake the order that it is for, and its answer may take longer than a stop has: each
    venue is asked again when half of the time that was left is over, and at least every two seconds.
    """
    loop = asyncio.get_running_loop()
    emit(ShutdownRequested(now_ns(), request.reason))
    pushed_s = loop.time()
    while True:
        await asyncio.sleep(_LOOK_S)
        if core.stopped and await _confirmed(connectors.items(), log):
            return True
        if loop.time() >= request.deadline_s:
            log.error("not_confirmed", text="the time to stop is over and orders may still be open")
            return False
        pause_s = min(_PUSH_S, max(_LEAST_PUSH_S, (request.deadline_s - pushed_s) / 2))
        if loop.time() >= pushed_s + pause_s:
            pushed_s = loop.time()
            await cancel_without_core(connectors, log)


async def cancel_without_core(connectors: Mapping[Venue, Connector], log: FilteringBoundLogger) -> bool:
    """Ask each venue to cancel the whole account, whatever state we are in. True when all took the request."""
    taken = True
    for venue, connector in connectors.items():
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await connector.cancel_all()
        except Exception as error:  # the last resort: say it, and go on with the next venue
            taken = False
            log.error("cancel_all_failed", venue=venue, text=f"cancel-all failed: {type(error).__name__}: {error}")
    return taken


async def _confirmed(connectors: Iterable[tuple[Venue, Connector]], log: FilteringBoundLogger) -> bool:
    for venue, connector in connectors:
        try:
            snapshot = await _ask(venue, connector)
        except MmError as error:
            log.warning("unconfirmed", venue=venue, text=f"open orders cannot be confirmed: {error}")
            return False
        if _ours(snapshot):
            return False
    return True


async def confirmed_empty(venue: Venue, connector: Connector) -> bool:
    """Whether the venue shows no open order on the account, whoever placed it. Raises VenueUnreachable."""
    return not (await _ask(venue, connector)).orders


async def _ask(venue: Venue, connector: Connector, since_ns: int | None = None) -> VenueSnapshot:
    """`since_ns` None asks for no fills."""
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            return await connector.snapshot(_NO_FILLS_NS if since_ns is None else since_ns)
    except TimeoutError:
        raise VenueUnreachable(f"{venue} did not name its open orders within {_ANSWER_TIMEOUT_S:g} s") from None
    except OSError as error:
        raise VenueUnreachable(f"{venue} did not name its open orders: {error}") from error


def _ours(snapshot: VenueSnapshot) -> bool:
    return any(order.client_id is not None for order in snapshot.orders)
