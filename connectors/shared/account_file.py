"""The file in which a simulated venue's account outlives the process: `state_dir/venue-<name>.account`.

One line per entry of `AccountHistory`, `<crc32 in hex> <JSON>`, behind a first line that says what the file is. The
connector adds entries as its venue makes them and saves them, in one write(2) per batch, before anything of the batch
is emitted: what the core has learned is in the file. An incomplete last line is a write that was cut by a sudden death;
nobody was told of it and it is dropped. Any other damage is named. Opening writes the file anew, shorter and with the
same sum; the daemon's lock on the folder sees to it that nobody else does.
"""

import os
from pathlib import Path
from zlib import crc32

import msgspec

from mm_daemon.domain.account_history import AccountHistory, Entry
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.instrument import Venue

_VERSION = 1
_REWRITE_BYTES = 4 << 20
"""Growth after which a running daemon writes its file anew."""


class _Head(msgspec.Struct, frozen=True, array_like=True, tag="venue_account"):
    """First line. `last_client_id` outlives the orders it was taken from."""

    version: int
    venue: str
    openings: int
    last_client_id: int


_encoder = msgspec.json.Encoder(decimal_format="string")
_entry = msgspec.json.Decoder[Entry](Entry)
_head = msgspec.json.Decoder(_Head)


def account_path(state_dir: Path, venue: Venue) -> Path:
    return state_dir / f"venue-{venue}.account"


class AccountFile:
    """One account, open for writing. `history` is its sum: the venue books into it what it adds here."""

    def __init__(self, path: Path, venue: Venue) -> None:
        """Open or begin. Raises JournalError when the file is damaged, is another venue's, or cannot be used."""
        self.path = path
        self._venue = venue
        self._unsaved: list[Entry] = []
        try:
            data: bytes | None = path.read_bytes()
        except FileNotFoundError:
            data = None
        except OSError as error:
            raise JournalError(f"account file {path} cannot be read: {error.strerror}") from error
        if data is None:
            self.history, self.openings, self.torn_bytes = AccountHistory(), 0, 0
        else:
            self.history, self.openings, self.torn_bytes = _read(path, data, venue)
        self.openings += 1
        self.history.end_open_orders()
        self._fd = -1
        self._rewrite()

    def add(self, entry: Entry) -> None:
        """An entry that `history` knows already. It is in the file once `save` returns."""
        self._unsaved.append(entry)

    def save(self) -> None:
        """Write what was added in one go. Raises JournalError, and tries the same entries again next time."""
        if not self._unsaved:
            return
        data = b"".join(map(_line, self._unsaved))
        try:
            _write_all(self._fd, data)
        except OSError as error:
            self._cut(self._bytes)
            raise JournalError(f"account file {self.path} cannot be written: {error.strerror}") from error
        self._unsaved.clear()
        self._bytes += len(data)
        if self._bytes > self._first_bytes + _REWRITE_BYTES:
            self._rewrite()

    def close(self) -> None:
        """Save, and see that it is on the disk. A second call does nothing."""
        if self._fd < 0:
            return
        try:
            self.save()
            os.fsync(self._fd)
        except OSError as error:
            raise JournalError(f"account file {self.path} cannot be written: {error.strerror}") from error
        finally:
            os.close(self._fd)
            self._fd = -1

    def _rewrite(self) -> None:
        """The whole history in a new file, which takes the old one's place once it is on the disk."""
        head = _Head(_VERSION, self._venue, self.openings, self.history.last_client_id)
        data = b"".join([_line(head), *map(_line, self.history.entries())])
        fresh = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                _write_all(fd, data)
                os.fsync(fd)
                fresh.replace(self.path)
                _sync_folder(self.path.parent)
            except BaseException:  # whatever it was goes on its way; only the descriptor must not stay open
                os.close(fd)
                raise
        except OSError as error:
            raise JournalError(f"account file {self.path} cannot be written: {error.strerror}") from error
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._bytes = self._first_bytes = len(data)
        self._unsaved.clear()

    def _cut(self, size: int) -> None:
        """Take back a write that came out short, so that the lines behind it can be read."""
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise JournalError(f"account file {self.path} cannot be repaired: {error.strerror}") from error


def read_account(path: Path) -> AccountHistory:
    """The sum of a file that may be in use, for whoever wants to compare. Raises JournalError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"account file {path} cannot be read: {error.strerror}") from error
    return _read(path, data, None)[0]


def _read(path: Path, data: bytes, venue: Venue | None) -> tuple[AccountHistory, int, int]:
    """(history, openings, bytes of a torn last line)."""
    whole = data.rfind(b"\n") + 1
    lines = data[:whole].split(b"\n")[:-1]
    if not lines:
        raise _damaged(path, 1, "its first line is missing")
    try:
        head = _head.decode(_checked(lines[0]))
    except ValueError as error:
        raise _damaged(path, 1, str(error)) from None
    if head.version != _VERSION:
        raise JournalError(
            f"account file {path} has version {head.version}; this version of mm-daemon reads {_VERSION}"
        )
    if venue is not None and head.venue != venue:
        raise JournalError(f"account file {path} belongs to venue {head.venue}, not to {venue}")
    history = AccountHistory()
    history.last_client_id = head.last_client_id
    for number, line in enumerate(lines[1:], 2):
        try:
            history.apply(_entry.decode(_checked(line)))
        except ValueError as error:
            raise _damaged(path, number, str(error)) from None
    return history, head.openings, len(data) - whole


def _damaged(path: Path, number: int, what: str) -> JournalError:
    return JournalError(
        f"account file {path} is damaged in line {number}: {what}. It says what the simulated venue holds of ours: put "
        "back a copy, or use another state_dir to start from nothing"
    )


def _line(entry: Entry | _Head) -> bytes:
    body = _encoder.encode(entry)
    return b"%08x %b\n" % (crc32(body), body)


def _checked(line: bytes) -> bytes:
    """The JSON of a line. Raises ValueError when the check does not match."""
    check, _, body = line.partition(b" ")
    if check != b"%08x" % crc32(body):
        raise ValueError("the check does not match")
    return body


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
