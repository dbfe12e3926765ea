"""The status page over real HTTP on loopback, over a core that is played with by hand."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from html import unescape
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from aiohttp import web
from yarl import URL

from mm_daemon.core.trading_core import TradingCore
from mm_daemon.domain.decisions import Turn
from mm_daemon.domain.errors import UsageError
from mm_daemon.domain.events import (
    DeadlineReached,
    Event,
    OperatorAction,
    OperatorRequest,
    OrderAccepted,
    OrderFilled,
    VenueDisconnected,
)
from mm_daemon.domain.instrument import InstrumentId
from mm_daemon.observability.live_statistics import LiveStatistics
from mm_daemon.observability.page import board as boards
from mm_daemon.observability.page import guard, server
from mm_daemon.observability.page.board import Board, Source
from mm_daemon.observability.page.daemon import Switch
from mm_daemon.observability.page.guard import is_ours
from mm_daemon.observability.page.server import MOST_WATCHERS, Page
from mm_daemon.observability.recent import Recent
from mm_daemon.observability.records import Records
from mm_daemon.observability.slices import Pace
from mm_daemon.observability.status import Status, Surroundings
from mm_daemon.observability.status_of import status_of
from mm_daemon.observability.summary import Tally
from mm_daemon.ports.connector import Link
from mm_daemon.testkit import builders as b

TOKEN = "a token of some length"
EVIL = "<script>alert(1)</script>"


class Served:
    """Two markets, the second with a name as hostile as a venue may choose, and a page on a port of its own."""

    def __init__(self, *, token: str | None = TOKEN) -> None:
        markets = [b.market(b.instrument(name)) for name in ("BTC-USDT", f"{EVIL}-USDT")]
        self.core = TradingCore(b.core_parameters(*markets))
        self.records = Records(self.core)
        self.recent = Recent()
        self.now_ms = 0
        self.end = 0
        self.asked: list[tuple[OperatorAction, str | None, str]] = []
        self.warnings: list[str] = []
        self.trouble: list[str] = []
        self.fails = False
        self._tallies = {name: Tally() for name in self.core.markets}
        self._statistics = LiveStatistics(self.core.markets, 0).markets
        source = Source(
            core=self.core,
            records=self.records,
            recent=self.recent,
            tallies=self._tallies,
            statistics=self._statistics,
            now_ns=lambda: self.now_ms * b.MS,
            surroundings=self._around,
            links=lambda: {b.VENUE: {"market": Link(True, 12, {"closed": 1})}},
            pace=Pace(),
            switches=lambda: {
                b.VENUE: Switch("dead man's switch: venue cancels all", (self.now_ms + 9000) * b.MS, 5.0)
            },
        )
        self.board = Board(source, self.trouble.append)
        self.page = Page(self.board, self._act, token=token, run="r1", warn=self.warnings.append)
        self.url = ""

    def _around(self) -> Surroundings:
        if self.fails:
            raise ValueError("no surroundings")
        return Surroundings(
            version="1",
            mode="paper",
            pid=1,
            config="c",
            journal="/state/the journal",
            started_ns=0,
            recent=self.recent.lines,
        )

    def live(self, *events: Event) -> Turn:
        """One turn, journaled."""
        self.now_ms += 1
        for event in events:
            self.core.apply(event)
        turn = self.core.decide(self.now_ms * b.MS)
        self.end += (
            len(events)
            + 1
            + sum(
                len(getattr(turn, name))
                for name in ("decisions", "refusals", "dropped", "booked", "reconciled", "released", "queries")
            )
        )
        self.records.observe(turn, events, self.end)
        return turn

    def open(self) -> None:
        """Connected, compared, with books."""
        self.live(b.connected(1), b.account(1))
        for name in self.core.markets:
            self.live(b.snapshot(self.now_ms + 1, 600_000, 600_010, symbol=name))

    def status(self) -> Status:
        return status_of(self.core, self._tallies, self._statistics, self._around(), self.now_ms * b.MS)

    async def _act(self, action: OperatorAction, symbol: str | None, who: str) -> str:
        self.asked.append((action, symbol, who))
        if action is OperatorAction.FLATTEN:
            raise UsageError("the core has not taken it")
        return f"{action} is done"


@asynccontextmanager
async def serving(served: Served, names: tuple[str, ...] = ()) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application(middlewares=[guard.under_our_names(names)])
    served.page.add_to(app)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    running = asyncio.create_task(served.page.run())
    try:
        async with aiohttp.ClientSession(served.url) as session:
            yield session
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await runner.cleanup()


async def until(true: Callable[[], bool]) -> None:
    """The other end of a connection takes its time."""
    for _ in range(5000):
        if true():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("that does not come true")


def piece(page: str, name: str) -> str:
    """What a person reads at one place of the page."""
    found = re.search(rf'data-f="{name}">(.*?)</(?:div|p|span)>\n?(?:<|\n|$)', page, re.DOTALL)
    assert found is not None, name
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found[1])).split())


async def fetched(
    session: aiohttp.ClientSession, path: str | URL, **options: Any
) -> tuple[int, str, Mapping[str, str]]:
    async with session.get(path, **options) as reply:
        return reply.status, await reply.text(), reply.headers


async def test_figures_are_those_of_status() -> None:
    """The JSON is that of `status --json`, byte for byte; the page shows its numbers, each with its record."""
    served = Served()
    served.open()
    (market, _) = served.core.markets.values()
    order = market.working(next(iter(market.quotes)))
    assert order is not None
    at_ns = (served.now_ms + 1) * b.MS
    served.live(
        OrderAccepted(market.id, at_ns, at_ns, order.client_id, "v1"),
        OrderFilled(market.id, at_ns, at_ns, order.client_id, "v1", "f1", order.side, order.ticks, 4, True),
    )
    async with serving(served) as session:
        _, body, _ = await fetched(session, "/status.json")
        assert msgspec.json.decode(body, type=Status) == served.status()
        assert body.encode() == msgspec.json.encode(served.status())
        status = served.status().markets[0]
        _, page, _ = await fetched(session, "/market/test:BTC-USDT")
        shown = unescape(page)
        assert f"<b>+{status.position}</b>" in shown
        for exact in (status.pnl.total, status.pnl.spread, status.pnl.inventory, status.pnl.fees):
            assert f'title="{exact}"' in page
        assert str(status.ask.price) in piece(page, "headline")
        own = served.records.markets[market.id]
        assert own.decided is not None and own.booked is not None
        for record in (own.decided.record, own.booked, own.fills[0].record, own.orders[order.client_id]):
            command = f"mm-daemon journal show '/state/the journal' --from {record} --to {record + 1}"
            assert f'title="{command}"' in shown
        assert "acts in 9.0 s, armed again every 5.0 s" in shown
        assert "up, 12 messages, ended 1× (closed 1)" in shown


async def test_the_page_says_why_nothing_is_quoted() -> None:
    """A sentence with the cause, its figure and its limit stands at the top of both views."""
    served = Served()
    served.open()
    served.now_ms += 41_000
    served.live(DeadlineReached((served.now_ms + 1) * b.MS))
    async with serving(served) as session:
        _, page, _ = await fetched(session, "/market/test:BTC-USDT")
        assert piece(page, "headline") == (
            "■ Not quoting BTC-USDT: the feed is stale: no news of the book for 41 s, the limit is 5.0 s; "
            "the bid at 59988.0 is not known to be gone yet; the ask at 60013.0 is not known to be gone yet."
        )
        assert piece(page, "spoken") == "Not quoting BTC-USDT: book is too old."
        _, page, _ = await fetched(session, "/")
        assert "Quoting none of 2 markets, 2 not at all." in page
        assert "the feed is stale: no news of the book for 41 s" in page

        served.live(VenueDisconnected(b.VENUE, 0, (served.now_ms + 1) * b.MS, "reset by peer"))
        served.live(OperatorRequest((served.now_ms + 1) * b.MS, OperatorAction.PAUSE, "page", b.SYMBOL))
        await asyncio.sleep(boards.PERIOD_S)
        _, page, _ = await fetched(session, "/market/test:BTC-USDT")
        said = piece(page, "headline")
        assert "paused by page at 00:00:41 UTC, until somebody resumes it" in said
        assert "test has been disconnected for 0.0 s (reset by peer)" in said
        _, page, _ = await fetched(session, "/market/test:BTC-USDT")
        assert "operator_paused" in piece(page, "lockouts")

        served.live(OperatorRequest((served.now_ms + 1) * b.MS, OperatorAction.KILL, "uid 0"))
        await asyncio.sleep(boards.PERIOD_S)
        _, page, _ = await fetched(session, "/")
        assert "Killed: operator uid 0. Nothing is quoted until somebody runs mm-daemon clear-kill." in page


async def test_budgets_are_shown_with_what_is_left() -> None:
    """A market's own: places and moves in the last minute, messages for each fill."""
    served = Served()
    for market in served.core.markets.values():
        market.facts.limit(msgspec.structs.replace(market.facts.limits, actions_per_minute=10, max_order_to_trade=50.0))
    served.open()
    async with serving(served) as session:
        _, page, _ = await fetched(session, "/market/test:BTC-USDT")
        assert "2 of 10 used in the last minute" in page
        assert "2.0 of 50 allowed in an hour" in page


