"""What `make peers` asks of other engines is what ours does: the same quotes, the same rule for moving them."""

import math

import pytest

from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.orders import Side
from mm_daemon.engine.models import glft
from mm_daemon.engine.tolerance import price_verdict, tolerance_ticks
from tests.bench.peers import strategy

BID, ASK = 618_002, 618_003


@pytest.mark.parametrize("position", [-0.05, -0.01, 0.0, 0.02, 0.05])
def test_targets_are_our_closed_form_with_the_configured_volatility(position: float) -> None:
    per_root_s = strategy.VOLATILITY * 10_000 / math.sqrt(365.25 * 86_400)
    wanted = glft.quotes(
        0.0,
        position / strategy.ORDER_SIZE,
        strategy.INTENSITY,
        strategy.K,
        strategy.GAMMA,
        per_root_s,
        fee=strategy.MAKER_FEE_BPS,
    )
    mid = (BID + ASK) / 2
    bid, ask = strategy.targets(BID, ASK, position)
    assert bid == min(math.floor(mid * (1 + wanted.bid / 10_000)), ASK - 1)
    assert ask == max(math.ceil(mid * (1 + wanted.ask / 10_000)), BID + 1)


@pytest.mark.parametrize(("side", "sign"), [(Side.BUY, 1), (Side.SELL, -1)])
def test_an_order_moves_when_ours_would(side: Side, sign: int) -> None:
    target = BID
    tolerance = tolerance_ticks(strategy.HALF_SPREAD_BPS * target / 10_000, target)
    for working in range(target - 2 * tolerance, target + 2 * tolerance):
        ours = price_verdict(side, working, target, tolerance) is not Reason.WITHIN_TOLERANCE
        assert strategy.must_move(sign, working, target) == ours


def test_a_side_stops_at_the_limit_of_the_position() -> None:
    assert strategy.may_quote(1, 0.04)
    assert not strategy.may_quote(1, 0.05)
    assert strategy.may_quote(-1, 0.05)
    assert not strategy.may_quote(-1, -0.045)
