"""The loopback server: the status page, `/metrics` for Prometheus, `/healthz` while the event loop turns, and `/readyz`
with reason codes.

All but the page's controls only reads. A port that is taken costs page and metrics, never the trading: `serve` raises
OSError before anything is served, and the caller says so and goes on.
"""

import asyncio
from collections.abc import Callable, Sequence

from aiohttp import web

from mm_daemon.domain.decisions import Reason
from mm_daemon.observability.metric_page import CONTENT_TYPE
from mm_daemon.observability.metrics import Metrics
from mm_daemon.observability.page.server import Page

_CLOSE_S = 1.0


async def serve(
    host: str,
    port: int,
    *,
    metrics: Metrics,
    unready: Callable[[], Sequence[Reason]],
    serving: Callable[[str], None],
    page: Page | None = None,
) -> None:
    """Serve until cancelled. `serving` is told the address once it listens. Raises OSError when it cannot."""

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=await metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def show_health(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def show_readiness(_: web.Request) -> web.Response:
        reasons = unready()
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    app = web.Application(client_max_size=1 << 10)
    app.router.add_get("/metrics", show_metrics)
    app.router.add_get("/healthz", show_health)
    app.router.add_get("/readyz", show_readiness)
    if page is not None:
        page.add_to(app)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_S)
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
