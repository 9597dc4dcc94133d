"""``http``: sends a request, and shows the response to expectations."""

from __future__ import annotations

from binascii import b2a_base64
from typing import Any

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.exchange import ExchangeError, Reader, Response
from seatrial_runner.scenario.interpolation import TemplateError
from seatrial_runner.scenario.request import Request, RequestError, line_of, prepare
from seatrial_runner.scenario.transcript import request_text, response_text


def title(document: dict[str, Any]) -> str:
    """Give method and URL."""
    method, url = line_of(document)
    return f"{method} {url}"


def act(document: dict[str, Any], call: Call) -> Observation:
    """Send it, and read the whole response, or as much of a stream as is asked for."""
    request = prepared(document, call)
    read = None
    if "stream" in document:
        from seatrial_runner.scenario.kinds.http_stream import reader

        read, request = reader(document["stream"], request, call)
    return observed(request, send(document, request, call, read))


def send(
    document: dict[str, Any], request: Request, call: Call, read: Reader | None = None
) -> Response:
    """
    Send a request that is prepared, with a token where ``oauth2`` is asked for.

    Raises:
        StepFailure: No response came of it.
    """
    oauth2 = document.get("oauth2")
    if oauth2 and "authorization" not in {name.lower() for name in request.headers}:
        from seatrial_runner.scenario.oauth2 import with_token

        request = with_token(oauth2, request, call)
    try:
        response = call.tools.client.send(request, at_most_s=call.seconds(), read=read)
    except ExchangeError as error:
        raise StepFailure(
            str(error),
            request_text(request),
            permanent=error.permanent,
            out_of_time=error.out_of_time,
            answered=error.answered,
        ) from error
    if oauth2 and response.status == 401:
        from seatrial_runner.scenario.oauth2 import forget_token

        forget_token(oauth2, call)
    return response


def prepared(document: dict[str, Any], call: Call) -> Request:
    """
    Fill a request in.

    Raises:
        StepFailure: It is none.
    """
    try:
        return prepare(document, call.scope.template_variables(), call.tools.redactor)
    except (TemplateError, RequestError) as error:
        raise StepFailure(str(error), permanent=True) from error


def observed(request: Request, response: Response) -> Observation:
    """Give what expectations see of a response."""
    notes = {}
    if response.json_problem:
        media_type = response.headers.get("content-type", "no content-type")
        notes["response.json"] = f"{response.json_problem}; {media_type}"
    values = {
        "response.status": response.status,
        "response.headers": response.headers,
        "response.text": response.text,
        "response.json": response.json,
        "response.elapsed": response.elapsed,
        "response.url": response.url,
        "response.version": response.version,
        "response.size": len(response.body),
        "response.base64": b2a_base64(response.body, newline=False).decode(),
    }
    if response.events is not None:
        values["response.events"] = response.events
        values["response.event"] = response.events[-1] if response.events else None
    text = f"{request_text(request)}\n\n{response_text(response)}"
    return Observation(values, text, notes, brief(response))


def brief(response: Response) -> str:
    """Say on a line what came."""
    return f"{response.status} {response.reason}".strip()
