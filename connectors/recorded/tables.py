"""Tables row by row, with flat memory: CSV (plain, gzip, zstandard), Parquet, and tables in memory.

Finds columns by the names that people give them, and tells the unit of times by their size. What cannot be used is
named by file and line (row, where there are no lines). Used by `tardis.py`, `plain_tables.py` and `funding.py`.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar, Protocol

from connectors.recorded.reader import DAMAGE_MAX, Damage, Damaged, TextLog
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.spelling import did_you_mean

Cell = Any
"""Text of a CSV, or a value of a typed table."""

PARQUET_MAGIC = b"PAR1"
_SLICE_ROWS = 1 << 16
_UNITS = (("s", 10**8, 10**9), ("ms", 10**11, 10**6), ("us", 10**14, 10**3), ("ns", 10**17, 1))
"""Name, the least number that is taken for it (of 1973), and nanoseconds in one."""
_FRACTION = re.compile(r"[.,]([0-9]{1,9})[0-9]*")

NAMES: Mapping[str, tuple[str, ...]] = {
    "time": (
        "timestamp",
        "time",
        "ts",
        "datetime",
        "date",
        "local_timestamp",
        "local_ts",
        "open_time",
        "opentime",
        "start_time",
        "timestamp_ms",
        "timestamp_us",
        "timestamp_ns",
        "time_ms",
        "unix",
        "unix_time",
        "t",
    ),
    "symbol": ("symbol", "instrument", "ticker", "market", "pair"),
    "bid": ("bid", "bid_price", "best_bid", "best_bid_price", "bidprice", "bid_px", "bid1", "b"),
    "ask": ("ask", "ask_price", "best_ask", "best_ask_price", "askprice", "ask_px", "ask1", "offer", "a"),
    "bid_size": (
        "bid_size",
        "bid_qty",
        "bid_amount",
        "bid_quantity",
        "best_bid_qty",
        "best_bid_size",
        "bid_volume",
        "bidsize",
        "bid_sz",
    ),
    "ask_size": (
        "ask_size",
        "ask_qty",
        "ask_amount",
        "ask_quantity",
        "best_ask_qty",
        "best_ask_size",
        "ask_volume",
        "asksize",
        "ask_sz",
    ),
    "open": ("open", "open_price", "o"),
    "high": ("high", "high_price", "h"),
    "low": ("low", "low_price", "l"),
    "close": ("close", "close_price", "last", "c"),
    "volume": ("volume", "vol", "base_volume", "volume_base", "v", "amount", "qty"),
    "volatility": ("volatility", "sigma", "realized_volatility", "realised_volatility", "iv"),
    "funding": ("funding", "funding_rate", "fundingrate", "last_funding_rate", "rate"),
}


class Table(Protocol):
    """Rows of cells under names. `line` is the place of the row just given."""

    name: str
    threaded: ClassVar[bool]
    """Whether it is read by threads."""

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def line(self) -> int: ...

    def rows(self) -> Iterator[Sequence[Cell]]:
        """From the first at each call. Raises ConfigError for what cannot be read at all."""
        ...

    def spoil(self, what: str, line: int | None = None) -> None:
        """Note that the present row, or another one, cannot be used. Raises ConfigError where damage stops the
        reading."""
        ...

    @property
    def damage(self) -> Sequence[Damage]: ...

    @property
    def damaged(self) -> int: ...

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def length(self) -> tuple[int, int]:
        """Bytes (or rows, of a typed table) read, and of how many; (0, 0) where that is not known."""
        ...


class CsvTable:
    """A CSV file with a line of names."""

    threaded: ClassVar = False

    def __init__(self, path: Path, damaged: Damaged) -> None:
        """Raises ConfigError when there is nothing to read."""
        self._log = TextLog(path, damaged, "comma-separated values")
        self.name = str(path)
        head = TextLog(path, "skip", "comma-separated values")
        first = next(head.lines(), b"")
        self._separator = max((b",", b";", b"\t"), key=first.count)
        self.columns = [_bare(each) for each in first.removeprefix(b"\xef\xbb\xbf").split(self._separator)]

    @property
    def line(self) -> int:
        return self._log.line

    @property
    def damage(self) -> Sequence[Damage]:
        return self._log.damage

    @property
    def damaged(self) -> int:
        return self._log.damaged

    @property
    def notes(self) -> Sequence[str]:
        return self._log.notes

    @property
    def length(self) -> tuple[int, int]:
        return self._log.bytes_read, self._log.size

    def spoil(self, what: str, line: int | None = None) -> None:
        self._log.name(what, line=line)

    def rows(self) -> Iterator[Sequence[Cell]]:
        separator, width = self._separator, len(self.columns)
        lines = self._log.lines()
        next(lines, None)
        for line in lines:
            cells: Sequence[Cell] = line.split(separator)
            if b'"' in line:
                text = line.decode("utf-8", "replace")
                cells = next(csv.reader([text], delimiter=separator.decode()), [])
            if len(cells) != width:
                if line.strip():
                    self._log.name(f"has {len(cells)} fields, the first line has {width}")
                continue
            yield cells


class FrameTable:
    """A table of polars or pandas, in memory or behind a Parquet file, in slices."""

    threaded: ClassVar = True

    def __init__(self, name: str, source: object, damaged: Damaged) -> None:
        """`source`: a DataFrame, or the path of a Parquet file. Raises ConfigError for anything else."""
        self.name = name
        self._stops = damaged == "stop"
        self.line = 0
        self.damage: Sequence[Damage] = []
        self.damaged = 0
        self._source = source
        if isinstance(source, Path):
            import_polars(name)
            try:
                self.columns: Sequence[str] = self._scan().collect_schema().names()
            except Exception as error:  # polars's own, which are not imported here
                raise ConfigError(f"recording {name}: not readable as Parquet: {error}") from error
        elif hasattr(source, "columns"):
            self.columns = [str(each) for each in self._flat().columns]
        else:
            raise ConfigError(f"recording {name}: a {type(source).__name__} is no table of polars or pandas")

    @property
    def notes(self) -> Sequence[str]:
        notes = [f"{self.name}: row {each.line}: {each.what}" for each in self.damage]
        unnamed = self.damaged - len(self.damage)
        return [*notes, f"{self.name}: {unnamed} more damaged rows"] if unnamed else notes

    @property
    def length(self) -> tuple[int, int]:
        return (0, 0) if isinstance(self._source, Path) else (self.line, len(self._flat()))

    def spoil(self, what: str, line: int | None = None) -> None:
        self.damaged += 1
        at = self.line if line is None else line
        if len(self.damage) < DAMAGE_MAX:
            self.damage = [*self.damage, Damage(at, None, what)]
        if self._stops:
            raise ConfigError(
                f"recording {self.name}: row {at}: {what}. Nothing behind it was used; write `damaged: skip` beside "
                "its path to go on with what is good"
            )

    def rows(self) -> Iterator[Sequence[Cell]]:
        self.line, self.damage, self.damaged = 0, [], 0
        try:
            for part in self._slices():
                for row in part:
                    self.line += 1
                    yield row
        except ConfigError:
            raise
        except Exception as error:  # polars's own: a page of the file is damaged
            if type(error).__module__.partition(".")[0] != "polars":
                raise
            self.spoil(f"the rest cannot be read: {error}", self.line + 1)

    def _slices(self) -> Iterator[Iterator[Sequence[Cell]]]:
        if isinstance(self._source, Path):
            offset = 0
            while True:
                part = self._scan().slice(offset, _SLICE_ROWS).collect()
                if not part.height:
                    return
                offset += part.height
                yield part.iter_rows()
        frame = self._flat()
        if hasattr(frame, "iter_slices"):
            for part in frame.iter_slices(_SLICE_ROWS):
                yield part.iter_rows()
        else:
            yield frame.itertuples(index=False, name=None)

    def _scan(self) -> Any:
        return import_polars(self.name).scan_parquet(self._source)

    def _flat(self) -> Any:
        """The table in memory; an index of times that pandas keeps apart becomes a column."""
        frame: Any = self._source
        if hasattr(frame, "iter_slices") or not hasattr(frame, "index"):
            return frame
        times = getattr(frame.index, "dtype", None)
        return frame.reset_index(names="time") if str(times).startswith("datetime64") else frame


def import_polars(name: str) -> Any:
    """polars, which only Parquet needs. Raises ConfigError where it is not installed."""
    try:
        import polars
    except ImportError:
        raise ConfigError(
            f"{name}: Parquet needs polars; install it with `pip install 'mm-daemon[research]'`"
        ) from None
    return polars


def open_table(path: Path, damaged: Damaged) -> Table:
    """By its content: Parquet, or CSV. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConfigError(
            f"recording {path}: {error.strerror or error}; give the path of a file, from {Path.cwd()} or absolute"
        ) from error
    return FrameTable(str(path), path, damaged) if magic == PARQUET_MAGIC else CsvTable(path, damaged)


