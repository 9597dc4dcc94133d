"""accounts: money of owners, in PostgreSQL. What is moved is moved as a whole, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator

import asyncpg
from aiohttp import web

from shop.service import POOL, failure, new_application

routes = web.RouteTableDef()
# off is the bug of examples/postgres-broken: each statement of a transfer stands for itself.
TRANSACTIONS = os.environ.get("TRANSACTIONS", "on")


def application() -> web.Application:
    app = new_application()
    app.add_routes(routes)
    return app


@routes.post("/owners")
async def open_account(request: web.Request) -> web.Response:
    """Make an owner with an account: 201 with its number."""
    given = await request.json()
    async with request.app[POOL].acquire() as connection, connection.transaction():
        owner = await connection.fetchval(
            "insert into owners (name) values ($1) returning id", given["name"]
        )
        account = await connection.fetchval(
            "insert into accounts (owner, balance) values ($1, $2) returning id",
            owner,
            given.get("balance", 0),
        )
    return web.json_response({"owner": owner, "account": account}, status=201)


@routes.patch("/owners/{owner}")
async def rename(request: web.Request) -> web.Response:
    owner, name = int(request.match_info["owner"]), (await request.json())["name"]
    done = await request.app[POOL].fetchval(
        "update owners set name = $2 where id = $1 returning id", owner, name
    )
    return web.json_response({"owner": owner}) if done else failure(404, "there is no such owner")


@routes.delete("/owners/{owner}")
async def close(request: web.Request) -> web.Response:
    """Delete an owner, with accounts and entries: the database sees to that."""
    owner = int(request.match_info["owner"])
    await request.app[POOL].execute("delete from owners where id = $1", owner)
    return web.Response(status=204)


@routes.post("/transfers")
async def transfer(request: web.Request) -> web.Response:
    """Move money: 201; 404 without such an account, 409 where there is not enough."""
    given = await request.json()
    try:
        async with (
            request.app[POOL].acquire() as connection,
            _together(connection, given["from"], given["to"]),
        ):
            await _book(connection, given["from"], -given["amount"])
            await _book(connection, given["to"], given["amount"])
    except LookupError:
        return failure(404, "there is no such account")
    except asyncpg.CheckViolationError:
        return failure(409, "there is not enough in the account")
    return web.json_response({"moved": given["amount"]}, status=201)


@contextlib.asynccontextmanager
async def _together(connection: asyncpg.Connection, *accounts: int) -> AsyncIterator[None]:
    if TRANSACTIONS == "off":
        yield
        return
    async with connection.transaction():
        # Always in the same order: two that go the other way round would wait for one another.
        await connection.execute(
            "select 1 from accounts where id = any($1::int[]) order by id for update", accounts
        )
        yield


async def _book(connection: asyncpg.Connection, account: int, amount: int) -> None:
    booked = await connection.fetchval(
        "update accounts set balance = balance + $2 where id = $1 returning id", account, amount
    )
    if booked is None:
        raise LookupError(account)
    await connection.execute(
        "insert into entries (account, amount) values ($1, $2)", account, amount
    )
