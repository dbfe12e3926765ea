"""The markets of a running daemon, as far as its status tells them: best prices, position, volatility.

What else it has measured (intensity, regime, momentum, flow, funding) is not in a status. Where that makes its quotes
others than those explained, a note says by how much.
"""

from decimal import Decimal

import msgspec

from mm_daemon.backtest.explain.explaining import explain
from mm_daemon.backtest.explain.explanation import MarketExplanation
from mm_daemon.backtest.explain.guards import Held
from mm_daemon.backtest.explain.market import Given, chosen_markets, held_of, told
from mm_daemon.backtest.explain.scene import Scene
from mm_daemon.core.parameters import CoreParameters, MarketParameters
from mm_daemon.domain.errors import UsageError
from mm_daemon.observability.status import MarketStatus, Status

_SOURCE = "the running daemon: its best prices, position and volatility"
_SAME_BPS = 1e-6


def scenes_of(parameters: CoreParameters, status: Status, given: Given, *, symbol: str | None = None) -> list[Scene]:
    """The daemon's markets; a position or a volatility that is given takes the place of the daemon's. Raises UsageError
    for a market that the daemon does not have.
    """
    chosen = chosen_markets(parameters.markets, symbol)
    if given.of_one_market and len(chosen) > 1:
        raise UsageError("a position is that of one market: say which with --symbol")
    return [_scene(market, _status_of(market, status), status.now_ns, given) for market in chosen]


def explain_daemon(scene: Scene, status: Status) -> MarketExplanation:
    """`explain`, and what the daemon itself says of its quotes."""
    explained = explain(scene)
    market = _status_of(scene.parameters, status)
    notes = [f"the daemon on its {side.side}: {side.words}" for side in (market.bid, market.ask) if side.words]
    if market.book.trouble is not None:
        notes.append(f"the daemon on its book: {market.book.trouble}")
    quotes, model = explained.quotes, market.model
    if quotes is not None and model.half_spread_bps is not None and model.skew_bps is not None:
        differs = max(
            abs(model.half_spread_bps - quotes.half_spread.total_bps), abs(model.skew_bps - quotes.skew.per_order_bps)
        )
        if differs > _SAME_BPS:
            notes.append(
                f"the daemon's half-spread is {model.half_spread_bps:.3f} bps and its skew {model.skew_bps:.3f} bps an "
                "order: it knows what a status does not tell, or was started with another configuration"
            )
    return msgspec.structs.replace(explained, notes=(*explained.notes, *notes))


def _scene(market: MarketParameters, status: MarketStatus, now_ns: int, given: Given) -> Scene:
    book = status.book
    position = Decimal(status.position) if given.position is None else given.position
    sigma_bps = status.model.sigma_bps if given.sigma_bps is None else given.sigma_bps
    of_daemon = Given(
        bid=_number(book.bid),
        ask=_number(book.ask),
        bid_size=_number(book.bid_size),
        ask_size=_number(book.ask_size),
        position=position,
        sigma_bps=sigma_bps,
    )
    scene = told(market, of_daemon, now_ns, _SOURCE, age_ms=book.age_ms or 0)
    return msgspec.structs.replace(scene, held=_held(market, status, given))


def _held(market: MarketParameters, status: MarketStatus, given: Given) -> Held:
    """What the daemon knows of its position and its day; what a person gives takes its place. A position of somebody
    else has neither the daemon's entry nor its age.
    """
    own, guard = held_of(market, given), status.guard
    of_daemon = given.position is None
    entry, tick = status.average_price, float(market.instrument.tick)
    if own.entry_ticks is None and of_daemon and entry is not None:
        own = msgspec.structs.replace(own, entry_ticks=entry / tick)
    if guard is not None:
        if own.day_loss is None and guard.day_result is not None:
            own = msgspec.structs.replace(own, day_loss=-float(guard.day_result), day_stopped=guard.day_stopped)
        if of_daemon:
            age_s = guard.age_s if own.age_s is None else own.age_s
            own = msgspec.structs.replace(own, age_s=age_s, stopped=guard.stopped and given.entry is None)
    return own


def _status_of(market: MarketParameters, status: Status) -> MarketStatus:
    contract = market.instrument
    for found in status.markets:
        if (found.venue, found.symbol) == (contract.venue, contract.symbol):
            return found
    raise UsageError(f"the running daemon does not have {contract.id}")


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
