"""Calibration of the simulation: what the queue models say of our own orders, against what became of them.

Every stay of an order at one price, from its arrival to the next amend, cancel or end, is put in line again for each
queue model (`simulation/models.py`, the very rules of backtests and paper mode): behind the size then displayed at its
price, moved by the prints and book changes of the journal.

    fill ratio  = size filled / size offered, over stays
    fill factor = size the venue filled / size the model fills
    mismatch    = mean over stays, weighted by size, of how far the model is from what happened, 0 to 1:
                  the venue filled, the model had not yet:  the share of its queue that the model still has before it
                  the model had filled, the venue not yet:  the share of the stay since the model's fill

The suggested model is the one with the least mismatch, with an interval by resampling stays. The fill factor alone does
not decide: a stay ends when the venue fills it, so a model that is too slow and one that is too quick can come to the
same sum.

A command is taken to arrive half the last round trip after its release, the size of our own orders is taken out of the
book where the venue shows it, and stays during which the book could not be trusted are left out. Orders of ours at
several prices are each offered the whole of a print, so with several levels the models look a little better than they
are.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from mm_daemon.backtest.queue.stays import EXPONENTS, MODELS, MarketStays, QueueWatcher, Stay
from mm_daemon.backtest.relived import relive_run
from mm_daemon.backtest.report import table
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.journal.segments import shown
from mm_daemon.simulation.models import QueueModel

_RESAMPLES = 1000
_SEED = 20240808
_LOW, _HIGH = 2.5, 97.5
_SURE = 0.975
_SHOWN = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0)
"""Of the table for people, the best one beside them; `--json` has all."""
_ENOUGH_FILLS = 20
_TELLING = 0.005
"""By how much the mismatches of the best and the worst model must differ before anything can be told."""
DISTANCES_BPS = (0.5, 1.0, 2.0, 4.0, 8.0)
QUEUES = (1.0, 10.0, 100.0)
"""Bounds of queue ahead, in sizes of the order."""


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Fill ratio with a 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Stays of one kind: how much of their size was filled, and would be by each model."""

    what: str
    stays: int
    venue: Ratio
    risk_averse: float | None
    suggested: float | None


class ModelFill(msgspec.Struct, frozen=True, kw_only=True):
    """One model on all stays."""

    model: str
    exponent: float
    filled: float
    """Base units."""
    ratio: float | None
    factor: float | None
    """Below 1, the model fills more than the venue did."""
    mismatch: float | None
    factor_low: float | None
    factor_high: float | None


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """What to write under `paper`."""

    queue_model: str
    queue_exponent: float
    low: float | None
    """95 % interval of the exponent; None: the bound is beyond the grid."""
    high: float | None
    certain: bool
    """Enough fills, and an interval within the grid."""
    why: str

    @property
    def yaml(self) -> str:
        lines = ["paper:", f"  queue_model: {self.queue_model}"]
        if self.queue_model != QueueModel.RISK_AVERSE:
            lines.append(f"  queue_exponent: {self.queue_exponent:g}")
        return "\n".join(lines)


class MarketQueue(msgspec.Struct, frozen=True, kw_only=True):
    market: str
    stays: int
    left_out: int
    """Stays during which the book was lost, or whose beginning is not known."""
    offered: float
    """Base units, each stay's size counted."""
    filled: float
    venue: Ratio
    models: tuple[ModelFill, ...]
    by_distance: tuple[Bin, ...]
    by_queue: tuple[Bin, ...]
    suggestion: Suggestion


class QueueReport(msgspec.Struct, frozen=True, kw_only=True):
    journal: str
    simulated: bool
    """The fills are a simulated venue's: what is found is its own model, not the market's."""
    markets: tuple[MarketQueue, ...]
    notes: tuple[str, ...]
    damaged: bool
    """The journal is: what stands behind the place is not in it."""

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


def calibrate_queue(path: Path) -> QueueReport:
    """Raises JournalError when the journal cannot be read."""
    watcher = QueueWatcher()
    run = relive_run(path, watcher)
    return QueueReport(
        journal=shown(run.path),
        simulated=watcher.simulated,
        markets=tuple(_assess(name, market) for name, market in watcher.markets.items()),
        notes=run.notes,
        damaged=run.damaged,
    )


class _Table:
    """The stays of a market as arrays, sizes in lots; `models` has a column for each of `MODELS`."""

    def __init__(self, stays: Sequence[Stay]) -> None:
        self.lots = np.array([stay.lots for stay in stays], dtype=np.float64)
        self.filled = np.array([min(stay.filled, stay.lots) for stay in stays], dtype=np.float64)
        self.models = np.array([stay.predicted for stay in stays], dtype=np.float64).reshape(len(stays), len(MODELS))
        self.mismatch = np.array([stay.mismatch for stay in stays], dtype=np.float64).reshape(len(stays), len(MODELS))
        self.distance = np.array([stay.distance_bps for stay in stays], dtype=np.float64)
        self.queue = np.array([stay.ahead / stay.lots for stay in stays], dtype=np.float64)


