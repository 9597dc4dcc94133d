"""``graphql``: one operation over HTTP; data and errors are what expectations see."""

from __future__ import annotations

from typing import Any

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.exchange import Response
from seatrial_runner.scenario.kinds import http
from seatrial_runner.scenario.transcript import request_text, response_text

_OF_HTTP = ("headers", "basicAuth", "bearer", "oauth2", "tls", "timeout")
_ACCEPT = "application/graphql-response+json, application/json"


def title(document: dict[str, Any]) -> str:
    """Name the operation, or give the first line of the query."""
    if name := document.get("operationName"):
        return f"graphql {name}"
    first = next((line.strip() for line in document["query"].splitlines() if line.strip()), "")
    return f"graphql {first[:60]}"


def preload() -> None:
    """Import what sends requests."""
    from seatrial_runner.scenario.preloading import import_transport

    import_transport()


def act(document: dict[str, Any], call: Call) -> Observation:
    """
    Send it, and read the answer.

    An answer with errors is an answer, and so is one that says with its status why there is none.

    Raises:
        StepFailure: No answer came, or one that says that all is well and is none of GraphQL.
    """
    if "receive" in document:
        from seatrial_runner.scenario.kinds.graphql_subscription import subscribe

        return subscribe(document, call)
    body = {"query": document["query"]}
    body |= {key: document[key] for key in ("variables", "operationName") if document.get(key)}
    asked = {key: document[key] for key in _OF_HTTP if key in document}
    asked |= {"post": document["url"], "json": body}
    given = {name.lower() for name in asked.get("headers", {})}
    if "accept" not in given:
        asked["headers"] = {**asked.get("headers", {}), "Accept": _ACCEPT}
    request = http.prepared(asked, call)
    response = http.send(asked, request, call)
    text = f"{request_text(request)}\n\n{response_text(response)}"
    problem = _problem(response)
    if problem and response.status < 300:
        raise StepFailure(f"the answer is none of GraphQL: {problem}", text, answered=True)
    answer = {} if problem else response.json
    note = f"{response.status} {response.reason}; {problem}" if problem else "there are errors"
    return Observation(
        {
            "response.status": response.status,
            "response.headers": response.headers,
            "response.text": response.text,
            "response.json": response.json,
            "response.elapsed": response.elapsed,
            "response.data": answer.get("data"),
            "response.errors": answer.get("errors") or [],
        },
        text,
        {"response.data": note} if answer.get("data") is None else {},
        http.brief(response),
    )


def _problem(response: Response) -> str:
    """Say why a response is none of GraphQL; empty if it is one."""
    if response.json_problem:
        return response.json_problem
    answer = response.json
    if not isinstance(answer, dict) or not answer.keys() & {"data", "errors"}:
        return "it has neither data nor errors"
    errors = answer.get("errors") or []
    if not isinstance(errors, list) or not all(isinstance(each, dict) for each in errors):
        return "its errors are no list of maps"
    return ""
