"""Configuration meets venue: base units become lots exactly, and what does not fit is an error at its line."""

from decimal import Decimal

import msgspec
import pytest

from mm_daemon.config.build import core_parameters, money_unit_is_exact
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.core.parameters import OrderRules, ReconcileRules
from mm_daemon.domain.capabilities import Capabilities, CommandClass
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


def test_a_largest_order_that_nobody_wrote_is_floored_to_lots() -> None:
    """Null leaves it to us: twice the outermost of three levels, 0.0338 BTC, is 33 lots and no mistake of anybody's."""
    ladder = "0.05, max_order_size: null, levels: 3, level_size_ratio: 1.3}"
    (market,) = core_parameters(read(GOOD.replace("0.05}", ladder)), [BTC], CAPABILITIES).markets
    assert market.limits.max_order_lots == 33


def test_limits_of_account_and_pacing_arrive_where_they_are_checked() -> None:
    """Money is exact, a null stays no limit, and our own rate stands beside the venue's as a bucket."""
    text = GOOD.replace("0.05}", "0.05, max_order_notional: 900, max_order_to_trade: 50, initial_margin: 0.1}")
    risk = "risk: {max_notional: 12.5, min_margin_headroom: 0.2, max_orders_per_second: 30, reject_storm: null}\n"
    parameters = core_parameters(read(text + risk + "runtime: {queue_ttl_ms: 400}\n"), [BTC], CAPABILITIES)
    limits, account = parameters.markets[0].limits, parameters.account
    assert (limits.max_notional_atto, limits.max_order_to_trade, limits.initial_margin) == (900 * ATTO, 50, 0.1)
    assert (account.max_notional_atto, account.min_margin_headroom) == (ATTO * 25 // 2, 0.2)
    assert (account.reject_storm, account.max_contradictions) == (None, 3)
    assert (parameters.queue_ttl_ms, parameters.max_clock_skew_ms, parameters.clock_skew_samples) == (400, 1000, 3)
    (own,) = parameters.venues[V].buckets
    assert not own.cancels_exempt  # that would exempt cancels from the venue's own word
    assert (own.name, own.capacity, own.cost(CommandClass.PLACE, 3), own.concerns(CommandClass.CANCEL)) == (
        "max_orders_per_second", 30, 3, False,
    )  # fmt: skip


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


def _money(keys: str) -> str:
    return GOOD.replace("order_size: 0.01, max_position: 0.05", keys) + "risk: {capital: 10000}\n"


def test_money_waits_for_a_price_and_allows_nothing_before() -> None:
    """Until then the gate's limits are zero; at a price they are whole lots that are worth no more than the money."""
    text = _money("order_notional: 500, max_position_notional: 2400, levels: 2, level_size_ratio: 2")
    parameters = core_parameters(read(text), [BTC], CAPABILITIES)
    assert type(parameters).from_json(parameters.to_json()) == parameters
    (market,) = parameters.markets
    assert (market.limits.max_position_lots, market.limits.min_position_lots, market.limits.max_order_lots) == (0, 0, 0)
    at = market.sized(2 * 600_000)
    assert (at.order_lots, at.limits.max_position_lots, at.limits.min_position_lots) == (8, 38, -38)
    assert at.limits.max_order_lots == 32
    tiny = msgspec.structs.replace(BTC, max_lots=9)
    (market,) = core_parameters(read(text), [tiny], CAPABILITIES).markets
    assert market.sized(2 * 600_000).order_lots == 4, "the outer level is the largest order"


def test_money_below_the_venues_least_notional_is_named() -> None:
    """At the key that says it, level by level."""
    contract = msgspec.structs.replace(BTC, min_notional=Decimal(100))
    (problem,) = _problems(_money("order_notional: 99, max_position_notional: 500"), contract)
    assert problem == ("c.yaml:5:34: markets[0].order_notional: comes to 99 USDT, less than the least order of v, 100")
    (problem,) = _problems(
        _money("order_capital_share: 0.02, max_leverage: 2, levels: 3, level_size_ratio: 0.6"), contract
    )
    assert problem.endswith(
        "markets[0].level_size_ratio: level 3 of 3 comes to 72 USDT, less than the least order of v, 100"
    )


def test_capital_in_the_quote_currency_says_nothing_of_an_inverse_contract() -> None:
    """It is settled in the base currency; a notional in that is fine."""
    inverse = msgspec.structs.replace(BTC, inverse=True)
    (problem,) = _problems(_money("order_notional: 0.01, max_leverage: 2"), inverse)
    assert "markets[0].max_leverage: v:BTC-USDT is settled in BTC, and risk.capital is in the quote currency" in problem
    (market,) = core_parameters(
        read(_money("order_notional: 0.01, max_position_notional: 0.05")), [inverse], CAPABILITIES
    ).markets
    assert market.money is not None


def _accepted(text: str, instrument: Instrument = BTC) -> bool:
    return bool(core_parameters(read(text), [instrument], CAPABILITIES).markets)


@pytest.mark.parametrize("model", ["glft", "avellaneda_stoikov_infinite", "cartea_jaimungal", "glft_exact"])
def test_a_cost_that_no_taker_pays_is_named(model: str) -> None:
    """At `adverse_bps`, or at the fee; a fixed spread asks nobody."""
    keys = f"max_position: 0.05, model: {model}, k: 2"
    text = GOOD.replace("max_position: 0.05", keys)
    (problem,) = _problems(text.replace("k: 2", "k: 2, adverse_bps: 500"))
    assert "markets[0].adverse_bps: a fill costs 500 bps" in problem
    assert "no taker comes that far: lower the cost, or k" in problem
    (problem,) = _problems(text, msgspec.structs.replace(BTC, maker_fee_ppm=20_000))
    assert "markets[0].fees_in_model: a fill costs 200 bps" in problem
    assert _accepted(text.replace("k: 2", "k: 2, adverse_bps: 50"))
    assert _accepted(text.replace(model, "fixed_spread").replace("k: 2", "k: 2, adverse_bps: 500"))


@pytest.mark.parametrize(
    ("keys", "limit", "said"),
    [
        ("model: glft_exact", 1000, "glft_exact"),
        ("model: cartea_jaimungal", 1000, "cartea_jaimungal"),
        ("model: cartea_jaimungal, tau: 60", 100, "cartea_jaimungal with tau 60.0"),
    ],
)
def test_more_orders_than_a_model_is_solved_for_are_named(keys: str, limit: int, said: str) -> None:
    """At the model; as many as it can is enough, and a closed form takes any."""

    def sized(orders: int, model: str) -> str:
        return GOOD.replace("max_position: 0.05", f"max_position: {orders / 100:g}, {model}")

    (problem,) = _problems(sized(limit + 1, keys))
    assert (
        f"markets[0].model: {said} is solved for up to {limit} orders held, and the limit holds {limit + 1}" in problem
    )
    assert _accepted(sized(limit, keys))
    assert _accepted(sized(limit + 1, "model: glft"))


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


def test_a_spot_market_is_never_short() -> None:
    """Said at the key, whether it is written or the default; a range that begins at nothing is fine."""
    spot = msgspec.structs.replace(BTC, spot=True)
    (problem,) = _problems(GOOD, spot)
    assert "is spot and cannot be short: write min_position: 0, or more" in problem
    fine = core_parameters(read(GOOD.replace("max_position", "min_position: 0, max_position")), [spot], CAPABILITIES)
    assert fine.markets[0].limits.min_position_lots == 0
