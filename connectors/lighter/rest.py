"""Lighter over HTTP: reads, and transactions when the socket is not there. What is known when no answer comes.

Four ends are told apart: an answer; `Refused` (the venue says that nothing was done); `NeverLeft` (there was no
connection to send on); `OutcomeUnknown` (a timeout, a dropped connection, a failure of the venue's, words that make no
sense). Nothing here repeats a request. Reads keep within the minute's limit: a little too early they wait, else they
fail.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import TypeVar

import aiohttp
import msgspec

from connectors.lighter import wire
from connectors.shared.http import NeverLeft, OutcomeUnknown, ask
from mm_daemon.domain.errors import VenueUnreachable

BODY_BYTES_MAX = 16 << 20
RATE_LIMITED = frozenset({23000, 23001, 23002, 23003, 23004})
UNKNOWN_CODES = frozenset({29500, 29501})
"""The venue's own failure: whether it did anything is not said."""
BAD_AUTH = 20013
KEY_REFUSED = frozenset({21100, 21108, 21109, 21120, 21136})
"""Account or key not found, wrong public key, invalid signature: trying again with the same key will not help."""
_TOO_MANY = 429
_BACKOFF_S = 1.0
_MINUTE_S = 60.0
_PATIENCE_S = 1.0
"""The longest a read is held up: whoever asked gives up in seconds, and asks again."""
_WEIGHTS = {"nextNonce": 6, "apikeys": 150, "accountInactiveOrders": 100, "trades": 600}
_OTHER_WEIGHT = 300

T = TypeVar("T")


class Refused(VenueUnreachable):
    """The venue answered that it did nothing, and why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the venue refused with {code}: {text}")
        self.code = code
        self.text = text

    @property
    def limited(self) -> bool:
        return self.code in RATE_LIMITED or self.code == _TOO_MANY


def problem_of(code: int, text: str) -> VenueUnreachable:
    """What a business code other than success says."""
    if code in UNKNOWN_CODES:
        return OutcomeUnknown(f"the venue failed with {code}: {text}")
    return Refused(code, text)


class Pace:
    """What was spent in the last minute. Pure."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def wait_s(self, units: int, now_s: float) -> float:
        """How long until so much may be spent; the minute slides."""
        spent = self._spent
        while spent and spent[0][0] <= now_s - _MINUTE_S:
            self._sum -= spent.popleft()[1]
        over, at_s = self._sum + units - self._capacity, now_s
        for when_s, part in spent:
            if over <= 0:
                break
            over -= part
            at_s = when_s + _MINUTE_S
        return max(at_s - now_s, 0.0)

    def spend(self, units: int, now_s: float) -> None:
        self._spent.append((now_s, units))
        self._sum += units


class RestClient:
    """One address of the venue."""

    def __init__(self, url: str, *, timeout_s: float, reads_per_minute: int, weighed: bool) -> None:
        """`weighed`: the limit is of weight, not of requests."""
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._pace = Pace(reads_per_minute)
        self._weighed = weighed
        self._session: aiohttp.ClientSession | None = None
        self._reads_from_s = 0.0

    async def read(
        self, name: str, wanted: type[T], query: Mapping[str, object], *, token: str = "", urgent: bool = False
    ) -> T:
        """A read; one that is urgent is counted and never held up. Raises OutcomeUnknown, NeverLeft or Refused; an
        answer of another shape is OutcomeUnknown."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._reads_from_s:
            raise NeverLeft("the venue asked us to wait")
        units = _WEIGHTS.get(name, _OTHER_WEIGHT) if self._weighed else 1
        while not urgent and (wait_s := self._pace.wait_s(units, loop.time())):
            if wait_s > _PATIENCE_S:
                raise NeverLeft(f"{name}: the reads of this minute are spent, for {wait_s:.0f} s")
            await asyncio.sleep(wait_s)
        self._pace.spend(units, loop.time())  # only now: who stopped waiting has read nothing
        parameters = {key: str(value) for key, value in query.items() if value is not None}
        headers = {"authorization": token} if token else {}
        text = await self._ask("GET", name, params=parameters, headers=headers)
        try:
            return msgspec.json.decode(text, type=wanted)
        except (msgspec.DecodeError, RecursionError) as error:
            raise OutcomeUnknown(f"the venue's answer to {name} makes no sense: {error}") from error

    async def send(self, name: str, form: Mapping[str, str]) -> wire.Sent:
        """Transactions. Raises as `read`."""
        text = await self._ask("POST", name, data=form)
        try:
            return wire.decode_sent(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise OutcomeUnknown(f"the venue's answer to {name} makes no sense: {error}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self,
        method: str,
        name: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
    ) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        url = f"{self._url}/api/v1/{name}"
        answer = await ask(
            self._session, method, url, most=BODY_BYTES_MAX, what=name, params=params, headers=headers, data=data
        )
        return self._checked(name, answer.status, answer.body)

    def _checked(self, name: str, status: int, text: bytes) -> bytes:
        if status == _TOO_MANY:
            self._reads_from_s = asyncio.get_running_loop().time() + _BACKOFF_S
        if status >= 500:
            raise OutcomeUnknown(f"{name}: the venue answered {status}")
        try:
            said = wire.decode_error(text)
        except (msgspec.DecodeError, RecursionError):
            if status == 200:
                raise OutcomeUnknown(f"{name}: the answer is no JSON") from None
            raise Refused(status, f"{name}: no words") from None
        if status != 200 or said.code not in (0, 200):
            raise problem_of(said.code or status, said.message)
        return text
