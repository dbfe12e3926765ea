"""A recording that another process reads: the same events, the same words about them, errors in their place, no process
left behind; and where there is no other core, or a fork would not be safe, none is made."""

import gc
import gzip
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import sleep

import msgspec
import pytest

from connectors.recorded.connector import RecordedConnector
from mm_daemon.backtest.cores import cores
from mm_daemon.backtest.feeds.ahead import ReadAhead, ReaderDied, can_read_ahead
from mm_daemon.backtest.feeds.slices import SlicedFeed
from mm_daemon.backtest.runner import run_backtest
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.config.problems import ConfigProblems, Place, Problem
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import FundingUpdate, MarketEvent
from mm_daemon.ports.connector import RecordedFeed
from mm_daemon.simulation.venue import SimulatedVenue
from mm_daemon.testkit.builders import MS, VENUE, core_parameters, instrument
from tests.shared import ROOT, SHARED, shared_file
from tests.unit.backtest.doubles import ListFeed, tape
from tests.unit.connectors.binance.frames import depth, snapshot, trade
from tests.unit.connectors.recorded.test_connector import START, connector, small, write

SPOT = "data/binance-spot-btcusdt-20240808.gz"
USDM = "data/binance-usdm-btcusdt-20240808.gz"

two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or cores() < 2, reason="needs two cores, and a say in which"
)


def said(feed: RecordedConnector | ReadAhead) -> tuple[object, ...]:
    """What a feed says of itself."""
    return feed.frames, dict(feed.problems), list(feed.notes), feed.bytes_read, feed.bytes_total


_others: set[int] = set()
"""Processes that were there before the test: those of other tests."""


def children() -> set[int]:
    """Processes that this one has made and not collected."""
    made = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            _, parent, *_ = path.read_text("utf-8", "replace").rpartition(")")[2].split()
            if int(parent) == os.getpid():
                made.add(int(path.parent.name))
    return made


@pytest.fixture(autouse=True)
def _remember_others() -> None:
    _others.clear()
    _others.update(children())


def no_child_is_left() -> bool:
    """Neither running nor waiting to be collected."""
    gc.collect()
    return children() <= _others


class Raising(ListFeed):
    """A feed that ends with an error, or with whatever a function does."""

    def __init__(self, events: Sequence[MarketEvent], error: BaseException) -> None:
        super().__init__(events)
        self._error = error

    def events(self) -> Iterator[MarketEvent]:
        yield from super().events()
        raise self._error


def read(feed: RecordedFeed) -> tuple[list[MarketEvent], Exception | None]:
    """What comes out of it, and what ends it."""
    events: list[MarketEvent] = []
    try:
        for event in feed.events():
            events.append(event)
    except Exception as error:
        return events, error
    return events, None


def test_a_real_recording_is_the_same_read_by_another_process() -> None:
    """Every event, and what the feed says at the end of each of two readings; before the first, what the feed says."""
    feed = connector(shared_file(USDM))
    events, before = list(feed.events()), said(feed)
    fresh = connector(shared_file(USDM))
    ahead = ReadAhead(fresh)
    assert said(ahead) == said(fresh)
    for _ in range(2):
        assert list(ahead.events()) == events
        assert said(ahead) == before
    assert ahead.frames == 93_954
    assert fresh.frames == 0
    assert ahead.instruments() == feed.instruments()
    assert no_child_is_left()


def test_a_truncated_recording_is_the_same(tmp_path: Path) -> None:
    """Cut in the middle of the gzip file: what is good comes out, and the damage is named, or stops it."""
    path = tmp_path / "torn.gz"
    path.write_bytes(shared_file(USDM).read_bytes()[:200_000])
    feed = connector(path, damaged="skip")
    ahead = ReadAhead(connector(path, damaged="skip"))
    assert list(ahead.events()) == list(feed.events())
    assert said(ahead) == said(feed)
    assert feed.problems["recording_damage"]
    stopped, stopped_ahead = (read(each(connector(path))) for each in (lambda feed: feed, ReadAhead))
    assert stopped[0] == stopped_ahead[0]
    assert isinstance(stopped_ahead[1], ConfigError)
    assert str(stopped_ahead[1]) == str(stopped[1])
    assert "write `damaged: skip`" in str(stopped[1])
    assert no_child_is_left()


