"""What systemd is told, read from a stand-in for its socket; the daemon and its core loop on virtual time."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mm_daemon.domain.decisions import ApprovedCommand, Turn
from mm_daemon.runtime.clock import Clock
from mm_daemon.runtime.core_loop import CoreLoop
from mm_daemon.runtime.inbox import Inbox
from mm_daemon.runtime.service_manager import ServiceManager
from mm_daemon.testkit.virtual_loop import VirtualLoop, run_virtual
from tests.unit.runtime.parts import ScriptedCore
from tests.unit.runtime.test_app import Around, Day
from tests.unit.runtime.test_core_loop import Diary

WATCHDOG_USEC = "10000000"


class Systemd:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self._taken: list[dict[str, str]] = []
        self.environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": WATCHDOG_USEC, "WATCHDOG_PID": str(os.getpid())}

    def take(self) -> None:
        """Receive what waits: the kernel keeps ten datagrams, no more."""
        while True:
            try:
                text = self._socket.recv(1 << 16).decode()
            except BlockingIOError:
                return
            self._taken.append(dict(line.split("=", 1) for line in text.splitlines()))

    def heard(self) -> list[dict[str, str]]:
        """The messages since the last call, each as its assignments."""
        self.take()
        told, self._taken = self._taken, []
        return told

    async def listen(self) -> None:
        while True:
            self.take()
            await asyncio.sleep(1)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    stand_in = Systemd(str(tmp_path / "notify"))
    yield stand_in
    stand_in.close()


def manager_of(systemd: Systemd) -> ServiceManager:
    return ServiceManager(systemd.environ, report=pytest.fail)


def test_ready_follows_the_first_agreement_and_until_then_time_is_extended(systemd: Systemd) -> None:
    """READY once, with the first status; a status again only when it has changed."""
    manager, agreed, status = manager_of(systemd), [False], ["starting"]

    async def main(loop: VirtualLoop) -> None:
        listening = asyncio.create_task(systemd.listen())
        task = asyncio.create_task(manager.run(lambda: agreed[0], lambda: status[0]))
        await asyncio.sleep(5)
        waiting = systemd.heard()
        assert len(waiting) >= 10
        assert all(message["EXTEND_TIMEOUT_USEC"] == "15000000" and "READY" not in message for message in waiting)
        agreed[0], status[0] = True, "paper, quoting 1 of 1\nmarkets"
        await asyncio.sleep(5)
        assert systemd.heard() == [{"READY": "1", "STATUS": "paper, quoting 1 of 1 markets"}]
        status[0] = "paper, quoting 0 of 1 markets, book_stale"
        await asyncio.sleep(5)
        assert systemd.heard() == [{"STATUS": "paper, quoting 0 of 1 markets, book_stale"}]
        task.cancel()
        listening.cancel()

    run_virtual(main)
    manager.close()


def test_reload_is_told_with_its_time_once_ready_and_not_while_stopping(systemd: Systemd) -> None:
    """MONOTONIC_USEC is CLOCK_MONOTONIC when the reload began; READY ends it, also when the file was bad."""
    manager = manager_of(systemd)

    async def main(loop: VirtualLoop) -> None:
        with manager.reloading():
            pass
        assert systemd.heard() == []
        task = asyncio.create_task(manager.run(lambda: True, lambda: "fine"))
        await asyncio.sleep(1)
        systemd.heard()
        before_usec = time.monotonic_ns() // 1000
        with pytest.raises(ValueError, match="bad file"), manager.reloading():
            raise ValueError("bad file")
        begun, ended = systemd.heard()
        assert begun["RELOADING"] == "1"
        assert before_usec <= int(begun["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
        assert ended == {"READY": "1"}
        manager.stopping("SIGTERM", 12)
        with manager.reloading():
            pass
        await asyncio.sleep(5)
        assert systemd.heard() == [{"STOPPING": "1", "STATUS": "stopping: SIGTERM", "EXTEND_TIMEOUT_USEC": "12000000"}]
        task.cancel()

    run_virtual(main)
    manager.close()


def test_watchdog_is_fed_by_the_turning_core_loop_and_starves_with_it(systemd: Systemd) -> None:
    """Twice within its time while the loop turns, though no event comes; not once more when the loop has gone, while
    the event loop and the task that tells the status live on."""
    manager = manager_of(systemd)

    async def main(loop: VirtualLoop) -> None:
        clock = Clock(wall_ns=loop.now_ns, monotonic_ns=loop.now_ns)
        diary = Diary()
        core_loop = CoreLoop(
            ScriptedCore(Turn),
            inbox=Inbox(),
            journal=diary,
            clock=clock,
            carry=diary.carry,
            ask=lambda _queries: None,
            observe=lambda _turn, _urgent: None,
            beat=lambda _now_ns: manager.beat(),
            beat_s=manager.beat_s,
        )
        listening = asyncio.create_task(systemd.listen())
        telling = asyncio.create_task(manager.run(lambda: True, lambda: str(loop.time() // 10)))
        turning = asyncio.create_task(core_loop.run())
        await asyncio.sleep(60)
        beats = systemd.heard().count({"WATCHDOG": "1"})
        assert 12 <= beats <= 14
        turning.cancel()
        await asyncio.sleep(60)
        told = systemd.heard()
        assert {"WATCHDOG": "1"} not in told
        assert len(told) >= 5
        telling.cancel()
        listening.cancel()

    run_virtual(main)
    manager.close()


@pytest.mark.parametrize(
    ("changed", "beat_s"),
    [
        ({}, 5.0),
        ({"WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({"NOTIFY_SOCKET": ""}, None),
    ],
)
def test_watchdog_is_ours_only_when_it_is_meant_for_us(
    systemd: Systemd, changed: dict[str, str], beat_s: float | None
) -> None:
    manager = ServiceManager({**systemd.environ, **changed}, report=pytest.fail)
    manager.beat()
    assert manager.beat_s == beat_s
    assert systemd.heard() == ([] if beat_s is None else [{"WATCHDOG": "1"}])
    manager.close()


def test_abstract_address_is_understood() -> None:
    """systemd may name a socket without a file: `@` stands for the null byte."""
    stand_in = Systemd(f"@mm-daemon-test-{os.getpid()}")
    manager = manager_of(stand_in)
    manager.beat()
    assert stand_in.heard() == [{"WATCHDOG": "1"}]
    manager.close()
    stand_in.close()


def test_nobody_there_is_told_once_and_ready_is_tried_again(tmp_path: Path) -> None:
    """A socket that is gone costs a line in the log, never the run; when it is back READY still comes."""
    said: list[str] = []
    path = str(tmp_path / "notify")
    manager = ServiceManager({"NOTIFY_SOCKET": path}, report=said.append)

    async def main(loop: VirtualLoop) -> None:
        task = asyncio.create_task(manager.run(lambda: True, lambda: "fine"))
        await asyncio.sleep(3)
        stand_in = Systemd(path)
        await asyncio.sleep(1)
        assert stand_in.heard() == [{"READY": "1", "STATUS": "fine"}]
        task.cancel()
        stand_in.close()

    run_virtual(main)
    manager.close()
    assert said == ["the service manager was not told READY=1: No such file or directory"]


def test_a_day_under_systemd(tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole daemon: the start is extended, READY, signs of life to the end, STOPPING, in this order."""
    for name, value in systemd.environ.items():
        monkeypatch.setenv(name, value)

    class Heard(Around):
        """Each command is an occasion to listen."""

        async def send(self, commands: Sequence[ApprovedCommand]) -> None:
            systemd.take()
            await super().send(commands)

    assert Day(tmp_path).run(duration_s=30, around=Heard) == 0
    told = systemd.heard()
    assert told[0] == {"STATUS": "starting", "EXTEND_TIMEOUT_USEC": "120000000"}
    ready = next(place for place, message in enumerate(told) if "READY" in message)
    stopping = next(place for place, message in enumerate(told) if "STOPPING" in message)
    assert told[stopping]["STATUS"] == "stopping: ran for 30 s"
    assert 5 <= sum("WATCHDOG" in message for message in told[ready:stopping]) <= 8
    assert {"STATUS": "paper, quoting 2 of 2 markets"} in told
    assert not any("STATUS" in message for message in told[stopping + 1 :])
