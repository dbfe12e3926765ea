"""Recordings in other forms: hftbacktest's array and its collector's files, and Parquet.

Whatever the `recorded` connector reads can be converted. An hftbacktest array is made in memory, as `numpy.savez` wants
it whole (64 bytes a row); Parquet is written in parts, and a collector's file line by line.
"""

import gzip
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np

from mm_daemon import registry
from mm_daemon.backtest.convert.hftbacktest import hftbacktest_array
from mm_daemon.backtest.convert.parquet import write_parquet
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import ConfigError, CoreError, UsageError
from mm_daemon.domain.events import Event
from mm_daemon.domain.instrument import Venue
from mm_daemon.journal.format import MAGIC
from mm_daemon.journal.market_data import JournalMarketData
from mm_daemon.ports.connector import ConnectorContext, NotesDamage, RecordedFeed
from mm_daemon.ports.recording import RecordingIndex, read_index

Form = Literal["npz", "parquet", "collector"]


@runtime_checkable
class _ShowsFrames(Protocol):
    """A recording of raw frames."""

    def raw_frames(self) -> Iterator[tuple[int, bytes]] | None:
        """(local time, frame); None: it holds none."""
        ...


class Converted(msgspec.Struct, frozen=True):
    """What was written."""

    files: tuple[str, ...]
    rows: int
    notes: tuple[str, ...]
    """Damage, and what the recording cannot show."""


def form_of(out: Path, asked: Form | None) -> Form:
    """By the name of the file: .npz, .gz (a collector's file), else a folder of Parquet."""
    if asked is not None:
        return asked
    return "npz" if out.suffix == ".npz" else "collector" if out.suffix == ".gz" else "parquet"


def open_feed(
    path: Path,
    *,
    config: Config | None = None,
    venue: str | None = None,
    symbols: Sequence[str] = (),
    damaged: str | None = None,
) -> RecordedFeed:
    """The recording at a path, with the contracts of the configuration's venue or its own.

    Raises ConfigError for what cannot be read, UsageError when it is not said which venue or symbol is meant.
    """
    settings = registry.settings_of("recorded")
    changes: dict[str, Any] = {"path": path} if damaged is None else {"path": path, "damaged": damaged}
    given: msgspec.Struct
    if config is not None:
        chosen = _recorded_venue(config, venue)
        symbols = symbols or config.symbols_of(chosen)
        given, name = msgspec.structs.replace(config.venues[chosen].settings, **changes), chosen
    else:
        given, name = settings(**changes), Venue(venue or _name_of(path))
        symbols = symbols or _symbols_of(path, name)
    context = ConnectorContext(
        venue=name,
        symbols=tuple(symbols),
        emit=_unasked,
        now_ns=lambda: 0,
        delay_s=lambda _until_ns: 0.0,
        translator=registry.translator,
        journal=JournalMarketData,
    )
    make: Callable[..., object] = registry.connector("recorded")
    feed = make(context, given)
    assert isinstance(feed, RecordedFeed)
    return feed


def convert(feed: RecordedFeed, out: Path, form: Form) -> Converted:
    """Write a recording in another form. Raises UsageError when that form cannot hold it, or `out` is there already."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists already and is not overwritten; name another file")
    try:
        if form == "npz":
            files, rows = _write_npz(feed, out)
        elif form == "collector":
            files, rows = _write_collector(feed, out)
        else:
            files, rows = write_parquet(feed, out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}") from error
    notes = tuple(feed.notes) if isinstance(feed, NotesDamage) else ()
    return Converted(tuple(str(each) for each in files), rows, notes)


def _write_npz(feed: RecordedFeed, out: Path) -> tuple[list[Path], int]:
    instruments = feed.instruments()
    if len(instruments) != 1:
        names = ", ".join(each.symbol for each in instruments)
        raise UsageError(f"an array of hftbacktest holds one market, and there are {names}; choose one with --symbol")
    data = hftbacktest_array(feed.events(), instruments[0])
    with out.open("xb") as file:
        np.savez_compressed(file, data=data)
    return [out], len(data)


def _write_collector(feed: RecordedFeed, out: Path) -> tuple[list[Path], int]:
    frames = feed.raw_frames() if isinstance(feed, _ShowsFrames) else None
    if frames is None:
        raise UsageError("a collector's file holds raw frames, and this recording has none; write .npz or Parquet")
    rows = 0
    with gzip.open(out, "xb") as file:
        for ts_local_ns, frame in frames:
            if frame and b"\n" not in frame:
                file.write(b"%d %b\n" % (ts_local_ns, frame))
                rows += 1
    return [out], rows


def _recorded_venue(config: Config, venue: str | None) -> Venue:
    names = [name for name, each in config.venues.items() if each.connector == "recorded"]
    if venue is not None and venue in names:
        return Venue(venue)
    if venue is None and len(names) == 1:
        return names[0]
    raise UsageError(f"--venue: the configuration has the recorded venues {', '.join(names) or 'none'}; name one")


def _name_of(path: Path) -> str:
    """The venue of a folder of segments, by its index; any name will do where a recording has none."""
    index = _index_at(path, None)
    return index.venue if index is not None else "recording"


def _symbols_of(path: Path, venue: Venue) -> Sequence[str]:
    """Symbols that the recording itself knows. Raises UsageError when it knows none."""
    index = _index_at(path, venue)
    if index is not None:
        return [each.symbol for each in index.instruments]
    if not path.exists():
        raise UsageError(f"{path}: there is no such recording")
    if path.is_dir() or _is_journal(path):
        instruments = JournalMarketData(path).instruments()
        return [each.symbol for each in instruments if each.venue == venue] or [each.symbol for each in instruments]
    raise UsageError(
        f"{path} does not say what its contracts are; give --config with a venue of `connector: recorded` that "
        "names translator and instruments"
    )


def _is_journal(path: Path) -> bool:
    """By what is in it: a backtest's may have any name."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _index_at(path: Path, venue: str | None) -> RecordingIndex | None:
    """That of a folder of segments, or of the venue in a folder of them; None: there is none, or more than one."""
    try:
        if not path.is_dir():
            return None
        found = [index for each in (path, *sorted(path.iterdir())) if each.is_dir() and (index := read_index(each))]
    except (OSError, ValueError) as error:
        raise ConfigError(f"recording {path}: its index cannot be read: {error}") from error
    venues = {index.venue: index for index in found if venue in (None, index.venue)}
    return next(iter(venues.values())) if len(venues) == 1 else None


def _unasked(event: Event) -> None:
    raise CoreError(f"a recording spoke while it was converted: {event!r}")
