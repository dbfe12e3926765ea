"""From a path to a feed: what lies there is told by its content, unless the configuration says it."""

from collections.abc import Callable, Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any, Literal

import msgspec

from connectors.recorded import journals, plain_tables, tardis
from connectors.recorded.feed import EventFeed, Feed, WireFeed
from connectors.recorded.reader import Damaged, TextLog, WireLog
from connectors.recorded.segments import SegmentLog, segment_folder
from connectors.recorded.tables import FrameTable, Table, open_table
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.instrument import Instrument, Venue
from mm_daemon.ports.connector import ConnectorContext, RecordedRun

Format = Literal["auto", "wire", "segments", "journal", "tardis", "quotes", "bars"]
_TABLE_ENDS = (".csv", ".csv.gz", ".csv.zst", ".parquet", ".pq", ".txt", ".tsv")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What was found at a path."""

    form: Format
    paths: tuple[Path, ...] = ()
    run: RecordedRun | None = None
    segments: SegmentLog | None = None
    table: Table | None = None


class TableOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How plain tables are read."""

    columns: Mapping[str, str]
    bar_seconds: float | None
    spread_bps: float
    funding_hours: float


def find(
    context: ConnectorContext, path: Path | None, form: Format, damaged: Damaged, columns: Mapping[str, str]
) -> Source:
    """What is to be read. Raises ConfigError in words for what is not there or not understood."""
    if context.table is not None:
        table = FrameTable(f"table of {context.venue}", context.table, damaged)
        return Source(form=_table_form(table, form, columns), table=table)
    if path is None:
        raise ConfigError(
            f"venues.{context.venue}.path: is missing: the recording to play; only a table that Python hands over "
            "needs none"
        )
    if form in ("auto", "segments") and (folder := segment_folder(path, context.venue)) is not None:
        return Source(form="segments", segments=SegmentLog(folder, damaged))
    if form == "journal" or (form == "auto" and path.exists() and journals.is_journal(path)):
        return Source(form="journal", paths=(path,), run=_run(context, path))
    if form == "wire":
        return Source(form="wire", paths=(path,))
    paths = _files(path)
    if form == "auto" and len(paths) == 1 and _is_wire(paths[0]):
        return Source(form="wire", paths=paths)
    if form == "segments":
        raise ConfigError(f"recording {path}: holds no segments of `mm-daemon record`")
    return _tables(paths, form, damaged, columns)


def contracts(source: Source, venue: Venue) -> Mapping[str, Instrument]:
    """The contracts that the recording itself knows, by symbol, as those of `venue`. Raises ConfigError."""
    known: Sequence[Instrument] = ()
    if source.segments is not None and source.segments.index is not None:
        known = source.segments.index.instruments
    elif source.run is not None:
        known = journals.contracts(source.paths[0], source.run, venue)
    return {each.symbol: msgspec.structs.replace(each, venue=venue) for each in known}


def feed(
    source: Source,
    context: ConnectorContext,
    instruments: Sequence[Instrument],
    *,
    translator: str | None,
    damaged: Damaged,
    options: TableOptions,
) -> Feed:
    """Raises ConfigError when a translator is missing, or columns are."""
    if source.segments is not None:
        index = source.segments.index
        if index is not None and index.holds == "events":
            return EventFeed(source.segments, instruments, index.venue)
        name = translator or (None if index is None else index.wire)
        return WireFeed(source.segments, _translator(context, name), instruments)
    if source.run is not None:
        return journals.JournalFeed(source.paths[0], source.run, instruments, damaged)
    if source.form == "wire":
        return WireFeed(WireLog(source.paths[0], damaged), _translator(context, translator), instruments)
    if source.form == "tardis":
        return tardis.TardisFeed(source.paths, instruments, damaged)
    assert source.table is not None
    assert source.form in ("quotes", "bars")
    return plain_tables.PlainTableFeed(source.form, source.table, instruments, **msgspec.structs.asdict(options))


def _translator(context: ConnectorContext, name: str | None) -> Callable[[Sequence[Instrument]], Any]:
    if context.translator is None:
        raise ConfigError(f"{context.venue}: a recording needs a translator, and none can be found here")
    if name is None:
        raise ConfigError(
            f"venues.{context.venue}.translator: is missing: whose wire the recording is, for example binance-usdm"
        )
    return context.translator(name)


def _run(context: ConnectorContext, path: Path) -> RecordedRun:
    if context.journal is None:
        raise ConfigError(f"{context.venue}: {path} is a journal, and none can be read here")
    return context.journal(path)


def _files(path: Path) -> tuple[Path, ...]:
    """A file, the tables of a folder, or what a pattern matches. Raises ConfigError."""
    if path.is_dir():
        found = [each for each in sorted(path.iterdir()) if each.name.lower().endswith(_TABLE_ENDS)]
        if not found:
            raise ConfigError(
                f"recording {path}: the folder holds no segments, no journal and no table ({', '.join(_TABLE_ENDS)})"
            )
        return tuple(found)
    if not path.exists() and any(each in str(path) for each in "*?["):
        matched = tuple(Path(each) for each in sorted(glob(str(path), recursive=True)))
        if not matched:
            raise ConfigError(f"recording {path}: no file matches the pattern")
        return matched
    TextLog(path, what="frames or comma-separated values")  # says what is wrong with the path
    return (path,)


def _is_wire(path: Path) -> bool:
    """Whether a file's first lines begin with a time and a space, and not with names."""
    if path.name.lower().endswith((".parquet", ".pq")):
        return False
    log = TextLog(path)
    for line in log.lines():
        stamp, space, _ = line.partition(b" ")
        if line.startswith(b"#") or (space and stamp.isdigit() and b"," not in stamp):
            return True
        if log.line > 10 or b"," in stamp or b";" in stamp:
            return False
    return not path.name.lower().endswith(_TABLE_ENDS)


def _tables(paths: tuple[Path, ...], form: Format, damaged: Damaged, columns: Mapping[str, str]) -> Source:
    table = open_table(paths[0], damaged)
    if form == "tardis" or (form == "auto" and tardis.layout_of(table.columns) is not None):
        return Source(form="tardis", paths=paths)
    kind = _table_form(table, form, columns)
    if len(paths) > 1:
        raise ConfigError(f"recording {paths[0].parent}: holds {len(paths)} tables of {kind}; write the path of one")
    return Source(form=kind, table=table)


def _table_form(table: Table, form: Format, columns: Mapping[str, str]) -> Literal["quotes", "bars"]:
    if form in ("quotes", "bars"):
        return form
    kind = plain_tables.kind_of(table.columns, columns)
    if kind is None:
        raise ConfigError(
            f"recording {table.name}:1: not understood: neither `<ns> <frame>` lines nor a table of quotes (timestamp, "
            f"bid, ask), of bars (timestamp, open, high, low, close) or of Tardis; its first line is "
            f"{', '.join(table.columns)[:200]}. Say what it is by format: and columns:"
        )
    return kind
