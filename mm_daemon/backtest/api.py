"""Backtests from Python: a notebook, a script, a search of one's own.

    from mm_daemon.backtest import run

    result = run("config.yaml", overrides={"markets.*.gamma": 0.1})
    print(result)
    plt.plot(result.market.time, result.market.equity)

`run` plays one backtest and keeps its curves as NumPy arrays; `run_days` plays several days beside each other and keeps
their reports. Both say the same as `mm-daemon backtest` with the same configuration, to the last digit.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from mm_daemon import registry
from mm_daemon.backtest.combined import CombinedReport
from mm_daemon.backtest.curves import POINTS, SAMPLES, MarketCurves, RunCurves, read_curves
from mm_daemon.backtest.days import day_tasks, days_between, journals, market_tasks
from mm_daemon.backtest.parts import play_parts
from mm_daemon.backtest.report import BacktestReport
from mm_daemon.backtest.tasks import BacktestTask, config_of
from mm_daemon.backtest.venues import backtest
from mm_daemon.config.load import config_text, loads
from mm_daemon.config.schema import Config
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import RecordedFeed

Array = NDArray[np.float64]
Times = NDArray[np.datetime64]
Feed = str | Path | RecordedFeed
"""A recording by its path, or an object with `instruments()` and `events()` (`ports.RecordedFeed`)."""

_CURVES = (
    "mid",
    "bid",
    "ask",
    "position",
    "equity",
    "spread",
    "inventory",
    "fees",
    "funding",
    "volume",
    "bid_quoted",
    "ask_quoted",
    "both_quoted",
)
_FILLS = ("side", "price", "size", "fee", "mid", "maker", "distance_bps")


class MarketResult:
    """One market of a run. Arrays of curves have one entry for each bucket of time, and are as it ended.

    time         end of the bucket, UTC, `datetime64[ns]`
    mid          quote currency; NaN while the book could not be trusted
    bid, ask     our best quotes that rest at the venue; NaN: none
    position     base units (contracts where a contract is not one unit), short is negative
    equity       P&L so far, settlement currency: `spread + inventory + fees + funding`, paid is negative
    volume       notional traded so far
    bid_quoted, ask_quoted, both_quoted
                 share of the bucket with quotes of ours at the venue

    `curves` has more: lows and highs within the buckets, markout curves, the life of orders, the intensity of takers.
    """

    def __init__(self, name: str, curves: MarketCurves) -> None:
        self.name = name
        self.curves = curves
        self.currency = curves.currency
        self.time: Times = curves.times_ns.astype("datetime64[ns]")
        self.mid: Array = curves.mid
        self.bid: Array = curves.bid
        self.ask: Array = curves.ask
        self.position: Array = curves.position
        self.equity: Array = curves.equity
        self.spread: Array = curves.spread
        self.inventory: Array = curves.inventory
        self.fees: Array = curves.fees
        self.funding: Array = curves.funding
        self.volume: Array = curves.volume

    @property
    def table(self) -> dict[str, NDArray[Any]]:
        """All curves by name, as `pandas.DataFrame` and `polars.DataFrame` take them."""
        return {"time": self.time, **{name: getattr(self.curves, name) for name in _CURVES}}

    @property
    def fills(self) -> dict[str, NDArray[Any]]:
        """Our fills, oldest first, in the same form: when we learned of each, its side (+1 bought), price, size, fee
        (paid is positive), the mid it was booked at, whether we were the maker, the distance of our price from the mid
        before the trade in bps, and what it was worth some seconds later, bps (`markout_1s`; NaN: not known).
        """
        fills = self.curves.fills
        table: dict[str, NDArray[Any]] = {"time": fills.times_ns.astype("datetime64[ns]")}
        table.update({name: getattr(fills, name) for name in _FILLS})
        for place, seconds in enumerate(fills.horizons_s):
            table[f"markout_{seconds:g}s"] = fills.markouts_bps[:, place]
        return table

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.time)} points, {self.curves.fills.seen} fills>"


class Result:
    """One backtest: its report, its curves by market, and the journal where one was kept."""

    def __init__(self, report: BacktestReport, curves: RunCurves, config: Config, journal: Path | None) -> None:
        self.report = report
        self.config = config
        self.journal = journal
        self.curves = curves
        self.markets = {str(name): MarketResult(str(name), market) for name, market in curves.markets.items()}

    @property
    def market(self) -> MarketResult:
        """The only market. Raises UsageError when there are several."""
        if len(self.markets) != 1:
            raise UsageError(f"there are several markets: say which of {', '.join(self.markets)} by `markets[...]`")
        return next(iter(self.markets.values()))

    def __str__(self) -> str:
        return self.report.to_text()

    def __repr__(self) -> str:
        return f"<backtest of {', '.join(self.markets)}: {self.report.fills} fills, P&L {self.pnl}>"

    @property
    def pnl(self) -> str:
        """Total and currency, in words."""
        pnl = self.report.pnl
        return "in several currencies" if pnl is None else f"{pnl.total:+f} {self.report.currency}"


def run(
    config: str | Path | Config,
    overrides: Mapping[str, object] | None = None,
    feed: Feed | Mapping[str, Feed] | None = None,
    *,
    seed: int | None = None,
    duration_s: float | None = None,
    since_ns: int | None = None,
    until_ns: int | None = None,
    journal: str | Path | None = None,
    points: int = POINTS,
    samples: int = SAMPLES,
) -> Result:
    """Play one backtest and keep its curves.

    config
        Path of a configuration, its text (something with a newline in it), or a `Config`.
    overrides
        Values that stand over single keys: `{"markets.*.gamma": 0.1, "paper.queue_model": "power"}`.
    feed
        What is played in place of the recordings that the configuration names: one where it has one venue, else by
        venue.
    since_ns, until_ns
        The part of the recordings that is played; it starts flat, with the book as it was.
    duration_s
        Market time to play; an embedded market needs it.
    journal
        File to keep the journal in, which must not exist yet; by default it is made in a temporary folder and deleted.
    points, samples
        Resolution of the curves: between `points` and twice as many buckets; of fills beyond `samples` every n-th.

    Raises ConfigError with everything that is wrong, UsageError, JournalError, CoreError.
    """
    loaded, feeds = _with_feeds(_loaded(config, overrides, seed), feed)
    bounds = {"duration_s": duration_s, "since_ns": since_ns, "until_ns": until_ns}
    if journal is not None:
        return _played(loaded, feeds, Path(journal), bounds, points, samples, keep=True)
    with tempfile.TemporaryDirectory(prefix="mm-backtest-") as folder:
        return _played(loaded, feeds, Path(folder) / "journal", bounds, points, samples, keep=False)


def run_days(
    config: str | Path,
    days: str,
    overrides: Mapping[str, object] | None = None,
    *,
    seed: int | None = None,
    duration_s: float | None = None,
    each_market: bool = False,
    journal_folder: str | Path | None = None,
    workers: int | None = None,
    dask: str | None = None,
    queue_sensitivity: bool = False,
) -> CombinedReport:
    """Play days of UTC (`2024-08-08..2024-08-10`), each from flat, in parallel processes, and put their reports
    together; what `mm-daemon backtest --days` does. A script must call it under `if __name__ == "__main__":`.

    Raises UsageError, ConfigError; AllFailed when no day could be played.
    """
    text, file = _text_of(config)
    task = BacktestTask(
        name="", config=text, file=file, overrides=dict(overrides or {}), seed=seed, duration_s=duration_s
    )
    config_of(replace(task, day="0000-00-00"))  # what is wrong with the configuration is said once, and not by each day
    tasks = day_tasks(task, days_between(days))
    if each_market:
        tasks = market_tasks(tasks)
    if journal_folder is not None:
        tasks = journals(tasks, Path(journal_folder))
    return play_parts(tasks, workers=workers, dask=dask, sensitivity=queue_sensitivity)


def _played(
    config: Config,
    feeds: Mapping[Venue, RecordedFeed],
    journal: Path,
    bounds: Mapping[str, Any],
    points: int,
    samples: int,
    *,
    keep: bool,
) -> Result:
    report = backtest(config, journal=journal, feeds=feeds, **bounds)
    curves = read_curves(journal, points=points, samples=samples)
    if not keep:
        report = replace(report, journal=None)
    return Result(report, curves, config, journal if keep else None)


def _text_of(config: str | Path) -> tuple[str, str]:
    """Text and name of a configuration."""
    if isinstance(config, str) and "\n" in config:
        return config, "configuration"
    return config_text(Path(config)), str(config)


def _loaded(config: str | Path | Config, overrides: Mapping[str, object] | None, seed: int | None) -> Config:
    if isinstance(config, Config):
        if overrides or seed is not None:
            raise UsageError("a configuration that was read already cannot be changed: give its path or its text")
        return config
    text, file = _text_of(config)
    return loads(
        text,
        file,
        settings_of=registry.settings_of,
        environ=os.environ,
        seed=seed,
        models=registry.PricingModels(),
        overrides=overrides,
    )


def _with_feeds(config: Config, feed: Feed | Mapping[str, Feed] | None) -> tuple[Config, dict[Venue, RecordedFeed]]:
    """The configuration with the paths among the feeds in place of its own, and the feeds that are objects."""
    if feed is None:
        return config, {}
    used = [venue for venue in config.venues if config.symbols_of(venue)]
    if not isinstance(feed, Mapping):
        if len(used) != 1:
            raise UsageError(f"say whose feed it is: feed={{venue: …}} with one of {', '.join(used)}")
        feed = {used[0]: feed}
    venues, feeds = dict(config.venues), dict[Venue, RecordedFeed]()
    for name, one in feed.items():
        venue = Venue(name)
        if venue not in used:
            raise UsageError(f"there is no market on venue {name}; there are {', '.join(used)}")
        if not isinstance(one, str | Path):
            feeds[venue] = one
            continue
        settings = venues[venue].settings
        if not hasattr(settings, "path"):
            raise UsageError(f"venue {name} plays no file: its connector is {venues[venue].connector}")
        venues[venue] = replace(venues[venue], settings=msgspec.structs.replace(settings, path=Path(one)))
    return replace(config, venues=venues), feeds
