"""`mm-daemon replicate`: words, JSON, exit codes."""

import json

import pytest

from mm_daemon.cli.main import execute


def test_each_experiment_answers_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """A few paths are enough to print; the exit code says whether they agree."""
    for verb in (["as2008", "--gamma", "0.1"], ["cartea-jaimungal"]):
        assert execute(["replicate", *verb, "--paths", "1000"]) == 0
        assert "1000 paths, seed 1" in capsys.readouterr().out
        assert execute(["replicate", *verb, "--paths", "1000", "--seed", "2", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] is True
        assert report["seed"] == 2


def test_ranking_answers_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Five policies from the worst to the best, and the exit code is the verdict."""
    code = execute(["replicate", "certainty-equivalent", "--paths", "200", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == (0 if report["ok"] else 1)
    assert [policy["policy"][:3] for policy in report["policies"]] == ["sym", "A-S", "A-S", "GLF", "GLF"]


@pytest.mark.parametrize(
    "wrong", [["as2008", "--gamma", "0.5"], ["as2008", "--paths", "1"], ["certainty-equivalent", "--seed", "-1"]]
)
def test_what_cannot_be_replicated_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """0.5 is the preprint's gamma; a sample needs paths; a seed is not negative."""
    assert execute(["replicate", *wrong]) == 64
    assert wrong[1] in capsys.readouterr().err
