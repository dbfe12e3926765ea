"""Exact P&L of a position."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.domain.errors import GridError
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.domain.money import ATTO
from mm_daemon.engine.inventory import Position, fee_from_text, received_from_text


def _instrument(tick: str = "0.1", lot: str = "0.001", multiplier: str = "1", *, inverse: bool = False) -> Instrument:
    return Instrument(
        venue=Venue("test"),
        symbol="BTC-USD",
        base="BTC",
        quote="USD",
        tick=Decimal(tick),
        lot=Decimal(lot),
        multiplier=Decimal(multiplier),
        maker_fee_ppm=-100,
        taker_fee_ppm=500,
        inverse=inverse,
    )


def test_round_trip_earns_the_spread_and_nothing_else() -> None:
    """Bought half a tick under and sold half a tick over an unmoved mid: one tick, all of it spread."""
    position = Position(_instrument())
    position.fill(10, 600_000, 1_200_001, fee_atto=0)
    position.fill(-10, 600_001, 1_200_001, fee_atto=0)
    assert position.spread_atto == position.total_atto == ATTO // 1000
    assert position.inventory_atto == 0
    assert position.cash_atto == position.total_atto


def test_mid_moves_count_for_the_lots_held_at_the_time() -> None:
    """Long ten lots over a rise of two dollars earns two cents; flat earns nothing."""
    position = Position(_instrument(), half_ticks=1_200_000)
    position.mark(1_200_100)
    assert position.inventory_atto == 0
    position.fill(10, 600_050, 1_200_100, fee_atto=0)
    position.mark(1_200_140)
    assert position.inventory_atto == ATTO * 2 // 100


def test_fee_is_estimated_by_role_until_the_venue_names_its_own() -> None:
    """The difference is booked when it comes, and the fee no longer counts as an estimate."""
    position = Position(_instrument())
    maker = position.fill(10, 600_000, 1_200_001, fee_atto=None)
    taker = position.fill(10, 600_000, 1_200_001, fee_atto=None, maker=False)
    assert (maker.fee_atto, taker.fee_atto) == (-600 * ATTO // 10_000, 3 * ATTO // 10)
    assert position.estimated_fees == 2
    position.correct_fee(taker.fee_atto, ATTO // 4)
    assert position.fees_atto == 600 * ATTO // 10_000 - ATTO // 4
    assert position.estimated_fees == 1


def test_fill_without_a_valid_mid_uses_the_last_one_and_says_so() -> None:
    """Before any mid at all, the fill's own price stands in: nothing earned, nothing lost."""
    position = Position(_instrument())
    first = position.fill(10, 600_000, None, fee_atto=0)
    assert first.stale_mid
    assert position.total_atto == 0
    position.mark(1_200_010)
    assert position.fill(-10, 600_010, None, fee_atto=0).stale_mid
    assert position.spread_atto == 5 * ATTO // 1000  # ten lots sold half a dollar over it
    assert position.stale_mids == 2


