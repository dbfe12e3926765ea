"""The recorded connector: a whole file at once for backtests, in its own time for runs, and no orders."""

import asyncio
import gzip
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.binance.translate import BinanceUsdmTranslator
from connectors.recorded.connector import InstrumentSettings, RecordedConnector, RecordedSettings
from mm_daemon.domain.decisions import AmendOrder, CancelAll, CancelOrder, Command, PlaceOrder, Reason
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import (
    BookDelta,
    BookSnapshot,
    Event,
    OrderAmendRejected,
    OrderCancelRejected,
    OrderRejected,
    PublicTrade,
    TopOfBook,
    VenueConnected,
)
from mm_daemon.domain.instrument import SignificantFigures, Venue, grid_floor, instrument_id
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.ports.connector import Connector, ConnectorContext, RecordedFeed
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.approval import approved
from tests.shared import shared_file
from tests.unit.connectors.binance.frames import depth, snapshot, top, trade

START = 1_700_000_000_000_000_000
MS = 1_000_000
VENUE = Venue("binance-usdm")
BTC = instrument_id(VENUE, "BTCUSDT")
CONTRACT = InstrumentSettings(
    base="BTC",
    quote="USDT",
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    min_notional=Decimal(100),
    maker_fee_bps=2,
    taker_fee_bps=-0.5,
)


def write(path: Path, *frames: tuple[int, bytes]) -> Path:
    """A recording of frames at milliseconds after the start."""
    path.write_bytes(gzip.compress(b"".join(b"%d %s\n" % (START + at_ms * MS, frame) for at_ms, frame in frames)))
    return path


def small(tmp_path: Path) -> Path:
    return write(
        tmp_path / "small.gz",
        (0, depth(11, 20, 10)),
        (10, trade(7)),
        (20, snapshot(15)),
        (1000, top(21)),
        (2500, depth(21, 30, 20)),
    )


def connector(
    path: Path,
    emit: Callable[[Event], None] = lambda _event: None,
    clock: Clock | None = None,
    **settings: Any,
) -> RecordedConnector:
    clock = clock or Clock(wall_ns=lambda: START, monotonic_ns=lambda: 0)
    context = ConnectorContext(
        venue=VENUE,
        symbols=("BTCUSDT",),
        emit=emit,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        translator=lambda name: {"binance-usdm": BinanceUsdmTranslator}[name],
    )
    given = {"translator": "binance-usdm", "instruments": {"BTCUSDT": CONTRACT}, **settings}
    return RecordedConnector(context, RecordedSettings(path=path, **given))


def test_whole_recording_comes_as_events_in_local_order(tmp_path: Path) -> None:
    """Frames are counted, used or not, and a second reading is the same."""
    feed = connector(small(tmp_path))
    assert isinstance(feed, RecordedFeed)
    events = list(feed.events())
    assert [type(event) for event in events] == [PublicTrade, BookSnapshot, BookDelta, TopOfBook, BookDelta]
    assert [event.ts_local_ns for event in events] == [START + ms * MS for ms in (10, 20, 20, 1000, 2500)]
    assert feed.frames == 5
    assert list(feed.events()) == events
    assert (feed.frames, feed.problems, feed.damage) == (5, {}, [])


def test_contract_comes_from_the_settings(tmp_path: Path) -> None:
    """Recordings carry none; fees in bps become parts per million, rebates negative."""
    (contract,) = connector(small(tmp_path)).instruments()
    assert (contract.id, contract.tick, contract.min_notional) == (BTC, Decimal("0.1"), Decimal(100))
    assert (contract.maker_fee_ppm, contract.taker_fee_ppm) == (200, -50)


