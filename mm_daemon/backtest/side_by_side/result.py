"""What a comparison of two journals found, and its words for people."""

from collections.abc import Mapping

import msgspec


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
    damaged: bool = False
    """One of the journals is: what stands behind the place was not compared."""

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


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
