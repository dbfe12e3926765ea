"""What holds for every test: the network ends at loopback, and the last line says whether shared files were there."""

import ipaddress
import sys
from collections.abc import Iterator

import pytest

from tests.shared import USED

_watching = False
_reached_out: list[str] = []


def _is_loopback(host: object) -> bool:
    if host in {None, "", b"", "localhost", b"localhost"}:
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching:
        return
    if event in {"socket.connect", "socket.sendto"}:
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path or None: a local or connected socket
    elif event in {"socket.getaddrinfo", "socket.gethostbyname"}:
        host = arguments[0]
    else:
        return
    if not _is_loopback(host):
        _reached_out.append(f"{event} {host!r}")
        raise PermissionError(f"tests may only reach loopback, not {host!r}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def only_loopback() -> Iterator[list[str]]:
    """Fails a test that reached beyond loopback, even when the code under test swallowed the refusal."""
    global _watching  # noqa: PLW0603 - audit hooks cannot be removed, only told to look away
    _watching = True
    _reached_out.clear()
    try:
        yield _reached_out
    finally:
        _watching = False
    if _reached_out:
        pytest.fail(f"reached beyond loopback: {', '.join(_reached_out)}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=50, help="how often tests/e2e/test_deaths.py kills the daemon")
    parser.addoption("--kill-seed", type=int, default=50, help="seed of the moments at which it does")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = [report for report in terminalreporter.stats.get("skipped", []) if "ABSENT: " in str(report.longrepr)]
    if absent:
        terminalreporter.write_line(f"ABSENT: {len(absent)} tests skipped")
    else:
        terminalreporter.write_line(f"shared data: {len(USED)} files")
