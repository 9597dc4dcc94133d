"""
The kinds of steps, a module each; the interface is ``action.Kind``.

Each is imported with the first step of its kind, and imports its driver when it acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, cast

from seatrial_runner.scenario.action import Kind

# By the step's key.
MODULES = {
    "data": "seatrial_runner.scenario.kinds.data",
    "exec": "seatrial_runner.scenario.kinds.exec",
    "fault": "seatrial_runner.scenario.kinds.fault",
    "graphql": "seatrial_runner.scenario.kinds.graphql",
    "grpc": "seatrial_runner.scenario.kinds.grpc",
    "http": "seatrial_runner.scenario.kinds.http",
    "kubernetes": "seatrial_runner.scenario.kinds.kubernetes",
    "logs": "seatrial_runner.scenario.kinds.logs",
    "metrics": "seatrial_runner.scenario.kinds.metrics",
    "sql": "seatrial_runner.scenario.kinds.sql",
    "webhook": "seatrial_runner.scenario.kinds.webhook",
    "websocket": "seatrial_runner.scenario.kinds.websocket",
    "message": "seatrial_runner.scenario.kinds.message",
    "redis": "seatrial_runner.scenario.kinds.redis",
    "mongo": "seatrial_runner.scenario.kinds.mongo",
}


def kind_of(step: dict[str, Any]) -> str:
    """Give the key of a step's action; empty if it has none of a module's."""
    return next((key for key in MODULES if key in step), "")


def module_of(kind: str) -> Kind:
    """Import the module of a kind."""
    return cast("Kind", import_module(MODULES[kind]))


def all_steps(steps: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Go through steps, and those inside of them; not through the scenarios that they call."""
    for step in steps:
        yield step
        yield from all_steps(step.get("steps") or ())
        for branch in step.get("parallel") or ():
            yield from all_steps(branch["steps"])


def steps_of(test: dict[str, Any], scenarios: Mapping[str, dict[str, Any]]) -> Iterator[Any]:
    """
    Go through every step that a test may come to, those of called scenarios included.

    Args:
        test: With ``scenario``, ``setup`` and ``teardown``, each of which may be missing.
        scenarios: Those that may be called, by name; each is gone through once.
    """
    pending = [test.get(part) or [] for part in ("setup", "scenario", "teardown")]
    seen: set[str] = set()
    while pending:
        for step in all_steps(pending.pop(0)):
            yield step
            called = step["scenario"]["name"] if "scenario" in step else ""
            if called in scenarios and called not in seen:
                seen.add(called)
                pending.append(scenarios[called]["steps"])
