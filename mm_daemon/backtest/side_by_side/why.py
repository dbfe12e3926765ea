"""Why decisions part: what differs among all that was recorded before the place where they do."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from mm_daemon.backtest.side_by_side.result import FirstDifference, Parameter
from mm_daemon.backtest.side_by_side.told import NS_PER_MS, Heard, Journal, Told, common, median
from mm_daemon.domain.codec import plain
from mm_daemon.domain.decisions import DecisionsChanged
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.journal.history import utc

NO_CAUSE = ("first_client_id",)
"""Parameters by which no decision goes."""
_LATENCY_SLACK_MS = 0.5
_EVENTS_SHOWN = 6


class Parted(msgspec.Struct, frozen=True, kw_only=True):
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


def explain(parted: Parted, a: Journal, b: Journal, parameters: Sequence[Parameter]) -> FirstDifference:
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
    parted: Parted,
    a: Told,
    b: Told,
    parameters: Sequence[Parameter],
    inputs: Sequence[Parameter],
    heard: Sequence[Sequence[Heard]],
) -> Iterator[str]:
    told = [
        one
        for one in parameters
        if one.name not in NO_CAUSE
        and (not one.name.startswith("markets.") or one.name.startswith(f"markets.{parted.market}."))
    ]
    if told:
        names = ", ".join(
            f"{one.name.removeprefix(f'markets.{parted.market}.')} ({one.a} / {one.b})" for one in told[:5]
        )
        yield f"other parameters: {names}"
    same = common(a.data, b.data)
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
        left, right = median(a.latencies[word]), median(b.latencies[word])
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


def _later(market: Told, kind: str, parted: Parted, number: int) -> str:
    """When somebody heard of that kind of event next."""
    event = next(
        (one for one in market.heard if _kind_of(one) == kind and _key(one, parted, number) > parted.key), None
    )
    if event is None:
        return "never did"
    if parted.by_place:
        later = event.place - parted.key
        return f"heard {kind} {later:,} market event{'' if later == 1 else 's'} later"
    return f"heard {kind} {(_key(event, parted, number) - parted.key) / NS_PER_MS:.1f} ms later"


def _kind_of(event: Heard) -> str:
    return event.text.partition(" ")[0]


def _key(event: Heard, parted: Parted, number: int) -> int:
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
