"""`mm-daemon simulate`: mistakes are told in words. That it serves is shown by `tests/e2e/test_neutral.py`."""

import socket
from pathlib import Path

import pytest

from mm_daemon.cli.main import execute


def test_unknown_simulator_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """With the nearest one first."""
    assert execute(["simulate", "neutrl"]) == 78
    assert "no simulator 'neutrl' (did you mean 'neutral'?)" in capsys.readouterr().err


def test_settings_are_checked_key_by_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, line and key of every mistake, as in a configuration."""
    file = tmp_path / "venue.yaml"
    file.write_text("orders_per_10s: 0\nbann_ms: 5\n")
    assert execute(["simulate", "neutral", "--port", "0", "--settings", str(file)]) == 78
    told = capsys.readouterr().err
    assert f"{file}:1:17: orders_per_10s: is 0, must be a whole number at least 1" in told
    assert "bann_ms: unknown key (did you mean 'ban_ms'?)" in told


def test_taken_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 69: starting again later may help."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert execute(["simulate", "neutral", "--port", str(taken.getsockname()[1])]) == 69
    assert "cannot listen" in capsys.readouterr().err


def test_no_symbol_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """Something must be traded."""
    assert execute(["simulate", "neutral", "--symbols", " , "]) == 64
    assert "name at least one" in capsys.readouterr().err
