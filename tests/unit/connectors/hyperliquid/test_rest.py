"""What is known when Hyperliquid's HTTP does not answer as it should, and the weights of reads."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from connectors.hyperliquid import account_wire as aw
from connectors.hyperliquid.posts import Posts
from connectors.hyperliquid.rest import Refused, RestClient, Weights
from connectors.shared.http import NeverLeft, OutcomeUnknown
from mm_daemon.domain.errors import VenueUnreachable
from tests.shared import shared_file

_MINUTE_NS = 60_000_000_000


@asynccontextmanager
async def served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[RestClient]:
    """A client of a server that answers everything so."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    client = RestClient(f"http://{host}:{port}", now_ns=lambda: 0, timeout_s=0.5, weight_per_minute=1000)
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def test_every_captured_failure_is_judged_by_its_status() -> None:
    """4xx: nothing was done; 5xx: nobody knows; 200 with null where something should be: no answer."""
    rows = msgspec.json.decode(shared_file("venues/hyperliquid/messages/http_non_json_errors.json").read_bytes())
    for row in rows:

        async def answer(_request: web.Request, row: dict[str, object] = row) -> web.Response:
            return web.Response(status=int(str(row["status"])), text=str(row["body"]))

        async with served(answer) as client:
            wanted = Refused if 400 <= row["status"] < 500 else OutcomeUnknown
            with pytest.raises(wanted):
                await client.info({"type": "exchangeStatus"}, aw.ExchangeStatus)


async def test_limit_that_is_reached_holds_all_reads() -> None:
    """After a 429 nothing more is asked for a while: going on only prolongs it."""
    asked = 0

    async def answer(_request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.Response(status=429, text="429 Too Many Requests")

    async with served(answer) as client:
        with pytest.raises(Refused) as refused:
            await client.info({"type": "exchangeStatus"}, aw.ExchangeStatus)
        assert refused.value.limited
        with pytest.raises(NeverLeft):
            await client.info({"type": "exchangeStatus"}, aw.ExchangeStatus)
    assert asked == 1


async def test_dropped_connection_and_silence_leave_the_outcome_open() -> None:
    """An action may have been carried out."""

    async def drop(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with served(drop) as client:
        with pytest.raises(OutcomeUnknown):
            await client.exchange(b"{}")
    client = RestClient("http://127.0.0.1:9", now_ns=lambda: 0, timeout_s=0.5, weight_per_minute=10)
    with pytest.raises(NeverLeft):
        await client.exchange(b"{}")
    await client.close()


@given(asked=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 60)), min_size=1, max_size=60))
def test_weights_of_any_minute_stay_below_the_limit(asked: list[tuple[int, int]]) -> None:
    """Whatever is asked and when: a read goes out as late as the minute before it makes it."""
    weights, now_ns, went = Weights(100), 0, []
    for after_ms, weight in asked:
        now_ns += after_ms * 1_000_000
        now_ns += weights.wait_ns(weight, now_ns)
        went.append((now_ns, weight))
    for at_ns, _ in went:
        assert sum(weight for when_ns, weight in went if at_ns - _MINUTE_NS < when_ns <= at_ns) <= 100


# Posts over the socket


def post(number: int, kind: str, payload: object) -> aw.Post:
    body = {"id": number, "response": {"type": kind, "payload": payload}}
    return msgspec.json.decode(msgspec.json.encode(body), type=aw.Post)


async def test_posts_are_matched_by_their_number() -> None:
    """Replies in any order; an error's text says whether anything may have been done; a late reply is dropped."""
    sent: list[str] = []
    ends: dict[str, bytes | VenueUnreachable] = {}

    async def send(frame: bytes | str) -> None:
        sent.append(str(frame))

    posts = Posts(timeout_s=60.0)
    assert not await posts.send("action", b"{}", lambda end: None)
    posts.begin(send)
    for name in ("first", "second", "third", "fourth"):
        assert await posts.send("action", b"{}", lambda end, name=name: ends.__setitem__(name, end))  # type: ignore[misc]
    posts.answered(post(2, "action", {"status": "ok"}))
    posts.answered(post(1, "error", "429 Too Many Requests"))
    posts.answered(post(3, "error", "502 Bad Gateway"))
    posts.end("gone")
    assert ends["second"] == b'{"status":"ok"}'
    assert isinstance(ends["first"], Refused) and ends["first"].limited
    assert isinstance(ends["third"], OutcomeUnknown) and isinstance(ends["fourth"], OutcomeUnknown)
    posts.answered(post(4, "action", {}))
    assert posts.late == 1
    assert [msgspec.json.decode(frame)["id"] for frame in sent] == [1, 2, 3, 4]


async def test_post_without_a_reply_is_given_up() -> None:
    """At its time, once."""
    ends: list[bytes | VenueUnreachable] = []

    async def send(_frame: bytes | str) -> None:
        pass

    posts = Posts(timeout_s=60.0)
    posts.begin(send)
    await posts.send("action", b"{}", ends.append)
    posts._give_up(1)
    posts._give_up(1)
    assert len(ends) == 1 and isinstance(ends[0], OutcomeUnknown)
    posts.end("gone")
