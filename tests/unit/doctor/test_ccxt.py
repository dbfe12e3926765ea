"""`doctor` through ccxt at the simulated Binance USD-M, over sockets; and what other exchanges say of a key."""

from pathlib import Path
from typing import Any

import pytest

from connectors.ccxt.doctor import Examination, of_bybit, of_okx
from connectors.ccxt.position_mode import WORDS
from connectors.ccxt.settings import PositionMode
from connectors.simulators.faults import FaultKind
from mm_daemon.doctor.findings import Report
from mm_daemon.ports.examination import Check, Verdict
from tests.binance_usdm import SECRETS, SYMBOL, binance_venue, ccxt_client, ccxt_connector
from tests.doctoring import config_of, examined, failures, the
from tests.serving import Control
from tests.unit.connectors.ccxt.offline import Offline


async def acted(control: Control) -> dict[str, int]:
    async with control._session.get(f"{control.url}/control/acted") as reply:
        counts: dict[str, int] = await reply.json()
        return counts


async def look(
    folder: Path, control: Control, *, secrets: dict[str, str] | None = None, size: float = 0.01, **settings: Any
) -> Report:
    """Nothing but GET is sent."""
    before = await acted(control)
    venue = {"connector": "ccxt", "exchange": "binanceusdm", "url": control.url, "market_data": "native", **settings}
    market = {"symbol": SYMBOL, "order_size": size}
    report = await examined(config_of(folder, venue, market, secrets=SECRETS if secrets is None else secrets))
    assert await acted(control) == before, report.to_text()
    return report


@pytest.mark.parametrize("market_data", ["native", "ccxt"])
async def test_a_healthy_account_passes(tmp_path: Path, market_data: str) -> None:
    """Leverage is named and not set, and no listen key is asked for."""
    async with binance_venue() as control:
        report = await look(tmp_path, control, market_data=market_data, leverage=5)
        assert report.ok, report.to_text()
        assert the(report, "credentials").verdict is the(report, "permissions").verdict is Verdict.OK
        assert the(report, "balance").text == "10000 USDT, 10000 free"
        assert "leverage 20, cross margin; a start sets leverage 5" in the(report, "margin").text
        assert "weight: 2400 in 60 s, " in the(report, "limits").text and "used" in the(report, "limits").text
        assert "after 30 s of silence; the venue's shortest is 1 s" in the(report, "dead_man").text
        assert the(report, "quotes").text.startswith("would quote bid 0.0100 at ")
        assert SECRETS["api_secret"] not in report.to_text() + report.to_json()


async def test_a_wrong_secret_is_refused(tmp_path: Path) -> None:
    async with binance_venue() as control:
        report = await look(tmp_path, control, secrets={**SECRETS, "api_secret": "not-the-secret"})
        assert failures(report) == {"credentials"}
        assert "-1022" in the(report, "credentials").text
        assert "not-the-secret" not in report.to_text()


@pytest.mark.parametrize("mode", ["one_way", "two_way"])
async def test_another_position_mode_fails_unless_a_start_switches_it(tmp_path: Path, mode: str) -> None:
    async with binance_venue(hedge_mode=mode == "one_way") as control:
        assert failures(await look(tmp_path, control, position_mode=mode)) == {"position_mode"}
        switched = await look(tmp_path, control, position_mode=mode, set_position_mode=True)
        assert switched.ok and "a start switches it" in the(switched, "position_mode").text
    async with binance_venue(hedge_mode=mode == "two_way") as control:
        report = await look(tmp_path, control, position_mode=mode)
        assert report.ok and the(report, "position_mode").text == WORDS[PositionMode(mode)]


async def test_an_order_below_the_venues_minimum_fails(tmp_path: Path) -> None:
    """One lot at least, which here is worth more than the least notional."""
    async with binance_venue() as control:
        assert failures(await look(tmp_path, control, size=0.00001)) == {"size"}


async def test_a_clock_that_is_off_fails(tmp_path: Path) -> None:
    """The questions are still answered, because they bear the venue's time."""
    async with binance_venue() as control:
        await control.fault(FaultKind.CLOCK_STEP, ms=30_000)
        report = await look(tmp_path, control)
        assert failures(report) == {"clock"}, report.to_text()


async def test_an_order_of_somebody_else_is_warned_of(tmp_path: Path) -> None:
    """Made by hand at the exchange's site."""
    async with binance_venue() as control:
        client = ccxt_client(control.url)
        await client.load_markets()
        await client.create_order("BTC/USDT:USDT", "limit", "buy", 0.01, 50_000, {"clientOrderId": "web_by_hand"})
        await client.close()
        report = await look(tmp_path, control)
        assert report.ok and the(report, "orders").text == f"1 open order of somebody else on {SYMBOL}"


