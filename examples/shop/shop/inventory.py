"""inventory: how many there are of each article, and who has reserved some."""

from __future__ import annotations

from aiohttp import web

from shop.service import POOL, failure, new_application

routes = web.RouteTableDef()


def application() -> web.Application:
    app = new_application()
    app.add_routes(routes)
    return app


@routes.get("/stock/{sku}")
async def stock(request: web.Request) -> web.Response:
    sku = request.match_info["sku"]
    quantity = await request.app[POOL].fetchval("select quantity from stock where sku = $1", sku)
    if quantity is None:
        return failure(404, f"no article {sku}")
    return web.json_response({"sku": sku, "quantity": quantity})


@routes.put("/stock/{sku}")
async def restock(request: web.Request) -> web.Response:
    sku, body = request.match_info["sku"], await request.json()
    await request.app[POOL].execute(
        "insert into stock (sku, quantity) values ($1, $2)"
        " on conflict (sku) do update set quantity = excluded.quantity",
        sku,
        body["quantity"],
    )
    return web.json_response({"sku": sku, "quantity": body["quantity"]})


@routes.put("/reservations/{order}")
async def reserve(request: web.Request) -> web.Response:
    """Take articles off the stock for an order: 201, 200 when it had them, 409 when too few."""
    order, body = request.match_info["order"], await request.json()
    async with request.app[POOL].acquire() as connection, connection.transaction():
        inserted = await connection.fetchval(
            "insert into reservations (order_id, sku, quantity) values ($1, $2, $3)"
            " on conflict (order_id) do nothing returning order_id",
            order,
            body["sku"],
            body["quantity"],
        )
        if inserted is None:
            return web.json_response({"order": order}, status=200)
        left = await connection.fetchval(
            "update stock set quantity = quantity - $2 where sku = $1 and quantity >= $2"
            " returning quantity",
            body["sku"],
            body["quantity"],
        )
        if left is None:
            await connection.execute("delete from reservations where order_id = $1", order)
            return failure(409, f"fewer than {body['quantity']} of {body['sku']} in stock")
    return web.json_response({"order": order, "left": left}, status=201)


@routes.delete("/reservations/{order}")
async def release(request: web.Request) -> web.Response:
    """Put what was reserved back into stock: 204, also when nothing was."""
    await request.app[POOL].execute(
        "with gone as (delete from reservations where order_id = $1 returning sku, quantity)"
        " update stock set quantity = stock.quantity + gone.quantity from gone"
        " where stock.sku = gone.sku",
        request.match_info["order"],
    )
    return web.Response(status=204)
