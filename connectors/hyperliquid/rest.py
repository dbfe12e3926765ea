"""Hyperliquid over HTTP: reads, and actions when the socket is not there. What is known when no answer comes.

Four ends are told apart: an answer; `Refused` (the venue says that nothing was done); `NeverLeft` (there was no
connection to send on); `OutcomeUnknown` (a timeout, a dropped connection, a 5xx, words that make no sense). Nothing
here repeats a request. Reads keep within the minute's weight by waiting, because going on after a 429 only prolongs it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeVar

import aiohttp
import msgspec

from connectors.shared.http import NeverLeft, OutcomeUnknown, ask
from mm_daemon.domain.errors import VenueUnreachable

BODY_BYTES_MAX = 16 << 20
_NS_PER_S = 1_000_000_000
_MINUTE_NS = 60 * _NS_PER_S
_TOO_MANY = 429
_BACKOFF_S = 10.0
"""How long nothing is read after a 429, which does not say for how long it holds."""
_WEIGHTS = {
    "allMids": 2,
    "clearinghouseState": 2,
    "exchangeStatus": 2,
    "l2Book": 2,
    "orderStatus": 2,
    "spotClearinghouseState": 2,
    "userRole": 60,
}
_OTHER_WEIGHT = 20
_JSON = {"Content-Type": "application/json"}

T = TypeVar("T")


class Refused(VenueUnreachable):
    """The venue answered that it did nothing, and why. Status 429: a limit is reached."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the venue refused with {status}: {text}")
        self.status = status
        self.text = text

    @property
    def limited(self) -> bool:
        return self.status == _TOO_MANY


class Weights:
    """What was spent of the minute's weight. Pure."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._spent: deque[tuple[int, int]] = deque()
        self._sum = 0

    def wait_ns(self, weight: int, now_ns: int) -> int:
        """Spend `weight`, and how long to wait before it may be used; the minute slides."""
        spent = self._spent
        while spent and spent[0][0] <= now_ns - _MINUTE_NS:
            self._sum -= spent.popleft()[1]
        over, at_ns = self._sum + weight - self._capacity, now_ns
        for when_ns, part in spent:
            if over <= 0:
                break
            over -= part
            at_ns = when_ns + _MINUTE_NS
        spent.append((max(at_ns, now_ns), weight))
        self._sum += weight
        return max(at_ns - now_ns, 0)


class RestClient:
    """One address of the venue."""

    def __init__(
        self,
        url: str,
        *,
        now_ns: Callable[[], int],
        timeout_s: float,
        weight_per_minute: int,
    ) -> None:
        self._url = url
        self._now_ns = now_ns
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._weights = Weights(weight_per_minute)
        self._session: aiohttp.ClientSession | None = None
        self._reads_from_ns = 0

    async def info(self, asked: Mapping[str, object], wanted: type[T]) -> T:
        """A read. Raises OutcomeUnknown, NeverLeft or Refused; an answer of another shape is OutcomeUnknown."""
        now_ns = self._now_ns()
        if now_ns < self._reads_from_ns:
            raise NeverLeft("the venue asked us to wait")
        wait_ns = self._weights.wait_ns(_WEIGHTS.get(str(asked["type"]), _OTHER_WEIGHT), now_ns)
        if wait_ns:
            await asyncio.sleep(wait_ns / _NS_PER_S)
        text = await self._post("/info", msgspec.json.encode(asked))
        try:
            return msgspec.json.decode(text, type=wanted, strict=True)
        except (msgspec.DecodeError, RecursionError) as error:
            raise OutcomeUnknown(f"the venue's answer to {asked['type']} makes no sense: {error}") from error

    async def exchange(self, body: bytes) -> bytes:
        """An action; its reply as it came. Raises as `info`."""
        self._weights.wait_ns(1, self._now_ns())  # counted, never held up
        return await self._post("/exchange", body)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _post(self, path: str, body: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        what = f"POST {path}"
        status, _, text = await ask(
            self._session, "POST", self._url + path, most=BODY_BYTES_MAX, what=what, data=body, headers=_JSON
        )
        if status == 200:
            return text
        if status >= 500:
            raise OutcomeUnknown(f"{what}: the venue answered {status}")
        if status == _TOO_MANY:
            self._reads_from_ns = self._now_ns() + round(_BACKOFF_S * _NS_PER_S)
        raise Refused(status, text.decode("utf-8", "replace")[:200])
