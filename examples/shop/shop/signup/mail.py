"""mail: writes a welcome to each user, once."""

from __future__ import annotations

import os

from aiohttp import web

from shop.events import Event, consume, events, listening
from shop.service import POOL, background, new_application

# Off is the bug of examples/user-creation-broken: the broker does not remember how far we are, so
# that whoever signs up while we are away is never written to.
REMEMBERED = os.environ.get("REMEMBERED", "on") == "on"


def application() -> web.Application:
    app = new_application()
    # NB: ready when it listens: without REMEMBERED it would not hear of who signed up just before.
    app.cleanup_ctx.extend((events, background(_write_to_users), listening))
    return app


async def _write_to_users(app: web.Application) -> None:
    async def write(event: Event) -> None:
        await app[POOL].execute(
            'insert into mails ("user", recipient, subject) values ($1, $2, $3)'
            " on conflict do nothing",
            event["user"],
            event["email"],
            f"Welcome, {event['name']}",
        )

    await consume(app, "user.created", write, durable="mail" if REMEMBERED else None)
