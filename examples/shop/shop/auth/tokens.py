"""Tokens of requests, verified with the keys that identity publishes."""

from __future__ import annotations

import os
import time
from typing import Any

import jwt
from aiohttp import web

from shop.service import AWAY, CLIENT, failure

ISSUER = os.environ.get("ISSUER", "http://identity:8080")
# Off is the bug of examples/authentication-broken: a token that was given for another service will
# do, and so whoever is shown a token can ask all others with it.
CHECKS_AUDIENCE = os.environ.get("CHECKS_AUDIENCE", "on") == "on"
ASKS_AGAIN_S = 1.0


class RefusedError(Exception):
    """There is no token, or it is no good here; ``response`` says so (RFC 6750, 3)."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.response = failure(401, why)
        error = f' error="invalid_token", error_description="{why}"' if why != NO_TOKEN else ""
        self.response.headers["WWW-Authenticate"] = f"Bearer{error}"


NO_TOKEN = "a bearer token is wanted"


class Keys:
    """The keys of identity, asked for again when a token names one that is not among them."""

    def __init__(self) -> None:
        self._known: dict[str, jwt.PyJWK] = {}
        self._asked = float("-inf")

    async def find(self, app: web.Application, name: str) -> jwt.PyJWK | None:
        # NB: not for each such token: who makes them up would have us ask identity all the time.
        if name not in self._known and time.monotonic() - self._asked > ASKS_AGAIN_S:
            url = f"{os.environ['IDENTITY_URL']}/.well-known/jwks.json"
            async with app[CLIENT].get(url) as response:
                response.raise_for_status()
                known = jwt.PyJWKSet.from_dict(await response.json()).keys
            self._known = {str(key.key_id): key for key in known}
            self._asked = time.monotonic()
        return self._known.get(name)


KEYS = web.AppKey("keys", Keys)


async def verified(request: web.Request, audience: str) -> dict[str, Any]:
    """
    Give the claims of a request's token.

    Raises:
        RefusedError: There is none, or it is for others, has expired, or is not of identity.
    """
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise RefusedError(NO_TOKEN)
    try:
        key = await request.app[KEYS].find(
            request.app, str(jwt.get_unverified_header(token).get("kid"))
        )
        if key is None:
            raise RefusedError("the token is signed by a key that identity does not have")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=["ES256"],
            issuer=ISSUER,
            audience=audience,
            options={"require": ["exp", "aud", "sub"], "verify_aud": CHECKS_AUDIENCE},
        )
    except jwt.ExpiredSignatureError:
        raise RefusedError("the token has expired") from None
    except jwt.InvalidAudienceError:
        raise RefusedError(f"the token is not for {audience}") from None
    except jwt.InvalidTokenError:
        raise RefusedError("the token is not good") from None
    return claims


@web.middleware
async def refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer 401 when a token is refused, 502 when another service is away."""
    try:
        response: web.StreamResponse = await handler(request)
    except RefusedError as refused:
        return refused.response
    except AWAY as error:
        return failure(502, str(error) or type(error).__name__)
    return response
