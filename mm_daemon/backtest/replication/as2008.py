"""Tables 1-3 of Avellaneda and Stoikov (Quantitative Finance 8(3), 2008, pp. 222-223), simulated again (MODELS 8.1).

Their inventory strategy against quotes of the same average spread around the mid. The fill rule, `min(1, lambda dt)`,
is part of what is replicated: with `1 - e^{-lambda dt}` the profit would be about an eighth lower.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from mm_daemon.backtest.replication.simulation import (
    Market,
    Moments,
    Policy,
    first_order_fills,
    linear_policy,
    moments,
    simulate,
)
from mm_daemon.engine.models import avellaneda_stoikov

MARKET = Market(sigma=2.0, A=140.0, k=1.5, horizon=1.0, steps=200)
_BOUND = 120
"""Wider than any path goes: the symmetric strategy's inventory has a standard deviation of 9."""
_PUBLISHED_PATHS = 1000
_ROUNDING = 0.05
"""The tables have one decimal."""


class Figures(msgspec.Struct, frozen=True):
    """The columns of a table."""

    profit: float
    std_profit: float
    final_q: float
    std_final_q: float


class Published(msgspec.Struct, frozen=True):
    """A row as printed."""

    table: int
    gamma: float
    strategy: str
    avg_spread: float
    figures: Figures


PUBLISHED = (
    Published(1, 0.1, "inventory", 1.49, Figures(65.0, 6.6, 0.08, 2.9)),
    Published(1, 0.1, "symmetric", 1.49, Figures(68.4, 12.7, 0.26, 8.4)),
    Published(2, 0.01, "inventory", 1.35, Figures(68.6, 8.7, 0.12, 5.1)),
    Published(2, 0.01, "symmetric", 1.35, Figures(68.8, 12.8, 0.09, 8.7)),
    Published(3, 1.0, "inventory", 3.02, Figures(31.4, 5.0, 0.02, 1.7)),
    Published(3, 1.0, "symmetric", 3.02, Figures(44.0, 11.0, 0.00, 5.1)),
)
GAMMAS = tuple(dict.fromkeys(row.gamma for row in PUBLISHED))

_REFERENCE_PATHS = 200_000
_REFERENCE = {
    (0.1, "inventory"): Figures(64.8807, 6.5537, 0.0024, 2.9275),
    (0.1, "symmetric"): Figures(68.2115, 13.4698, 0.0193, 8.3989),
}
"""An independent simulation of as many paths, from MODELS 8.1; for the other gammas there is none to compare with."""


class Check(msgspec.Struct, frozen=True):
    """One comparison of the acceptance rule: `difference` may be up to `allowed`, either way."""

    what: str
    difference: float
    allowed: float
    ok: bool

    def __str__(self) -> str:
        """For people."""
        return f"{self.what}: off by {self.difference:.3f}, allowed {self.allowed:.3f}"


class Row(msgspec.Struct, frozen=True):
    """One strategy: our figures and their standard errors, and how far the published are off in standard errors of the
    1000 paths they were taken from.
    """

    table: int
    gamma: float
    strategy: str
    avg_spread: float
    published_avg_spread: float
    ours: Figures
    standard_errors: Figures
    kurt_profit: float
    kurt_q: float
    published: Figures
    published_off: Figures
    reference: Figures | None
    checks: tuple[Check, ...]

    def to_lines(self) -> Iterator[str]:
        """The row for people."""
        own = zip(msgspec.structs.astuple(self.ours), msgspec.structs.astuple(self.standard_errors), strict=True)
        yield f"Table {self.table}, gamma {self.gamma:g}, {self.strategy}"
        yield _line("ours ± standard error", f"{self.avg_spread:.3f}", *(f"{x:.2f} ± {se:.2f}" for x, se in own))
        published = msgspec.structs.astuple(self.published)
        yield _line("published", f"{self.published_avg_spread:g}", *(f"{x:g}" for x in published))
        off = msgspec.structs.astuple(self.published_off)
        yield _line("off, in se of 1000 paths", "", *(f"{x:+.1f}" for x in off))
        if self.reference is not None:
            yield _line("reference, 200000 paths", "", *(f"{x:.2f}" for x in msgspec.structs.astuple(self.reference)))


class Report(msgspec.Struct, frozen=True):
    """The replication; `ok` when every check of every row and between rows holds."""

    paths: int
    seed: int
    rows: tuple[Row, ...]
    checks: tuple[Check, ...]
    ok: bool

    def to_json(self) -> bytes:
        """One JSON object."""
        return msgspec.json.encode(self)

    def to_text(self) -> str:
        """The tables, ours above the published, and the verdicts."""
        head = ("", "spread", "profit", "std(profit)", "final q", "std(final q)")
        lines = [
            f"Avellaneda and Stoikov (2008), Tables 1-3: {self.paths} paths, seed {self.seed}",
            _line(*head),
            *(line for row in self.rows for line in row.to_lines()),
            *(f"{check.what}: {check.difference:.3f}, at most {check.allowed:g}" for check in self.checks),
        ]
        failed = [f"gamma {row.gamma:g} {row.strategy}: {c}" for row in self.rows for c in row.checks if not c.ok]
        failed += [str(check) for check in self.checks if not check.ok]
        count = sum(len(row.checks) for row in self.rows) + len(self.checks)
        lines.append(f"{count - len(failed)} of {count} comparisons within the acceptance rule")
        return "\n".join((*lines, *failed))


