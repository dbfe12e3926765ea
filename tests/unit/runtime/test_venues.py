"""From configuration to connectors and one clock: recordings that run together are played as one."""

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from mm_daemon import registry
from mm_daemon.config.load import loads
from mm_daemon.domain.errors import ConfigError
from mm_daemon.domain.events import Event, PublicTrade
from mm_daemon.domain.instrument import Venue
from mm_daemon.ports.connector import Connector
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.venues import build_connectors, move_to_feed_time
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.connectors.binance.frames import trade

START = 1_723_161_254_000_000_000
MS = 1_000_000

TEXT = """
version: 1
venues:
  one: {{connector: recorded, path: "{folder}/one.gz", translator: binance-usdm, instruments: {contract}}}
  two:
    {{connector: recorded, path: "{folder}/two.gz", translator: binance-usdm, speed: {speed}, instruments: {contract}}}
markets:
  - {{venue: one, symbol: BTCUSDT, order_size: 0.01, max_position: 0.05}}
  - {{venue: two, symbol: BTCUSDT, order_size: 0.01, max_position: 0.05}}
"""
CONTRACT = "{BTCUSDT: {base: BTC, quote: USDT, tick: 0.1, lot: 0.001, maker_fee_bps: 2, taker_fee_bps: 5}}"


def recording(path: Path, *at_ms: int) -> None:
    path.write_bytes(gzip.compress(b"".join(b"%d %s\n" % (START + ms * MS, trade(ms + 1)) for ms in at_ms)))


def connected(tmp_path: Path, clock: Clock, heard: list[Event], speed: float = 1.0) -> dict[Venue, Connector]:
    config = loads(
        TEXT.format(folder=tmp_path, contract=CONTRACT, speed=speed),
        "c.yaml",
        settings_of=registry.settings_of,
        environ=os.environ,
    )
    return build_connectors(
        config,
        paper=True,
        emit=heard.append,
        clock=clock,
        state_dir=tmp_path,
        connector_named=registry.connector,
        report=lambda _venue, _kind, text: pytest.fail(text),
    )


@pytest.mark.parametrize("late_s", [0, 10])
def test_recordings_are_heard_in_the_order_of_local_time(tmp_path: Path, late_s: int) -> None:
    """The clock starts at the earliest frame of all; even a loop that was away hears nothing out of order."""
    recording(tmp_path / "one.gz", 100, 300, 500, 5000)
    recording(tmp_path / "two.gz", 0, 300, 400, 600)
    heard: list[Event] = []

    async def main(loop: VirtualLoop) -> None:
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        connectors = connected(tmp_path, clock, heard)
        for connector in connectors.values():
            await connector.load_instruments()
        move_to_feed_time(clock, connectors)
        assert clock.now_ns() == START
        loop.elapsed_ns += late_s * 1_000_000_000
        await asyncio.gather(*(connector.run() for connector in connectors.values()))
        for connector in connectors.values():
            await connector.close()

    run_virtual(main)
    prints = [event for event in heard if isinstance(event, PublicTrade)]
    assert [(event.instrument.partition(":")[0], (event.ts_local_ns - START) // MS) for event in prints] == [
        ("two", 0),
        ("one", 100),
        ("one", 300),
        ("two", 300),
        ("two", 400),
        ("one", 500),
        ("two", 600),
        ("one", 5000),
    ]


def test_recordings_of_two_speeds_do_not_run_together(tmp_path: Path) -> None:
    """One clock has one speed."""
    recording(tmp_path / "one.gz", 1)
    recording(tmp_path / "two.gz", 1)
    clock = Clock()
    with pytest.raises(ConfigError, match="one speed"):
        move_to_feed_time(clock, connected(tmp_path, clock, [], speed=2.0))
