"""The log of a run on a terminal: in a file as well, and there alone when the terminal has gone."""

import io
from pathlib import Path

from mm_daemon.runtime.screen import LOG_NAME, RunLog


class Closed(io.StringIO):
    """A terminal whose window somebody has closed."""

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


def test_file_goes_on_when_the_terminal_has_gone(tmp_path: Path) -> None:
    """The last words of a run, said after its terminal was closed, are in the file."""
    log = RunLog(Closed())
    log.keep_in(tmp_path)
    for line in ("stopping\n", "stopped\n"):
        log.write(line)
        log.flush()
    log.close()
    assert (tmp_path / LOG_NAME).read_text("utf-8") == "stopping\nstopped\n"


def test_lines_are_in_both_without_colour_in_the_file(tmp_path: Path) -> None:
    """As long as no screen is up, the terminal shows what the file keeps."""
    terminal = io.StringIO()
    log = RunLog(terminal)
    log.keep_in(tmp_path)
    log.write("\x1b[31mbad\x1b[0m\n")
    log.screen_up = True
    log.write("worse\n")
    log.close()
    assert terminal.getvalue() == "\x1b[31mbad\x1b[0m\n"
    assert (tmp_path / LOG_NAME).read_text("utf-8") == "bad\nworse\n"
