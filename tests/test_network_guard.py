"""The guard of conftest.py can fail: a test that reaches out is refused and remembered."""

import socket

import pytest


def test_reaching_beyond_loopback_is_refused_and_remembered(only_loopback: list[str]) -> None:
    """A connection to another machine raises, and would fail the test even if the error were swallowed."""
    with socket.socket() as sock, pytest.raises(PermissionError, match="only reach loopback"):
        sock.connect(("192.0.2.1", 9))
    with pytest.raises(PermissionError, match="only reach loopback"):
        socket.getaddrinfo("venue.example", 443)
    assert len(only_loopback) == 2
    only_loopback.clear()


def test_loopback_may_be_used() -> None:
    """Servers of our own on 127.0.0.1 and ::1 are what end-to-end tests are made of."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()
