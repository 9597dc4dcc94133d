"""What a probe or ``recovery.until`` asks, and what must hold of the answer; in no scenario."""

from __future__ import annotations

from typing import Any

from seatrial_runner.scenario.action import Call, StepFailure, Tools
from seatrial_runner.scenario.exchange import Client
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.resources import Resources
from seatrial_runner.scenario.scope import first_scope
from seatrial_runner.scenario.steps import act
from seatrial_runner.scenario.transcript import one_line
from seatrial_runner.scenario.world import World

Json = dict[str, Any]

# What must hold where nothing is said. A database that answers has answered no error.
_EXPECT = {"http": ["response.status < 400"], "sql": []}


def step_of(check: Json) -> Json:
    """Give the step that a check comes to: its ``http`` or ``sql``, and what is expected."""
    kind = next(kind for kind in _EXPECT if check.get(kind))
    return {kind: check[kind], "expect": check.get("expect") or _EXPECT[kind]}


def check(asked: Json, world: World, *, timeout_s: float) -> str:
    """
    Ask once and judge the answer; nothing of it is kept, no connection either.

    Args:
        asked: With ``http`` or ``sql`` as in a step of a scenario, and ``expect``.
        world: Its ``services``, ``connections`` and ``environ`` can be named; its ``faults`` are
            not asked.
        timeout_s: Longest time of it; the shorter of this and its own ``timeout``.

    Returns:
        Empty if it holds, else one line that says what is the case instead.
    """
    redactor, resources = Redactor(world.secrets), Resources()
    client = Client(world, redactor)
    tools = Tools(world, client, redactor, resources)
    scope = first_scope({}, world.services, world.environ)
    give_up = world.monotonic() + timeout_s
    try:
        act(step_of(asked), Call(scope, tools, lambda: max(give_up - world.monotonic(), 0.0)))
    except StepFailure as failure:
        return one_line(failure.message, redactor)
    finally:
        resources.close()
        client.close()
    return ""
