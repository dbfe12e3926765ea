"""The page over HTTP: two views, their updates as server-sent events, the status as JSON, and what people ask for.

| path | |
|---|---|
| `/`, `/market/ID` | the daemon as a whole, one market: complete without JavaScript |
| `/events?view=ID` | what changes from there on |
| `/status.json` | what `status --json` prints |
| `POST /control` | pause, resume, flatten: with the token, and confirmed |

Whoever reads too slowly is disconnected, and there is room for so many watchers; the browser comes back by itself.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from html import escape
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from aiohttp import web

from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import OperatorAction
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.observability.page.board import Board, View
from mm_daemon.observability.page.guard import HEADERS, TOKEN_HEADER, Doorkeeper, from_our_page

MOST_WATCHERS = 16
SLOW_S = 5.0
"""A watcher that has not taken an update for so long is disconnected."""
_BACKLOG_BYTES = 1 << 18
"""Or one with so much on its way."""
WHO = "page"
_PLACE = re.compile(r"<!--\$([\w-]+)-->")
_PART = re.compile(r"<!--(\w+)-->(.*?)<!--/\1-->", re.DOTALL)

Act = Callable[[OperatorAction, str | None, str], Awaitable[str]]

_QUESTIONS = {
    OperatorAction.PAUSE: "Pause {what}: its quotes are cancelled and none are placed until somebody resumes it. "
    "The position stays.",
    OperatorAction.RESUME: "Resume {what}: it is quoted again wherever nothing else keeps it from that.",
    OperatorAction.FLATTEN: "Flatten {what}: its quotes are cancelled, and orders that take what the market offers are "
    "sent until the position is zero. This costs the spread and fees. It stays paused afterwards.",
}


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request; without `confirmed` it is answered by what it would do."""

    verb: Literal["pause", "resume", "flatten"]
    market: str | None = None
    confirmed: bool = False


