"""Who may stop the core, and what an operator may change of it: the kill latch and what sets it, pauses, other
parameters, the end.

Limits on losses live in `risk/gate.py`, what makes us distrust ourselves in `core/safeguards.py`; here is what follows.
Owned by `TradingCore`.
"""

from collections.abc import Callable, Mapping

from mm_daemon.core.agenda import Agenda
from mm_daemon.core.checkpoint import reconfigure
from mm_daemon.core.dispatch import Dispatch
from mm_daemon.core.market import MarketState
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.safeguards import Safeguards
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.errors import CoreError
from mm_daemon.domain.events import (
    CoreFailed,
    LoopLagged,
    OperatorAction,
    OperatorRequest,
    ParametersChanged,
    ShutdownRequested,
)
from mm_daemon.engine.pricing_model import ModelFactory
from mm_daemon.risk.gate import RiskGate

LOSS_LIMIT = "loss limit"
"""Why the gate latches when money was lost."""

_PAUSED = Reason.OPERATOR_PAUSED.bit
_DISABLED = Reason.MARKET_DISABLED.bit
_SHUTDOWN = Reason.SHUTDOWN.bit
_KILLED = Reason.KILL_LATCHED.bit
_LOOP_STALL = Reason.LOOP_STALL.bit
_PAUSING = (OperatorAction.PAUSE, OperatorAction.FLATTEN, OperatorAction.CANCEL_ALL)
_FLATTENING = (*_PAUSING, OperatorAction.RESUME, OperatorAction.CLEAR_KILL)
"""Words that may begin or end the working off of a position."""