def test_funding_paid_replaces_its_estimate() -> None:
    """Estimate and payment together book exactly what the venue paid."""
    position = Position(_instrument(), lots=10, half_ticks=1_200_000)
    estimated = position.estimate_funding(1_200_000, 100_000_000)
    assert estimated == -6 * ATTO // 100
    position.funding_paid(-5 * ATTO // 100, estimated_atto=estimated)
    assert position.funding_atto == -5 * ATTO // 100


def test_average_price_follows_the_open_position() -> None:
    """Weighted while growing, unmoved while shrinking, the fill's own price after turning round, none when flat."""
    position = Position(_instrument())
    averages = []
    for lots, ticks in ((10, 100), (10, 110), (-5, 200), (-25, 120), (10, 90)):
        position.fill(lots, ticks, 2 * ticks, fee_atto=0)
        averages.append(position.average_ticks)
    assert averages == [100.0, 105.0, 105.0, 120.0, None]


def test_inverse_contract_earns_coin() -> None:
    """A hundred dollars a contract, bought at 50000 and sold at 51000: the difference of the two amounts of coin."""
    position = Position(_instrument("0.5", "1", "100", inverse=True))
    position.fill(7, 100_000, 200_000, fee_atto=0)
    position.fill(-7, 102_000, 204_000, fee_atto=0)
    expected = 7 * 100 * ATTO * (51_000 - 50_000) // (50_000 * 51_000)
    assert abs(position.total_atto - expected) <= 7
    assert position.total_atto == position.cash_atto
    assert position.inventory_atto == position.total_atto
    position.fill(1, 100_000, 200_000, fee_atto=0)
    position.fill(1, 50_000, 100_000, fee_atto=0)
    assert position.average_ticks == pytest.approx(200_000 / 3)


@pytest.mark.parametrize(("tick", "lot"), [("0.0000001", "0.0000001"), ("0.0001", "0.0000000001"), ("0", "1")])
def test_contract_too_fine_for_exact_money_is_refused(tick: str, lot: str) -> None:
    """Half of tick times lot must be a multiple of 1e-12; the error names the instrument and the figures."""
    with pytest.raises(GridError, match=r"test:BTC-USD: tick .* cannot be traded"):
        Position(_instrument(tick, lot))
    with pytest.raises(GridError, match="positive"):
        Position(_instrument("0.5", "0", inverse=True))


def test_money_texts_round_against_us_and_keep_the_rest() -> None:
    """A fee rounds up and a payment down; atto plus rest is what the venue wrote."""
    assert fee_from_text("0.0000000000000000013") == (2, -700_000)
    assert fee_from_text("-0.0000000000000000013") == (-1, -300_000)
    assert fee_from_text("0.009") == (9 * ATTO // 1000, 0)
    assert received_from_text("0.0000000000000000013") == (1, 300_000_000_000)
    assert received_from_text("-0.0000000000000000013") == (-2, 700_000_000_000)
    for text in ("", "x", "NaN", "Infinity", "1e999999"):
        with pytest.raises(GridError):
            fee_from_text(text)


def test_rest_of_a_fee_text_enters_the_next_estimate() -> None:
    """What was rounded up once is not charged again: the books stay within an atto of the truth."""
    position = Position(_instrument())
    charged, rest = fee_from_text("0.0000000000000000013")
    position.fill(1, 600_000, 1_200_001, fee_atto=charged, fee_rest=rest)
    booked = position.fill(-1, 600_000, 1_200_001, fee_atto=None)
    exact = -60 * ATTO // 10_000
    assert booked.fee_atto == exact - 1
    assert position.fee_residue == 300_000


# Fees out of the base


@given(
    st.lists(
        st.tuples(st.integers(-50, 50).filter(bool), st.integers(500_000, 700_000), st.integers(-2000, 3000)),
        max_size=30,
    )
)
def test_fees_out_of_the_base_take_whole_lots_and_money_stays_exact(fills: list[tuple[int, int, int]]) -> None:
    """The lots are what is held, rounded down; the parts are the total; and what is not in lots is less than one."""
    instrument = _instrument()
    lot = int(instrument.lot * ATTO)
    position = Position(instrument, half_ticks=1_200_000)
    held = 0
    for lots, ticks, ppm in fills:
        base_fee = abs(lots) * lot * ppm // 1_000_000 if lots > 0 else 0  # negative: a rebate
        fee = base_fee * ticks // 10  # its value at the price, atto
        position.fill(lots, ticks, 1_200_000, fee_atto=fee, base_fee_atto=base_fee)
        held += lots * lot - base_fee
        assert position.lots == held // lot
        assert position.base_surplus == held - position.lots * lot
        parts = position.spread_atto + position.inventory_atto + position.fees_atto + position.funding_atto
        assert parts == position.total_atto == position.cash_atto + position.lots * position.value(1_200_000)


def test_what_is_held_of_a_lot_outlives_the_process() -> None:
    """A restart goes on from the same surplus."""
    position = Position(_instrument(), half_ticks=1_200_000)
    position.fill(10, 600_000, 1_200_000, fee_atto=0, base_fee_atto=ATTO // 4000)
    assert (position.lots, position.base_surplus) == (9, ATTO // 1000 - ATTO // 4000)
    again = Position(_instrument())
    again.restore(position.state())
    again.fill(10, 600_000, 1_200_000, fee_atto=0, base_fee_atto=ATTO // 4000)
    assert (again.lots, again.base_surplus) == (19, ATTO // 1000 - ATTO // 2000)


@given(
    st.integers(0, 999),
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 200_000)), min_size=1, max_size=30),
)
def test_lots_never_exceed_a_balance_whose_rest_is_not_known(begun: int, fills: list[tuple[int, int]]) -> None:
    """An account that had something already, in thousandths of a lot: told its whole lots now and then, what is
    believed in between is that or less, so that no sale is larger than what is there."""
    instrument = _instrument()
    lot = int(instrument.lot * ATTO)
    position = Position(instrument, half_ticks=1_200_000)
    held = 5 * lot + begun * lot // 1000
    position.adopt(held // lot)
    for count, (lots, ppm) in enumerate(fills):
        base_fee = lots * lot * ppm // 1_000_000
        position.fill(lots, 600_000, 1_200_000, fee_atto=0, base_fee_atto=base_fee)
        held += lots * lot - base_fee
        assert held // lot - 1 <= position.lots <= held // lot
        if count % 3 == 0 and position.lots != held // lot:
            position.adopt(held // lot - position.lots)
            assert position.lots == held // lot
