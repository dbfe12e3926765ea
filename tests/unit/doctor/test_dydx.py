"""`doctor` at the simulated dYdX, over sockets: what it finds, and that it broadcasts nothing whatever it finds."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

from connectors.dydx import tx
from connectors.dydx.doctor import _names
from connectors.dydx.keys import Signer
from connectors.simulators.faults import FaultKind
from mm_daemon.doctor.findings import Report
from mm_daemon.domain.orders import Side
from mm_daemon.ports.examination import Verdict
from tests.doctoring import config_of, examined, failures, found, the
from tests.dydx import Control, dydx_connector, dydx_venue
from tests.shared import shared_file

TRADER = Signer(bytes([7] * 32))
NOWHERE = "http://127.0.0.1:9"


async def look(
    folder: Path, control: Control, *, key: str | None = None, size: float = 0.001, **settings: Any
) -> Report:
    venue = {"connector": "dydx", "network": "local", "indexer": control.url, "nodes": [control.url], **settings}
    config = config_of(
        folder,
        venue,
        {"symbol": "BTC-USD", "order_size": size},
        secrets={"private_key": control.key() if key is None else key},
    )
    report = await examined(config)
    assert control.venue.acted == {}, report.to_text()
    return report


async def by_hand(control: Control, market: int, quantums: int, *, take: bool) -> None:
    """Buy on one of the venue's markets as its web site does: at any price, or a few ticks below the best bid."""
    chain = control.venue.chain
    signer, book = Signer(chain.keys[0]), chain.markets[market].book
    orders = tx.ShortTermOrders(tx.Subaccount(signer.address), market)
    builder = tx.TxBuilder(signer, chain_id="localdydxprotocol", account_number=73)
    ticks = book.best(Side.SELL) + 50 if take else book.best(Side.BUY) - 9
    tif = tx.OrderTif.IOC if take else tx.OrderTif.POST_ONLY
    message = orders.place(1, 1, quantums, ticks * 100_000, chain.next_height + 18, tif, False, 0)
    assert chain.broadcast(builder.raw(message), chain.block_ns).code == 0


async def test_a_healthy_account_passes(tmp_path: Path) -> None:
    async with dydx_venue() as control:
        report = await look(tmp_path, control)
        assert report.ok, report.to_text()
        assert control.address in the(report, "credentials").text
        assert the(report, "credentials").verdict is Verdict.WARNING  # the owner's key can withdraw
        assert the(report, "balance").text.startswith("100000.00 USDC of equity, 100000.00 free")
        assert "each order ends by itself" in the(report, "dead_man").text
        assert "order_blocks: 16" in the(report, "dead_man").text
        assert "maker 1 bps, taker 5 bps, this account's" in the(report, "fees").text
        assert the(report, "lag").verdict is the(report, "nodes").verdict is Verdict.OK
        assert the(report, "quotes").text.startswith("would quote bid 0.0010 at ")
        assert control.key() not in report.to_text() + report.to_json()


async def test_a_mistyped_key_is_an_account_that_does_not_exist(tmp_path: Path) -> None:
    async with dydx_venue() as control:
        report = await look(tmp_path, control, key="05" * 32)
        assert failures(report) == {"credentials", "balance"}
        assert "does not exist on localdydxprotocol" in the(report, "credentials").text


async def test_a_permissioned_key_is_looked_up_among_the_owners_authenticators(tmp_path: Path) -> None:
    """The right one; one of another key; one that is not there."""
    async with dydx_venue() as control:
        body = {"owner": control.address, "pairs": [0], "subaccounts": [0]}
        other = (await control.post("permit", {**body, "public_key": Signer(b"\x09" * 32).public_key.hex()}))["id"]
        mine = (await control.post("permit", {**body, "public_key": TRADER.public_key.hex()}))["id"]
        keys: dict[str, Any] = {"key": "07" * 32, "owner": control.address}
        report = await look(tmp_path, control, **keys, authenticator=mine)
        assert report.ok and the(report, "credentials").verdict is Verdict.OK
        assert f"under authenticator {mine}" in the(report, "credentials").text
        report = await look(tmp_path, control, **keys, authenticator=other)
        assert failures(report) == {"credentials"}
        assert the(report, "credentials").advice == f"write authenticator: {mine}, which is for this key"
        report = await look(tmp_path, control, **keys, authenticator=77)
        assert "has no authenticator 77" in the(report, "credentials").text


def test_the_key_is_found_in_the_vectors_authenticator() -> None:
    """As the official client registers it: a set inside of a set, in base64 inside of base64."""
    path = shared_file("venues/dydx/vectors/authenticators.json")
    (vector,) = json.loads(path.read_text("utf-8"))["vectors"]
    key = bytes.fromhex(vector["trader_public_key_hex"])
    config = base64.b64encode(vector["msg_add_authenticator_data_utf8"].encode()).decode()
    capitals = vector["msg_add_authenticator_data_utf8"].replace('"type"', '"Type"').replace('"config"', '"Config"')
    assert _names(vector["authenticator_type"], config, key)
    assert _names("AllOf", base64.b64encode(capitals.encode()).decode(), key)
    assert not _names("AllOf", config, TRADER.public_key)
    assert not _names("MessageFilter", config, key)
    assert not _names("AllOf", "no base64!", key) and not _names("AllOf", base64.b64encode(b"[7]").decode(), key)


