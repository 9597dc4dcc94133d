"""What the schema cannot say of a step, a module for each kind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.scenario import Step
from seatrial.api.spec import RunSpec
from seatrial.plan.step_checks import cluster, data, message, mongo, redis, sql

Check = Callable[[Any, str, RunSpec, timedelta | None], Iterator[SpecError]]

# By the step's attribute.
CHECKS: dict[str, Check] = {
    "data": data.problems,
    "exec": cluster.exec_problems,
    "kubernetes": cluster.kubernetes_problems,
    "logs": cluster.logs_problems,
    "message": message.problems,
    "metrics": cluster.metrics_problems,
    "sql": sql.problems,
    "redis": redis.problems,
    "mongo": mongo.problems,
}


def kind_problems(
    step: Step, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """
    Find what is wrong with the action of a step.

    Args:
        step: The step.
        field: Where it stands.
        spec: The run's.
        longest: What its test may take, if it is of a test.
    """
    for kind, check in CHECKS.items():
        if (action := getattr(step, kind)) is not None:
            alias = type(step).model_fields[kind].alias or kind
            yield from check(action, f"{field}.{alias}", spec, longest)
