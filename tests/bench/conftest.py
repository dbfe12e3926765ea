"""Gathers what the benches measure, prints it as one table at the end, and keeps it when asked (`--keep`)."""

from pathlib import Path

import msgspec
import pytest

from tests.bench import results, table
from tests.bench.figures import Figures

_figures = Figures()


@pytest.fixture(scope="session")
def figures() -> Figures:
    """Where every bench puts what it measures."""
    return _figures


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--keep", action="store_true", help="keep the results under tests/bench/results")
    parser.addoption("--figures", type=Path, help="write the figures to this file too, as JSON")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    if not _figures.all:
        return
    terminalreporter.write_line("")
    for line in table.lines(_figures):
        terminalreporter.write_line(line)
    if (path := config.getoption("--figures")) is not None:
        path.write_bytes(msgspec.json.encode(_figures.all))
    if config.getoption("--keep") and exitstatus == 0:
        terminalreporter.write_line(f"kept: {results.keep(results.result_of(_figures))}")
