"""A recording that another process reads while this one plays it.

Reading, which is unpacking, decoding and pricing frames, is a good third of a backtest and needs nothing of the rest. A
process forked from this one does it on another core and sends the events in batches through a pipe, which is also what
bounds how far it is ahead. What comes out is the same: the events, what the feed says of itself behind each batch, and
an error in its place in the stream.
"""

import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from struct import Struct
from typing import BinaryIO, NoReturn

import msgspec

from mm_daemon.backtest.cores import cores
from mm_daemon.backtest.feeds.retold import RetoldFeed
from mm_daemon.domain.errors import MmError
from mm_daemon.domain.events import MarketEvent
from mm_daemon.ports.connector import Forkable, RecordedFeed

_FIRST_EVENTS = 16
_MOST_EVENTS = 512
"""Batches grow from the one to the other, so that playing begins at once."""
_PIPE_BYTES = 1 << 20
_ORPHANED_S = 1.0
"""How often a reader looks whether there is still a parent to read for."""
_LENGTH = Struct("=I")
"""Stands before each batch."""


class ReaderDied(MmError):
    """The process that read a recording is gone, and did not come to the end: killed, or out of memory. Exit 1."""


class _Batch(msgspec.Struct, frozen=True, array_like=True):
    """Events, and what the feed said of itself behind the last of them."""

    events: list[MarketEvent]
    frames: int | None
    bytes_read: int
    problems: dict[str, int]
    notes: list[str]
    last: bool
    error: bytes
    """What the feed raised behind the events of the last batch, pickled; empty: nothing."""


def can_read_ahead(feed: RecordedFeed) -> bool:
    """Whether another core is there, and a fork is safe: the feed says so, and no thread could hold a lock that the
    child would wait for."""
    safe = isinstance(feed, Forkable) and feed.forkable and threading.active_count() == 1
    return safe and hasattr(os, "fork") and cores() > 1


class ReadAhead(RetoldFeed):
    """A feed that is read by a process of its own. What it says of itself is of the batch that is handed out; at the
    end, and where an error is raised, it is exact."""

    def __init__(self, feed: RecordedFeed, duration_ns: int | None = None) -> None:
        """`duration_ns`: what a run will play of it, from the first event on; it is not read further than the first
        event behind that, which is as far as such a run looks."""
        super().__init__(feed)
        self._duration_ns = duration_ns
        self._batch: _Batch | None = None

    @property
    def frames(self) -> int | None:
        return super().frames if self._batch is None else self._batch.frames

    @property
    def problems(self) -> Mapping[str, int]:
        return super().problems if self._batch is None else self._batch.problems

    @property
    def notes(self) -> Sequence[str]:
        return super().notes if self._batch is None else self._batch.notes

    @property
    def bytes_read(self) -> int:
        return super().bytes_read if self._batch is None else self._batch.bytes_read

    def events(self) -> Iterator[MarketEvent]:
        """As of the feed. Raises what it raises, and ReaderDied."""
        self._batch = None
        try:
            child, pipe, mask = self._fork()
        except OSError:  # the system gives no process, or no pipe, to this one
            yield from self._feed.events()
            return
        seen, gone = 0, False
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            while (batch := _received(pipe)) is not None:
                self._batch = batch
                yield from batch.events
                seen += len(batch.events)
                if batch.error:
                    raise pickle.loads(batch.error)
                if batch.last:
                    return
            gone = True
        finally:
            pipe.close()
            how = _ended(child, kill=not gone)
        raise ReaderDied(
            f"the process that read the recording ended with {how} after {seen:,} events, and nothing behind them is "
            "known; unless somebody ended it, look whether memory was short, and start again"
        )

    def _fork(self) -> tuple[int, BinaryIO, set[int]]:
        """(process id, the pipe to read from) of a child that reads, and the mask of signals to set as soon as somebody
        will end it: a Ctrl-C of before comes then. Raises OSError."""
        ours, theirs = os.pipe()
        parent = os.getpid()
        # Ctrl-C reaches the whole group of a terminal; it is ours to end the child, from its first instruction on.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with warnings.catch_warnings():
                # The threads that newer Pythons warn of are those of libraries that no reader of a recording calls.
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                self._serve(ours, theirs, parent)
        except OSError:
            os.close(ours)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        finally:
            os.close(theirs)
        _widen(ours)
        return child, open(ours, "rb"), mask

    def _serve(self, ours: int, theirs: int, parent: int) -> NoReturn:
        """The life of the child. It ends without a word, and with nothing of the parent's flushed, closed or told."""
        code = 1
        try:
            os.close(ours)
            _end_with(parent)
            with open(theirs, "wb") as pipe:
                for batch in self._batches():
                    load = _encoded(batch)
                    pipe.write(_LENGTH.pack(len(load)))
                    pipe.write(load)
                    pipe.flush()
            code = 0
        finally:
            os._exit(code)  # whatever was raised: the parent sees a pipe that ends too early, or it has closed it

    def _batches(self) -> Iterator[_Batch]:
        events: list[MarketEvent] = []
        size, error = _FIRST_EVENTS, b""
        try:
            stream = self._feed.events()
            for event in stream if self._duration_ns is None else _as_far(stream, self._duration_ns):
                events.append(event)
                if len(events) == size:
                    yield self._behind(events)
                    events.clear()
                    size = min(2 * size, _MOST_EVENTS)
        except Exception as raised:
            error = _packed(raised)
        yield self._behind(events, last=True, error=error)

    def _behind(self, events: list[MarketEvent], *, last: bool = False, error: bytes = b"") -> _Batch:
        problems, notes = dict(self.problems), list(self.notes)
        return _Batch(events, self.frames, self.bytes_read, problems, notes, last, error)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Batch)