def _line(title: str, *cells: str) -> str:
    return f"  {title:<26}" + "".join(f"{cell:>15}" for cell in cells)


def replicate(gammas: Iterable[float] = GAMMAS, *, paths: int = 20_000, seed: int = 1) -> Report:
    """Both strategies at each gamma of the paper, `paths` of each."""
    rows = tuple(
        _row(published, paths, seed) for gamma in gammas for published in PUBLISHED if published.gamma == gamma
    )
    checks = tuple(_halved_risk(rows))
    ok = all(check.ok for row in rows for check in row.checks) and all(check.ok for check in checks)
    return Report(paths, seed, rows, checks, ok)


def policy(gamma: float, strategy: str) -> Policy:
    """The paper's two strategies. `inventory`: tau from T at the first step to dt at the last; `symmetric`: the average
    spread of that over the steps, at any inventory.
    """
    if strategy == "symmetric":
        half = 0.5 * avellaneda_stoikov.symmetric(0.0, gamma, MARKET.sigma, MARKET.horizon, MARKET.dt, MARKET.k).spread
        return linear_policy([half], [0.0], _BOUND)
    return inventory_policy(MARKET, gamma, remaining(MARKET), _BOUND)


def remaining(market: Market) -> list[float]:
    """Seconds left at the beginning of each step."""
    return [market.horizon - step * market.dt for step in range(market.steps)]


def inventory_policy(market: Market, gamma: float, taus: Sequence[float], bound: int) -> Policy:
    """The paper's quotes (eq. 29-30) with `taus` seconds left, one for each step or one for all."""
    flat = [avellaneda_stoikov.finite(0.0, 0.0, gamma, market.sigma, tau, market.k).spread / 2.0 for tau in taus]
    return linear_policy(flat, [avellaneda_stoikov.skew(gamma, market.sigma, tau) for tau in taus], bound)


def _row(published: Published, paths: int, seed: int) -> Row:
    quotes = policy(published.gamma, published.strategy)
    outcome = simulate(quotes, MARKET, first_order_fills, paths=paths, seed=seed)
    profit, final_q = moments(outcome.profit), moments(outcome.final_q)
    ours = Figures(profit.mean, profit.std, final_q.mean, final_q.std)
    theirs = _standard_errors(profit, final_q, _PUBLISHED_PATHS)
    reference = _REFERENCE.get((published.gamma, published.strategy))
    checks = list(_against_published(ours, published.figures, theirs, paths))
    if reference is not None:
        checks += _against_reference(ours, reference, profit, final_q, paths)
    return Row(
        table=published.table,
        gamma=published.gamma,
        strategy=published.strategy,
        avg_spread=float((quotes.bids + quotes.asks).mean()),
        published_avg_spread=published.avg_spread,
        ours=ours,
        standard_errors=_standard_errors(profit, final_q, paths),
        kurt_profit=profit.kurtosis,
        kurt_q=final_q.kurtosis,
        published=published.figures,
        published_off=Figures(
            *(
                (getattr(published.figures, name) - getattr(ours, name)) / getattr(theirs, name)
                for name in Figures.__struct_fields__
            )
        ),
        reference=reference,
        checks=tuple(checks),
    )


def _standard_errors(profit: Moments, final_q: Moments, paths: int) -> Figures:
    return Figures(
        profit.mean_se(paths),
        profit.std * profit.relative_std_se(paths),
        final_q.mean_se(paths),
        final_q.std * final_q.relative_std_se(paths),
    )


def _check(what: str, difference: float, allowed: float) -> Check:
    return Check(what, difference, allowed, abs(difference) <= allowed)


def _against_published(ours: Figures, published: Figures, theirs: Figures, paths: int) -> Iterable[Check]:
    """Within three standard errors of 1000 paths, to which our own paths add theirs, and the rounding."""
    own = math.sqrt(1.0 + _PUBLISHED_PATHS / paths)
    for name in Figures.__struct_fields__:
        allowed = 3.0 * own * getattr(theirs, name) + _ROUNDING
        yield _check(f"{name}, published", getattr(ours, name) - getattr(published, name), allowed)


def _against_reference(
    ours: Figures, reference: Figures, profit: Moments, final_q: Moments, paths: int
) -> Iterable[Check]:
    """Within four standard errors of our paths and one of the reference's."""

    def allowed(own: float, of_reference: float) -> float:
        return 4.0 * own + of_reference

    for name, sample in (("profit", profit), ("final_q", final_q)):
        std_name = f"std_{name}"
        yield _check(
            f"{name}, reference",
            getattr(ours, name) - getattr(reference, name),
            allowed(sample.mean_se(paths), sample.mean_se(_REFERENCE_PATHS)),
        )
        yield _check(
            f"{std_name}, reference",
            getattr(ours, std_name) - getattr(reference, std_name),
            getattr(reference, std_name)
            * allowed(sample.relative_std_se(paths), sample.relative_std_se(_REFERENCE_PATHS)),
        )


def _halved_risk(rows: tuple[Row, ...]) -> Iterable[Check]:
    """The paper's point: at gamma = 0.1 the inventory strategy has little more than half the risk."""
    risk = {row.strategy: row.ours.std_profit for row in rows if row.gamma == 0.1}
    if risk:
        yield _check("std_profit, inventory / symmetric at gamma 0.1", risk["inventory"] / risk["symmetric"], 0.55)
