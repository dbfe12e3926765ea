"""Sweeps: the points of a grid and a draw, pieces of market, a study that outlives its process, what is best."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mm_daemon.backtest.several.executors import InProcess, LocalProcesses, Outcome
from mm_daemon.backtest.several.tasks import BacktestTask, config_of, run_task
from mm_daemon.backtest.sweep.objectives import FIGURES, Objective, figures_of, together
from mm_daemon.backtest.sweep.plan import Method, Range, SweepSettings, cut, points, windows
from mm_daemon.backtest.sweep.results import result_of, table_of, write_best
from mm_daemon.backtest.sweep.search import Found, span_of, sweep
from mm_daemon.backtest.sweep.study import STORE, Study
from mm_daemon.config.load import load_settings
from mm_daemon.config.problems import ConfigProblems
from mm_daemon.domain.errors import ConfigError, UsageError
from mm_daemon.domain.rng import Rng
from tests.shared import shared_file

CONFIG = """
version: 1
venues:
  sim: {connector: sim}
markets:
  - {venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.1, half_spread_bps: 2}
"""
RECORDED = """
version: 1
venues:
  binance-usdm:
    connector: recorded
    path: "{path}"
    translator: binance-usdm
    instruments:
      BTCUSDT: {{base: BTC, quote: USDT, tick: 0.1, lot: 0.001, min_notional: 100, maker_fee_bps: 2, taker_fee_bps: 5}}
markets:
  - {{venue: binance-usdm, symbol: BTCUSDT, order_size: 0.01, max_position: 0.05}}
