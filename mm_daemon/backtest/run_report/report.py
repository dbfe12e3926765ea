"""The report of recorded runs: figures of each market, every one with its definition and how the journal gives it.

Built from `curves.read_curves`, so a backtest, a paper run and a live run are reported alike, and a backtest's figures
are those it printed itself. `figure_list.py` has the definitions. Money and sizes are exact decimals; the P&L of a run
that continued another is counted from what that one left.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mm_daemon.backtest.curves import MarketCurves, RunCurves, read_curves
from mm_daemon.backtest.curves.samples import Floats
from mm_daemon.backtest.relived import Relived
from mm_daemon.backtest.report import MarketReport, Pnl, market_report, money_of
from mm_daemon.domain.decisions import Action
from mm_daemon.domain.orders import Side
from mm_daemon.engine.markouts import MarkoutFigures
from mm_daemon.journal.segments import shown

_NS_PER_S = 1_000_000_000


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of `count` samples, by nearest rank: the least sample that a share q of all does not exceed. None: no sample."""

    count: int
    p50: float | None
    p90: float | None
    p99: float | None


class OrderFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The life of orders (`order_lives.py`)."""

    ack_ms: Quantiles
    amend_ms: Quantiles
    cancel_ms: Quantiles
    life_s: Quantiles
    queue_ahead: Quantiles
    first_fill_s: Quantiles


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """How long one decision stood on one side."""

    side: str
    action: str
    reason: str
    seconds: float
    share: float


class MarkoutPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Mean markout of our fills on one side, bps of the price, with its standard error."""

    side: str
    horizon_s: float
    fills: int
    mean_bps: float | None
    error_bps: float | None


class IntensityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """`lambda(delta) = A e^{-k delta}` of the market's taker orders, A per second and side, k in 1/bps."""

    orders: int
    A: float | None
    A_error: float | None
    k: float | None
    k_error: float | None
    r2: float
    refused: str | None


class RunMarket(msgspec.Struct, frozen=True, kw_only=True):
    """One market of a run."""

    market: str
    currency: str
    figures: MarketReport
    """What `mm-daemon backtest` prints; the P&L is that of this run alone."""
    locked_share: float
    """Share of time in which a lockout held a side, mean of both sides."""
    pulled_share: float
    """Share of time in which a side was withdrawn, mean of both sides."""
    standing: tuple[Share, ...]
    """Longest first."""
    markout_curve: tuple[MarkoutPoint, ...]
    orders: OrderFigures
    intensity: IntensityFigures
    max_position: float
    min_position: float

    @property
    def volume_bps(self) -> float | None:
        """P&L over notional traded, bps."""
        return float(1e4 * float(self.figures.pnl.total) / float(self.figures.volume)) if self.figures.volume else None

    @property
    def key(self) -> str:
        return self.market


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    name: str
    journal: str
    version: str
    start_ns: int
    stop_ns: int
    """When the run was asked to stop, or its journal ends: shares of time are counted up to here."""
    end_ns: int
    data_seconds: float
    records: int
    turns: int
    rows: int
    ended: str | None
    clean: bool | None
    notes: tuple[str, ...]
    damaged: bool
    """The journal is: figures count what stands before the place."""
    reasons: Mapping[str, int]
    refusals: Mapping[str, int]
    dropped: Mapping[str, int]
    markets: tuple[RunMarket, ...]


