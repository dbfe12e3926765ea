"""`doctor` at the simulated Hyperliquid, over sockets: what it finds, and that it sends no action whatever it finds."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from connectors.hyperliquid import actions
from connectors.hyperliquid.requests import Requests
from connectors.hyperliquid.rest import RestClient
from connectors.hyperliquid.signing import Signer
from connectors.simulators.faults import FaultKind
from connectors.simulators.hyperliquid import signatures
from mm_daemon.doctor.findings import Report
from mm_daemon.ports.examination import Verdict
from mm_daemon.runtime.clock import Clock
from tests.doctoring import config_of, examined, failures, found, the
from tests.hyperliquid import Control, hyperliquid_connector, hyperliquid_venue

AGENT = bytes([7] * 32)
AGENT_ADDRESS = signatures.address_of(AGENT)
_DAY_MS = 86_400_000


async def look(
    folder: Path,
    control: Control,
    *,
    key: str | None = None,
    size: float = 0.001,
    mode: str = "live",
    **settings: Any,
) -> Report:
    venue = {"connector": "hyperliquid", "network": "testnet", "url": control.url, **settings}
    secrets = {"private_key": AGENT.hex() if key is None else key}
    market = {"symbol": "BTC", "order_size": size}
    report = await examined(config_of(folder, venue, market, secrets=secrets, mode=mode))
    assert control.venue.acted == {}, report.to_text()
    return report


def approve(control: Control, name: str | None, days: float | None = None) -> None:
    """Make the agent one of the first account's; with `days`, it ends so long from now."""
    now_ms = control.venue._now_ms()
    if name is not None and days is not None:
        name = f"{name} valid_until {now_ms + round(days * _DAY_MS)}"
    account = control.venue.exchange.accounts[control.users[0]]
    assert account.approve(AGENT_ADDRESS, name, now_ms) is None


async def test_a_healthy_account_passes(tmp_path: Path) -> None:
    """Every check is there; leverage is named and not set; the key is in no line."""
    async with hyperliquid_venue() as control:
        approve(control, "desk", 90)
        report = await look(tmp_path, control, leverage=5)
        assert report.ok, report.to_text()
        assert the(report, "credentials").text == f"agent {AGENT_ADDRESS} acts for {control.users[0]}"
        assert the(report, "agent").verdict is Verdict.OK and "ends in 90.0 days" in the(report, "agent").text
        assert the(report, "balance").text.startswith("100000.00 USDC")
        assert "sets 5x cross" in the(report, "margin").text
        assert "10000 of 10000 requests left" in the(report, "limits").text
        assert "maker 1.5 bps, taker 4.5 bps, this account's" in the(report, "fees").text
        assert "HTTP" in the(report, "latency").text and "WebSocket" in the(report, "latency").text
        assert AGENT.hex() not in report.to_text() + report.to_json()


async def test_quotes_are_those_of_the_engine_at_the_venues_book(tmp_path: Path) -> None:
    """Prices on both sides of the book's mid, the configured size, on the venue's grid."""
    async with hyperliquid_venue() as control:
        approve(control, "desk")
        report = await look(tmp_path, control)
        (market,) = report.venues[0].markets
        assert market.quotes is not None
        market_there = control.venue.exchange.by_coin["BTC"]
        mid = market_there.mid_half_ticks()
        assert mid is not None
        bid, ask = market.quotes.bid, market.quotes.ask
        assert Decimal(bid.price) < Decimal(market_there.half(mid)) < Decimal(ask.price)
        assert (bid.size, ask.size) == ("0.00100", "0.00100") and bid.quoted and ask.quoted
        text = the(report, "quotes").text
        assert f"bid {bid.size} at {bid.price} ({bid.from_mid_bps:.2f} bps from the mid)" in text


async def test_a_key_that_nobody_approved_is_refused_and_the_rest_is_still_said(tmp_path: Path) -> None:
    async with hyperliquid_venue() as control:
        report = await look(tmp_path, control)
        assert failures(report) == {"credentials"}
        assert "does not know the key's address" in the(report, "credentials").text
        assert the(report, "latency").verdict is Verdict.OK
        assert the(report, "quotes").verdict is Verdict.NOT_APPLICABLE


async def test_an_agent_that_has_expired_is_said_to_have(tmp_path: Path) -> None:
    """The venue does not know the key any more; the account's list of agents still says when it ended."""
    async with hyperliquid_venue() as control:
        approve(control, "desk", -2)
        report = await look(tmp_path, control, account=control.users[0])
        assert failures(report) == {"credentials", "agent"}
        assert "expired 2.0 days ago" in the(report, "agent").text


async def test_an_agent_that_ends_soon_or_has_no_name_is_a_warning(tmp_path: Path) -> None:
    async with hyperliquid_venue() as control:
        approve(control, "desk", 3)
        report = await look(tmp_path, control)
        assert report.ok and the(report, "agent").verdict is Verdict.WARNING
        assert "ends in 3.0 days" in the(report, "agent").text
    async with hyperliquid_venue() as control:
        approve(control, None)
        assert "without a name" in the(await look(tmp_path, control), "agent").text


