"""Fifty SIGKILLs on every venue: at the end the daemon's books are the venue's, to the last unit.

Each venue serves in its own process and goes on while the daemon is dead. `--kills N` dies more often, `--kill-seed N`
at other moments.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.binance_process import BinanceProcess
from tests.e2e.dydx_process import DydxProcess, StatefulDydxProcess
from tests.e2e.hyperliquid_process import HyperliquidProcess, HyperliquidSpotProcess
from tests.e2e.lighter_process import LighterKeysProcess, LighterProcess
from tests.e2e.venue import LiveDesk, VenueProcess

pytestmark = pytest.mark.e2e


class Deaths(msgspec.Struct, frozen=True):
    """Where we die."""

    made: type[VenueProcess]
    settings: dict[str, Any] = {}
    """Of the venue: payments of funding within minutes, and rebates where the venue can pay them."""

    @property
    def name(self) -> str:
        variant = self.made.variant
        return f"{self.made.name}-{variant}" if variant else self.made.name


DEATHS = (
    Deaths(HyperliquidProcess),
    Deaths(HyperliquidSpotProcess),
    Deaths(
        BinanceProcess,
        {"symbols": {"BTCUSDT": {"trades_per_second": 20, "funding_period_s": 10, "maker_fee_bps": -0.5}}},
    ),
    Deaths(DydxProcess, {"maker_fee_ppm": -110}),
    Deaths(StatefulDydxProcess),
    Deaths(LighterProcess),
    Deaths(LighterKeysProcess),
)
PROVEN_BY_TIME = (HyperliquidProcess, HyperliquidSpotProcess, BinanceProcess, StatefulDydxProcess)
"""Where what was on its way at a death stays in doubt for many seconds: a stop waits for that."""


@pytest.mark.parametrize(
    "deaths",
    [
        pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.made in PROVEN_BY_TIME else [])
        for each in DEATHS
    ],
)
def test_killed_it_finds_its_orders_and_what_they_did_meanwhile(deaths: Deaths, tmp_path: Path) -> None:
    """The next life books what they traded while nobody looked, ends what is left of them, and quotes."""
    venue = deaths.made(tmp_path, **deaths.settings)
    try:
        desk = LiveDesk(tmp_path, venue)
        for _ in range(2):
            desk.die_filled()
        desk.quote_and_stop(fills=2)
        desk.differences()
    finally:
        venue.end()


@pytest.mark.slow
@pytest.mark.parametrize("deaths", DEATHS, ids=lambda deaths: deaths.name)
def test_killed_fifty_times(
    deaths: Deaths, tmp_path: Path, pytestconfig: pytest.Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """Position, cash, fees, funding and the parts of the P&L; no order is unknown and none is left at the venue."""
    venue = deaths.made(tmp_path, **deaths.settings)
    try:
        desk = LiveDesk(tmp_path, venue)
        said = desk.die(pytestconfig.getoption("--kills"), pytestconfig.getoption("--kill-seed"))
        with capsys.disabled():
            sys.stderr.write(f"\n{said}\n")
        assert len(desk.quoting_after_s) > desk.lives / 2
        assert desk.filled_lives > desk.lives / 4
    finally:
        venue.end()
