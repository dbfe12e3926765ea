"""The whole daemon on virtual time and the embedded market: it starts, quotes, stops, and fails well."""

import asyncio
import errno
import io
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from mm_daemon import registry
from mm_daemon.backtest.replay import verify
from mm_daemon.config.load import loads
from mm_daemon.config.schema import Config
from mm_daemon.domain.decisions import ApprovedCommand
from mm_daemon.domain.errors import ConfigError, CredentialsRefused, JournalError
from mm_daemon.domain.events import PublicTrade, VenueSnapshot
from mm_daemon.domain.instrument import Instrument, InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Side
from mm_daemon.journal.view import runs
from mm_daemon.ports.connector import Connector, ConnectorContext
from mm_daemon.runtime.app import Daemon
from mm_daemon.runtime.clock import Clock
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.runtime.parts import NoSettings

TEXT = """
version: 1
state_dir: {state_dir}
log: {{format: console}}
http: {{port: null}}
runtime: {{summary_interval_s: 5, stop_timeout_s: 4}}
venues:
  sim: {{connector: sim}}
markets:
  - {{venue: sim, symbol: BTC-USDT, order_size: 0.01, max_position: 0.05}}
  - {{venue: sim, symbol: ETH-USDT, order_size: 0.1, max_position: 0.5}}
"""
BTC = InstrumentId("sim:BTC-USDT")


class Day:
    """One run of the daemon on a virtual loop: its exit code, its lines, its journal."""

    def __init__(self, folder: Path, text: str = TEXT) -> None:
        self.state_dir = folder / "state"
        self.config: Config = loads(
            text.format(state_dir=self.state_dir), "c.yaml", settings_of=registry.settings_of, environ=os.environ
        )
        self.log = io.StringIO()

    def run(
        self,
        duration_s: float | None = 20.0,
        around: Callable[[Connector, ConnectorContext], Connector] | None = None,
    ) -> int:
        """Live it. `around` may put something around each connector, given its context."""

        def named(name: str) -> Callable[..., Connector]:
            make: Callable[..., Connector] = registry.connector(name)
            if around is None:
                return make
            return lambda context, settings: around(make(context, settings), context)

        async def main(loop: VirtualLoop) -> int:
            return await Daemon(
                self.config,
                paper=False,
                duration_s=duration_s,
                clock=Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns),
                connector_named=named,
                log_to=self.log,
            ).run()

        return run_virtual(main)

    @property
    def journal(self) -> Path:
        (path,) = (self.state_dir / "journal").iterdir()
        return path

    def lines(self, pattern: str) -> list[str]:
        return [line for line in self.log.getvalue().splitlines() if re.search(pattern, line)]


class Around:
    """Puts a fault around a connector; everything else is the connector's own."""

    Settings: ClassVar[type[msgspec.Struct]] = NoSettings

    def __init__(self, inner: Connector, context: ConnectorContext) -> None:
        self.inner = inner
        self.context = context
        self.capabilities = inner.capabilities

    async def load_instruments(self) -> Sequence[Instrument]:
        return await self.inner.load_instruments()

    async def run(self) -> None:
        await self.inner.run()

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        await self.inner.send(commands)

    async def snapshot(self, since_ns: int) -> VenueSnapshot:
        return await self.inner.snapshot(since_ns)

    async def query_order(self, client_id: ClientOrderId) -> None:
        """Nobody asks in these tests."""

    async def arm_dead_man(self, deadline_ns: int | None) -> None:
        """Nothing to arm."""

    async def cancel_all(self) -> None:
        await self.inner.cancel_all()

    async def close(self) -> None:
        await self.inner.close()


def test_run_quotes_both_markets_and_stops_clean(tmp_path: Path) -> None:
    """Twenty virtual seconds: both markets are quoted, summaries come, no order stays, and the journal replays."""
    day = Day(tmp_path)
    assert day.run() == 0
    assert day.lines(r"BTC-USDT +bid quote \d+\.\d \(new_quote\) \| ask quote")
    assert day.lines(r"ETH-USDT +bid quote")
    assert len(day.lines(r"quoting both sides")) == 2 * (4 + 1)
    assert day.lines(r"stopped \(ran for 20 s\): no open orders")
    report = verify(day.journal)
    assert report.ok, report.to_text()
    assert report.ended == "ran for 20 s"
    assert report.compared.commands > 10
    (kept,) = runs(day.journal.parent)
    assert (kept.ended, kept.problem) == ("ran for 20 s", None)


