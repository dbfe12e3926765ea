"""Stoikov's micro-price, live: transitions of the book's state counted, a solved table looked up (MODELS 6.5).

A state is a bucket of the imbalance and the spread in ticks. Counting and looking up are O(1) per change of the book.
The table is solved in small steps, one a change of the book, each cheaper than a decision: first after `MIN_MOVES`
moves of the mid, then each time as many have been counted again as the last one rests on. Until there is a table the
adjustment is None and the fair price another's.

Source: Stoikov, "The micro-price: a high-frequency estimator of future prices", Quantitative Finance 18 (2018).
"""

from collections.abc import Generator, Sequence
from operator import add

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import AdjustedMicropriceState
from mm_daemon.engine.signals.microprice_table import eliminating

_BEYOND = 1e15
MIN_MOVES = 200
"""Moves of the mid that the first table rests on."""
_MOST_MOVES = 16 * MIN_MOVES
"""Moves that any later one waits for: some hours of a slow market, some minutes of a wild one."""

Table = tuple[float, ...]
Solving = Generator[None, None, Table | None]


class AdjustedMicroprice:
    """`shift_ticks`: what to add to the mid of the book last seen, in ticks; None without a table. `table`: that by
    state, empty before the first. `moves`: moves of the mid counted. `dropped`: books that were no book.

    Self-transitions are not counted: they cancel out of the solution. Jumps count as at most `max_jump` half-ticks.
    """

    __slots__ = (
        "_buckets",
        "_due_moves",
        "_half",
        "_jumps",
        "_max_jump",
        "_solving",
        "_spreads",
        "_state",
        "_stay",
        "_to",
        "dropped",
        "moves",
        "shift_ticks",
        "table",
    )

    _stay: list[float]
    _to: list[float]
    _jumps: list[float]
    moves: int

    def __init__(self, buckets: int = 9, spreads: int = 2, max_jump: int = 8) -> None:
        """`buckets` of the imbalance (odd: balanced books get one of their own); spreads of 1, 2, ... ticks, the last
        one standing for all that are wider.
        """
        if buckets < 1 or spreads < 1 or max_jump < 1:
            raise DomainError(f"{buckets} buckets x {spreads} spreads, jumps to {max_jump}: none may be below 1")
        self._buckets, self._spreads, self._max_jump = buckets, spreads, max_jump
        self._forget()
        self._half = 0
        self._state = -1
        self._due_moves = MIN_MOVES
        self._solving: Solving | None = None
        self.table: Table = ()
        self.shift_ticks: float | None = None
        self.dropped = 0

    def on_book(self, bid_ticks: int, bid_lots: float, ask_ticks: int, ask_lots: float) -> None:
        """The touch of a trusted book after a change."""
        spread = ask_ticks - bid_ticks
        if not (0 < spread < _BEYOND and 0.0 < bid_lots < _BEYOND and 0.0 < ask_lots < _BEYOND and bid_ticks > 0):
            self.dropped += 1
            return
        buckets, spreads = self._buckets, self._spreads
        bucket = int(buckets * bid_lots / (bid_lots + ask_lots))
        if bucket >= buckets:
            bucket = buckets - 1
        state = bucket * spreads + (spread if spread < spreads else spreads) - 1
        half, before = bid_ticks + ask_ticks, self._state
        if before >= 0:
            jump = half - self._half
            if jump:
                most = self._max_jump
                self._jumps[before] += -most if jump < -most else jump if jump < most else most
                self._to[before * buckets * spreads + state] += 1.0
                self.moves += 1
            elif state != before:
                self._stay[before * buckets * spreads + state] += 1.0
            else:
                return
        self._half, self._state = half, state
        if self.moves >= self._due_moves:
            self._solve_further()
        if self.table:
            self.shift_ticks = self.table[state]

    def shift_of(self, bid_ticks: int, bid_lots: float, ask_ticks: int, ask_lots: float) -> float | None:
        """What to add to the mid of this book, in ticks; None without a table or where a best price has no size."""
        total = bid_lots + ask_lots
        if not self.table or not 0.0 < total < _BEYOND:
            return None
        buckets, spreads, spread = self._buckets, self._spreads, ask_ticks - bid_ticks
        bucket = int(buckets * bid_lots / total)
        if bucket >= buckets:
            bucket = buckets - 1
        return self.table[bucket * spreads + (spread if spread < spreads else spreads) - 1]

    @property
    def moves_wanted(self) -> int:
        """How many moves of the mid the next table waits for."""
        return self._due_moves

    def lose_book(self) -> None:
        """The book is not trusted: from here to the next one there is no transition."""
        self._state = -1
        self.shift_ticks = None
        self._solving = None

    def state(self) -> AdjustedMicropriceState:
        """All it has learned: what `solved_table` works on and a checkpoint keeps."""
        return AdjustedMicropriceState(
            self._buckets,
            self._spreads,
            tuple(self._stay),
            tuple(self._to),
            tuple(self._jumps),
            self.moves,
            self.table,
            self._due_moves,
        )

    def restore(self, state: AdjustedMicropriceState) -> None:
        """Go on from `state`; one with other buckets is of no use and leaves all as it is."""
        if (state.buckets, state.spreads) != (self._buckets, self._spreads):
            return
        self._stay, self._to, self._jumps = list(state.stay), list(state.to), list(state.jumps)
        self.moves = state.moves
        self.table = state.table if len(state.table) == self._buckets * self._spreads else ()
        self._due_moves = state.due_moves
        self.lose_book()

    def adopt(self, table: Table) -> None:
        """Look up in this table from now on. Halves the counts, so that older transitions weigh less in the next."""
        if len(table) != self._buckets * self._spreads:
            raise DomainError(f"a table of {len(table)} for {self._buckets} x {self._spreads} states")
        self.table = table
        self._halve()
        if self._state >= 0:
            self.shift_ticks = table[self._state]

    def _solve_further(self) -> None:
        """A step, which ends with a table or without one. What was counted meanwhile is for the next."""
        solving = self._solving
        if solving is None:
            self._solving = solving = solving_table(self.state())
        try:
            next(solving)
        except StopIteration as ended:
            self._solving = None
            self._due_moves = min(2 * self._due_moves, _MOST_MOVES)
            table: Table | None = ended.value
            if table is None:
                self._halve()
            else:
                self.adopt(table)

    def _halve(self) -> None:
        for counted in (self._stay, self._to, self._jumps):
            counted[:] = [0.5 * count for count in counted]
        self.moves //= 2

    def _forget(self) -> None:
        n = self._buckets * self._spreads
        self._stay, self._to, self._jumps = [0.0] * (n * n), [0.0] * (n * n), [0.0] * n
        self.moves = 0


