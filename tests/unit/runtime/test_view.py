"""Status, metrics and journal of one run say the same; the loopback address and the screen's log behave."""

import asyncio
import io
import os
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mm_daemon import registry
from mm_daemon.config.load import loads
from mm_daemon.core.parameters import CoreParameters
from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.checkpoint import PositionBooked, PositionState
from mm_daemon.domain.codec import Decided
from mm_daemon.domain.decisions import AmendOrder, ApprovedCommand, CancelOrder, DecisionsChanged, PlaceOrder, Refusal
from mm_daemon.domain.events import Event, OrderFilled, RunStarted
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.money import ATTO, from_pair, to_text
from mm_daemon.journal.run_reader import open_journal
from mm_daemon.observability.recent import Line
from mm_daemon.observability.records import Records
from mm_daemon.observability.status import Status
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.screen import LOG_NAME, RunLog
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual

TEXT = """
version: 1
state_dir: {state_dir}
http: {{port: null}}
venues:
  sim: {{connector: sim}}
markets:
  - {{venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05, k: 3, fill_lockout_ms: 200}}
  - {{venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 0.5, k: 3, fill_lockout_ms: 200}}
"""


class Journaled:
    """What a run's journal says, and the core that lives it again."""

    def __init__(self, folder: Path) -> None:
        self.decisions: Counter[tuple[str, str, str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.submitted: Counter[tuple[str, str]] = Counter()
        self.cancels: Counter[tuple[str, str]] = Counter()
        self.fill_keys: dict[str, set[str]] = {}
        self.positions: dict[str, PositionState] = {}
        self.core: TradingCore | None = None
        with open_journal(folder) as reader:
            for frame in reader:
                for record in frame.records:
                    self._take(record)

    def _take(self, record: object) -> None:
        if isinstance(record, RunStarted):
            self.core = TradingCore(CoreParameters.from_json(record.parameters), record.resumed)
        elif isinstance(record, Decided):
            assert self.core is not None
            self.core.decide(record.now_ns)
        elif isinstance(record, DecisionsChanged):
            for decision in record.decisions:
                key = record.instrument, decision.side.word, decision.action.lower(), decision.reasons[0].value
                self.decisions[key] += 1
        elif isinstance(record, Refusal):
            self.refusals[record.code.value] += 1
        elif isinstance(record, PositionBooked):
            self.positions[record.instrument] = record.state
        elif isinstance(record, ApprovedCommand):
            self._released(record)
        elif isinstance(record, Event):
            if isinstance(record, OrderFilled):
                self.fill_keys.setdefault(record.instrument, set()).add(record.fill_key)
            assert self.core is not None
            self.core.apply(record)

    def _released(self, approved: ApprovedCommand) -> None:
        command = approved.command
        if isinstance(command, PlaceOrder):
            self.submitted[command.instrument, command.side.word] += 1
        elif isinstance(command, CancelOrder):
            self.cancels[command.instrument, command.reasons[0].value] += 1


def test_status_metrics_and_journal_say_the_same(tmp_path: Path) -> None:
    """A virtual minute that trades: positions and every part of the P&L agree to the last unit, and so do fills,
    decisions, orders and refusals."""
    config = loads(
        TEXT.format(state_dir=tmp_path), "c.yaml", settings_of=registry.settings_of, environ=os.environ, seed=7
    )
    seen: list[tuple[Status, str]] = []

    async def main(loop: VirtualLoop) -> int:
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        daemon = Daemon(config, paper=True, duration_s=60.0, clock=clock, log_to=io.StringIO())
        code = await daemon.run()
        status = msgspec.json.decode(msgspec.json.encode(daemon.view.status()), type=Status)
        seen.append((status, daemon.view.metrics.text_at_once().decode()))
        return code

    assert run_virtual(main) == 0
    ((status, text),) = seen
    (folder,) = (tmp_path / "journal").iterdir()
    journaled = Journaled(folder)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def metric(name: str, **labels: str) -> float:
        return sum(
            sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()
        )

    assert journaled.core is not None
    for market in status.markets:
        instrument = InstrumentId(f"{market.venue}:{market.symbol}")
        told = {"venue": market.venue, "symbol": market.symbol}
        lived = journaled.core.markets[instrument].position
        assert market.fills == len(journaled.fill_keys[instrument]) == metric("mm_fills_total", **told) > 0
        assert market.position == f"{journaled.core.markets[instrument].instrument.size(lived.lots):f}"
        assert float(market.position) == metric("mm_position_base", **told)
        booked = journaled.positions[instrument]
        assert market.pnl.spread == to_text(from_pair(booked.spread)) == to_text(lived.spread_atto)
        assert market.pnl.fees == to_text(from_pair(booked.fees)) == to_text(lived.fees_atto)
        assert market.pnl.inventory == to_text(lived.inventory_atto)
        assert market.pnl.total == to_text(lived.total_atto)
        for part, atto in (("spread", lived.spread_atto), ("inventory", lived.inventory_atto)):
            assert metric("mm_pnl_quote", part=part, **told) == atto / ATTO
        for side in ("bid", "ask"):
            assert metric("mm_orders_submitted_total", side=side, **told) == journaled.submitted[instrument, side] > 0
    for (instrument_id, side, action, reason), times in journaled.decisions.items():
        symbol = instrument_id.partition(":")[2]
        assert metric("mm_decisions_total", symbol=symbol, side=side, action=action, reason=reason) == times
    assert metric("mm_decisions_total") == journaled.decisions.total()
    assert metric("mm_refusals_total") == journaled.refusals.total()
    assert sum(market.decisions for market in status.markets) == journaled.decisions.total() / 2
    assert metric("mm_build_info", version=status.version) == 1


class Heard(io.StringIO):
    """A log that one can wait for: `serving` is set once the address is told."""

    def __init__(self) -> None:
        super().__init__()
        self.serving = asyncio.Event()

    def write(self, text: str) -> int:
        if '"event":"http"' in text:
            self.serving.set()
        return super().write(text)


async def test_http_serves_metrics_health_and_readiness(tmp_path: Path) -> None:
    """A real run on any free port: what Prometheus and a probe would fetch, and 404 for all else."""
    text = TEXT.replace("port: null", "port: 0").format(state_dir=tmp_path)
    config = loads(text, "c.yaml", settings_of=registry.settings_of, environ=os.environ)
    log = Heard()
    daemon = Daemon(config, paper=True, duration_s=1.5, log_to=log)
    running = asyncio.create_task(daemon.run())
    await asyncio.wait_for(log.serving.wait(), 10)
    address = daemon.view.status().http
    assert address is not None and address.startswith("127.0.0.1:")

    def fetch(path: str) -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "", error.read().decode()

    code, content_type, body = await asyncio.to_thread(fetch, "/metrics")
    assert (code, content_type.partition(";")[0]) == (200, "text/plain")
    assert 'mm_quoting{symbol="BTC-USDT",venue="sim"}' in body
    assert (await asyncio.to_thread(fetch, "/healthz"))[0] == 200
    code, _, body = await asyncio.to_thread(fetch, "/readyz")
    assert (code, body) == (200, '{"ready": true, "reasons": []}')
    assert (await asyncio.to_thread(fetch, "/other"))[0] == 404
    assert await running == 0


def test_figures_name_the_records_that_made_them(tmp_path: Path) -> None:
    """A virtual minute that trades: decisions, fills, bookings, orders and lines of the log are found in the journal
    under the numbers that the status page shows.
    """
    config = loads(
        TEXT.format(state_dir=tmp_path), "c.yaml", settings_of=registry.settings_of, environ=os.environ, seed=11
    )
    seen: list[tuple[Records, tuple[Line, ...]]] = []

    async def main(loop: VirtualLoop) -> int:
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        daemon = Daemon(config, paper=True, duration_s=70.0, clock=clock, log_to=io.StringIO())
        code = await daemon.run()
        seen.append((daemon.view.records, daemon.view.status().recent))
        return code

    assert run_virtual(main) == 0
    ((records, lines),) = seen
    (folder,) = (tmp_path / "journal").iterdir()
    with open_journal(folder) as reader:
        journal = dict(pair for frame in reader for pair in enumerate(frame.records, frame.seq))
    assert records.next == len(journal) == max(journal) + 1
    for name, own in records.markets.items():
        assert own.decided is not None and own.booked is not None
        assert journal[own.decided.record] == own.decided.changed
        booked = journal[own.booked]
        assert isinstance(booked, PositionBooked) and booked.instrument == name
        later = [journal[number] for number in range(own.booked + 1, records.next)]
        assert not [record for record in later if isinstance(record, PositionBooked) and record.instrument == name]
        assert own.fills
        assert [journal[fill.record] for fill in own.fills] == [fill.event for fill in own.fills]
        assert own.orders
        for client_id, number in own.orders.items():
            approved = journal[number]
            assert isinstance(approved, ApprovedCommand)
            assert isinstance(approved.command, PlaceOrder | AmendOrder) and approved.command.client_id == client_id
    told = [line for line in lines if line.text.startswith(("bought", "sold"))]
    assert told
    for line in told:
        assert line.records is not None
        turn = [journal[number] for number in range(line.records[0], line.records[1] + 1)]
        fills = [record.instrument for record in turn if isinstance(record, OrderFilled)]
        assert [name for name in fills if name.endswith(line.name)]


async def test_taken_port_costs_the_metrics_and_not_the_run(tmp_path: Path) -> None:
    """The log says which port and which key; the run ends as it would have."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = TEXT.replace("port: null", f"port: {port}").format(state_dir=tmp_path)
    config = loads(text, "c.yaml", settings_of=registry.settings_of, environ=os.environ)
    log = io.StringIO()
    assert await Daemon(config, paper=True, duration_s=1.0, log_to=log).run() == 0
    assert f"no metrics and no status page in this run: 127.0.0.1:{port} is taken" in log.getvalue()
    server.close()


def test_log_goes_to_its_file_while_the_screen_is_up(tmp_path: Path) -> None:
    """Before and after, the terminal sees it too; the file has no colours and is its owner's alone."""
    terminal = io.StringIO()
    log = RunLog(terminal)
    log.write("before\n")
    log.keep_in(tmp_path)
    log.write("\x1b[33mboth\x1b[0m\n")
    log.screen_up = True
    log.write("hidden\n")
    log.screen_up = False
    log.write("after\n")
    log.flush()
    log.close()
    assert terminal.getvalue() == "before\n\x1b[33mboth\x1b[0m\nafter\n"
    assert (tmp_path / LOG_NAME).read_text() == "both\nhidden\nafter\n"
    assert (tmp_path / LOG_NAME).stat().st_mode & 0o077 == 0


def test_large_log_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One old file is kept."""
    monkeypatch.setattr("mm_daemon.runtime.screen._LARGEST_BYTES", 20)
    log = RunLog(io.StringIO())
    log.keep_in(tmp_path)
    for number in range(4):
        log.write(f"line number {number}\n")
    log.close()
    assert (tmp_path / f"{LOG_NAME}.1").read_text() == "line number 2\nline number 3\n"
    assert (tmp_path / LOG_NAME).read_text() == ""
