"""Stoikov's micro-price, live: transitions of the book's state counted, a solved table looked up (MODELS 6.5).

A state is a bucket of the imbalance and the spread in ticks. Counting and looking up are O(1) per change of the book.
Now and then (hourly) the owner has `solved_table` work on `state()` off the hot path and gives the result to `adopt`.
A table needs no readiness of its own: until there is one the adjustment is None and the fair price another's.
"""

from mm_daemon.domain.errors import DomainError
from mm_daemon.domain.signal_states import AdjustedMicropriceState
from mm_daemon.engine.signals.microprice_table import solve

_BEYOND = 1e15


class AdjustedMicroprice:
    """`shift_ticks`: what to add to the mid of the book last seen, in ticks; None without a table. `moves`: moves of
    the mid counted. `dropped`: books that were no book.

    Self-transitions are not counted: they cancel out of the solution. Jumps count as at most `max_jump` half-ticks.
    """

    __slots__ = (
        "_buckets",
        "_half",
        "_jumps",
        "_max_jump",
        "_spreads",
        "_state",
        "_stay",
        "_table",
        "_to",
        "dropped",
        "moves",
        "shift_ticks",
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
        self._table: tuple[float, ...] = ()
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
        if self._table:
            self.shift_ticks = self._table[state]

    def lose_book(self) -> None:
        """The book is not trusted: from here to the next one there is no transition."""
        self._state = -1
        self.shift_ticks = None

    def state(self) -> AdjustedMicropriceState:
        """All it has learned: what `solved_table` works on and a checkpoint keeps."""
        return AdjustedMicropriceState(
            self._buckets,
            self._spreads,
            tuple(self._stay),
            tuple(self._to),
            tuple(self._jumps),
            self.moves,
            self._table,
        )

    def restore(self, state: AdjustedMicropriceState) -> None:
        """Go on from `state`; one with other buckets is of no use and leaves all as it is."""
        if (state.buckets, state.spreads) != (self._buckets, self._spreads):
            return
        self._stay, self._to, self._jumps = list(state.stay), list(state.to), list(state.jumps)
        self.moves = state.moves
        self._table = state.table
        self.lose_book()

    def adopt(self, table: tuple[float, ...]) -> None:
        """Look up in this table from now on. Halves the counts, so that older transitions weigh less in the next."""
        if len(table) != self._buckets * self._spreads:
            raise DomainError(f"a table of {len(table)} for {self._buckets} x {self._spreads} states")
        self._table = table
        for counted in (self._stay, self._to, self._jumps):
            counted[:] = [0.5 * count for count in counted]
        self.moves //= 2
        if self._state >= 0:
            self.shift_ticks = table[self._state]

    def _forget(self) -> None:
        n = self._buckets * self._spreads
        self._stay, self._to, self._jumps = [0.0] * (n * n), [0.0] * (n * n), [0.0] * n
        self.moves = 0


def solved_table(counts: AdjustedMicropriceState, min_moves: int = 200) -> tuple[float, ...] | None:
    """The adjustment by state, in ticks; None while too few moves were counted, or where they have no solution.

    Every observation counts as its mirror image too (bid and ask exchanged, jump negated). Where ticks are fine the
    adjustment goes beyond the touch: the caller bounds the whole shift of its fair price (`overlays/shifts.py`).
    """
    if counts.moves < min_moves:
        return None
    buckets, spreads = counts.buckets, counts.spreads
    n = buckets * spreads
    mirror = [(buckets - 1 - i // spreads) * spreads + i % spreads for i in range(n)]
    stay, to, gain = [], [], []
    for i, m in enumerate(mirror):
        stays = [counts.stay[i * n + j] + counts.stay[m * n + mirror[j]] for j in range(n)]
        moves = [counts.to[i * n + j] + counts.to[m * n + mirror[j]] for j in range(n)]
        seen = sum(stays) + sum(moves)
        scale = 1.0 / seen if seen else 0.0
        stay.append([count * scale for count in stays])
        to.append([count * scale for count in moves])
        gain.append(0.5 * (counts.jumps[i] - counts.jumps[m]) * scale)  # half-ticks
    try:
        _, g = solve(stay, gain, to)
    except DomainError:
        return None
    return tuple(g)
