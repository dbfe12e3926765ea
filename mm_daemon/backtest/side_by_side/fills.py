"""Fills of two journals in pairs."""

from collections import Counter, deque
from collections.abc import Callable, Sequence

from mm_daemon.backtest.side_by_side.result import FillComparison, FillPair
from mm_daemon.backtest.side_by_side.told import Journal
from mm_daemon.domain.events import OrderFilled
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.journal.history import utc

_FILL_WINDOW_NS = 5_000_000_000
"""Fills of one side and price that are nearer than this, on the venue's clock, are the same one."""
_MOVED_WINDOW_NS = 1_000_000_000
"""And of one side at another price, when nearer than this."""
_PAIRS = 100


def compare_fills(name: InstrumentId, a: Journal, b: Journal) -> FillComparison:
    """Pairs of one side and price first; of what is left, pairs of one side at nearly one time: the price is "
    "another."""
    one, other = ([fill for _, fill in journal.markets[name].fills] for journal in (a, b))
    pairs, left_a, left_b = _paired(one, other, lambda fill: (fill.side, fill.ticks), _FILL_WINDOW_NS)
    priced, left_a, left_b = _paired(left_a, left_b, lambda fill: (fill.side,), _MOVED_WINDOW_NS)
    found: list[tuple[str, OrderFilled | None, OrderFilled | None]] = [
        *((_same(mine, theirs), mine, theirs) for mine, theirs in pairs),
        *(("price", mine, theirs) for mine, theirs in priced),
        *(("only A", fill, None) for fill in left_a),
        *(("only B", None, fill) for fill in left_b),
    ]
    others = sorted((one for one in found if one[0] != "same"), key=_time_of)
    return FillComparison(
        a=len(one),
        b=len(other),
        kinds=dict(sorted(Counter(kind for kind, _, _ in found).items())),
        pairs=tuple(_pair(kind, mine, theirs, a, b, name) for kind, mine, theirs in others[:_PAIRS]),
    )


def _paired(
    a: Sequence[OrderFilled],
    b: Sequence[OrderFilled],
    key: Callable[[OrderFilled], tuple[int, ...]],
    window_ns: int,
) -> tuple[list[tuple[OrderFilled, OrderFilled]], list[OrderFilled], list[OrderFilled]]:
    """Fills of one key that are near in the venue's time, in order; and what is left of both."""
    waiting: dict[tuple[int, ...], deque[OrderFilled]] = {}
    for fill in b:
        waiting.setdefault(key(fill), deque()).append(fill)
    pairs, left_a, left_b = [], [], []
    for fill in a:
        queue = waiting.get(key(fill), deque())
        while queue and _venue_ns(queue[0]) < _venue_ns(fill) - window_ns:
            left_b.append(queue.popleft())
        if queue and _venue_ns(queue[0]) <= _venue_ns(fill) + window_ns:
            pairs.append((fill, queue.popleft()))
        else:
            left_a.append(fill)
    left_b += [fill for queue in waiting.values() for fill in queue]
    return pairs, left_a, sorted(left_b, key=_venue_ns)


def _same(a: OrderFilled, b: OrderFilled) -> str:
    return "role" if a.maker != b.maker else "same" if a.lots == b.lots else "size"


def _time_of(found: tuple[str, OrderFilled | None, OrderFilled | None]) -> int:
    known = found[1] or found[2]
    assert known is not None
    return _venue_ns(known)


def _venue_ns(fill: OrderFilled) -> int:
    return fill.ts_venue_ns or fill.ts_local_ns


def _pair(
    kind: str, a: OrderFilled | None, b: OrderFilled | None, one: Journal, other: Journal, name: InstrumentId
) -> FillPair:
    known = a or b
    assert known is not None
    return FillPair(
        kind=kind,
        side="bought" if known.side > 0 else "sold",
        a=None if a is None else _fill_text(a, one, name),
        b=None if b is None else _fill_text(b, other, name),
    )


def _fill_text(fill: OrderFilled, journal: Journal, name: InstrumentId) -> str:
    contract = journal.contracts[name]
    return f"{utc(_venue_ns(fill))} {contract.size(fill.lots):f} at {contract.price(fill.ticks):f}"
