"""A daemon that dies and starts again, on virtual time: a copy of the disk at some instant is what a death leaves."""

import io
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from connectors.shared.account_file import account_path, read_account
from mm_daemon import registry
from mm_daemon.backtest.replay import verify
from mm_daemon.config.load import loads
from mm_daemon.domain.decisions import ApprovedCommand, PlaceOrder
from mm_daemon.domain.events import CommandSent
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.money import from_pair
from mm_daemon.domain.orders import ClientOrderId, Operation
from mm_daemon.journal.recovery import recover
from mm_daemon.journal.segments import runs_in
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.runtime.parts import VENUE
from tests.unit.runtime.test_app import TEXT, Around

START_NS = 1_700_000_000 * 10**9
BTC = InstrumentId("sim:BTC-USDT")


def live(
    state_dir: Path,
    start_s: int,
    duration_s: float,
    *,
    copies: dict[float, Path] | None = None,
    text: str = TEXT,
    around: Callable[[Connector, ConnectorContext], Connector] = lambda connector, _context: connector,
) -> tuple[int, str]:
    """One life from `start_s` on: exit code and log. `copies`: instants at which the disk is copied as a death would
    leave it. `around` may put something around each connector."""
    text = text.format(state_dir=state_dir)
    config = loads(text, "c.yaml", settings_of=registry.settings_of, environ=os.environ)
    log = io.StringIO()

    def named(name: str) -> Callable[..., Connector]:
        make: Callable[..., Connector] = registry.connector(name)
        return lambda context, settings: around(make(context, settings), context)

    async def main(loop: VirtualLoop) -> int:
        for at_s, to in (copies or {}).items():
            loop.call_later(at_s, copy_disk, state_dir, to)
        return await Daemon(
            config,
            paper=False,
            duration_s=duration_s,
            clock=Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns),
            connector_named=named,
            log_to=log,
        ).run()

    return run_virtual(main, START_NS + start_s * 10**9), log.getvalue()


def copy_disk(state_dir: Path, to: Path) -> None:
    shutil.copytree(state_dir, to, ignore=shutil.ignore_patterns("control", "lock"))


def agrees(state_dir: Path) -> bool:
    """Position, cash, fees and funding of what the journal left are the venue's own."""
    left = recover(state_dir / "journal")
    assert left is not None
    truth = read_account(account_path(state_dir, VENUE))
    held = {market.instrument: market.position for market in left.checkpoint.markets}
    for instrument, holding in truth.holdings.items():
        ours = held[instrument]
        if (ours.lots, from_pair(ours.cash), from_pair(ours.fees), from_pair(ours.funding)) != (
            holding.lots,
            holding.cash_atto,
            holding.fees_atto,
            holding.funding_atto,
        ):
            return False
    return True


def test_lives_continue_one_another(tmp_path: Path) -> None:
    """From deaths at several instants: the next life starts clean, quotes, ends clean, and both accounts are equal."""
    state_dir = tmp_path / "state"
    deaths = {2.0 + 7.31 * n: tmp_path / f"death-{n}" for n in range(6)}
    exit_code, _ = live(state_dir, 0, 60.0, copies=deaths)
    assert exit_code == 0
    assert agrees(state_dir)
    assert len(read_account(account_path(state_dir, VENUE)).holdings) == 2
    for dead in deaths.values():
        exit_code, log = live(dead, 100, 5.0)
        assert exit_code == 0, log
        assert re.search(r"continuing .* which died", log)
        assert re.search(r"BTC-USDT +bid quote", log)
        assert agrees(dead)
        first, second = runs_in(dead / "journal")
        assert verify(first).ok
        report = verify(second)
        assert report.ok, report.to_text()
        assert report.compared.checkpoints == 1


