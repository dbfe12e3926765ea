"""One request over HTTP, and what is known where there is no answer."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from connectors.shared.http import Answer, NeverLeft, OutcomeUnknown, ask


async def asked(handler: object, path: str = "/", most: int = 100) -> Answer:
    """What a server that answers with this handler at `/` is answered by; `/elsewhere` says so."""
    application = web.Application()
    application.add_routes([web.post("/", handler), web.post("/elsewhere", _elsewhere)])  # type: ignore[arg-type]
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as session:
            return await ask(session, "POST", f"http://{host}:{port}{path}", most=most, what="an order", data=b"{}")
    finally:
        await runner.cleanup()


async def _elsewhere(_: web.Request) -> web.Response:
    return web.Response(text="somebody else's")


async def _echo(request: web.Request) -> web.Response:
    return web.Response(status=418, body=await request.read())


async def _moved(_: web.Request) -> web.Response:
    raise web.HTTPTemporaryRedirect("/elsewhere")


async def _long(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * 101)


async def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def test_whatever_is_answered_is_an_answer() -> None:
    answer = await asked(_echo)
    assert (answer.status, answer.body) == (418, b"{}")


async def test_a_redirection_is_not_followed() -> None:
    """What was signed for one address is not carried to another, and whoever configured it is told."""
    with pytest.raises(OutcomeUnknown, match=r"an order is redirected to /elsewhere: look at the url"):
        await asked(_moved)


async def test_no_whole_answer_leaves_the_outcome_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match="an order"):
        await asked(_cut)
    with pytest.raises(OutcomeUnknown, match="larger than 100 bytes"):
        await asked(_long)


async def test_without_a_connection_it_never_left() -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listener.close()
    await listener.wait_closed()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(NeverLeft):
            await ask(session, "POST", f"http://127.0.0.1:{port}/", most=100, what="an order")
