"""Limits over all markets: the value of one underlying, netted exactly, and the margin a venue would ask (G10)."""

from decimal import Decimal

import msgspec
import pytest

from mm_daemon.core.order_ledger import OrderLedger
from mm_daemon.domain.decisions import ApprovedCommand, Intent, Refusal, RefusalCode
from mm_daemon.domain.events import BookSnapshot
from mm_daemon.domain.instrument import Venue, instrument_id
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.risk.facts import MarketFacts
from mm_daemon.risk.gate import RiskGate
from mm_daemon.risk.limits import AccountLimits
from tests.orders import VENUE, amend, facts, instrument, ledger_with, place

OTHER = Venue("other")
SPOT = instrument(venue=OTHER, lot=Decimal("0.005"))
"""The same underlying elsewhere: half as much a lot."""


def _gate(*markets: MarketFacts, **limits: object) -> RiskGate:
    return RiskGate(AccountLimits(**limits), markets)  # type: ignore[arg-type]


def _code(gate: RiskGate, intent: Intent, market: MarketFacts, ledger: OrderLedger | None = None) -> str | None:
    verdict = gate.review(intent, market, ledger or OrderLedger({VENUE: msgspec.UNSET}), 0)  # type: ignore[dict-item]
    if isinstance(verdict, Refusal):
        return f"{verdict.code} {verdict.value} {verdict.limit}"
    assert isinstance(verdict, ApprovedCommand)
    return None


def test_value_of_an_underlying_is_netted_over_its_markets_in_base_units() -> None:
    """40 lots of 0.01 long, 60 of 0.005 short elsewhere: 0.1 X net, worth 1 at the mid of 10; 5 leaves 40."""
    perp, spot = facts(40), facts(-60, SPOT)
    gate = _gate(perp, spot, max_notional_atto=5 * ATTO)
    assert _code(gate, place(1, lots=40), perp) is None
    assert _code(gate, place(1, lots=41), perp) == f"{RefusalCode.WORST_NOTIONAL} 5.1 5.0"
    alone = _gate(perp, max_notional_atto=5 * ATTO)
    assert _code(alone, place(1, lots=10), perp) is None
    assert _code(alone, place(1, lots=11), perp) == f"{RefusalCode.WORST_NOTIONAL} 5.1 5.0"


def test_orders_of_all_its_markets_count_as_filled() -> None:
    """What rests elsewhere on the same side adds up; what rests on the other side takes nothing off."""
    perp, spot = facts(), facts(0, SPOT)
    ledger = ledger_with(
        msgspec.structs.replace(place(7, lots=50), instrument=spot.instrument.id),
        msgspec.structs.replace(place(8, Side.SELL, 101, 50), instrument=spot.instrument.id),
    )
    gate = _gate(perp, spot, max_notional_atto=5 * ATTO)
    assert _code(gate, place(1, lots=25), perp, ledger) is None
    assert _code(gate, place(1, lots=26), perp, ledger) == f"{RefusalCode.WORST_NOTIONAL} 5.1 5.0"


def test_what_shrinks_the_net_position_always_passes() -> None:
    """Beyond the limit the other side is still open, and an amend may make an order smaller."""
    perp = facts(80)
    gate = _gate(perp, max_notional_atto=5 * ATTO)
    ledger = ledger_with(place(1, lots=10))
    assert _code(gate, place(2, Side.SELL, 101, 50), perp, ledger) is None
    assert _code(gate, amend(1, 98, 5), perp, ledger) is None
    assert str(_code(gate, amend(1, 98, 11), perp, ledger)).startswith(RefusalCode.WORST_NOTIONAL)


def test_an_inverse_contract_counts_by_what_it_is_worth_in_the_underlying() -> None:
    """100 lots of 0.01 USD are one USD of X, whatever its price; other underlyings do not count."""
    inverse = facts(100, instrument(symbol="INV", inverse=True, multiplier=Decimal(1)))
    apples = facts(100, instrument(symbol="APPLE", base="A"))
    gate = _gate(inverse, apples, max_notional_atto=ATTO)
    assert gate.exposure.notionals(OrderLedger({})) == {"X": pytest.approx(1.0), "A": pytest.approx(10.0)}


def test_a_side_that_would_be_refused_is_known_before() -> None:
    """What the core asks of a side that wants to quote so many lots; what already rests is not counted twice."""
    perp = facts(40)
    gate = _gate(perp, max_notional_atto=5 * ATTO)
    ledger = ledger_with(place(1, lots=6))
    assert gate.exposure.bar(perp, Side.BUY, 10, ledger) is None
    assert gate.exposure.bar(perp, Side.BUY, 11, ledger) == (RefusalCode.WORST_NOTIONAL, 5.1, 5.0)
    assert gate.exposure.bar(perp, Side.SELL, 11, ledger) is None


def test_margin_leaves_its_share_of_the_balance_free() -> None:
    """A tenth of the worst side's value; of a balance of 1, four fifths must stay free: 20 lots of 0.01 at 10."""
    perp = facts(initial_margin=0.1)
    gate = _gate(perp, min_margin_headroom=0.8)
    assert _code(gate, place(1, lots=50), perp) is None  # nothing is known of the balance
    gate.exposure.balances[VENUE, "USD"] = ATTO
    assert _code(gate, place(1, lots=20), perp) is None
    assert str(_code(gate, place(1, lots=21), perp)).startswith(f"{RefusalCode.MARGIN_LOW} 0.79")
    perp.position_lots = 30
    assert str(_code(gate, place(1, lots=1), perp)).startswith(RefusalCode.MARGIN_LOW)
    assert _code(gate, place(1, Side.SELL, 101, 20), perp) is None
    assert gate.exposure.headrooms(OrderLedger({})) == {(VENUE, "USD"): pytest.approx(0.7)}
    assert gate.exposure.bar(perp, Side.SELL, 0, OrderLedger({})) is None


def test_the_mark_counts_before_the_mid() -> None:
    """The venue values positions by its mark."""
    perp = facts(100)
    perp.mark_half_ticks = 300
    gate = _gate(perp, max_notional_atto=ATTO)
    assert gate.exposure.notionals(OrderLedger({})) == {"X": pytest.approx(15.0)}
    perp.mark_half_ticks = None
    perp.book.apply_snapshot(BookSnapshot(perp.instrument.id, 0, 0, (), (), 2))
    assert gate.exposure.notionals(OrderLedger({})) == {}


def test_our_orders_under_another_account_in_the_same_book_are_not_crossed() -> None:
    """G7: the venue would let them trade with each other, and call it a wash."""
    here, there = facts(), facts(0, instrument(venue=OTHER))
    here.twins = (there.instrument.id,)
    ledger = ledger_with(msgspec.structs.replace(place(7, Side.SELL, 100), instrument=instrument_id(OTHER, "XYZ")))
    gate = _gate(here, there)
    assert _code(gate, place(1, ticks=99), here, ledger) is None
    assert _code(gate, place(1, ticks=100), here, ledger) == f"{RefusalCode.SELF_CROSS} 100 100"
    here.twins = ()
    assert _code(gate, place(1, ticks=100), here, ledger) is None
