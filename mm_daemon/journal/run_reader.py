"""Reading the journal of a run: its two families merged by number, or one of them alone.

`RunReader` gives whole turns: a turn whose other half is missing is not given, it is the torn tail that a sudden death
leaves, and `fault` names it. Where retention has deleted segments, `kept_from` is the number from which on nothing is
missing. `FamilyReader` reads the trade family alone, which is what a restart needs. `repair_run` cuts torn frames.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mm_daemon.domain.codec import Decided
from mm_daemon.domain.errors import JournalError
from mm_daemon.journal.format import Family, Fault, FaultKind
from mm_daemon.journal.log import Frame, JournalReader, repair
from mm_daemon.journal.segments import Segment, is_compressed, segment_at, segments_of

_LONGEST_TEAR_NS = 60_000_000_000
"""Records beyond the end of the other family are a torn tail while they are this young: the disk is waited for once a
second. More of them are a lost segment."""


class FamilyReader:
    """Streams the segments of one family. Afterwards `fault` says what stopped it before its end, if anything did."""

    def __init__(self, folder: Path, family: Family) -> None:
        """Raises JournalError when the folder cannot be read."""
        self.family = family
        self.segments = segments_of(folder, family)
        self.fault: Fault | None = None
        self.good_bytes = 0
        self.kept_from = 0
        """Number below which records may be missing, because retention deleted their segments."""
        self._behind_hole = _behind_hole(self.segments)
        if self._behind_hole is not None:
            self.kept_from = _first_seq(self.segments[self._behind_hole])
        self._place = ""
        self._end = 0

    @property
    def end(self) -> tuple[str, int]:
        """File and offset behind the last frame that was read."""
        return self._place, self._end

    def __iter__(self) -> Iterator[Frame]:
        expected = 0
        for index, segment in enumerate(self.segments):
            before = self.segments[index - 1].number if index else 0
            if segment.number != before + 1 and index != self._behind_hole:
                what = f"segment {before + 1} of the {self.family} family is missing"
                self.fault = Fault(0, FaultKind.DAMAGED, what, segment.path.name)
                return
            with _open(segment) as reader:
                file = reader.path.name
                self._place = file
                for frame in reader:
                    if frame.seq < expected:
                        what = f"record {frame.seq} stands here, but {expected} should follow"
                        self.fault = Fault(frame.offset, FaultKind.DAMAGED, what, file)
                        return
                    expected = frame.seq + len(frame.records)
                    self._end = reader.good_bytes
                    yield frame._replace(file=file)
                self._end = reader.good_bytes
                self.fault = self._judged(reader, segment, last=index == len(self.segments) - 1)
                if self.fault is not None:
                    self.good_bytes += 0 if is_compressed(reader.path) else reader.good_bytes
                    return
                self.good_bytes += reader.size_bytes

    def _judged(self, reader: JournalReader, segment: Segment, *, last: bool) -> Fault | None:
        fault, header, file = reader.fault, reader.header, reader.path.name
        if fault is None and header is not None and header.family is not self.family:
            return Fault(0, FaultKind.DAMAGED, f"holds the {header.family} family, not what its name says", file)
        if fault is None:
            return None
        if fault.kind is FaultKind.TORN and not last:
            what = f"{fault.what}, although segment {segment.number + 1} follows"
            return Fault(fault.offset, FaultKind.DAMAGED, what, file)
        return msgspec.structs.replace(fault, file=file)


class RunReader:
    """Streams a run in the order of its records. Afterwards `fault` says where its good part ended early, if it did."""

    def __init__(self, folder: Path) -> None:
        """Raises JournalError when the folder cannot be read or holds no journal."""
        self.path = folder
        self.fault: Fault | None = None
        self._families = [FamilyReader(folder, family) for family in (Family.MARKET, Family.TRADE)]
        segments = [segment for family in self._families for segment in family.segments]
        if not segments:
            raise JournalError(f"journal {folder} cannot be read: the folder holds no segments")
        self.size_bytes = sum(_size(segment.path) for segment in segments)
        self.kept_from: int | None = max(family.kept_from for family in self._families)
        """Number from which on nothing was deleted; 0: nothing ever was; None: no market segment is left."""
        if not self._families[0].segments:
            self.kept_from = None

    @property
    def good_bytes(self) -> int:
        """Bytes in the good parts of the segments that were read."""
        return sum(family.good_bytes for family in self._families)

    def __iter__(self) -> Iterator[Frame]:
        streams = [_Stream(family) for family in self._families]
        held: list[Frame] = []
        expected = 0
        torn = False
        while True:
            stream = min((stream for stream in streams if stream.head is not None), key=_number, default=None)
            if stream is None or (frame := stream.head) is None:
                break
            gone = self.kept_from is None or expected < self.kept_from >= frame.seq
            if frame.seq != expected and not (gone and frame.seq > expected):
                torn = True
                break
            expected = frame.seq + len(frame.records)
            held.append(frame)
            if frame.rest == 0 or gone:
                yield from held
                held.clear()
            stream.advance()
        self.fault = self._judged(streams, expected, torn=torn, half=held[-1].file if held else None)

    def close(self) -> None:
        """Nothing is held open between frames; here so that both kinds of journal are used alike."""

    def __enter__(self) -> "RunReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _judged(self, streams: "list[_Stream]", expected: int, *, torn: bool, half: str | None) -> Fault | None:
        """What ended the good part; `half` is the file of a half turn's last frame. The rest is read for damage."""
        left = [stream for stream in streams if stream.head is not None]
        next_seqs = [stream.head.seq for stream in left if stream.head is not None]
        counts = [stream.drain() for stream in left]
        for family in self._families:
            if family.fault is not None and family.fault.kind is FaultKind.DAMAGED:
                return family.fault
        faults = [family.fault for family in self._families if family.fault is not None]
        if not torn and half is None:
            return faults[0] if faults else None
        ended = [stream.family for stream in streams if stream not in left and stream.family.end[0] != half]
        ended = ended or [self._families[-1]]
        file, offset = ended[0].end
        if torn and (len(left) > 1 or min(next_seqs) < expected or left[0].span_ns > _LONGEST_TEAR_NS):
            what = f"record {expected} is in no segment, the next one is {min(next_seqs)}"
            return Fault(offset, FaultKind.DAMAGED, what, file)
        if faults:
            return faults[0]
        other = f"; {sum(counts)} records of the other family stand alone" if counts else ""
        what = f"the {ended[0].family} family ends before record {expected}, in the middle of a turn{other}"
        return Fault(offset, FaultKind.TORN, what, file)