@pytest.mark.parametrize("damaged", ["skip", "stop"])
def test_damaged_frames_are_named_or_stop_it_in_their_place(tmp_path: Path, damaged: str) -> None:
    path = write(
        tmp_path / "damaged.gz",
        (0, depth(11, 20, 10)),
        (2, b"{rubbish"),
        (3, snapshot(15)),
        (4, depth(21, 30, 20)[:-20]),
        (5, trade(7)),
    )
    feed, other = connector(path, damaged=damaged), connector(path, damaged=damaged)
    ahead = ReadAhead(other)
    (events, error), (events_ahead, error_ahead) = read(feed), read(ahead)
    assert events_ahead == events
    assert repr(error_ahead) == repr(error)
    assert said(ahead) == said(feed)
    assert (error is not None) == (damaged == "stop")


def test_a_recording_that_says_nothing_is_refused_in_the_same_words(tmp_path: Path) -> None:
    frame = depth(11, 20, 10).replace(b"BTCUSDT", b"ETHUSDT").replace(b"btcusdt", b"ethusdt")
    path = write(tmp_path / "eth.gz", (0, frame), (5, frame))
    with pytest.raises(ConfigError, match=r"eth\.gz: line 2: none of 2 frames says anything of BTCUSDT"):
        list(ReadAhead(connector(path)).events())
    (tmp_path / "none.gz").write_bytes(gzip.compress(b""))
    nothing = ReadAhead(connector(tmp_path / "none.gz", damaged="skip"))
    assert list(nothing.events()) == []
    assert nothing.problems["recording_damage"] == 1


def test_errors_come_behind_the_events_before_them_as_what_they_were() -> None:
    """With text and attributes; an error that is not ours says where it came from; one that cannot travel says what it
    was."""
    events = list(tape(60))
    place = Place("a.yaml", 1, 2)

    class Local(Exception):
        pass

    for raised in (ConfigError("it is damaged"), ValueError("a bug"), Local("here"), ConfigProblems([])):
        seen, error = read(ReadAhead(Raising(events, raised)))
        assert seen == events
        if type(raised) is not Local:
            assert repr(error) == repr(raised)
        if isinstance(error, ValueError):
            assert "test_ahead.py" in error.__notes__[0]
    _, error = read(ReadAhead(Raising([], Local("here"))))
    assert str(error) == "Local: here"
    problems = ConfigProblems([Problem(place, "key", "is wrong"), Problem(place, "other", "is wrong too")])
    _, error = read(ReadAhead(Raising([], problems)))
    assert str(error).endswith(str(problems))
    assert no_child_is_left()


def test_a_number_that_no_journal_holds_travels_too() -> None:
    """As a backtest without a journal takes it today."""
    event = FundingUpdate(instrument().id, MS, MS, 10**25, 2 * MS, MS)
    assert list(ReadAhead(ListFeed([event])).events()) == [event]


def test_notes_of_a_file_whose_name_is_not_utf8_travel_too(tmp_path: Path) -> None:
    """Python has such names with lone surrogates, which no text that is UTF-8 can hold."""
    path = tmp_path / os.fsdecode(b"\xff.gz")
    path.write_bytes(small(tmp_path).read_bytes()[:-20])
    feed, other = connector(path, damaged="skip"), connector(path, damaged="skip")
    ahead = ReadAhead(other)
    assert list(ahead.events()) == list(feed.events())
    assert said(ahead) == said(feed)
    assert any("\udcff" in note for note in feed.notes)


@pytest.mark.parametrize("after", [0, 1, 15, 16, 17, 5000])
def test_a_killed_reader_is_an_error_and_never_a_shorter_recording(after: int) -> None:
    class Dying(ListFeed):
        def events(self) -> Iterator[MarketEvent]:
            yield from islice(super().events(), after)
            os.kill(os.getpid(), signal.SIGKILL)

    events = list(tape(600))
    seen, error = read(ReadAhead(Dying(events)))
    assert isinstance(error, ReaderDied)
    assert error.exit_code == 1
    assert seen == events[: len(seen)]
    assert len(seen) <= after
    assert f"ended with signal 9 after {len(seen):,} events" in str(error)
    assert no_child_is_left()


