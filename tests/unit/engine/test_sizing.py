"""Lots of money and of displayed depth: never more than was said, and in steps, so that quotes do not flutter."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.domain.book import OrderBook
from mm_daemon.domain.decisions import Reason
from mm_daemon.domain.events import BookSnapshot
from mm_daemon.domain.money import ATTO
from mm_daemon.domain.orders import Side
from mm_daemon.engine.pricing import Pricing
from mm_daemon.engine.quote_engine import QuoteEngine
from mm_daemon.engine.sizing import DepthCap, MoneySizes, has_drifted, impact_lots
from mm_daemon.testkit.builders import SYMBOL, delta, instrument, snapshot
from tests.unit.engine.quoting import BID, S, book, engine, priced

CONTRACT = instrument()
_TOO_SMALL = Reason.SIZE_BELOW_MIN.bit


@given(
    order=st.integers(1, 10**7),
    longest=st.integers(0, 10**8),
    shorts=st.booleans(),
    lot_atto=st.integers(1, 10**22),
    most=st.none() | st.integers(0, 10**6),
)
def test_lots_are_never_worth_more_than_the_money(
    order: int, longest: int, shorts: bool, lot_atto: int, most: int | None
) -> None:
    """Order and limits; and the limits hold no more orders than the money does."""
    money = MoneySizes(
        order_atto=order * ATTO, max_position_atto=longest * ATTO, min_position_atto=-longest * ATTO if shorts else 0
    )
    sizes = money.at(lot_atto, most)
    assert 0 <= sizes.order_lots * lot_atto <= order * ATTO
    assert 0 <= sizes.max_position_lots * lot_atto <= longest * ATTO
    assert sizes.min_position_lots == (-sizes.max_position_lots if shorts else 0)
    assert sizes.max_position_lots * order <= sizes.order_lots * longest
    assert most is None or sizes.order_lots <= most


def test_a_price_has_drifted_beyond_one_hundredth() -> None:
    """In either direction."""
    assert [has_drifted(at, 10_000) for at in (10_000, 10_100, 10_101, 9_900, 9_899)] == [
        False,
        False,
        True,
        False,
        True,
    ]


def _deep(bid_lots: int, ask_lots: int, at_ms: int = 0) -> OrderBook:
    """Ten adjoining levels a side."""
    made = OrderBook()
    made.apply_snapshot(snapshot(at_ms, BID, BID + 1, lots=bid_lots, depth=10))
    made.apply_delta(delta(at_ms, asks=tuple((BID + 1 + i, ask_lots) for i in range(10))))
    return made


@given(
    levels=st.dictionaries(st.integers(1, 400), st.integers(1, 50), min_size=1, max_size=60),
    bound=st.integers(1, 400),
    buys=st.booleans(),
)
def test_depth_is_the_sum_of_the_levels_up_to_a_price(levels: dict[int, int], bound: int, buys: bool) -> None:
    """Whether by prices or by levels; an empty side has none."""
    made = OrderBook()
    own = tuple(levels.items())
    made.apply_snapshot(BookSnapshot(SYMBOL, 0, 0, own if buys else (), () if buys else own, 1))
    side = Side.BUY if buys else Side.SELL
    inside = [lots for ticks, lots in levels.items() if (ticks >= bound if buys else ticks <= bound)]
    assert made.lots_within(side, bound) == sum(inside)
    assert made.lots_within(Side.SELL if buys else Side.BUY, bound) == 0


def test_a_cap_is_a_share_of_what_is_near_enough() -> None:
    """A reach of four ticks and a half from the mid holds five bids and five asks."""
    cap = DepthCap(0.1, 4.5 / BID * 1e4, 0.25)
    assert cap.lots is None
    assert cap.look(_deep(100, 70), 0)
    assert cap.lots == (50, 35)


def test_a_cap_is_looked_at_seldom_and_changes_by_steps() -> None:
    """Not within a second, not for less than the tolerance; down at once, up when it has been there for ten looks."""
    cap = DepthCap(0.1, 1.0, 0.25)
    cap.look(_deep(100, 100), 0)
    assert cap.lots == (100, 100)
    assert not cap.look(_deep(1, 1), S - 1)
    assert not cap.look(_deep(124, 76), S)
    assert cap.look(_deep(126, 74), 2 * S)
    assert cap.lots == (100, 74)
    assert not any(cap.look(_deep(130, 74), (3 + look) * S) for look in range(8))
    assert cap.look(_deep(130, 74), 11 * S)
    assert cap.lots == (126, 74)
    again = DepthCap(0.1, 1.0, 0.25)
    again.restore(cap.state())
    assert (again.lots, again.state()) == (cap.lots, cap.state())
    cap.shift(-10 * S)
    assert not cap.look(_deep(10, 10), S)
    assert cap.look(_deep(10, 10), 2 * S)
    assert cap.lots == (10, 10)


def test_quotes_are_no_larger_than_the_cap() -> None:
    """Inner and outer levels; what is too thin for the venue's least order is not quoted, and says why."""
    quotes = engine(size_depth_share=0.1, size_depth_bps=1.0, levels=2, level_size_ratio=2.0, max_lots=100)
    assert [quote.lots for quote in priced(quotes).bids] == [10, 20], "nothing was seen yet"
    quotes.look_at_depth(_deep(6, 15), 0)
    pricing = priced(quotes)
    assert [quote.lots for quote in pricing.bids] == [6, 6]
    assert [quote.lots for quote in pricing.asks] == [10, 15]
    assert not any(quote.trimmed for quote in (*pricing.bids, *pricing.asks)), "no limit: a working size may stay near"
    thin = engine(size_depth_share=0.01, size_depth_bps=1.0)
    thin.look_at_depth(book(lots=99), 0)
    assert (priced(thin).bid.lots, priced(thin).bid.obstacles) == (0, _TOO_SMALL)


