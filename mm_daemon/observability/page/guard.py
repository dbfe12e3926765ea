"""Who may ask for what over HTTP: names that are ours, requests of our own page, a token.

The address is a loopback one, which every program of this machine and every web site in a browser on it can reach. So:
a site whose name was made to resolve to this address is turned away by its Host header; one that posts across origins
fails at the headers that a browser always adds, and cannot add the token; nothing is ever allowed by CORS.
"""

import asyncio
from collections.abc import Collection
from hmac import compare_digest
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

TOKEN_HEADER = "X-MM-Token"
LATE_S = 1.0
"""A wrong token is answered so late."""
MOST_LATE = 16
"""Wrong tokens that wait for their answer; more are turned away."""
_ANYBODY = ("/healthz", "/readyz")

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


def under_our_names(names: Collection[str]) -> Middleware:
    """A middleware that turns away every request by a name that is not ours: page, figures and status alike.

    Not those of probes: they learn a fixed code and nothing else, and a daemon whose probe is refused is restarted.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in _ANYBODY or is_ours(request.host, names):
            return await handler(request)
        text = "mm-daemon answers to addresses, to localhost and to the names in http.names\n"
        return web.Response(status=421, text=text, headers=HEADERS)

    return guarded


def from_our_page(request: web.Request) -> bool:
    """Whether a request that changes something can come from our page, or from no page at all."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        return False
    return request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")


class Doorkeeper:
    """Compares tokens in constant time. The right one is heard at once, however many wrong ones are tried meanwhile:
    nobody who guesses can keep an operator out. That a token cannot be guessed is up to its length.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._late = 0

    def knows(self, token: str) -> bool:
        return compare_digest(token.encode("utf-8", "surrogateescape"), self._token)

    async def keep_waiting(self) -> bool:
        """What a wrong token is in for; False at once where too many wait already."""
        if self._late >= MOST_LATE:
            return False
        self._late += 1
        try:
            await asyncio.sleep(LATE_S)
        finally:
            self._late -= 1
        return True