@pytest.mark.parametrize(
    ("streams", "kinds"),
    [
        (("depth",), {BookSnapshot, BookDelta}),
        (("trade",), {PublicTrade}),
        (("trade", "bookTicker"), {PublicTrade, TopOfBook}),
    ],
)
def test_only_the_chosen_streams_are_handed_on(tmp_path: Path, streams: tuple[str, ...], kinds: set[type]) -> None:
    """All frames are still read."""
    feed = connector(small(tmp_path), streams=streams)
    assert {type(event) for event in feed.events()} == kinds
    assert feed.frames == 5


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_run_plays_each_event_at_its_own_time(tmp_path: Path, speed: float) -> None:
    """On a clock that starts at the first frame and runs `speed` times as fast; ends with the file."""
    emitted, seen_ms = list[Event](), list[float]()

    async def main(loop: VirtualLoop) -> None:
        def emit(event: Event) -> None:
            emitted.append(event)
            seen_ms.append(loop.elapsed_ns / MS)

        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        played = connector(small(tmp_path), emit, clock, speed=speed)
        clock.move_to(played.starts_at_ns, played.speed)
        assert clock.now_ns() == START
        await played.run()
        assert emitted[1:] == list(played.events())

    run_virtual(main, start_ns=0)
    assert isinstance(emitted[0], VenueConnected)
    due_ms = [0, 10, 20, 20, 1000, 2500]
    assert all(0 <= seen - due / speed <= 2 for seen, due in zip(seen_ms, due_ms, strict=True))


def test_orders_are_refused_never_swallowed(tmp_path: Path) -> None:
    """Paper executes them; here each one is answered."""
    emitted: list[Event] = []
    recorded: Connector = connector(small(tmp_path), emitted.append)
    ours = ClientOrderId(1)
    commands: list[Command] = [
        PlaceOrder(BTC, ours, Side.BUY, 0, 1000, 5, (Reason.NEW_QUOTE,)),
        AmendOrder(BTC, ours, 1001, 5, (Reason.TOO_PASSIVE,)),
        CancelOrder(BTC, ours, (Reason.SHUTDOWN,)),
        CancelAll(VENUE, (Reason.SHUTDOWN,)),
    ]
    asyncio.run(recorded.send([approved(command, START) for command in commands]))
    assert [type(event) for event in emitted] == [OrderRejected, OrderAmendRejected, OrderCancelRejected]
    assert "paper" in emitted[0].text  # type: ignore[union-attr]


def test_missing_file_and_missing_definition_say_what_to_do(tmp_path: Path) -> None:
    """Configuration errors, before anything is started."""
    with pytest.raises(ConfigError, match=r"nowhere\.gz"):
        connector(tmp_path / "nowhere.gz")
    with pytest.raises(ConfigError, match=r"no definition of BTCUSDT.*instruments\.BTCUSDT"):
        connector(small(tmp_path), instruments={"ETHUSDT": CONTRACT})


def test_price_grid_of_few_figures_comes_from_the_settings(tmp_path: Path) -> None:
    """Whole prices are always valid; a tick that is no power of ten has no figures to count."""
    few = msgspec.structs.replace(CONTRACT, significant_figures=5)
    (contract,) = connector(small(tmp_path), instruments={"BTCUSDT": few}).instruments()
    assert contract.grid == SignificantFigures(figures=5, decimals=1)
    assert (grid_floor(1_050_557, contract.grid), grid_floor(99_999, contract.grid)) == (1_050_550, 99_999)
    odd = msgspec.structs.replace(few, tick=Decimal("0.25"))
    with pytest.raises(ConfigError, match=r"BTCUSDT: significant_figures needs a tick of 1, 0\.1"):
        connector(small(tmp_path), instruments={"BTCUSDT": odd})