class _Stream:
    """A family with its next frame in sight."""

    def __init__(self, family: FamilyReader) -> None:
        self.family = family
        self.span_ns = 0
        """Time from the first to the last decide marker of what `drain` passed over."""
        self._frames = iter(family)
        self.head: Frame | None = next(self._frames, None)

    def advance(self) -> None:
        self.head = next(self._frames, None)

    def drain(self) -> int:
        """Read on to the end; how many records that were."""
        count, first_ns = 0, None
        while self.head is not None:
            for record in self.head.records:
                count += 1
                if isinstance(record, Decided):
                    first_ns = record.now_ns if first_ns is None else first_ns
                    self.span_ns = record.now_ns - first_ns
            self.advance()
        return count


def open_journal(path: Path) -> JournalReader | RunReader:
    """A run's folder, a journal of one file, or one segment. Raises JournalError when it cannot be opened."""
    return RunReader(path) if path.is_dir() else JournalReader(path)


def repair_run(folder: Path) -> list[Fault]:
    """Cut what a sudden death left half written at the end of each family, and say what was cut.

    Damage is not cut: in the trade family JournalError names it; in the market family, which no restart needs, it is
    among what is said. A whole frame whose other half is missing stays: it says what happened.
    """
    cut = []
    for family in (Family.MARKET, Family.TRADE):
        segments = segments_of(folder, family)
        if not segments or segments[-1].compressed:
            continue
        path = segments[-1].path
        fault = (_damage(path) if family is Family.MARKET else None) or repair(path)
        if fault is not None:
            cut.append(msgspec.structs.replace(fault, file=path.name))
    return cut


def _damage(path: Path) -> Fault | None:
    with JournalReader(path) as reader:
        for _ in reader.intact_payloads():
            pass
    return reader.fault if reader.fault is not None and reader.fault.kind is FaultKind.DAMAGED else None


def _behind_hole(segments: list[Segment]) -> int | None:
    """Index of the segment that deleted ones stood before, if any were deleted.

    Retention deletes the oldest market segments, and the oldest trade segments but the first, which says what the run
    was started with. Any other hole is damage.
    """
    if not segments:
        return None
    if segments[0].family is Family.MARKET:
        return 0 if segments[0].number != 1 else None
    return 1 if len(segments) > 1 and segments[0].number == 1 and segments[1].number != 2 else None


def _open(segment: Segment) -> JournalReader:
    """Compression may have put the other form in its place since the folder was read."""
    if not segment.compressed and not segment.path.exists():
        return JournalReader(segment.path.with_name(segment.path.name + ".zst"))
    return JournalReader(segment.path)


def _first_seq(segment: Segment) -> int:
    with _open(segment) as reader:
        header = reader.read_header()
    return 0 if header is None else header.first_seq


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return _size(path.with_name(path.name + ".zst")) if segment_at(path) and not is_compressed(path) else 0


def _number(stream: _Stream) -> int:
    return -1 if stream.head is None else stream.head.seq
