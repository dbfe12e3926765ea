"""A folder of segments that a recorder wrote, read as one feed: hour after hour, without a seam."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from connectors.recorded.reader import DAMAGE_MAX, Damage, Damaged, WireLog
from mm_daemon.domain.errors import ConfigError
from mm_daemon.ports.recording import EVENTS_SUFFIX, INDEX, RecordingIndex, read_index, segments_in

_NO_JUMP_NS = 1 << 62
"""A chunk's own check has vouched for its times: a pause is a pause."""


class SegmentLog:
    """Frames of all segments. `index` is what the recorder said of them; None: it is lost, and not needed."""

    def __init__(self, folder: Path, damaged: Damaged = "skip") -> None:
        """Raises ConfigError when there is nothing to read."""
        self.path = folder
        self._damaged = damaged
        try:
            self._segments = segments_in(folder)
            self.index = read_index(folder)
        except OSError as error:
            raise ConfigError(f"recording {folder}: {error.strerror or error}") from error
        except ValueError as error:
            raise ConfigError(f"recording {folder / INDEX}: cannot be read: {error}; it may be deleted") from error
        if not self._segments:
            raise ConfigError(f"recording {folder}: the folder holds no segment; `mm-daemon record` writes some")
        self._read: list[WireLog] = []
        self._missing: list[str] = []
        self._done_bytes = 0

    @property
    def damage(self) -> Sequence[Damage]:
        return [each for log in self._read for each in log.damage][:DAMAGE_MAX]

    @property
    def damaged(self) -> int:
        return sum(log.damaged for log in self._read) + len(self._missing)

    @property
    def notes(self) -> Sequence[str]:
        return [*self._missing, *(note for log in self._read for note in log.notes)][:DAMAGE_MAX]

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self._segments)

    @property
    def bytes_read(self) -> int:
        """Of the segments as they are stored."""
        return self._done_bytes + (self._read[-1].bytes_read if self._read else 0)

    def first_ns(self) -> int:
        for ts_local_ns, _ in SegmentLog(self.path).frames():
            return ts_local_ns
        raise ConfigError(f"recording {self.path}: no segment holds a frame")

    def name(self, what: str) -> None:
        """Note that the frame just read could not be used by its reader. Raises ConfigError as `TextLog.name`."""
        self._read[-1].name(what)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """(local time, frame); `BREAK` in the place of a frame as in `WireLog`."""
        self._read, self._missing = [], self._lost_segments()
        if self._missing and self._damaged == "stop":
            raise ConfigError(f"recording {self._missing[0]}; write `damaged: skip` beside its path to go on without")
        last_ns = self._done_bytes = 0
        for path in self._segments:
            self._done_bytes += self._read[-1].bytes_read if self._read else 0
            log = WireLog(path, self._damaged, jump_ns=_NO_JUMP_NS)
            if self._read and not self._read[-1].damaged:
                self._read[-1] = log  # what was whole is forgotten
            else:
                self._read.append(log)
            for ts_local_ns, frame in log.frames(last_ns):
                last_ns = ts_local_ns
                yield ts_local_ns, frame

    def _lost_segments(self) -> list[str]:
        """Segments that the index names and nobody finds."""
        there = {path.name for path in self._segments}
        known = [] if self.index is None else [entry.file for entry in self.index.segments if entry.bytes]
        return [
            f"{self.path / name}: the index names this segment, and it is not there"
            for name in known
            if name not in there
        ]


def segment_folder(path: Path, venue: str) -> Path | None:
    """The folder of segments that a path means: itself, or within it the one of a venue; None: it means none.

    Where the frames of a venue cannot be read by a translator, its events are meant. Raises ConfigError for a folder
    of several venues of which none has the name.
    """
    if not path.is_dir():
        return None
    if _has_segments(path):
        return path
    folders = [each for each in sorted(path.iterdir()) if each.is_dir() and _has_segments(each)]
    if not folders:
        return None
    names = {each.name: each for each in folders}
    venues = dict.fromkeys(name.removesuffix(EVENTS_SUFFIX) for name in names)
    chosen = venue if venue in venues else next(iter(venues)) if len(venues) == 1 else None
    if chosen is None:
        raise ConfigError(f"recording {path}: holds {', '.join(venues)}, none is named {venue}; write the path of one")
    frames = names.get(chosen)
    readable = frames is not None and ((index := _index(frames)) is None or index.wire is not None)
    return (
        frames
        if frames is not None and (readable or chosen + EVENTS_SUFFIX not in names)
        else (names[chosen + EVENTS_SUFFIX])
    )


def _has_segments(path: Path) -> bool:
    return bool(segments_in(path))


def _index(folder: Path) -> RecordingIndex | None:
    try:
        return read_index(folder)
    except (OSError, ValueError):  # said where it is read
        return None
