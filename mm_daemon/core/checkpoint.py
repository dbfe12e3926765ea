"""One market's state in a `Checkpoint`, and a market taken up from it.

Books, decisions and deadlines are not in it: they follow from the events of the next life.
"""

from mm_daemon.core.market import MarketState
from mm_daemon.domain.checkpoint import MarketCheckpoint
from mm_daemon.domain.errors import ReconciliationFailed
from mm_daemon.domain.instrument import Instrument


def grid(instrument: Instrument) -> str:
    """What one tick and one lot are, in one word: state counted in them is void on another grid."""
    numbers = (instrument.tick, instrument.lot, instrument.multiplier)
    return "/".join(f"{number.normalize():f}" for number in numbers)


def market_checkpoint(market: MarketState) -> MarketCheckpoint:
    return MarketCheckpoint(
        market.id,
        grid(market.instrument),
        market.position.state(),
        market.lockouts.state(),
        market.engine.volatility.state(),
        market.operator_paused,
        market.engine.conditions.state(),
        None if market.guard is None else market.guard.state(),
    )


def take_up(market: MarketState, state: MarketCheckpoint) -> None:
    """Continue a market of an earlier life.

    Raises ReconciliationFailed when it holds a position in other units than the contract has now.
    """
    now_grid = grid(market.instrument)
    if state.grid != now_grid:
        if state.position.lots:
            raise ReconciliationFailed(
                f"{market.id}: the last run left {state.position.lots} lots counted in tick/lot/multiplier "
                f"{state.grid}, and the contract now has {now_grid}; put the old contract back, close the position, "
                "or start with another state_dir"
            )
        return
    market.position.restore(state.position)
    market.facts.position_lots = market.position.lots
    market.lockouts.restore(state.lockouts)
    market.facts.reconciling = market.lockouts.holds_all
    market.engine.volatility.restore(state.volatility)
    market.engine.conditions.restore(state.signals)
    if market.guard is not None and state.guard is not None:
        market.guard.restore(state.guard, market.position)
    market.operator_paused = state.paused
