"""The rules of the daemon, each broken in one way while it runs: what the simulation has to notice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mm_daemon.core import market_decision, order_table, reliving
from mm_daemon.core.control import Control
from mm_daemon.core.ledger_order import LedgerOrder
from mm_daemon.core.market import MarketState
from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.orders import InFlight, Phase, Side
from mm_daemon.journal import recovery
from mm_daemon.journal.run_writer import RunWriter
from mm_daemon.risk import checks
from mm_daemon.risk.gate import RiskGate
from mm_daemon.runtime import gateway

Mutant = Callable[[], AbstractContextManager[None]]
MUTANTS: dict[str, Mutant] = {}


def mutant(name: str) -> Callable[[Mutant], Mutant]:
    def register(make: Mutant) -> Mutant:
        MUTANTS[name] = make
        return make

    return register


@contextmanager
def patched(owner: Any, name: str, new: Any) -> Iterator[None]:
    real = owner.__dict__[name]
    setattr(owner, name, new)
    try:
        yield
    finally:
        setattr(owner, name, real)


@contextmanager
def _quotes_never_fitted() -> Iterator[None]:
    """Decisions leave limits to the gate, as they once did: else nothing reaches it that it would refuse."""
    with (
        patched(market_decision, "_fitted", lambda market, quote, rests, room: quote),
        patched(market_decision, "_takes_room", lambda *_: True),
    ):
        yield


@mutant("the position limit is not asked")
@contextmanager
def no_position_limit() -> Iterator[None]:
    with _quotes_never_fitted(), patched(checks, "within_position_limits", lambda *_: True):
        yield


@mutant("the worst case has its sign turned")
@contextmanager
def worst_case_sign() -> Iterator[None]:
    def turned(position: int, buys: int, sells: int, new_buys: int = 0, new_sells: int = 0) -> tuple[int, int]:
        return position - buys - new_buys, position + sells + new_sells

    with _quotes_never_fitted(), patched(checks, "worst_case", turned):
        yield


@mutant("what open orders may add to a side is not summed up")
def nothing_is_summed() -> AbstractContextManager[None]:
    return patched(OrderLedger, "_count", staticmethod(lambda *_: None))


def _exposure(change: Callable[[LedgerOrder, int, int], int]) -> AbstractContextManager[None]:
    real = LedgerOrder.exposure_with

    def changed(self: LedgerOrder, pend_lots: int) -> int:
        return change(self, pend_lots, real(self, pend_lots))

    return patched(LedgerOrder, "exposure_with", changed)


@mutant("an order of unknown outcome does not count")
def unknown_is_nothing() -> AbstractContextManager[None]:
    return _exposure(lambda order, pend, real: 0 if order.phase is Phase.UNKNOWN else real)


@mutant("a cancel that is on its way frees its order's exposure")
def cancel_frees() -> AbstractContextManager[None]:
    return _exposure(lambda order, pend, real: 0 if order.cancel is not InFlight.NONE else real)


@mutant("an amend that makes a new order counts the larger of the two")
def fresh_counts_the_larger() -> AbstractContextManager[None]:
    def larger(order: LedgerOrder, pend: int, real: int) -> int:
        return max(pend, real - pend) if order.fresh and pend else real

    return _exposure(larger)


@mutant("an acknowledgement that is late means that the order is dead")
def silence_is_death() -> AbstractContextManager[None]:
    row = order_table.Row.PLACE_UNKNOWN
    cells = list(order_table._TABLE[row])
    cells[1] = lambda order, report, change: order.finish(Phase.ABSENT)

    @contextmanager
    def replaced() -> Iterator[None]:
        real = order_table._TABLE[row]
        order_table._TABLE[row] = tuple(cells)  # type: ignore[assignment]
        try:
            yield
        finally:
            order_table._TABLE[row] = real

    return replaced()


@mutant("a fill that comes twice counts twice")
def duplicates_count() -> AbstractContextManager[None]:
    real = OrderLedger._apply_fill

    def twice(self: OrderLedger, event: Any) -> Any:
        self._market(event.instrument).fill_keys.discard(event.fill_key)
        return real(self, event)

    return patched(OrderLedger, "_apply_fill", twice)


@mutant("what is final is forgotten at once")
def forgetful() -> AbstractContextManager[None]:
    real = OrderLedger._forget
    return patched(OrderLedger, "_forget", lambda self, now_ns: real(self, now_ns + self._keep_ns))


@mutant("a restart forgets which fills it has booked")
def fills_forgotten_by_a_restart() -> AbstractContextManager[None]:
    real = OrderLedger.restore

    def forgetting(self: OrderLedger, state: Any) -> Any:
        alive = real(self, state)
        for market in self._markets.values():
            market.fill_keys.clear()
        return alive

    return patched(OrderLedger, "restore", forgetting)


@mutant("a restart forgets what had been sent")
def sent_forgotten_by_a_restart() -> AbstractContextManager[None]:
    real = reliving.relive

    def forgetting(core: TradingCore, record: Any) -> None:
        if not isinstance(record, ApprovedCommand):
            real(core, record)

    return patched(recovery, "relive", forgetting)


@mutant("what fails to be sent is sent again")
def resent() -> AbstractContextManager[None]:
    real = gateway._carried

    async def twice(connector: Any, batch: Sequence[ApprovedCommand]) -> None:
        try:
            await real(connector, batch)
        except OSError:
            await real(connector, batch)

    return patched(gateway, "_carried", twice)


@mutant("commands leave before they are written down")
def not_written() -> AbstractContextManager[None]:
    real = RunWriter.flush
    count = 0

    def late(self: RunWriter) -> None:
        nonlocal count
        count += 1
        if count % 2:
            real(self)

    return patched(RunWriter, "flush", late)


@mutant("the kill latch ends with the process")
def latch_not_kept() -> AbstractContextManager[None]:
    real = RiskGate.restore

    def open_again(self: RiskGate, state: Any) -> None:
        real(self, state)
        self.latched = None

    return patched(RiskGate, "restore", open_again)


@mutant("the kill switch switches nothing off")
def kill_is_nothing() -> AbstractContextManager[None]:
    return patched(RiskGate, "latch", lambda self, reason: None)


@mutant("a stop goes on quoting")
def stop_quotes() -> AbstractContextManager[None]:
    return patched(Control, "_on_shutdown", lambda self, event: None)


@mutant("an old book is as good as a new one")
def old_books() -> AbstractContextManager[None]:
    real = MarketState.configure

    def patient(self: MarketState, *arguments: Any) -> None:
        real(self, *arguments)
        self.max_book_age_ns = 1 << 61

    return patched(MarketState, "configure", patient)


@mutant("a fill is booked on the other side")
def turned_fills() -> AbstractContextManager[None]:
    real = OrderLedger._apply_fill

    def turned(self: OrderLedger, event: Any) -> Any:
        change = real(self, event)
        if event.side is Side.SELL:
            change.fill_lots = -change.fill_lots
        return change

    return patched(OrderLedger, "_apply_fill", turned)


@mutant("a journal that cannot be written is no reason to stop")
def failed_disk_ignored() -> AbstractContextManager[None]:
    real = RunWriter.flush

    def deaf(self: RunWriter) -> None:
        try:
            real(self)
        except JournalError:
            self._failed = None

    return patched(RunWriter, "flush", deaf)


@mutant("a limit that the gate meets first leaves the quotes standing")
def gate_latch_not_heeded() -> AbstractContextManager[None]:
    return patched(Control, "heed_gate", lambda self: None)


@mutant("a trade segment is not on the disk when the next begins")
def segments_left_behind() -> AbstractContextManager[None]:
    real = RunWriter._next

    def hasty(self: RunWriter, full: Any) -> Any:
        disk, self._on = self._on, _NeverSyncs(self._on)  # type: ignore[assignment]
        try:
            return real(self, full)
        finally:
            self._on = disk

    return patched(RunWriter, "_next", hasty)


class _NeverSyncs:
    """A disk for which nobody waits."""

    def __init__(self, disk: Any) -> None:
        self._disk = disk

    def sync(self, fd: int) -> None: ...

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)
