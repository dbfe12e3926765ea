"""How a recording lies on the disk, for whoever writes one (`runtime/recording`) and whoever reads one (`connectors`).

One folder is one venue's feed. Its segments are named by the hour of UTC in which they begin and a number within it,
and hold lines in zstandard frames: `<local receive time, ns> <one frame as received>`, as the collector of hftbacktest
writes them. A chunk is one whole zstandard frame of whole lines, so that a sudden death costs the last chunk at most. A
line that begins with `#` is a remark of the recorder: `# <ns> <word> <rest>`.

`index.json` says what the folder holds, for people and programs; a reader works without it.
"""

import re
from pathlib import Path

import msgspec

from mm_daemon.domain.instrument import Instrument

INDEX = "index.json"
EVENTS_SUFFIX = ".events"
"""Folders of events, in place of frames that no translator reads, are named after the venue with this behind it."""
SEGMENT_NAME = re.compile(r"(\d{8}T\d{2})Z-(\d{3,})\.zst")
REMARK = b"#"

BEGUN = b"begun"
"""A recorder started here: what follows does not continue what stands before."""
OPENED = b"opened"
"""The connector said that its link is up."""
CLOSED = b"closed"
"""The connector said that its link is gone: what was known of the books is void."""
LOST = b"lost"
"""Frames were lost here, because the disk could not keep up."""
RAW = b"raw"
"""A frame that does not fit into a line, in base64."""
BREAKS = frozenset({BEGUN, CLOSED, LOST})
"""Remarks after which books begin anew."""


class SegmentEntry(msgspec.Struct, kw_only=True):
    """One segment. Counts are of frames; `crc32` is of the file's bytes."""

    file: str
    first: str | None = None
    """`first_ns` for people, UTC."""
    last: str | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    frames: int = 0
    bytes: int = 0
    crc32: str = "00000000"
    lost: int = 0
    """Frames that were received and not written."""
    torn_bytes: int = 0
    """Cut off the end after a sudden death."""
    symbols: tuple[str, ...] = ()
    open: bool = False
    """Still written to; the figures are those of the last look."""


class RecordingIndex(msgspec.Struct, kw_only=True):
    """What one folder holds."""

    version: int = 1
    venue: str
    holds: str = "frames"
    """`frames` as received, or `events` that the connector made of them."""
    wire: str | None = None
    """The translator that reads the frames; None: there is none."""
    instruments: tuple[Instrument, ...] = ()
    segments: list[SegmentEntry] = msgspec.field(default_factory=list)
    deleted: int = 0
    """Oldest segments that had to make room."""


def read_index(folder: Path) -> RecordingIndex | None:
    """None where there is none. Raises OSError, and ValueError for one that cannot be read."""
    try:
        data = (folder / INDEX).read_bytes()
    except FileNotFoundError:
        return None
    return msgspec.json.decode(data, type=RecordingIndex)


def segments_in(folder: Path) -> list[Path]:
    """Segments in the order in which they were written. Raises OSError."""
    found = [path for path in folder.iterdir() if SEGMENT_NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.name[:11], int(path.name[13:-4])))
