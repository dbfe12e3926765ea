"""The channels of one link: asked for a few at a time, asked for again when no answer comes, and the link kept alive.

An error does not say whose it is, so that a channel without an answer is noticed by the time that has passed alone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import msgspec

from connectors.lighter.tokens import Tokens
from connectors.shared.ws_session import Send

UNANSWERED_MAX = 35
"""More at a time trip the venue's limits."""
_LOOK_S = 1.0
_AGAIN_S = 5.0
_PING_S = 30.0
"""The venue drops who says nothing for two minutes, however much it says itself."""
_SUBSCRIBE, _UNSUBSCRIBE = "subscribe", "unsubscribe"


class Channels:
    def __init__(self, tokens: Tokens | None, on_problem: Callable[[str], None]) -> None:
        """`tokens` for private channels; `on_problem` hears of what could not be sent."""
        self._tokens = tokens
        self._on_problem = on_problem
        self._send: Send | None = None
        self._wishes: deque[tuple[str, str, bool]] = deque()
        """Word, channel, and whether it is private."""
        self._asked: dict[str, tuple[float, bool]] = {}
        """Channels that were asked for: when, and whether they are private."""
        self._wished = asyncio.Event()
        self._pinged = asyncio.Event()

    @property
    def unanswered(self) -> int:
        """How many wait for their first frame."""
        return len(self._asked)

    def begin(self, send: Send) -> None:
        """A link has opened: nothing of the one before is on it."""
        self.end()
        self._send = send

    def end(self) -> None:
        self._send = None
        self._wishes.clear()
        self._asked.clear()

    def subscribe(self, channel: str, *, private: bool = False) -> None:
        self._wishes.append((_SUBSCRIBE, channel, private))
        self._wished.set()

    def subscribe_again(self, channel: str, *, private: bool = False) -> None:
        """Anew: a second subscription alone is refused, and brings no snapshot."""
        self._wishes.append((_UNSUBSCRIBE, channel, private))
        self.subscribe(channel, private=private)

    def answered(self, channel: str) -> None:
        """A channel's first frame has come; its name comes back with colons."""
        self._asked.pop(channel.replace(":", "/"), None)
        self._wished.set()

    def ping(self) -> None:
        """The venue wants to hear of us."""
        self._pinged.set()

    async def run(self) -> None:
        """Ask for what is wished, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._wished.wait()
            except TimeoutError:
                self._ask_again(loop.time())
            self._wished.clear()
            while self._wishes and self._send is not None and len(self._asked) < UNANSWERED_MAX:
                word, channel, private = self._wishes.popleft()
                message = {"type": word, "channel": channel}
                if word == _SUBSCRIBE:
                    self._asked[channel] = (loop.time(), private)
                    if private and self._tokens is not None:
                        message["auth"] = await self._tokens.current()
                await self._say(message)

    def _ask_again(self, now_s: float) -> None:
        for channel, (asked_s, private) in tuple(self._asked.items()):
            if now_s - asked_s >= _AGAIN_S:
                del self._asked[channel]
                self._on_problem("no_answer_to_subscription")
                self.subscribe_again(channel, private=private)

    async def keep_alive(self) -> None:
        """Answer the venue's pings, and send one of our own when there was none for a while."""
        while True:
            word = "pong"
            try:
                async with asyncio.timeout(_PING_S):
                    await self._pinged.wait()
            except TimeoutError:
                word = "ping"
            self._pinged.clear()
            await self._say({"type": word})

    async def _say(self, message: Mapping[str, str]) -> None:
        if self._send is None:
            return
        try:
            await self._send(msgspec.json.encode(message).decode())
        except Exception as error:  # the socket is gone: the session hears of it too, and begins again
            self._on_problem(f"unsent_{type(error).__name__}")
