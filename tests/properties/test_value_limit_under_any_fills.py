"""Law: whatever fills, in whatever order, the net value of an underlying cannot pass its limit (G10)."""

from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.events import OrderCanceled, OrderFilled
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.risk.gate import RiskGate
from mm_daemon.risk.limits import AccountLimits
from tests.orders import cid, facts, instrument, place

LIMIT = 3
PRICE = Decimal(10)
STEP = st.tuples(
    st.sampled_from(("buy", "sell", "buy", "sell", "fill", "cancel")), st.integers(0, 1), st.integers(1, 30)
)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(STEP, max_size=40))
def test_no_order_of_fills_passes_the_value_limit(steps: list[tuple[str, int, int]]) -> None:
    """Two markets of one underlying with lots of their own: all buys filled, or all sells, stay within the limit."""
    other = instrument(venue=Venue("other"), lot=Decimal("0.007"))
    markets = [facts(max_orders_per_side=99), facts(0, other, max_orders_per_side=99)]
    lots_of = (Decimal("0.01"), Decimal("0.007"))
    gate = RiskGate(AccountLimits(max_notional_atto=LIMIT * ATTO), markets)
    ledger = OrderLedger({})
    alive: list[tuple[int, int, Side]] = []
    for number, (word, which, lots) in enumerate(steps, start=1):
        market = markets[which]
        if word in ("buy", "sell"):
            side = Side.BUY if word == "buy" else Side.SELL
            ticks = 99 - number % 60 if side is Side.BUY else 101 + number % 60
            order = msgspec.structs.replace(
                place(number, side, ticks, lots, number), instrument=market.instrument.id, level=number
            )
            if isinstance(gate.review(order, market, ledger, 0), ApprovedCommand):
                ledger.queue(order, 0)
                ledger.released(order, 0)
                alive.append((number, which, side))
        elif alive:
            client_id, at, side = alive[lots % len(alive)]
            held = ledger.get(cid(client_id))
            assert held is not None
            instrument_id = markets[at].instrument.id
            if word == "fill" and held.remaining_lots:
                done = min(lots, held.remaining_lots)
                event = OrderFilled(
                    instrument_id, 0, 0, held.client_id, "v", f"f{number}", side, held.ticks, done, True
                )
                markets[at].position_lots += ledger.apply(event).fill_lots
            elif word == "cancel":
                ledger.apply(OrderCanceled(instrument_id, 0, 0, held.client_id, "v", True, held.filled_lots))
                alive.remove((client_id, at, side))
        for side in (Side.BUY, Side.SELL):
            net = sum(
                (each.position_lots + side * ledger.exposure(each.instrument.id, side)) * lot
                for each, lot in zip(markets, lots_of, strict=True)
            )
            worst = side * net * PRICE
            assert worst <= LIMIT
