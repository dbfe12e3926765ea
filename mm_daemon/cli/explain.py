"""The verb `explain`: why the quotes of a configuration are where they are, in a market that is given or played."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mm_daemon.cli.options import DEFAULT_CONFIG, ConfigPath, Json, read_config

if TYPE_CHECKING:
    from mm_daemon.observability.status import Status

_LONGEST_S = 1e9
_PICTURES = (".png", ".svg")


def explain(
    *,
    config: ConfigPath = DEFAULT_CONFIG,
    symbol: str | None = None,
    mid: Decimal | None = None,
    bid: Decimal | None = None,
    ask: Decimal | None = None,
    bid_size: Decimal | None = None,
    ask_size: Decimal | None = None,
    position: Decimal | None = None,
    sigma: float | None = None,
    entry: Decimal | None = None,
    age: float | None = None,
    day_loss: float | None = None,
    at: float | None = None,
    live: Annotated[bool, Parameter(negative=())] = False,
    json: Json = False,
    plot: Path | None = None,
) -> int:
    """Say why the quotes are where they are: each shift, each part of the spread, rounding, what a fill earns.

    Without prices the recording or the embedded market of the configuration is played first, without quoting, so that
    volatility and all else that is measured is known.

    Parameters
    ----------
    config:
        Configuration file, the same one that `run` takes.
    symbol:
        One market, as BTC-USDT or sim:BTC-USDT; all of them by default.
    mid:
        Middle of the best prices, which are then the nearest ones around it.
    bid:
        Best bid, instead of `--mid`.
    ask:
        Best ask.
    bid_size:
        Size at the best bid, base units; equal sizes by default.
    ask_size:
        Size at the best ask.
    position:
        Position, base units, negative when short; 0 by default.
    sigma:
        Volatility, bps per square root of a second, instead of the estimate or the configured one.
    entry:
        Average price of the position, for a stop-loss; the mid by default, with `--live` the daemon's.
    age:
        How long the position has been held, seconds; 0 by default, with `--live` the daemon's.
    day_loss:
        Loss of this day in this market, settlement currency; 0 by default, with `--live` the daemon's.
    at:
        Play this many seconds of the market; by default 60 of an embedded one, a recording to its end.
    live:
        Take best prices, position and volatility from the daemon that runs with this configuration.
    json:
        Answer as one JSON object.
    plot:
        Draw depths by inventory and the quotes around the mid into this file, PNG or SVG. Needs matplotlib.
    """
    import time

    from mm_daemon.backtest.explain.explaining import explain as explained
    from mm_daemon.backtest.explain.explanation import Explanation
    from mm_daemon.backtest.explain.market import Given, scenes
    from mm_daemon.backtest.explain.text import to_text
    from mm_daemon.backtest.venues import compose
    from mm_daemon.domain.errors import UsageError

    if at is not None and not 0.0 < at < _LONGEST_S:
        raise UsageError(f"--at {at}: must be a number of seconds above 0")
    if plot is not None and plot.suffix.lower() not in _PICTURES:
        raise UsageError(f"--plot {plot}: must end with {' or '.join(_PICTURES)}")
    given = Given(
        mid=mid,
        bid=bid,
        ask=ask,
        bid_size=bid_size,
        ask_size=ask_size,
        position=position,
        sigma_bps=sigma,
        entry=entry,
        age_s=age,
        day_loss=day_loss,
    )
    loaded = read_config(config)
    parameters, sources = compose(loaded)
    if live:
        from mm_daemon.backtest.explain.daemon import explain_daemon, scenes_of

        if given.prices or given.sized or at is not None:
            raise UsageError("--live takes the market from the daemon: leave out prices, sizes and --at")
        running = _status(loaded.state_dir)
        looked_at = scenes_of(parameters, running, given, symbol=symbol)
        markets = tuple(explain_daemon(scene, running) for scene in looked_at)
    else:
        looked_at = scenes(parameters, sources, given, symbol=symbol, at_s=at, now_ns=time.time_ns())
        markets = tuple(explained(scene) for scene in looked_at)
    explanation = Explanation(config=str(config), markets=markets)
    if plot is not None:
        from mm_daemon.backtest.explain.depths import depths_by_inventory
        from mm_daemon.cli.plots.explain import draw

        draw(explanation, [depths_by_inventory(scene) for scene in looked_at], plot)
    print(explanation.to_json().decode() if json else to_text(explanation))
    return 0


def _status(state_dir: Path) -> "Status":
    """What the daemon with this folder says of itself. Raises UsageError when none answers."""
    from mm_daemon.domain.errors import UsageError
    from mm_daemon.runtime.control import ControlClient

    with ControlClient(state_dir) as client:
        try:
            return client.status()
        except EOFError as error:
            raise UsageError(f"the daemon has gone: {error}") from error
