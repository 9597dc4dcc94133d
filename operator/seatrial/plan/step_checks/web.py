"""Requests of every protocol: addresses in the run, conditions, texts that are filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from seatrial.api.errors import SpecError
from seatrial.api.fields import Model
from seatrial.api.rules import did_you_mean
from seatrial.api.scenario import HTTP_VERBS, HttpRequest, Step
from seatrial.api.steps.grpc import GrpcStep
from seatrial.api.steps.web import OAuth2, Receive
from seatrial.api.steps.websocket import WebSocketReceive
from seatrial.plan.step_checks.common import expression_problems, template_problems, too_long

# TCP ports by host name; None where they are not known, and None for all if some hosts are not.
Hosts = Mapping[str, frozenset[int] | None]

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def web_problems(
    step: Step, field: str, hosts: Hosts | None, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps a step's request from being sent; ``longest``: what its test may take."""
    if step.http:
        yield from http_problems(step.http, f"{field}.http", hosts)
        yield from too_long(step.http.timeout, f"{field}.http.timeout", longest)
    if graphql := step.graphql:
        where = f"{field}.graphql"
        schemes = ("http", "https", "ws", "wss") if graphql.receive else ("http", "https")
        yield from url_problems(graphql.url, f"{where}.url", hosts, schemes)
        yield from _oauth2(graphql.oauth2, where, hosts)
        yield from template_problems(_texts(graphql, without="receive"), where)
        yield from too_long(graphql.timeout, f"{where}.timeout", longest)
        yield from _receive(graphql.receive, f"{where}.receive", "graphql", longest)
    if grpc := step.grpc:
        yield from _grpc(grpc, f"{field}.grpc", hosts, longest)
    if webhook := step.webhook:
        where = f"{field}.webhook"
        yield from expression_problems(webhook.where, f"{where}.where", kind="webhook")
        yield from too_long(webhook.within, f"{where}.within", longest)
        answers = [webhook.answer] if webhook.answer else webhook.answers or []
        for index, answer in enumerate(answers):
            path = f"{where}.answer" if webhook.answer else f"{where}.answers[{index}]"
            yield from template_problems(_texts(answer), path)
    if websocket := step.websocket:
        where = f"{field}.websocket"
        if websocket.url is not None:
            yield from url_problems(websocket.url, f"{where}.url", hosts, ("ws", "wss"))
        yield from _oauth2(websocket.oauth2, where, hosts)
        yield from template_problems(_texts(websocket, without="receive"), where)
        yield from too_long(websocket.timeout, f"{where}.timeout", longest)
        yield from _receive(websocket.receive, f"{where}.receive", "websocket", longest)


def _grpc(
    step: GrpcStep, field: str, hosts: Hosts | None, longest: timedelta | None
) -> Iterator[SpecError]:
    if step.target is not None and "{{" not in step.target:
        host, _, port = step.target.rpartition(":")
        if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
            problem = f"{step.target[:80]!r} is no target of a call."
            yield SpecError(f"{field}.target", problem, "Write SERVICE:PORT, without grpc://.")
        elif hosts is not None and "." not in host and ":" not in host:
            yield from host_problems(host, int(port), f"{field}.target", hosts)
    yield from _oauth2(step.oauth2, field, hosts)
    yield from template_problems(_texts(step, without="receive"), field)
    yield from too_long(step.timeout, f"{field}.timeout", longest)
    yield from _receive(step.receive, f"{field}.receive", "grpc", longest)


def http_problems(request: HttpRequest, field: str, hosts: Hosts | None) -> Iterator[SpecError]:
    """Find what keeps a request from being sent."""
    for verb in HTTP_VERBS:
        if (url := getattr(request, verb)) is not None:
            yield from url_problems(url, f"{field}.{verb}", hosts)
    if request.request is not None:
        yield from url_problems(request.request.url, f"{field}.request.url", hosts)
    yield from _oauth2(request.oauth2, field, hosts)
    yield from _receive(request.stream, f"{field}.stream", "http", None)
    yield from template_problems(_texts(request, without="stream"), field)


def url_problems(
    url: str, field: str, hosts: Hosts | None, schemes: tuple[str, ...] = ("http", "https")
) -> Iterator[SpecError]:
    """Find an address that leads nowhere; one that is yet to be filled in may be good."""
    authority = url.partition("://")[2].split("/")[0]
    if "{{" in authority or "{{" in url.partition("://")[0]:
        return  # known only when the run runs
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in schemes or not host:
        problem = f"{url[:80]!r} is no address to send a request to."
        yield SpecError(field, problem, f"Write {schemes[0]}://SERVICE:PORT/PATH.")
    elif hosts is not None and "." not in host and ":" not in host:
        yield from host_problems(host, port or _PORTS[parts.scheme], field, hosts)


def host_problems(host: str, port: int, field: str, hosts: Hosts) -> Iterator[SpecError]:
    """Find a host or port that no service has."""
    reached = {name for name, ports in hosts.items() if ports is None or ports}
    if host not in hosts:
        problem = f"no service of this run is named {host!r}."
        remedy = did_you_mean(host, reached or hosts) or "Declare it in spec.services."
        yield SpecError(field, problem, remedy)
        return
    ports = hosts[host]
    if ports is not None and port not in ports:
        problem = f"service {host} has no port {port}."
        known = ", ".join(str(each) for each in sorted(ports))
        remedy = "Give it ports; where it is made from manifests, by a Service of this name."
        remedy = f"It has: {known}." if ports else f"{remedy} {did_you_mean('', reached)}".strip()
        yield SpecError(field, problem, remedy)


def _receive(
    receive: Receive | WebSocketReceive | None, field: str, kind: str, longest: timedelta | None
) -> Iterator[SpecError]:
    if receive is not None:
        until = [receive.until] if receive.until else []
        yield from expression_problems(until, field, "until", kind=kind)
        yield from too_long(receive.for_, f"{field}.for", longest)


def _oauth2(oauth2: OAuth2 | None, field: str, hosts: Hosts | None) -> Iterator[SpecError]:
    if oauth2 is not None:
        yield from url_problems(oauth2.token_url, f"{field}.oauth2.tokenUrl", hosts)


def _texts(model: Model, *, without: str = "") -> Any:
    """Give the texts of a step that are filled in, as JSON; what is CEL stands in ``without``."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={without})
