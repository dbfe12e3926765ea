"""The verb `calibrate`: what a market's data say about its parameters."""

from pathlib import Path
from typing import TYPE_CHECKING

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, read_config, seconds

_NO_CLOCK_NS = 10**18
"""Embedded markets live by a clock of their own that starts near zero; such a time says nothing of when it was."""

if TYPE_CHECKING:
    from mm_daemon.backtest.calibration.report import CalibrationReport
    from mm_daemon.config.schema import Config


def calibrate(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    symbol: str | None = None,
    duration: str | None = None,
    seed: int | None = None,
    feed: Path | None = None,
    json: Json = False,
    plot: Path | None = None,
    save: Path | None = None,
) -> int:
    """Measure volatility, fill intensity and costs of a market without quoting, and suggest its parameters.

    Parameters
    ----------
    config:
        Configuration file, the same one that `run` takes.
    symbol:
        Only this market: BTC-USDT or sim:BTC-USDT.
    duration:
        Play this much market time: 60s, 5m. An embedded market never ends by itself.
    seed:
        Use this seed instead of the one in the file.
    feed:
        Play this recording instead of the one that the configuration's recorded venue names.
    json:
        Answer as one JSON object.
    plot:
        FILE.png or FILE.svg: draw the fit and the volatility. Needs matplotlib: pip install 'mm-daemon[research]'.
    save:
        FILE.yaml: write the suggested block there, to copy or to name as a market's `calibration_file`. A file that
        exists is never overwritten.
    """
    duration_s = seconds(duration)
    from mm_daemon.domain.errors import UsageError

    if seed is not None and not 0 <= seed < 1 << 63:
        raise UsageError(f"--seed {seed}: must be a whole number at least 0 and below 2^63")
    if save is not None and save.exists():
        raise UsageError(f"--save {save}: exists already and is not overwritten; name another file")
    if plot is not None:
        from mm_daemon.cli.plots.drawing import check_plot

        check_plot(plot)
    loaded = read_config(config, seed=seed)
    if feed is not None:
        loaded = _fed(loaded, feed)
    from mm_daemon.backtest.calibration.calibrate import calibrate as measure
    from mm_daemon.backtest.calibration.page import to_text

    report = measure(loaded, symbol=symbol, duration_s=duration_s)
    if save is not None:
        _save(report, save, config)
    if plot is not None:
        from mm_daemon.cli.plots.calibration import draw

        draw(report, plot)
    print(report.to_json().decode() if json else to_text(report))
    return 0


def _fed(config: "Config", path: Path) -> "Config":
    """With another recording. Raises UsageError unless there is one venue that plays one."""
    import msgspec

    from mm_daemon.domain.errors import UsageError

    recorded = [venue for venue, settings in config.venues.items() if settings.connector == "recorded"]
    if len(recorded) != 1:
        has = f"has {len(recorded)}: {', '.join(recorded)}" if recorded else "has none"
        raise UsageError(
            f"--feed {path}: plays in place of a recorded venue's data, and the configuration {has}; "
            "deploy/examples/recorded-binance-usdm.yaml shows one"
        )
    venue = config.venues[recorded[0]]
    fed = msgspec.structs.replace(venue, settings=msgspec.structs.replace(venue.settings, path=path))
    return msgspec.structs.replace(config, venues={**config.venues, recorded[0]: fed})


def _save(report: "CalibrationReport", path: Path, config: Path) -> None:
    """Write the block. Raises UsageError when the file exists or cannot be written."""
    import time

    from mm_daemon.config.calibration_file import measured_line
    from mm_daemon.domain.errors import UsageError

    now_ns = time.time_ns()
    measured = [
        measured_line(
            market.market,
            market.until_ns if market.until_ns > _NO_CLOCK_NS else now_ns,
            0.0 if market.suggestion.wide else market.fit.confidence,
        )
        for market in report.markets
    ]
    warnings = [f"# WARNING {market.market}: {text}\n" for market in report.markets for text in market.warnings]
    head = f"# Suggested by `mm-daemon calibrate` from the market data of {config.name}: sections of a configuration.\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write("".join([head, *measured, *warnings, report.yaml]))
    except FileExistsError:
        raise UsageError(f"--save {path}: exists already and is not overwritten; name another file") from None
    except OSError as error:
        raise UsageError(f"--save {path}: cannot be written: {error.strerror}") from error
