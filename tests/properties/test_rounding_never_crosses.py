"""Laws of rounding: a bid goes down, an ask goes up, neither crosses the market and the two never meet."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.domain.book import NO_ASK, NO_BID
from mm_daemon.domain.instrument import FixedTick, PriceGrid, SignificantFigures, grid_ceil, grid_floor, grid_rounding
from mm_daemon.engine.rounding import round_quotes

_PRICES = st.floats(min_value=1.0, max_value=1e8, allow_nan=False)
_GRIDS: st.SearchStrategy[PriceGrid] = st.one_of(
    st.just(FixedTick()), st.builds(SignificantFigures, figures=st.just(5), decimals=st.integers(0, 4))
)


@st.composite
def _touches(draw: st.DrawFn, grid: PriceGrid) -> tuple[int, int]:
    """A best bid and ask on the grid, either side possibly empty."""
    bid = grid_floor(draw(st.integers(10, 10**8)), grid)
    ask = grid_ceil(bid + draw(st.integers(1, 1000)), grid)
    empty = draw(st.sampled_from(["none", "bid", "ask"]))
    return (NO_BID if empty == "bid" else bid), (NO_ASK if empty == "ask" else ask)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), grid=_GRIDS, bid=_PRICES, ask=_PRICES)
def test_post_only_quotes_never_cross(data: st.DataObject, grid: PriceGrid, bid: float, ask: float) -> None:
    """Whatever the model asks for: on the grid, off the opposite best price, bid under ask, never more aggressive."""
    best_bid, best_ask = data.draw(_touches(grid))
    floor, ceil = grid_rounding(grid)
    bid_ticks, ask_ticks = round_quotes(bid, ask, best_bid, best_ask, floor=floor, ceil=ceil)
    assert bid_ticks < best_ask
    assert ask_ticks > best_bid
    assert bid_ticks < ask_ticks
    assert bid_ticks <= bid * (1 + 1e-11)
    assert ask_ticks >= ask * (1 - 1e-11)
    assert grid_floor(bid_ticks, grid) == bid_ticks
    assert grid_ceil(ask_ticks, grid) == ask_ticks


@settings(max_examples=300, deadline=None)
@given(best_bid=st.integers(1, (1 << 53) - 2), off=st.integers(-3, 3), width=st.integers(1, 3))
def test_neither_side_locks_however_many_ticks_a_price_has(best_bid: int, off: int, width: int) -> None:
    """As far as whole ticks are numbers: at the touch, bid and ask stay apart and whole prices where they are."""
    best_ask = min(best_bid + width, (1 << 53) - 1)
    wanted = float(max(best_bid + off, 1))
    bid, ask = round_quotes(wanted, wanted, best_bid, best_ask)
    assert bid < ask
    assert (bid, ask) == (min(int(wanted), best_ask - 1), max(bid + 1, int(wanted), best_bid + 1))


@settings(max_examples=200, deadline=None)
@given(ticks=st.integers(2, 10**9), tick=st.sampled_from([0.1, 0.01, 0.0001, 0.5, 1e-6]))
def test_price_written_on_a_tick_stays_on_it(ticks: int, tick: float) -> None:
    """Float noise of a price that is a whole number of ticks moves neither side."""
    price = ticks * tick / tick
    assert round_quotes(price, price, NO_BID, NO_ASK, post_only=False) == (ticks, ticks + 1)