def test_equal_runs_write_equal_journals(tmp_path: Path) -> None:
    """On virtual time the same configuration gives the same journal, byte for byte."""
    first, second = Day(tmp_path / "a"), Day(tmp_path / "b")
    assert first.run() == second.run() == 0
    names = sorted(path.name for path in first.journal.iterdir())
    assert names == sorted(path.name for path in second.journal.iterdir()) == ["market-000001.mmj", "trade-000001.mmj"]
    for name in names:
        assert (first.journal / name).read_bytes() == (second.journal / name).read_bytes()


def test_client_ids_are_never_used_twice(tmp_path: Path) -> None:
    """A second run begins above everything the first had promised."""
    day = Day(tmp_path)
    day.run(2.0)
    promised = int((day.state_dir / "client_ids").read_text().split()[-2])
    shutil.rmtree(day.journal)
    day.run(2.0)
    assert int((day.state_dir / "client_ids").read_text().split()[-2]) == promised + 4096


def test_venue_that_keeps_our_orders_is_not_called_clean(tmp_path: Path) -> None:
    """Cancels that never arrive end in exit code 81, after the last resort was tried."""

    class Deaf(Around):
        stopping = False

        async def cancel_all(self) -> None:
            Deaf.stopping = True

        async def send(self, commands: Sequence[ApprovedCommand]) -> None:
            if not Deaf.stopping:
                await self.inner.send(commands)

    day = Day(tmp_path)
    assert day.run(3.0, around=Deaf) == 81
    assert day.lines("orders may still be open")
    assert verify(day.journal).ok


def test_bug_in_the_core_cancels_and_exits_1(tmp_path: Path) -> None:
    """An event the core cannot know is a bug: all orders are cancelled at the venue at once, the journal is kept."""
    cancelled: list[int] = []

    class Alien(Around):
        async def run(self) -> None:
            alien = PublicTrade(InstrumentId("sim:NOBODY"), 0, self.context.now_ns(), Side.BUY, 1, 1, 1)
            asyncio.get_running_loop().call_later(2.0, self.context.emit, alien)
            await self.inner.run()

        async def cancel_all(self) -> None:
            cancelled.append(1)
            await self.inner.cancel_all()

    day = Day(tmp_path)
    assert day.run(20.0, around=Alien) == 1
    assert cancelled == [1]
    assert day.lines("CRITICAL: stopping at once: .*NOBODY")
    # No later life quotes before a person has looked (R15).
    day.journal.rename(day.journal.with_name("2023-11-13T000000.000Z"))  # the virtual clock begins anew
    assert day.run(5.0) == 80
    assert day.lines("CRITICAL: killed: exception in the core: CoreError: .*NOBODY")


def test_refused_credentials_are_told_with_their_exit_code(tmp_path: Path) -> None:
    """Nothing is started, and starting again is not suggested."""

    class Locked(Around):
        async def load_instruments(self) -> Sequence[Instrument]:
            raise CredentialsRefused("sim refused the key: permission missing")

    day = Day(tmp_path)
    assert day.run(around=Locked) == 77
    assert day.lines("cannot start: sim refused the key")


_FAULT = "the disk breaks"


class Sending(Around):
    """Notes what is asked of the venue, and breaks the disk 3 s after the start."""

    def __init__(
        self, inner: Connector, context: ConnectorContext, asked: list[str], breaks: Callable[[], None]
    ) -> None:
        super().__init__(inner, context)
        self.asked = asked
        self.breaks = breaks

    async def run(self) -> None:
        asyncio.get_running_loop().call_later(3.0, self._break)
        await self.inner.run()

    def _break(self) -> None:
        self.breaks()
        self.asked.append(_FAULT)

    async def send(self, commands: Sequence[ApprovedCommand]) -> None:
        self.asked += [type(approved.command).__name__ for approved in commands]
        await self.inner.send(commands)

    async def cancel_all(self) -> None:
        self.asked.append("cancel_all")
        await self.inner.cancel_all()