async def test_an_agent_of_another_account_fails(tmp_path: Path) -> None:
    async with hyperliquid_venue() as control:
        approve(control, "desk")
        report = await look(tmp_path, control, account=control.users[1])
        assert failures(report) == {"credentials"}
        assert f"acts for {control.users[0]}" in the(report, "credentials").text


async def test_the_accounts_own_key_is_a_warning(tmp_path: Path) -> None:
    """It can withdraw."""
    async with hyperliquid_venue() as control:
        report = await look(tmp_path, control, key=control.key())
        assert report.ok and the(report, "credentials").verdict is Verdict.WARNING
        assert the(report, "agent").verdict is Verdict.NOT_APPLICABLE


async def test_a_sub_account_is_its_masters(tmp_path: Path) -> None:
    """Its own money; another master's is refused."""
    async with hyperliquid_venue() as control:
        approve(control, "desk")
        exchange = control.venue.exchange
        mine, other = (
            exchange._create_sub_account(exchange.accounts[user], "desk")["response"]["data"] for user in control.users
        )
        report = await look(tmp_path, control, vault=mine)
        assert failures(report) == {"balance"} and the(report, "balance").text.startswith("0.00 USDC")
        assert [check.verdict for check in found(report, "credentials")] == [Verdict.OK, Verdict.OK]
        report = await look(tmp_path, control, vault=other)
        assert "credentials" in failures(report)
        assert any("not to" in check.text for check in found(report, "credentials"))
        report = await look(tmp_path, control, vault=f"0x{'12' * 20}")
        assert any("is no vault and no sub-account" in check.text for check in found(report, "credentials"))


async def test_the_money_of_a_unified_account_is_in_its_spot_balance(tmp_path: Path) -> None:
    """The perpetuals' side of it shows nothing."""
    async with hyperliquid_venue(unified=True) as control:
        state = await control.info("clearinghouseState", user=control.users[0])
        assert Decimal(state["marginSummary"]["accountValue"]) == 0
        report = await look(tmp_path, control, key=control.key())
        assert report.ok
        assert the(report, "balance").text == "100000.00 USDC in the unifiedAccount balance, 0.00 of it held"


async def test_an_empty_account_fails(tmp_path: Path) -> None:
    async with hyperliquid_venue(deposit=Decimal(0)) as control:
        assert failures(await look(tmp_path, control, key=control.key())) == {"balance"}


async def test_a_clock_that_is_off_fails(tmp_path: Path) -> None:
    """By more than the configuration lets the daemon quote at."""
    async with hyperliquid_venue() as control:
        await control.fault(FaultKind.CLOCK_STEP, ms=30_000)
        report = await look(tmp_path, control, key=control.key())
        assert failures(report) == {"clock"}
        told = re.fullmatch(r"the venue's is (\d+) ms ahead of ours, .*", the(report, "clock").text)
        assert told is not None and 29_000 < int(told[1]) <= 30_000


async def test_an_order_below_the_venues_minimum_fails(tmp_path: Path) -> None:
    """10 USDC an order, which only the price shows."""
    async with hyperliquid_venue() as control:
        report = await look(tmp_path, control, key=control.key(), size=0.0001)
        assert "size" in failures(report)
        assert "= 6.00 USDC" in the(report, "size").text
        assert "0.00017 BTC" in the(report, "size").advice


async def test_a_size_off_the_grid_fails_with_its_place(tmp_path: Path) -> None:
    """As `run` would say it; what needs no size is still looked at."""
    async with hyperliquid_venue() as control:
        report = await look(tmp_path, control, key=control.key(), size=0.0010005)
        assert failures(report) == {"size"}
        assert all("multiple of the lot" in check.text for check in found(report, "size"))
        assert str(tmp_path) in found(report, "size")[0].advice
        assert the(report, "orders").verdict is Verdict.OK


async def test_a_switch_that_the_venue_would_refuse_fails(tmp_path: Path) -> None:
    """Before a million is traded; after that it is armed."""
    async with hyperliquid_venue() as control:
        report = await look(tmp_path, control, key=control.key(), dead_man_ms=60_000)
        assert failures(report) == {"dead_man"} and "would be refused" in the(report, "dead_man").text
        report = await look(tmp_path, control, key=control.key())
        assert report.ok and the(report, "dead_man").verdict is Verdict.WARNING
    async with hyperliquid_venue(traded=Decimal(2_000_000)) as control:
        report = await look(tmp_path, control, key=control.key(), dead_man_ms=60_000)
        assert report.ok and "after 60 s of silence" in the(report, "dead_man").text


