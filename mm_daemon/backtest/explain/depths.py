"""How far a model's quotes would be from the fair price at every inventory, and where GLFT's would be."""

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.explain.scene import Scene
from mm_daemon.core.market import MarketState
from mm_daemon.domain.errors import DomainError
from mm_daemon.engine.quote_engine import QuoteEngine

GLFT = "glft"
_POINTS = 240
"""At most about so many inventories are asked for; a limit of fewer lots is asked at each of them."""


class DepthPoint(msgspec.Struct, frozen=True):
    """Unrounded distances from the fair price in bps, a bid's positive below it, an ask's above it, at a position in
    base units. `bid_quoted`, `ask_quoted`: whether that side would be there.
    """

    position: float
    bid_bps: float
    ask_bps: float
    bid_quoted: bool
    ask_quoted: bool


class DepthCurves(msgspec.Struct, frozen=True):
    """From the smallest to the largest position, without those at which nothing would be priced."""

    model: tuple[DepthPoint, ...]
    glft: tuple[DepthPoint, ...]
    """What the same configuration would do with `model: glft`; empty where that is the model, or has no quotes."""


def depths_by_inventory(scene: Scene) -> DepthCurves:
    other = None if scene.parameters.quoting.model == GLFT else _glft(scene)
    return DepthCurves(_points(scene, scene.engine), () if other is None else _points(scene, other))


def _points(scene: Scene, engine: QuoteEngine) -> tuple[DepthPoint, ...]:
    limits, contract = scene.parameters.limits, scene.parameters.instrument
    lowest, highest = limits.min_position_lots, limits.max_position_lots
    step = max(1, (highest - lowest) // _POINTS)
    points = []
    for lots in sorted({*range(lowest, highest + 1, step), highest, 0}):
        priced = engine.price(scene.book, lots, scene.now_ns) if scene.book.trusted else 0
        if not isinstance(priced, int):
            bid, ask = priced.bid, priced.ask
            at = float(contract.size(lots))
            points.append(DepthPoint(at, bid.depth_bps, ask.depth_bps, not bid.obstacles, not ask.obstacles))
    return tuple(points)


def _glft(scene: Scene) -> QuoteEngine | None:
    """GLFT in the same market, with what the present engine has learned; None where it cannot do what is meant."""
    quoting = msgspec.structs.replace(scene.parameters.quoting, model=GLFT)
    parameters = msgspec.structs.replace(scene.parameters, quoting=quoting, money=None)
    try:
        market = MarketState(parameters, registry.PricingModels())
    except DomainError:
        return None
    engine = market.engine
    engine.volatility, engine.depth_cap = scene.engine.volatility, scene.engine.depth_cap
    if engine.k == scene.engine.k:
        engine.conditions, engine.adjusted = scene.engine.conditions, scene.engine.adjusted
    return engine
