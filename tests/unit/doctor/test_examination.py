"""What `doctor` does whatever the venue: unreachable and silent ones, several at once, connectors that offer little."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from connectors.neutral.connector import NeutralConnector, NeutralSettings
from connectors.paper.connector import PaperConnector
from connectors.sim.connector import SimConnector, SimSettings
from connectors.simulators.faults import FaultKind
from mm_daemon import registry
from mm_daemon.cli.main import execute
from mm_daemon.doctor.findings import EXIT_FAILED, ORDER, in_order
from mm_daemon.domain.errors import VenueUnreachable
from mm_daemon.domain.instrument import Instrument
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.ports.examination import Check, Examined, Probe, Verdict, ok
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.venues import build_connectors, feed_of
from tests.doctoring import config_of, examined, failures, found, the, verdicts
from tests.neutral import SECRETS, neutral_venue
from tests.serving import Control
from tests.shared import ROOT

NOWHERE = "http://127.0.0.1:9"
MARKET = {"symbol": "BTC-USDT", "order_size": 0.01}


def neutral(url: str) -> dict[str, Any]:
    return {"connector": "neutral", "url": url}


async def acted(control: Control) -> dict[str, int]:
    async with control._session.get(f"{control.url}/control/acted") as reply:
        counts: dict[str, int] = await reply.json()
        return counts


async def test_the_neutral_venue_passes_and_hears_nothing(tmp_path: Path) -> None:
    async with neutral_venue() as control:
        report = await examined(config_of(tmp_path, neutral(control.url), MARKET, secrets=SECRETS))
        assert report.ok, report.to_text()
        assert report.to_text().splitlines()[0].endswith("would send REAL orders; nothing was sent now")
        assert verdicts(report, "credentials") == [Verdict.OK]
        assert "orders: 300 places and amends in 10 s" in the(report, "limits").text
        assert await acted(control) == {}
        names = [check.name for check in report.venues[0].checks]
        assert names == sorted(names, key=ORDER.index)


async def test_a_wrong_secret_is_refused(tmp_path: Path) -> None:
    async with neutral_venue() as control:
        secrets = {**SECRETS, "api_secret": "wrong-as-can-be"}
        report = await examined(config_of(tmp_path, neutral(control.url), MARKET, secrets=secrets))
        assert failures(report) == {"credentials"}
        assert "wrong-as-can-be" not in report.to_text() + report.to_json()


async def test_an_unreachable_venue_says_nothing_about_another(tmp_path: Path) -> None:
    """Both are looked at, side by side."""
    async with neutral_venue() as control:
        here = config_of(tmp_path, neutral(control.url), MARKET, secrets=SECRETS, name="here")
        away = config_of(tmp_path, neutral(NOWHERE), MARKET, secrets=SECRETS, name="away")
        both = msgspec.structs.replace(
            here, venues={**away.venues, **here.venues}, markets=(*away.markets, *here.markets)
        )
        report = await examined(both)
        assert not report.ok and [each.venue for each in report.venues] == ["away", "here"]
        (unreached,) = found(report, "connection", "away")
        assert unreached.verdict is Verdict.FAILED and "cannot be reached" in unreached.text
        assert [check.verdict for check in found(report, "quotes", "away")] == [Verdict.NOT_APPLICABLE]
        assert [check.verdict for check in found(report, "quotes", "here")] == [Verdict.OK]
        assert not [check for check in report.venues[1].checks if check.verdict is Verdict.FAILED]


async def test_a_venue_that_never_answers_ends_with_the_time_limit(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        config = config_of(tmp_path, neutral(f"http://127.0.0.1:{port}"), MARKET, secrets=SECRETS)
        async with asyncio.timeout(5):
            report = await examined(config, timeout_s=0.2)
        assert failures(report) == {"connection"}
        assert "no answer within 0.2 s" in the(report, "connection").text


async def test_a_stream_that_never_speaks_is_a_book_that_does_not_come(tmp_path: Path) -> None:
    """REST works, and no snapshot of the book is ever answered."""
    async with neutral_venue() as control:
        await control.fault(FaultKind.SERVER_ERROR, on="/v1/book", times=10_000)
        config = config_of(tmp_path, neutral(control.url), MARKET, secrets=SECRETS)
        report = await examined(config, timeout_s=0.5)
        assert failures(report) == {"book"}
        assert "no book that can be trusted within 0.5 s" in the(report, "book").text


async def test_an_order_of_somebody_else_stays_where_it_is(tmp_path: Path) -> None:
    """Ours by its id, and of a daemon that runs or ran: it is said, and not cancelled."""
    async with neutral_venue() as control:
        context = _context("neutral", ("BTC-USDT",), SECRETS)
        client = NeutralConnector(context, NeutralSettings(url=control.url))
        await client.load_instruments()
        order = {"client_id": 7, "symbol": "BTC-USDT", "side": "buy", "price": "50000.0", "size": "0.0100"}
        body = {"orders": [{**order, "post_only": True, "reduce_only": False, "time_in_force": "gtc"}]}
        await client._rest.post("/v1/place", msgspec.json.encode(body))
        await client.close()
        before = await acted(control)
        report = await examined(config_of(tmp_path, neutral(control.url), MARKET, secrets=SECRETS))
        assert report.ok and the(report, "orders").verdict is Verdict.WARNING
        assert the(report, "orders").text.startswith("1 open order of ours")
        assert await acted(control) == before


@pytest.mark.parametrize("mode", ["paper", "live"])
async def test_the_embedded_market_has_no_account(tmp_path: Path, mode: str) -> None:
    report = await examined(config_of(tmp_path, {"connector": "sim"}, MARKET, mode=mode))
    assert report.ok, report.to_text()
    assert verdicts(report, "credentials") == verdicts(report, "dead_man") == [Verdict.NOT_APPLICABLE]
    assert the(report, "quotes").text.startswith("would quote bid 0.0100 at ")
    assert not (tmp_path / "state").exists()


async def test_a_recording_is_left_to_explain(tmp_path: Path) -> None:
    from mm_daemon.config.load import load

    config = load(ROOT / "deploy/examples/recorded-binance-usdm.yaml", settings_of=registry.settings_of, environ={})
    report = await examined(config)
    assert report.ok, report.to_text()
    assert all("explain" in check.text for check in found(report, "quotes"))


async def test_without_a_key_paper_is_fine_and_live_is_not(tmp_path: Path) -> None:
    from tests.hyperliquid import hyperliquid_venue

    async with hyperliquid_venue() as control:
        venue = {"connector": "hyperliquid", "network": "testnet", "url": control.url}
        market = {"symbol": "BTC", "order_size": 0.001}
        report = await examined(config_of(tmp_path, venue, market, mode="paper"))
        assert report.ok and verdicts(report, "credentials") == [Verdict.NOT_APPLICABLE]
        assert "a new account's" in the(report, "fees").text
        live = config_of(tmp_path, venue, market)
        assert failures(await examined(live)) == {"credentials"}
        assert (await examined(live, paper=True)).ok


# Connectors outside the tree


def _context(venue: str, symbols: tuple[str, ...], secrets: dict[str, str]) -> ConnectorContext:
    clock = Clock()
    return ConnectorContext(
        venue=venue,  # type: ignore[arg-type]
        symbols=symbols,
        emit=lambda _event: None,
        now_ns=clock.now_ns,
        delay_s=clock.delay_s,
        secrets=secrets,
    )


class Plain(SimConnector):
    """A connector that offers no examination and says that it is a real venue's."""

    Settings: ClassVar[type[msgspec.Struct]] = SimSettings
    built: ClassVar[list[ConnectorContext]] = []

    def __init__(self, context: ConnectorContext, settings: SimSettings | None = None) -> None:
        super().__init__(context, settings)
        self.built.append(context)
        self.capabilities = msgspec.structs.replace(self.capabilities, simulated=False)


