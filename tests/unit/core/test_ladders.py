"""Several quotes on a side: what each level asks for, which order serves it, and what a fill or a limit takes away."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.planner import pair_levels
from mm_daemon.domain.decisions import Action, Reason
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.testkit import builders
from tests.unit.core.desk import SYMBOL, Desk, kinds

TEN_EACH = QuoteParameters(
    levels=3, level_step_bps=2.0, tolerance_frac=0.00005, order_lockout_ms=0, decide_interval_ms=0, fair_price="mid"
)


def _desk(quoting: QuoteParameters = TEN_EACH, max_position_lots: int = 500) -> Desk:
    return Desk(builders.core_parameters(builders.market(quoting=quoting, max_position_lots=max_position_lots)))


def _prices(desk: Desk, side: Side) -> list[int]:
    """What works in each level of a side that has an order, inner first, in ticks."""
    market = desk.core.markets[SYMBOL]
    first = 0 if side is Side.BUY else market.levels
    return [order.ticks for order in market.slots[first : first + market.levels] if order is not None]


def test_every_level_is_placed_with_its_label():
    """Three quotes a side, the inner one first, each step the wanted distance beyond the one before."""
    desk = _desk()
    turn = desk.open_market()
    assert kinds(turn) == ["PlaceOrder bid"] * 3 + ["PlaceOrder ask"] * 3
    desk.acknowledge(turn, 10)
    inner, middle, outer = _prices(desk, Side.BUY)
    step = 600_000 * 2e-4
    assert abs((inner - middle) - step) <= 1
    assert abs((middle - outer) - step) <= 1
    orders = desk.core.markets[SYMBOL].quotes
    assert [order.level for order in orders[Side.BUY]] == [0, 1, 2]
    assert [order.level for order in orders[Side.SELL]] == [0, 1, 2]


def test_steps_and_sizes_grow_as_asked():
    """Growth 2: the second step is twice the first; size ratio 2: each level twice the one inside it."""
    desk = _desk(
        QuoteParameters(levels=3, level_step_bps=2.0, level_growth=2.0, level_size_ratio=2.0, fair_price="mid")
    )
    desk.acknowledge(desk.open_market(), 10)
    inner, middle, outer = _prices(desk, Side.SELL)
    assert abs((outer - middle) - 2 * (middle - inner)) <= 3
    assert [order.lots for order in desk.core.markets[SYMBOL].quotes[Side.SELL]] == [10, 20, 40]


def test_room_is_spent_on_the_inner_levels_first():
    """Room for 25 lots and levels of 10: 10, 10, 5; what is left out is withdrawn and says why."""
    desk = _desk(max_position_lots=25)
    desk.acknowledge(desk.open_market(), 10)
    assert [order.lots for order in desk.core.markets[SYMBOL].quotes[Side.BUY]] == [10, 10, 5]
    desk = _desk(max_position_lots=15)
    desk.acknowledge(desk.open_market(), 10)
    assert [order.lots for order in desk.core.markets[SYMBOL].quotes[Side.BUY]] == [10, 5]
    outer = desk.core.markets[SYMBOL].decisions[2]
    assert outer.action is Action.WITHDRAW, outer
    assert Reason.MAX_POSITION in outer.reasons


def test_levels_that_round_to_one_price_become_one():
    """A step far below the tick cannot be quoted twice: the outer levels say that they are merged."""
    desk = _desk(QuoteParameters(levels=3, level_step_bps=0.0001, fair_price="mid"))
    turn = desk.open_market()
    assert kinds(turn) == ["PlaceOrder bid", "PlaceOrder ask"]
    assert [Reason.LEVEL_MERGED in decision.reasons for decision in desk.core.markets[SYMBOL].decisions] == (
        [False, True, True] * 2
    )


def test_a_move_of_the_market_amends_and_replaces_nothing():
    """The whole ladder follows the fair price by amends: queue ids survive, nothing is cancelled."""
    desk = _desk()
    desk.acknowledge(desk.open_market(), 10)
    turn = desk.feed(builders.snapshot(1000, 600_400, 600_401, update_id=2))
    assert kinds(turn)
    assert set(kinds(turn)) == {"AmendOrder"}


def test_a_shift_by_one_step_costs_one_move_a_side():
    """After a rise of one step the outer bid becomes the inner one; the two between only change their label."""
    step_bps = 120 / 600_000.5 * 1e4
    desk = _desk(msgspec.structs.replace(TEN_EACH, level_step_bps=step_bps, half_spread_bps=2.0, tolerance_frac=1e-9))
    desk.acknowledge(desk.open_market(), 10)
    before = _prices(desk, Side.BUY)
    turn = desk.feed(builders.snapshot(1000, 600_120, 600_121, update_id=2))
    assert kinds(turn) == ["AmendOrder", "AmendOrder"]
    desk.acknowledge(turn, 1010)
    after = _prices(desk, Side.BUY)
    assert after[1:] == before[:2]


def test_a_filled_inner_quote_is_replaced_and_the_others_stay():
    """The fill pauses its side; afterwards only what is missing is placed."""
    desk = _desk()
    desk.acknowledge(desk.open_market(), 10)
    desk.wait(900)
    inner = _prices(desk, Side.BUY)[0]
    desk.fill(Side.BUY, 10, 1000)
    assert inner not in _prices(desk, Side.BUY)
    turn = desk.wait(4000)
    assert kinds(turn).count("PlaceOrder bid") == 1
    assert "CancelOrder" not in kinds(turn)


@given(
    st.sampled_from([Side.BUY, Side.SELL]),
    st.lists(st.integers(90, 110), max_size=6, unique=True),
    st.lists(st.integers(90, 110), max_size=6, unique=True),
)
def test_pairing_serves_every_level_once_with_the_fewest_moves(side: Side, working: list[int], targets: list[int]):
    """Each order and level appears exactly once; whatever already lies on a target stays there."""
    orders = [(ClientOrderId(i), ticks) for i, ticks in enumerate(working)]
    pairs, surplus, places = pair_levels(side, orders, list(enumerate(targets)))
    assert sorted([client_id for client_id, _, _ in pairs] + surplus) == [client_id for client_id, _ in orders]
    assert sorted([level for _, level, _ in pairs] + places) == list(range(len(targets)))
    assert not surplus or not places
    stays = {(working[client_id], targets[level]) for client_id, level, moves in pairs if not moves}
    assert all(at == to for at, to in stays)
    assert len(stays) == len(set(working) & set(targets))
