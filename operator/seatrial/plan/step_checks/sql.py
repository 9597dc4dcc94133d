"""``sql``: services that are not there, texts that would become part of a statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from seatrial.api.errors import SpecError
from seatrial.api.spec import RunSpec
from seatrial.api.steps.sql import SqlQuery, SqlStep
from seatrial.plan.step_checks.common import service_problems, template_problems, too_long


def problems(
    step: SqlStep | SqlQuery, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps it from working, in a step or in a check outside of scenarios."""
    yield from service_problems(step.service, f"{field}.service", spec)
    yield from too_long(step.timeout, f"{field}.timeout", longest)
    yield from template_problems(step.url, f"{field}.url")
    yield from template_problems(step.params, f"{field}.params")
    for key in ("query", "script"):
        text = getattr(step, key, None)
        if text and ("{{" in text or "{%" in text):
            problem = "is not filled in: a value would become part of the statement."
            remedy = "Write :name, and give the value in params."
            if key == "script":
                remedy = "Make a step with query and params of the statement that needs it."
            yield SpecError(f"{field}.{key}", problem, remedy)
