"""
saga: an order that inventory, payments and shipping do a part of each: all of it, or nothing.

Where an order stands is written down before each step, and every step can be repeated without
harm; so one whose pod died goes on with the order. When a step is refused, or gets no answer, all
steps are undone: the last one as well, since it may have been done without our knowing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass

import aiohttp
import asyncpg
from aiohttp import web

from shop.service import (
    AWAY,
    CLIENT,
    DATABASE_ERRORS,
    POOL,
    background,
    client,
    failure,
    new_application,
)

logger = logging.getLogger("shop.saga")
routes = web.RouteTableDef()

PRICE_CENTS = 1999
TIMEOUT = aiohttp.ClientTimeout(total=20)  # a busy machine is no service that is down
LOOK_EVERY_S = 0.1
# Last is the bug of examples/saga-broken: of the steps that were done only the last is undone.
UNDOES = os.environ.get("UNDOES", "all")


@dataclass(frozen=True)
class Step:
    """A part of an order: a PUT does it, a DELETE of the same thing undoes it."""

    service: str
    things: str

    def url(self, order: str) -> str:
        return f"{os.environ[f'{self.service}_URL']}/{self.things}/{order}"


STEPS = (
    Step("INVENTORY", "reservations"),
    Step("PAYMENTS", "charges"),
    Step("SHIPPING", "parcels"),
)


def application() -> web.Application:
    app = new_application()
    app.cleanup_ctx.extend((client, background(_work)))
    app.add_routes(routes)
    return app


@routes.put("/orders/{order}")
async def place(request: web.Request) -> web.Response:
    """Place an order, ``{"sku": "A1", "quantity": 2, "card": "good"}``: 202; again, the same."""
    given = await request.json()
    await request.app[POOL].execute(
        "insert into orders (id, sku, quantity, card, status, step) values ($1, $2, $3, $4, $5, 0)"
        " on conflict (id) do nothing",
        *(request.match_info["order"], given["sku"], given["quantity"], given["card"], "open"),
    )
    return web.json_response({}, status=202)


@routes.get("/orders/{order}")
async def show(request: web.Request) -> web.Response:
    """Tell how an order stands: open, undoing, and in the end completed or cancelled."""
    found = await request.app[POOL].fetchrow(
        "select id, status from orders where id = $1", request.match_info["order"]
    )
    return web.json_response(dict(found)) if found else failure(404, "there is no such order")


async def _work(app: web.Application) -> None:
    """Go on with the orders that have not come to their end, those from before our start too."""
    while True:
        try:
            async with app[POOL].acquire() as connection:
                # One at a time, of a pod that is going and the one that comes for it: the lock
                # lasts as long as the connection.
                while await connection.fetchval("select pg_try_advisory_lock(1)"):
                    waiting = await connection.fetch(
                        "select * from orders where status in ('open', 'undoing') limit 20"
                    )
                    await asyncio.gather(*(_go_on(app, order) for order in waiting))
                    await asyncio.sleep(LOOK_EVERY_S)
        except DATABASE_ERRORS as error:
            logger.warning("orders: %s: %s", type(error).__name__, error)
        await asyncio.sleep(LOOK_EVERY_S)


async def _go_on(app: web.Application, order: asyncpg.Record) -> None:
    if order["status"] == "undoing":
        if await _undo(app, order):
            await _note(app, order, "cancelled", order["step"])
        return
    for number in range(order["step"], len(STEPS)):
        await _note(app, order, "open", number)
        if not await _do(app, STEPS[number], order):
            await _note(app, order, "undoing", number)
            return
    await _note(app, order, "completed", len(STEPS))


async def _do(app: web.Application, step: Step, order: asyncpg.Record) -> bool:
    body = {
        "sku": order["sku"],
        "quantity": order["quantity"],
        "cents": order["quantity"] * PRICE_CENTS,
        "card": order["card"],
    }
    try:
        async with app[CLIENT].put(step.url(order["id"]), json=body, timeout=TIMEOUT) as response:
            return bool(response.ok)
    except AWAY as error:
        logger.warning("%s: %s: %s", order["id"], step.things, error or type(error).__name__)
        return False


async def _undo(app: web.Application, order: asyncpg.Record) -> bool:
    """Undo the steps of an order; whether each has said that it is undone."""
    first = max(order["step"] - 1, 0) if UNDOES == "last" else 0
    undone = [await _undo_one(app, step, order) for step in STEPS[first : order["step"] + 1]]
    return all(undone)


async def _undo_one(app: web.Application, step: Step, order: asyncpg.Record) -> bool:
    try:
        async with app[CLIENT].delete(step.url(order["id"]), timeout=TIMEOUT) as response:
            return bool(response.ok)
    except AWAY as error:
        logger.warning("%s: undo %s: %s", order["id"], step.things, error or type(error).__name__)
        return False


async def _note(app: web.Application, order: asyncpg.Record, status: str, step: int) -> None:
    await app[POOL].execute(
        "update orders set status = $2, step = $3 where id = $1", order["id"], status, step
    )