"""
SPREAD, SKEW = "markets.*.half_spread_bps", "markets.*.skew_bps_at_max"
BASE = BacktestTask(name="", config=CONFIG, file="config.yaml")


def settings(**more: Any) -> SweepSettings:
    keys = {SPREAD: Range(low=0.5, high=8, log=True, points=3), SKEW: ("1", "3")}
    return SweepSettings(**{"keys": keys, "method": Method.GRID, "duration_s": 5.0, **more})


@pytest.fixture
def recorded() -> BacktestTask:
    text = RECORDED.format(path=shared_file("data/binance-usdm-btcusdt-20240808.gz"))
    return BacktestTask(name="", config=text, file="config.yaml")


def unheard(_: int) -> None:
    pass


def found(folder: Path, **more: Any) -> Found:
    return sweep(settings(**more), BASE, folder, InProcess(), unheard)


# Points


def test_a_grid_is_every_combination_in_order() -> None:
    """Even steps of the logarithm where that is asked for."""
    assert points(settings()) == [{SPREAD: low, SKEW: skew} for low in (0.5, 2.0, 8.0) for skew in ("1", "3")]
    assert settings().count == 6


@given(st.floats(0.001, 10), st.floats(0.001, 10), st.booleans(), st.integers(0, 2**32))
def test_numbers_stay_in_their_range(low: float, length: float, logarithm: bool, seed: int) -> None:
    """Drawn or on a grid, and a grid has both ends."""
    range_ = Range(low=low, high=low + length, log=logarithm)
    assert low <= range_.drawn(Rng(seed)) <= low + length
    grid = range_.grid()
    assert grid == sorted(grid)
    assert (grid[0], grid[-1]) == pytest.approx((low, low + length), rel=1e-11)


@given(st.integers(-5, 5), st.integers(1, 4), st.integers(0, 2**32))
def test_whole_numbers_are_whole_and_all_of_them_come(low: int, length: int, seed: int) -> None:
    """Ends included."""
    rng, range_ = Rng(seed), Range(low=low, high=low + length, whole=True)
    assert {range_.drawn(rng) for _ in range(200)} == set(range(low, low + length + 1))


def test_a_draw_depends_on_its_seed_alone() -> None:
    """And another seed draws other points; one key more leaves the others as they were."""
    drawn = points(settings(method=Method.RANDOM, trials=20))
    assert drawn == points(settings(method=Method.RANDOM, trials=20))
    assert drawn != points(settings(method=Method.RANDOM, trials=20, seed=2))
    wider = points(settings(method=Method.RANDOM, trials=20, keys={**settings().keys, "paper.queue_exponent": ("1",)}))
    assert [point[SPREAD] for point in wider] == [point[SPREAD] for point in drawn]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys: {markets.*.gamma: {low: 2, high: 1}}", "low 2 is not below high 1"),
        ("keys: {markets.*.gamma: {low: 0, high: 1, log: true}}", "a logarithm needs numbers above 0"),
        ("keys: {markets.*.gamma: [1, 1]}", "a value stands there twice"),
        ("keys: {markets.*.gamma: []}", "there is nothing to try"),
        ("keys: {}", "must have at least 1"),
        ("keys: {markets.*.gamma: [1]}\nobjective: pnl", "did you mean"),
        ("keys: {markets.*.gamma: [1]}\nwalk_forward: 2", "more than the 1"),
        ("keys: {a: {low: 1, high: 2, points: 5000}, b: {low: 1, high: 2, points: 5000}}\nmethod: grid", "25,000,000"),
    ],
)
def test_mistakes_in_a_sweep_file_are_named_with_their_line(text: str, said: str, tmp_path: Path) -> None:
    """As those of a configuration."""
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(ConfigProblems, match=r"sweep\.yaml:[12]:") as problems:
        load_settings(file, SweepSettings, environ={})
    assert said in str(problems.value)


def test_a_sweep_file_that_is_not_there_is_no_configuration_to_be_written(tmp_path: Path) -> None:
    """`init` would write something else there."""
    with pytest.raises(ConfigError, match=r"sweep\.yaml: there is no such file$"):
        load_settings(tmp_path / "sweep.yaml", SweepSettings, environ={})


# Pieces of market


def test_a_recording_is_cut_into_pieces_without_gap_or_overlap() -> None:
    """The last instant is in the last one."""
    pieces = cut(BASE, (1000, 1010), parts=3, duration_s=None)
    edges = [(piece.since_ns, piece.until_ns) for piece in pieces]
    assert edges == [(1000, 1003), (1003, 1007), (1007, 1011)]


def test_windows_are_in_the_order_of_time_each_with_all_seeds() -> None:
    """And feeds are overrides."""
    feeds: tuple[dict[str, str], ...] = ({"venues.x.path": "one.gz"}, {"venues.x.path": "two.gz"})
    made = windows(settings(feeds=feeds, parts=2, seeds=(7, 8)), BASE, [(0, 9), (10, 19)])
    assert [[piece.name for piece in window] for window in made] == [
        ["one 1 seed 7", "one 1 seed 8"],
        ["one 2 seed 7", "one 2 seed 8"],
        ["two 1 seed 7", "two 1 seed 8"],
        ["two 2 seed 7", "two 2 seed 8"],
    ]
    assert made[2][0].overrides == {"venues.x.path": "two.gz"}
    assert [piece.seed for piece in made[0]] == [7, 8]


@pytest.mark.parametrize(("more", "said"), [({"parts": 2}, "never ends"), ({"duration_s": None}, "how much market")])
def test_an_endless_market_cannot_be_cut_or_played_whole(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    """It has seeds instead."""
    with pytest.raises(UsageError, match=said):
        found(tmp_path, **more)


# Searching


def test_every_point_gets_the_figures_of_its_own_backtest(tmp_path: Path) -> None:
    """Tried here or in processes beside each other: the same."""
    here = found(tmp_path / "here")
    there = sweep(settings(), BASE, tmp_path / "there", LocalProcesses(2), unheard)
    assert here.study.tried() == there.study.tried()
    tried = here.study.tried()[3]
    alone = run_task(BacktestTask(name="", config=CONFIG, file="config.yaml", overrides=tried.point, duration_s=5.0))
    assert tried.samples == (figures_of(alone),)


def test_an_interrupted_search_goes_on_where_it_stood(tmp_path: Path) -> None:
    """What was tried stays, what was under way is begun anew, and nothing is tried twice."""
    whole = found(tmp_path / "whole")

    class Interrupted(InProcess):
        def run(self, work: Callable[..., Any], tasks: Iterable[Any]) -> Iterator[tuple[int, Outcome[Any]]]:
            coming = super().run(work, tasks)
            yield next(coming)
            yield next(coming)
            next(coming)  # done, and not yet told
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(settings(), BASE, tmp_path / "cut", Interrupted(), unheard)
    heard: list[int] = []
    again = sweep(settings(), BASE, tmp_path / "cut", InProcess(), heard.append)
    assert heard == [2, 1, 1, 1, 1]
    by_point = [sorted((str(each.point), each.samples) for each in one.study.tried()) for one in (whole, again)]
    assert by_point[0] == by_point[1]
    third: list[int] = []
    sweep(settings(), BASE, tmp_path / "cut", InProcess(), third.append)
    assert third == [6]


def test_a_search_interrupted_before_its_first_point_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While its points were still being written down."""

    def interrupted(self: Study) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("optuna.study.Study.set_user_attr", lambda *_: interrupted)
        patch.setattr(Study, "_begin_again", interrupted)
        with pytest.raises(KeyboardInterrupt):
            found(tmp_path)
    assert len(found(tmp_path).study.tried()) == 6


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    """Each would take for interrupted what the other has under way."""

    class Meddled(InProcess):
        def run(self, work: Callable[..., Any], tasks: Iterable[Any]) -> Iterator[tuple[int, Outcome[Any]]]:
            with pytest.raises(UsageError, match="a sweep is at work there"):
                found(tmp_path)
            yield from super().run(work, tasks)

    assert len(sweep(settings(), BASE, tmp_path, Meddled(), unheard).study.tried()) == 6
    found(tmp_path)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    """A file stands in its place."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used as the folder of a sweep"):
        found(tmp_path / "file")


@pytest.mark.parametrize("text", ["", "config: [\n", "# nothing\n"])
def test_a_sweep_file_without_keys_is_a_mistake(text: str, tmp_path: Path) -> None:
    """Empty, or not YAML."""
    file = tmp_path / "sweep.yaml"
    file.write_text(text)
    with pytest.raises(ConfigProblems, match=r"sweep\.yaml:\d+:\d+: .+"):
        load_settings(file, SweepSettings, environ={})


@pytest.mark.parametrize("more", [{"duration_s": 6.0}, {"seeds": (5,)}, {"objectives": (Objective.VOLUME,)}])
def test_a_study_of_another_sweep_is_not_mixed_in(more: dict[str, Any], tmp_path: Path) -> None:
    """Nor is one of another configuration."""
    found(tmp_path)
    with pytest.raises(UsageError, match="begun with other keys"):
        found(tmp_path, **more)


def test_points_that_cannot_be_tried_are_told_and_the_others_go_on(tmp_path: Path) -> None:
    """With the words of the configuration's own check."""
    one = found(tmp_path / "one", keys={"markets.*.model": ("glft", "nonsense")})
    assert [each.why is None for each in one.study.tried()] == [True, False]
    result = result_of(one)
    assert (result.tried, result.failed) == (2, 1)
    assert "no pricing model is called 'nonsense'" in result.to_text()
    with pytest.raises(ConfigError, match="not one of 1 points"):
        found(tmp_path / "none", keys={"markets.*.model": ("nonsense",)})


