"""One ccxt.pro instance and what it watches, kept alive until cancelled; built anew after every failure.

ccxt shows a broken stream as an exception of whichever call waits, keeps what it cached, and connects again with the
old credentials; some failures it does not show at all. So a failure of any stream, or a word from outside (`recycle`),
ends the instance with everything it held, and another one is built.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from connectors.ccxt.client import Factory
from connectors.ccxt.outcomes import is_credentials, said
from mm_daemon.domain.errors import CredentialsRefused
from mm_daemon.domain.rng import Rng

_OPEN_S = 10.0
_LOOK_S = 0.02
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_SETTLED_S = 10.0
_FLIGHTS = "authenticationFlights"

Watch = Callable[[Any], Awaitable[None]]
T = TypeVar("T")


class StreamFailed(Exception):
    """ccxt could not go on with a stream: whatever it raised is the cause."""


async def from_ccxt(call: Awaitable[T]) -> T:
    """What a watch of ccxt gives. Raises StreamFailed for everything that it raises: a message that it cannot read must
    not end the process."""
    try:
        return await call
    except Exception as error:
        raise StreamFailed from error


class _Recycled(Exception):
    """Somebody asked for another instance."""


class ProStreams:
    """`watches` are coroutines that await one stream of the instance for ever. `up` is whether all of them are
    connected."""

    def __init__(
        self,
        factory: Factory,
        markets: Callable[[], Any],
        watches: Sequence[Watch],
        *,
        rng: Rng,
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        tap: Callable[[bytes], None] | None = None,
    ) -> None:
        """`markets()` is the loaded instance whose markets are shared. `tap` is shown each message as the exchange sent
        it, before ccxt reads it."""
        self._tap = tap
        self._factory = factory
        self._markets = markets
        self._watches = watches
        self._rng = rng
        self._on_up = on_up
        self._on_down = on_down
        self._failures = 0
        self._cause: asyncio.Future[None] | None = None
        self.up = False
        self.ends: Counter[str] = Counter()
        """Ends of instances, by cause: `failed`, or what `recycle` was told."""

    async def run(self) -> None:
        """Raises CredentialsRefused when the venue does not take the key."""
        loop = asyncio.get_running_loop()
        while True:
            begun_s = loop.time()
            cause = await self._live()
            self.up = False
            if loop.time() - begun_s >= _SETTLED_S:
                self._failures = 0
            self._on_down(cause)
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * float(2 ** min(self._failures, 10)))
            self._failures += 1
            await asyncio.sleep(pause_s * (0.5 + self._rng.uniform()))

    def recycle(self, reason: str) -> None:
        """End this instance and build another one; counted under `reason`."""
        if self._cause is not None and not self._cause.done():
            self._cause.set_exception(_Recycled(reason))

    async def _live(self) -> str:
        """One instance from its beginning to its end; why it ended."""
        exchange = self._factory.build()
        exchange.set_markets_from_exchange(self._markets())
        self._factory.open(exchange)
        self._cause = asyncio.get_running_loop().create_future()
        handle = exchange.handle_message
        exchange.handle_message = lambda client, message: self._hear(handle, client, message)
        if self._tap is not None:
            _tap_clients(exchange, self._tap)
        tasks = [asyncio.ensure_future(watch(exchange)) for watch in self._watches]
        opening = asyncio.ensure_future(self._opened(exchange))
        waiting: set[asyncio.Future[Any]] = {*tasks, opening, self._cause}
        try:
            while True:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task is opening and not task.cancelled() and task.exception() is None:
                        self.up = True
                        self._on_up()
                    else:
                        return self._ended(task)
        finally:
            self._cause = None
            for task in (*tasks, opening):
                task.cancel()
            await asyncio.gather(*tasks, opening, return_exceptions=True)
            await _close(exchange)

    def _ended(self, task: "asyncio.Future[Any]") -> str:
        if task.cancelled():  # ccxt cancels what waits for a connection that it closes
            self.ends["failed"] += 1
            return "ccxt has closed the connection"
        error = task.exception()
        if isinstance(error, _Recycled):
            self.ends[str(error)] += 1
            return str(error)
        if not isinstance(error, StreamFailed | TimeoutError):
            raise error or RuntimeError("a watch has ended without an error")  # a bug of ours
        cause = error.__cause__ or error
        if is_credentials(cause):
            raise CredentialsRefused(f"the venue refused our key: {said(cause)}")
        self.ends["failed"] += 1
        return said(cause)

    def _hear(self, handle: Callable[[Any, Any], None], client: Any, message: Any) -> None:
        """What ccxt does not act on."""
        if isinstance(message, Mapping) and message.get("e") == "listenKeyExpired":
            self.recycle("listen_key_expired")
            return
        handle(client, message)

    async def _opened(self, exchange: Any) -> None:
        """Until every connection of the instance stands and has logged in."""
        async with asyncio.timeout(_OPEN_S):
            while True:
                await asyncio.sleep(_LOOK_S)
                clients = [client for url, client in exchange.clients.items() if url != _FLIGHTS]
                if clients and all(_stands(client) for client in clients):
                    return


def _tap_clients(exchange: Any, tap: Callable[[bytes], None]) -> None:
    """See that every connection which ccxt makes for this instance shows its messages, text or binary."""
    make = exchange.client

    def tapped(url: str) -> Any:
        client = make(url)
        if not getattr(client, "tapped", False):
            client.tapped = True
            read = client.handle_text_or_binary_message

            def shown(data: str | bytes) -> None:
                tap(data.encode() if isinstance(data, str) else bytes(data))
                read(data)

            client.handle_text_or_binary_message = shown
        return client

    exchange.client = tapped


def _stands(client: Any) -> bool:
    login = client.futures.get("authenticated")
    return bool(client.connected.done() and not client.closed() and (login is None or login.done()))


async def _close(exchange: Any) -> None:
    """With whatever ccxt left pending; a socket that died is not waited for."""
    for client in tuple(exchange.clients.values()):
        for future in tuple(client.futures.values()):
            if future.done() and not future.cancelled():
                future.exception()
        response = getattr(client.connection, "_response", None)
        transport = getattr(getattr(response, "connection", None), "transport", None)
        if transport is not None:
            transport.abort()
    await exchange.close()
