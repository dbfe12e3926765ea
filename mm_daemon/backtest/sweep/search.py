"""The search: asks a study for points, has them tried by an executor, tells the study what came of them.

A task is one point on all pieces of market that the search may see, so that processes are busy for long and speak
seldom. With walk-forward there is one search for each window, and its best point then meets the piece after it; a last
search over the newest pieces gives the configurations to go on with.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from mm_daemon.backtest.several.executors import Done, Executor, Outcome
from mm_daemon.backtest.several.tasks import BacktestTask, config_of, run_task
from mm_daemon.backtest.sources import RecordedMarket
from mm_daemon.backtest.sweep.objectives import figures_of
from mm_daemon.backtest.sweep.plan import Point, Span, SweepSettings, Window, fingerprint, windows
from mm_daemon.backtest.sweep.study import Asked, Figures, Study, Tried
from mm_daemon.backtest.venues import compose
from mm_daemon.domain.errors import ConfigError, UsageError

ALL, LATEST = "all", "latest"
"""Names of the search without walk-forward, and of the last one with."""


class Trial(msgspec.Struct, frozen=True):
    """A point on some pieces of market: the task of one process."""

    point: Point
    pieces: tuple[BacktestTask, ...]


class Fold(NamedTuple):
    """A window of walk-forward: what the search saw, and what it had not seen."""

    name: str
    study: Study
    seen: tuple[BacktestTask, ...]
    unseen: tuple[BacktestTask, ...]
    best: Tried | None
    test: Sequence[Figures]


class Found(NamedTuple):
    """What a sweep has come to. `study` is the one whose best points are to be used."""

    settings: SweepSettings
    study: Study
    pieces: int
    """Pieces of market that each of its points was tried on."""
    folds: list[Fold]


Heard = Callable[[int], None]
"""Hears how many points were tried, in this process and before."""


def run_trial(trial: Trial) -> list[Figures]:
    """The work of an executor. Raises what a backtest raises."""
    return [
        figures_of(run_task(replace(piece, overrides={**piece.overrides, **trial.point}))) for piece in trial.pieces
    ]


def sweep(settings: SweepSettings, base: BacktestTask, folder: Path, where: Executor, heard: Heard) -> Found:
    """Search; `folder` keeps the study, and a search that it holds the beginning of goes on from there.

    Raises ConfigError, UsageError, and what says that not one point could be tried.
    """
    with _alone_in(folder):
        return _sweep(settings, base, folder, where, heard)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make a folder and keep other sweeps out of it: each would take what the other has under way for interrupted.

    The lock is the kernel's, on the folder itself: it is gone with the process, however that ended.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be used as the folder of a sweep: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: a sweep is at work there; name another folder with --out, or wait") from None
        yield
    finally:
        os.close(lock)


def _sweep(settings: SweepSettings, base: BacktestTask, folder: Path, where: Executor, heard: Heard) -> Found:
    spans = [span_of(replace(base, overrides={**base.overrides, **feed})) for feed in settings.feeds or ({},)]
    pieces = windows(settings, base, spans)
    kind = fingerprint(settings, base.config)
    train = settings.walk_forward
    folds = []
    if train is not None:
        for end in range(train, len(pieces)):
            seen, unseen = _flat(pieces[end - train : end]), pieces[end]
            name = f"fold {end - train + 1}"
            study = _searched(settings, folder, name, kind, seen, where, heard)
            folds.append(_tested(name, study, seen, unseen, where))
        pieces = pieces[-train:]
    seen = _flat(pieces)
    study = _searched(settings, folder, ALL if train is None else LATEST, kind, seen, where, heard)
    return Found(settings, study, len(seen), folds)


def span_of(task: BacktestTask) -> Span | None:
    """First and last instant of the recordings of a configuration; None for an embedded market.

    Raises ConfigError when there is nothing in them.
    """
    _, sources = compose(config_of(task))
    first_ns: int | None = None
    last_ns = 0
    for source in sources.values():
        if not isinstance(source, RecordedMarket):
            return None
        for event in source.feed.events():
            if first_ns is None or event.ts_local_ns < first_ns:
                first_ns = event.ts_local_ns
            last_ns = max(last_ns, event.ts_local_ns)
    if first_ns is None:
        raise ConfigError(f"{task.file}: there is nothing in its recordings")
    return first_ns, last_ns


def _flat(pieces: Sequence[Window]) -> tuple[BacktestTask, ...]:
    return tuple(chain.from_iterable(pieces))


def _searched(
    settings: SweepSettings,
    folder: Path,
    name: str,
    kind: str,
    pieces: tuple[BacktestTask, ...],
    where: Executor,
    heard: Heard,
) -> Study:
    study = Study(folder, name, settings, kind)
    heard(settings.count - study.left)
    asked: list[Asked] = []

    def trials() -> Iterator[Trial]:
        while (point := study.ask()) is not None:
            asked.append(point)
            yield Trial(point.point, pieces)

    for index, outcome in where.run(run_trial, trials()):
        study.tell(asked[index].number, _said(outcome))
        heard(1)
    tried = study.tried()
    failed = [each.why for each in tried if each.why is not None]
    if tried and len(failed) == len(tried):
        raise ConfigError(f"not one of {len(tried)} points could be tried; the first one: {failed[0]}")
    return study


def _said(outcome: Outcome[list[Figures]]) -> list[Figures] | str:
    return outcome.value if isinstance(outcome, Done) else outcome.text


def _tested(name: str, study: Study, seen: tuple[BacktestTask, ...], unseen: Window, where: Executor) -> Fold:
    best = next(iter(study.best(1)), None)
    test = study.test
    if test is None and best is not None:
        ((_, outcome),) = where.run(run_trial, [Trial(best.point, unseen)])
        said = _said(outcome)
        if isinstance(said, str):
            raise ConfigError(f"the best point of {name} could not be tried on what came next: {said}")
        study.keep_test(said)
        test = said
    return Fold(name, study, seen, unseen, best, test or ())