@pytest.mark.parametrize("objectives", [(Objective.PNL,), (Objective.PNL, Objective.INVENTORY)])
def test_optuna_finds_what_a_grid_finds(objectives: tuple[Objective, ...], tmp_path: Path) -> None:
    """TPE and NSGA-II on a made-up figure whose best is known: asked and told, nothing played."""
    keys = {SPREAD: Range(low=0, high=10), SKEW: Range(low=-5, high=5)}
    wanted = settings(method=Method.OPTUNA, trials=80, objectives=objectives, keys=keys)
    study = Study(tmp_path, "all", wanted, "kind")
    while (asked := study.ask()) is not None:
        spread, skew = asked.point[SPREAD], asked.point[SKEW]
        assert isinstance(spread, float)
        assert isinstance(skew, float)
        study.tell(asked.number, [{"pnl": -((spread - 7) ** 2) - skew**2, "inventory": spread}])
    best = study.best(20)
    assert len(study.tried()) == 80
    assert best[0].point[SPREAD] == pytest.approx(7, abs=1.0)
    if len(objectives) > 1:  # less inventory is never worse P&L among the best
        front = sorted((each.samples[0]["inventory"] or 0.0, each.samples[0]["pnl"] or 0.0) for each in best)
        assert len(front) > 2
        assert [pnl for _, pnl in front] == sorted(pnl for _, pnl in front)


