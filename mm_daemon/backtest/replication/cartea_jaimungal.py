"""What Cartea and Jaimungal's optimal quotes earn, against what their value function says (MODELS 8.3).

The book prints figures, no table; the model checks itself: from a flat start the expected profit less both penalties is
h(0, 0). Raising the running penalty phi buys less risk with less profit, the book's trade-off.
"""

from collections.abc import Iterable
from itertools import pairwise

import msgspec
import numpy as np

from mm_daemon.backtest.replication.simulation import Market, Policy, moments, poisson_fills, simulate
from mm_daemon.engine.models import cartea_jaimungal

KAPPA, LAM, ALPHA, BOUND = 100.0, 1.0, 1e-4, 5
MARKET = Market(sigma=0.01, A=LAM, k=KAPPA, horizon=30.0, steps=1500)
PENALTIES = (0.0, 1e-4, 1e-3, 5e-3)
_STEP_BIAS = 0.01
"""Part of h(0, 0) that steps of dt may cost: each side fills once at most, and the inventory is held to their ends."""


class Row(msgspec.Struct, frozen=True):
    """`h`: h(0, 0); `objective`: mean of profit less penalties over the paths, with its standard error; `pnl`: the
    profit itself; `std_final_q`: of the inventory at the end. `ok`: the objective is h but for chance and the steps.
    """

    phi: float
    h: float
    objective: float
    se: float
    mean_pnl: float
    std_pnl: float
    std_final_q: float
    ok: bool


class Report(msgspec.Struct, frozen=True):
    """`ok`: every row is, and profit and risk fall with every rise of the penalty."""

    paths: int
    seed: int
    rows: tuple[Row, ...]
    ok: bool

    def to_json(self) -> bytes:
        """One JSON object."""
        return msgspec.json.encode(self)

    def to_text(self) -> str:
        """The table, and whether the simulation earns what the value function says."""
        lines = [
            f"Cartea and Jaimungal, from flat over {MARKET.horizon:g} s: {self.paths} paths, seed {self.seed}",
            f"{'phi':>8}{'h(0,0)':>10}{'simulated':>20}{'mean P&L':>10}{'std P&L':>10}{'std Q_T':>10}",
        ]
        for row in self.rows:
            lines.append(
                f"{row.phi:>8g}{row.h:>10.5f}{f'{row.objective:.5f} ± {row.se:.5f}':>20}"
                f"{row.mean_pnl:>10.4f}{row.std_pnl:>10.4f}{row.std_final_q:>10.2f}{'' if row.ok else ' (!)'}"
            )
        lines.append(
            "the policy earns h(0,0), and more penalty is less profit and less risk"
            if self.ok
            else "the simulation does NOT confirm the model"
        )
        return "\n".join(lines)


def replicate(penalties: Iterable[float] = PENALTIES, *, paths: int = 10_000, seed: int = 1) -> Report:
    """The optimal policy for each running penalty, `paths` of each."""
    rows = tuple(_row(phi, paths, seed) for phi in sorted(penalties))
    trade_off = all(
        calmer.mean_pnl < bolder.mean_pnl and calmer.std_pnl < bolder.std_pnl for bolder, calmer in pairwise(rows)
    )
    return Report(paths, seed, rows, trade_off and all(row.ok for row in rows))


def policy(phi: float) -> Policy:
    """The optimal quotes for a running penalty, from T seconds left at the first step to dt at the last."""
    return _policy(_schedule(phi))


def _schedule(phi: float) -> tuple[cartea_jaimungal.CjSolution, ...]:
    return cartea_jaimungal.schedule(KAPPA, LAM, LAM, phi, ALPHA, BOUND, MARKET.horizon, MARKET.steps)


def _policy(schedule: tuple[cartea_jaimungal.CjSolution, ...]) -> Policy:
    remaining = [solution.table for solution in schedule[:0:-1]]
    return Policy(
        np.array([[*table.bids, np.inf] for table in remaining]),
        np.array([[np.inf, *table.asks] for table in remaining]),
    )


def _row(phi: float, paths: int, seed: int) -> Row:
    schedule = _schedule(phi)
    outcome = simulate(_policy(schedule), MARKET, poisson_fills, paths=paths, seed=seed)
    penalised = outcome.profit - ALPHA * outcome.final_q**2 - phi * outcome.squared_inventory
    objective, pnl = moments(penalised), moments(outcome.profit)
    values = schedule[-1].h
    assert values is not None  # there is a horizon
    h, se = values[BOUND], objective.mean_se(paths)
    ok = abs(objective.mean - h) <= 4.0 * se + _STEP_BIAS * h
    return Row(phi, h, objective.mean, se, pnl.mean, pnl.std, moments(outcome.final_q).std, ok)
