"""Two journals side by side: what was decided and filled in each, where they part first, and why.

    A paper run against its backtest, a run before a change against one behind it, one configuration against another.

Both are aligned by the market data: what matters is what was known, not what the clock said. Where the data of a market
are the same, a decision's place is the number of market events before it; where they are not, it is the local time
less the difference of the two starts. Decisions are compared as they stand: at each place where either changes, those
that stand in both are held against each other. A span in which they differ is one difference, told by its kind: the
same decision came later in one of them, or action, reason, price or size are another. Journals are streamed; of market
events twenty bytes each are kept.
"""

import zlib
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.codec import Decided, Record, plain
from mm_daemon.domain.decisions import (
    Action,
    AmendOrder,
    ApprovedCommand,
    CancelAll,
    Decision,
    DecisionsChanged,
    PlaceOrder,
)
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import (
    LoopLagged,
    MarketEvent,
    OperatorRequest,
    OrderAccepted,
    OrderAmended,
    OrderEvent,
    OrderFilled,
    ParametersChanged,
    RunStarted,
    ShutdownRequested,
)
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.journal.history import utc
from mm_daemon.journal.run_reader import open_journal

_MARKET_EVENTS = frozenset(get_args(MarketEvent))
_ORDER_EVENTS = frozenset(get_args(OrderEvent))
_CONTROL = (OperatorRequest, ParametersChanged, LoopLagged, ShutdownRequested)
_NS_PER_MS = 1e6
_FILL_WINDOW_NS = 5_000_000_000
"""Fills of one side and price that are nearer than this, on the venue's clock, are the same one."""
_MOVED_WINDOW_NS = 1_000_000_000
"""And of one side at another price, when nearer than this."""
_PAIRS = 100
_NO_CAUSE = ("first_client_id",)
"""Parameters by which no decision goes."""
_LATENCY_SLACK_MS = 0.5
_EVENTS_SHOWN = 6
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(DecisionsChanged).decode


class Parameter(msgspec.Struct, frozen=True):
    """One that differs; None: it does not exist there."""

    name: str
    a: object
    b: object


class DataComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The market data of one market."""

    a: int
    b: int
    same: int
    """Events from the beginning on that are the same, whatever the local clock said."""
    first_difference: str | None
    """What stands where they part."""


class DecisionComparison(msgspec.Struct, frozen=True, kw_only=True):
    a: int
    b: int
    agreed: float | None
    """Share of the places (market events, or seconds) at which both stand alike; None: nothing to compare."""
    differences: Mapping[str, int]
    """Spans of difference by kind: `A later`, `B later`, `action`, `reason`, `price`, `size`, `levels`."""


class FillPair(msgspec.Struct, frozen=True, kw_only=True):
    """A fill in both, or in one of them."""

    kind: str
    side: str
    a: str | None
    b: str | None


class FillComparison(msgspec.Struct, frozen=True, kw_only=True):
    a: int
    b: int
    kinds: Mapping[str, int]
    """`same`, `size`, `role` (maker or taker), `price`, `only A`, `only B`."""
    pairs: tuple[FillPair, ...]
    """All that are not the same, oldest first, up to a hundred."""


class FirstDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Where what is done parts first (where that never does: its reasons), and what was behind both."""

    market: str
    place: str
    a: object
    b: object
    inputs: tuple[Parameter, ...]
    """The inputs that differ."""
    causes: tuple[str, ...]
    """What differs before it, the likeliest first."""
    events_a: tuple[str, ...]
    """Order and control events of the market since the two last agreed, newest last."""
    events_b: tuple[str, ...]


