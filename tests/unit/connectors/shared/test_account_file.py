"""The file a simulated venue remembers by: whole, torn, damaged, foreign, and opened again and again."""

import os
from pathlib import Path

import pytest

from connectors.shared.account_file import AccountFile, account_path, read_account
from mm_daemon.domain.account_history import AccountHistory, Entry
from mm_daemon.domain.errors import JournalError
from mm_daemon.domain.instrument import Venue
from mm_daemon.domain.orders import ClientOrderId
from mm_daemon.testkit.builders import VENUE
from tests.histories import order, payment, same, some_entries, summed


def write(file: AccountFile, entries: list[Entry]) -> None:
    """As a venue does: booked first, then kept."""
    for entry in entries:
        file.history.apply(entry)
        file.add(entry)
    file.save()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return account_path(tmp_path, VENUE)


def test_what_was_saved_is_there_after_sudden_death(path: Path) -> None:
    """Nothing is closed, as after SIGKILL: the file is whole, and the open orders died."""
    write(AccountFile(path, VENUE), [*some_entries(20), order(99)])
    expected = summed([*some_entries(20), order(99)])
    assert same(read_account(path), expected)
    again = AccountFile(path, VENUE)
    expected.end_open_orders()
    assert same(again.history, expected)
    assert same(read_account(path), expected)
    assert (again.openings, again.torn_bytes) == (2, 0)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_not_saved_is_not_there(path: Path) -> None:
    """An entry is kept by `save`, in one write with the others of its batch."""
    file = AccountFile(path, VENUE)
    for entry in some_entries(2):
        file.add(entry)
    assert same(read_account(path), AccountHistory())
    file.save()
    assert same(read_account(path), summed(some_entries(2)))


def test_restarts_keep_the_sum(path: Path) -> None:
    """Written in three lives, with and without a clean end, it is the same history."""
    entries = some_entries(30)
    first = AccountFile(path, VENUE)
    write(first, entries[:25])
    first.close()
    write(AccountFile(path, VENUE), entries[25:60])
    third = AccountFile(path, VENUE)
    write(third, entries[60:])
    third.close()
    third.close()
    expected = summed(entries)
    found = read_account(path)
    assert found.holdings.keys() == expected.holdings.keys()
    assert list(found.trades) == list(expected.trades)
    assert AccountFile(path, VENUE).openings == 4


def test_torn_last_line_is_dropped(path: Path) -> None:
    """A write cut by sudden death was never told to anybody."""
    entries: list[Entry] = [*some_entries(3), payment(99, 5)]
    file = AccountFile(path, VENUE)
    write(file, entries[:-1])
    whole = path.stat().st_size
    write(file, entries[-1:])
    os.truncate(path, whole + 5)
    again = AccountFile(path, VENUE)
    assert again.torn_bytes == 5
    assert same(again.history, summed(entries[:-1]))
    write(again, entries[-1:])
    assert same(read_account(path), summed(entries))


@pytest.mark.parametrize(("line", "named"), [(1, 1), (2, 2), (4, 4)])
def test_damaged_line_is_named(path: Path, line: int, named: int) -> None:
    """A changed digit anywhere but in a torn tail stops the start, with the file and the line."""
    write(AccountFile(path, VENUE), some_entries(3))
    lines = path.read_bytes().split(b"\n")
    lines[line - 1] = lines[line - 1].replace(b"1", b"2", 1).replace(b'"', b"'", 1)
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match=rf"venue-test.account is damaged in line {named}: .*another state_dir"):
        AccountFile(path, VENUE)


def test_empty_file_is_damaged(path: Path) -> None:
    """The first line is written before the file gets its name, so it cannot be missing by sudden death."""
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="line 1: its first line is missing"):
        AccountFile(path, VENUE)


def test_file_of_another_venue_or_version_is_refused(tmp_path: Path, path: Path) -> None:
    """A renamed file would give one venue's position to another."""
    file = AccountFile(path, VENUE)
    file.close()
    other = account_path(tmp_path, Venue("other"))
    path.rename(other)
    with pytest.raises(JournalError, match="belongs to venue test, not to other"):
        AccountFile(other, Venue("other"))


def test_growing_file_is_written_anew_while_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended orders and old mids do not pile up for ever, and the sum stays."""
    monkeypatch.setattr("connectors.shared.account_file._REWRITE_BYTES", 20_000)
    file = AccountFile(path, VENUE)
    entries = some_entries(400)
    for n in range(0, len(entries), 10):
        write(file, entries[n : n + 10])
    repeated: list[Entry] = [order(ClientOrderId(401), lots=n) for n in range(1, 500)]
    for entry in repeated:
        write(file, [entry])
    size = path.stat().st_size
    assert size < 160_000
    assert same(read_account(path), summed([*entries, *repeated]))


def test_full_disk_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails half-way is taken back; the entries are saved as soon as it works again."""
    file = AccountFile(path, VENUE)
    write(file, some_entries(1))
    entry = some_entries(2)[-1]
    file.history.apply(entry)
    file.add(entry)
    real, written = os.write, 0

    def write_a_little(fd: int, data: memoryview) -> int:
        nonlocal written
        if written:
            raise OSError(28, "No space left on device")
        written = real(fd, bytes(data[:10]))
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_a_little)
        with pytest.raises(JournalError, match="cannot be written: No space left"):
            file.save()
    assert same(read_account(path), summed(some_entries(1)))
    file.save()
    assert same(read_account(path), summed([*some_entries(1), entry]))
