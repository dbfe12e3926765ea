"""Verbs that play one configuration, or many, on many pieces of market: sweep, estimate."""

from pathlib import Path

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, say, seconds


def sweep(
    file: Path = Path("sweep.yaml"),
    /,
    *,
    out: Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    json: Json = False,
) -> int:
    """Try many values of a configuration's keys in backtests, and say which were best.

    A sweep that was interrupted goes on where it stood when it is called again. In the folder: points.csv with
    everything that was tried, best-1.yaml and so on as configurations, heatmap.png, study.db (an Optuna study).

    Parameters
    ----------
    file:
        Sweep file: which keys, which values, on which data, what for. deploy/docs/sweep.md explains it.
    out:
        Folder of the study and its results; by default named like the file, beside it.
    workers:
        Processes of this machine; by default one for each core.
    dask:
        Address of a Dask scheduler whose workers try the points instead.
    json:
        Answer as one JSON object.
    """
    import os

    from mm_daemon.backtest.progress import Bar
    from mm_daemon.backtest.several.executors import executor
    from mm_daemon.backtest.several.tasks import BacktestTask
    from mm_daemon.backtest.sweep.plan import SweepSettings
    from mm_daemon.backtest.sweep.results import result_of, write_best, write_table
    from mm_daemon.backtest.sweep.search import sweep as search
    from mm_daemon.cli.plots.drawing import check_plot
    from mm_daemon.cli.plots.sweep import draw_sweep
    from mm_daemon.config.load import config_text, load_settings

    settings = load_settings(file, SweepSettings, environ=os.environ)
    assert isinstance(settings, SweepSettings)
    folder = out or file.parent / file.stem
    config = file.parent / settings.config
    picture = folder / "heatmap.png"
    check_plot(picture)
    base = BacktestTask(name="", config=config_text(config), file=str(config))
    with Bar(settings.count * settings.searches, wanted=not json) as bar:
        found = search(settings, base, folder, executor(workers, dask), bar.more)
    result = result_of(found)
    written = [write_table(found, folder), *write_best(found, base.config, str(config), folder)]
    draw_sweep(found, picture)
    if json:
        print(result.to_json().decode())
    else:
        print(result.to_text())
        print("\n" + "\n".join(f"written   {path}" for path in [*written, picture]))
    return 0


def estimate(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    parts: int = 12,
    seeds: int = 12,
    duration: str | None = None,
    infrastructure: float = 0.0,
    workers: int | None = None,
    dask: str | None = None,
    json: Json = False,
) -> int:
    """Say what a day may bring: P&L, volume, fees and costs, each with its interval and what it takes for granted.

    Parameters
    ----------
    config:
        Configuration file, the same one that `run` takes, of recorded or embedded markets.
    parts:
        Pieces of equal time that the recordings are cut into; each is played on its own.
    seeds:
        Seeds that an embedded market is played with instead.
    duration:
        Market time of each piece of an embedded market: 10m, 1h.
    infrastructure:
        What servers and data cost a month, in the currency of the markets.
    workers:
        Processes of this machine; by default one for each core.
    dask:
        Address of a Dask scheduler whose workers play the pieces instead.
    json:
        Answer as one JSON object.
    """
    import math

    from msgspec.structs import replace

    from mm_daemon.backtest.estimate import estimate as judged
    from mm_daemon.backtest.progress import Bar
    from mm_daemon.backtest.several.executors import executor
    from mm_daemon.backtest.several.tasks import BacktestTask
    from mm_daemon.backtest.sweep.plan import cut
    from mm_daemon.backtest.sweep.search import span_of
    from mm_daemon.config.load import config_text
    from mm_daemon.domain.errors import UsageError

    if parts < 1 or seeds < 1:
        raise UsageError("--parts and --seeds count pieces of market: at least one")
    if not 0 <= infrastructure < math.inf:
        raise UsageError(f"--infrastructure {infrastructure:g}: must be a number, and a cost is not below nothing")
    base = BacktestTask(name=config.stem, config=config_text(config), file=str(config))
    span = span_of(base)
    pieces = cut(base, span, parts=parts if span is not None else 1, duration_s=seconds(duration))
    if span is None:
        pieces = [replace(pieces[0], name=f"seed {seed}", seed=seed) for seed in range(1, seeds + 1)]
    with Bar(len(pieces), wanted=not json) as bar:
        where = executor(workers, dask, heard=bar.heard)
        found = judged(pieces, where, infrastructure_a_month=infrastructure, ended=bar.end)
    say(found, json=json)
    return 0