class MarketComparison(msgspec.Struct, frozen=True, kw_only=True):
    market: str
    data: DataComparison
    decisions: DecisionComparison
    fills: FillComparison
    position: tuple[str, str]
    """At the end, base units."""
    latency_ms: Mapping[str, tuple[float | None, float | None]]
    """Median time from the release of a place and an amend to its answer, in A and B."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    a: str
    b: str
    equal: bool
    """The same parameters, market data, decisions and fills."""
    parameters: tuple[Parameter, ...]
    turns: tuple[int, int]
    markets: tuple[MarketComparison, ...]
    only: tuple[str, ...]
    """Markets that one of them has alone."""
    first: FirstDifference | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


def compare(a: Path, b: Path) -> Comparison:
    """Raises JournalError when one of them cannot be read or does not begin with its parameters."""
    one, other = _read(a), _read(b)
    parameters = tuple(_parameters(one.started, other.started))
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
    first = None if parted is None else _explain(parted, one, other, parameters)
    alike = all(one.name in _NO_CAUSE for one in parameters) and not only and first is None
    return Comparison(
        a=str(a),
        b=str(b),
        equal=alike
        and all(market.data.first_difference is None and set(market.fills.kinds) <= {"same"} for market in markets),
        parameters=parameters,
        turns=(one.turns, other.turns),
        markets=markets,
        only=only,
        first=first,
        notes=(*(f"A: {note}" for note in one.notes), *(f"B: {note}" for note in other.notes)),
    )


# Reading


class _Heard(msgspec.Struct, frozen=True, gc=False):
    """An order or control event, at its place."""

    place: int
    ts_ns: int
    text: str


class _Market:
    """What one journal says of one market. A place is the number of market events before it."""

    def __init__(self) -> None:
        self.data = array("I")
        self.local_ns = array("q")
        self.turn_places = array("q")
        """Places at which the core was asked to decide with new data of this market."""
        self.decisions: list[tuple[int, int, bytes]] = []
        """Place, local time, the record."""
        self.fills: list[tuple[int, OrderFilled]] = []
        self.heard: list[_Heard] = []
        self.lots = 0
        self.latencies: dict[str, list[float]] = {"place": [], "amend": []}


class _Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: RunStarted | None = None
        self.turns = 0
        self.markets: dict[InstrumentId, _Market] = {}
        self.notes: list[str] = []
        self.contracts: dict[InstrumentId, Instrument] = {}


def _read(path: Path) -> _Journal:
    journal = _Journal(path)
    sent: dict[ClientOrderId, tuple[str, int]] = {}
    changed: set[InstrumentId] = set()
    now_ns = 0
    with open_journal(path) as reader:
        for frame in reader:
            for record in frame.records:
                kind = type(record)
                if isinstance(record, RunStarted) and journal.started is None:
                    journal.started = record
                    configured = CoreParameters.from_json(record.parameters).markets
                    journal.contracts = {one.instrument.id: one.instrument for one in configured}
                    journal.markets = {name: _Market() for name in journal.contracts}
                    resumed = () if record.resumed is None else record.resumed.markets
                    for state in resumed:
                        if state.instrument in journal.markets:
                            journal.markets[state.instrument].lots = state.position.lots
                elif kind in _MARKET_EVENTS:
                    market = journal.markets.get(record.instrument)  # type: ignore[union-attr, arg-type]
                    if market is not None:
                        market.data.append(_digest(record))
                        market.local_ns.append(record.ts_local_ns)  # type: ignore[union-attr]
                        changed.add(record.instrument)  # type: ignore[union-attr, arg-type]
                elif isinstance(record, Decided):
                    journal.turns += 1
                    now_ns = record.now_ns
                    for name in changed:
                        journal.markets[name].turn_places.append(len(journal.markets[name].data))
                    changed.clear()
                elif isinstance(record, DecisionsChanged):
                    market = journal.markets.get(record.instrument)
                    if market is not None:
                        market.decisions.append((len(market.data), record.now_ns, _encode(record)))
                elif isinstance(record, ApprovedCommand):
                    command = record.command
                    if not isinstance(command, CancelAll):
                        word = "place" if isinstance(command, PlaceOrder) else "amend"
                        if isinstance(command, PlaceOrder | AmendOrder):
                            sent[command.client_id] = word, now_ns
                elif kind in _ORDER_EVENTS:
                    _hear(journal, record, sent)
                elif isinstance(record, _CONTROL):
                    for market in journal.markets.values():
                        market.heard.append(_Heard(len(market.data), record.ts_local_ns, _words(record)))
        if reader.fault is not None:
            journal.notes.append(str(reader.fault))
    if journal.started is None:
        raise JournalError(f"journal {path} does not begin with RunStarted: it is one segment, or no journal of a run")
    return journal


def _hear(journal: _Journal, event: Record, sent: dict[ClientOrderId, tuple[str, int]]) -> None:
    market = journal.markets.get(event.instrument)  # type: ignore[union-attr, arg-type]
    if market is None:
        return
    at_ns: int = event.ts_local_ns  # type: ignore[union-attr]
    place = len(market.data)
    market.heard.append(_Heard(place, at_ns, _words(event)))
    if isinstance(event, OrderFilled):
        if event.fill_key not in {fill.fill_key for _, fill in market.fills[-50:]}:
            market.fills.append((place, event))
            market.lots += event.side * event.lots
    elif isinstance(event, OrderAccepted | OrderAmended):
        word, released_ns = sent.pop(event.client_id, ("", 0))
        if word:
            market.latencies[word].append((at_ns - released_ns) / _NS_PER_MS)


def _digest(event: Record) -> int:
    """Of all that a market event says but when we heard it."""
    fields = [getattr(event, name) for name in event.__struct_fields__ if name not in ("ts_local_ns",)]
    return zlib.crc32(_encode((event.__struct_config__.tag, fields)))


def _words(event: Record) -> str:
    shown = plain(event)
    assert isinstance(shown, dict)
    left = {
        name: value
        for name, value in shown.items()
        if name not in ("record", "instrument", "ts_venue_ns", "ts_local_ns")
    }
    return f"{shown['record']} " + " ".join(
        f"{name}={value}" for name, value in left.items() if value not in ("", None)
    )


# Parameters


def _parameters(a: RunStarted | None, b: RunStarted | None) -> Iterator[Parameter]:
    """Those that differ: of the whole core, by market's name."""
    assert a is not None
    assert b is not None
    if a.version != b.version:
        yield Parameter("program version", a.version, b.version)
    one, other = dict(_flat("", _named(a.parameters))), dict(_flat("", _named(b.parameters)))
    for name in {**one, **other}:
        if one.get(name) != other.get(name):
            yield Parameter(name, one.get(name), other.get(name))
    for name, left, right in _resumed(a, b):
        yield Parameter(name, left, right)


