"""The operator's HTTP server: /healthz, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest


@asynccontextmanager
async def serve(
    port: int, registry: CollectorRegistry, ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """
    Serve while the context is open.

    Args:
        port: On all addresses; 0 picks a free one.
        registry: What /metrics shows.
        ready: What /readyz answers: 200 or 503.
    """

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(request: web.Request) -> web.Response:
        is_ready = ready()
        return web.Response(text="ok" if is_ready else "not yet", status=200 if is_ready else 503)

    async def metrics(request: web.Request) -> web.Response:
        body = generate_latest(registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