def solved_table(counts: AdjustedMicropriceState, min_moves: int = MIN_MOVES) -> Table | None:
    """The adjustment by state, in ticks; None while too few moves were counted, or where they have no solution."""
    if counts.moves < min_moves:
        return None
    solving = solving_table(counts)
    while True:
        try:
            next(solving)
        except StopIteration as ended:
            table: Table | None = ended.value
            return table


def solving_table(counts: AdjustedMicropriceState) -> Solving:
    """The same in steps of some microseconds; what it returns is the table.

    Every observation counts as its mirror image too (bid and ask exchanged, jump negated), so that the adjustment of a
    state is that of its mirror image negated, and zero for balanced books. So half of the states are unknown, `h`, and
    the sum over ever more moves, `(I - B)^-1 (I - Q)^-1 R K`, is the solution of `(I - Q' - T') h = R K` where a primed
    entry is the one to a state less the one to its mirror image. Where ticks are fine it goes beyond the touch: the
    owner bounds its fair price.
    """
    buckets, spreads = counts.buckets, counts.spreads
    n = buckets * spreads
    mirror = [(buckets - 1 - i // spreads) * spreads + i % spreads for i in range(n)]
    heavier = range((buckets + 1) // 2 * spreads, n)
    rows = []
    for i in heavier:
        m = mirror[i]
        here, there = _left(counts, n, i), _left(counts, n, m)
        seen = [here[j] + there[mirror[j]] for j in range(n)]
        row = [seen[mirror[j]] - seen[j] for j in heavier]
        row[i - heavier.start] += sum(seen) or 1.0
        row.append(0.5 * (counts.jumps[i] - counts.jumps[m]))  # half-ticks
        rows.append(row)
        yield
    try:
        yield from eliminating(rows)
    except DomainError:
        return None
    table = [0.0] * n
    for i, row in zip(heavier, rows, strict=True):
        if not abs(row[-1]) < _BEYOND:
            return None
        table[i], table[mirror[i]] = row[-1], -row[-1]
    return tuple(table)


def _left(counts: AdjustedMicropriceState, n: int, i: int) -> Sequence[float]:
    """Transitions from state i to each, with and without a move."""
    here = slice(i * n, (i + 1) * n)
    return list(map(add, counts.stay[here], counts.to[here]))