async def test_what_is_wrong_with_an_account_keeps_nobody_from_paper(tmp_path: Path) -> None:
    """It is said, and fails nothing; a key that is refused does, because `run` ends on it."""
    async with hyperliquid_venue(deposit=Decimal(0)) as control:
        report = await look(tmp_path, control, key=control.key(), mode="paper", dead_man_ms=60_000)
        assert report.ok
        assert the(report, "balance").verdict is the(report, "dead_man").verdict is Verdict.WARNING
        assert failures(await look(tmp_path, control, mode="paper")) == {"credentials"}


async def test_requests_that_are_used_up_fail(tmp_path: Path) -> None:
    async with hyperliquid_venue() as control:
        account = control.venue.exchange.accounts[control.users[0]]
        account.requests = 9_500
        assert the(await look(tmp_path, control, key=control.key()), "limits").verdict is Verdict.WARNING
        account.requests = 10_000
        assert failures(await look(tmp_path, control, key=control.key())) == {"limits"}


async def test_an_order_and_a_position_that_are_there_are_warned_of(tmp_path: Path) -> None:
    """Somebody's order, without an id of ours, and what was bought with it."""
    async with hyperliquid_venue() as control:
        clock = Clock()
        requests = Requests(Signer(control.key(), mainnet=False), clock.now_ns)
        rest = RestClient(control.url, now_ns=clock.now_ns, timeout_s=3.0, weight_per_minute=1000)
        # The first one takes, the second one rests, the third one rests on ETH, the fourth one takes there.
        eth = control.venue.exchange.by_coin["ETH"].number
        bought = ((0, "0.002", "61000"), (0, "0.003", "59000"), (eth, "0.1", "2900"), (eth, "0.1", "3100"))
        for coin, size, price in bought:
            order = actions.OrderWire(coin, True, price, size, False, actions.GTC)
            assert b'"error"' not in await rest.exchange(requests.signed(actions.Place([order])))
        await rest.close()
        control.venue.acted.clear()
        report = await look(tmp_path, control, key=control.key())
        assert report.ok
        elsewhere, here = found(report, "orders")
        assert here.text == "1 open order of somebody else on BTC"
        assert "on_foreign_order: ignore" in here.advice
        assert elsewhere.text == "open orders on ETH, in markets that are not ours"
        elsewhere, here = found(report, "position")
        assert (here.text, elsewhere.text) == ("+0.00200 BTC", "a position in ETH, in markets that are not ours")
        assert report.venues[0].markets[0].situation.position == "0.00200"


async def test_a_start_that_may_change_things_is_heard_by_the_venue(tmp_path: Path) -> None:
    """The log that proves the doctor's silence is not deaf."""
    async with hyperliquid_venue() as control:
        connector = hyperliquid_connector(control.url, lambda _event: None, key=control.key(), leverage=5)
        await connector.load_instruments()
        await connector._set_leverage()
        await connector.close()
        assert control.venue.acted == {"updateLeverage": 1}


async def spot_look(folder: Path, control: Control, symbol: str = "HYPE/USDC", **settings: Any) -> Report:
    """Of a spot pair."""
    venue = {"connector": "hyperliquid", "network": "testnet", "url": control.url, **settings}
    market = {"symbol": symbol, "order_size": 1, "min_position": 0, "max_spread_bps": 100}
    report = await examined(config_of(folder, venue, market, secrets={"private_key": control.key()}))
    assert control.venue.acted == {}, report.to_text()
    return report


async def test_spot_is_looked_at_by_its_balances(tmp_path: Path) -> None:
    """USDC and the base, spot's fees and grid, the base as the position, no leverage; perpetuals' money is not it."""
    async with hyperliquid_venue(coins=("BTC", "HYPE/USDC"), deposit=Decimal(0)) as control:
        report = await spot_look(tmp_path, control, leverage=5)
        assert report.ok, report.to_text()
        assert the(report, "balance").text == "100000.00 USDC in the spot balance, 0.00 of it held; 2000.0 HYPE"
        assert the(report, "margin").verdict is Verdict.NOT_APPLICABLE
        assert "maker 4 bps, taker 7 bps" in the(report, "fees").text
        assert "+2000.00 HYPE" in the(report, "position").text
        assert "tick 0.000001 and 5 significant figures, lot 0.01 HYPE" in the(report, "contract").text


async def test_spot_without_anything_to_trade_with_fails(tmp_path: Path) -> None:
    """Money of perpetuals does not help, unless the account is unified."""
    async with hyperliquid_venue(coins=("BTC", "@250"), spot_deposit=Decimal(0)) as control:
        report = await spot_look(tmp_path, control, "@250")
        assert failures(report) == {"balance"}
        assert "move it from perps to spot" in the(report, "balance").advice
    async with hyperliquid_venue(coins=("BTC", "@250"), unified=True) as control:
        report = await spot_look(tmp_path, control, "@250")
        assert report.ok, report.to_text()
        assert the(report, "balance").text.startswith("100000.00 USDC in the unifiedAccount balance")
