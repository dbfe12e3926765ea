"""`doctor` at the simulated Lighter, over sockets: what it finds, and that it sends no transaction whatever it finds.

The signer is Python's, through the connector's own opening for one: everything else is what `run` uses.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from connectors.lighter import transactions as tx
from connectors.lighter.connector import LighterConnector
from connectors.lighter.settings import LighterSettings
from connectors.simulators.faults import FaultKind
from connectors.simulators.lighter.server import private_key
from connectors.simulators.lighter.settings import Tier
from mm_daemon import registry
from mm_daemon.doctor.findings import Report
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.ports.examination import Verdict
from tests.doctoring import config_of, examined, failures, found, the
from tests.lighter import ACCOUNT, KEY_INDEX, Control, PythonSigner, lighter_connector, lighter_venue


def signing_with(control: Control, secrets: Mapping[int, int]) -> Callable[[str], Callable[..., Connector]]:
    """The registry, whose Lighter connector signs in Python."""

    class PythonSigned(LighterConnector):
        Settings: ClassVar[type[msgspec.Struct]] = LighterSettings

        def __init__(self, context: ConnectorContext, settings: LighterSettings) -> None:
            super().__init__(context, settings, lambda _settings, _secrets: PythonSigner(secrets, control.clock.now_ns))

    return lambda name: PythonSigned if name == "lighter" else registry.connector(name)


async def look(
    folder: Path, control: Control, *, secrets: Mapping[int, int] | None = None, size: float = 0.01, **settings: Any
) -> Report:
    known = control.venue.secrets if secrets is None else secrets
    venue = {"connector": "lighter", "network": "testnet", "url": control.url, "account": ACCOUNT}
    venue |= {"api_keys": [4, KEY_INDEX], "tier": "premium", **settings}
    config = config_of(
        folder,
        venue,
        {"symbol": "ETH", "order_size": size},
        secrets={f"api_key_{index}": private_key(secret) for index, secret in known.items()},
    )
    report = await examined(config, clock=control.clock, connector_named=signing_with(control, known))
    assert control.venue.acted == {}, report.to_text()
    return report


async def test_a_healthy_account_passes(tmp_path: Path) -> None:
    """Leverage is named and not set; no key is in any line."""
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        report = await look(tmp_path, control, leverage=5)
        assert report.ok, report.to_text()
        assert "has our API keys 4, 5 with this public key" in the(report, "credentials").text
        assert the(report, "tier").text.startswith("the account is premium")
        assert "of collateral" in the(report, "balance").text
        assert "sets 5x cross" in the(report, "margin").text
        assert "after 600 s of silence; its shortest is 300 s" in the(report, "dead_man").text
        assert the(report, "clock").verdict is Verdict.OK
        assert the(report, "quotes").text.startswith("would quote bid 0.010 at ")
        shown = report.to_text() + report.to_json()
        assert not any(private_key(secret) in shown for secret in control.venue.secrets.values())


async def test_a_key_that_is_not_the_venues_fails(tmp_path: Path) -> None:
    """The index is registered, with another public key: found by a read, before anything is signed in earnest."""
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        wrong = {**control.venue.secrets, KEY_INDEX: control.venue.secrets[KEY_INDEX] + 1}
        report = await look(tmp_path, control, secrets=wrong)
        assert failures(report) == {"credentials"}
        ok, bad = found(report, "credentials")
        assert "our API key 4 with" in ok.text and "secrets.api_key_5" in bad.text


async def test_a_key_index_that_is_not_registered_fails(tmp_path: Path) -> None:
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        known = {**control.venue.secrets, 77: 1234}
        report = await look(tmp_path, control, secrets=known, api_keys=[4, 77])
        assert failures(report) == {"credentials"}
        assert any("has no key 77" in check.text for check in found(report, "credentials"))


async def test_a_tier_that_is_not_the_accounts_fails(tmp_path: Path) -> None:
    """Faster than the account may go; slower is only a warning."""
    async with lighter_venue(tier=Tier.STANDARD) as control:
        report = await look(tmp_path, control)
        assert failures(report) == {"tier"} and the(report, "tier").advice.startswith("write tier: standard")
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        report = await look(tmp_path, control, tier="standard")
        assert report.ok and the(report, "tier").verdict is Verdict.WARNING


async def test_a_clock_that_is_off_fails(tmp_path: Path) -> None:
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        await control.fault(FaultKind.CLOCK_STEP, ms=30_000)
        assert "clock" in failures(await look(tmp_path, control))


async def test_an_order_below_the_venues_minimum_fails(tmp_path: Path) -> None:
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        report = await look(tmp_path, control, size=0.001)
        assert failures(report) == {"size"}, report.to_text()


async def test_an_order_of_somebody_else_is_warned_of(tmp_path: Path) -> None:
    """Placed with the same account and without a client index."""
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        expiry_ms = control.clock.now_ns() // 1_000_000 + 3_600_000
        order = tx.CreateOrder(market=0, client_index=1, base=50, price=290_000, ask=False, expiry_ms=expiry_ms)
        signed = control.signer.signed(order, 0, KEY_INDEX)
        info = msgspec.json.decode(signed.tx_info) | {"ClientOrderIndex": 0}
        assert (await control.send(control.signer.signed_info(14, info, KEY_INDEX)))["code"] == 200
        control.venue.acted.clear()
        report = await look(tmp_path, control)
        assert report.ok and the(report, "orders").text == "1 open order of somebody else on ETH"


async def test_a_start_that_may_change_things_is_heard_by_the_venue(tmp_path: Path) -> None:
    """The log that proves the doctor's silence is not deaf."""
    async with lighter_venue(tier=Tier.PREMIUM) as control:
        connector = lighter_connector(control, lambda _event: None, leverage=5)
        await connector.load_instruments()
        await connector.close()
        assert control.venue.acted == {"sendTx 20": 1}
