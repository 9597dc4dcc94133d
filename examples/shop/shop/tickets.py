"""
tickets: sold one by one, over a pool of a few connections to the database.

When it is slow all of them are soon in use. Then whoever asks is told so at once, and a connection
that has let us down is closed and given back, so that all is well when the database is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import asyncpg
from aiohttp import web

from shop.service import DATABASE_ERRORS, POOL, connect, failure, plain_application

routes = web.RouteTableDef()

CONNECTIONS = 4
WAITS_S = 3.0
ANSWERS_WITHIN_S = 3.0
# After-success is the bug of examples/pool-exhausted-broken: the place of a connection that has met
# an error is not given back, so that a few errors leave none.
GIVES_BACK = os.environ.get("GIVES_BACK", "always")
PLACES = web.AppKey("PLACES", asyncio.Semaphore)


class ExhaustedError(Exception):
    """No connection has become free in time."""


def application() -> web.Application:
    # NB: its health is its own: while the database is slow, it still has something to say.
    app = plain_application()
    app[PLACES] = asyncio.Semaphore(CONNECTIONS)
    app.cleanup_ctx.append(_pool)
    app.add_routes(routes)
    return app


async def _pool(app: web.Application) -> AsyncIterator[None]:
    app[POOL] = await connect(os.environ["DATABASE_URL"], size=CONNECTIONS)
    yield
    app[POOL].terminate()


@routes.put("/tickets/{ticket}")
async def sell(request: web.Request) -> web.Response:
    """Sell a ticket: 201; again, the same. 503 when it is worth trying again."""
    ticket = request.match_info["ticket"]
    try:
        async with _place(request.app[PLACES]), _connection(request.app[POOL]) as connection:
            await connection.execute(
                "insert into tickets (id) values ($1) on conflict (id) do nothing",
                ticket,
                timeout=ANSWERS_WITHIN_S,
            )
    except ExhaustedError:
        return failure(503, f"none of {CONNECTIONS} connections is free; try again")
    except DATABASE_ERRORS:
        return failure(503, "the database does not answer; try again")
    return web.json_response({"ticket": ticket}, status=201)


@contextlib.asynccontextmanager
async def _place(places: asyncio.Semaphore) -> AsyncIterator[None]:
    """Have one of the places that there are for connections."""
    try:
        async with asyncio.timeout(WAITS_S):
            await places.acquire()
    except TimeoutError:
        raise ExhaustedError from None
    done = False
    try:
        yield
        done = True
    finally:
        if done or GIVES_BACK == "always":
            places.release()


@contextlib.asynccontextmanager
async def _connection(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    try:
        connection = await pool.acquire(timeout=WAITS_S)
    except TimeoutError:
        raise ExhaustedError from None
    done = False
    try:
        yield connection
        done = True
    finally:
        if not done:
            connection.terminate()  # to end it in peace would take a slow database as long again
        await pool.release(connection)