def test_what_names_a_command_on_the_wire_is_recalled_by_the_next_life(tmp_path: Path) -> None:
    """A venue with several keys must know which one has signed for an order that may be alive; before any command."""
    told: list[str] = []

    class Keyed(Around):
        """Names each placement, and notes what it is reminded of."""

        async def send(self, commands: Sequence[ApprovedCommand]) -> None:
            told.append("send")
            for each in commands:
                if isinstance(each.command, PlaceOrder):
                    order, now_ns = each.command, self.context.now_ns()
                    ref = f"{order.client_id}:ab:5"
                    self.context.emit(
                        CommandSent(order.instrument, 0, now_ns, order.client_id, Operation.PLACE, wire_ref=ref)
                    )
            await self.inner.send(commands)

        def recall(self, sent: Mapping[ClientOrderId, str]) -> None:
            assert all(ref == f"{client_id}:ab:5" for client_id, ref in sent.items())
            told.append(f"recalled {len(sent)}")

    dead = tmp_path / "dead"
    live(tmp_path / "state", 0, 30.0, copies={20.0: dead}, around=Keyed)
    assert told[:2] == ["recalled 0", "send"]
    told.clear()
    live(dead, 100, 3.0, around=Keyed)
    assert told[0] in {f"recalled {orders}" for orders in range(1, 5)} and "send" in told


def test_a_clean_end_is_continued_without_anything_unknown(tmp_path: Path) -> None:
    """After a stop the next run knows its position, and no order is left to ask about."""
    live(tmp_path / "state", 0, 30.0)
    _, log = live(tmp_path / "state", 100, 3.0)
    assert re.search(r"continuing .* which stopped: .*, 0 orders without an end", log)


def test_a_clock_that_was_set_back_changes_nothing(tmp_path: Path) -> None:
    """The run that is continued is the last one that ran, also where the clock gave it an earlier time than others."""
    state_dir = tmp_path / "state"
    for start_s in (7200, 3600, 3600, 0):
        exit_code, log = live(state_dir, start_s, 20.0)
        assert exit_code == 0, log
        assert agrees(state_dir)
    assert re.search(r"continuing 2023-11-15T001320\.000Z\+000002, which stopped", log)
    assert len(runs_in(state_dir / "journal")) == 4


def test_position_in_a_market_that_was_removed_is_told(tmp_path: Path) -> None:
    """A market taken out of the configuration leaves its position with the venue, and the next start says so."""
    state_dir = tmp_path / "state"
    live(state_dir, 0, 60.0)
    account = read_account(account_path(state_dir, VENUE))
    assert account.holdings[InstrumentId("sim:ETH-USDT")].lots, "this history has to end with a position"
    only_btc = "".join(line for line in TEXT.splitlines(keepends=True) if "ETH-USDT" not in line)
    _, log = live(state_dir, 100, 3.0, text=only_btc)
    assert re.search(r"continuing .*ETH-USDT -?\d+ lots \(no longer a market of ours", log)


def test_account_that_does_not_agree_ends_with_82(tmp_path: Path) -> None:
    """A journal that lost a position to somebody is not quoted on; the exit code says what is wrong."""
    state_dir = tmp_path / "state"
    live(state_dir, 0, 60.0)
    account = account_path(state_dir, VENUE)
    if not any(holding.lots for holding in read_account(account).holdings.values()):
        pytest.skip("this history ended flat")
    account.unlink()
    exit_code, log = live(state_dir, 100, 200.0)
    assert exit_code == 82
    assert re.search(r"did not come to agree with the venue's account within 60 s", log)


def test_a_stalled_process_pulls_its_quotes(tmp_path: Path) -> None:
    """Two seconds in which nothing ran: withdrawn for `loop_stall`, quoting again five calm seconds later."""
    text = TEXT.format(state_dir=tmp_path / "state")
    config = loads(text, "c.yaml", settings_of=registry.settings_of, environ=os.environ)
    log = io.StringIO()

    async def main(loop: VirtualLoop) -> int:
        def stand_still() -> None:
            loop.elapsed_ns += 2_000_000_000

        loop.call_later(4.0, stand_still)
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        return await Daemon(config, paper=False, duration_s=20.0, clock=clock, log_to=log).run()

    assert run_virtual(main, START_NS) == 0
    lines = log.getvalue()
    assert re.search(r"did not get to run for [12]\.\d+ s", lines)
    stalled = re.search(r"bid withdraw \(loop_stall", lines)
    assert stalled is not None
    assert re.search(r"BTC-USDT +bid quote", lines[stalled.end() :])
