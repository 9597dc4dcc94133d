"""What the services have in common: a database pool or a client, health, a graceful end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import aiohttp
import asyncpg
from aiohttp import web

logger = logging.getLogger("shop")

POOL = web.AppKey("pool", asyncpg.Pool)
DATABASE_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

# Kubernetes takes a pod out of its Services while it sends SIGTERM, not before: for this long
# requests still arrive, so the port stays open.
LAME_DUCK_S = 0.5
DRAIN_S = 5.0


@web.middleware
async def unavailable_without_database(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer 503 when the database is away, so that a client knows that it may try again."""
    try:
        return await handler(request)
    except DATABASE_ERRORS as error:
        logger.warning("database: %s: %s", type(error).__name__, error)
        return failure(503, "the database does not answer; try again")


def failure(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def new_application() -> web.Application:
    """Make an application with a pool under ``POOL`` and ``GET /health``."""
    app = web.Application(middlewares=[unavailable_without_database])
    app.cleanup_ctx.append(_database)
    app.router.add_get("/health", _health)
    return app


def plain_application() -> web.Application:
    """Make an application without a database, with ``GET /health``."""
    app = web.Application()
    app.router.add_get("/health", _alive)
    return app


async def _alive(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


CLIENT = web.AppKey("client", aiohttp.ClientSession)
# What a service says when another one is away, or too slow for it.
AWAY = (aiohttp.ClientError, TimeoutError)


async def client(
    app: web.Application, *, traces: Sequence[aiohttp.TraceConfig] = ()
) -> AsyncIterator[None]:
    """Give an application a client under ``CLIENT``, with a connection for each request."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, trace_configs=list(traces)) as app[
        CLIENT
    ]:
        yield


def background(
    work: Callable[[web.Application], Awaitable[None]],
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Make of an endless piece of work what an application does beside its requests."""

    async def running(app: web.Application) -> AsyncIterator[None]:
        task = asyncio.ensure_future(work(app))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return running


async def _database(app: web.Application) -> AsyncIterator[None]:
    app[POOL] = await connect(os.environ["DATABASE_URL"])
    yield
    await app[POOL].close()


async def connect(
    url: str, size: int = 8, attempts: int = 480, pause_s: float = 0.25
) -> asyncpg.Pool:
    """Wait for the database, which may start later than we do; two minutes by default."""
    for attempt in range(1, attempts + 1):
        try:
            # The pool replaces broken connections by itself, so a restarted database costs a 503.
            return await asyncpg.create_pool(url, min_size=1, max_size=size, command_timeout=5)
        except DATABASE_ERRORS as error:
            if attempt == attempts:
                raise
            logger.info("waiting for the database: %s", error)
            await asyncio.sleep(pause_s)
    raise AssertionError("unreachable")


async def _health(request: web.Request) -> web.Response:
    await request.app[POOL].fetchval("select 1")
    return web.json_response({"status": "ok"})


def serve(app: web.Application) -> None:
    """Serve on ``PORT`` until SIGTERM; then finish the requests that are under way."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(_serve(app, int(os.environ.get("PORT", "8080"))))


async def _serve(app: web.Application, port: int) -> None:
    stopping = asyncio.Event()
    # Off: to process 1 of a container SIGTERM means nothing; it is killed when its grace is over.
    if os.environ.get("GRACEFUL", "on") == "on":
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stopping.set)
    runner = web.AppRunner(app, shutdown_timeout=DRAIN_S, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        logger.info("listening on port %d", port)
        await stopping.wait()
        await asyncio.sleep(LAME_DUCK_S)
        logger.info("finishing the requests under way")
    finally:
        await runner.cleanup()
