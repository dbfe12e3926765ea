"""What people do: operators, whoever edits the configuration, and whoever looks after the machine."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mm_daemon.domain.events import OperatorAction, OrderResolved, Resolution
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Phase
from mm_daemon.domain.rng import Rng
from mm_daemon.dst import coverage
from mm_daemon.dst.chance import chance, pick
from mm_daemon.dst.checks import Checks
from mm_daemon.dst.configuration import Document
from mm_daemon.dst.coverage import Coverage
from mm_daemon.dst.scenario import Scenario
from mm_daemon.dst.venue import ReferenceVenue
from mm_daemon.dst.watched import WatchedDaemon
from mm_daemon.testkit.virtual_loop import VirtualLoop


class Office(Protocol):
    """Where they sit."""

    scenario: Scenario
    loop: VirtualLoop
    venue: ReferenceVenue
    checks: Checks
    cover: Coverage
    wall_offset_ns: int
    """How far the machine's clock was set."""

    @property
    def daemon(self) -> WatchedDaemon | None:
        """The one that runs, if one does."""
        ...

    @property
    def shifts(self) -> int:
        """How often a position was changed without a fill."""
        ...

    def write_config(self, document: Document) -> None: ...
    def ask_to_stop(self) -> None: ...


class People:
    def __init__(self, office: Office, rng: Rng) -> None:
        self._office = office
        self._rng = rng
        self._document: Document = office.scenario.document

    def actions(self) -> dict[str, Callable[[], None]]:
        """What each does, by name."""
        return {
            "process stalled": self._stall,
            "wall clock stepped": self._step_clock,
            "pause": lambda: self._operate(OperatorAction.PAUSE, OperatorAction.RESUME),
            "disable": lambda: self._operate(OperatorAction.DISABLE, OperatorAction.ENABLE),
            "flatten": lambda: self._operate(OperatorAction.FLATTEN, OperatorAction.RESUME),
            "cancel all": lambda: self._operate(OperatorAction.CANCEL_ALL, OperatorAction.RESUME, everywhere=True),
            "kill": lambda: self._operate(OperatorAction.KILL, OperatorAction.CLEAR_KILL, everywhere=True),
            "configuration changed": self._change_config,
            "stop asked": self._office.ask_to_stop,
            "resolve": self._resolve,
            "adopt": self._adopt,
        }

    def _instrument(self) -> InstrumentId:
        return pick(self._rng, self._office.scenario.ids)

    def _stall(self) -> None:
        """Nothing in the process runs for a while."""
        self._office.loop.elapsed_ns += pick(self._rng, (200, 900, 4000)) * 1_000_000

    def _step_clock(self) -> None:
        """The system's clock is set; the monotonic one goes on."""
        self._office.wall_offset_ns += pick(self._rng, (-3600, -10, -1, 1, 10, 3600)) * 1_000_000_000

    def _operate(self, does: OperatorAction, undoes: OperatorAction, *, everywhere: bool = False) -> None:
        if self._office.daemon is None:
            return
        named = everywhere or (chance(self._rng, 50) and does is not OperatorAction.DISABLE)
        instrument = None if named else self._instrument()
        self._office.daemon.operate(does, instrument)
        self._office.loop.call_later(0.2 + self._rng.uniform() * 4, self._undo, undoes, instrument)

    def _undo(self, action: OperatorAction, instrument: InstrumentId | None) -> None:
        if self._office.daemon is None:
            self._office.loop.call_later(1.0, self._undo, action, instrument)
        else:
            self._office.daemon.operate(action, instrument)

    def _resolve(self) -> None:
        """A person looks at the venue and says, truly, how an order in doubt has ended."""
        daemon, checks = self._office.daemon, self._office.checks
        dead, filled = checks.resolvable()
        if daemon is None or not (dead or filled):
            return
        outcome = Resolution.FILLED if filled and (not dead or chance(self._rng, 70)) else Resolution.DEAD
        client_id = self._most_doubtful(filled if outcome is Resolution.FILLED else dead)
        if outcome is Resolution.FILLED:
            checks.declared.add(client_id)
        self._office.cover.hit(coverage.OPERATOR, f"resolve {outcome}")
        daemon.say(lambda now_ns: OrderResolved(now_ns, client_id, outcome, "dst", "seen at the venue"))

    def _most_doubtful(self, orders: Sequence[ClientOrderId]) -> ClientOrderId:
        """One that was not even answered, if there is one."""
        core = self._office.checks.core
        assert core is not None
        sent = [each for each in orders if (order := core.ledger.get(each)) is not None and order.phase is Phase.SENT]
        return pick(self._rng, sent or orders)

    def _adopt(self) -> None:
        """A person declares the venue's position right."""
        instrument = self._instrument()
        if self._office.daemon is not None and self._office.shifts:
            self._office.cover.hit(coverage.OPERATOR, "adopt")
            self._office.daemon.adopt(instrument)

    def _change_config(self) -> None:
        """A person edits the file, sometimes badly, and says so."""
        rng = self._rng
        document = dict(self._document)
        if chance(rng, 30):
            document["risk"] = {
                **document["risk"],
                pick(rng, ("max_loss", "max_drawdown")): pick(rng, (0.01, 0.01, 1e5)),
            }
        else:
            document["markets"] = markets = [dict(market) for market in document["markets"]]
            market = pick(rng, markets)
            key, values = pick(rng, _CHANGES)
            if key in ("max_position", "order_size"):
                lots = max(1, round(float(market["order_size"]) * 100 * pick(rng, values)))
                market[key] = lots / 100
            else:
                market[key] = pick(rng, values)
        self._document = document
        self._office.write_config(document)
        if self._office.daemon is not None:
            self._office.daemon.read_again()

    def mend_config(self) -> bool:
        """The daemon does not start with what the file says: a person takes the changes back, if there were any."""
        if self._document is self._office.scenario.document:
            return False
        self._document = self._office.scenario.document
        self._office.write_config(self._document)
        return True


_CHANGES: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("half_spread_bps", (1, 3, 6)),
    ("levels", (1, 2, 4)),
    ("enabled", (True, False, True)),
    ("fill_lockout_ms", (0, 100)),
    ("collar_bps", (10, 100, 500)),
    ("actions_per_minute", (10, 100)),
    ("max_position", (1, 2, 4)),
    ("order_size", (0.5, 1)),
    ("max_spread_bps", (-1,)),
)