async def test_a_subaccount_without_money_fails(tmp_path: Path) -> None:
    async with dydx_venue() as control:
        report = await look(tmp_path, control, subaccount=5)
        assert failures(report) == {"balance"} and "was never funded" in the(report, "balance").text


async def test_an_indexer_that_is_behind_fails(tmp_path: Path) -> None:
    """Its books are of the past."""
    async with dydx_venue(indexer_lag_ms=2000) as control:
        report = await look(tmp_path, control, max_lag_blocks=5)
        assert "lag" in failures(report), report.to_text()


async def test_a_node_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """The others still carry the day."""
    async with dydx_venue() as control:
        report = await look(tmp_path, control, nodes=[control.url, NOWHERE], node_rest=control.url)
        assert report.ok
        assert [check.verdict for check in found(report, "nodes")] == [Verdict.WARNING, Verdict.OK]
        assert found(report, "nodes")[0].text.startswith(NOWHERE)


async def test_a_clock_that_is_off_fails(tmp_path: Path) -> None:
    async with dydx_venue() as control:
        await control.fault(FaultKind.CLOCK_STEP, ms=-20_000)
        assert "clock" in failures(await look(tmp_path, control))


async def test_a_size_below_one_step_fails(tmp_path: Path) -> None:
    async with dydx_venue() as control:
        report = await look(tmp_path, control, size=0.00001)
        assert failures(report) == {"size"}


async def test_a_limit_above_the_chains_is_a_warning(tmp_path: Path) -> None:
    async with dydx_venue(short_term_per_5_blocks=400) as control:
        report = await look(tmp_path, control)
        assert the(report, "limits").verdict is Verdict.WARNING
        assert the(report, "limits").advice == "write actions_per_5_blocks: 400"


async def test_stateful_quotes_have_limits_of_their_own(tmp_path: Path) -> None:
    """What the chain takes a block, how many the account's money allows, and that nothing ends them with us."""
    async with dydx_venue(stateful_per_100_blocks=10) as control:
        report = await look(tmp_path, control, orders="stateful", stateful_ttl_s=900)
        assert report.ok, report.to_text()
        _, block, many = found(report, "limits")
        assert block.text == "chain: 2 stateful places in 1 block of the 2 it takes"
        assert (many.verdict, many.advice) == (Verdict.WARNING, "write stateful_per_100_blocks: 10")
        assert the(report, "tier").text == "100000.00 USDC allow 200 open stateful orders"
        dead_man = the(report, "dead_man")
        assert dead_man.verdict is Verdict.WARNING and dead_man.text.endswith("at most 900 s each")
    async with dydx_venue(deposit=19) as control:
        report = await look(tmp_path, control, orders="stateful")
        assert failures(report) == {"tier"}
        assert the(report, "tier").text == "19.00 USDC allow 0 open stateful orders"


async def test_an_order_of_somebody_else_is_warned_of(tmp_path: Path) -> None:
    """As the web site makes them."""
    async with dydx_venue() as control:
        await by_hand(control, 0, 10**7, take=False)
        report = await look(tmp_path, control)
        assert report.ok and the(report, "orders").text == "1 open order of somebody else on BTC-USD"


async def test_a_position_elsewhere_is_warned_of(tmp_path: Path) -> None:
    """It shares the margin."""
    async with dydx_venue() as control:
        await by_hand(control, 1, 10**9, take=True)
        path = f"/v4/addresses/{control.address}/subaccountNumber/0"
        async with asyncio.timeout(5):
            while not (await control.get(path))[1]["subaccount"]["openPerpetualPositions"]:  # noqa: ASYNC110 - asked, never told
                await asyncio.sleep(0.05)
        report = await look(tmp_path, control)
        assert report.ok
        assert "a position in ETH-USD, in markets that are not ours" in [
            check.text for check in found(report, "position")
        ]


async def test_a_country_that_is_shut_out_is_said(tmp_path: Path) -> None:
    """In the venue's own word for it."""
    async with dydx_venue(geoblocked=True) as control:
        report = await look(tmp_path, control)
        assert failures(report) == {"connection"}
        assert "403" in the(report, "connection").text and "GEOBLOCKED" in the(report, "connection").text
        assert "lets this country in" in the(report, "connection").advice


async def test_a_start_that_may_change_things_is_heard_by_the_venue(tmp_path: Path) -> None:
    """The log that proves the doctor's silence is not deaf: `run` begins with a cancel of nothing."""
    async with dydx_venue() as control:
        connector = dydx_connector(control.url, lambda _event: None, key=control.key())
        await connector.load_instruments()
        await connector.close()
        assert control.venue.acted == {"/broadcast_tx_sync": 1}
