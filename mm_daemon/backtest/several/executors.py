"""One seam for work in many processes: backtests of several days, sweeps, estimates.

`Executor.run(work, tasks)` calls a function of a module on each task, somewhere else, and yields what became of them as
they end. Tasks are independent, so the results do not depend on how many processes there are; `gather` puts them back
into the order of the tasks. Tasks are taken from their iterable one by one, when somebody is free, so that a search may
choose the next one by the outcomes it has seen.

Nothing is lost: a task that raises, and one that takes its process with it, is a `Failed` beside the others' results.
"""

import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import islice
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from time import perf_counter
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from mm_daemon.backtest.cores import cores
from mm_daemon.domain.errors import ConfigError, MmError, UsageError

T = TypeVar("T")
R = TypeVar("R")

_JOIN_S = 5.0
_SPAWN = get_context("spawn")
_UNGUARDED = (
    "; a script that uses several processes must start its work under `if __name__ == '__main__':`, because each of "
    "them imports the script"
)


class Done(msgspec.Struct, Generic[R], frozen=True):
    """A task that returned."""

    value: R
    seconds: float
    """Wall time of the call alone."""


class Failed(msgspec.Struct, frozen=True):
    """A task that did not return."""

    how: Literal["raised", "died"]
    """raised: the work raised; died: its process ended under it."""
    error: str
    """The exception's type, or the exit code or signal."""
    text: str
    """For people."""
    trace: str = ""
    """The traceback of what is not one of our own errors, which say all by their text."""
    exit_code: int = 1
    """What the process should answer with, where it answers for this (OPERATIONS 4)."""

    def __str__(self) -> str:
        return self.text


Outcome = Done[R] | Failed


class Executor(Protocol):
    """Somewhere to run tasks."""

    @property
    def workers(self) -> int:
        """How many tasks run at once."""
        ...

    def run(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[int, Outcome[R]]]:
        """(index of the task, what became of it), as they end.

        `work` is a function of an importable module; tasks and results can be pickled. Leaving the iterator early, by
        Ctrl-C or `close`, ends what still runs.
        """
        ...


Heard = Callable[[int, object], None]
"""Hears what the work on a task, by its index, has to say by `tell`."""

_parent: Connection | None = None
"""In a process of a pool, the way to whoever waits for it."""


def tell(note: object) -> None:
    """From within the work: say something about the task, such as how far it has come. Processes of this machine pass
    it on to `Heard`; elsewhere nobody hears it.
    """
    if _parent is not None:
        with suppress(OSError):  # nobody is there any more: the process ends soon
            _parent.send_bytes(pickle.dumps(_Note(note)))


class _Note(msgspec.Struct, frozen=True):
    said: object


def executor(workers: int | None = None, dask: str | None = None, heard: Heard | None = None) -> Executor:
    """Processes of this machine (`workers`; by default one for each core), or a Dask cluster at an address.

    Raises UsageError for less than one worker or for both at once, ConfigError when there is no such cluster.
    """
    if dask is not None:
        if workers is not None:
            raise UsageError("--workers counts processes of this machine; with --dask the cluster has its own")
        return DaskCluster(dask)
    return LocalProcesses(cores() if workers is None else workers, heard)


def gather(
    where: Executor,
    work: Callable[[T], R],
    tasks: Iterable[T],
    told: Callable[[int, Outcome[R]], None] | None = None,
) -> list[Outcome[R]]:
    """All outcomes in the order of the tasks; `told` hears of each as it ends."""
    found: dict[int, Outcome[R]] = {}
    for index, outcome in where.run(work, tasks):
        found[index] = outcome
        if told is not None:
            told(index, outcome)
    return [found[index] for index in range(len(found))]


def attempt(work: Callable[[T], R], task: T) -> Outcome[R]:
    """Call the work here, and tell what became of it. What asks a process to end is passed on."""
    began = perf_counter()
    try:
        return Done(work(task), perf_counter() - began)
    except MmError as error:
        return Failed("raised", type(error).__name__, str(error), exit_code=error.exit_code)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        return Failed("raised", type(error).__name__, text, traceback.format_exc())


class InProcess:
    """One task after the other, here: for a debugger, and for work that is too short for a process of its own."""

    workers = 1

    def run(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[int, Outcome[R]]]:
        for index, task in enumerate(tasks):
            yield index, attempt(work, task)


class LocalProcesses:
    """Fresh processes of this machine, each with one task at a time; one that dies is replaced."""

    def __init__(self, workers: int, heard: Heard | None = None) -> None:
        """Raises UsageError for less than one."""
        if workers < 1:
            raise UsageError(f"--workers {workers}: at least one process is needed")
        self._workers = workers
        self._heard = heard

    @property
    def workers(self) -> int:
        return self._workers

    def run(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[int, Outcome[R]]]:
        coming = enumerate(tasks)
        busy: dict[Connection, tuple[_Worker, int]] = {}
        idle: list[_Worker] = []
        try:
            while True:
                while len(busy) < self._workers and (taken := next(coming, None)) is not None:
                    index, task = taken
                    worker = idle.pop() if idle else _Worker()
                    failed = worker.give(work, task)
                    if failed is None:
                        busy[worker.link] = worker, index
                    else:
                        idle.append(worker)
                        yield index, failed
                if not busy:
                    return
                for link in connection.wait(list(busy)):
                    worker, index = busy[link]  # type: ignore[index]
                    outcome, alive = worker.take()
                    if isinstance(outcome, _Note):
                        if self._heard is not None:
                            self._heard(index, outcome.said)
                        continue
                    del busy[worker.link]
                    if alive:
                        idle.append(worker)
                    yield index, outcome
        finally:
            for worker in [*idle, *(worker for worker, _ in busy.values())]:
                worker.end()