def test_a_point_that_never_traded_is_behind_all_that_did(tmp_path: Path) -> None:
    """It has no such figure, which is told as none; and it is never among the best."""
    study = Study(tmp_path, "all", settings(objectives=(Objective.SHARPE,)), "kind")
    first, second = study.ask(), study.ask()
    assert first is not None
    assert second is not None
    study.tell(first.number, [{"sharpe": None}])
    study.tell(second.number, [{"sharpe": -3.0}])
    assert [each.number for each in study.best(5)] == [second.number]


# Walk-forward


def test_walk_forward_tries_the_best_of_each_window_on_what_comes_next(recorded: BacktestTask, tmp_path: Path) -> None:
    """The search has not seen it; and it is tried once, whatever is interrupted."""
    wanted = settings(
        keys={SPREAD: ("1", "3")}, parts=3, walk_forward=1, duration_s=10.0, objectives=(Objective.VOLUME,)
    )
    one = sweep(wanted, recorded, tmp_path, InProcess(), unheard)
    assert [fold.name for fold in one.folds] == ["fold 1", "fold 2"]
    for fold in one.folds:
        assert fold.best is not None
        assert fold.seen[-1].until_ns == fold.unseen[0].since_ns
        by_hand = replace(fold.unseen[0], overrides=fold.best.point)
        assert fold.test == [figures_of(run_task(by_hand))]
    assert wanted.searches == 3
    assert len(one.study.tried()) == 2
    text = result_of(one).to_text()
    assert "volume, unseen" in text
    assert "fold 2" in text
    again = sweep(wanted, recorded, tmp_path, InProcess(), unheard)
    assert [fold.test for fold in again.folds] == [list(fold.test) for fold in one.folds]


def test_the_span_of_a_recording_is_its_first_and_last_instant(recorded: BacktestTask) -> None:
    """345 seconds here; an embedded market has none."""
    span = span_of(recorded)
    assert span is not None
    assert (span[1] - span[0]) / 1e9 == pytest.approx(345, abs=1)
    assert span_of(BASE) is None


# Results


def test_the_best_are_written_as_configurations_that_play_the_same(tmp_path: Path) -> None:
    """And all points as a table."""
    one = found(tmp_path)
    best = one.study.best(3)
    paths = write_best(one, CONFIG, "config.yaml", tmp_path)
    assert [path.name for path in paths] == ["best-1.yaml", "best-2.yaml", "best-3.yaml"]
    task = BacktestTask(name="", config=paths[0].read_text(), file=str(paths[0]), duration_s=5.0)
    assert config_of(task).markets[0].quoting.half_spread_bps == best[0].point[SPREAD]
    assert figures_of(run_task(task)) == best[0].samples[0]
    rows = table_of(one).splitlines()
    assert len(rows) == 7
    assert rows[0].startswith(f"number,{SPREAD},{SKEW},pnl,pnl_error,")


def test_figures_over_pieces_are_means_with_standard_errors() -> None:
    """Of those that exist."""
    estimate = together([1.0, None, 3.0])
    assert estimate is not None
    assert (estimate.mean, estimate.error, estimate.count) == (2.0, 1.0, 2)
    assert together([None]) is None
    assert together([4.0]) is not None


def test_every_objective_is_a_figure_of_the_report() -> None:
    """A run that trades has them all."""
    report = run_task(BacktestTask(name="", config=CONFIG, file="config.yaml", duration_s=20.0))
    assert None not in figures_of(report).values()
    assert set(FIGURES) == set(Objective)


def test_a_study_is_an_optuna_study(tmp_path: Path) -> None:
    """Others' tools open it."""
    found(tmp_path)
    with sqlite3.connect(tmp_path / STORE) as store:
        assert store.execute("select count(*) from trials where state = 'COMPLETE'").fetchone() == (6,)
