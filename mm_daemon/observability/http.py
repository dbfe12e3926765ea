"""The loopback server: the status page, `/metrics` for Prometheus, `/healthz` while the event loop turns, and `/readyz`
with reason codes.

Page and figures answer only to names that are ours, so that no web site reads them through a browser on this machine;
the probes, which say a fixed code and nothing else, answer to any. All but the page's controls only reads. A port that
is taken costs page and metrics, never the trading: `serve` raises OSError before anything is served, and the caller
says so and goes on.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mm_daemon.domain.decisions import Reason
from mm_daemon.observability.metric_page import CONTENT_TYPE
from mm_daemon.observability.metrics import Metrics
from mm_daemon.observability.page.guard import under_our_names
from mm_daemon.observability.page.server import Page

_CLOSE_S = 1.0
_PIECE_BYTES = 1 << 15
"""Of a long answer: handing over all of it at once would take longer than a slice."""
_LOGGER = logging.getLogger("mm_daemon.http")


async def serve(
    host: str,
    port: int,
    *,
    metrics: Metrics,
    unready: Callable[[], Sequence[Reason]],
    serving: Callable[[str], None],
    names: Collection[str] = (),
    page: Page | None = None,
) -> None:
    """Serve until cancelled. `serving` is told the address once it listens; `names` are what it is called by, beside
    localhost and addresses. Raises OSError when it cannot listen.
    """

    async def show_metrics(request: web.Request) -> web.StreamResponse:
        text = await metrics.text()
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        response.content_length = len(text)
        await response.prepare(request)
        for start in range(0, len(text), _PIECE_BYTES):
            await metrics.pace.turn()
            await response.write(text[start : start + _PIECE_BYTES])
        return response

    async def show_health(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def show_readiness(_: web.Request) -> web.Response:
        reasons = unready()
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    app = web.Application(client_max_size=1 << 10, middlewares=[under_our_names(names)])
    app.router.add_get("/metrics", show_metrics, allow_head=False)
    app.router.add_get("/healthz", show_health)
    app.router.add_get("/readyz", show_readiness)
    if page is not None:
        page.add_to(app)
    _LOGGER.addFilter(_no_trouble_of_ours)
    runner = web.AppRunner(app, logger=_LOGGER, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        serving(_address(runner))
        await (asyncio.Event().wait() if page is None else page.run())
    finally:
        await runner.cleanup()


def _address(runner: web.AppRunner) -> str:
    """`127.0.0.1:9464`, with the port that was got where any was asked for."""
    host, port = runner.addresses[0][:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _no_trouble_of_ours(record: logging.LogRecord) -> bool:
    """Lets every record pass; one about a request that is no HTTP becomes a warning of one line."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        said = (error.message.split("\n", 1)[0]).strip(" :")
        record.msg, record.args, record.exc_info = "refused a request that is no HTTP: %s", (said,), None
    return True
