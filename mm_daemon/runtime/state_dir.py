"""The folder a run keeps its files in: one daemon at a time, readable by its owner alone.

`state_dir/journal/` holds a file per run, `client_ids` the promised order ids, `lock` says who is running. The lock is
the kernel's, so it is gone with the process, however that ended.
"""

import fcntl
import os
from pathlib import Path

from mm_daemon.domain.errors import ConfigError, JournalError


class StateDir:
    """Made and locked when constructed. Raises JournalError when it cannot be used, ConfigError when it is in use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journals = path / "journal"
        self.client_ids = path / "client_ids"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            self.journals.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"state_dir {path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise ConfigError(
                f"state_dir {path} belongs to a daemon that is running (process {owner}): stop it, "
                "or give this one a state_dir of its own"
            ) from None
        os.ftruncate(self._lock, 0)
        os.write(self._lock, f"{os.getpid()}\n".encode())

    def close(self) -> None:
        """Let another daemon in."""
        os.close(self._lock)