class Control:
    def __init__(
        self,
        parameters: CoreParameters,
        models: Mapping[str, ModelFactory],
        agenda: Agenda,
        gate: RiskGate,
        safeguards: Safeguards,
        dispatch: Dispatch,
    ) -> None:
        self.parameters = parameters
        self._models = models
        self._agenda = agenda
        self._gate = gate
        self._safeguards = safeguards
        self._dispatch = dispatch
        self.changed_parameters: str | None = None
        """What `parameters` have become in this life, where they did."""
        self._equity_atto: int | None = None
        """What the account was worth when it was last counted; None: not counted in this life."""

    def handlers(self) -> dict[type, Callable[..., None]]:
        return {
            CoreFailed: self._on_core_failed,
            LoopLagged: self._on_loop_lagged,
            OperatorRequest: self._on_operator,
            ParametersChanged: self._on_parameters,
            ShutdownRequested: self._on_shutdown,
        }

    def open(self) -> None:
        """A life begins, with the latch and the operator's words of the one before."""
        for market in self._agenda.markets.values():
            if self._gate.latched is not None:
                market.halts |= _KILLED
                market.flattening |= self.parameters.account.flatten_on_kill
            _heed_operator(market)

    # The kill latch

    def latch(self, cause: str) -> None:
        """Stop quoting everywhere until an operator clears it."""
        self._gate.latch(cause)
        for market in self._agenda.markets.values():
            market.halts |= _KILLED
            market.flattening |= self._gate.account.flatten_on_kill
            self._agenda.reconsider(market)
        self._dispatch.cancel_everything(Reason.KILL_LATCHED, self._agenda.now_ns)

    def heed_gate(self) -> None:
        """The gate latches by itself where it meets a loss limit: the rest of a latch follows."""
        cause = self._gate.latched
        if cause is not None and not all(market.halts & _KILLED for market in self._agenda.markets.values()):
            self.latch(cause)

    def distrust(self, cause: str | None) -> None:
        """Something went wrong too often, or too far: nothing is quoted until an operator has looked."""
        if cause is not None and self._gate.latched is None:
            self.latch(cause)

    def check_equity(self, now_ns: int) -> None:
        """What the account is worth now, all of it at once: what one market lost another may have won."""
        agenda = self._agenda
        if self._equity_atto is None:
            self._equity_atto = 0
            for market in agenda.markets.values():
                market.worth_atto = 0
            agenda.revalued.update(agenda.markets)
        for market in agenda.revalued.values():
            self._equity_atto += market.reassess()
        agenda.revalued.clear()
        if self._gate.set_equity(self._equity_atto, now_ns):
            self.latch(LOSS_LIMIT)

    def recount(self) -> None:
        """What the account is worth has to be counted from the beginning."""
        self._equity_atto = None

    def may_flatten(self) -> bool:
        """Whether positions that are wanted gone may be worked off now."""
        return self._gate.latched is None or self._gate.account.flatten_on_kill

    # Events

    def _on_core_failed(self, event: CoreFailed) -> None:
        self.distrust(f"exception in the core: {event.text}")

    def _on_loop_lagged(self, event: LoopLagged) -> None:
        """We were late, so what we know may be old: everything is pulled until we have kept time for a while (R14)."""
        for market in self._agenda.markets.values():
            market.halts = market.halts | _LOOP_STALL if event.late_ms else market.halts & ~_LOOP_STALL
            self._agenda.reconsider(market)

    def _on_operator(self, event: OperatorRequest) -> None:
        action, markets = event.action, self._agenda.markets
        meant = markets.values() if event.instrument is None else (markets[event.instrument],)
        if action is OperatorAction.KILL:
            self.latch(f"operator {event.who}")
        elif action is OperatorAction.CLEAR_KILL:
            self._gate.clear()
            self._safeguards.clear()
        elif action is OperatorAction.CANCEL_ALL:
            self._dispatch.cancel_everything(Reason.OPERATOR_CANCEL, event.ts_local_ns)
        for market in meant:
            if action in _PAUSING:
                market.paused = True
                market.flatten_asked = action is OperatorAction.FLATTEN
            elif action is OperatorAction.RESUME:
                market.paused = market.flatten_asked = False
            elif action is OperatorAction.CLEAR_KILL:
                market.halts &= ~_KILLED
            elif action is OperatorAction.ENABLE:
                market.enabled = True
            elif action is OperatorAction.DISABLE:
                market.enabled = False
            if action in _FLATTENING:  # what a kill began goes on until it is cleared, whatever is paused or resumed
                market.flattening = market.flatten_asked or self._kill_flattens
            _heed_operator(market)
            self._agenda.reconsider(market)

    @property
    def _kill_flattens(self) -> bool:
        return self._gate.latched is not None and self._gate.account.flatten_on_kill

    def _on_parameters(self, event: ParametersChanged) -> None:
        """The configuration was read again. Raises DomainError for parameters that contradict each other, CoreError
        for other markets or contracts than we began with: whoever sent it should have looked.
        """
        parameters, markets = CoreParameters.from_json(event.parameters), self._agenda.markets
        if [market.instrument for market in parameters.markets] != [each.instrument for each in markets.values()]:
            raise CoreError("changed parameters name other markets or contracts than those of the start")
        flattens = parameters.account.flatten_on_kill and not self._gate.account.flatten_on_kill
        self.parameters, self.changed_parameters = parameters, event.parameters
        self._gate.limit(parameters.account)
        self._safeguards.limit(parameters)
        self.recount()
        for wanted in parameters.markets:
            market = markets[wanted.instrument.id]
            if flattens and self._gate.latched is not None:
                market.flattening = True
                self._agenda.reconsider(market)
            if wanted == market.configured:
                continue
            if wanted.quoting.enabled is not market.parameters.quoting.enabled:
                market.enabled = None  # the newer word counts
            reconfigure(market, wanted, self._models, event.ts_local_ns)
            _heed_operator(market)
            self._agenda.reconsider(market)

    def _on_shutdown(self, event: ShutdownRequested) -> None:
        self._gate.cancels_only = True
        for market in self._agenda.markets.values():
            market.halts |= _SHUTDOWN
            self._agenda.reconsider(market)
        self._dispatch.cancel_everything(Reason.SHUTDOWN, event.ts_local_ns)


def _heed_operator(market: MarketState) -> None:
    """Let the market's halts say what operator and configuration want of it."""
    market.halts &= ~(_PAUSED | _DISABLED)
    if market.paused:
        market.halts |= _PAUSED
    enabled = market.parameters.quoting.enabled if market.enabled is None else market.enabled
    if not enabled:
        market.halts |= _DISABLED
