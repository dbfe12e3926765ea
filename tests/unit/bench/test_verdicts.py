"""The rule by which `make bench` says that a gate is held, and how runs on unequal machines are compared."""

import pytest

from tests.bench.figures import Figure, Figures
from tests.bench.gates import Peer, Row
from tests.bench.results import Result, moved
from tests.bench.verdicts import judge, speed_factor

ROW = Row("ours", "ours", 20, 10, ccxt=Peer("theirs", 50), msgspec=Peer("bare", 5))


def figures(**microseconds: float) -> Figures:
    measured = Figures()
    for name, value in microseconds.items():
        measured.add(name, value, "us")
    return measured


@pytest.mark.parametrize(
    ("ours", "theirs", "bare", "held"),
    [
        (20, 50, 5, "gate"),  # the reference machine itself, at the gate
        (10, 50, 5, "goal"),
        (21, 50, 5, "no"),
        (40, 100, 10, "gate"),  # a machine half as fast
        (20, 100, 5, "gate"),  # the goal by ccxt.pro, the gate by both
        (20, 50, 4, "by ccxt.pro only"),
        (20, 40, 5, "by msgspec only"),
    ],
)
def test_a_gate_is_held_as_a_ratio_to_every_peer(ours: float, theirs: float, bare: float, held: str) -> None:
    verdict = judge(ROW, figures(ours=ours, theirs=theirs, bare=bare))
    assert verdict is not None
    assert verdict.held == held
    assert verdict.ccxt is not None
    assert verdict.ccxt.ours == ours / theirs
    assert verdict.gate == pytest.approx(min(0.4 * theirs, 4 * bare))


def test_without_a_peer_a_gate_is_scaled_by_the_machines_speed() -> None:
    """Times grow with slowness, rates fall, memory stays."""
    measured = Figures()
    measured.add("ccxt.depth.p50", 100.0, "us")  # 50 on the reference machine
    measured.add("msgspec.depth.mean", 40.0, "us")  # 5
    for name in ("start", "rate", "memory"):
        measured.add(name, 1.0, "s")
    assert speed_factor(measured) == pytest.approx(4)
    gates = [
        judge(row, measured)
        for row in (Row("start", "", 8), Row("rate", "", 8, floor=True), Row("memory", "", 8, fixed=True))
    ]
    assert [verdict and (verdict.gate, verdict.held) for verdict in gates] == [
        (pytest.approx(32), "gate"),
        (pytest.approx(2), "no"),
        (8, "gate"),
    ]
    assert judge(Row("absent", "", 8), measured) is None


def test_runs_are_compared_at_one_machine_speed() -> None:
    """Twice as slow a machine: doubled times and halved rates have not moved; instructions are what they are."""
    then, now = (
        Result(
            commit="",
            dirty=False,
            date="",
            python="",
            cpu="",
            speed_factor=factor,
            remarks=[],
            figures={
                "time": Figure(10 * factor, "us"),
                "rate": Figure(4 / factor, "M rows/s"),
                "count": Figure(100 * factor, "instructions"),
            },
        )
        for factor in (1.0, 2.0)
    )
    assert [moved(name, now, then) for name in ("time", "rate", "count", "absent")] == [1, 1, 2, None]
