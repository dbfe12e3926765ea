"""Two journals side by side: what differs is found, counted and explained; what does not is called equal."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.side_by_side.compare import compare
from mm_daemon.backtest.side_by_side.result import Comparison, to_text
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.events import MarketEvent
from mm_daemon.domain.orders import Side
from mm_daemon.engine.parameters import QuoteParameters
from mm_daemon.journal.log import JournalReader, JournalWriter
from mm_daemon.simulation.policy import VenuePolicy
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import VENUE, core_parameters, instrument, market, snapshot, trade
from tests.unit.backtest.doubles import ListFeed
from tests.unit.backtest.test_curves import STEP, Steps, walked


def tape(count: int = 60) -> list[MarketEvent]:
    """A market that moves to and fro, with prints through both of our quotes now and then."""
    events: list[MarketEvent] = []
    bid = 600_000
    for number in range(count):
        at_ms = 1000 + 400 * number
        bid += (35, -20, -30, 10)[number % 4]
        events.append(snapshot(at_ms, bid, bid + 10, update_id=1 + number))
        if number % 7 == 3:
            side = Side.BUY if number % 2 else Side.SELL
            events.append(trade(at_ms + 150, side, bid + 5 + side * 900, 50, trade_id=number))
    return events


def played(
    path: Path,
    events: list[MarketEvent] | None = None,
    *,
    parameters: CoreParameters | None = None,
    policy: VenuePolicy | None = None,
) -> Path:
    contract = instrument()
    venue = SimulatedVenue(VENUE, [contract], policy or VenuePolicy())
    source = RecordedMarket(ListFeed(tape() if events is None else events), venue)
    run_backtest(parameters or core_parameters(market(contract)), {VENUE: source}, journal=path)
    return path


def causes(found: Comparison) -> str:
    assert found.first is not None
    return "\n".join(found.first.causes)


@settings(deadline=None, max_examples=15)
@given(st.lists(STEP, min_size=1, max_size=30))
def test_a_journal_equals_itself(tmp_path_factory: pytest.TempPathFactory, steps: Steps) -> None:
    _, path = walked(tmp_path_factory.mktemp("run"), steps)
    found = compare(path, path)
    assert found.equal
    assert found.first is None
    (only,) = found.markets
    assert only.decisions.differences == {}
    assert set(only.fills.kinds) <= {"same"}
    assert to_text(found).endswith("all the same")


def test_another_parameter_is_named_first(tmp_path: Path) -> None:
    a = played(tmp_path / "a")
    b = played(tmp_path / "b", parameters=core_parameters(market(quoting=QuoteParameters(gamma=0.9))))
    found = compare(a, b)
    assert [(one.name, one.a, one.b) for one in found.parameters] == [
        ("markets.test:BTC-USDT.quoting.gamma", QuoteParameters().gamma, 0.9)
    ]
    assert not found.equal
    assert found.first is not None
    assert causes(found).startswith("other parameters: quoting.gamma")
    assert "gamma" in {one.name for one in found.first.inputs}
    assert found.markets[0].data.first_difference is None


def test_another_latency_is_found(tmp_path: Path) -> None:
    a = played(tmp_path / "a")
    b = played(tmp_path / "b", policy=VenuePolicy(entry_latency_ms=60, response_latency_ms=90))
    found = compare(a, b)
    assert found.parameters == ()
    assert found.first is not None
    assert "other latency: places are answered after 10.0 ms in A, 150.0 ms in B" in causes(found)
    assert "by then only A had heard: amended (1); B heard amended" in causes(found)
    assert found.markets[0].latency_ms["place"] == (10.0, 150.0)


def test_a_missing_event_is_found(tmp_path: Path) -> None:
    events = tape()
    a = played(tmp_path / "a", events)
    b = played(tmp_path / "b", events[:20] + events[22:])
    found = compare(a, b)
    (only,) = found.markets
    assert only.data.same == 20
    assert only.data.first_difference is not None
    assert "market event 21 is another" in only.data.first_difference
    assert "other market data: from event 21 on" in causes(found)


def test_events_taken_in_together_are_another_turn(tmp_path: Path) -> None:
    """Two market events in one turn, as a busy process takes them in, where a backtest decides at each."""
    events = tape(12)
    apart = [*events[:5], *(msgspec.structs.replace(one, ts_local_ns=one.ts_local_ns) for one in events[5:])]
    late = [
        msgspec.structs.replace(one, ts_local_ns=events[6].ts_local_ns) if number == 5 else one
        for number, one in enumerate(apart)
    ]
    found = compare(played(tmp_path / "a", late), played(tmp_path / "b", apart))
    assert found.markets[0].data.same == len(events)
    assert found.turns[0] < found.turns[1]
    assert "other turn boundary: A took event 6 in together with the next ones" in causes(found)


def test_fills_are_paired(tmp_path: Path) -> None:
    a = played(tmp_path / "a")
    b = played(tmp_path / "b", parameters=core_parameters(market(order_lots=20)))
    found = compare(a, b)
    kinds = found.markets[0].fills.kinds
    assert sum(kinds.values()) >= max(found.markets[0].fills.a, found.markets[0].fills.b) > 0
    assert kinds.get("size", 0) > 0
    told = {pair.kind for pair in found.markets[0].fills.pairs}
    assert told == set(kinds) - {"same"}


@settings(deadline=None, max_examples=10)
@given(st.lists(STEP, min_size=2, max_size=30), st.lists(STEP, min_size=2, max_size=30))
def test_both_ways_say_the_same(tmp_path_factory: pytest.TempPathFactory, one: Steps, other: Steps) -> None:
    folder = tmp_path_factory.mktemp("run")
    paths = []
    for name, steps in (("a", one), ("b", other)):
        (folder / name).mkdir()
        paths.append(walked(folder / name, steps)[1])
    there, back = compare(*paths), compare(*reversed(paths))
    assert there.equal is back.equal
    assert there.turns == back.turns[::-1]
    assert there.markets[0].data.same == back.markets[0].data.same
    mirrored = {"only A": "only B", "only B": "only A"}
    turned = {mirrored.get(kind, kind): count for kind, count in back.markets[0].fills.kinds.items()}
    assert there.markets[0].fills.kinds == dict(sorted(turned.items()))
    assert to_text(there)


def test_other_markets_are_said(tmp_path: Path) -> None:
    a = played(tmp_path / "a")
    other = instrument("ETH-USDT")
    venue = RecordedMarket(ListFeed([]), SimulatedVenue(VENUE, [other], VenuePolicy()))
    b = tmp_path / "b"
    run_backtest(core_parameters(market(other)), {VENUE: venue}, journal=b)
    found = compare(a, b)
    assert found.only == ("test:BTC-USDT (only A)", "test:ETH-USDT (only B)")
    assert not found.equal


def test_a_journal_without_its_beginning_is_refused(tmp_path: Path) -> None:
    a = played(tmp_path / "a")
    headless = JournalWriter(tmp_path / "b")
    with JournalReader(a) as reader:
        for number, frame in enumerate(reader):
            if number:
                headless.append(frame.records)
    headless.close()
    with pytest.raises(JournalError, match="does not begin with RunStarted"):
        compare(a, tmp_path / "b")