def _after_the_fault(day: Day, breaks: Callable[[], None], asked: list[str]) -> list[str]:
    """What was asked of the venue once the disk had broken; `asked` is all of it. The run must end with 74."""
    assert day.run(20.0, around=lambda inner, context: Sending(inner, context, asked, breaks)) == 74
    assert "PlaceOrder" in asked
    return asked[asked.index(_FAULT) + 1 :]


def test_full_disk_stops_with_74(tmp_path: Path) -> None:
    """The kernel takes a part of a write and no more: nothing leaves after that, all is cancelled, and the code says
    disk."""
    day = Day(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill_up() -> None:
        largest = max(file.stat().st_size for file in day.journal.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 20, hard))

    try:
        assert _after_the_fault(day, fill_up, []) == ["cancel_all"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert day.lines("cannot be written: File too large")


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_a_disk_that_fails_stops_with_74(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """EIO, whichever call hears of it first: one `cancel_all`, and not one order more."""
    day = Day(tmp_path)

    asked: list[str] = []

    def broken(fd: int, *data: bytes) -> int:
        asked.append(_FAULT)  # the call that heard of it
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    since = _after_the_fault(day, lambda: monkeypatch.setattr(os, call, broken), asked)
    monkeypatch.undo()
    assert day.lines("Input/output error")
    assert [what for what in since[since.index(_FAULT) :] if what != _FAULT] == ["cancel_all"]


def test_account_that_cannot_be_kept_stops_with_74(tmp_path: Path) -> None:
    """A disk on which a venue's account finds no room is not weather: the run ends at once, nothing is tried again."""

    class Full(Around):
        async def run(self) -> None:
            await asyncio.sleep(3.0)
            raise JournalError("account file cannot be written: No space left on device")

    day = Day(tmp_path)
    assert day.run(20.0, around=Full) == 74
    assert day.lines("stopping at once: account file cannot be written")
    assert not day.lines("starts again")


def test_ended_feed_ends_the_run(tmp_path: Path) -> None:
    """When the last venue's feed is over the run stops by itself, clean."""

    class Short(Around):
        async def run(self) -> None:
            try:
                async with asyncio.timeout(5.0):
                    await self.inner.run()
            except TimeoutError:
                return

    day = Day(tmp_path)
    assert day.run(None, around=Short) == 0
    assert day.lines(r"stopped \(feed ended\): no open orders")


def test_damaged_places_of_a_feed_are_named_once(tmp_path: Path) -> None:
    """What could not be used is counted every time it grows, and each place is named the first time."""

    first, second = "x.gz: line 7: broken", "x.gz: line 8: broken"

    class Damaged(Around):
        async def run(self) -> None:
            vars(self.inner).update(problems={"recording_damage": 1}, notes=[first])
            more = {"problems": {"recording_damage": 2}, "notes": [first, second]}
            asyncio.get_running_loop().call_later(17.0, vars(self.inner).update, more)
            await self.inner.run()

    day = Day(tmp_path)
    assert day.run(30.0, around=Damaged) == 0
    assert len(day.lines("1 recording_damage")) == 1
    assert len(day.lines("2 recording_damage")) == 1
    assert len(day.lines(first)) == 1
    assert len(day.lines(second)) == 1


def test_venue_that_keeps_failing_is_given_up(tmp_path: Path) -> None:
    """Restarts are told, and when the budget is spent the run stops clean with the code for an unreachable venue."""

    class Broken(Around):
        async def run(self) -> None:
            raise ConnectionError("link lost")

    day = Day(tmp_path)
    assert day.run(None, around=Broken) == 69
    assert day.lines("venue sim failed and starts again")
    assert day.lines("venue sim is given up")


def test_symbol_the_venue_does_not_have_is_a_config_error(tmp_path: Path) -> None:
    """The configuration's mistake is raised to the command line, which knows how to show it."""

    class Empty(Around):
        async def load_instruments(self) -> Sequence[Instrument]:
            return ()

    with pytest.raises(ConfigError, match="no market 'BTC-USDT'"):
        Day(tmp_path).run(around=Empty)