def find_columns(columns: Sequence[str], given: Mapping[str, str], wanted: Sequence[str]) -> Mapping[str, int]:
    """Places of the columns that are there, by our names. `given`: names of the file by ours, from the configuration.

    Raises ConfigError for a given name that the file does not have.
    """
    plain = {_plain(name): place for place, name in reversed(list(enumerate(columns)))}
    found: dict[str, int] = {}
    for ours in wanted:
        name = given.get(ours)
        if name is not None:
            if _plain(name) not in plain:
                raise ConfigError(
                    f"columns.{ours}: there is no column {name!r}{did_you_mean(name, list(columns))}; the file has "
                    f"{', '.join(columns)}"
                )
            found[ours] = plain[_plain(name)]
            continue
        place = next((plain[alias] for alias in NAMES[ours] if alias in plain), None)
        if place is not None and place not in found.values():
            found[ours] = place
    return found


class Times:
    """Cells as nanoseconds since 1970, UTC. The first one decides the unit; `unit` says which it was."""

    def __init__(self) -> None:
        self.unit = ""
        self._scale = 0
        self._least = 0

    def ns(self, cell: Cell) -> int:
        """Raises ValueError, in words, for what is no time or has another unit than the first."""
        if isinstance(cell, datetime):
            return _of_datetime(cell)
        if isinstance(cell, date):
            return _of_datetime(datetime(cell.year, cell.month, cell.day, tzinfo=UTC))
        if isinstance(cell, int):
            return self._scaled(cell)
        text = cell.decode("utf-8", "replace").strip().strip('"') if isinstance(cell, bytes) else str(cell).strip()
        try:
            return self._scaled(int(text))
        except ValueError:
            pass
        try:
            number = Decimal(text)
        except InvalidOperation:
            return self._of_iso(text)
        if not number.is_finite():
            raise ValueError(f"{text} is no time")
        return self._scaled(number)

    def _scaled(self, number: int | Decimal) -> int:
        if not self._scale:
            for self.unit, self._least, self._scale in _UNITS:
                if number < self._least * 1000:
                    break
        if not self._least <= number < self._least * 1000:
            what = "no time since 1973" if self._scale == 10**9 else f"no time in {self.unit}"
            raise ValueError(f"{number} is {what}; times are seconds, ms, us or ns since 1970, or ISO 8601")
        return int(number * self._scale)

    def _of_iso(self, text: str) -> int:
        fraction = _FRACTION.search(text)
        whole = text if fraction is None else text[: fraction.start()] + text[fraction.end() :]
        try:
            at = datetime.fromisoformat(whole)
        except ValueError:
            raise ValueError(f"{text!r} is no time; write seconds, ms, us or ns since 1970, or ISO 8601") from None
        self.unit = self.unit or "ISO 8601"
        return _of_datetime(at) + (0 if fraction is None else int(fraction[1].ljust(9, "0")))


def number(cell: Cell) -> float | None:
    """A finite number; None for an empty cell. Raises ValueError."""
    if cell is None or cell == b"" or cell == "":
        return None
    value = float(cell)
    if value != value:  # what pandas writes where there is nothing
        return None
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{value} is no number")
    return value


def text_of(cell: Cell) -> str:
    return cell.decode("utf-8", "replace").strip() if isinstance(cell, bytes) else str(cell).strip()


def _of_datetime(at: datetime) -> int:
    """Without a zone it is UTC. A pandas Timestamp keeps its nanoseconds."""
    value = getattr(at, "value", None)
    if isinstance(value, int):
        return value
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _bare(cell: bytes) -> str:
    return cell.decode("utf-8", "replace").strip().strip('"')