async def test_texts_of_others_cannot_become_markup() -> None:
    """A symbol, a venue's words, who asked: all of it is text wherever it is shown, and in the updates."""
    served = Served()
    served.open()
    name = InstrumentId(f"test:{EVIL}-USDT")
    served.recent(None, "", {"level": "warning", "event": "x", "ts": EVIL * 2, "symbol": EVIL, "text": EVIL})
    served.live(OperatorRequest((served.now_ms + 1) * b.MS, OperatorAction.PAUSE, EVIL))
    async with serving(served) as session:
        for path in ("/", "/market/test:BTC-USDT", f"/market/{quote(name, safe='')}"):
            status, text, _ = await fetched(session, URL(path, encoded=True))
            assert (status, EVIL in text, "<script>" in text) == (200, False, False)
        async with session.get("/events") as reply:
            changed = await read_update(reply.content)
        assert "&lt;script&gt;" in changed["events"]
        assert not [text for text in changed.values() if "<script" in text]


async def test_only_names_of_ours_are_answered() -> None:
    """A site whose name was made to resolve to this address gets nothing, from any path of the page."""
    served = Served()
    served.open()
    async with serving(served, names=("status.example.org",)) as session:
        for path in ("/", "/market/test:BTC-USDT", "/events", "/status.json", "/page.js"):
            status, text, headers = await fetched(session, path, headers={"Host": "rebound.example.com:9464"})
            assert (status, "BTC" in text) == (421, False)
            assert "Access-Control-Allow-Origin" not in headers
        for host in ("localhost", "LOCALHOST:9464", "127.0.0.1", "[::1]:9464", "status.example.org"):
            assert (await fetched(session, "/", headers={"Host": host}))[0] == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:9464", True),
        ("localhost.", True),
        ("10.0.0.7:80", True),
        ("[fe80::1]:80", True),
        ("[::1]", True),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.example:127", False),
        ("", False),
        ("[", False),
    ],
)
def test_names_of_ours(host: str, ours: bool) -> None:
    """Addresses and localhost cannot be made to point here by anybody else."""
    assert is_ours(host, ()) is ours


