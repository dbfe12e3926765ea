"""Secrets come from the environment or from files, and nothing ever repeats one."""

import pickle
from pathlib import Path

import pytest

from mm_daemon.config.secrets import Secret, Secrets
from mm_daemon.domain.instrument import Venue
from tests.unit.config.sample import GOOD, problems, read


def _with(secrets: str) -> str:
    return GOOD.replace("fake}", f"fake, {secrets}}}")


def test_secrets_come_from_environment_and_files(tmp_path: Path) -> None:
    """A file's last newline is not part of the secret."""
    (tmp_path / "key").write_text("from-file\n")
    text = _with(f"secrets: {{a: {{env: MM_A}}, b: {{file: '{tmp_path}/key'}}}}")
    assert dict(read(text, {"MM_A": "from-env"}).venues[Venue("v")].secrets) == {"a": "from-env", "b": "from-file"}


def test_secrets_are_never_shown() -> None:
    """Neither printing a configuration nor pickling its secrets gives one away."""
    config = read(_with("secrets: {a: {env: MM_A}}"), {"MM_A": "hunter2"})
    assert "hunter2" not in repr(config)
    assert "a=***" in repr(config.venues[Venue("v")].secrets)
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(Secrets({"a": "hunter2"}))


@pytest.mark.parametrize(
    "secrets",
    [
        "secrets: {api_key: hunter2}",
        "secrets: hunter2",
        "secrets: [hunter2]",
        "secrets: {api_key: {value: hunter2}}",
        "secrets: {api_key: {env: MM_A, file: hunter2}}",
        "secrets: {api_key: [hunter2]}",
        "api_key: hunter2",
        "private_key: hunter2",
        "secrtes: {a: hunter2}",
        "secrets: {api_key: {env: hunter2}}",
        "secrets: {api_key: {file: hunter2}}",
        "secrets: {api_key: {env: [hunter2]}}",
    ],
)
def test_a_secret_in_the_file_is_a_mistake_and_is_not_repeated(secrets: str) -> None:
    """Wherever somebody writes it down, the report says what to do and keeps quiet about the value."""
    (problem,) = problems(_with(secrets))
    assert problem.startswith("c.yaml:3:")
    assert "hunter2" not in problem


def test_an_empty_secret_is_a_mistake(tmp_path: Path) -> None:
    """An empty variable or file would be sent to the venue as a key."""
    (tmp_path / "empty").write_text("\n")
    assert "not set or empty" in problems(_with("secrets: {a: {env: MM_A}}"), {"MM_A": ""})[0]
    assert "is empty" in problems(_with(f"secrets: {{a: {{file: '{tmp_path}/empty'}}}}"))[0]


def test_a_secret_is_never_read_without_end() -> None:
    """A wrong path may lead to a device, or to a recording."""
    assert "larger than 65536 bytes" in problems(_with("secrets: {a: {file: /dev/zero}}"))[0]


def test_the_token_of_the_page_is_a_secret() -> None:
    """It is read like the others, is nothing that can be printed, and one that can be guessed is a mistake."""
    text = GOOD + "http: {token: {env: MM_T}}\n"
    token = read(text, {"MM_T": "a token long enough"}).http.token
    assert token is not None and token.reveal() == "a token long enough"
    assert token == Secret("a token long enough") != Secret("another that is long")
    assert "long" not in repr(read(text, {"MM_T": "a token long enough"}))
    with pytest.raises(TypeError, match="not written anywhere"):
        pickle.dumps(token)
    (problem,) = problems(text, {"MM_T": "short"})
    assert problem.endswith("http.token: the secret named here has 5 characters, must have at least 16")
    (problem,) = problems(GOOD + "http: {token: hunter2}\n")
    assert "a secret may not stand in this file" in problem and "hunter2" not in problem
    assert read(GOOD + "http: {token: null}\n").http.token is None
