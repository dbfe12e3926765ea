"""Configuration meets venue: base units become lots exactly, and what does not fit is an error at its line."""

from decimal import Decimal

import msgspec
import pytest

from mm_daemon.config.build import core_parameters, money_unit_is_exact
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.money import ATTO
from tests.unit.config.sample import GOOD, read

V = Venue("v")
BTC = Instrument(
    venue=V, symbol="BTC-USDT", base="BTC", quote="USDT", tick=Decimal("0.1"), lot=Decimal("0.001"), min_lots=2
)
CAPABILITIES = {V: Capabilities()}


def _problems(text: str, instrument: Instrument = BTC) -> list[str]:
    with pytest.raises(ConfigProblems) as caught:
        core_parameters(read(text), [instrument], CAPABILITIES)
    return [str(problem) for problem in caught.value.problems]


def test_sizes_become_lots_and_limits_atto() -> None:
    """0.01 BTC of a 0.001 lot are ten lots; money limits are exact."""
    config = read(GOOD.replace("0.05}", "0.05, actions_per_minute: 30}") + "risk: {max_drawdown: 12.5}\n")
    parameters = core_parameters(config, [BTC], CAPABILITIES)
    (market,) = parameters.markets
    assert (market.order_lots, market.limits.max_position_lots, market.limits.min_position_lots) == (10, 50, -50)
    assert (market.limits.max_order_lots, market.limits.actions_per_minute) == (20, 30)
    assert (parameters.account.max_drawdown_atto, parameters.account.max_loss_atto) == (ATTO * 25 // 2, None)
    assert parameters.venues == CAPABILITIES


def test_rules_of_order_life_reach_the_core() -> None:
    """What is said under `orders` and `reconcile`; the rest takes its default."""
    rules = "orders: {action_ttl_ms: 900, keep_final_s: 120}\nreconcile: {on_foreign_order: halt}\n"
    parameters = core_parameters(read(GOOD + rules), [BTC], CAPABILITIES)
    assert parameters.orders == OrderRules(action_ttl_ms=900, keep_final_s=120)
    assert parameters.reconcile == ReconcileRules(on_foreign_order="halt")


def test_orders_are_never_forgotten_before_two_checkpoints() -> None:
    """A shorter memory than two minutes is refused at its line."""
    with pytest.raises(ConfigProblems, match=r"orders\.keep_final_s.*119"):
        read(GOOD + "orders: {keep_final_s: 119}\n")


def test_parameters_survive_the_journal() -> None:
    """What the journal's first record holds builds the same core."""
    parameters = core_parameters(read(GOOD), [BTC], CAPABILITIES)
    assert type(parameters).from_json(parameters.to_json()) == parameters


def test_a_size_off_the_lot_is_named_with_its_neighbours() -> None:
    """Nothing is rounded silently; every off-grid size of a market is reported, each at its line."""
    found = _problems(GOOD.replace("0.01,", "0.0105,\n     ").replace("0.05}", "0.0501}"))
    lot = "must be a multiple of the lot of v:BTC-USDT, 0.001 (nearest:"
    assert found == [
        f"c.yaml:5:34: markets[0].order_size: is 0.0105, {lot} 0.010 or 0.011)",
        f"c.yaml:6:7: markets[0].max_position: is 0.0501, {lot} 0.050 or 0.051)",
    ]


def test_an_order_below_the_venues_minimum_is_named() -> None:
    """The venue would refuse every quote."""
    (problem,) = _problems(GOOD.replace("0.01,", "0.001,"))
    assert problem == "c.yaml:5:34: markets[0].order_size: is 0.001, must be at least 0.002 BTC on v"
    (problem,) = _problems(GOOD, msgspec.structs.replace(BTC, max_lots=5))
    assert "must be at most 0.005 BTC on v" in problem


def test_a_symbol_the_venue_does_not_have_is_named() -> None:
    """With the nearest symbol of that venue beside it."""
    (problem,) = _problems(GOOD.replace("BTC-USDT", "BTC-USDC"))
    assert problem == ("c.yaml:5:16: markets[0].symbol: v has no market 'BTC-USDC' (did you mean 'BTC-USDT'?)")


def test_an_instrument_without_exact_money_is_refused() -> None:
    """Half a tick on one lot must be a whole number of atto that fees in ppm divide (EXECUTION 7b)."""
    assert money_unit_is_exact(BTC)
    fine = msgspec.structs.replace(BTC, tick=Decimal("1e-12"))
    assert not money_unit_is_exact(fine)
    assert "cannot be kept in exact money" in _problems(GOOD, fine)[0]
