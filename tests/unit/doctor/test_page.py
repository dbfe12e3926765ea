"""The page on the doctor names every check, and the ready files that it is for are there."""

import re

import pytest

from mm_daemon.doctor.findings import EXIT_FAILED, ORDER
from mm_daemon.ports.examination import Verdict
from tests.shared import ROOT

PAGE = (ROOT / "deploy/docs/doctor.md").read_text("utf-8")
EXAMPLES = ROOT / "deploy/examples"
WITHOUT_TESTNET = {"kucoin"}


def test_every_check_has_its_row() -> None:
    table = PAGE[PAGE.index("## What is checked") : PAGE.index("## For scripts")]
    named = {name for row in re.findall(r"(?m)^\| (`.*?) \|", table) for name in re.findall(r"`(\w+)`", row)}
    assert named == set(ORDER)
    assert all(f"`{verdict}`" in PAGE for verdict in Verdict)
    assert f"**{EXIT_FAILED}: a check has failed.**" in PAGE


@pytest.mark.parametrize("venue", ["hyperliquid", "dydx", "lighter", "binance", "okx", "bybit", "kucoin"])
def test_each_venue_has_a_ready_file_for_each_way_to_run(venue: str) -> None:
    """Paper on the real market, the test system, real money: the last two say `mode: live`, as they must."""
    kinds = {"paper": "paper", "testnet": "live", "live": "live"}
    for kind, mode in kinds.items():
        file = EXAMPLES / f"{venue}-{kind}.yaml"
        if kind == "testnet" and venue in WITHOUT_TESTNET:
            assert not file.exists()
            continue
        text = file.read_text("utf-8")
        assert re.search(rf"(?m)^mode: {mode}\b", text), file
        on_testnet = re.search(r"(?m)^    (?:testnet: true|network: testnet)\b", text) is not None
        assert on_testnet is (kind == "testnet"), file