def test_a_reader_that_leaves_in_its_own_way_is_an_error_too(capfd: pytest.CaptureFixture[str]) -> None:
    """SystemExit in a feed runs nothing of the parent's and says nothing."""
    seen, error = read(ReadAhead(Raising(list(tape(1)), SystemExit(0))))
    assert (seen, type(error)) == ([], ReaderDied)
    assert "exit code 1" in str(error)
    assert capfd.readouterr() == ("", "")


def test_whoever_stops_early_leaves_no_process() -> None:
    """One that has read on into a full pipe, and one that is at work and never writes again."""

    class Stuck(ListFeed):
        def events(self) -> Iterator[MarketEvent]:
            yield from super().events()
            while True:
                sleep(60)

    for feed in (ListFeed(list(tape(3000))), Stuck(list(tape(5)))):
        events = ReadAhead(feed).events()
        assert len(list(islice(events, 16))) == 16
        assert not no_child_is_left()
        events.close()  # type: ignore[attr-defined]
        assert no_child_is_left()


def test_without_a_process_or_a_pipe_to_be_had_it_is_read_here() -> None:
    """As many files are open as may be."""
    events = list(tape(60))
    feed = ListFeed(events)
    ahead = ReadAhead(feed)
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        seen = list(ahead.events())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    assert seen == events
    assert ahead.frames == feed.frames == len(events)


@pytest.mark.parametrize("duration_s", [1e-10, 0.001, 1, 7.3, 1000])
def test_a_run_that_ends_early_is_the_same_run(duration_s: float, tmp_path: Path) -> None:
    """Journal, frames and all; and no process is left."""
    outcomes = []
    for name in ("here", "ahead"):
        feed = ListFeed(list(tape(60)))
        ahead = ReadAhead(feed, round(duration_s * 1e9))
        source = RecordedMarket(feed if name == "here" else ahead, SimulatedVenue(VENUE, [instrument()]))
        report = run_backtest(core_parameters(), {VENUE: source}, journal=tmp_path / name, duration_s=duration_s)
        outcomes.append(msgspec.structs.replace(report, wall_seconds=None, journal=None))
    assert outcomes[0] == outcomes[1]
    assert (tmp_path / "here").read_bytes() == (tmp_path / "ahead").read_bytes()
    assert no_child_is_left()


def test_a_part_is_cut_out_where_it_is_read(tmp_path: Path) -> None:
    """Frames are those of the part, as a feed that is cut counts them."""
    one, other = (SlicedFeed(connector(small(tmp_path)), START + 15 * MS, START + 1001 * MS) for _ in range(2))
    ahead = ReadAhead(other)
    assert list(ahead.events()) == list(one.events())
    assert ahead.frames == one.frames
    assert 0 < (one.frames or 0) < 5


def test_where_no_process_is_made(tmp_path: Path) -> None:
    """A feed that does not say that it may, threads that may hold locks, and a single core."""
    feed = connector(small(tmp_path))
    if cores() > 1:
        assert can_read_ahead(feed) == (threading.active_count() == 1)
        assert can_read_ahead(SlicedFeed(feed, 1, None)) == can_read_ahead(feed)
    assert not can_read_ahead(ListFeed([]))
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    assert not can_read_ahead(feed)
    release.set()
    thread.join()
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            assert not can_read_ahead(feed)
        finally:
            os.sched_setaffinity(0, allowed)