class Talkative(Plain):
    """One that has questions of its own: one finds a secret in an error, one never ends."""

    def probes(self) -> Sequence[Probe]:
        return [Probe("credentials", self._tell), Probe("tier", self._hang), Probe("agent", self._fail)]

    async def _tell(self) -> Sequence[Check]:
        return [ok("credentials", f"signed with {self._context.secrets['api_secret']}")]

    async def _hang(self) -> Sequence[Check]:
        await asyncio.Event().wait()
        return []

    async def _fail(self) -> Sequence[Check]:
        raise VenueUnreachable("the weather is bad")


def only(connector: type[Connector]) -> Callable[[str], type[Connector]]:
    return lambda _name: connector


async def test_a_connector_without_an_examination_is_never_given_its_key(tmp_path: Path) -> None:
    """What it does with one at its start, nobody knows; its market is looked at all the same."""
    config = config_of(tmp_path, {"connector": "sim"}, MARKET, secrets=SECRETS)
    Plain.built.clear()
    report = await examined(config, connector_named=only(Plain))
    (context,) = Plain.built
    assert dict(context.secrets) == {} and context.read_only
    assert report.ok and verdicts(report, "quotes") == [Verdict.OK]
    assert verdicts(report, "orders") == verdicts(report, "credentials") == [Verdict.NOT_APPLICABLE]
    assert verdicts(report, "dead_man") == [Verdict.WARNING]


