"""The replications: the simulation against exact expectations, and that a wrong formula or fill rule is noticed."""

import math

import numpy as np
import pytest

from mm_daemon.backtest.replication import as2008, cartea_jaimungal, certainty_equivalent
from mm_daemon.backtest.replication.simulation import (
    FillRule,
    Floats,
    Market,
    Policy,
    first_order_fills,
    linear_policy,
    moments,
    poisson_fills,
    simulate,
)

_SMALL = Market(sigma=0.5, A=2.0, k=1.0, horizon=10.0, steps=100)


def _expected(policy: Policy, market: Market, fills: FillRule) -> tuple[float, float, float]:
    """Mean profit, variance of the final inventory and mean of the integral of q^2, from the chain's probabilities."""
    size = policy.bids.shape[1]
    q = np.arange(size) - size // 2
    chances = (q == 0).astype(float)
    profit = squared = 0.0
    for step in range(market.steps):
        rows = (policy.bids[step % len(policy.bids)], policy.asks[step % len(policy.asks)])
        buys, sells = (fills(market.A * np.exp(-market.k * depths) * market.dt) for depths in rows)
        buys[-1] = sells[0] = 0.0
        for probabilities, depths in ((buys, rows[0]), (sells, rows[1])):
            profit += float(chances @ (probabilities * np.where(np.isfinite(depths), depths, 0.0)))
        up, down = chances * buys * (1.0 - sells), chances * sells * (1.0 - buys)
        chances = chances - up - down
        chances[1:] += up[:-1]
        chances[:-1] += down[1:]
        squared += float(chances @ q**2) * market.dt
    return profit, float(chances @ q**2) - float(chances @ q) ** 2, squared


def _bounded() -> Policy:
    """Leans with inventory, quotes asymmetrically, and ends at +-6 without a quote."""
    free = linear_policy([1.0 - 0.01 * step for step in range(100)], [0.1] * 100, 6)
    return Policy(free.bids, free.asks + 0.1)


@pytest.mark.parametrize("fills", [first_order_fills, poisson_fills])
def test_simulation_has_the_expectations_of_its_chain(fills: FillRule) -> None:
    """Profit, final inventory and its square over time, each within four standard errors."""
    paths = 40_000
    outcome = simulate(_bounded(), _SMALL, fills, paths=paths, seed=7)
    profit, variance, squared = _expected(_bounded(), _SMALL, fills)
    sample, final_q = moments(outcome.profit), moments(outcome.final_q)
    held = moments(outcome.squared_inventory)
    assert abs(sample.mean - profit) < 4.0 * sample.mean_se(paths)
    assert abs(final_q.std / math.sqrt(variance) - 1.0) < 4.0 * final_q.relative_std_se(paths)
    assert abs(held.mean - squared) < 4.0 * held.mean_se(paths)


def test_inventory_makes_the_risk_of_profit() -> None:
    """Without fills there is none; with an inventory the variance is that of the mid times the integral of q^2."""
    silent = linear_policy([math.inf], [0.0], 2)
    assert not simulate(silent, _SMALL, poisson_fills, paths=10, seed=1).profit.any()
    outcome = simulate(_bounded(), _SMALL, poisson_fills, paths=40_000, seed=3)
    still = simulate(_bounded(), Market(0.0, 2.0, 1.0, 10.0, 100), poisson_fills, paths=40_000, seed=3)
    from_mid = moments(outcome.profit - still.profit)
    expected = 0.5**2 * float(outcome.squared_inventory.mean())
    assert from_mid.std**2 == pytest.approx(expected, rel=8.0 * from_mid.relative_std_se(40_000))


def test_moments_are_the_usual_ones() -> None:
    """On numbers one can count; a constant has no kurtosis to speak of."""
    sample: Floats = np.array([1.0, 2.0, 3.0, 4.0])
    assert moments(sample).mean == 2.5
    assert moments(sample).std == pytest.approx(math.sqrt(5.0 / 3.0))
    assert moments(sample).kurtosis == pytest.approx(1.64)
    assert moments(np.zeros(5)).kurtosis == 0.0


def test_same_seed_same_report_other_seed_another() -> None:
    """Nothing but the seed decides."""
    one, again, other = (as2008.replicate([0.1], paths=500, seed=seed) for seed in (3, 3, 4))
    assert one == again
    assert one.rows != other.rows


