"""The thread that writes recordings, behind a bounded buffer: the loop only ever appends to it.

What comes while the buffer is full is lost, counted, and said in the recording at the place where it is missing. The
bound on the disk holds for all folders together: the oldest closed segment makes room, or recording stops.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal

from mm_daemon.domain.errors import JournalError
from mm_daemon.ports.recording import LOST
from mm_daemon.runtime.recording.segments import SegmentFolder

WhenFull = Literal["delete-oldest", "stop"]

BUFFER_BYTES_MAX = 64 << 20
_FLUSH_S = 1.0
_INDEX_EVERY = 10
_OVERHEAD = 96
"""Bytes that a waiting frame costs beside its own."""

_Item = tuple[SegmentFolder, int, bytes, bytes, int]
"""Folder, time, remark (empty: a frame), frame or what is said, frames lost."""


class RecordingWriter:
    """`put` and `remark` belong to the loop; all else happens in the thread. `failure` ends the recording."""

    def __init__(
        self,
        *,
        max_bytes: int | None = None,
        when_full: WhenFull = "delete-oldest",
        buffer_bytes_max: int = BUFFER_BYTES_MAX,
        on_deleted: Callable[[str], None] = lambda _file: None,
    ) -> None:
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._buffer_bytes_max = buffer_bytes_max
        self._on_deleted = on_deleted
        self._folders: list[SegmentFolder] = []
        self._waiting: deque[_Item] = deque()
        self._bytes_in = self._bytes_out = 0
        self._lost: dict[SegmentFolder, int] = {}
        self._last_ns: dict[SegmentFolder, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self.failure: JournalError | None = None
        self.full = False
        """The disk bound was reached and nothing may be deleted."""
        self.lost = 0
        self.taken = 0
        """Frames that were taken to be written."""

    def start(self) -> None:
        self._thread.start()

    def add(self, folder: SegmentFolder) -> None:
        """One more folder, before anything is put into it."""
        self._last_ns[folder] = folder.last_ns
        self._folders = [*self._folders, folder]

    def put(self, folder: SegmentFolder, ts_local_ns: int, frame: bytes) -> None:
        """A frame. Never waits; a time before the last one is written as the last one."""
        if self._bytes_in - self._bytes_out + len(frame) > self._buffer_bytes_max or self.failure or self.full:
            self._lost[folder] = self._lost.get(folder, 0) + 1
            self.lost += 1
            return
        ts_local_ns = self._in_order(folder, ts_local_ns)
        if folder in self._lost:
            lost = self._lost.pop(folder)
            self._waiting.append((folder, ts_local_ns, LOST, b"%d frames, %s" % (lost, self._why), lost))
            self._bytes_in += _OVERHEAD
        self._waiting.append((folder, ts_local_ns, b"", frame, 0))
        self._bytes_in += len(frame) + _OVERHEAD
        self.taken += 1

    @property
    def _why(self) -> bytes:
        """Frames are lost."""
        return b"the disk bound was reached" if self.full else b"the disk was too slow"

    def remark(self, folder: SegmentFolder, ts_local_ns: int, word: bytes, rest: str = "") -> None:
        self._waiting.append((folder, self._in_order(folder, ts_local_ns), word, rest.encode(), 0))
        self._bytes_in += _OVERHEAD

    def stop(self) -> None:
        """Write what is left and close the folders. Raises JournalError when that, or anything before, failed."""
        for folder, lost in self._lost.items():
            at_ns = self._in_order(folder, 0)
            self._waiting.append((folder, at_ns, LOST, b"%d frames, %s" % (lost, self._why), lost))
        self._lost.clear()
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        for folder in self._folders:
            try:
                folder.close()
            except JournalError as error:
                self.failure = self.failure or error
        if self.failure is not None:
            raise self.failure

    def figures(self) -> Mapping[str, tuple[int, int]]:
        """(frames, bytes) on the disk, by folder."""
        shown = {}
        for folder in self._folders:
            entries = list(folder.index.segments)
            shown[folder.folder.name] = sum(each.frames for each in entries), sum(each.bytes for each in entries)
        return shown

    def _in_order(self, folder: SegmentFolder, ts_local_ns: int) -> int:
        last_ns = self._last_ns[folder]
        if ts_local_ns < last_ns:
            return last_ns
        self._last_ns[folder] = ts_local_ns
        return ts_local_ns

    def _run(self) -> None:
        rounds = 0
        try:
            while not self._stopping.wait(_FLUSH_S if rounds else 0.0):
                rounds += 1
                self._write()
                if rounds % _INDEX_EVERY == 0:
                    for folder in self._folders:
                        folder.write_index()
            self._write()
        except JournalError as error:
            self.failure = error
        except OSError as error:
            self.failure = JournalError(f"the recording cannot be written: {error}")

    def _write(self) -> None:
        """Raises JournalError."""
        waiting = self._waiting
        while waiting:
            folder, ts_local_ns, word, body, lost = waiting.popleft()
            if word:
                folder.remark(ts_local_ns, word, body.decode("utf-8", "replace"), lost=lost)
                self._bytes_out += _OVERHEAD
            else:
                folder.append(ts_local_ns, body)
                self._bytes_out += len(body) + _OVERHEAD
        for folder in self._folders:
            folder.flush()
        self._keep_bound()

    def _keep_bound(self) -> None:
        if self._max_bytes is None:
            return
        while sum(folder.size_bytes for folder in self._folders) > self._max_bytes:
            oldest = [(entry.first_ns or 0, folder) for folder in self._folders if (entry := folder.oldest) is not None]
            if self._when_full == "stop" or not oldest:
                self.full = True
                return
            _, folder = min(oldest, key=lambda each: each[0])
            self._on_deleted(str(folder.folder / folder.delete_oldest().file))
