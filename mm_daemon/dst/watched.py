"""The daemon itself, with somebody who looks after every turn and can do what a person can."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.events import Event, OperatorAction, OperatorRequest, PositionAdopted
from mm_daemon.domain.instrument import InstrumentId, Venue
from mm_daemon.dst.rogue import Rogue
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.state_dir import StateDir


class Watcher(Protocol):
    """Who is told what the daemon does."""

    def life_begins(self, daemon: "WatchedDaemon") -> None: ...
    def after_turn(self, turn: Turn, events: Sequence[Event]) -> None: ...
    def asked(self, action: OperatorAction) -> None: ...
    def rogue(self, core: TradingCore) -> Rogue | None:
        """A strategy of nobody's making inside the core's turn, where the scenario has one."""
        ...


class WatchedDaemon(Daemon):
    def watch(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._begun = False

    @property
    def core(self) -> TradingCore:
        return self._core

    def _wire(self, state: StateDir, capabilities: Mapping[Venue, Capabilities]) -> None:
        super()._wire(state, capabilities)
        rogue = self._watcher.rogue(self._core)
        if rogue is not None:
            self._loop._core = rogue

    def look(self) -> None:
        """Status, metrics and every view of the page: who looks must change nothing, as no replay knows of it."""
        self.view.status()
        self.view.metrics.text_at_once()
        self.view.page().at_once()

    def _after_turn(self, turn: Turn, urgent: Sequence[Event]) -> None:
        super()._after_turn(turn, urgent)
        if not self._begun:
            self._begun = True
            self._watcher.life_begins(self)
        self._watcher.after_turn(turn, urgent)

    def _listen_to_signals(self) -> None:
        """Signals belong to whoever runs the simulation."""

    def operate(self, action: OperatorAction, instrument: InstrumentId | None = None) -> None:
        self._watcher.asked(action)
        self.inbox.put(OperatorRequest(self._clock.now_ns(), action, "dst", instrument))

    def say(self, event: Callable[[int], Event]) -> None:
        """Something that a person tells, by the daemon's clock."""
        self.inbox.put(event(self._clock.now_ns()))

    def adopt(self, instrument: InstrumentId) -> None:
        self.say(lambda now_ns: PositionAdopted(now_ns, instrument, "dst"))

    def ask_to_stop(self, reason: str) -> None:
        self._stop.hurry(reason)

    def read_again(self) -> None:
        self.reloader.ask("SIGHUP")