async def test_every_answer_keeps_others_out() -> None:
    """Nothing from elsewhere is loaded, framed, cached or shared; there is no inline code in the page."""
    served = Served()
    served.open()
    async with serving(served) as session:
        for path in ("/", "/market/test:BTC-USDT", "/status.json", "/page.css", "/page.js", "/market/other"):
            _, text, headers = await fetched(session, path)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert "Access-Control-Allow-Origin" not in headers
            if path == "/":
                assert not re.search(r"\son\w+=|\sstyle=|<style|<script(?! src=\"/page\.js)", text)
                assert not re.search(r"(?:href|src)=\"(?:https?:)?//", text)


async def ask(session: aiohttp.ClientSession, body: object, **headers: str) -> tuple[int, str]:
    async with session.post("/control", json=body, headers=headers) as reply:
        return reply.status, (await reply.json())["text"]


async def test_without_a_token_the_page_only_shows() -> None:
    """No control is there, and none is heard."""
    served = Served(token=None)
    served.open()
    async with serving(served) as session:
        assert await ask(session, {"verb": "pause", "confirmed": True}, **{"X-MM-Token": ""}) == (
            403,
            "this page only shows: http.token in the configuration would let you do this",
        )
        _, page, _ = await fetched(session, "/")
        assert "This page only shows" in page and 'id="act"' not in page
    assert served.asked == []


