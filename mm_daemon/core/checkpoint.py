"""One market's state in a `Checkpoint`, and a market taken up from it: after a death, or with other parameters.

Books, decisions and deadlines are not in it: they follow from the events of the next life.
"""

from collections.abc import Mapping

import msgspec

from mm_daemon.core.market import MarketState
from mm_daemon.core.parameters import MarketParameters
from mm_daemon.domain.checkpoint import MarketCheckpoint
from mm_daemon.domain.errors import ReconciliationFailed
from mm_daemon.domain.instrument import Instrument
from mm_daemon.engine.pricing_model import ModelFactory


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
        market.paused,
        market.engine.conditions.state(),
        None if market.guard is None else market.guard.state(),
        market.enabled,
        market.flatten_asked,
        market.sized_half_ticks,
        None if market.engine.depth_cap is None else market.engine.depth_cap.state(),
        market.engine.conditions.overlays(),
        market.facts.boxed_lots,
    )


def take_up(market: MarketState, state: MarketCheckpoint, as_of_ns: int) -> None:
    """Continue a market of an earlier life, which left `state` at `as_of_ns`. A calibration file that is newer knows
    volatility and intensity better; an older one does not.

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
    market.facts.boxed_lots = state.boxed_lots
    if market.parameters.money is not None and state.sized_half_ticks is not None:
        market.size_at(state.sized_half_ticks)
    if market.engine.depth_cap is not None and state.depth_cap is not None:
        market.engine.depth_cap.restore(state.depth_cap)
    market.lockouts.restore(state.lockouts)
    market.facts.reconciling = market.lockouts.holds_all
    conditions, signals, warm = market.engine.conditions, state.signals, market.parameters.warm
    if warm is None or warm.at_ns <= as_of_ns:
        market.engine.volatility.restore(state.volatility)
    elif signals is not None and conditions.signals is not None:
        signals = msgspec.structs.replace(signals, intensity=conditions.signals.intensity.state())
    conditions.restore(signals)
    if state.overlays is not None:
        conditions.restore_overlays(state.overlays)
    if market.guard is not None and state.guard is not None:
        market.guard.restore(state.guard, market.position)
    market.paused = bool(state.paused)
    market.enabled = state.enabled
    # What a kill began is not kept: the latch says it again. Whoever asks for it, asks for a pause too.
    market.flattening = market.flatten_asked = state.flattening and market.paused


def reconfigure(
    market: MarketState, parameters: MarketParameters, models: Mapping[str, ModelFactory], now_ns: int
) -> None:
    """Go on with other parameters and all that was learned so far. Raises DomainError, with nothing changed, for
    parameters that contradict each other.
    """
    known, funding = market_checkpoint(market), market.engine.conditions.funding
    market.configure(parameters, models)
    take_up(market, known, now_ns)
    if market.engine.depth_cap is not None:
        market.engine.depth_cap.settle()
    if funding is not None:
        market.engine.conditions.on_funding(funding)
