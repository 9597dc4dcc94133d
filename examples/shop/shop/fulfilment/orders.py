"""orders: takes orders, and follows what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from shop.events import BROKER_ERRORS, EVENTS, PAUSE_S, Event, consume, events, publish
from shop.service import POOL, background, failure, new_application

routes = web.RouteTableDef()
# An order only goes forward, in whichever order the events of it come.
STATUSES = ("placed", "reserved", "paid", "shipped", "refused")


def application() -> web.Application:
    app = new_application()
    app.cleanup_ctx.extend((events, _stream, background(_follow)))
    app.add_routes(routes)
    return app


async def _stream(app: web.Application) -> AsyncIterator[None]:
    while True:
        try:
            await app[EVENTS].add_stream(name="ORDERS", subjects=["order.*"])
            break
        except BROKER_ERRORS:
            await asyncio.sleep(PAUSE_S)
    yield


@routes.put("/orders/{order}")
async def place(request: web.Request) -> web.Response:
    """Place an order, ``{"sku": "A1", "quantity": 2}``: 202; again, the same."""
    order, given = request.match_info["order"], await request.json()
    event = {"order": order, "sku": given["sku"], "quantity": given["quantity"]}
    await request.app[POOL].execute(
        "insert into orders (id, sku, quantity, status) values ($1, $2, $3, 'placed')"
        " on conflict do nothing",
        *event.values(),
    )
    try:
        await publish(request.app, "order.placed", event, key=order)
    except BROKER_ERRORS:
        return failure(503, "the broker does not answer; send the order again")
    return web.json_response(event, status=202)


@routes.get("/orders/{order}")
async def show(request: web.Request) -> web.Response:
    found = await request.app[POOL].fetchrow(
        "select * from orders where id = $1", request.match_info["order"]
    )
    return web.json_response(dict(found)) if found else failure(404, "there is no such order")


async def _follow(app: web.Application) -> None:
    async def note(event: Event) -> None:
        status = event["event"].removeprefix("order.")
        await app[POOL].execute(
            "update orders set status = $2 where id = $1 and status = any($3::text[])",
            event["order"],
            status,
            STATUSES[: STATUSES.index(status)],
        )

    await consume(app, "order.*", note, durable="orders")