async def test_with_the_token_it_is_asked_whether_one_is_sure_and_done() -> None:
    """First what it would do, then, confirmed, it goes through the door as `page`; what the door says is said."""
    served = Served()
    served.open()
    right = {"X-MM-Token": TOKEN}
    async with serving(served) as session:
        code, text = await ask(session, {"verb": "flatten", "market": "test:BTC-USDT"}, **right)
        assert code == 409 and text.startswith("Flatten test:BTC-USDT: its quotes are cancelled")
        assert served.asked == []
        assert await ask(session, {"verb": "pause", "confirmed": True}, **right) == (200, "pause is done")
        one = {"verb": "flatten", "market": "test:BTC-USDT", "confirmed": True}
        assert await ask(session, one, **right) == (503, "the core has not taken it")
        assert served.asked == [
            (OperatorAction.PAUSE, None, "page"),
            (OperatorAction.FLATTEN, "test:BTC-USDT", "page"),
        ]
        assert (await ask(session, {"verb": "kill", "confirmed": True}, **right))[0] == 400
        assert (await ask(session, {"verb": "pause", "market": "DOGE", "confirmed": True}, **right))[0] == 404
        assert len(served.asked) == 2


async def test_requests_of_other_sites_are_refused() -> None:
    """Whatever a page of another origin can make a browser send, the token included, does nothing and costs nothing."""
    served = Served()
    served.open()
    body = {"verb": "pause", "confirmed": True}
    async with serving(served) as session:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            assert (await ask(session, body, **{"X-MM-Token": TOKEN, **headers}))[0] == 403
        async with session.post("/control", data=json.dumps(body), headers={"X-MM-Token": TOKEN}) as reply:
            assert reply.status == 415  # what a form can send
        async with session.options("/control", headers={"Origin": "https://evil.example"}) as reply:
            assert "Access-Control-Allow-Origin" not in reply.headers
        assert served.asked == []
        own = {"X-MM-Token": TOKEN, "Origin": served.url, "Sec-Fetch-Site": "same-origin"}
        assert (await ask(session, body, **own))[0] == 200


async def test_whoever_guesses_waits_and_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong tokens are answered late and told of; the right one is heard while they wait, however many they are."""
    monkeypatch.setattr(guard, "LATE_S", 3600.0)
    served = Served()
    served.open()
    body = {"verb": "pause", "confirmed": True}
    guesses = ["", "a", TOKEN[:-1], TOKEN + "x", "é", *(str(number) for number in range(guard.MOST_LATE - 5))]
    async with serving(served) as session:
        guessing = [asyncio.create_task(ask(session, body, **{"X-MM-Token": guess})) for guess in guesses]
        await until(lambda: len(served.warnings) == guard.MOST_LATE)
        assert (await ask(session, body, **{"X-MM-Token": "one more"}))[0] == 429
        for _ in range(40):
            assert await ask(session, body, **{"X-MM-Token": TOKEN}) == (200, "pause is done")
        assert len(served.asked) == 40
        assert set(served.warnings) == {"127.0.0.1 has tried a wrong token on the status page"}
        assert not [task for task in guessing if task.done()]
        for task in guessing:
            task.cancel()
        await asyncio.gather(*guessing, return_exceptions=True)


async def test_a_wrong_token_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LATE_S", 0.0)
    served = Served()
    served.open()
    async with serving(served) as session:
        for guess in ("", TOKEN[:-1], TOKEN + "x", "é"):
            said = await ask(session, {"verb": "pause", "confirmed": True}, **{"X-MM-Token": guess})
            assert said == (401, "the token is not right")
    assert served.asked == []


async def read_update(stream: aiohttp.StreamReader) -> dict[str, str]:
    """The next server-sent event as what it changes."""
    while True:
        line = (await asyncio.wait_for(stream.readline(), 5)).decode()
        assert line, "the stream has ended"
        if line.startswith("data: "):
            changed: dict[str, str] = json.loads(line.removeprefix("data: "))
            return changed


async def test_updates_carry_what_has_changed() -> None:
    """Whoever watches is sent the pieces that differ from what its page was made of, and no others."""
    served = Served()
    served.open()
    async with serving(served) as session:
        _, page, _ = await fetched(session, "/")
        source = re.search(r'data-stream="([^"]*)"', page)
        assert source is not None
        async with session.get(unescape(source[1])) as reply:
            assert reply.headers["Content-Type"].startswith("text/event-stream")
            served.live(OperatorRequest((served.now_ms + 1) * b.MS, OperatorAction.PAUSE, "page", b.SYMBOL))
            changed = await read_update(reply.content)
            assert "paused by page" in changed["r0-why"]
            assert "not quoting" in changed["r0-state"]
            assert not [name for name in changed if name.startswith("r1-") and name != "r1-age"]
            assert "venues" not in changed or "acts in" in changed["venues"]
        async with session.get("/events?view=test:BTC-USDT&run=r0&seen=3") as reply:
            assert await reply.content.readline() == b"event: restarted\n"  # the page is that of an earlier process


async def test_one_build_serves_all_and_none_is_made_unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten watchers cost what one does; when they have gone, nothing is built any more."""
    monkeypatch.setattr(boards, "PERIOD_S", 0.02)
    served = Served()
    served.open()
    async with serving(served) as session:
        streams = [await session.get("/events") for _ in range(10)]
        for stream in streams:
            await read_update(stream.content)
        before = served.board.build
        for _ in range(5):
            served.now_ms += 1
            for stream in streams:
                await read_update(stream.content)
        assert served.board.build - before <= 12
        for stream in streams:
            stream.close()
        await until(lambda: not served.board.watched)
        settled = served.board.build
        await asyncio.sleep(5 * boards.PERIOD_S)
        assert served.board.build <= settled + 1


