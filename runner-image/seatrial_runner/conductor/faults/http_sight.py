"""What of an ``http`` fault is seen from outside; runs in a worker."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h11
from seatrial.api.amounts import parse_quantity
from seatrial.api.control import PROBE_HOST
from seatrial.api.duration import parse_duration
from seatrial.api.names import PROBE_HEADER

_MOST_OF = 0.8
_ANSWER_S = 5.0
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    whole: bool  # as long as its content-length said


def http_is_seen(params: Mapping[str, Any], fault: str, connection: socket.socket) -> bool:
    """
    Ask once, and tell whether the fault has done to the answer what it should.

    The request is one that the fault's ``match`` takes; Envoy answers it by itself, through the
    same filters as those of the service, and names the fault that it met in a header.
    """
    delay_s = parse_duration(params["delay"]).total_seconds() if params.get("delay") else 0.0
    connection.settimeout(delay_s + _ANSWER_S)
    answer = _ask(params, connection)
    return (
        answer is not None and answer.headers.get(PROBE_HEADER) == fault and _fits(params, answer)
    )


def _fits(params: Mapping[str, Any], answer: Answer) -> bool:
    if abort := params.get("abort"):
        if abort.get("status") is not None:
            return answer.status == int(abort["status"])
        return answer.headers.get("grpc-status") == str(abort["grpcStatus"])
    if delay := params.get("delay"):
        return answer.seconds >= _MOST_OF * parse_duration(delay).total_seconds()
    if rate := params.get("rate"):
        # NB: the first piece comes at once.
        seconds = len(answer.body) / float(parse_quantity(rate))
        return answer.seconds >= min(_MOST_OF * seconds, 0.25) or seconds < 0.05
    body = params["body"]
    if body.get("replace") is not None:
        return bool(answer.body == body["replace"].encode())
    if body.get("contentType") is not None:
        return bool(answer.headers.get("content-type") == body["contentType"])
    return len(answer.body) <= int(body["truncate"])


def _ask(params: Mapping[str, Any], connection: socket.socket) -> Answer | None:
    match = params.get("match") or {}
    method = (match.get("methods") or ["GET"])[0].upper()
    target = match.get("path") or match.get("pathPrefix") or "/"
    headers = {
        **{k.lower(): v for k, v in (match.get("headers") or {}).items()},
        # Last: a match of the host is the user's requests', and a probe must not reach the service.
        "host": PROBE_HOST,
    }
    if (params.get("abort") or {}).get("grpcStatus") is not None:
        headers |= {"content-type": "application/grpc", "te": "trailers"}
    if method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = "0"
    began = time.monotonic()
    http = h11.Connection(h11.CLIENT)
    request = h11.Request(method=method, target=target, headers=list(headers.items()))
    connection.sendall((http.send(request) or b"") + (http.send(h11.EndOfMessage()) or b""))
    status, found, body, whole = 0, {}, bytearray(), False
    try:
        while not whole:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(connection.recv(_CHUNK))
            elif isinstance(event, h11.Response):
                status = event.status_code
                found = {name.decode(): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                whole = True
            else:
                break
    except (h11.RemoteProtocolError, OSError):
        pass  # a body that is cut short is one of the faults
    if not status:
        return None
    return Answer(status, found, bytes(body), time.monotonic() - began, whole)
