"""Who may ask for what on the page: names that are ours, requests of our own page, a token, and not too often.

The address is a loopback one, which every program of this machine and every web site in a browser on it can reach. So:
a site whose name was made to resolve to this address is turned away by its Host header; one that posts across origins
fails at the headers that a browser always adds, and cannot add the token; nothing is ever allowed by CORS.
"""

from collections import deque
from collections.abc import Callable, Collection
from hmac import compare_digest
from ipaddress import ip_address

from aiohttp import web

TOKEN_HEADER = "X-MM-Token"
_FAILURES, _REQUESTS = 5, 30
"""A minute."""
_MINUTE_S = 60.0

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_ours(host: str, names: Collection[str]) -> bool:
    """Whether a Host header is an address, localhost, or one of `names`: a name that anybody can make point here is
    none of ours.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    name = name.lower().rstrip(".")
    if name == "localhost" or name in {own.lower() for own in names}:
        return True
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def from_our_page(request: web.Request) -> bool:
    """Whether a request that changes something can come from our page, or from no page at all."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        return False
    return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


class Doorkeeper:
    """Compares tokens in constant time, and counts: after some that are wrong nobody is heard for a while."""

    def __init__(self, token: str, now_s: Callable[[], float]) -> None:
        self._token = token.encode()
        self._now_s = now_s
        self._failures: deque[float] = deque(maxlen=_FAILURES)
        self._requests: deque[float] = deque(maxlen=_REQUESTS)

    def wait_s(self) -> float:
        """How long until somebody is heard again; 0: now."""
        now_s = self._now_s()
        return max(
            (times[0] + _MINUTE_S - now_s for times in (self._failures, self._requests) if len(times) == times.maxlen),
            default=0.0,
        )

    def knows(self, token: str) -> bool:
        """Whether the token is right. Counts."""
        now_s = self._now_s()
        right = compare_digest(token.encode("utf-8", "surrogateescape"), self._token)
        (self._requests if right else self._failures).append(now_s)
        return right