def test_a_resized_engine_prices_alike() -> None:
    """As many orders held are priced the same, whatever the lots of one."""
    small, large = engine(order_lots=10, max_lots=50), engine(order_lots=10, max_lots=50)
    large.resize(1000, -5000, 5000)
    for orders in (-4, 0, 3):
        before, after = priced(small, lots=10 * orders), priced(large, lots=1000 * orders)
        assert (before.bid.ticks, before.ask.ticks, before.q) == (after.bid.ticks, after.ask.ticks, after.q)
        assert (100 * before.bid.lots, 100 * before.ask.lots) == (after.bid.lots, after.ask.lots)
    large.resize(0, 0, 0)
    nothing = priced(large)
    assert nothing.bid.obstacles == nothing.ask.obstacles == _TOO_SMALL


@given(impact=st.floats(1e-3, 1e3), a_lot=st.floats(1e-9, 1e6))
def test_an_order_never_moves_the_mid_by_more_than_it_may(impact: float, a_lot: float) -> None:
    """And is the largest such, to a tenth, or a lot where that is more."""
    lots = impact_lots(impact, a_lot)
    assert lots is not None
    assert lots * a_lot <= impact * (1.0 + 1e-6)
    assert (lots + max(1, lots // 10 + 1)) * a_lot >= impact * (1.0 - 1e-6)


def test_an_impact_that_is_not_known_or_nothing_bounds_no_order() -> None:
    assert [impact_lots(1.0, a_lot) for a_lot in (None, 0.0, -1.0, 1e-30, float("nan"))] == [None] * 5
    assert [impact_lots(1.0, 1.0 / most) for most in (0.9, 1.0, 2.7, 10.0, 57.9, 579.0)] == [0, 1, 2, 10, 57, 570]


def test_quotes_are_no_larger_than_their_impact_allows() -> None:
    """Each level of both sides; beside the displayed depth the smaller bound holds, and a lot too much is no quote."""
    quotes = engine(size_impact_bps=1.0, levels=2, level_size_ratio=2.0, max_lots=100)
    a_lot = BID * float(CONTRACT.tick * CONTRACT.lot * CONTRACT.multiplier) / 1e6  # millions of quote currency
    wanted = {None: [10, 20], 1.0 / (15 * a_lot): [10, 15], 1.0 / (7 * a_lot): [7, 7], 0.0: [10, 20]}
    for value, lots in wanted.items():
        pricing = _with_kyle(quotes, value)
        assert [quote.lots for quote in pricing.bids] == [quote.lots for quote in pricing.asks] == lots
    assert _with_kyle(quotes, 1.0 / (0.5 * a_lot)).bid.obstacles & _TOO_SMALL
    both = engine(size_impact_bps=1.0, size_depth_share=0.1, size_depth_bps=1.0)
    both.look_at_depth(_deep(200, 5), 0)
    pricing = _with_kyle(both, 1.0 / (7 * a_lot))
    assert (pricing.bid.lots, pricing.ask.lots) == (7, 5)


def _with_kyle(quotes: QuoteEngine, value: float | None) -> Pricing:
    """Priced with Kyle's lambda as given, bps per million of quote currency."""
    state = quotes.conditions.state()
    assert state is not None
    kyle = msgspec.structs.replace(state.kyle, value=value, half_ticks=2 * BID)
    quotes.conditions.restore(msgspec.structs.replace(state, kyle=kyle))
    return priced(quotes)
