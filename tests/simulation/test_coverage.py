"""What the report of a simulation asks for: each known case hit, or argued to be impossible, and then not hit."""

import ast
from pathlib import Path

import msgspec
import pytest

import mm_daemon
from mm_daemon.domain.decisions import Reason, RefusalCode
from mm_daemon.dst.coverage import ORDER_TABLE, REASONS, REFUSALS, UNREACHABLE, known_names
from mm_daemon.dst.report import ENOUGH, PROOF_SEEDS, REQUIRED, SimulationReport
from mm_daemon.dst.run import live_seed
from mm_daemon.dst.scenario import scenario

_PACKAGE = Path(mm_daemon.__file__).parent
_DECIDING = ("core", "engine", "risk", "simulation")
"""Packages that may give a reason or refuse."""


def test_what_is_argued_away_is_known_and_has_its_reason() -> None:
    """No argument is about something that does not exist, and none is empty."""
    for group, arguments in UNREACHABLE.items():
        for name, why in arguments.items():
            assert name in known_names(group), name
            assert len(why) > 20, name


@pytest.mark.parametrize("member", [*UNREACHABLE[REASONS], *UNREACHABLE[REFUSALS]])
def test_nothing_that_decides_names_what_is_never_given(member: str) -> None:
    """The argument "the core never gives it" holds as long as no deciding module names it."""
    names = {(type(each).__name__, each.name) for each in (*Reason, *RefusalCode) if each.value == member}
    for package in _DECIDING:
        for path in (_PACKAGE / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    assert (node.value.id, node.attr) not in names, f"{path.name}:{node.lineno} gives {member}"


def report(coverage: dict[str, dict[str, int]], seeds: int = PROOF_SEEDS) -> SimulationReport:
    return SimulationReport(first_seed=1, seeds=seeds, steps_each=2000, coverage=coverage)


def test_what_cannot_happen_and_does_fails_the_run() -> None:
    """An argument that was wrong is worth as much as a broken invariant."""
    told = report({ORDER_TABLE: {"NO_DEATH x SENT": 1}})
    assert not told.holds
    assert told.impossible == {ORDER_TABLE: ["NO_DEATH x SENT"]}
    assert "HAPPENED ALTHOUGH IT CANNOT: order table: NO_DEATH x SENT" in told.to_text()
    assert report({ORDER_TABLE: {"NO_DEATH x SENT": 0}}).holds


def test_what_was_hit_seldom_is_told_in_proportion() -> None:
    """A hundred times in ten thousand seeds are two in two hundred."""
    assert ENOUGH == 100
    counts = {REFUSALS: {"self_cross": 1, "max_orders": 2, "size_max": 0}}
    told = report(counts, seeds=200)
    assert told.rare == {REFUSALS: {"self_cross": 1}}
    assert told.never_hit == {REFUSALS: ["size_max"]}
    assert "self_cross 1 (about 50 in 10000 seeds)" in told.to_text()


def test_every_vocabulary_is_required() -> None:
    """A group of known names that nobody asks for would not be missed."""
    for group in REQUIRED:
        assert known_names(group), group


def test_a_rogue_is_refused_for_what_it_asks() -> None:
    """A few rogues among few faults: most refusals are provoked, and nothing of what is refused does any harm."""
    rogues = [seed for seed in range(400) if scenario(seed).rogue][:6]
    refused: set[str] = set()
    for seed in rogues:
        outcome = live_seed(seed, 800)
        assert outcome.breach is None, "\n".join([outcome.breach or "", *outcome.trace])
        refused |= {name for name, times in outcome.coverage.get(REFUSALS, {}).items() if times}
    assert len(refused) >= 15, sorted(refused)
    assert RefusalCode.UNKNOWN_INSTRUMENT in refused, "and the process that shows it lives on"


def test_reports_can_be_read_by_machines() -> None:
    found = msgspec.json.decode(report({}).to_json())
    assert found["unreachable"] == {group: dict(names) for group, names in UNREACHABLE.items()}
