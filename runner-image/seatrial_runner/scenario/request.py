"""Makes a request of a step's ``http``: fills its texts in, encodes its body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.interpolation import render, render_json
from seatrial_runner.scenario.redaction import Redactor

VERBS = ("get", "post", "put", "patch", "delete", "head", "options")
DEFAULT_TIMEOUT_S = 10.0


class RequestError(Exception):
    """What a step asks for is no request; the message says why."""


@dataclass(frozen=True)
class Request:
    """A request with every value filled in."""

    method: str
    url: str
    headers: dict[str, str]
    body: str
    timeout_s: float
    follow_redirects: bool


def prepare(http: dict[str, Any], variables: Mapping[str, Any], redactor: Redactor) -> Request:
    """
    Fill in a step's ``http`` and encode its body.

    Raises:
        TemplateError: A text cannot be filled in.
        RequestError: The URL is none.
    """
    verb = next(verb for verb in VERBS if verb in http)
    headers = {name: render(text, variables) for name, text in http.get("headers", {}).items()}
    query = {name: render(text, variables) for name, text in http.get("query", {}).items()}
    redactor.learn_json(query)
    body, media_type = _body(http, variables, redactor)
    given = {name.lower() for name in headers}
    if media_type and "content-type" not in given:
        headers["Content-Type"] = media_type
    if "authorization" not in given:
        headers |= _authorization(http, variables, redactor)
    redactor.learn_headers(headers)
    url = _url(render(http[verb], variables), query)
    redactor.learn_url(url)
    timeout = http.get("timeout")
    return Request(
        verb.upper(),
        url,
        headers,
        body,
        parse_duration(timeout).total_seconds() if timeout else DEFAULT_TIMEOUT_S,
        http.get("followRedirects", False),
    )


def _body(
    http: dict[str, Any], variables: Mapping[str, Any], redactor: Redactor
) -> tuple[str, str | None]:
    if http.get("json") is not None:
        value = render_json(http["json"], variables)
        redactor.learn_json(value)
        return json.dumps(value, ensure_ascii=False), "application/json"
    if http.get("form") is not None:
        fields = {name: render(text, variables) for name, text in http["form"].items()}
        redactor.learn_json(fields)
        return urlencode(fields), "application/x-www-form-urlencoded"
    return render(http.get("body") or "", variables), None


def _authorization(
    http: dict[str, Any], variables: Mapping[str, Any], redactor: Redactor
) -> dict[str, str]:
    if bearer := http.get("bearer"):
        return {"Authorization": f"Bearer {render(bearer, variables)}"}
    if basic := http.get("basicAuth"):
        import base64

        username = render(basic["username"], variables)
        password = render(basic["password"], variables)
        redactor.learn(password)
        pair = f"{username}:{password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _url(text: str, query: dict[str, str]) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        good = False
    if not good:
        raise RequestError(
            f"{text[:200]!r} is no URL to send a request to: write http://host:port/path"
        )
    if query:
        joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
        return urlunsplit(parts._replace(query=joined))
    return text
