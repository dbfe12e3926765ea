"""What one journal told: market events as digests, decisions, fills and order events at their places, parameters."""

import zlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import msgspec

from mm_daemon.backtest.side_by_side.result import Parameter
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.codec import Decided, Record, plain
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelAll, DecisionsChanged, PlaceOrder
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
from mm_daemon.journal.format import FaultKind
from mm_daemon.journal.run_reader import open_journal

_MARKET_EVENTS = frozenset(get_args(MarketEvent))
_ORDER_EVENTS = frozenset(get_args(OrderEvent))
_CONTROL = (OperatorRequest, ParametersChanged, LoopLagged, ShutdownRequested)
NS_PER_MS = 1e6
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(DecisionsChanged).decode


class Heard(msgspec.Struct, frozen=True, gc=False):
    """An order or control event, at its place."""

    place: int
    ts_ns: int
    text: str


class Told:
    """What one journal says of one market. A place is the number of market events before it."""

    def __init__(self) -> None:
        self.data = array("I")
        self.local_ns = array("q")
        self.turn_places = array("q")
        """Places at which the core was asked to decide with new data of this market."""
        self.decisions: list[tuple[int, int, bytes]] = []
        """Place, local time, the record."""
        self.fills: list[tuple[int, OrderFilled]] = []
        self.heard: list[Heard] = []
        self.lots = 0
        self.latencies: dict[str, list[float]] = {"place": [], "amend": []}


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: RunStarted | None = None
        self.turns = 0
        self.markets: dict[InstrumentId, Told] = {}
        self.notes: list[str] = []
        self.damaged = False
        self.contracts: dict[InstrumentId, Instrument] = {}


def read(path: Path) -> Journal:
    journal = Journal(path)
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
                    journal.markets = {name: Told() for name in journal.contracts}
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
                        market.decisions.append((len(market.data), record.now_ns, encode(record)))
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
                        market.heard.append(Heard(len(market.data), record.ts_local_ns, _words(record)))
        if reader.fault is not None:
            journal.notes.append(str(reader.fault))
            journal.damaged = reader.fault.kind is FaultKind.DAMAGED
    if journal.started is None:
        raise JournalError(f"journal {path} does not begin with RunStarted: it is one segment, or no journal of a run")
    return journal


def _hear(journal: Journal, event: Record, sent: dict[ClientOrderId, tuple[str, int]]) -> None:
    market = journal.markets.get(event.instrument)  # type: ignore[union-attr, arg-type]
    if market is None:
        return
    at_ns: int = event.ts_local_ns  # type: ignore[union-attr]
    place = len(market.data)
    market.heard.append(Heard(place, at_ns, _words(event)))
    if isinstance(event, OrderFilled):
        if event.fill_key not in {fill.fill_key for _, fill in market.fills[-50:]}:
            market.fills.append((place, event))
            market.lots += event.side * event.lots
    elif isinstance(event, OrderAccepted | OrderAmended):
        word, released_ns = sent.pop(event.client_id, ("", 0))
        if word:
            market.latencies[word].append((at_ns - released_ns) / NS_PER_MS)


def _digest(event: Record) -> int:
    """Of all that a market event says but when we heard it."""
    fields = [getattr(event, name) for name in event.__struct_fields__ if name not in ("ts_local_ns",)]
    return zlib.crc32(encode((event.__struct_config__.tag, fields)))


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


def common(a: "array[int]", b: "array[int]") -> int:
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


def median(values: Sequence[float]) -> float | None:
    return sorted(values)[(len(values) - 1) // 2] if values else None


# Parameters


def parameters_that_differ(a: RunStarted | None, b: RunStarted | None) -> Iterator[Parameter]:
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