class _Worker:
    """One process and the way to it. A process that dies closes its end, which reads like an answer."""

    def __init__(self) -> None:
        self.link, theirs = _SPAWN.Pipe()
        self._process: SpawnProcess = _SPAWN.Process(target=_serve, args=(theirs,), daemon=True)
        # Ctrl-C reaches the whole group of a terminal; it is ours to end the workers, from their first instruction on.
        resource_tracker.ensure_running()  # it would let the signal in again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def give(self, work: Callable[[T], R], task: T) -> Failed | None:
        """Hand over one task; what is wrong with it when it cannot travel."""
        try:
            load = pickle.dumps((work, task))
        except Exception as error:
            text = f"the task cannot be sent to another process: {error}"
            return Failed("raised", type(error).__name__, text)
        with suppress(OSError):  # it is dead already: `take` finds out why
            self.link.send_bytes(load)
        return None

    def take(self) -> "tuple[Outcome[Any] | _Note, bool]":
        """What became of the task, or is said of it, and whether the process can take another."""
        try:
            outcome: Outcome[Any] | _Note = pickle.loads(self.link.recv_bytes())
        except (EOFError, OSError):
            self._process.join(_JOIN_S)
            how, code = _exit(self._process.exitcode)
            self.end()
            hint = _UNGUARDED if code == 1 else ""
            return Failed("died", how, f"the process that ran it ended with {how}{hint}"), False
        return outcome, True

    def end(self) -> None:
        """Whatever it does, it stops now."""
        self.link.close()
        self._process.terminate()
        self._process.join(_JOIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(link: Connection) -> None:
    """The life of a worker: task in, outcome out, until nobody asks any more."""
    global _parent  # noqa: PLW0603 - a process has one parent
    _parent = link
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            load = link.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            work, task = pickle.loads(load)
        except Exception as error:
            outcome: Outcome[Any] = _unreadable(error)
        else:
            outcome = attempt(work, task)
        try:
            answer = pickle.dumps(outcome)
        except Exception as error:
            text = f"the result cannot be sent back: {error}"
            answer = pickle.dumps(Failed("raised", type(error).__name__, text))
        try:
            link.send_bytes(answer)
        except OSError:
            return


def _end_with_parent() -> None:
    """A parent that was killed cannot end its workers."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _unreadable(error: BaseException) -> Failed:
    return Failed("raised", type(error).__name__, f"the task cannot be read where it should run: {error}")


def _exit(code: int | None) -> tuple[str, int | None]:
    if code is not None and code < 0:
        try:
            return f"signal {signal.Signals(-code).name}", code
        except ValueError:
            return f"signal {-code}", code
    return f"exit code {code}", code


class DaskCluster:
    """A Dask cluster at an address. Its workers need this package, and the files that tasks name under the same paths.

    The same function is shipped as to local processes. A task that kills its worker is tried again by the cluster as
    often as its settings allow, and then reported.
    """

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        """Raises ConfigError when Dask is not installed or nobody answers."""
        try:
            self._dask: Any = import_module("distributed")
        except ImportError as error:
            raise ConfigError("--dask needs Dask: pip install 'mm-daemon[research]'") from error
        try:
            self._client: Any = self._dask.Client(address, timeout=timeout_s, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ConfigError(
                f"--dask {address}: no scheduler answers ({error}); start one with `dask scheduler`, and workers with "
                "`dask worker ADDRESS`"
            ) from error

    @property
    def workers(self) -> int:
        """Threads of the cluster now; at least one, so that tasks wait for workers that are yet to come."""
        threads: dict[str, int] = self._client.nthreads()
        return max(sum(threads.values()), 1)

    def run(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[int, Outcome[R]]]:
        coming = enumerate(tasks)
        indices: dict[Any, int] = {}
        ended = self._dask.as_completed(loop=self._client.loop)
        try:
            while True:
                for index, task in islice(coming, self.workers - len(indices)):
                    future = self._client.submit(attempt, work, task, pure=False)
                    indices[future] = index
                    ended.add(future)
                if not indices:
                    return
                future = next(ended)
                yield indices.pop(future), self._outcome(future)
        finally:
            if indices:
                self._client.cancel(list(indices), force=True)

    def close(self) -> None:
        """Leave the cluster; it goes on without us."""
        self._client.close()

    @staticmethod
    def _outcome(future: Any) -> "Outcome[Any]":
        error = future.exception()
        if error is None:
            outcome: Outcome[Any] = future.result()
            return outcome
        if type(error).__name__ == "KilledWorker":
            return Failed("died", "KilledWorker", f"the workers of the cluster that ran it ended under it: {error}")
        return _unreadable(error)
