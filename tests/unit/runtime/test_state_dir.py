"""The folder of a run."""

from pathlib import Path

import pytest

from mm_daemon.domain.errors import ConfigError, JournalError
from mm_daemon.runtime.state_dir import StateDir


def test_only_one_daemon_at_a_time(tmp_path: Path) -> None:
    """A second daemon on the same folder is refused with the owner's number; after the first has gone it may start."""
    first = StateDir(tmp_path / "state")
    with pytest.raises(ConfigError, match="belongs to a daemon that is running"):
        StateDir(tmp_path / "state")
    first.close()
    StateDir(tmp_path / "state").close()


def test_folder_that_cannot_be_made_is_a_disk_error(tmp_path: Path) -> None:
    """A file in the folder's place is told as such."""
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(JournalError, match="cannot be used"):
        StateDir(tmp_path / "state")


def test_journals_are_private(tmp_path: Path) -> None:
    """Nobody else reads what we traded."""
    state = StateDir(tmp_path / "state")
    assert state.path.stat().st_mode & 0o077 == 0
    assert state.journals.stat().st_mode & 0o077 == 0
    state.close()
