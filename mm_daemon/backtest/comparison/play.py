"""One contender on one history of a scene: figures in, nothing kept."""

import msgspec

from mm_daemon.backtest.comparison.contenders import Contender
from mm_daemon.backtest.comparison.scenes import Scene, staged
from mm_daemon.backtest.comparison.watched import Observer, watched
from mm_daemon.backtest.runner import BacktestRunner
from mm_daemon.domain.orders import Side


class Figures(msgspec.Struct, frozen=True):
    """Of one run. Money in the quote currency, inventory in order sizes, markout in bps at ten seconds (positive: the
    fill earned), None without a fill that has lived so long.
    """

    scene: str
    contender: str
    seed: int
    seconds: float
    fills: int
    turnover: float
    spread: float
    inventory: float
    fees: float
    funding: float
    total: float
    held_orders: float
    """Mean of the absolute position over time."""
    markout_bps: float | None
    uptime: float


def play(scene: Scene, contender: Contender, seed: int) -> Figures:
    """Raises what a backtest raises."""
    parameters, sources = staged(scene, contender, seed)
    market = parameters.markets[0]
    instrument = market.instrument
    observer = Observer(market.limits.max_position_lots)
    venue = instrument.venue
    runner = BacktestRunner(parameters, {venue: watched(sources[venue], observer)}, duration_s=scene.seconds)
    observer.book = runner.core.markets[instrument.id].book
    report = runner.run()
    pnl = report.markets[0].pnl
    held = observer.held.figures(report.end_ns)
    sides = [observer.markouts.figures(side)[0] for side in (Side.BUY, Side.SELL)]
    seen = sum(side.fills for side in sides)
    return Figures(
        scene.title,
        contender.title,
        seed,
        report.data_seconds,
        report.fills,
        float(report.markets[0].volume),
        float(pnl.spread),
        float(pnl.inventory),
        float(pnl.fees),
        float(pnl.funding),
        float(pnl.total),
        0.0 if held is None else held.mean_abs / market.order_lots,
        sum(side.fills * (side.mean_bps or 0.0) for side in sides) / seen if seen else None,
        report.markets[0].quote_uptime,
    )
