"""orders: takes orders, and announces them."""

from __future__ import annotations

import json

from aiohttp import web

from shop.dispatch.broker import BROKER, BrokerAwayError, broker
from shop.service import failure, plain_application

routes = web.RouteTableDef()


def application() -> web.Application:
    app = plain_application()
    app.cleanup_ctx.append(broker())
    app.add_routes(routes)
    return app


@routes.put("/orders/{order}")
async def place(request: web.Request) -> web.Response:
    """Take an order, ``{"customer": "ada", "sequence": 1, "sku": "A1"}``: 202, it is announced."""
    order = {"order": request.match_info["order"], **await request.json()}
    try:
        await request.app[BROKER].publish(json.dumps(order).encode(), key=order["customer"])
    except BrokerAwayError as error:
        return failure(503, f"the broker does not answer; send the order again: {error}")
    return web.json_response(order, status=202)
