"""``mongo``: services that are not there, documents that cannot be filled in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from seatrial.api.errors import SpecError
from seatrial.api.spec import RunSpec
from seatrial.api.steps.mongo import MongoStep
from seatrial.plan.step_checks.common import service_problems, template_problems, too_long


def problems(
    step: MongoStep, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps it from working."""
    yield from service_problems(step.service, f"{field}.service", spec)
    yield from too_long(step.timeout, f"{field}.timeout", longest)
    document = step.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key, value in document.items():
        yield from template_problems(value, f"{field}.{key}")
