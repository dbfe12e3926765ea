"""Who is let in at the simulated venue: signatures over the raw text, the time window, weights, order counts and bans.

No socket, no clock. A signed request carries `timestamp` and `signature`, the hex HMAC-SHA256 of query and body exactly
as they were sent, without the signature itself.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping

from connectors.simulators.binance_usdm.settings import BinanceUsdmSettings
from connectors.simulators.window import Window

WEIGHT, ORDERS_10S, ORDERS_1M = "weight", "orders_10s", "orders_1m"
RECV_WINDOW_MS = 5000
_RECV_WINDOW_MAX_MS = 60_000
_AHEAD_MS = 1000
_HEADERS = {
    WEIGHT: "X-MBX-USED-WEIGHT-1M",
    ORDERS_10S: "X-MBX-ORDER-COUNT-10S",
    ORDERS_1M: "X-MBX-ORDER-COUNT-1M",
}


class Refused(Exception):
    """A request, or one order of it, that is turned away: HTTP status, code and words."""

    def __init__(self, code: int, text: str, *, status: int = 400, retry_after_ms: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status
        self.retry_after_ms = retry_after_ms


class Limits:
    """One account with one key, at one address."""

    def __init__(self, settings: BinanceUsdmSettings, key: str, secret: str) -> None:
        self._settings = settings
        self._key = key
        self._secret = secret.encode()
        self._windows = {
            WEIGHT: Window(settings.weight_per_minute, 60_000),
            ORDERS_10S: Window(settings.orders_per_10s, 10_000),
            ORDERS_1M: Window(settings.orders_per_minute, 60_000),
        }
        self._refusals = 0
        """Refusals in a row."""
        self._banned_until_ms = 0

    def check_key(self, key: str) -> None:
        """Raises Refused."""
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            raise Refused(-2014, "API-key format invalid.", status=401)

    def check_signature(self, query: str, body: str, fields: Mapping[str, str], now_ms: int) -> None:
        """Raises Refused."""
        text, _, signature = (query + body).rpartition("&signature=")
        signed = hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(signed, signature):
            raise Refused(-1022, "Signature for this request is not valid.")
        try:
            at_ms, window_ms = int(fields["timestamp"]), int(fields.get("recvWindow", RECV_WINDOW_MS))
        except (KeyError, ValueError):
            raise Refused(
                -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."
            ) from None
        if at_ms >= now_ms + _AHEAD_MS:
            raise Refused(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
        if now_ms - at_ms > min(window_ms, _RECV_WINDOW_MAX_MS):
            raise Refused(-1021, "Timestamp for this request is outside of the recvWindow.")

    def spend(self, costs: Mapping[str, int], now_ms: int) -> None:
        """Count a request. Raises Refused when a limit is reached or a ban runs: nothing was done then."""
        if now_ms < self._banned_until_ms:
            raise self._banned(now_ms)
        for name, cost in costs.items():
            window = self._windows[name]
            window.turn(now_ms)
            if cost and window.used + cost > window.capacity:
                self._refusals += 1
                if self._refusals > self._settings.refusals_before_ban:
                    self.ban(now_ms, self._settings.ban_ms)
                    raise self._banned(now_ms)
                raise self.slow_down(window.left_ms(now_ms), orders=name != WEIGHT)
        for name, cost in costs.items():
            self._windows[name].used += cost
        self._refusals = 0

    def ban(self, now_ms: int, ms: int) -> None:
        self._banned_until_ms = max(self._banned_until_ms, now_ms + ms)
        self._refusals = 0

    def slow_down(self, retry_after_ms: int, *, orders: bool) -> Refused:
        if orders:
            text = f"Too many new orders; current limit is {self._settings.orders_per_10s} orders per TEN_SECONDS."
            return Refused(-1015, text, status=429, retry_after_ms=retry_after_ms)
        text = f"Too many requests; current limit is {self._settings.weight_per_minute} requests per minute."
        return Refused(-1003, text, status=429, retry_after_ms=retry_after_ms)

    def headers(self, now_ms: int, *, orders: bool) -> Iterator[tuple[str, str]]:
        """What was used of each limit; order counts only with the answers to orders."""
        for name, window in self._windows.items():
            if name == WEIGHT or orders:
                window.turn(now_ms)
                yield _HEADERS[name], str(window.used)

    def order_limits(self, now_ms: int) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for name, interval, number in ((ORDERS_10S, "SECOND", 10), (ORDERS_1M, "MINUTE", 1)):
            window = self._windows[name]
            window.turn(now_ms)
            rows.append(
                {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number, "limit": window.capacity}
            )
        return rows

    def _banned(self, now_ms: int) -> Refused:
        text = (
            f"Way too many requests; IP banned until {self._banned_until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
        return Refused(-1003, text, status=418, retry_after_ms=self._banned_until_ms - now_ms)
