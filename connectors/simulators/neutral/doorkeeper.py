"""Who is let in at the neutral venue: signatures, the time window, nonces, rate limits and bans. No socket, no clock.

A signed request carries the key, its time in milliseconds, a nonce that the key has not used before, and the
HMAC-SHA256 (hex, under the key's secret) of `time`, `nonce`, method, path with query and body, joined by line feeds. A
request older than the window is refused, so a nonce need be remembered no longer than that.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping

from connectors.simulators.neutral.messages import Problem
from connectors.simulators.neutral.settings import NeutralVenueSettings
from connectors.simulators.window import Window

ORDERS = "orders"
REQUESTS = "requests"


class Refused(Exception):
    """A request that is turned away, with the status and body of the answer."""

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(problem.text)
        self.status = status
        self.problem = problem


class Doorkeeper:
    """One account with one key."""

    def __init__(self, settings: NeutralVenueSettings, key: str, secret: str) -> None:
        self._settings = settings
        self._key = key
        self._secret = secret.encode()
        self._nonces: dict[int, int] = {}
        """Nonces of the window with their times."""
        self._windows = {
            ORDERS: Window(settings.orders_per_10s, 10_000),
            REQUESTS: Window(settings.requests_per_minute, 60_000),
        }
        self._refusals = dict.fromkeys(self._windows, 0)
        """Refusals in a row, by limit."""
        self._banned_until_ms = 0

    def check_signature(
        self, *, key: str, time_ms: int, nonce: int, sign: str, method: str, path: str, body: bytes, now_ms: int
    ) -> None:
        """Raises Refused."""
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            raise Refused(401, Problem(code="bad_key", text="no such key"))
        text = f"{time_ms}\n{nonce}\n{method}\n{path}\n".encode() + body
        if not hmac.compare_digest(hmac.new(self._secret, text, hashlib.sha256).hexdigest(), sign):
            raise Refused(401, Problem(code="bad_signature", text="the signature does not fit the request"))
        window_ms = self._settings.receive_window_ms
        if abs(now_ms - time_ms) > window_ms:
            late = f"made {now_ms - time_ms} ms ago by its time; {window_ms} ms are allowed"
            raise Refused(400, Problem(code="outside_window", text=late))
        self._nonces = {used: at_ms for used, at_ms in self._nonces.items() if now_ms - at_ms <= window_ms}
        if nonce in self._nonces:
            raise Refused(400, Problem(code="used_nonce", text=f"nonce {nonce} was used before"))
        self._nonces[nonce] = time_ms

    def spend(self, costs: Mapping[str, int], now_ms: int) -> None:
        """Count a request. Raises Refused when a limit is reached or a ban runs: nothing was done then."""
        if now_ms < self._banned_until_ms:
            left_ms = self._banned_until_ms - now_ms
            raise Refused(418, Problem(code="banned", text="banned", retry_after_ms=left_ms))
        for name, window in self._windows.items():
            window.turn(now_ms)
            if costs.get(name, 0) and window.used + costs[name] > window.capacity:
                self._refusals[name] += 1
                if self._refusals[name] > self._settings.refusals_before_ban:
                    self.ban(now_ms, self._settings.ban_ms)
                raise self.slow_down(name, window.left_ms(now_ms))
        for name, cost in costs.items():
            self._windows[name].used += cost
            self._refusals[name] = 0

    def ban(self, now_ms: int, ms: int) -> None:
        self._banned_until_ms = max(self._banned_until_ms, now_ms + ms)
        self._refusals = dict.fromkeys(self._windows, 0)

    @staticmethod
    def slow_down(bucket: str, retry_after_ms: int) -> Refused:
        text = f"limit {bucket} is reached"
        return Refused(429, Problem(code="rate_limited", text=text, bucket=bucket, retry_after_ms=retry_after_ms))

    def headers(self, now_ms: int) -> Iterator[tuple[str, str]]:
        """How full each limit is, as `used/capacity;milliseconds to the next window`."""
        for name, window in self._windows.items():
            window.turn(now_ms)
            yield f"X-Limit-{name.title()}", f"{window.used}/{window.capacity};{window.left_ms(now_ms)}"
