"""packing: a parcel for each order, which is then handed to the carrier, and that takes a while."""

from __future__ import annotations

import asyncio
import os

import asyncpg
from aiohttp import web

from shop.dispatch.consumer import NotYetError, Order, consumer

# Attempt is the bug of examples/queue-kafka-broken: what comes again is packed again.
ONE_PARCEL_FOR_EACH = os.environ.get("ONE_PARCEL_FOR_EACH", "order")


def application() -> web.Application:
    return consumer("packing", _pack)


async def _pack(pool: asyncpg.Pool, order: Order) -> None:
    attempt = await pool.fetchval(
        'insert into attempts ("order") values ($1) returning attempt', order["order"]
    )
    if not await pool.fetchval("select true from shelves where sku = $1", order["sku"]):
        raise NotYetError(f"there is no {order['sku']}")
    key = f"attempt {attempt}" if ONE_PARCEL_FOR_EACH == "attempt" else order["order"]
    await pool.execute(
        'insert into parcels (key, "order", customer, sequence) values ($1, $2, $3, $4)'
        " on conflict do nothing",
        *(key, order["order"], order["customer"], order["sequence"]),
    )
    await asyncio.sleep(order["seconds"])
    await pool.execute("update parcels set handed = true where key = $1", key)