async def test_a_connector_that_wants_its_key_without_an_examination_is_said_to(tmp_path: Path) -> None:
    class Secretive(NeutralConnector):
        probes = None  # type: ignore[assignment]

    assert not issubclass(Plain, Examined)
    config = config_of(tmp_path, neutral(NOWHERE), MARKET, secrets=SECRETS)
    report = await examined(config, connector_named=only(Secretive))
    assert report.ok and verdicts(report, "credentials") == [Verdict.WARNING]
    assert "offer `Examined`" in the(report, "credentials").advice


async def test_probes_are_asked_one_by_one_each_for_its_time_and_no_secret_is_shown(tmp_path: Path) -> None:
    config = config_of(tmp_path, {"connector": "sim"}, MARKET, secrets=SECRETS)
    report = await examined(config, connector_named=only(Talkative), timeout_s=0.3)
    assert failures(report) == {"tier", "agent"}
    assert the(report, "credentials").text == "signed with ***"
    assert "no answer within 0.3 s" in the(report, "tier").text
    assert "the weather is bad" in the(report, "agent").text
    assert verdicts(report, "quotes") == [Verdict.OK]


async def test_a_market_that_the_venue_has_closed_fails(tmp_path: Path) -> None:
    class Closed(Plain):
        async def load_instruments(self) -> Sequence[Instrument]:
            return [msgspec.structs.replace(each, tradable=False) for each in self.instruments()]

    report = await examined(config_of(tmp_path, {"connector": "sim"}, MARKET), connector_named=only(Closed))
    assert "contract" in failures(report) and "does not trade it now" in the(report, "contract").text


async def test_fees_that_quotes_are_not_priced_for_are_a_warning(tmp_path: Path) -> None:
    market = {**MARKET, "fees_in_model": False, "k": 5, "min_spread_bps": 0}
    report = await examined(config_of(tmp_path, {"connector": "sim"}, market, mode="paper"))
    assert verdicts(report, "fees") == [Verdict.WARNING]


def test_what_is_not_in_the_order_of_the_report_comes_last() -> None:
    checks = [ok("own", ""), ok("quotes", "b"), ok("clock", ""), ok("quotes", "a")]
    assert [check.text + check.name for check in in_order(checks)] == ["clock", "bquotes", "aquotes", "own"]


def test_paper_changes_nothing_at_the_venue_either(tmp_path: Path) -> None:
    """Its connector is told so: no leverage is set for orders that never leave."""
    seen: list[ConnectorContext] = []

    class Watched(Plain):
        def __init__(self, context: ConnectorContext, settings: SimSettings | None = None) -> None:
            super().__init__(context, settings)
            seen.append(context)

    config = config_of(tmp_path, {"connector": "sim"}, MARKET)
    for paper in (True, False):
        made = build_connectors(
            config,
            paper=paper,
            emit=lambda _event: None,
            clock=Clock(),
            state_dir=tmp_path,
            connector_named=lambda name: PaperConnector if name == "paper" else Watched,
            report=lambda _venue, _kind, text: pytest.fail(text),
        )
        assert all(isinstance(feed_of(each), Watched) for each in made.values())
    assert [context.read_only for context in seen] == [True, False]


def test_the_exit_code_is_none_of_a_runs() -> None:
    """A supervisor that knows the codes of `run` never takes it for one."""
    from mm_daemon.domain import errors

    used = {each.exit_code for each in vars(errors).values() if hasattr(each, "exit_code")} | {80, 81, 130}
    assert EXIT_FAILED not in used


def test_the_verb_ends_with_nought_on_the_first_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `init` writes it; an option that is no time says which one."""
    monkeypatch.chdir(tmp_path)
    assert execute(["init"]) == 0
    assert execute(["doctor", "--watch", "10ms", "--json"]) == 0
    report = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    assert (report["ok"], report["mode"], len(report["venues"][0]["markets"])) == (True, "paper", 2)
    assert execute(["doctor", "--watch", "never"]) == 64
    assert capsys.readouterr().err.startswith("--watch never: not a duration")