@pytest.mark.parametrize("late_s", [0.0, 5.0])
def test_recordings_that_run_together_come_in_local_order(tmp_path: Path, late_s: float) -> None:
    """Also when the loop is so late that all are due at once; what ties comes in the order given, each to its own
    listener, and all end together.
    """
    emitted: list[tuple[str, Event]] = []

    async def main(loop: VirtualLoop) -> None:
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        first = connector(
            write(tmp_path / "a.gz", *((at_ms, trade(at_ms)) for at_ms in (10, 20, 30, 2000))),
            lambda event: emitted.append(("a", event)),
            clock,
        )
        second = connector(
            write(tmp_path / "b.gz", *((at_ms, trade(at_ms)) for at_ms in (5, 20, 25, 3000))),
            lambda event: emitted.append(("b", event)),
            clock,
        )
        first.play_with([second])
        loop.elapsed_ns = round(late_s * 1e9)
        await asyncio.gather(second.run(), first.run())

    run_virtual(main, start_ns=START)
    assert [name for name, event in emitted if isinstance(event, VenueConnected)] == ["a", "b"]
    assert [(name, (event.ts_local_ns - START) // MS) for name, event in emitted if isinstance(event, PublicTrade)] == [
        ("b", 5),
        ("a", 10),
        ("a", 20),
        ("b", 20),
        ("b", 25),
        ("a", 30),
        ("a", 2000),
        ("b", 3000),
    ]


def _noted(emitted: list[tuple[str, Event]], name: str, event: Event) -> None:
    emitted.append((name, event))


def test_a_late_recording_catches_up_when_it_is_asked(tmp_path: Path) -> None:
    """All recordings that are played together, up to and with the instant; `run` goes on behind, and nothing twice."""
    emitted: list[tuple[str, Event]] = []

    def told() -> list[tuple[str, int]]:
        return [(name, (event.ts_local_ns - START) // MS) for name, event in emitted if isinstance(event, PublicTrade)]

    async def main(loop: VirtualLoop) -> None:
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        both = [
            connector(
                write(tmp_path / f"{name}.gz", *((at_ms, trade(at_ms)) for at_ms in times)),
                partial(_noted, emitted, name),
                clock,
            )
            for name, times in (("a", (10, 20, 30)), ("b", (15, 20, 40)))
        ]
        both[0].play_with(both[1:])
        both[1].catch_up(START + 1000 * MS)
        assert told() == [], "nothing plays yet"
        playing = asyncio.gather(*(one.run() for one in both))
        await asyncio.sleep(0)
        both[1].catch_up(START + 20 * MS)
        assert told() == [("a", 10), ("b", 15), ("a", 20), ("b", 20)]
        await playing

    run_virtual(main, start_ns=START)
    assert told() == [("a", 10), ("b", 15), ("a", 20), ("b", 20), ("a", 30), ("b", 40)]


def test_damage_is_told_apart_from_frames_without_meaning(tmp_path: Path) -> None:
    """Frames that cannot be read are named by line; replies are no damage."""
    path = write(
        tmp_path / "damaged.gz",
        (0, depth(11, 20, 10)),
        (1, b'{"result":null,"id":1}'),
        (2, b"{rubbish"),
        (3, snapshot(15)),
        (4, depth(21, 30, 20)[:-20]),
        (5, trade(7)),
    )
    feed = connector(path, damaged="skip")
    assert [type(event).__name__ for event in feed.events()] == [
        "BookSnapshot",
        "BookDelta",
        "BookInvalidated",
        "PublicTrade",
    ]
    assert [damage.line for damage in feed.damage] == [3, 5]
    assert feed.problems == {"malformed": 2, "recording_damage": 2}
    assert feed.notes == [f"{path}: line 3: frame cannot be read", f"{path}: line 5: frame cannot be read"]


def test_a_recording_knows_how_much_of_it_was_read(tmp_path: Path) -> None:
    """Bytes as they are stored, from the beginning at each reading."""
    feed = connector(small(tmp_path))
    assert (feed.bytes_read, feed.bytes_total) == (0, (tmp_path / "small.gz").stat().st_size)
    for _ in range(2):
        assert len(list(feed.events())) > 3
        assert feed.bytes_read == feed.bytes_total


def test_recording_of_another_symbol_says_so(tmp_path: Path) -> None:
    """A backtest of nothing would look like a quiet market."""
    path = tmp_path / "eth.gz"
    frame = depth(11, 20, 10).replace(b"BTCUSDT", b"ETHUSDT").replace(b"btcusdt", b"ethusdt")
    write(path, (0, frame), (5, frame))
    with pytest.raises(ConfigError, match=r"eth\.gz: line 2: none of 2 frames says anything of BTCUSDT"):
        list(connector(path).events())
    asked = connector(path, damaged="skip")
    assert list(asked.events()) == []
    assert asked.problems["recording_damage"] == 1


def test_the_real_recording_is_read_to_its_last_frame() -> None:
    """All 93,954 frames, no problem, no damage, time never back."""
    feed = connector(shared_file("data/binance-usdm-btcusdt-20240808.gz"))
    last_ns, counts = 0, dict[str, int]()
    for event in feed.events():
        assert event.ts_local_ns >= last_ns
        last_ns = event.ts_local_ns
        counts[type(event).__name__] = counts.get(type(event).__name__, 0) + 1
    assert feed.frames == 93_954
    assert counts == {"BookDelta": 6547, "BookSnapshot": 1, "PublicTrade": 21_313, "TopOfBook": 66_089}
    assert (feed.problems, feed.damage) == ({}, [])
