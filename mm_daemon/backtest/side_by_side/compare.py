"""Two journals side by side: what was decided and filled in each, where they part first, and why.

    A paper run against its backtest, a run before a change against one behind it, one configuration against another.

Both are aligned by the market data: what matters is what was known, not what the clock said. Where the data of a market
are the same, a decision's place is the number of market events before it; where they are not, it is the local time
less the difference of the two starts. Decisions are compared as they stand: at each place where either changes, those
that stand in both are held against each other. A span in which they differ is one difference, told by its kind: the
same decision came later in one of them, or action, reason, price or size are another. Journals are streamed; of market
events twenty bytes each are kept.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from mm_daemon.backtest.side_by_side.fills import compare_fills
from mm_daemon.backtest.side_by_side.result import Comparison, DataComparison, DecisionComparison, MarketComparison
from mm_daemon.backtest.side_by_side.told import Journal, Told, common, decode, median, parameters_that_differ, read
from mm_daemon.backtest.side_by_side.why import NO_CAUSE, Parted, explain
from mm_daemon.domain.decisions import Action, Decision, DecisionsChanged
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.journal.history import utc
from mm_daemon.journal.segments import shown


def compare(a: Path, b: Path) -> Comparison:
    """Raises JournalError when one of them cannot be read or does not begin with its parameters."""
    one, other = read(a), read(b)
    parameters = tuple(parameters_that_differ(one.started, other.started))
    shared = [name for name in one.markets if name in other.markets]
    found = [_compare_market(name, one, other) for name in shared]
    markets = tuple(market for market, _ in found)
    firsts = [first for _, first in found if first is not None]
    parted = min(firsts, key=lambda first: (not first.acts, first.at_ns), default=None)
    only = tuple(
        f"{name} (only {word})"
        for mine, theirs, word in ((one, other, "A"), (other, one, "B"))
        for name in mine.markets
        if name not in theirs.markets
    )
    first = None if parted is None else explain(parted, one, other, parameters)
    alike = all(one.name in NO_CAUSE for one in parameters) and not only and first is None
    return Comparison(
        a=shown(a),
        b=shown(b),
        equal=alike
        and all(market.data.first_difference is None and set(market.fills.kinds) <= {"same"} for market in markets),
        parameters=parameters,
        turns=(one.turns, other.turns),
        markets=markets,
        only=only,
        first=first,
        notes=(*(f"A: {note}" for note in one.notes), *(f"B: {note}" for note in other.notes)),
        damaged=one.damaged or other.damaged,
    )


class _Stand(msgspec.Struct, frozen=True):
    key: int
    at_ns: int
    changed: DecisionsChanged


def _compare_market(name: InstrumentId, a: Journal, b: Journal) -> tuple[MarketComparison, Parted | None]:
    one, other = a.markets[name], b.markets[name]
    same = common(one.data, other.data)
    whole = same == min(len(one.data), len(other.data))
    difference = None
    if not whole:
        difference = (
            f"market event {same + 1:,} is another: A heard it at {utc(one.local_ns[same])}, B at "
            f"{utc(other.local_ns[same])}"
        )
    elif len(one.data) != len(other.data):
        longer = "A" if len(one.data) > len(other.data) else "B"
        difference = f"{longer} goes on for {abs(len(one.data) - len(other.data)):,} market events more"
    shift_ns = other.local_ns[0] - one.local_ns[0] if one.local_ns and other.local_ns else 0
    decisions, parted = _decisions(name, one, other, by_place=whole, last=same, shift_ns=shift_ns)
    comparison = MarketComparison(
        market=name,
        data=DataComparison(a=len(one.data), b=len(other.data), same=same, first_difference=difference),
        decisions=decisions,
        fills=compare_fills(name, a, b),
        position=(_base(a, name, one.lots), _base(b, name, other.lots)),
        latency_ms={word: (median(one.latencies[word]), median(other.latencies[word])) for word in one.latencies},
    )
    return comparison, parted


def _decisions(
    name: InstrumentId, a: Told, b: Told, *, by_place: bool, last: int, shift_ns: int
) -> tuple[DecisionComparison, Parted | None]:
    """Walk through the places at which either changes."""
    streams = [
        deque(_standings(market, by_place=by_place, last=last, shift_ns=shift))
        for market, shift in ((a, 0), (b, shift_ns))
    ]
    keys = sorted({stand.key for stream in streams for stand in stream})
    end = last if by_place else max(keys, default=0)
    standing: list[DecisionsChanged | None] = [None, None]
    kinds: Counter[str] = Counter()
    parted: Parted | None = None
    apart = 0
    onset: tuple[list[DecisionsChanged | None], tuple[bool, bool]] | None = None
    agreed_at = keys[0] if keys else 0
    for index, key in enumerate(keys):
        moved = [False, False]
        at_ns = 0
        for number, stream in enumerate(streams):
            while stream and stream[0].key <= key:
                stand = stream.popleft()
                standing[number], moved[number], at_ns = stand.changed, True, stand.at_ns
        alike = _alike(standing[0], standing[1])
        until = keys[index + 1] if index + 1 < len(keys) else end
        if not alike:
            apart += max(until - key, 0)
        if alike and onset is not None:
            kinds[_kind(onset, standing, moved)] += 1
            onset = None
        elif not alike and onset is None:
            onset = [*standing], (moved[0], moved[1])
            acts = not _alike_but_for_reasons(standing[0], standing[1])
            if parted is None or (acts and not parted.acts):
                parted = Parted(
                    market=name,
                    at_ns=at_ns,
                    place=key if by_place else None,
                    a=standing[0],
                    b=standing[1],
                    since=agreed_at,
                    key=key,
                    by_place=by_place,
                    shift_ns=shift_ns,
                    acts=acts,
                )
        if alike:
            agreed_at = key
    if onset is not None:
        kinds[_kind(onset, standing, [True, True])] += 1
    span = end - keys[0] if keys else 0
    return (
        DecisionComparison(
            a=len(a.decisions),
            b=len(b.decisions),
            agreed=1.0 - apart / span if span > 0 else None,
            differences=dict(sorted(kinds.items())),
        ),
        parted,
    )


def _standings(market: Told, *, by_place: bool, last: int, shift_ns: int) -> Iterator[_Stand]:
    for place, at_ns, record in market.decisions:
        if by_place and place > last:
            return
        yield _Stand(place if by_place else at_ns - shift_ns, at_ns, decode(record))


def _alike(a: DecisionsChanged | None, b: DecisionsChanged | None) -> bool:
    if a is None or b is None:
        return a is b
    return [_seen(one) for one in a.decisions] == [_seen(one) for one in b.decisions]


def _alike_but_for_reasons(a: DecisionsChanged | None, b: DecisionsChanged | None) -> bool:
    """The same is done, or nobody quotes: what a side that is out of the market waits for says little."""
    if a is None or b is None:
        return all(one is None or all(d.action == Action.WITHDRAW for d in one.decisions) for one in (a, b))
    return [_seen(one)[:-1] for one in a.decisions] == [_seen(one)[:-1] for one in b.decisions]


def _seen(decision: Decision) -> tuple[object, ...]:
    target = decision.target
    at = None if target is None else (target.ticks, target.lots)
    return decision.side, decision.level, decision.action, at, decision.reasons[0]


def _kind(
    onset: tuple[list[DecisionsChanged | None], tuple[bool, bool]],
    end: Sequence[DecisionsChanged | None],
    moved: Sequence[bool],
) -> str:
    """What a span of difference was about. Where the one that had not moved came to the other's decision, it was "
    "late."""
    (a, b), (a_moved, b_moved) = onset
    if a_moved and not b_moved and moved[1] and _alike(a, end[1]):
        return "B later"
    if b_moved and not a_moved and moved[0] and _alike(b, end[0]):
        return "A later"
    if a is None or b is None:
        return "only B" if a is None else "only A"
    if len(a.decisions) != len(b.decisions):
        return "levels"
    for name, of in (
        ("action", lambda one: one.action),
        ("price", lambda one: None if one.target is None else one.target.ticks),
        ("size", lambda one: None if one.target is None else one.target.lots),
    ):
        if [of(one) for one in a.decisions] != [of(one) for one in b.decisions]:  # type: ignore[no-untyped-call]
            return name
    return "reason"


def _base(journal: Journal, name: InstrumentId, lots: int) -> str:
    contract = journal.contracts[name]
    return f"{contract.size(lots):f}"
