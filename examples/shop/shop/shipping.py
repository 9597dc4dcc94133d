"""shipping: a parcel for each order, which can be called back."""

from __future__ import annotations

from aiohttp import web

from shop.service import POOL, new_application

routes = web.RouteTableDef()


def application() -> web.Application:
    app = new_application()
    app.add_routes(routes)
    return app


@routes.put("/parcels/{order}")
async def send(request: web.Request) -> web.Response:
    """Send what was ordered: 201, and 200 when it was sent before."""
    body = await request.json()
    inserted = await request.app[POOL].fetchval(
        "insert into parcels (order_id, sku, quantity) values ($1, $2, $3)"
        " on conflict (order_id) do nothing returning order_id",
        *(request.match_info["order"], body["sku"], body["quantity"]),
    )
    return web.json_response({}, status=200 if inserted is None else 201)


@routes.delete("/parcels/{order}")
async def call_back(request: web.Request) -> web.Response:
    """Call a parcel back: 204, also when there is none."""
    await request.app[POOL].execute(
        "delete from parcels where order_id = $1", request.match_info["order"]
    )
    return web.Response(status=204)
