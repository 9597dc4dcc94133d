"""``webhook``: an endpoint that services call back; answers, and waits for calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.expressions import ExpressionError
from seatrial_runner.scenario.interpolation import TemplateError, render, render_json
from seatrial_runner.scenario.receiving import Condition
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.watch import Watch

if TYPE_CHECKING:
    from seatrial_runner.scenario.callbacks import Answer, Answerer, Endpoint, Endpoints

DEFAULT_WITHIN_S = 10.0
_KEY = ("webhook",)
_WAITS = ("where", "count", "within")
_MOST_SHOWN = 10
_OPEN_S = 10.0


def title(document: dict[str, Any]) -> str:
    """Name the webhook."""
    return f"webhook {document['name']}"


def preload() -> None:
    """Import what serves."""
    import seatrial_runner.scenario.callbacks  # noqa: F401


def before_first_step(documents: Sequence[dict[str, Any]], call: Call) -> None:
    """Open all of a scenario's, and give their URLs the name ``webhooks``."""
    from seatrial_runner.scenario.callbacks import Endpoints, WebhookError

    resources = call.tools.resources
    names = list(dict.fromkeys(document["name"] for document in documents))
    endpoints = Endpoints(call.tools.world.webhooks, names)
    resources.loop()  # made first, and so ended after what is open on it
    # Registered first: what is open of several is closed, also if one of them cannot be had.
    resources.get(_KEY, lambda: endpoints, lambda each: resources.run(each.close(), _OPEN_S))
    try:
        resources.run(endpoints.open(), _OPEN_S)
    except WebhookError as error:
        raise StepFailure(str(error), outcome="error", permanent=True) from error
    call.scope.given["webhooks"] = dict(endpoints.urls)


def act(document: dict[str, Any], call: Call) -> Observation:
    """Set how it answers, and wait for calls if the step says of any."""
    endpoints: Endpoints = call.tools.resources.find(_KEY)
    endpoint = endpoints[document["name"]]
    written = document.get("answers") or [document["answer"]] if _answers(document) else []
    if written:
        endpoint.answer_with([_answerer(each, call) for each in written])
        if not any(document.get(key) not in (None, []) for key in _WAITS):
            return Observation()
    return _wait(document, endpoint, call)


def _answers(document: dict[str, Any]) -> bool:
    return bool(document.get("answers") or document.get("answer"))


# Calls -------------------------------------------------------------------------------------------


def _wait(document: dict[str, Any], endpoint: Endpoint, call: Call) -> Observation:
    conditions = [Condition(text, call.scope) for text in document.get("where") or ()]
    count = document.get("count")
    count = 1 if count is None else count
    within = document.get("within")
    limit = parse_duration(within).total_seconds() if within else DEFAULT_WITHIN_S

    def wanted(came: dict[str, Any]) -> bool:
        seen = {f"request.{key}": value for key, value in came.items()}
        return all(condition.holds(seen) for condition in conditions)

    watch = Watch(limit, call.seconds())
    try:
        taken = endpoint.wait(wanted, count, watch.left())
    except ExpressionError as error:
        raise StepFailure(f"where: {error}", permanent=True) from error
    for each in taken or endpoint.calls[:_MOST_SHOWN]:
        call.tools.redactor.learn_headers(each["headers"])
        call.tools.redactor.learn_json(each["json"])
    if count == 0 and taken:
        text = f"{_line(taken[0])} came to {endpoint.url}, and none was to come"
        raise StepFailure(text, _shown("Calls", taken), answered=True)
    if count == 0:
        if doubt := endpoint.doubt():
            calls = f"calls of {endpoint.url}{_where(conditions)}"
            text = f"nobody can say how many {calls} there were: {doubt}"
            raise StepFailure(text, outcome="error")
        watch.require_whole()
    if len(taken) < count:
        raise _too_few(endpoint, conditions, taken, count, limit)
    values: dict[str, Any] = {"requests": taken}
    if taken:
        values |= {f"request.{key}": value for key, value in taken[0].items()}
    notes = {"request.json": "the body is no JSON"} if taken and taken[0]["json"] is None else {}
    return Observation(values, _shown("Calls", taken), notes)


def _too_few(
    endpoint: Endpoint,
    conditions: list[Condition],
    found: list[dict[str, Any]],
    count: int,
    limit: float,
) -> StepFailure:
    calls = f"{count} calls" if count > 1 else "a call"
    where = _where(conditions)
    text = f"not within {limit:.3g} s: {calls} of {endpoint.url}{where}; "
    others = len(endpoint.calls) - len(found)
    if not endpoint.came:
        text += "nobody called it"
    else:
        text += f"{len(found)} such came, and {others} others" if where else f"{len(found)} came"
    if endpoint.came > len(endpoint.calls):
        text += f"; {endpoint.came - len(endpoint.calls)} were taken by steps before"
    doubt = endpoint.doubt()
    return StepFailure(
        text + (f" ({doubt})" if doubt else ""),
        _shown("Calls that no step has taken", endpoint.calls),
        outcome="error" if doubt else "failed",
    )


def _where(conditions: list[Condition]) -> str:
    told = " and ".join(text for each in conditions for text in each.told())
    return f" where {told}" if told else ""


def _line(came: dict[str, Any]) -> str:
    return f"{came['method']} {came['path']}"


def _shown(title_: str, calls: list[dict[str, Any]]) -> str:
    if not calls:
        return ""
    lines = [f"{title_}:"]
    for each in calls[:_MOST_SHOWN]:
        lines.append(f"  {_line(each)}")
        lines += [f"    {line}" for line in cut(each["text"], 1000).splitlines()]
    if len(calls) > _MOST_SHOWN:
        lines.append(f"  … {len(calls) - _MOST_SHOWN} more")
    return "\n".join(lines)


# Answers -----------------------------------------------------------------------------------------


def _answerer(document: dict[str, Any], call: Call) -> Answerer:
    """Make what answers a call: texts see the variables of now, and the call as ``request``."""
    variables = call.scope.template_variables()
    delay = document.get("delay")
    delay_s = parse_duration(delay).total_seconds() if delay else 0.0

    def answer(came: dict[str, Any]) -> Answer:
        from seatrial_runner.httpserver import Reply
        from seatrial_runner.scenario.callbacks import Answer

        try:
            reply = _filled(document, {**variables, "request": came})
        except TemplateError as error:
            # The caller is not the one to blame, and the test sees it by what the caller does.
            body = json.dumps({"error": f"the answer cannot be filled in: {error}"}).encode()
            reply = Reply(500, body, [("content-type", "application/json")])
        return Answer(reply, delay_s)

    return answer


def _filled(document: dict[str, Any], variables: dict[str, Any]) -> Any:
    from seatrial_runner.httpserver import Reply

    headers = {name.lower(): render(text, variables) for name, text in _headers(document).items()}
    body = b""
    if document.get("json") is not None:
        body = json.dumps(render_json(document["json"], variables), ensure_ascii=False).encode()
        headers.setdefault("content-type", "application/json")
    elif document.get("body"):
        body = render(document["body"], variables).encode("utf-8", "surrogateescape")
        headers.setdefault("content-type", "text/plain; charset=utf-8")
    kept = [(name, text) for name, text in headers.items() if name not in _FRAMING]
    if any(not text.isprintable() for _, text in kept):
        raise TemplateError("a header has a character that none can have")
    return Reply(document.get("status", 200), body, kept)


_FRAMING = ("content-length", "transfer-encoding", "connection")


def _headers(document: dict[str, Any]) -> dict[str, str]:
    headers: dict[str, str] = document.get("headers") or {}
    return headers