def _resumed(a: RunStarted, b: RunStarted) -> Iterator[tuple[str, object, object]]:
    held = [
        {} if one.resumed is None else {market.instrument: market.position.lots for market in one.resumed.markets}
        for one in (a, b)
    ]
    for name in {**held[0], **held[1]}:
        if held[0].get(name, 0) != held[1].get(name, 0):
            yield f"position at the start, {name}, lots", held[0].get(name, 0), held[1].get(name, 0)


def _named(parameters: str) -> object:
    told = msgspec.json.decode(parameters)
    told["markets"] = {
        f"{market['instrument']['venue']}:{market['instrument']['symbol']}": market for market in told["markets"]
    }
    return told


def _flat(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{path}.{name}" if path else str(name), inner)
    else:
        yield path, value


# One market


class _Parted(msgspec.Struct, frozen=True, kw_only=True):
    """The first difference of one market, with the places of both."""

    market: InstrumentId
    at_ns: int
    place: int | None
    """In both, where their data are the same so far."""
    a: DecisionsChanged | None
    b: DecisionsChanged | None
    since: int
    """Key at which they last agreed."""
    key: int
    by_place: bool
    shift_ns: int
    acts: bool
    """It is about what is done, not only about why."""


class _Stand(msgspec.Struct, frozen=True):
    key: int
    at_ns: int
    changed: DecisionsChanged


def _compare_market(name: InstrumentId, a: _Journal, b: _Journal) -> tuple[MarketComparison, _Parted | None]:
    one, other = a.markets[name], b.markets[name]
    same = _common(one.data, other.data)
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
        fills=_fills(name, a, b),
        position=(_base(a, name, one.lots), _base(b, name, other.lots)),
        latency_ms={word: (_median(one.latencies[word]), _median(other.latencies[word])) for word in one.latencies},
    )
    return comparison, parted


