"""The control socket on the real loop: who may speak, what is understood, what is answered."""

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import PlaceOrder, Reason
from mm_daemon.domain.errors import ConfigError, UsageError
from mm_daemon.domain.events import (
    CommandOutcomeUnknown,
    Event,
    OperatorAction,
    OperatorRequest,
    OrderResolved,
    ParametersChanged,
    PositionAdopted,
    Resolution,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.domain.orders import ClientOrderId, Operation, Side
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.status import Status, Surroundings
from mm_daemon.observability.status_of import status_of
from mm_daemon.observability.summary import Tally
from mm_daemon.runtime.control import SOCKET_NAME, ControlClient, ControlSocket
from mm_daemon.runtime.control_door import ControlDoor, find_instrument
from mm_daemon.testkit import builders as b

MARKETS = (InstrumentId("a:BTC-USDT"), InstrumentId("b:BTC-USDT"), InstrumentId("a:ETH-USDT"))


class Served:
    """A control socket over a core that takes whatever it is sent, one turn later."""

    def __init__(self, folder: Path, *, deaf: bool = False) -> None:
        self.core = TradingCore(b.core_parameters())
        self.taken: list[Event] = []
        self._deaf = deaf
        self.reading: ParametersChanged | ConfigError | None = None
        """What reading the configuration again comes to."""
        self.door = ControlDoor(tuple(self.core.markets), emit=self._emit, now_ns=lambda: 5)
        self.control = ControlSocket(folder, door=self.door, status=self._status, reload=self._reload, now_ns=lambda: 5)

    async def _reload(self, who: str) -> tuple[Event | None, str]:
        if isinstance(self.reading, ConfigError):
            raise self.reading
        return self.reading, f"read for {who.split(maxsplit=1)[0]}"

    def _status(self) -> Status:
        around = Surroundings(version="1", mode="paper", pid=1, config="c", journal="j", started_ns=0)
        tallies = {instrument: Tally() for instrument in self.core.markets}
        return status_of(self.core, tallies, LiveStatistics(self.core.markets, 0).markets, around, 5)

    def _emit(self, event: Event) -> None:
        self.taken.append(event)
        if not self._deaf:
            asyncio.get_running_loop().call_soon(self.door.observe, [event])


async def with_client(served: Served, folder: Path, use: Callable[[ControlClient], None]) -> None:
    """Serve, and let `use` talk to it from a thread."""

    def talk() -> None:
        with ControlClient(folder) as client:
            use(client)

    serving = asyncio.create_task(served.control.run())
    try:
        await served.control.listening.wait()
        await asyncio.to_thread(talk)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_status_pause_and_kill_are_answered_when_taken(tmp_path: Path) -> None:
    """One connection asks and tells; each request carries the uid of who asked; the socket is its owner's alone."""
    served = Served(tmp_path)
    mode = []

    def use(client: ControlClient) -> None:
        mode.append(stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode))
        assert client.status().markets[0].symbol == "BTC-USDT"
        assert client.ask("pause", "BTC-USDT").text == "test:BTC-USDT paused"
        assert client.ask("resume").text == "resumed"
        assert client.ask("kill").ok
        assert client.ask("clear_kill").ok
        assert "worked off" in client.ask("flatten", "BTC-USDT").text
        assert client.ask("cancel_all").ok
        assert client.ask("disable", "BTC-USDT").text.startswith("test:BTC-USDT disabled")
        assert client.ask("enable", "BTC-USDT").ok

    await with_client(served, tmp_path, use)
    requests = [event for event in served.taken if isinstance(event, OperatorRequest)]
    assert [(request.action, request.instrument) for request in requests] == [
        (OperatorAction.PAUSE, b.SYMBOL),
        (OperatorAction.RESUME, None),
        (OperatorAction.KILL, None),
        (OperatorAction.CLEAR_KILL, None),
        (OperatorAction.FLATTEN, b.SYMBOL),
        (OperatorAction.CANCEL_ALL, None),
        (OperatorAction.DISABLE, b.SYMBOL),
        (OperatorAction.ENABLE, b.SYMBOL),
    ]
    assert all(request.who.startswith("uid ") for request in requests)
    assert mode == [0o600]
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_what_is_not_understood_is_said_and_changes_nothing(tmp_path: Path) -> None:
    """Unknown verbs, unknown markets, a market for the kill switch, and lines without end."""
    served = Served(tmp_path)

    def use(client: ControlClient) -> None:
        assert "no market 'DOGE'" in client.ask("pause", "DOGE").text
        assert "for all markets" in client.ask("kill", "BTC-USDT").text
        assert "cancel-all is for all markets" in client.ask("cancel_all", "BTC-USDT").text
        assert "name the market to disable: test:BTC-USDT" in client.ask("disable").text
        assert not client.ask("sell everything").ok  # type: ignore[arg-type]
        assert "one line" in client.ask("pause", "x" * 10_000).text

    await with_client(served, tmp_path, use)
    assert served.taken == []


