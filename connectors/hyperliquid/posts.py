"""Requests over the socket: each has a number, and its reply comes with the same, in any order.

A post that is not answered in time, or whose connection ends, has an unknown outcome and is forgotten: a reply that
comes later is dropped, and nothing is ever sent again.
"""

import asyncio
from collections.abc import Callable

import msgspec
from websockets.exceptions import ConnectionClosed

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid.requests import post_frame
from connectors.hyperliquid.rest import Refused
from connectors.shared.http import OutcomeUnknown
from connectors.shared.ws_session import Send
from mm_daemon.domain.errors import VenueUnreachable

End = Callable[[bytes | VenueUnreachable], None]
"""Told the reply's payload, or why there is none: `Refused` when the venue says that it did nothing."""


class Posts:
    """Belongs to the event loop."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._send: Send | None = None
        self._number = 0
        self._waiting: dict[int, tuple[End, asyncio.TimerHandle]] = {}
        self.late = 0
        """Replies that came after they were given up."""

    def begin(self, send: Send) -> None:
        """A connection is there."""
        self._send = send

    def end(self, cause: str) -> None:
        """The connection has ended: what was asked on it will not be answered."""
        self._send = None
        waiting, self._waiting = self._waiting, {}
        for done, timer in waiting.values():
            timer.cancel()
            done(OutcomeUnknown(f"the connection ended before the reply: {cause}"))

    async def send(self, kind: str, payload: bytes, done: End) -> bool:
        """Ask; `done` is called once, unless this returns False: there is no connection, and nothing has left."""
        if self._send is None:
            return False
        self._number += 1
        number = self._number
        timer = asyncio.get_running_loop().call_later(self._timeout_s, self._give_up, number)
        self._waiting[number] = (done, timer)
        try:
            await self._send(post_frame(number, kind, payload).decode())
        except ConnectionClosed as error:
            self._finish(number, OutcomeUnknown(f"the connection ended while sending: {error}"))
        return True

    def answered(self, post: aw.Post) -> None:
        response = post.response
        if response.type != "error":
            self._finish(post.id, bytes(response.payload))
            return
        text = msgspec.json.decode(response.payload)
        status = int(text[:3]) if isinstance(text, str) and text[:3].isdigit() else 500
        refused = 400 <= status < 500
        self._finish(post.id, Refused(status, str(text)) if refused else OutcomeUnknown(f"the venue answered {text}"))

    def _give_up(self, number: int) -> None:
        self._finish(number, OutcomeUnknown(f"no reply within {self._timeout_s:g} s"))

    def _finish(self, number: int, end: bytes | VenueUnreachable) -> None:
        found = self._waiting.pop(number, None)
        if found is None:
            self.late += 1
            return
        done, timer = found
        timer.cancel()
        done(end)
