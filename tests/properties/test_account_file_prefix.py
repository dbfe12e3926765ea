"""Whatever a sudden death leaves of an account's file is a beginning of its history."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.shared.account_file import AccountFile, account_path
from mm_daemon.domain.errors import JournalError
from mm_daemon.testkit.builders import VENUE
from tests.histories import same, some_entries, summed

ENTRIES = some_entries(12)


def _written() -> tuple[bytes, list[int]]:
    """A file with every entry in a write of its own, and its sizes after each."""
    with tempfile.TemporaryDirectory() as folder:
        path = account_path(Path(folder), VENUE)
        file = AccountFile(path, VENUE)
        sizes = [path.stat().st_size]
        for entry in ENTRIES:
            file.history.apply(entry)
            file.add(entry)
            file.save()
            sizes.append(path.stat().st_size)
        file.close()
        return path.read_bytes(), sizes


DATA, SIZES = _written()


@given(st.integers(0, len(DATA)))
def test_any_cut_is_a_prefix(cut: int) -> None:
    """Cut at any byte: exactly the entries whose lines are whole; a cut first line is refused, never read as empty."""
    with tempfile.TemporaryDirectory() as folder:
        path = account_path(Path(folder), VENUE)
        path.write_bytes(DATA[:cut])
        if cut < SIZES[0]:
            with pytest.raises(JournalError, match="damaged in line 1"):
                AccountFile(path, VENUE)
            return
        whole = sum(size <= cut for size in SIZES[1:])
        expected = summed(ENTRIES[:whole])
        expected.end_open_orders()
        file = AccountFile(path, VENUE)
        file.close()
        assert same(file.history, expected)
        assert file.torn_bytes == cut - SIZES[whole]


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(place: int, change: int) -> None:
    """One changed byte is refused with its line, unless it can only be a torn tail."""
    damaged = bytearray(DATA)
    damaged[place] ^= change
    with tempfile.TemporaryDirectory() as folder:
        path = account_path(Path(folder), VENUE)
        path.write_bytes(damaged)
        try:
            file = AccountFile(path, VENUE)
        except JournalError as error:
            assert "damaged in line" in str(error)
            return
        file.close()
        expected = summed(ENTRIES[:-1])
        expected.end_open_orders()
        assert place == len(DATA) - 1
        assert same(file.history, expected)