async def test_room_for_so_many_watchers() -> None:
    """One more is refused with words; a place that becomes free is given again."""
    served = Served()
    served.open()
    async with serving(served) as session:
        streams = [await session.get("/events") for _ in range(MOST_WATCHERS)]
        assert (await fetched(session, "/events"))[0] == 503
        streams[0].close()
        await until(lambda: len(served.page.watching) < MOST_WATCHERS)
        reply = await session.get("/events")
        assert reply.status == 200
        for stream in (*streams, reply):
            stream.close()


async def test_a_reader_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ends, what waits for it is bounded, and those who read are served on."""
    monkeypatch.setattr(boards, "PERIOD_S", 0.005)
    monkeypatch.setattr(server, "SLOW_S", 0.2)
    served = Served()
    served.open()
    for _ in range(60):
        served.recent(None, "", {"level": "warning", "event": "x", "ts": "0" * 20, "symbol": "", "text": "long" * 4000})
    async with serving(served) as session:
        host, _, port = served.url.removeprefix("http://").partition(":")
        deaf = socket.create_connection((host, int(port)))
        deaf.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader = await session.get("/events")
        for step in range(1000):
            served.recent(None, "", {"level": "warning", "event": "x", "ts": f"{step:020}", "symbol": "", "text": "x"})
            served.now_ms += 1
            await read_update(reader.content)
            if step > 3 and len(served.page.watching) == 1:
                break
        assert len(served.page.watching) == 1
        await read_update(reader.content)
        reader.close()
        deaf.close()


async def test_a_figure_that_cannot_be_shown_costs_the_page_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said in the log, and goes on when it can be shown again."""
    monkeypatch.setattr(boards, "_AFTER_TROUBLE_S", 0.01)
    monkeypatch.setattr(boards, "PERIOD_S", 0.01)
    served = Served()
    served.open()
    async with serving(served) as session:
        served.fails = True
        stream = await session.get("/events")
        await until(lambda: bool(served.trouble))
        assert served.trouble[0] == "the status page cannot be shown: ValueError: no surroundings"
        assert (await fetched(session, "/"))[0] == 500
        served.fails = False
        _, page, _ = await fetched(session, "/")
        assert "Quoting all 2 markets." in page
        await read_update(stream.content)
        stream.close()


async def test_a_watcher_that_leaves_in_the_midst_of_a_build_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its view is gone, and whoever asked for the same page has it all the same."""
    monkeypatch.setattr(boards, "PERIOD_S", 0.0)
    served = Served()
    served.open()
    board = served.board
    board.watch(b.SYMBOL)
    asked = asyncio.create_task(board.fresh((b.SYMBOL,)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    board.leave(b.SYMBOL)
    assert "Quoting BTC-USDT" in (await asked)[b.SYMBOL].all["headline"]
    assert set(await board.fresh(())) == set()
