"""A response that is read as it comes: what ``http.stream`` says of when to end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call
from seatrial_runner.scenario.exchange import MAX_RESPONSE_BYTES, ExchangeError, Reader
from seatrial_runner.scenario.expressions import ExpressionError
from seatrial_runner.scenario.receiving import Condition
from seatrial_runner.scenario.request import Request
from seatrial_runner.scenario.streaming import Collected, Limit, StreamProblemError, collect
from seatrial_runner.scenario.watch import Watch

if TYPE_CHECKING:
    import httpx


def reader(document: dict[str, Any], request: Request, call: Call) -> tuple[Reader, Request]:
    """Give what reads the body, and the request with the time that this may take."""
    wanted, until = document.get("count"), document.get("until")
    condition = Condition(until, call.scope)
    watch = None
    if lasts := document.get("for"):
        lasts_s = parse_duration(lasts).total_seconds()
        watch = Watch(lasts_s, call.seconds())
        request = replace(request, timeout_s=lasts_s)

    def read(
        response: httpx.Response, headers: dict[str, str]
    ) -> tuple[bytes, list[dict[str, Any]]]:
        import httpcore

        into, limit = Collected(), Limit(MAX_RESPONSE_BYTES)
        sse = headers.get("content-type", "").startswith("text/event-stream")
        seen = {"response.status": response.status_code, "response.headers": headers}

        def enough(so_far: Collected) -> bool:
            now = {"response.event": so_far.events[-1], "response.events": so_far.events}
            return condition.holds(seen | now)

        try:
            collect(limit.count(response.iter_bytes()), into, sse=sse, count=wanted, until=enough)
        except httpcore.TimeoutException as error:
            if watch is None:
                raise ExchangeError(
                    f"{_came(into)} within {request.timeout_s:.3g} s, and not"
                    f" {_awaited(wanted, condition)}",
                    out_of_time=True,
                    answered=True,
                ) from error
            if text := watch.cut_short():
                raise ExchangeError(text, out_of_time=True, answered=True) from error
        except StreamProblemError as error:
            raise ExchangeError(str(error), answered=True) from error
        except ExpressionError as error:
            text = f"stream.until: {until}: {error}"
            raise ExchangeError(text, permanent=True, answered=True) from error
        else:
            asked = wanted is not None or until
            # A refusal has no events: its status is what there is to see.
            if asked and not into.enough and response.status_code < 400:
                raise ExchangeError(
                    f"the stream ended after {_came(into)}, before {_awaited(wanted, condition)}",
                    answered=True,
                )
        return b"".join(limit.parts), into.events

    return read, request


def _came(into: Collected) -> str:
    return "1 event" if len(into.events) == 1 else f"{len(into.events)} events"


def _awaited(count: int | None, condition: Condition) -> str:
    wanted = [f"{count}"] if count is not None else []
    return " or ".join([*wanted, *condition.told()]) or "its end"
