"""What the journal asks of the operating system, in one place, so that a simulation can put a failing disk below it."""

import os
from pathlib import Path


class Disk:
    """The operating system's own calls. Every method raises OSError."""

    def create(self, path: Path, flags: int) -> int:
        """The descriptor of a file that its owner alone may read."""
        return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: bytes | bytearray) -> int:
        """Bytes that the kernel took: perhaps not all of them."""
        return os.write(fd, data)

    def sync(self, fd: int) -> None:
        """Wait until a file's content is on the disk."""
        os.fdatasync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, old: Path, new: Path) -> Path:
        return old.rename(new)

    def replace(self, old: Path, new: Path) -> Path:
        return old.replace(new)


DISK = Disk()
