"""Tokens by OAuth 2 client credentials (RFC 6749, 4.4): kept for a scenario, renewed in time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote_plus, urlencode

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.exchange import ExchangeError, Response
from seatrial_runner.scenario.request import DEFAULT_TIMEOUT_S, Request, basic_value
from seatrial_runner.scenario.transcript import request_text, response_text

# A token is renewed when it has no more than this part of its life left: it must arrive with some.
_RENEW_AT = 0.1
_DEFAULT_LIFE_S = 300.0  # where the endpoint does not say


@dataclass
class _Token:
    lock: threading.Lock = field(default_factory=threading.Lock)
    value: str = ""
    renew_at: float = 0.0  # on the clock of World.monotonic


def with_token(document: dict[str, Any], request: Request, call: Call) -> Request:
    """
    Add the Authorization header.

    Raises:
        StepFailure: The token endpoint gives no token; the message says what it answered.
    """
    headers = {**request.headers, "Authorization": f"Bearer {token(document, request, call)}"}
    call.tools.redactor.learn_headers(headers)
    return replace(request, headers=headers)


def forget_token(document: dict[str, Any], call: Call) -> None:
    """Have the next request ask for a new token: this one was refused."""
    kept = _kept(_filled(document, call), call)
    with kept.lock:
        kept.value = ""


def token(document: dict[str, Any], request: Request, call: Call) -> str:
    """Give a token that is good for a while; TLS is as for ``request``."""
    filled = _filled(document, call)
    kept, now = _kept(filled, call), call.tools.world.monotonic
    with kept.lock:
        if not kept.value or now() >= kept.renew_at:
            asked = now()
            kept.value, life_s = _asked_for(filled, document.get("inBody", False), request, call)
            kept.renew_at = asked + life_s * (1 - _RENEW_AT)
        return kept.value


def _filled(document: dict[str, Any], call: Call) -> dict[str, str]:
    keys = ("tokenUrl", "clientId", "clientSecret", "scope", "audience")
    filled = {key: call.text(document[key]) for key in keys if document.get(key)}
    call.tools.redactor.learn(filled["clientSecret"])
    return filled


def _kept(filled: dict[str, str], call: Call) -> _Token:
    key = ("oauth2", *sorted(filled.items()))
    return call.tools.resources.get(key, _Token, lambda _: None)


def _asked_for(
    filled: dict[str, str], in_body: bool, request: Request, call: Call
) -> tuple[str, float]:
    form = {"grant_type": "client_credentials"}
    form |= {key: filled[key] for key in ("scope", "audience") if key in filled}
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    client_id, secret = filled["clientId"], filled["clientSecret"]
    if in_body:
        form |= {"client_id": client_id, "client_secret": secret}
    else:
        headers["Authorization"] = basic_value(quote_plus(client_id), quote_plus(secret))
        call.tools.redactor.learn_headers(headers)
    body = urlencode(form).encode()
    asking = Request("POST", filled["tokenUrl"], headers, body, DEFAULT_TIMEOUT_S, tls=request.tls)
    try:
        response = call.tools.client.send(asking, at_most_s=call.seconds())
    except ExchangeError as error:
        raise StepFailure(
            f"no token from {filled['tokenUrl']}: {error}",
            request_text(asking),
            permanent=error.permanent,
            out_of_time=error.out_of_time,
        ) from error
    except ValueError as error:  # what cannot be taken apart as a URL
        text = f"oauth2.tokenUrl {filled['tokenUrl']!r} is no URL: {error}"
        raise StepFailure(text, permanent=True) from error
    return _read(response, asking, filled["tokenUrl"])


def _read(response: Response, asking: Request, url: str) -> tuple[str, float]:
    document = response.json if isinstance(response.json, dict) else {}
    value = document.get("access_token")
    if response.status == 200 and isinstance(value, str) and value:
        try:
            life_s = float(document.get("expires_in", _DEFAULT_LIFE_S))
        except (TypeError, ValueError):
            life_s = _DEFAULT_LIFE_S
        return value, max(life_s, 0.0)
    told = ": ".join(
        str(document[key]) for key in ("error", "error_description") if document.get(key)
    )
    if not told:
        told = response.json_problem or "there is no access_token in it"
    raise StepFailure(
        f"no token from {url}: it answered {response.status}: {told}",
        f"{request_text(asking)}\n\n{response_text(response)}",
        permanent=told.startswith("invalid_client"),
    )
