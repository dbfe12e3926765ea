"""Keeping the journals of a state directory within bounds: compression and retention.

Runs in a thread, every few seconds, beside the writer: closed segments are compressed; market segments older than hours
and trade segments older than days are deleted whole; when the disk runs low the oldest market segments go earlier. The
segments being written, and the first trade segment of a run that still has others, are never touched. Ages are those of
a file's last write.
"""

import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from mm_daemon.domain.errors import JournalError
from mm_daemon.journal.format import Family
from mm_daemon.journal.segments import Segment, compress, segments_of

_MIB = 1 << 20


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How long closed segments are kept."""

    market_keep_s: float
    trade_keep_s: float
    free_bytes: int
    """Least free space on the disk: below it market segments go before their time."""


class Kept(msgspec.Struct, frozen=True):
    """What one round of keeping did."""

    compressed: int = 0
    deleted: tuple[str, ...] = ()
    """Segments, as `run/name`, oldest first."""
    deleted_early: int = 0
    """How many of them for want of space."""
    free_bytes: int = 0
    problems: tuple[str, ...] = ()
    """What could not be done; the journal itself is whole."""
    errors: int = 0
    """How many of the problems are errors of the disk; the other is want of space."""


class Keeper:
    def __init__(self, folder: Path, retention: Retention, *, now_s: Callable[[], float] = time.time) -> None:
        """`folder` holds the runs; `now_s` is the clock of file times."""
        self._folder = folder
        self._retention = retention
        self._now_s = now_s
        self._stopped = False

    def stop(self) -> None:
        """End a round that runs in another thread soon, with nothing half done."""
        self._stopped = True

    def keep(self, in_use: Collection[Segment]) -> Kept:
        """One round. `in_use` are the segments being written; those behind them in their family are so too, for the
        writer may go on to them at any time. Raises JournalError when the folder cannot be read.
        """
        problems: list[str] = []
        try:
            runs = sorted(path for path in self._folder.iterdir() if path.is_dir())
            deleted = self._delete_old(runs, in_use, problems)
            early = self._make_room(runs, in_use, problems)
            packed = self._compress(runs, in_use, problems)
            for run in runs:
                _remove_if_empty(run)
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise JournalError(f"journals in {self._folder} cannot be kept: {error.strerror}") from error
        errors = len(problems)
        if free < self._retention.free_bytes:
            problems.append(f"{free // _MIB} MiB free, less than the {self._retention.free_bytes // _MIB} to keep free")
        return Kept(packed, (*deleted, *early), len(early), free, tuple(problems), errors)

    def _delete_old(self, runs: list[Path], in_use: Collection[Segment], problems: list[str]) -> list[str]:
        now_s, keep = self._now_s(), self._retention
        deleted = []
        for run in runs:
            for segment in _deletable(run, in_use):
                limit_s = keep.market_keep_s if segment.family is Family.MARKET else keep.trade_keep_s
                if now_s - segment.path.stat().st_mtime <= limit_s:
                    continue
                if segment.family is Family.TRADE and segment.number == 1 and len(segments_of(run)) > 1:
                    continue
                deleted += _delete(segment, problems)
        return deleted

    def _make_room(self, runs: list[Path], in_use: Collection[Segment], problems: list[str]) -> list[str]:
        deleted: list[str] = []
        market = [s for run in runs for s in _deletable(run, in_use) if s.family is Family.MARKET]
        for segment in sorted(market, key=lambda segment: segment.path.stat().st_mtime):
            if shutil.disk_usage(self._folder).free >= self._retention.free_bytes:
                break
            deleted += _delete(segment, problems)
        return deleted

    def _compress(self, runs: list[Path], in_use: Collection[Segment], problems: list[str]) -> int:
        count = 0
        for segment in (segment for run in runs for segment in segments_of(run)):
            if self._stopped:
                break
            if segment.compressed or _is_open(segment, in_use) or segment.path.stat().st_size == 0:
                continue
            try:
                count += compress(segment.path, stop=lambda: self._stopped) is not None
            except OSError as error:
                problems.append(f"{segment.path} cannot be compressed: {error.strerror}")
        return count


def _deletable(run: Path, in_use: Collection[Segment]) -> list[Segment]:
    """Market segments in front, the first trade segment last; of each family the oldest first, without a hole."""
    market = [segment for segment in segments_of(run, Family.MARKET) if not _is_open(segment, in_use)]
    trade = [segment for segment in segments_of(run, Family.TRADE) if not _is_open(segment, in_use)]
    return [*market, *trade[1:], *trade[:1]]


def _is_open(segment: Segment, in_use: Collection[Segment]) -> bool:
    return any(
        segment.family is writing.family
        and segment.number >= writing.number
        and segment.path.parent == writing.path.parent
        for writing in in_use
    )


def _delete(segment: Segment, problems: list[str]) -> list[str]:
    """Both forms of it."""
    plain = segment.path.with_name(segment.path.name.removesuffix(".zst"))
    try:
        plain.unlink(missing_ok=True)
        plain.with_name(plain.name + ".zst").unlink(missing_ok=True)
    except OSError as error:
        problems.append(f"{segment.path} cannot be deleted: {error.strerror}")
        return []
    return [f"{segment.path.parent.name}/{plain.name}"]


def _remove_if_empty(run: Path) -> None:
    with os.scandir(run) as entries:
        empty = next(entries, None) is None
    if empty:
        run.rmdir()