_PICKLE = b"\x80"
"""No batch in msgpack, which is an array, begins with it."""


def _encoded(batch: _Batch) -> bytes:
    try:
        return _encoder.encode(batch)
    # A number that no journal could hold, but a backtest without one can; a note that names a file whose name is not
    # UTF-8.
    except (OverflowError, UnicodeEncodeError):
        return pickle.dumps(batch)


def _as_far(events: Iterable[MarketEvent], duration_ns: int) -> Iterator[MarketEvent]:
    """As far as a run of that time looks: with the first event that it does not play."""
    end_ns: int | None = None
    for event in events:
        yield event
        if end_ns is None:
            end_ns = event.ts_local_ns + duration_ns
        if event.ts_local_ns >= end_ns:
            return


def _end_with(parent: int) -> None:
    """End soon after the parent, however that ended: a part of a recording that holds nothing for us is not written to
    the pipe, where its end would be noticed."""

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(1)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _ORPHANED_S, _ORPHANED_S)


def _widen(pipe: int) -> None:
    """Room for some batches, where the system gives it."""
    import fcntl

    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):  # more than this user may have
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _received(pipe: BinaryIO) -> _Batch | None:
    """The next batch; None: the pipe ended where none should."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    load = pipe.read(length)
    if len(load) < length:
        return None
    batch: _Batch = pickle.loads(load) if load.startswith(_PICKLE) else _decoder.decode(load)
    return batch


def _ended(child: int, *, kill: bool) -> str:
    """How the child ended, which is now where it is killed, whatever it does."""
    try:
        if kill:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    except (ProcessLookupError, ChildProcessError):  # whoever started us lets the system collect our children
        return "no known exit code"
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _packed(error: Exception) -> bytes:
    """An exception as bytes. One of ours says all by its text; any other takes along where it came from."""
    import traceback

    if not isinstance(error, MmError):
        error.add_note("".join(traceback.format_exception(error)))
    with suppress(Exception):
        load = pickle.dumps(error)
        if repr(pickle.loads(load)) == repr(error):
            return load
    return pickle.dumps(MmError(f"{type(error).__name__}: {error}"))