async def test_reload_is_answered_with_what_changed_and_taken_by_the_core(tmp_path: Path) -> None:
    """Nothing changed: words alone. Something did: the core has it before the answer is out. A mistake is told."""
    served = Served(tmp_path)
    event = ParametersChanged(5, "{}", "uid 0")

    def use(client: ControlClient) -> None:
        assert client.ask("reload").text == "read for uid"
        assert served.taken == []
        served.reading = event
        assert client.ask("reload").text == "read for uid"
        assert served.taken == [event]
        served.reading = ConfigError("c.yaml:3: gama: unknown key")
        reply = client.ask("reload")
        assert (reply.ok, reply.text) == (False, "c.yaml:3: gama: unknown key")

    await with_client(served, tmp_path, use)


async def test_requests_in_bulk_do_not_hold_up_the_loop(tmp_path: Path) -> None:
    """Whoever sends hundreds of requests at once is answered one by one, and the loop turns in between."""
    served = Served(tmp_path)
    serving = asyncio.create_task(served.control.run())
    await served.control.listening.wait()
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
    writer.write(b"nonsense\n" * 500)
    await reader.readline()
    answered_at_once = reader._buffer.count(b"\n")  # type: ignore[attr-defined]
    assert answered_at_once < 10
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    writer.close()


async def test_silent_clients_do_not_keep_others_out(tmp_path: Path) -> None:
    """The kill switch is heard however many are connected: the one that was silent longest has to go."""
    served = Served(tmp_path)
    serving = asyncio.create_task(served.control.run())
    await served.control.listening.wait()
    silent = [await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME)) for _ in range(20)]
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME))
    writer.write(b'{"verb":"kill"}\n')
    assert b'"ok":true' in await reader.readline()
    assert await silent[0][0].read() == b""
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    for _, each in (*silent, (reader, writer)):
        each.close()


async def test_stop_with_clients_connected_is_quiet(tmp_path: Path) -> None:
    """Each of them is told by the end of its connection, also one that does not read; no task is left behind."""
    served = Served(tmp_path)
    serving = asyncio.create_task(served.control.run())
    await served.control.listening.wait()
    clients = [await asyncio.open_unix_connection(str(tmp_path / SOCKET_NAME)) for _ in range(3)]
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    clients[0][1].write(b'{"verb":"status"}\n' * 100)
    await clients[0][0].readline()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert complaints == []
    for _, writer in clients:
        writer.close()


async def test_deep_state_dir_has_a_socket_too(tmp_path: Path) -> None:
    """The kernel's limit on socket names is not a limit on folders; a socket left by a sudden death is replaced."""
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    folder.mkdir(parents=True)
    (folder / SOCKET_NAME).touch()
    await with_client(Served(folder), folder, lambda client: None)


def test_nobody_there_is_said_with_a_hint(tmp_path: Path) -> None:
    """Without a daemon the verbs say where they looked."""
    with pytest.raises(UsageError, match="no daemon answers in"):
        ControlClient(tmp_path)


def test_market_is_found_with_or_without_its_venue() -> None:
    """A symbol on two venues needs its venue."""
    assert find_instrument("ETH-USDT", MARKETS) == "a:ETH-USDT"
    assert find_instrument("b:BTC-USDT", MARKETS) == "b:BTC-USDT"
    with pytest.raises(UsageError, match="several venues"):
        find_instrument("BTC-USDT", MARKETS)


async def test_an_order_in_doubt_is_resolved_and_a_position_adopted(tmp_path: Path) -> None:
    """Both are events with who said so; an order that is not in doubt is refused by its number."""
    served = Served(tmp_path)
    place = PlaceOrder(b.SYMBOL, ClientOrderId(5), Side.BUY, 0, 600_000, 10, (Reason.NEW_QUOTE,))
    served.core.ledger.queue(place, 1)
    served.core.ledger.released(place, 1)
    served.core.ledger.apply(CommandOutcomeUnknown(b.SYMBOL, 0, 2, ClientOrderId(5), Operation.PLACE))

    def use(client: ControlClient) -> None:
        (unknown,) = client.status().venues[0].unknown
        assert (unknown.client_id, unknown.side, unknown.price, unknown.phase) == (5, "bid", "60000.0", "unknown")
        refused = client.ask("resolve", order=6, outcome=Resolution.DEAD)
        assert not refused.ok
        assert "order 6 is not in doubt; orders in doubt: 5" in refused.text
        assert not client.ask("resolve").ok
        assert client.ask("resolve", order=5, outcome=Resolution.DEAD, evidence="looked").ok
        assert not client.ask("adopt").ok
        assert client.ask("adopt", "BTC-USDT").ok

    await with_client(served, tmp_path, use)
    resolved = [event for event in served.taken if isinstance(event, OrderResolved)]
    assert [(each.client_id, each.outcome, each.evidence) for each in resolved] == [(5, Resolution.DEAD, "looked")]
    assert resolved[0].who.startswith("uid ")
    assert [event.instrument for event in served.taken if isinstance(event, PositionAdopted)] == [b.SYMBOL]
