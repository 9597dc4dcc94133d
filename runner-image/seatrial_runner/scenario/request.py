"""Makes a request of a step's ``http``: fills its texts in, encodes its body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.interpolation import render, render_json
from seatrial_runner.scenario.redaction import Redactor, cut

if TYPE_CHECKING:
    from seatrial_runner.scenario.tls import Tls

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
    body: bytes
    timeout_s: float
    follow_redirects: bool = False
    tls: Tls | None = None
    http2: bool = False


def line_of(http: dict[str, Any]) -> tuple[str, str]:
    """Give method and URL of a step's ``http``, as they are written."""
    if named := http.get("request"):
        return named["method"], named["url"]
    verb = next(verb for verb in VERBS if verb in http)
    return verb.upper(), http[verb]


def prepare(http: dict[str, Any], variables: Mapping[str, Any], redactor: Redactor) -> Request:
    """
    Fill in a step's ``http`` and encode its body.

    Raises:
        TemplateError: A text cannot be filled in.
        RequestError: The URL is none, or something else cannot be what it should be.
    """
    method, url = line_of(http)
    headers = {name: render(text, variables) for name, text in http.get("headers", {}).items()}
    query = {name: render(text, variables) for name, text in http.get("query", {}).items()}
    redactor.learn_json(query)
    body, media_type = _body(http, variables, redactor)
    given = {name.lower() for name in headers}
    if media_type and "content-type" not in given:
        headers["Content-Type"] = media_type
    if "authorization" not in given:
        headers |= authorization(http, variables, redactor)
    redactor.learn_headers(headers)
    url = _url(render(url, variables), query)
    redactor.learn_url(url)
    return Request(
        method,
        url,
        headers,
        body,
        timeout_of(http),
        http.get("followRedirects", False),
        tls_of(http, variables, redactor),
        http.get("http2", False),
    )


def timeout_of(document: dict[str, Any]) -> float:
    """Give the seconds that an exchange may take."""
    timeout = document.get("timeout")
    return parse_duration(timeout).total_seconds() if timeout else DEFAULT_TIMEOUT_S


def tls_of(
    document: dict[str, Any], variables: Mapping[str, Any], redactor: Redactor
) -> Tls | None:
    """Give what a step says of TLS, filled in; None if it says nothing."""
    if not (written := document.get("tls")):
        return None
    from seatrial_runner.scenario.tls import Tls

    texts = {name: render(written.get(name) or "", variables) for name in Tls.TEXTS}
    redactor.learn(texts["key"].strip())
    return Tls(**texts, verify=written.get("verify", True))


def _body(
    http: dict[str, Any], variables: Mapping[str, Any], redactor: Redactor
) -> tuple[bytes, str | None]:
    if http.get("json") is not None:
        value = render_json(http["json"], variables)
        redactor.learn_json(value)
        return _bytes(json.dumps(value, ensure_ascii=False)), "application/json"
    if http.get("form") is not None:
        fields = {name: render(text, variables) for name, text in http["form"].items()}
        redactor.learn_json(fields)
        return _bytes(urlencode(fields)), "application/x-www-form-urlencoded"
    if http.get("multipart") is not None:
        from seatrial_runner.scenario.multipart import encoded

        return encoded(http["multipart"], lambda text: render(text, variables), redactor)
    if http.get("bodyBase64") is not None:
        return from_base64(render(http["bodyBase64"], variables), "bodyBase64"), None
    return _bytes(render(http.get("body") or "", variables)), None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def from_base64(text: str, field: str) -> bytes:
    """
    Give the bytes that a text stands for; spaces and line breaks in it mean nothing.

    Raises:
        RequestError: It is no base64.
    """
    from binascii import Error, a2b_base64

    try:
        return a2b_base64("".join(text.split()), strict_mode=True)
    except (Error, ValueError) as error:
        raise RequestError(f"{field} is no base64: {str(error).lower()}") from error


def authorization(
    http: dict[str, Any], variables: Mapping[str, Any], redactor: Redactor
) -> dict[str, str]:
    """Give the header of ``basicAuth`` or ``bearer``, if one of them is there."""
    if bearer := http.get("bearer"):
        return {"Authorization": f"Bearer {render(bearer, variables)}"}
    if basic := http.get("basicAuth"):
        username = render(basic["username"], variables)
        password = render(basic["password"], variables)
        redactor.learn(password)
        return {"Authorization": basic_value(username, password)}
    return {}


def basic_value(username: str, password: str) -> str:
    """Give the value of an Authorization header."""
    from binascii import b2a_base64

    pair = f"{username}:{password}".encode()
    return f"Basic {b2a_base64(pair, newline=False).decode()}"


def _url(text: str, query: dict[str, str]) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        good = False
    if not good:
        raise RequestError(
            f"{cut(text, 200)!r} is no URL to send a request to: write http://host:port/path"
        )
    if query:
        joined = "&".join(part for part in (parts.query, urlencode(query)) if part)
        return urlunsplit(parts._replace(query=joined))
    return text