class Reported(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A report and the curves it is drawn from."""

    report: RunReport
    curves: RunCurves


def report_run(path: Path, *, name: str | None = None, points: int = 1000) -> Reported:
    """Raises JournalError when the journal cannot be read."""
    return build(read_curves(path, points=points), name=name or path.stem)


def report_runs(paths: Sequence[Path], *, points: int = 1000) -> list[Reported]:
    """Several, each with a name that tells it from the others. Raises JournalError."""
    return [report_run(path, name=name, points=points) for path, name in zip(paths, names_of(paths), strict=True)]


def names_of(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, and as much before it as tells them apart."""
    for depth in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    else:
        names = [f"{path} ({number})" for number, path in enumerate(paths, 1)]
    return [shown(name.removesuffix(".journal")) for name in names]


def build(curves: RunCurves, *, name: str) -> Reported:
    run, tally = curves.run, curves.tally
    markets = tuple(_market(curves, market, curves.markets[market]) for market in curves.markets)
    report = RunReport(
        name=name,
        journal=shown(run.path),
        version=run.version,
        start_ns=run.start_ns,
        stop_ns=run.stop_ns,
        end_ns=run.end_ns,
        data_seconds=(run.stop_ns - run.start_ns) / _NS_PER_S,
        records=run.records,
        turns=run.turns,
        rows=curves.rows,
        ended=run.ended,
        clean=run.clean,
        notes=run.notes,
        damaged=run.damaged,
        reasons=dict(sorted(tally.reasons.items())),
        refusals=dict(sorted(tally.refusals.items())),
        dropped=dict(sorted(tally.dropped.items())),
        markets=markets,
    )
    return Reported(report=report, curves=curves)


def _market(curves: RunCurves, name: str, market: MarketCurves) -> RunMarket:
    run: Relived = curves.run
    tally = curves.tally.markets[market.instrument.id]
    figures = market_report(name, tally, max(run.stop_ns - run.start_ns, 1), run.stop_ns)
    left = market.left
    if left is not None:
        position = tally.market.position
        parts = [
            position.spread_atto - left.spread_atto,
            position.inventory_atto - left.inventory_atto,
            position.fees_atto - left.fees_atto,
            position.funding_atto - left.funding_atto,
        ]
        figures = msgspec.structs.replace(
            figures,
            pnl=Pnl(money_of(sum(parts)), *(money_of(part) for part in parts)),
            cash=money_of(position.cash_atto - left.cash_atto),
            start_value=money_of(left.worth_atto),
        )
    standing = market.standing
    total_s = standing.total_s or math.inf
    shares = [
        Share(side=side, action=action, reason=reason, seconds=seconds, share=seconds / total_s)
        for (side, action, reason), seconds in standing.seconds.items()
    ]
    out = [one for one in shares if one.action in (Action.HOLD, Action.WITHDRAW) and one.reason in standing.by_reason]
    fit = market.intensity
    orders = market.orders
    return RunMarket(
        market=name,
        currency=market.currency,
        figures=figures,
        locked_share=math.fsum(one.share for one in out if one.action == Action.HOLD) / len(Side),
        pulled_share=math.fsum(one.share for one in out if one.action == Action.WITHDRAW) / len(Side),
        standing=tuple(sorted(shares, key=lambda one: (one.side, -one.seconds))),
        markout_curve=tuple(_point(side, one) for side, all_of in market.markouts.items() for one in all_of),
        orders=OrderFigures(
            ack_ms=quantiles(orders.ack_ms),
            amend_ms=quantiles(orders.amend_ms),
            cancel_ms=quantiles(orders.cancel_ms),
            life_s=quantiles(orders.life_s),
            queue_ahead=quantiles(orders.queue_ahead),
            first_fill_s=quantiles(orders.first_fill_s),
        ),
        intensity=IntensityFigures(
            orders=fit.orders,
            A=fit.A,
            A_error=fit.A_error,
            k=fit.k,
            k_error=fit.k_error,
            r2=fit.r2,
            refused=fit.refused,
        ),
        max_position=market.max_position,
        min_position=market.min_position,
    )


def _point(side: str, one: MarkoutFigures) -> MarkoutPoint:
    return MarkoutPoint(
        side=side,
        horizon_s=one.horizon_ns / _NS_PER_S,
        fills=one.fills,
        mean_bps=one.mean_bps,
        error_bps=one.error_bps,
    )


def quantiles(samples: Floats) -> Quantiles:
    ordered = sorted(float(value) for value in samples if value == value)
    ranks = (
        None if not ordered else ordered[max(math.ceil(share * len(ordered)), 1) - 1] for share in (0.5, 0.9, 0.99)
    )
    p50, p90, p99 = ranks
    return Quantiles(count=len(ordered), p50=p50, p90=p90, p99=p99)
