"""payments: charges each order once, however often it is asked to."""

from __future__ import annotations

from aiohttp import web

from shop.service import POOL, failure, new_application

routes = web.RouteTableDef()


def application() -> web.Application:
    app = new_application()
    app.add_routes(routes)
    return app


@routes.put("/charges/{order}")
async def charge(request: web.Request) -> web.Response:
    """Charge an order: 201, 200 when it was charged before, 402 when its card is no good."""
    order, body = request.match_info["order"], await request.json()
    if body.get("card") == "declined":
        return failure(402, "the card is declined")
    inserted = await request.app[POOL].fetchval(
        "insert into charges (order_id, cents) values ($1, $2)"
        " on conflict (order_id) do nothing returning order_id",
        order,
        body["cents"],
    )
    return web.json_response({"order": order}, status=200 if inserted is None else 201)


@routes.delete("/charges/{order}")
async def cancel(request: web.Request) -> web.Response:
    """Give the money back: 204, also when nothing was charged."""
    await request.app[POOL].execute(
        "delete from charges where order_id = $1", request.match_info["order"]
    )
    return web.Response(status=204)


@routes.get("/charges")
async def charges(request: web.Request) -> web.Response:
    """List the charges, of one order with ``?order=``."""
    order = request.query.get("order")
    rows = await request.app[POOL].fetch(
        "select order_id, cents from charges where $1::text is null or order_id = $1 limit 1000",
        order,
    )
    return web.json_response([{"order": row["order_id"], "cents": row["cents"]} for row in rows])
