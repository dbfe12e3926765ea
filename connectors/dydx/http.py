"""Requests to the indexer and to nodes, and what is known when an answer does not come.

Four ends are known apart: an answer; `Refused` (nothing was done, and why); `NeverLeft` (there was no connection to
send on); `OutcomeUnknown` (a timeout, a dropped connection, a 5xx, words that make no sense). Of several nodes the
first is preferred; one that fails is left alone for a while. What never left goes to the next; nothing else is sent
twice.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from connectors.dydx import wire
from connectors.shared.http import NeverLeft, OutcomeUnknown, ask
from mm_daemon.domain.errors import VenueUnreachable

BODY_BYTES_MAX = 8 << 20
_NS_PER_MS = 1_000_000
_TOO_MANY = 429
_REST_NS = 10 * 10**9
"""How long a node that failed is left alone."""
_ABCI_INFO = b'{"jsonrpc":"2.0","id":1,"method":"abci_info","params":{}}'
_WAIT_MS = 1000
"""After a 429 that names no time."""

T = TypeVar("T", bound=msgspec.Struct)


class Refused(VenueUnreachable):
    """Answered with a status that says nothing was done."""

    def __init__(self, status: int, text: str, wait_ms: int | None = None) -> None:
        super().__init__(f"refused with {status}: {text}")
        self.status = status
        self.wait_ms = wait_ms
        """How long to wait after a 429, where it says so."""


class Http:
    """One session for all addresses."""

    def __init__(self, *, now_ns: Callable[[], int], timeout_s: float) -> None:
        self.now_ns = now_ns
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, url: str, body: bytes | None = None, *, any_status: bool = False) -> bytes:
        """The body of an answer of status 200, or (`any_status`) of any whose body is JSON. Raises as the module
        says."""
        if self._closed:
            raise NeverLeft("the connector is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        what = f"{method} {urlsplit(url).path}"
        answer = await ask(
            self._session,
            method,
            url,
            most=BODY_BYTES_MAX,
            what=what,
            data=body,
            headers=headers,
        )
        return _judged(*answer, any_status=any_status)


def _judged(status: int, headers: Mapping[str, str], text: bytes, *, any_status: bool) -> bytes:
    if status == 200 or (any_status and text.startswith(b'{"jsonrpc"')):
        return text
    if status == _TOO_MANY:
        wait = headers.get("Retry-After", "")
        raise Refused(status, "too many requests", int(wait) if wait.isdigit() and len(wait) < 9 else None)
    if status >= 500:
        raise OutcomeUnknown(f"answered {status}")
    raise Refused(status, text[:200].decode("utf-8", "replace"))


class Indexer:
    """Reads. A limiter that said 429 is left alone for the milliseconds it named; the daemon hears of it."""

    def __init__(self, http: Http, url: str) -> None:
        self._http = http
        self._url = url
        self._from_ns = 0

    async def get(self, path: str) -> bytes:
        """Raises as the module says."""
        now_ns = self._http.now_ns()
        if now_ns < self._from_ns:
            raise NeverLeft("the indexer asked us to wait")
        try:
            return await self._http.ask("GET", self._url + path)
        except Refused as refused:
            if refused.status == _TOO_MANY:
                self._from_ns = now_ns + (refused.wait_ms or _WAIT_MS) * _NS_PER_MS
            raise


class Nodes:
    """Writes, and the height that counts."""

    def __init__(self, http: Http, urls: Sequence[str]) -> None:
        self._http = http
        self._urls = tuple(urls)
        self._rests_until_ns = dict.fromkeys(urls, 0)
        self.failures: dict[str, int] = dict.fromkeys(urls, 0)
        """How often each has failed."""

    def order(self) -> list[str]:
        """The nodes to try: those that rest come last, the one that has rested longest first."""
        now_ns = self._http.now_ns()
        return sorted(self._urls, key=lambda url: max(self._rests_until_ns[url] - now_ns, 0))

    async def broadcast(self, raw: bytes) -> wire.TxResult:
        """What CheckTx of a node says of a transaction; one that it knows already counts as taken. Raises as the module
        says: `NeverLeft` only when no node could be reached."""
        tx = base64.b64encode(raw).decode()
        body = b'{"jsonrpc":"2.0","id":1,"method":"broadcast_tx_sync","params":{"tx":"%b"}}' % tx.encode()
        reply = decoded(await self._rpc(body), wire.TxReply)
        if reply.result is not None:
            return reply.result
        if reply.error is not None and "already exists in cache" in f"{reply.error.data}{reply.error.message}":
            return wire.TxResult(19, "sdk", reply.error.data)
        raise OutcomeUnknown(f"the node answered {reply.error}")

    async def height(self) -> int:
        """Last committed block."""
        return decoded(await self._rpc(_ABCI_INFO), wire.AbciReply).result.response.last_block_height

    async def height_of(self, url: str) -> int:
        """The same as one node has it."""
        reply = await self._http.ask("POST", url, _ABCI_INFO, any_status=True)
        return decoded(reply, wire.AbciReply).result.response.last_block_height

    async def _rpc(self, body: bytes) -> bytes:
        last: VenueUnreachable = NeverLeft("there is no node")
        for url in self.order():
            try:
                return await self._http.ask("POST", url, body, any_status=True)
            except NeverLeft as error:
                self._rest(url)
                last = error
            except (OutcomeUnknown, Refused):
                self._rest(url)
                raise
        raise last

    def _rest(self, url: str) -> None:
        self.failures[url] += 1
        self._rests_until_ns[url] = self._http.now_ns() + _REST_NS


def decoded(text: bytes, wanted: type[T]) -> T:
    """Raises OutcomeUnknown for an answer that makes no sense."""
    try:
        return msgspec.json.decode(text, type=wanted, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OutcomeUnknown(f"the answer makes no sense: {error}") from error