def test_what_polars_reads_is_not_read_by_a_fork(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    path = tmp_path / "quotes.parquet"
    polars.DataFrame({"timestamp": [10**18], "bid": [1.0], "ask": [1.1]}).write_parquet(path)
    assert not connector(path, translator=None).forkable
    assert connector(small(tmp_path)).forkable


COUNTING = """
import os, sys
cores, arguments = int(sys.argv[1]), sys.argv[2:]
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
forks = []
os.register_at_fork(after_in_parent=lambda: forks.append(1))
from mm_daemon.cli.main import execute
code = execute(arguments)
open("forks", "w").write(str(len(forks)))
sys.exit(code)
"""


def verb(tmp_path: Path, cores: int, *arguments: str, stderr: int = subprocess.PIPE) -> tuple[bytes, int]:
    """(what it printed, how many processes it forked) of a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", COUNTING, str(cores), "backtest", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MM_SHARED": str(SHARED)},
        stdout=subprocess.PIPE,
        stderr=stderr,
        check=True,
    )
    return done.stdout, int((tmp_path / "forks").read_text())


@two_cores
@pytest.mark.parametrize(
    ("example", "more", "forked"),
    [
        ("recorded-binance-usdm", [], 1),
        ("recorded-binance-usdm", ["--duration", "60s"], 1),
        ("recorded-two-venues", [], 2),
        ("recorded-two-venues", ["--duration", "60s"], 0),
    ],
)
def test_a_backtest_with_a_second_core_is_the_one_without(
    tmp_path: Path, example: str, more: list[str], forked: int
) -> None:
    """The verb, in a process with one core and in one with two: report and journal, byte for byte."""
    for needed in (SPOT, USDM):
        shared_file(needed)
    config = str(ROOT / f"deploy/examples/{example}.yaml")
    reports = []
    for used in (1, 2):
        out, forks = verb(tmp_path, used, "-c", config, "--json", "--journal", f"{used}.journal", *more)
        assert forks == (used - 1) * forked
        reports.append({**msgspec.json.decode(out), "wall_seconds": 0, "journal": ""})
    assert reports[0] == reports[1]
    assert (tmp_path / "1.journal").read_bytes() == (tmp_path / "2.journal").read_bytes()


@two_cores
def test_a_progress_bar_has_no_thread_that_would_forbid_it(tmp_path: Path) -> None:
    config = str(ROOT / "deploy/examples/recorded-binance-usdm.yaml")
    shared_file(USDM)
    ours, theirs = pty.openpty()
    reader = threading.Thread(target=_drained, args=(ours,))
    reader.start()
    out, forks = verb(tmp_path, 2, "-c", config, "--no-journal", stderr=theirs)
    os.close(theirs)
    reader.join()
    assert forks == 1
    assert b"fills" in out


def _drained(terminal: int) -> None:
    """Until nobody writes there any more, which a terminal says by an error."""
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass
    os.close(terminal)


def test_ctrl_c_ends_both_without_a_word(tmp_path: Path) -> None:
    """As on a terminal, where the whole group gets it: no traceback, and nobody goes on reading."""
    shared_file(USDM)
    config = str(ROOT / "deploy/examples/recorded-binance-usdm.yaml")
    process = subprocess.Popen(
        [sys.executable, "-m", "mm_daemon.cli", "backtest", "-c", config, "--json", "--journal", "journal"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MM_SHARED": str(SHARED)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    journal = tmp_path / "journal"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 1000):
        sleep(0.005)  # a real process takes real time
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)  # the pipes end when the last process that holds them has
    assert (out, err, process.returncode) == (b"", b"", 130)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


BUSY = """
import os, signal
from itertools import islice
from mm_daemon.backtest.feeds.ahead import ReadAhead
from tests.unit.backtest.doubles import ListFeed, tape

class Busy(ListFeed):
    def events(self):
        yield from super().events()
        while True:  # as where a recording says nothing of our market
            pass

events = ReadAhead(Busy(list(tape(5)))).events()
list(islice(events, 16))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_nobody_reads_for_a_parent_that_was_killed() -> None:
    """Not even where nothing is written to the pipe, whose end would say so."""
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        process.communicate(timeout=20)  # its output ends when the last process that holds it has
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == -signal.SIGKILL


INTERRUPTED = """
import os, signal
from mm_daemon.backtest.feeds.ahead import ReadAhead
from tests.unit.backtest.doubles import ListFeed, tape
from tests.unit.backtest.test_ahead import no_child_is_left

os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    list(ReadAhead(ListFeed(list(tape(3000)))).events())
except KeyboardInterrupt:
    print("interrupted", no_child_is_left(), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_ctrl_c_while_the_process_is_made_leaves_none() -> None:
    """In a notebook, where the parent lives on and Ctrl-C must still reach it."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("interrupted True set()\n", "")
