"""One request and what must hold of its answer, outside of any scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seatrial_runner.scenario.exchange import Client
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.scope import first_scope
from seatrial_runner.scenario.steps import StepFailure, Tools, act
from seatrial_runner.scenario.transcript import one_line
from seatrial_runner.scenario.world import World


def check(http: dict[str, Any], expect: Sequence[str], world: World, *, timeout_s: float) -> str:
    """
    Send a request once and judge its answer; nothing of it is kept.

    Args:
        http: As in a step of a scenario.
        expect: CEL expressions that must be true.
        world: Its ``services`` and ``environ`` can be named; its ``faults`` are not asked.
        timeout_s: Longest time of the exchange; the shorter of this and ``http.timeout``.

    Returns:
        Empty if it holds, else one line that says what is the case instead.
    """
    redactor = Redactor()
    client = Client(world, redactor)
    scope = first_scope({}, world.services, world.environ)
    step = {"http": http, "expect": list(expect)}
    try:
        act(step, scope, Tools(world, client, redactor), lambda: timeout_s)
    except StepFailure as failure:
        return one_line(failure.message, redactor)
    finally:
        client.close()
    return ""
