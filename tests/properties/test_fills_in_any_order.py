"""Law: one set of fills ends in one position, in whatever order and however often it is heard."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.domain.capabilities import Capabilities
from mm_daemon.domain.events import OrderEvent, OrderFilled
from mm_daemon.domain.orders import Phase, Side
from tests.orders import FRESH, TOTAL, XYZ, accepted, amended, canceled, cid, filled, ledger_with, place, send_amend

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def _hear(ledger: OrderLedger, events: list[OrderEvent]) -> int:
    position = 0
    for event in events:
        position += ledger.apply(event).fill_lots
        assert all(order.exposure > 0 for order in ledger.alive(XYZ))
    return position


@settings(max_examples=100, deadline=None)
@given(sizes=SIZES, side=st.sampled_from(Side), capabilities=st.sampled_from((TOTAL, FRESH)), data=st.data())
def test_any_interleaving_of_duplicate_fills_ends_in_the_same_position(
    sizes: list[int], side: Side, capabilities: Capabilities, data: st.DataObject
) -> None:
    """Fills, their duplicates, the acknowledgement and the cancel report, shuffled."""
    total = sum(sizes)
    fills: list[OrderEvent] = [filled(1, f"t{i}", lots, "v1", side) for i, lots in enumerate(sizes)]
    repeats = data.draw(st.lists(st.sampled_from(fills), max_size=5))
    reports: list[OrderEvent] = [accepted(1, "v1"), canceled(1, total, "v1")]
    events = data.draw(st.permutations(fills + repeats + reports))
    ledger = ledger_with(place(1, side, lots=total + 3), capabilities=capabilities, live=False)
    assert _hear(ledger, events) == side * total
    order = ledger.get(cid(1))
    assert order is not None
    assert (order.phase, order.exposure, order.filled_lots) == (Phase.CANCELED, 0, total)
    assert ledger.duplicates == len(repeats)
    assert ledger.exposure(XYZ, side) == 0


@settings(max_examples=100, deadline=None)
@given(old=SIZES, new=SIZES, data=st.data())
def test_fresh_amend_heard_in_any_order_ends_filled(old: list[int], new: list[int], data: st.DataObject) -> None:
    """The old version's fills and death, the new one's acknowledgement and fills: one end, whatever came first."""
    ledger = ledger_with(place(1, lots=sum(old) + 2), capabilities=FRESH)
    send_amend(ledger, 1, 98, sum(new))
    events: list[OrderEvent] = [filled(1, f"o{i}", lots, "v1") for i, lots in enumerate(old)]
    events += [filled(1, f"n{i}", lots, "v2") for i, lots in enumerate(new)]
    events += [amended(1, "v2", 98, sum(new)), canceled(1, sum(old), "v1")]
    shuffled = data.draw(st.permutations(events))
    position = 0
    for index, event in enumerate(shuffled):
        position += ledger.apply(event).fill_lots
        unheard = sum(e.lots for e in shuffled[index + 1 :] if isinstance(e, OrderFilled))
        assert ledger.exposure(XYZ, Side.BUY) >= unheard
    order = ledger.get(cid(1))
    assert order is not None
    assert position == sum(old) + sum(new)
    assert (order.phase, order.exposure) == (Phase.FILLED, 0)
