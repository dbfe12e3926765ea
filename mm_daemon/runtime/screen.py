"""`run` on a terminal: the log goes to a file, the terminal shows `watch`, a process of its own.

`RunLog` is where the log is written: into `state_dir/run.log`, and onto the terminal whenever no screen is there.
`Screen` is a child of the supervisor: it starts the screen once the control socket listens, and takes it down before
the last lines are said. Losing the screen costs nothing but the screen.
"""

import asyncio
import io
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TextIO

LOG_NAME = "run.log"
_LARGEST_BYTES = 16 << 20
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_END_S = 1.0


class RunLog(io.TextIOBase):
    """A terminal and a file, written as one. The file is moved to `run.log.1` when it has grown large, and goes on
    when the terminal has gone."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._terminal_gone = False
        self._path: Path | None = None
        self._file: TextIO | None = None
        self._written = 0
        self.screen_up = False
        """While the terminal shows something else."""

    def keep_in(self, folder: Path) -> None:
        """From now on into the file too. Raises OSError."""
        self._path = folder / LOG_NAME
        self._open()

    def isatty(self) -> bool:
        return self._terminal.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._file is not None and self._path is not None:
            plain = _COLOUR.sub("", text)
            self._written += self._file.write(plain)
            if self._written > _LARGEST_BYTES:
                self._file.close()
                self._path.replace(self._path.with_name(f"{LOG_NAME}.1"))
                self._open()
        if not self.screen_up:
            self._on_terminal(partial(self._terminal.write, text))
        return len(text)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()
        if not self.screen_up:
            self._on_terminal(self._terminal.flush)

    def close(self) -> None:
        """The file; the terminal is not ours."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_terminal(self, do: Callable[[], object]) -> None:
        if self._terminal_gone:
            return
        try:
            do()
        except (OSError, ValueError):
            if self._file is None:
                raise
            self._terminal_gone = True

    def _open(self) -> None:
        assert self._path is not None
        self._file = self._path.open("a", encoding="utf-8")
        self._path.chmod(0o600)
        self._written = self._file.tell()


class Screen:
    def __init__(self, state_dir: Path, log: RunLog, listening: asyncio.Event, gone: Callable[[int], None]) -> None:
        """`listening`: the control socket does; `gone` is told the exit code of a screen that ended by itself."""
        self._state_dir = state_dir
        self._log = log
        self._listening = listening
        self._gone = gone

    async def run(self) -> None:
        """Show it until cancelled. Raises OSError when no process can be made."""
        await self._listening.wait()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mm_daemon.cli", "watch", "--state-dir", str(self._state_dir), "--of-run"
        )
        self._log.screen_up = True
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                await _end(process)
            self._log.screen_up = False
        self._gone(code)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Politely, so that it gives the terminal back as it was; then not."""
    process.terminate()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