class Page:
    """`act`: the door to the core; `token` None: the page only shows. `run`: tells this process from the one before.
    `warn` is told of wrong tokens.
    """

    def __init__(
        self, board: Board, act: Act, *, token: str | None = None, run: str, warn: Callable[[str], None]
    ) -> None:
        self._board = board
        self._act = act
        self._warn = warn
        self._doorkeeper = None if token is None else Doorkeeper(token)
        self._run = run
        self.watching: set[asyncio.Task[Any]] = set()
        """Who is sent updates."""
        self._assets = {
            name: (
                text := (files(__package__) / name).read_text("utf-8"),
                hashlib.sha256(text.encode()).hexdigest()[:12],
            )
            for name in ("page.html", "page.css", "page.js")
        }
        self._parts: dict[str, str] = dict(_PART.findall(self._assets["page.html"][0]))

    def add_to(self, app: web.Application) -> None:
        """Serve it with an application."""
        app.router.add_get("/", self._overview)
        app.router.add_get("/market/{id}", self._market)
        app.router.add_get("/events", self._events, allow_head=False)
        app.router.add_get("/status.json", self._status)
        app.router.add_get("/page.css", self._asset)
        app.router.add_get("/page.js", self._asset)
        app.router.add_post("/control", self._control)
        app.on_shutdown.append(self._end)

    async def run(self) -> None:
        """Keep it up to date until cancelled."""
        await self._board.run()

    def at_once(self) -> None:
        """Make every view, for whoever wants to see that they can be made."""
        self._board.build_at_once((None, *self._board.markets))

    async def _end(self, _: web.Application) -> None:
        """Watchers would stay for ever."""
        for task in self.watching:
            task.cancel()

    # Showing

    async def _overview(self, _: web.Request) -> web.Response:
        return await self._view(None)

    async def _market(self, request: web.Request) -> web.Response:
        view = self._known(request.match_info["id"])
        if view is None:
            return web.Response(status=404, text="there is no such market here\n", headers=HEADERS)
        return await self._view(view)

    def _known(self, name: str) -> InstrumentId | None:
        return next((market for market in self._board.markets if market == name), None)

    async def _view(self, view: View) -> web.Response:
        pieces = (await self._board.fresh((view,)))[view].all
        await self._board.pace.turn()
        text = _PLACE.sub(lambda place: pieces.get(place[1], ""), self._document(view))
        await self._board.pace.turn()
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=HEADERS)

    def _document(self, view: View) -> str:
        """The page around its pieces."""
        parts = self._parts
        body = parts["overview"] if view is None else parts["market"]
        rows = "".join(
            parts["row"]
            .replace("{i}", str(index))
            .replace("{id}", quote(market, safe=":"))
            .replace("{market}", escape(market))
            for index, market in enumerate(self._board.markets)
        )
        controls = parts["controls"] if self._doorkeeper is not None else parts["readonly"]
        filled = {
            "{rows}": rows,
            "{controls}": controls,
            "{title}": "mm-daemon" if view is None else escape(view),
            "{view}": "" if view is None else escape(view),
            "{symbol}": "all markets" if view is None else escape(view),
            "{stream}": escape(
                f"/events?view={'' if view is None else quote(view, safe=':')}&seen={self._board.build}&run={self._run}"
            ),
            "{css}": self._assets["page.css"][1],
            "{js}": self._assets["page.js"][1],
        }
        text = parts["head"] + body + parts["foot"]
        for place, said in filled.items():
            text = text.replace(place, said)
        return text

    async def _asset(self, request: web.Request) -> web.Response:
        name = request.path[1:]
        kind = "text/css" if name.endswith("css") else "text/javascript"
        return web.Response(text=self._assets[name][0], content_type=kind, charset="utf-8", headers=HEADERS)

    async def _status(self, _: web.Request) -> web.Response:
        body = msgspec.json.encode(await self._board.status())
        return web.Response(body=body, content_type="application/json", headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        name = request.query.get("view", "")
        view = self._known(name)
        if name and view is None:
            return web.Response(status=404, text="there is no such market here\n", headers=HEADERS)
        if len(self.watching) >= MOST_WATCHERS:
            text = f"{MOST_WATCHERS} are watching already\n"
            return web.Response(status=503, text=text, headers={**HEADERS, "Retry-After": "10"})
        task = asyncio.current_task()
        assert task is not None
        self.watching.add(task)
        self._board.watch(view)
        try:
            return await self._stream(request, view)
        finally:
            self.watching.discard(task)
            self._board.leave(view)

    async def _stream(self, request: web.Request, view: View) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        run, seen = self._left_at(request)
        if run != self._run:
            await response.write(b"event: restarted\ndata:\n\n")
            return response
        while True:
            seen, changed = await self._board.next(view, seen)
            transport = request.transport
            if transport is None:
                return response
            try:
                async with asyncio.timeout(SLOW_S):
                    await response.write(b"id: %s-%d\ndata: %s\n\n" % (self._run.encode(), seen, changed))
            except TimeoutError:
                transport.abort()
                return response
            except ConnectionError:
                return response
            if transport.get_write_buffer_size() > _BACKLOG_BYTES:
                transport.abort()
                return response

    def _left_at(self, request: web.Request) -> tuple[str, int]:
        """Run and build of what the browser shows: after a lost connection it says it by itself."""
        run, _, seen = request.headers.get("Last-Event-ID", "").rpartition("-")
        if not run:
            run, seen = request.query.get("run", self._run), request.query.get("seen", "0")
        known = seen.isdecimal() and len(seen) < 16
        return run, min(int(seen), self._board.build) if known else 0

    # Doing

    async def _control(self, request: web.Request) -> web.Response:
        doorkeeper = self._doorkeeper
        if doorkeeper is None:
            return _said(403, "this page only shows: http.token in the configuration would let you do this")
        if not from_our_page(request):
            return _said(403, "this does not come from our own page")
        if request.content_type != "application/json":
            return _said(415, "a request is JSON")
        if not doorkeeper.knows(request.headers.get(TOKEN_HEADER, "")):
            self._warn(f"{request.remote} has tried a wrong token on the status page")
            if await doorkeeper.keep_waiting():
                return _said(401, "the token is not right")
            return _said(429, "the token is not right, nor are many others that were tried just now")
        try:
            asked = msgspec.json.decode(await request.read(), type=Asked)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _said(400, str(error))
        action = OperatorAction(asked.verb)
        if asked.market is not None and self._known(asked.market) is None:
            return _said(404, "there is no such market here")
        if not asked.confirmed:
            what = "every market" if asked.market is None else asked.market
            return _said(409, _QUESTIONS[action].format(what=what))
        try:
            return _said(200, await self._act(action, asked.market, WHO))
        except UsageError as error:
            return _said(503, str(error))


def _said(status: int, text: str) -> web.Response:
    return web.json_response({"text": text}, status=status, headers=HEADERS)
