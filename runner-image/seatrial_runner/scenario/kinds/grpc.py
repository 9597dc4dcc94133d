"""
``grpc``: one call by reflection or ``.proto`` files; its status is what expectations see.

NB: grpcio starts threads when it is imported, and must not be forked with them: it is imported by
the first call, in the worker.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.interpolation import TemplateError
from seatrial_runner.scenario.kinds.grpc_seen import Metadata, Seen, observed, shown
from seatrial_runner.scenario.receiving import Condition
from seatrial_runner.scenario.request import (
    Request,
    RequestError,
    authorization,
    from_base64,
    timeout_of,
    tls_of,
)
from seatrial_runner.scenario.watch import Watch

if TYPE_CHECKING:
    from seatrial_runner.scenario.kinds.grpc_channel import Link
    from seatrial_runner.scenario.kinds.grpc_schema import Method

_NAME = re.compile(r"[a-z0-9_.-]+")


def title(document: dict[str, Any]) -> str:
    """Name the method, or the stream of one that was opened before."""
    return f"grpc {document.get('method') or document['stream']}"


def act(document: dict[str, Any], call: Call) -> Observation:
    """
    Make the call, and read what comes of it.

    Raises:
        StepFailure: There was no call: no server, no such method, a message that does not fit.
    """
    try:
        from seatrial_runner.scenario.kinds import grpc_channel, grpc_schema
    except ImportError as error:
        text = "grpc needs the extra: pip install 'seatrial[grpc]'"
        raise StepFailure(text, permanent=True) from error
    if "stream" in document:
        from seatrial_runner.scenario.kinds import grpc_stream

        return grpc_stream.act(document, call)
    receive = document.get("receive") or {}
    lasts = receive.get("for")
    seconds = parse_duration(lasts).total_seconds() if lasts else timeout_of(document)
    watch = Watch(seconds, call.seconds())
    metadata, tls = metadata_of(document, call)
    link = grpc_channel.link_to(call.text(document["target"]), tls, call)
    method = grpc_schema.method_of(document, link, metadata, watch.end, call)
    given = messages_of(document, call)
    sent = [{}] if given is None else given
    encoded = [method.encode(message, index) for index, message in enumerate(sent)]
    seen, began = Seen(), time.monotonic()
    what = f"{document['method']} at {document['target']}"
    try:
        _exchange(document, _Exchange(link, method, encoded, metadata, watch), call, seen)
    except StepFailure as failure:
        failure.details = failure.details or shown(what, metadata, sent, seen)
        raise
    elapsed = timedelta(seconds=time.monotonic() - began)
    return observed(seen, elapsed, shown(what, metadata, sent, seen))


# What is sent ------------------------------------------------------------------------------------


def metadata_of(document: dict[str, Any], call: Call) -> tuple[Metadata, Any]:
    """Give metadata as the library wants it, and what is said of TLS."""
    variables, redactor = call.scope.template_variables(), call.tools.redactor
    try:
        texts = {
            name.lower(): call.text(text) for name, text in document.get("metadata", {}).items()
        }
        texts |= {k.lower(): v for k, v in authorization(document, variables, redactor).items()}
        tls = tls_of(document, variables, redactor)
        if "tls" in document and tls is None:
            from seatrial_runner.scenario.tls import Tls

            tls = Tls()  # {}: the system's authorities
        if document.get("oauth2"):
            from seatrial_runner.scenario.oauth2 import token

            request = Request("GET", "", {}, b"", timeout_of(document), tls=tls)
            texts["authorization"] = f"Bearer {token(document['oauth2'], request, call)}"
        redactor.learn_headers(texts)
        if wrong := next((name for name in texts if not _NAME.fullmatch(name)), ""):
            raise RequestError(f"metadata: {wrong!r} is no name: use letters, digits, _, - and .")
        entries: Metadata = [
            (name, from_base64(text, f"metadata.{name}") if name.endswith("-bin") else text)
            for name, text in texts.items()
        ]
    except (TemplateError, RequestError) as error:
        raise StepFailure(str(error), permanent=True) from error
    return entries, tls


def messages_of(document: dict[str, Any], call: Call) -> list[Any] | None:
    """Give the messages to send; None where a step says nothing of any."""
    if document.get("messages") is not None:
        sent = [call.json(message) for message in document["messages"]]
    elif document.get("message") is not None:
        sent = [call.json(document["message"])]
    else:
        return None
    call.tools.redactor.learn_json(sent)
    return sent


# The call ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Exchange:
    link: Link
    method: Method
    encoded: list[bytes]
    metadata: Metadata
    watch: Watch


def _exchange(document: dict[str, Any], exchange: _Exchange, call: Call, seen: Seen) -> None:
    import grpc

    from seatrial_runner.scenario.kinds.grpc_channel import as_texts

    exchange.method.check_count(len(exchange.encoded))
    call.tools.client.announce(exchange.link.host)
    # On the wire all four kinds are one: messages there, messages back.
    running = exchange.link.start(
        exchange.method.path, exchange.encoded, exchange.metadata, exchange.watch.end
    )
    try:
        ended = _read(document.get("receive") or {}, running, exchange.method, call, seen)
    except grpc.RpcError:
        ended = True
    finally:
        running.cancel()
    if not ended:
        seen.metadata = as_texts(running.initial_metadata() or ())
        return
    seen.ended(running, call)
    _judge(document, exchange, seen)


def _judge(document: dict[str, Any], exchange: _Exchange, seen: Seen) -> None:
    """Tell a status that the server gave from one that stands for its not being there."""
    if seen.code == "UNAVAILABLE" and (problem := exchange.link.problem(seen.details)):
        raise StepFailure(problem)
    over = exchange.watch.left() <= 0
    if seen.code == "DEADLINE_EXCEEDED" and over:
        receive = document.get("receive") or {}
        if "for" in receive:
            exchange.watch.require_whole()
            seen.code, seen.details = "", ""
        elif "timeout" not in document or receive:
            came = f"{len(seen.messages)} messages came" if receive else "no answer came"
            raise StepFailure(f"{came} in time from {exchange.link.target}", out_of_time=True)


def _read(wanted: dict[str, Any], running: Any, method: Method, call: Call, seen: Seen) -> bool:
    """Take messages until there are enough; tell whether the call has ended by itself."""
    condition = Condition(wanted.get("until"), call.scope)
    for raw in running:
        seen.take(raw, method, call)
        if len(seen.messages) == wanted.get("count") or seen.fulfils(condition):
            return False
    if (wanted.keys() & {"count", "until"}) and running.code().name == "OK":
        awaited = [str(wanted["count"])] if "count" in wanted else []
        raise StepFailure(
            f"the stream ended after {len(seen.messages)} messages, before"
            f" {' or '.join([*awaited, *condition.told()])}",
            answered=True,
        )
    return True
