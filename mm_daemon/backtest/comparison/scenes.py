"""The markets of the comparison: three recordings as the examples play them, and the embedded market at many seeds."""

import os
from pathlib import Path

import msgspec

from mm_daemon import registry
from mm_daemon.backtest.comparison.contenders import Contender, matched
from mm_daemon.backtest.sources import Source
from mm_daemon.backtest.venues import compose
from mm_daemon.config.load import loads
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.domain.instrument import Venue

SEEDS = 60
SECONDS = 600.0


class Scene(msgspec.Struct, frozen=True):
    """One market, and the half-spread and lean at the limit that all contenders start from. Figures in bps."""

    title: str
    file: str
    half_bps: float
    lean_bps: float
    fees_in_model: bool = True
    """Whether quotes stand off by the maker fee too. Where that is 10 bps, none would trade within minutes."""
    seeds: int = 1
    """How many histories; a recording is one."""
    seconds: float | None = None
    """How long each is played; None: to its end."""


EMBEDDED = Scene("embedded market", "config.yaml", 1.0, 1.0, seeds=SEEDS, seconds=SECONDS)
RECORDED = (
    Scene("Binance USD-M", "deploy/examples/recorded-binance-usdm.yaml", 1.0, 1.0),
    Scene("Binance spot", "deploy/examples/recorded-binance-spot.yaml", 1.0, 1.0, fees_in_model=False),
    Scene("Hyperliquid", "deploy/examples/recorded-hyperliquid.yaml", 0.2, 0.2, fees_in_model=False),
)


def staged(scene: Scene, contender: Contender, seed: int) -> tuple[CoreParameters, dict[Venue, Source]]:
    """The first market of the scene's configuration, quoted by a contender, and its source. Account limits are off: a
    run that ends early is no comparison. Raises ConfigError, DomainError.
    """
    text = Path(scene.file).read_text()
    config = loads(
        text,
        scene.file,
        settings_of=registry.settings_of,
        environ=os.environ,
        seed=seed,
        models=registry.PricingModels(),
    )
    parameters, sources = compose(msgspec.structs.replace(config, markets=config.markets[:1]))
    market = parameters.markets[0]
    base = msgspec.structs.replace(market.quoting, fees_in_model=scene.fees_in_model)
    quoting = matched(contender, base, half_bps=scene.half_bps, lean_bps=scene.lean_bps)
    return (
        msgspec.structs.replace(
            parameters,
            markets=(msgspec.structs.replace(market, quoting=quoting),),
            account=msgspec.structs.replace(parameters.account, max_drawdown_atto=None, max_loss_atto=None),
        ),
        sources,
    )