def _common(a: "array[int]", b: "array[int]") -> int:
    """How many are the same from the beginning."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _decisions(
    name: InstrumentId, a: _Market, b: _Market, *, by_place: bool, last: int, shift_ns: int
) -> tuple[DecisionComparison, _Parted | None]:
    """Walk through the places at which either changes."""
    streams = [
        deque(_standings(market, by_place=by_place, last=last, shift_ns=shift))
        for market, shift in ((a, 0), (b, shift_ns))
    ]
    keys = sorted({stand.key for stream in streams for stand in stream})
    end = last if by_place else max(keys, default=0)
    standing: list[DecisionsChanged | None] = [None, None]
    kinds: Counter[str] = Counter()
    parted: _Parted | None = None
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
                parted = _Parted(
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


def _standings(market: _Market, *, by_place: bool, last: int, shift_ns: int) -> Iterator[_Stand]:
    for place, at_ns, record in market.decisions:
        if by_place and place > last:
            return
        yield _Stand(place if by_place else at_ns - shift_ns, at_ns, _decode(record))


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


# Fills


def _fills(name: InstrumentId, a: _Journal, b: _Journal) -> FillComparison:
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
    kind: str, a: OrderFilled | None, b: OrderFilled | None, one: _Journal, other: _Journal, name: InstrumentId
) -> FillPair:
    known = a or b
    assert known is not None
    return FillPair(
        kind=kind,
        side="bought" if known.side > 0 else "sold",
        a=None if a is None else _fill_text(a, one, name),
        b=None if b is None else _fill_text(b, other, name),
    )


def _fill_text(fill: OrderFilled, journal: _Journal, name: InstrumentId) -> str:
    contract = journal.contracts[name]
    return f"{utc(_venue_ns(fill))} {contract.size(fill.lots):f} at {contract.price(fill.ticks):f}"


def _base(journal: _Journal, name: InstrumentId, lots: int) -> str:
    contract = journal.contracts[name]
    return f"{contract.size(lots):f}"


def _median(values: Sequence[float]) -> float | None:
    return sorted(values)[(len(values) - 1) // 2] if values else None


# Why


def _explain(parted: _Parted, a: _Journal, b: _Journal, parameters: Sequence[Parameter]) -> FirstDifference:
    one, other = a.markets[parted.market], b.markets[parted.market]
    inputs = tuple(_inputs(parted.a, parted.b))
    heard = [
        [event for event in market.heard if parted.since <= _key(event, parted, number) <= parted.key]
        for number, market in enumerate((one, other))
    ]
    place = (
        f"after {parted.place:,} market events of {parted.market}, {utc(parted.at_ns)}"
        if parted.place is not None
        else f"at {utc(parted.at_ns)}"
    )
    return FirstDifference(
        market=parted.market,
        place=place,
        a=_shown(parted.a),
        b=_shown(parted.b),
        inputs=inputs,
        causes=tuple(_causes(parted, one, other, parameters, inputs, heard)),
        events_a=tuple(event.text for event in heard[0][-_EVENTS_SHOWN:]),
        events_b=tuple(event.text for event in heard[1][-_EVENTS_SHOWN:]),
    )


def _causes(
    parted: _Parted,
    a: _Market,
    b: _Market,
    parameters: Sequence[Parameter],
    inputs: Sequence[Parameter],
    heard: Sequence[Sequence[_Heard]],
) -> Iterator[str]:
    told = [
        one
        for one in parameters
        if one.name not in _NO_CAUSE
        and (not one.name.startswith("markets.") or one.name.startswith(f"markets.{parted.market}."))
    ]
    if told:
        names = ", ".join(
            f"{one.name.removeprefix(f'markets.{parted.market}.')} ({one.a} / {one.b})" for one in told[:5]
        )
        yield f"other parameters: {names}"
    same = _common(a.data, b.data)
    if same < min(len(a.data), len(b.data)) and a.local_ns[same] <= parted.at_ns:
        yield f"other market data: from event {same + 1:,} on"
    told_of = [Counter(_kind_of(event) for event in events) for events in heard]
    for number, word, unheard in ((0, "A", "B"), (1, "B", "A")):
        missing = told_of[number] - told_of[1 - number]
        if missing:
            what = ", ".join(f"{kind} ({count})" for kind, count in sorted(missing.items()))
            kind = min(missing)
            later = _later((b, a)[number], kind, parted, 1 - number)
            yield f"by then only {word} had heard: {what}; {unheard} {later}"
    for word in ("place", "amend"):
        left, right = _median(a.latencies[word]), _median(b.latencies[word])
        if left is not None and right is not None and abs(left - right) > _LATENCY_SLACK_MS:
            yield f"other latency: {word}s are answered after {left:.1f} ms in A, {right:.1f} ms in B (median)"
    if parted.by_place:
        boundaries = [
            {place for place in market.turn_places if parted.since <= place <= parted.key} for market in (a, b)
        ]
        for number, word in ((0, "A"), (1, "B")):
            missed = sorted(boundaries[1 - number] - boundaries[number])
            if missed:
                yield (
                    f"other turn boundary: {word} took event {missed[0]:,} in together with the next ones, "
                    "the other decided in between"
                )
    position = [one for one in inputs if one.name == "position_lots"]
    if position:
        yield f"other position: {position[0].a} lots in A, {position[0].b} in B"


def _later(market: _Market, kind: str, parted: _Parted, number: int) -> str:
    """When somebody heard of that kind of event next."""
    event = next(
        (one for one in market.heard if _kind_of(one) == kind and _key(one, parted, number) > parted.key), None
    )
    if event is None:
        return "never did"
    if parted.by_place:
        later = event.place - parted.key
        return f"heard {kind} {later:,} market event{'' if later == 1 else 's'} later"
    return f"heard {kind} {(_key(event, parted, number) - parted.key) / _NS_PER_MS:.1f} ms later"


def _kind_of(event: _Heard) -> str:
    return event.text.partition(" ")[0]


def _key(event: _Heard, parted: _Parted, number: int) -> int:
    if parted.by_place:
        return event.place
    return event.ts_ns - (parted.shift_ns if number else 0)


def _inputs(a: DecisionsChanged | None, b: DecisionsChanged | None) -> Iterator[Parameter]:
    if a is None or b is None:
        return
    for name in a.inputs.__struct_fields__:
        left, right = getattr(a.inputs, name), getattr(b.inputs, name)
        if left != right:
            yield Parameter(name, plain(left), plain(right))


def _shown(changed: DecisionsChanged | None) -> object:
    if changed is None:
        return None
    return [
        {
            "side": one.side.word,
            "level": one.level,
            "action": str(one.action),
            "reasons": [str(reason) for reason in one.reasons],
            "ticks": None if one.target is None else one.target.ticks,
            "lots": None if one.target is None else one.target.lots,
        }
        for one in changed.decisions
    ]


# For people


def to_text(found: Comparison) -> str:
    lines = [f"A: {found.a}", f"B: {found.b}"]
    lines += [f"note: {note}" for note in found.notes]
    if found.parameters:
        lines.append("parameters that differ (A / B)")
        lines += [f"  {one.name}: {_value(one.a)} / {_value(one.b)}" for one in found.parameters]
    else:
        lines.append("parameters: the same")
    lines += [f"only in one: {name}" for name in found.only]
    lines.append(f"turns: {found.turns[0]:,} / {found.turns[1]:,}")
    for market in found.markets:
        data, decisions, fills = market.data, market.decisions, market.fills
        lines += ["", f"{market.market}"]
        lines.append(f"  market data  {data.a:,} / {data.b:,} events, the first {data.same:,} the same")
        if data.first_difference is not None:
            lines.append(f"               {data.first_difference}")
        agreed = "" if decisions.agreed is None else f", alike for {decisions.agreed:.2%}"
        apart = _kinds(decisions.differences)
        lines.append(f"  decisions    {decisions.a:,} / {decisions.b:,}{agreed}; differences: {apart}")
        lines.append(f"  fills        {fills.a:,} / {fills.b:,}; {_kinds(fills.kinds)}")
        lines += [f"    {pair.kind:<7} {pair.side:<6} {pair.a or '-'} / {pair.b or '-'}" for pair in fills.pairs[:10]]
        if len(fills.pairs) > 10:
            lines.append(f"    ... {len(fills.pairs) - 10} more in --json")
        lines.append(f"  position     {market.position[0]} / {market.position[1]} at the end")
        for word, (left, right) in market.latency_ms.items():
            if left is not None or right is not None:
                lines.append(f"  {word} to ack {_ms(left)} / {_ms(right)}, median")
    lines.append("")
    if found.first is None:
        lines.append("all the same" if found.equal else "no decision differs")
        return "\n".join(lines)
    first = found.first
    lines.append(f"first difference: {first.place}")
    for word, decision in (("A", first.a), ("B", first.b)):
        lines.append(f"  {word}  {_decision_text(decision)}")
    if first.inputs:
        told = ", ".join(f"{one.name} {_value(one.a)} / {_value(one.b)}" for one in first.inputs)
        lines.append(f"  inputs that differ (A / B): {told}")
    for cause in first.causes or (
        "nothing differs that was recorded before it: run `mm-daemon replay --verify` on both",
    ):
        lines.append(f"  because   {cause}")
    for word, events in (("A", first.events_a), ("B", first.events_b)):
        lines += [f"  {word} heard   {event}" for event in events]
    return "\n".join(lines)


_UNEXPLAINED = "nothing that was recorded before it differs: run `mm-daemon replay --verify` on both"


def _decision_text(decision: object) -> str:
    if not isinstance(decision, list):
        return "nothing was decided yet"
    return " | ".join(
        f"{one['side']} {str(one['action']).lower()}"
        + ("" if one["ticks"] is None else f" {one['lots']} lots at {one['ticks']} ticks")
        + f" ({', '.join(one['reasons'])})"
        for one in decision
    )


def _kinds(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in kinds.items()) or "none"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "-" if value is None else str(value)
