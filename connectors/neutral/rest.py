"""Signed requests to the neutral venue, and what is known when an answer does not come.

The connector must know four ends apart: an answer; `Refused` (the venue says that nothing was done); `NeverLeft` (there
was no connection to send on); `OutcomeUnknown` (a timeout, a dropped connection, a 5xx, words that make no sense). Only
reads may be asked again; nothing here repeats a request, and every request is a POST or a GET with a nonce of its own,
so that the venue refuses a second arrival of the same bytes.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping

import aiohttp
import msgspec

from connectors.neutral import wire
from connectors.neutral.orders import limit
from connectors.shared.http import NeverLeft, OutcomeUnknown, ask
from connectors.shared.nonces import Nonces
from mm_daemon.domain.errors import CredentialsRefused, VenueUnreachable

BODY_BYTES_MAX = 8 << 20
_NS_PER_MS = 1_000_000
_LIMIT_HEADER = "X-Limit-"
_BUCKETS = ("orders", "requests")
_TOO_MANY, _BANNED = 429, 418

_refusal = msgspec.json.Decoder(wire.Refusal).decode


class Refused(VenueUnreachable):
    """The venue answered that it did nothing, and why."""

    def __init__(self, status: int, problem: wire.Problem) -> None:
        super().__init__(f"the venue refused with {status} {problem.code}: {problem.text}")
        self.status = status
        self.problem = problem


class RestClient:
    """One key at one address. Its clock is the venue's as last measured: see `set_offset`."""

    def __init__(
        self,
        url: str,
        *,
        key: str,
        secret: str,
        now_ns: Callable[[], int],
        timeout_s: float,
        on_limit: Callable[[str, int, bool], None],
    ) -> None:
        """`on_limit(bucket, wait_ms, banned)` hears when a limit is reached, in whatever way the venue says so."""
        self._url = url
        self._key = key
        self._secret = secret.encode()
        self._now_ns = now_ns
        self._nonces = Nonces(now_ns)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._on_limit = on_limit
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._told_until_ns: dict[str, int] = {}
        self._reads_from_ns = 0
        """No read before this instant: going on after a refusal turns it into a ban."""
        self.offset_ns = 0
        """What the venue's clock is ahead of ours."""

    def sign(self, method: str, path: str, body: bytes = b"") -> tuple[str, int, int, str]:
        """(key, time in ms, nonce, signature): never the same twice."""
        time_ms, nonce = (self._now_ns() + self.offset_ns) // _NS_PER_MS, self._nonces.next()
        text = f"{time_ms}\n{nonce}\n{method}\n{path}\n".encode() + body
        return self._key, time_ms, nonce, hmac.new(self._secret, text, hashlib.sha256).hexdigest()

    async def get(self, path: str) -> bytes:
        """The body of a good answer. Raises OutcomeUnknown, NeverLeft, Refused or CredentialsRefused."""
        if self._now_ns() < self._reads_from_ns:
            raise NeverLeft("the venue asked us to wait")
        return await self._ask("GET", path, b"")

    async def post(self, path: str, body: bytes = b"{}") -> bytes:
        """The same for what changes something at the venue."""
        return await self._ask("POST", path, body)

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, path: str, body: bytes) -> bytes:
        if self._closed:
            raise NeverLeft("the connector is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        key, time_ms, nonce, sign = self.sign(method, path, body)
        headers = {"X-Key": key, "X-Time": str(time_ms), "X-Nonce": str(nonce), "X-Sign": sign}
        what = f"{method} {path.partition('?')[0]}"
        url = self._url + path
        return self._judge(
            *await ask(self._session, method, url, most=BODY_BYTES_MAX, what=what, data=body or None, headers=headers)
        )

    def _judge(self, status: int, headers: Mapping[str, str], text: bytes) -> bytes:
        for bucket in _BUCKETS:
            self._look_at_limit(bucket, headers.get(f"{_LIMIT_HEADER}{bucket.title()}", ""))
        if status == 200:
            return text
        if status >= 500:
            raise OutcomeUnknown(f"the venue answered {status}")
        try:
            problem = _refusal(text).error
        except (msgspec.DecodeError, RecursionError):
            raise OutcomeUnknown(f"the venue answered {status} with words that make no sense") from None
        if status in (_TOO_MANY, _BANNED):
            wait_ms = problem.retry_after_ms
            if wait_ms is None:
                wait_ms = _seconds(headers.get("Retry-After", "")) * 1000
            if problem.bucket != "orders":
                self._reads_from_ns = max(self._reads_from_ns, self._now_ns() + wait_ms * _NS_PER_MS)
            self._on_limit(problem.bucket or "", wait_ms, status == _BANNED)
        if status == 401:
            raise CredentialsRefused(f"the venue refused the key: {problem.code}, {problem.text}")
        raise Refused(status, problem)

    def _look_at_limit(self, bucket: str, header: str) -> None:
        """A full limit is told once: nothing more would pass before the next window."""
        found = limit(header)
        now_ns = self._now_ns()
        if found is None or found[0] < found[1] or now_ns < self._told_until_ns.get(bucket, 0):
            return
        self._told_until_ns[bucket] = now_ns + found[2] * _NS_PER_MS
        self._on_limit(bucket, found[2], False)


def _seconds(text: str) -> int:
    """A `Retry-After` in seconds; a second when it says nothing we know."""
    return int(text) if text.isdigit() and len(text) < 8 else 1