def test_average_spreads_are_the_published() -> None:
    """1.49, 1.35 and 3.02 of the tables, exact to what the formula gives; both strategies have the same."""
    for gamma, spread in ((0.1, 1.4918), (0.01, 1.3490), (1.0, 3.0317)):
        for strategy in ("inventory", "symmetric"):
            quotes = as2008.policy(gamma, strategy)
            assert float((quotes.bids + quotes.asks).mean()) == pytest.approx(spread, abs=5e-5)


def test_first_table_is_reproduced() -> None:
    """Every figure within the acceptance rule, and the risk halved."""
    report = as2008.replicate([0.1], paths=20_000, seed=1)
    assert [check for row in report.rows for check in row.checks if not check.ok] == []
    assert [check.ok for check in report.checks] == [True]
    assert "17 of 17 comparisons within the acceptance rule" in report.to_text()


def test_another_fill_rule_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`1 - e^{-lambda dt}` loses an eighth of the profit: the rule is part of the target."""
    right = as2008.replicate([0.1], paths=20_000)
    monkeypatch.setattr(as2008, "first_order_fills", poisson_fills)
    wrong = as2008.replicate([0.1], paths=20_000)
    assert not wrong.ok
    assert wrong.rows[0].ours.profit / right.rows[0].ours.profit == pytest.approx(0.88, abs=0.01)
    assert "profit, published: off by" in wrong.to_text()


@pytest.mark.parametrize("gamma", as2008.GAMMAS)
def test_a_horizon_that_stands_still_is_noticed(gamma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """tau = T throughout is another model, at every gamma."""
    monkeypatch.setattr(as2008, "remaining", lambda market: [market.horizon] * market.steps)
    row = as2008.replicate([gamma], paths=5_000).rows[0]
    assert row.strategy == "inventory"
    assert not all(check.ok for check in row.checks)


def test_symmetric_quotes_with_a_spread_in_time_are_not_the_benchmark() -> None:
    """The average spread, not the current one, is what the paper's 5.1 at gamma = 1 was made with (5.85 otherwise)."""
    inventory = as2008.policy(1.0, "inventory")
    current = 0.5 * (inventory.bids + inventory.asks)
    final_q = simulate(Policy(current, current), as2008.MARKET, first_order_fills, paths=20_000, seed=1).final_q
    assert moments(final_q).std == pytest.approx(5.85, abs=0.12)


def test_ranking_of_the_models() -> None:
    """A-S with constant tau < A-S < GLFT, closed and exact alike, which reach what theory allows."""
    report = certainty_equivalent.replicate(paths=3_000, seed=2)
    assert report.ok
    assert report.optimum == pytest.approx(64.13, abs=0.005)
    by_name = {worth.policy: worth.certainty_equivalent for worth in report.policies}
    assert by_name["A-S, constant tau"] == pytest.approx(56.4, abs=0.6)
    assert by_name["A-S, finite T"] == pytest.approx(60.8, abs=0.6)
    assert by_name["GLFT, closed form"] == pytest.approx(by_name["GLFT, exact"], abs=0.05)
    assert report.to_text().endswith("the ranking holds")


def test_value_function_is_what_the_policy_earns() -> None:
    """For the extremes of the penalty; and the exact chain of the optimal policy agrees with the paths' inventory."""
    report = cartea_jaimungal.replicate([0.0, 5e-3], paths=4_000, seed=1)
    assert report.ok
    assert [round(row.h, 5) for row in report.rows] == [0.21492, 0.10693]
    for row in report.rows:
        expected = _expected(cartea_jaimungal.policy(row.phi), cartea_jaimungal.MARKET, poisson_fills)
        assert row.mean_pnl == pytest.approx(expected[0], abs=4.0 * row.std_pnl / math.sqrt(4_000))
        assert row.std_final_q == pytest.approx(math.sqrt(expected[1]), rel=0.05)


def test_thinner_flow_than_the_value_function_has_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tenth fewer fills the policy does not earn h(0, 0)."""
    monkeypatch.setattr(cartea_jaimungal, "poisson_fills", lambda expected: 0.9 * poisson_fills(expected))
    report = cartea_jaimungal.replicate([1e-3], paths=4_000, seed=1)
    assert not report.ok
    assert report.to_text().endswith("the simulation does NOT confirm the model")


@pytest.mark.slow
def test_all_tables_are_reproduced_on_many_paths() -> None:
    """As many paths as the reference has."""
    report = as2008.replicate(paths=200_000, seed=5)
    assert [check for row in report.rows for check in row.checks if not check.ok] == []
    assert report.ok
    assert certainty_equivalent.replicate(paths=40_000, seed=5).ok
    assert cartea_jaimungal.replicate(paths=40_000, seed=5).ok
