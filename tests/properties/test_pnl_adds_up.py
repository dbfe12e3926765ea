"""Laws of exact money: the parts are the total and the total is the cash and the position, to the last atto, always."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.engine.inventory import FEE_PARTS, FUNDING_PARTS, Position

_MIDS = st.integers(2, 10**7)
_RATES = st.integers(-(10**9), 10**9)
_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), _MIDS),
        st.tuples(
            st.just("fill"),
            st.integers(-(10**6), 10**6).filter(bool),
            st.integers(1, 5 * 10**6),
            st.none() | _MIDS,
            st.none() | st.integers(-(10**18), 10**18),
            st.booleans(),
        ),
        st.tuples(st.just("correct"), st.integers(-(10**18), 10**18)),
        st.tuples(st.just("paid"), st.integers(-(10**20), 10**20)),
        st.tuples(st.just("estimate"), _MIDS, _RATES),
    ),
    max_size=30,
)


def _instrument(inverse: bool, tick: str, maker_ppm: int, taker_ppm: int) -> Instrument:
    return Instrument(
        venue=Venue("test"),
        symbol="X-Y",
        base="X",
        quote="Y",
        tick=Decimal(tick),
        lot=Decimal("1") if inverse else Decimal("0.001"),
        multiplier=Decimal(100) if inverse else Decimal(1),
        maker_fee_ppm=maker_ppm,
        taker_fee_ppm=taker_ppm,
        inverse=inverse,
    )


_CONTRACTS = st.builds(
    _instrument,
    st.booleans(),
    st.sampled_from(["0.5", "0.1", "0.0001", "0.03"]),
    st.integers(-300, 1000),
    st.integers(0, 1000),
)


def _book(position: Position, events: list[tuple[object, ...]]) -> None:
    """Every event, checking the identity after each."""
    booked = 0
    for kind, *values in events:
        match kind, values:
            case "mark", [int(mid)]:
                position.mark(mid)
            case "fill", [int(lots), int(ticks), mid, fee, bool(maker)]:
                assert mid is None or isinstance(mid, int)
                assert fee is None or isinstance(fee, int)
                booked = position.fill(lots, ticks, mid, fee_atto=fee, maker=maker).fee_atto
            case "correct", [int(charged)]:
                position.correct_fee(booked, charged)
                booked = charged
            case "paid", [int(amount)]:
                position.funding_paid(amount)
            case "estimate", [int(mark), int(rate)]:
                position.estimate_funding(mark, rate)
        parts = position.spread_atto + position.inventory_atto + position.fees_atto + position.funding_atto
        held = 0 if position.half_ticks is None else position.lots * position.value(position.half_ticks)
        assert parts == position.total_atto == position.cash_atto + held
        assert 0 <= position.fee_residue < FEE_PARTS
        assert 0 <= position.funding_residue < FUNDING_PARTS


@settings(max_examples=250, deadline=None)
@given(
    contract=_CONTRACTS,
    lots=st.integers(-(10**6), 10**6),
    mid=st.none() | _MIDS,
    events=_EVENTS,
)
def test_parts_total_cash_and_position_agree(
    contract: Instrument, lots: int, mid: int | None, events: list[tuple[object, ...]]
) -> None:
    """After every event of any history, linear or inverse: parts = total = cash + lots * value(mid), as integers.

    The start counts as bought at the first mid seen, so the total begins at zero.
    """
    position = Position(contract, lots, mid)
    if mid is None and lots:
        position.mark(1000)
    assert position.total_atto == 0
    _book(position, events)


@settings(max_examples=100, deadline=None)
@given(contract=_CONTRACTS, moves=st.lists(_MIDS, min_size=1, max_size=20), lots=st.integers(-1000, 1000))
def test_marks_between_fills_add_up_to_one(contract: Instrument, moves: list[int], lots: int) -> None:
    """However often the mid was looked at, inventory P&L depends on where it started and ended."""
    often, once = Position(contract, lots, 500), Position(contract, lots, 500)
    for mid in moves:
        often.mark(mid)
    once.mark(moves[-1])
    assert often.inventory_atto == once.inventory_atto