async def test_a_start_that_may_change_things_is_heard_by_the_venue() -> None:
    """The log that proves the doctor's silence is not deaf."""
    async with binance_venue() as control:
        connector = ccxt_connector(control.url, lambda _event: None, leverage=5)
        await connector.load_instruments()
        await connector.close()
        assert await acted(control) == {"POST /fapi/v1/leverage": 1}


# What exchanges that are not here would say of a key, as they document it


def only(checks: list[Check]) -> list[Verdict]:
    return [check.verdict for check in checks]


def test_okx_says_what_a_key_may_do() -> None:
    def answer(perm: str, **more: str) -> dict[str, Any]:
        return {"code": "0", "data": [{"acctLv": "2", "perm": perm, "ip": "10.0.0.1", **more}]}

    assert only(of_okx(answer("read_only,trade"))) == [Verdict.OK]
    assert only(of_okx(answer("read_only,withdraw,trade"))) == [Verdict.WARNING]
    assert only(of_okx(answer("read_only"))) == [Verdict.FAILED]
    assert only(of_okx(answer("trade", ip=""))) == [Verdict.OK, Verdict.WARNING]
    assert only(of_okx(answer("trade", acctLv="1"))) == [Verdict.OK, Verdict.FAILED]
    assert only(of_okx({"code": "1"}))[0] is Verdict.FAILED


def test_bybit_says_what_a_key_may_do() -> None:
    def answer(read_only: int, **permissions: list[str]) -> dict[str, Any]:
        return {"result": {"readOnly": read_only, "permissions": permissions, "expiredAt": "2027-01-01T00:00:00Z"}}

    assert only(of_bybit(answer(0, ContractTrade=["Order", "Position"]))) == [Verdict.OK, Verdict.OK]
    assert only(of_bybit(answer(0, ContractTrade=["Order"], Wallet=["Withdraw"])))[0] is Verdict.WARNING
    assert only(of_bybit(answer(1, ContractTrade=["Order"])))[0] is Verdict.FAILED
    assert only(of_bybit({"retCode": 10003})) == []


# What would be asked of them, through ccxt with the network cut off


async def asked(exchange: str, probe: str, *answers: Any) -> tuple[list[Check], list[str]]:
    """What one of our questions makes of an exchange's answers, and the paths that were read: nothing but GET."""
    offline = await Offline(exchange).load()
    examination = Examination(
        offline.requests,
        offline.settings,
        offline.dialect,
        [offline.contract],
        offline.limits,
        with_key=True,
        stream=None,
    )
    for answer in answers:
        offline.answer(answer)
    (wanted,) = [each for each in examination.probes() if each.name == probe]
    checks = list(await wanted.ask())
    await offline.close()
    assert {method for method, _, _ in offline.sent} <= {"GET"}
    return checks, [path.partition("?")[0] for _, path, _ in offline.sent]


async def test_kucoins_balance_is_asked_for_the_currency_of_the_contract() -> None:
    told = {"currency": "USDT", "accountEquity": "120.5", "availableBalance": "100"}
    checks, paths = await asked("kucoinfutures", "balance", {"code": "200000", "data": told})
    assert [check.text for check in checks] == ["120.5 USDT, 100 free"]
    assert paths == ["/api/v1/account-overview"]


async def test_kucoins_leverage_is_that_of_its_orders() -> None:
    checks, paths = await asked("kucoinfutures", "margin")
    assert [check.text for check in checks] == ["each order carries leverage 3"] and paths == []


async def test_what_a_key_may_do_is_asked_of_okx_and_bybit_and_of_nobody_else() -> None:
    answer = {"code": "0", "data": [{"acctLv": "2", "perm": "read_only,trade", "ip": "10.0.0.1"}], "msg": ""}
    checks, paths = await asked("okx", "permissions", answer)
    assert only(checks) == [Verdict.OK] and paths == ["/api/v5/account/config"]
    row = {"readOnly": 0, "permissions": {"ContractTrade": ["Order", "Position"]}}
    checks, paths = await asked("bybit", "permissions", {"retCode": 0, "retMsg": "OK", "result": row})
    assert only(checks) == [Verdict.OK] and paths == ["/v5/user/query-api"]
    checks, paths = await asked("kucoinfutures", "permissions")
    assert only(checks) == [Verdict.NOT_APPLICABLE] and paths == []


async def test_leverage_that_an_exchange_does_not_tell_is_no_failure() -> None:
    checks, _ = await asked("okx", "margin", {"code": "51001", "data": [], "msg": "Instrument ID does not exist"})
    assert only(checks) == [Verdict.OK] and "does not tell" in checks[0].text and "sets leverage 3" in checks[0].text