def _assess(name: InstrumentId, market: MarketStays) -> MarketQueue:
    lot = float(market.state.instrument.lot)
    table = _Table(market.done)
    draws = _resamples(table)
    suggestion, column = _suggest(table, draws)
    filled, predicted = float(table.filled.sum()), table.models.sum(axis=0)
    offered = float(table.lots.sum())
    models = []
    for number, (model, exponent) in enumerate(MODELS):
        total = float(predicted[number])
        low, high = _factor_interval(draws, number)
        models.append(
            ModelFill(
                model=str(model),
                exponent=exponent,
                filled=total * lot,
                ratio=total / offered if offered else None,
                factor=filled / total if total else None,
                mismatch=float(table.lots @ table.mismatch[:, number]) / offered if offered else None,
                factor_low=low,
                factor_high=high,
            )
        )
    return MarketQueue(
        market=name,
        stays=len(market.done),
        left_out=market.left_out,
        offered=offered * lot,
        filled=filled * lot,
        venue=_ratio(table.filled, table.lots),
        models=tuple(models),
        by_distance=tuple(_by_distance(table, column)),
        by_queue=tuple(_by_queue(table, column)),
        suggestion=suggestion,
    )


class _Draws:
    """Totals over resampled stays: filled by the venue, and of each model what it filled and how far off it was."""

    def __init__(self) -> None:
        self.filled = np.zeros(_RESAMPLES)
        self.models = np.zeros((_RESAMPLES, len(MODELS)))
        self.mismatch = np.zeros((_RESAMPLES, len(MODELS)))


def _resamples(table: _Table) -> _Draws:
    """The same stays give the same draws. Weights are Poisson's, which is resampling of many stays."""
    chance = np.random.default_rng(_SEED)
    draws = _Draws()
    for number in range(_RESAMPLES if len(table.lots) else 0):
        weights = chance.poisson(1.0, len(table.lots)).astype(np.float64)
        draws.filled[number] = weights @ table.filled
        draws.models[number] = weights @ table.models
        draws.mismatch[number] = (weights * table.lots) @ table.mismatch
    return draws


def _factor_interval(draws: _Draws, number: int) -> tuple[float | None, float | None]:
    known = draws.models[:, number] > 0.0
    if known.sum() < _RESAMPLES // 2:
        return None, None
    factors = draws.filled[known] / draws.models[known, number]
    low, high = np.percentile(factors, (_LOW, _HIGH))
    return float(low), float(high)


def _suggest(table: _Table, draws: _Draws) -> tuple[Suggestion, int]:
    """What to configure, and its column."""
    fills = int((table.filled > 0).sum())
    if not fills:
        return _careful(
            "no order of ours was filled: nothing can be told, and the careful model stays", certain=False
        ), 0
    mismatch = (table.lots @ table.mismatch) / table.lots.sum()
    if mismatch.max() - mismatch.min() < _TELLING:
        why = "the models say nearly the same of these orders, which cannot tell them apart: the careful one stays"
        return _careful(why, certain=False), 0
    best = int(np.argmin(mismatch))
    careful = float((np.argmin(draws.mismatch, axis=1) == 0).mean())
    few = "" if fills >= _ENOUGH_FILLS else f"; only {fills} stays were filled, {_ENOUGH_FILLS} say more"
    if best == 0:
        sure = careful > _SURE and fills >= _ENOUGH_FILLS
        return _careful(f"the careful model is nearest to what the venue did{few}", certain=sure), 0
    exponents = np.array(EXPONENTS)[np.argmin(draws.mismatch[:, 1:], axis=1)]
    low, high = (float(np.percentile(exponents, share, method="nearest")) for share in (_LOW, _HIGH))
    exponent = EXPONENTS[best - 1]
    inside = EXPONENTS[0] < low and high < EXPONENTS[-1]
    return (
        Suggestion(
            queue_model=str(QueueModel.POWER),
            queue_exponent=exponent,
            low=low if low > EXPONENTS[0] else None,
            high=high if high < EXPONENTS[-1] else None,
            certain=inside and careful < 1.0 - _SURE and fills >= _ENOUGH_FILLS,
            why=f"the power model with n = {exponent:g} is nearest to what the venue did{few}",
        ),
        best,
    )


def _careful(why: str, *, certain: bool) -> Suggestion:
    return Suggestion(
        queue_model=str(QueueModel.RISK_AVERSE), queue_exponent=1.0, low=None, high=None, certain=certain, why=why
    )


