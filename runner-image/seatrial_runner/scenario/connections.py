"""Where databases and brokers are, with credentials: by the name of their service, as a URL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from seatrial_runner.scenario.action import Call, StepFailure
from seatrial_runner.scenario.redaction import cut

if TYPE_CHECKING:
    from seatrial_runner.scenario.tls import Tls


class UnreadableConnectionsError(ValueError):
    """What is said about connections cannot be read; the message says which, and how to say it."""


def read_connections(document: str, overrides: Sequence[str] = ()) -> dict[str, str]:
    """
    Give the URLs by service.

    Args:
        document: SEATRIAL_CONNECTIONS: JSON, ``{"db": "postgresql://user:password@db:5432/app"}``;
            may be empty.
        overrides: ``NAME=URL``, from the command line.

    Raises:
        UnreadableConnectionsError: It says which entry is wrong, and never its password.
    """
    connections: dict[str, str] = {}
    if document.strip():
        try:
            entries = json.loads(document)
        except ValueError as error:
            raise UnreadableConnectionsError(f"SEATRIAL_CONNECTIONS is no JSON: {error}") from error
        if not isinstance(entries, dict):
            text = 'SEATRIAL_CONNECTIONS: write {"db": "postgresql://USER:PASSWORD@HOST:PORT/NAME"}'
            raise UnreadableConnectionsError(text)
        connections = {str(name): str(url) for name, url in entries.items()}
    for override in overrides:
        name, equals, url = override.partition("=")
        if not equals or not name.strip() or "://" not in url:
            raise UnreadableConnectionsError(
                f"--connection {name}: write NAME=URL, as in"
                " db=postgresql://USER:PASSWORD@localhost:5432/NAME"
            )
        connections[name.strip()] = url.strip()
    return connections


def connection_url(document: dict[str, Any], call: Call, schemes: Sequence[str]) -> str:
    """
    Give the URL that a step connects to: its own ``url``, or that of its ``service``.

    It counts as a request: a fault made through the API has met traffic when a test sent one.

    Args:
        document: Of the step; with ``url`` or ``service``.
        call: Its password is masked from now on.
        schemes: Those that the step can speak; the first is used in messages.

    Raises:
        StepFailure: There is no such service, or its URL is for something else.
    """
    world = call.tools.world
    if document.get("url"):
        written = call.text(document["url"])
        url = _rewritten(written, world.base_urls)
        source, host = "url", _host(written)
    else:
        source = document["service"]
        if source not in world.connections:
            known = ", ".join(sorted(world.connections)) or "none"
            raise StepFailure(
                f"no connection to {source!r} is known; known are: {known}. Give the service a"
                f" preset, or the step a url; outside of a run: --connection {source}="
                f"{schemes[0]}://USER:PASSWORD@localhost:PORT/NAME",
                permanent=True,
            )
        url, host = world.connections[source], source
    call.tools.redactor.learn_url(url)
    scheme = url.partition("://")[0].partition("+")[0]
    if scheme not in schemes:
        raise StepFailure(
            f"{source}: this step speaks {' or '.join(schemes)}, not {cut(scheme, 40)!r}",
            permanent=True,
        )
    world.on_request(world.now(), host)
    return url


def connection_tls(document: dict[str, Any], call: Call) -> Tls | None:
    """
    Give what a step says of TLS, filled in; None if it says nothing, and the URL decides.

    Raises:
        StepFailure: A text cannot be filled in.
    """
    written = document.get("tls")
    if written is None:
        return None
    from seatrial_runner.scenario.tls import Tls

    texts = {name: call.text(written.get(name) or "") for name in Tls.TEXTS}
    call.tools.redactor.learn(texts["key"].strip())
    return Tls(**texts, verify=written.get("verify", True))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # whoever connects says what is wrong with it
        return ""


def _rewritten(url: str, base_urls: Any) -> str:
    """Put another address in place of a host that is elsewhere, as on a laptop."""
    try:
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port}"
    except ValueError:  # whoever connects says what is wrong with it
        return url
    base = base_urls.get(place) or base_urls.get(parts.hostname or "")
    if base is None:
        return url
    user = parts.netloc.rpartition("@")[0]
    where = urlsplit(base).netloc or base
    return urlunsplit(parts._replace(netloc=f"{user}@{where}" if user else where))
