"""Stoikov's micro-price: the solved table, and what is counted for it."""

import math

import msgspec
import pytest

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.rng import Rng
from mm_daemon.domain.signal_states import AdjustedMicropriceState
from mm_daemon.engine.signals.adjusted_microprice import MIN_MOVES, AdjustedMicroprice, solved_table
from mm_daemon.engine.signals.microprice_table import microprice_stoikov


def predictive(observations: int = 20_000) -> AdjustedMicroprice:
    """A book whose next move goes to the side with less on it, and whose queues are drawn anew each time."""
    rng = Rng(23)
    adjusted = AdjustedMicroprice(buckets=5, spreads=2)
    bid = 1000
    for _ in range(observations):
        bid_lots, ask_lots = 1 + int(rng.uniform() * 100), 1 + int(rng.uniform() * 100)
        adjusted.on_book(bid, bid_lots, bid + 1, ask_lots)
        if rng.uniform() < 0.3:
            bid += 1 if rng.uniform() < bid_lots / (bid_lots + ask_lots) else -1
    return adjusted


def test_table_leans_to_the_heavier_side() -> None:
    """More on the bid is a higher fair price; bid and ask exchanged is its negative; balanced is none."""
    table = solved_table(predictive().state())
    assert table is not None
    by_bucket = [table[bucket * 2] for bucket in range(5)]
    assert by_bucket == sorted(by_bucket)
    assert by_bucket[0] == pytest.approx(-by_bucket[4])
    assert by_bucket[2] == pytest.approx(0.0, abs=1e-12)
    assert 0.2 < by_bucket[4] < 1.0


def test_table_is_looked_up_by_the_book_at_hand() -> None:
    """Nothing before there is a table and while the book is lost; then the state's entry. Counts halve."""
    adjusted = predictive(600)
    table, moves = solved_table(adjusted.state(), min_moves=100), adjusted.moves
    assert table is not None
    assert adjusted.shift_ticks is adjusted.shift_of(5000, 99, 5001, 1) is None
    adjusted.adopt(table)
    assert adjusted.moves == moves // 2
    adjusted.on_book(5000, 99, 5001, 1)
    assert adjusted.shift_ticks == adjusted.shift_of(5000, 99, 5001, 1) == table[8]
    adjusted.on_book(5000, 1, 5002, 99)
    assert adjusted.shift_ticks == table[1]
    adjusted.lose_book()
    assert adjusted.shift_ticks is None
    with pytest.raises(DomainError):
        adjusted.adopt((0.0,))


def test_too_few_moves_make_no_table() -> None:
    """Nor does a book that never moved."""
    assert solved_table(AdjustedMicroprice().state()) is None
    assert solved_table(predictive(100).state(), min_moves=200) is None


def test_no_transition_over_a_lost_book() -> None:
    """Whatever the price was before and is after: it did not move."""
    adjusted = AdjustedMicroprice()
    adjusted.on_book(100, 5, 101, 5)
    adjusted.lose_book()
    adjusted.on_book(900, 9, 901, 5)
    assert adjusted.moves == 0
    assert sum(adjusted.state().stay) == 0.0


def test_bad_books_are_dropped() -> None:
    """Crossed, empty, negative or not a number."""
    adjusted = AdjustedMicroprice()
    for touch in ((101, 1, 101, 1), (100, 0, 101, 1), (100, 1, 101, -1), (100, math.nan, 101, 1), (0, 1, 101, 1)):
        adjusted.on_book(*touch)
    assert adjusted.dropped == 5
    with pytest.raises(DomainError):
        AdjustedMicroprice(buckets=0)


def test_state_of_other_buckets_is_left() -> None:
    """Counts by five buckets mean nothing to nine."""
    nine = AdjustedMicroprice()
    nine.restore(predictive(100).state())
    assert nine.moves == 0


def test_slowly_mixing_book_is_summed_to_the_end() -> None:
    """After each move the state persists with 0.9999: ten thousand terms, a handful of doublings."""
    stay, moves = [[0.5, 0.0], [0.0, 0.5]], [[0.5, 0.0], [0.0, 0.5]]
    move_to = [[0.49995, 0.00005], [0.00005, 0.49995]]
    first, total = microprice_stoikov(stay, moves, [-1.0, 1.0], move_to)
    assert first == pytest.approx([-1.0, 1.0])
    assert total == pytest.approx([-5000.0, 5000.0], rel=1e-9)


def test_sum_without_end_and_matrices_that_do_not_fit_are_refused() -> None:
    """A drift (not symmetrised), states that never move, wrong shapes, no numbers."""
    with pytest.raises(DomainError, match="converge"):
        microprice_stoikov([[0.5]], [[0.5]], [1.0], [[0.5]])
    with pytest.raises(DomainError, match="never moves"):
        microprice_stoikov([[1.0]], [[0.0]], [1.0], [[0.0]])
    with pytest.raises(DomainError, match="square"):
        microprice_stoikov([[0.5, 0.1]], [[0.4]], [1.0], [[0.4]])
    with pytest.raises(DomainError):
        microprice_stoikov([[0.5]], [[0.4, 0.1]], [1.0], [[0.4]])
    with pytest.raises(DomainError):
        microprice_stoikov([[math.nan]], [[0.5]], [1.0], [[0.5]])
    with pytest.raises(DomainError):
        microprice_stoikov([], [], [], [])


def test_a_table_is_solved_by_itself_in_steps() -> None:
    """After 200 moves the table of the counts as they were then comes, a step a book, and a better one after 400."""
    whole, live, rng, bid = AdjustedMicroprice(), AdjustedMicroprice(), Rng(5), 1000
    wanted, waited, tables = None, 0, []
    for _ in range(6000):
        bid_lots, ask_lots = 1 + int(rng.uniform() * 100), 1 + int(rng.uniform() * 100)
        before = live.table
        live.on_book(bid, bid_lots, bid + 1, ask_lots)
        if wanted is None and not live.table:
            whole.on_book(bid, bid_lots, bid + 1, ask_lots)
            if whole.moves == MIN_MOVES:
                wanted = solved_table(whole.state())
        elif not live.table:
            waited += 1
        if live.table is not before:
            tables.append((live.table, live.moves_wanted))
        if rng.uniform() < 0.3:
            bid += 1 if rng.uniform() < bid_lots / (bid_lots + ask_lots) else -1
    assert tables[0] == (wanted, 2 * MIN_MOVES)
    assert 8 <= waited <= 40
    assert [moves for _, moves in tables] == [400, 800, 1600][: len(tables)]
    assert len(tables) >= 2


def test_counts_without_a_solution_leave_the_last_table() -> None:
    """A book that always has more on the bid never comes back to balance: no table, and no exception."""
    adjusted = AdjustedMicroprice()
    for step in range(3000):
        adjusted.on_book(1000 + step, 99 - 10 * (step % 2), 1001 + step, 1)
    assert adjusted.table == ()
    assert adjusted.moves_wanted > MIN_MOVES
    assert adjusted.shift_ticks is None


def test_a_state_of_before_tables_were_solved_is_read() -> None:
    """One field less, as older versions wrote it."""
    written = msgspec.to_builtins(predictive(300).state())
    read = msgspec.convert(written[:-1], AdjustedMicropriceState)
    assert read.due_moves == MIN_MOVES
    five = AdjustedMicroprice(buckets=5, spreads=2)
    five.restore(read)
    assert five.moves == read.moves
