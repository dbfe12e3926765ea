"""The executor seam: order, failures that are not lost, a prompt end; local processes and a real cluster."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mm_daemon.backtest.several.executors import (
    Done,
    Executor,
    Failed,
    InProcess,
    LocalProcesses,
    Outcome,
    executor,
    gather,
    tell,
)
from mm_daemon.domain.errors import ConfigError, UsageError
from tests.shared import ROOT


def squared(number: int) -> int:
    return number * number


def difficult(number: int) -> int:
    """Odd numbers raise, 4 takes its process with it, 6 is one of our own errors."""
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 6:
        raise ConfigError("six is not a configuration")
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def unsendable(number: int) -> object:
    return (one for one in range(number))


def talkative(number: int) -> int:
    tell(f"half of {number}")
    return number


def values(outcomes: list[Outcome[int]]) -> list[int]:
    return [outcome.value for outcome in outcomes if isinstance(outcome, Done)]


@pytest.mark.parametrize("where", [InProcess(), LocalProcesses(1), LocalProcesses(3)])
def test_outcomes_come_back_in_the_order_of_the_tasks(where: Executor) -> None:
    """However many processes there are."""
    heard: list[int] = []
    found = gather(where, squared, range(7), lambda index, _: heard.append(index))
    assert values(found) == [0, 1, 4, 9, 16, 25, 36]
    assert sorted(heard) == list(range(7))


def test_no_tasks_are_no_outcomes() -> None:
    """And no process is started."""
    assert gather(LocalProcesses(2), squared, []) == []


def test_what_fails_is_reported_with_its_task_and_the_others_go_on() -> None:
    """A raise carries its traceback, an error of ours its words and exit code, a death its signal."""
    found = gather(LocalProcesses(2), difficult, range(8))
    assert values(found) == [0, 2]
    raised, died, known = found[1], found[4], found[6]
    assert isinstance(raised, Failed)
    assert (raised.how, raised.error, raised.text) == ("raised", "ValueError", "ValueError: 1 is odd")
    assert "in difficult" in raised.trace
    assert isinstance(died, Failed)
    assert (died.how, died.error) == ("died", "signal SIGKILL")
    assert isinstance(known, Failed)
    assert (known.text, known.exit_code, known.trace) == ("six is not a configuration", ConfigError.exit_code, "")


def test_what_cannot_travel_is_reported_too() -> None:
    """A task or a result without a pickled form fails alone."""
    tasks = [(one for one in range(3)), 3]
    first, second = gather(LocalProcesses(1), unsendable, tasks)  # type: ignore[arg-type]
    assert isinstance(first, Failed)
    assert "cannot be sent" in first.text
    assert isinstance(second, Failed)
    assert "cannot be sent back" in second.text


def test_tasks_are_taken_when_somebody_is_free() -> None:
    """A search chooses the next task by the outcomes so far: nothing is taken ahead of need."""
    taken: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(5):
            taken.append(number)
            yield number

    for seen, _ in enumerate(LocalProcesses(2).run(squared, tasks()), 1):
        assert len(taken) <= seen + 1


def test_the_work_can_say_how_far_it_is() -> None:
    """Processes of this machine pass it on with the task's index; where nobody listens it is not said."""
    heard: list[tuple[int, object]] = []
    where = LocalProcesses(2, lambda index, note: heard.append((index, note)))
    assert values(gather(where, talkative, range(3))) == [0, 1, 2]
    assert sorted(heard) == [(0, "half of 0"), (1, "half of 1"), (2, "half of 2")]
    assert values(gather(InProcess(), talkative, range(3))) == [0, 1, 2]
    assert values(gather(LocalProcesses(1), talkative, range(3))) == [0, 1, 2]


def test_leaving_early_ends_the_workers() -> None:
    """The rest of a long work is not waited for."""
    began = time.monotonic()
    running = LocalProcesses(2).run(time.sleep, [0, 600, 600])
    assert next(running)[0] == 0
    running.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 30


def test_ctrl_c_ends_promptly(tmp_path: Path) -> None:
    """The parent is interrupted like the whole group of a terminal; it says so once, and no worker outlives it."""
    script = tmp_path / "long.py"
    script.write_text(
        textwrap.dedent("""
        import time
        from mm_daemon.backtest.several.executors import LocalProcesses

        if __name__ == "__main__":
            for index, outcome in LocalProcesses(2).run(time.sleep, [0, 600, 600]):
                print("first", flush=True)
        """)
    )
    with subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "first\n"
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) != 0
        assert process.stderr.read().count("Traceback") == 1, "and it ends only when nobody holds it any more"
        assert time.monotonic() - began < 10


def test_an_unguarded_script_is_told_what_to_write(tmp_path: Path) -> None:
    """Each process imports the script, which would start processes again: the failure names the guard."""
    script = tmp_path / "plain.py"
    script.write_text(
        textwrap.dedent("""
        import time
        from mm_daemon.backtest.several.executors import LocalProcesses, gather
        print(gather(LocalProcesses(1), time.sleep, [0])[0])
        """)
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        check=True,
    )
    assert "if __name__ == '__main__'" in done.stdout


def test_an_executor_is_asked_for_by_workers_or_address() -> None:
    """Both at once, and no worker at all, make no sense."""
    assert executor(3).workers == 3
    assert executor().workers >= 1
    with pytest.raises(UsageError, match="at least one"):
        executor(0)
    with pytest.raises(UsageError, match="--workers"):
        executor(2, "tcp://127.0.0.1:1")


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_outcomes(tmp_path: Path) -> None:
    """The same function on a real cluster of two processes: order, failures, a death, and nobody at an address."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", local_directory=tmp_path
    ) as cluster:
        where = executor(dask=cluster.scheduler_address)
        assert where.workers == 2
        assert values(gather(where, squared, range(5))) == [0, 1, 4, 9, 16]
        found = gather(where, difficult, [0, 1, 2, 6])
        assert values(found) == [0, 2]
        assert [outcome.error for outcome in found if isinstance(outcome, Failed)] == ["ValueError", "ConfigError"]
        where.close()  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="no scheduler answers"):
        executor(dask="tcp://127.0.0.1:9")
