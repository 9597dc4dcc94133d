"""identity: tokens by OAuth 2 client credentials (RFC 6749, 4.4), and the keys that verify them."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import time
from typing import Any
from urllib.parse import unquote_plus

import jwt
from aiohttp import BasicAuth, web
from cryptography.hazmat.primitives.asymmetric import ec

from shop.service import plain_application

routes = web.RouteTableDef()
ALGORITHM = "ES256"
ISSUER = os.environ.get("ISSUER", "http://identity:8080")
# {"ada": {"secret": "...", "audience": ["front", "records"], "lifetime": 300}}
CLIENTS: dict[str, dict[str, Any]] = json.loads(os.environ.get("CLIENTS", "{}"))
KEY = web.AppKey("key", ec.EllipticCurvePrivateKey)
KEY_ID = web.AppKey("key_id", str)


def application() -> web.Application:
    app = plain_application()
    # Of this process alone: who verifies asks for the keys again when a token names another.
    app[KEY] = ec.generate_private_key(ec.SECP256R1())
    app[KEY_ID] = secrets.token_hex(8)
    app.add_routes(routes)
    return app


@routes.post("/token")
async def token(request: web.Request) -> web.Response:
    """Give a token to a client that knows its secret, for all its audiences or for ``audience``."""
    form = await request.post()
    if form.get("grant_type") != "client_credentials":
        return _refused(400, "unsupported_grant_type", "this is for client_credentials")
    name, secret = _credentials(request, form)
    client = CLIENTS.get(name)
    if client is None or not hmac.compare_digest(client["secret"].encode(), secret.encode()):
        return _refused(401, "invalid_client", "there is no such client, or its secret is wrong")
    audience = str(form.get("audience", "")).split() or client["audience"]
    if not set(audience) <= set(client["audience"]):
        return _refused(400, "invalid_target", f"{name} may not ask {' '.join(audience)}")
    now, lifetime = int(time.time()), int(client.get("lifetime", 300))
    claims = {"iss": ISSUER, "sub": name, "aud": audience, "iat": now, "exp": now + lifetime}
    signed = jwt.encode(claims, request.app[KEY], ALGORITHM, {"kid": request.app[KEY_ID]})
    return web.json_response(
        {"access_token": signed, "token_type": "Bearer", "expires_in": lifetime},
        headers={"Cache-Control": "no-store"},
    )


@routes.get("/.well-known/jwks.json")
async def keys(request: web.Request) -> web.Response:
    """Publish the key that verifies the tokens (RFC 7517)."""
    key = jwt.algorithms.ECAlgorithm.to_jwk(request.app[KEY].public_key(), as_dict=True)
    key |= {"kid": request.app[KEY_ID], "use": "sig", "alg": ALGORITHM}
    return web.json_response({"keys": [key]})


def _credentials(request: web.Request, form: Any) -> tuple[str, str]:
    try:
        basic = BasicAuth.decode(request.headers["Authorization"])
    except (KeyError, ValueError):
        return str(form.get("client_id", "")), str(form.get("client_secret", ""))
    # RFC 6749, 2.3.1: both are encoded as in a form before they are put together.
    return unquote_plus(basic.login), unquote_plus(basic.password)


def _refused(status: int, error: str, description: str) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)
