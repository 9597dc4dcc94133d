"""
users: who has signed up.

A user and the event that tells of it are written in one transaction, and the event is published
afterwards: there is never a user whom the others do not hear of, nor an event about nobody.
"""

from __future__ import annotations

import asyncio
import logging

import asyncpg
from aiohttp import web

from shop.events import BROKER_ERRORS, EVENTS, PAUSE_S, events, publish
from shop.service import DATABASE_ERRORS, POOL, background, failure, new_application

logger = logging.getLogger("shop.signup.users")
routes = web.RouteTableDef()
PUBLISH_EVERY_S = 0.1


def application() -> web.Application:
    app = new_application()
    app.cleanup_ctx.append(events)
    app.cleanup_ctx.append(background(_publish_outbox))
    app.add_routes(routes)
    return app


@routes.post("/users")
async def sign_up(request: web.Request) -> web.Response:
    """Make a user: 201 with its number, 409 when there is one with this address."""
    given = await request.json()
    try:
        async with request.app[POOL].acquire() as connection, connection.transaction():
            user = await connection.fetchval(
                "insert into users (email, name) values ($1, $2) returning id",
                given["email"],
                given["name"],
            )
            await connection.execute('insert into outbox ("user") values ($1)', user)
    except asyncpg.UniqueViolationError:
        return failure(409, f"there is a user with the address {given['email']}")
    return web.json_response({"user": user}, status=201)


@routes.get("/users/{user}")
async def show(request: web.Request) -> web.Response:
    found = await request.app[POOL].fetchrow(
        "select id, email, name from users where id = $1", int(request.match_info["user"])
    )
    return web.json_response(dict(found)) if found else failure(404, "there is no such user")


async def _publish_outbox(app: web.Application) -> None:
    while True:
        try:
            await app[EVENTS].add_stream(name="USERS", subjects=["user.*"])
            while True:
                await _publish_next(app)
                await asyncio.sleep(PUBLISH_EVERY_S)
        except (*BROKER_ERRORS, *DATABASE_ERRORS) as error:
            logger.warning("publishing later: %s", error or type(error).__name__)
            await asyncio.sleep(PAUSE_S)


async def _publish_next(app: web.Application) -> None:
    waiting = await app[POOL].fetch(
        'select id, email, name from outbox join users on id = "user" order by id limit 100'
    )
    for user in waiting:
        event = {"user": user["id"], "email": user["email"], "name": user["name"]}
        await publish(app, "user.created", event, key=str(user["id"]))
        await app[POOL].execute('delete from outbox where "user" = $1', user["id"])
