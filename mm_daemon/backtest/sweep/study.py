"""One search, kept in an Optuna study: every point that was asked for and what came of it, in a file that outlives the
process. A search that was interrupted goes on where it stood: what was tried is not tried again, and what was under way
is begun anew.

Points of a grid and of a draw are known before anything runs and wait in the study in their order; only with `method:
optuna` does the next one depend on the outcomes so far: TPE for one objective (Bergstra et al. 2011), NSGA-II for
several (Deb et al. 2002).
"""

import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import msgspec

from mm_daemon.backtest.sweep.objectives import FIGURES, Estimate, together, worst
from mm_daemon.backtest.sweep.plan import Method, Point, Range, SweepSettings, Value, points
from mm_daemon.domain.errors import ConfigError, UsageError

STORE = "study.db"
_KIND, _SAMPLES, _WHY, _POINT, _TEST = "sweep", "samples", "why", "point", "test"
Figures = Mapping[str, float | None]
"""Of one backtest, by name."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One point and what came of it."""

    number: int
    point: Point
    samples: tuple[Figures, ...] = ()
    """One set of figures for each piece of market; none when it failed."""
    why: str | None = None
    """What went wrong."""

    def figure(self, name: str) -> Estimate | None:
        return together([sample.get(name) for sample in self.samples])


class Asked(msgspec.Struct, frozen=True):
    """A point to be tried now."""

    number: int
    point: Point