def _by_distance(table: _Table, column: int) -> Iterator[Bin]:
    bounds = (-np.inf, *DISTANCES_BPS, np.inf)
    for low, high in pairwise(bounds):
        word = (
            f"up to {high:g}" if low == -np.inf else f"{low:g} and more" if high == np.inf else f"{low:g} to {high:g}"
        )
        yield from _bin(table, (table.distance >= low) & (table.distance < high), f"{word} bps from the mid", column)


def _by_queue(table: _Table, column: int) -> Iterator[Bin]:
    yield from _bin(table, table.queue <= 0.0, "nobody ahead", column)
    for low, high in pairwise((0.0, *QUEUES, np.inf)):
        word = f"more than {low:g}" if high == np.inf else f"up to {high:g}"
        yield from _bin(table, (table.queue > low) & (table.queue <= high), f"{word} sizes ahead", column)


def _bin(table: _Table, chosen: NDArray[np.bool_], what: str, column: int) -> Iterator[Bin]:
    """Nothing where there is no such stay."""
    if chosen.any():
        lots = table.lots[chosen]
        offered = float(lots.sum())
        yield Bin(
            what=what,
            stays=int(chosen.sum()),
            venue=_ratio(table.filled[chosen], lots),
            risk_averse=float(table.models[chosen, 0].sum()) / offered,
            suggested=float(table.models[chosen, column].sum()) / offered,
        )


def _ratio(filled: NDArray[np.float64], lots: NDArray[np.float64]) -> Ratio:
    """Wilson's interval, for as many stays as were offered: a stay is nearly always filled wholly or not at all."""
    count, offered = len(lots), float(lots.sum())
    if not offered:
        return Ratio(value=None, low=None, high=None)
    share = float(filled.sum()) / offered
    z = 1.96
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    return Ratio(value=share, low=max(centre - half, 0.0), high=min(centre + half, 1.0))


# For people


def to_text(report: QueueReport) -> str:
    lines = [report.journal]
    lines += [f"note: {note}" for note in report.notes]
    if report.simulated:
        lines.append("note: these fills are a simulated venue's: its own queue model is found, not the market's")
    for market in report.markets:
        lines += ["", *_market_lines(market)]
    return "\n".join(lines)


def _market_lines(market: MarketQueue) -> list[str]:
    left_out = f", {market.left_out:,} left out" if market.left_out else ""
    lines = [
        f"{market.market}: {market.stays:,} stays of {market.offered:g} offered{left_out}; the venue filled "
        f"{market.filled:g}, {_percent(market.venue)}"
    ]
    if not market.stays:
        return lines
    rows: list[tuple[str, ...]] = [("model", "fills", "fill ratio", "mismatch", "fill factor", "95 %")]
    best = min((one.mismatch for one in market.models if one.mismatch is not None), default=None)
    for one in market.models:
        if one.exponent not in _SHOWN and one.mismatch != best:
            continue
        name = one.model if one.model == QueueModel.RISK_AVERSE else f"{one.model} {one.exponent:g}"
        interval = "-" if one.factor_low is None else f"{one.factor_low:.2f} to {one.factor_high:.2f}"
        factor = "-" if one.factor is None else f"{one.factor:.2f}"
        ratio = "-" if one.ratio is None else f"{one.ratio:.2%}"
        mismatch = "-" if one.mismatch is None else f"{one.mismatch:.4f}"
        rows.append((name, f"{one.filled:g}", ratio, mismatch, factor, interval))
    lines += [f"  {line}" for line in table(rows)]
    head = ("stays", "venue, 95 %", "risk_averse", "suggested")
    for title, bins in (("by distance", market.by_distance), ("by queue", market.by_queue)):
        rows = [(title, *head)]
        rows += [
            (one.what, f"{one.stays:,}", _percent(one.venue), f"{one.risk_averse:.2%}", f"{one.suggested:.2%}")
            for one in bins
        ]
        lines += ["", *(f"  {line}" for line in table(rows))]
    suggestion = market.suggestion
    told = ""
    if suggestion.queue_model != QueueModel.RISK_AVERSE:
        low = "below the grid" if suggestion.low is None else f"{suggestion.low:.2g}"
        high = "beyond it" if suggestion.high is None else f"{suggestion.high:.2g}"
        told = f" (95 %: {low} to {high})"
    sure = "" if suggestion.certain else ", not certain"
    lines += [
        "",
        f"  suggested{told}{sure}: {suggestion.why}",
        *(f"    {line}" for line in suggestion.yaml.split("\n")),
    ]
    return lines


def _percent(ratio: Ratio) -> str:
    if ratio.value is None:
        return "-"
    return f"{ratio.value:.2%} ({ratio.low:.2%} to {ratio.high:.2%})"
