"""orderbook: writes orders down; an order that was acknowledged is there for good."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator

import asyncpg
from aiohttp import web

from shop.service import DATABASE_ERRORS, POOL, new_application

logger = logging.getLogger("shop.orderbook")
routes = web.RouteTableDef()

# Early is the bug of examples/database-restart-broken: an order is acknowledged before it is
# written, so that what cannot be written is lost without a word to anyone.
ACKNOWLEDGES = os.environ.get("ACKNOWLEDGES", "when-written")
WAITING = web.AppKey("waiting", asyncio.Queue)


def application() -> web.Application:
    app = new_application()
    app[WAITING] = asyncio.Queue()
    app.cleanup_ctx.append(_writer)
    app.add_routes(routes)
    return app


@routes.put("/orders/{order}")
async def place(request: web.Request) -> web.Response:
    """Place an order: 201; again, the same. 503 when it is worth trying again."""
    order = request.match_info["order"]
    if ACKNOWLEDGES == "early":
        request.app[WAITING].put_nowait(order)
    else:
        await _write(request.app[POOL], order)
    return web.json_response({"order": order}, status=201)


@routes.get("/orders")
async def orders(request: web.Request) -> web.Response:
    rows = await request.app[POOL].fetch("select id from orders order by id")
    return web.json_response([row["id"] for row in rows])


async def _write(pool: asyncpg.Pool, order: str) -> None:
    await pool.execute("insert into orders (id) values ($1) on conflict (id) do nothing", order)


async def _writer(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_write_what_waits(app))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _write_what_waits(app: web.Application) -> None:
    while True:
        order = await app[WAITING].get()
        try:
            await _write(app[POOL], order)
        except DATABASE_ERRORS as error:
            logger.warning("order %s is lost: %s", order, error)