class Study:
    """Raises ConfigError where Optuna is not installed, UsageError when `folder` holds another sweep's study."""

    def __init__(self, folder: Path, name: str, settings: SweepSettings, kind: str) -> None:
        self._settings = settings
        self._optuna = optuna = _optuna()
        store = _store(optuna, folder / STORE)
        known = name in optuna.study.get_all_study_names(store)
        before = optuna.load_study(study_name=name, storage=store) if known else None
        if before is not None and _KIND not in before.user_attrs:  # begun and not filled: nothing was tried
            optuna.delete_study(study_name=name, storage=store)
            before = None
        if before is not None and before.user_attrs[_KIND] != kind:
            raise UsageError(
                f"{folder / STORE} was begun with other keys, data or another configuration, and its points say "
                "nothing about these; name another folder with --out, or remove that one"
            )
        directions = ["maximize" if FIGURES[each].more else "minimize" for each in settings.objectives]
        self._study: Any = optuna.create_study(
            storage=store,
            study_name=name,
            directions=directions,
            load_if_exists=True,
            sampler=self._sampler(0 if before is None else len(before.trials)),
        )
        if before is None:
            for point in points(settings):
                self._study.enqueue_trial(dict(point))
            self._study.set_user_attr(_KIND, kind)  # last: a study without it was begun and not filled
        self._open: dict[int, Any] = {}
        self._begin_again()

    def _sampler(self, seen: int) -> Any:
        """Chance goes on from where the study stands, so that a search that is resumed does not repeat itself."""
        samplers, seed = self._optuna.samplers, (self._settings.seed + seen) % (1 << 32)
        if self._settings.method is not Method.OPTUNA:
            return samplers.RandomSampler(seed=seed)
        if len(self._settings.objectives) > 1:
            return samplers.NSGAIISampler(seed=seed, population_size=min(50, max(self._settings.trials // 5, 4)))
        return samplers.TPESampler(seed=seed)

    def _begin_again(self) -> None:
        """Points under way when the last process ended wait again."""
        running = self._optuna.trial.TrialState.RUNNING
        for trial in self._study.get_trials(deepcopy=False, states=(running,)):
            if trial.params or _POINT in trial.user_attrs:
                self._study.enqueue_trial(trial.user_attrs.get(_POINT, trial.params))
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    @property
    def left(self) -> int:
        """Points that have not been tried."""
        return max(self._settings.count - len(self.tried()) - len(self._open), 0)

    def ask(self) -> Asked | None:
        """The next point; None when all are under way or done."""
        if not self.left:
            return None
        trial = self._study.ask()
        point = {key: _suggested(trial, key, values) for key, values in self._settings.keys.items()}
        trial.set_user_attr(_POINT, point)
        self._open[trial.number] = trial
        return Asked(trial.number, point)

    def tell(self, number: int, samples: Sequence[Figures] | str) -> Tried:
        """What came of a point: figures for each piece of market, or why there are none."""
        trial = self._open.pop(number)
        point = trial.user_attrs[_POINT]
        if isinstance(samples, str):
            trial.set_user_attr(_WHY, samples)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return Tried(number=number, point=point, why=samples)
        trial.set_user_attr(_SAMPLES, [dict(sample) for sample in samples])
        tried = Tried(number=number, point=point, samples=tuple(samples))
        self._study.tell(trial, [self._value(tried, name) for name in self._settings.objectives])
        return tried

    def _value(self, tried: Tried, objective: Any) -> float:
        estimate = tried.figure(objective.value)
        return worst(objective) if estimate is None else estimate.mean

    def tried(self) -> list[Tried]:
        """Everything that came to an end, failures too, in the order in which it was asked for."""
        return [
            Tried(
                number=trial.number,
                point=trial.user_attrs[_POINT],
                samples=tuple(trial.user_attrs.get(_SAMPLES, ())),
                why=trial.user_attrs.get(_WHY),
            )
            for trial in self._study.get_trials(deepcopy=False)
            if _SAMPLES in trial.user_attrs or _WHY in trial.user_attrs
        ]

    def best(self, count: int) -> list[Tried]:
        """The best points first. With several objectives those that no other beats in all of them, ranked by the first.

        A point without the first figure is never among them.
        """
        by_number = {tried.number: tried for tried in self.tried() if tried.why is None}
        if len(self._settings.objectives) > 1:
            numbers = {trial.number for trial in self._study.best_trials}
            by_number = {number: tried for number, tried in by_number.items() if number in numbers}
        first = self._settings.objectives[0]
        ranked = [
            (estimate.mean if FIGURES[first].more else -estimate.mean, -number, tried)
            for number, tried in by_number.items()
            if (estimate := tried.figure(first.value)) is not None
        ]
        return [tried for _, _, tried in sorted(ranked, key=lambda each: each[:2], reverse=True)[:count]]

    def importance(self) -> dict[str, float]:
        """How much of the first objective's variance each key explains among the better points (PED-ANOVA, Watanabe
        et al. 2023); empty where too few points were tried or nothing varied."""
        if len(self._settings.keys) < 2 or len([each for each in self.tried() if each.why is None]) < 8:
            return {}
        more = FIGURES[self._settings.objectives[0]].more
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # that it looks at the low end, which is what is meant
                found = self._optuna.importance.get_param_importances(
                    self._study,
                    target=lambda trial: -trial.values[0] if more else trial.values[0],
                    evaluator=self._optuna.importance.PedAnovaImportanceEvaluator(),
                )
        except (RuntimeError, ValueError):  # all points alike
            return {}
        return {str(key): float(value) for key, value in found.items()}

    @property
    def test(self) -> Sequence[Figures] | None:
        """What the best point gave on pieces of market that the search has not seen, once it was tried there."""
        return cast("Sequence[Figures] | None", self._study.user_attrs.get(_TEST))

    def keep_test(self, samples: Sequence[Figures]) -> None:
        self._study.set_user_attr(_TEST, [dict(sample) for sample in samples])


def _suggested(trial: Any, key: str, values: Range | tuple[str | None, ...]) -> Value:
    if not isinstance(values, Range):
        return cast("Value", trial.suggest_categorical(key, list(values)))
    if values.whole:
        return int(trial.suggest_int(key, int(values.low), int(values.high), log=values.log))
    return float(f"{trial.suggest_float(key, values.low, values.high, log=values.log):.12g}")


def _store(optuna: Any, path: Path) -> Any:
    """A file that a killed process leaves whole. Not every step waits for the disk: a power cut costs the last points,
    which are tried again."""
    event = import_module("sqlalchemy.event")
    store = optuna.storages.RDBStorage(f"sqlite:///{path}")

    def prepare(connection: Any, _: object) -> None:
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")

    event.listen(store.engine, "connect", prepare)
    store.engine.dispose()  # connections made before
    return store


def _optuna() -> Any:
    try:
        optuna = import_module("optuna")
    except ImportError as error:
        raise ConfigError("sweep needs Optuna: pip install 'mm-daemon[research]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
