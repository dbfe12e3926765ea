"""Reserved client ids: never twice, across restarts and damage."""

from pathlib import Path

import pytest

from mm_daemon.domain.errors import JournalError
from mm_daemon.journal.client_ids import BLOCK, reserve

WALL_MS = 1_723_161_000_000


def test_first_block_starts_at_the_wall_clock(tmp_path: Path) -> None:
    """Without a file ids start above anything an earlier run can have used."""
    assert reserve(tmp_path / "ids", WALL_MS) == (WALL_MS, WALL_MS + BLOCK)


def test_restart_goes_on_at_the_end_of_the_last_block(tmp_path: Path) -> None:
    """Whatever a run used of its block, and whatever the clock says now, no id comes twice."""
    path = tmp_path / "ids"
    _, end = reserve(path, WALL_MS)
    assert reserve(path, WALL_MS - 10**9) == (end, end + BLOCK)
    assert reserve(path, WALL_MS + 10**9, 10) == (end + BLOCK, end + BLOCK + 10)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Any changed byte is noticed: a wrong number here would use an id twice."""
    path = tmp_path / "ids"
    reserve(path, WALL_MS)
    data = path.read_bytes()
    for position in range(len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises(JournalError, match="damaged"):
            reserve(path, WALL_MS)
    path.write_bytes(b"")
    with pytest.raises(JournalError, match="damaged"):
        reserve(path, WALL_MS)


def test_an_absurd_clock_is_refused(tmp_path: Path) -> None:
    """Ids have 48 bits; a clock that would leave them is wrong."""
    for wall_ms in (0, -5, 1 << 48):
        with pytest.raises(JournalError, match="48 bits"):
            reserve(tmp_path / "ids", wall_ms)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """No id is promised that is not on the disk."""
    with pytest.raises(JournalError, match="cannot be written"):
        reserve(tmp_path / "absent" / "ids", WALL_MS)
