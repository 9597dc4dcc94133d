"""
orders: takes orders, has inventory reserve and payments charge.

An order is found again by its Idempotency-Key, and every step of it can be repeated without harm,
so a client whose request was lost sends it again, and any replica goes on where the other stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
from aiohttp import web

from shop.service import DATABASE_ERRORS, POOL, failure, new_application

logger = logging.getLogger("shop.orders")
routes = web.RouteTableDef()

CLIENT = web.AppKey("client", aiohttp.ClientSession)
PRICE_CENTS = 1999
INVENTORY_TIMEOUT = aiohttp.ClientTimeout(total=5)
PAYMENTS_TIMEOUT = aiohttp.ClientTimeout(total=float(os.environ.get("PAYMENTS_TIMEOUT_S", "1")))
# Off is the bug of examples/shop-broken: without a fallback, payments down means orders down.
PAYMENTS_FALLBACK = os.environ.get("PAYMENTS_FALLBACK", "on") == "on"
RETRY_EVERY_S = 0.5
AWAY = (aiohttp.ClientError, TimeoutError)


def application() -> web.Application:
    app = new_application()
    app.cleanup_ctx.append(_client)
    app.cleanup_ctx.append(_collector)
    app.add_routes(routes)
    return app


async def _client(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as app[CLIENT]:
        yield


async def _collector(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_collect_pending(app))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@routes.post("/orders")
async def place(request: web.Request) -> web.Response:
    """
    Place an order: ``{"sku": "A1", "quantity": 2}``.

    Answers 201 with ``paid`` or ``payment_pending``, 200 when the key had one already, 409 when
    there is too little in stock, and 503 when it is worth trying again with the same key.
    """
    match await request.json():
        case {"sku": str(sku), "quantity": int(quantity)} if 0 < quantity <= 1000:
            key = request.headers.get("Idempotency-Key") or secrets.token_hex(16)
        case _:
            return failure(400, 'send {"sku": "A1", "quantity": 2}, with 1 to 1000 of them')
    order, created = await _remember(request.app[POOL], key, sku, quantity)
    if order["status"] == "new":
        try:
            order = await _reserve(request.app, order)
        except AWAY:
            return failure(503, "inventory does not answer; try again with the same key")
    if order["status"] == "rejected":
        return failure(409, f"fewer than {order['quantity']} of {order['sku']} in stock")
    if order["status"] == "reserved":
        order = await _pay(request.app, order)
        if order["status"] == "reserved":
            return failure(502, "payments does not answer")
    return web.json_response(_public(order), status=201 if created else 200)


@routes.get("/orders/{id}")
async def show(request: web.Request) -> web.Response:
    order = await _load(request.app[POOL], request.match_info["id"])
    if order is None:
        return failure(404, f"no order {request.match_info['id']}")
    return web.json_response(_public(order))


@routes.get("/pending")
async def pending(request: web.Request) -> web.Response:
    """Tell how many orders wait for their payment."""
    count = await request.app[POOL].fetchval(
        "select count(*) from orders where status = 'payment_pending'"
    )
    return web.json_response({"orders": count})


async def _remember(
    pool: asyncpg.Pool, key: str, sku: str, quantity: int
) -> tuple[asyncpg.Record, bool]:
    order_id = hashlib.sha256(key.encode()).hexdigest()[:16]
    inserted = await pool.fetchrow(
        "insert into orders (id, sku, quantity, status) values ($1, $2, $3, 'new')"
        " on conflict (id) do nothing returning *",
        order_id,
        sku,
        quantity,
    )
    return (inserted, True) if inserted else (await _load(pool, order_id), False)


async def _load(pool: asyncpg.Pool, order_id: str) -> asyncpg.Record | None:
    return await pool.fetchrow("select * from orders where id = $1", order_id)


async def _set_status(pool: asyncpg.Pool, order: asyncpg.Record, status: str) -> asyncpg.Record:
    # NB: two replicas may work on the same order; paid is the end and is never taken back.
    await pool.execute(
        "update orders set status = $2 where id = $1 and status <> 'paid'", order["id"], status
    )
    return await _load(pool, order["id"])


async def _reserve(app: web.Application, order: asyncpg.Record) -> asyncpg.Record:
    async with app[CLIENT].put(
        f"{os.environ['INVENTORY_URL']}/reservations/{order['id']}",
        json={"sku": order["sku"], "quantity": order["quantity"]},
        timeout=INVENTORY_TIMEOUT,
    ) as response:
        if response.status == 409:
            return await _set_status(app[POOL], order, "rejected")
        response.raise_for_status()
    return await _set_status(app[POOL], order, "reserved")


async def _pay(app: web.Application, order: asyncpg.Record) -> asyncpg.Record:
    try:
        async with app[CLIENT].put(
            f"{os.environ['PAYMENTS_URL']}/charges/{order['id']}",
            json={"cents": order["quantity"] * PRICE_CENTS},
            timeout=PAYMENTS_TIMEOUT,
        ) as response:
            response.raise_for_status()
    except AWAY as error:
        logger.warning("order %s: payments: %s", order["id"], error or type(error).__name__)
        if PAYMENTS_FALLBACK:
            return await _set_status(app[POOL], order, "payment_pending")
        return order
    return await _set_status(app[POOL], order, "paid")


async def _collect_pending(app: web.Application) -> None:
    """Charge the orders that payments was away for, until each is paid."""
    while True:
        try:
            rows = await app[POOL].fetch(
                "select * from orders where status = 'payment_pending' limit 20"
            )
            for order in rows:
                if (await _pay(app, order))["status"] != "paid":
                    break  # still away: the rest can wait
        except DATABASE_ERRORS as error:
            logger.warning("pending payments: %s: %s", type(error).__name__, error)
        await asyncio.sleep(RETRY_EVERY_S)


def _public(order: asyncpg.Record) -> dict[str, object]:
    return {field: order[field] for field in ("id", "sku", "quantity", "status")}
