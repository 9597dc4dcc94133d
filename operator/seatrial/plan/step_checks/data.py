"""``data``: specifications that cannot be carried out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from seatrial.api.data_specification import (
    DataError,
    read_rows,
    read_specification,
    require_tags,
)
from seatrial.api.errors import SpecError
from seatrial.api.spec import RunSpec
from seatrial.api.steps.data import DataStep
from seatrial.plan.step_checks.common import service_problems, template_problems, too_long


def problems(
    step: DataStep, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps it from working."""
    yield from service_problems(step.service, f"{field}.service", spec)
    yield from too_long(step.timeout, f"{field}.timeout", longest)
    document = step.model_dump(mode="json", by_alias=True, exclude_none=True)
    broken = list(template_problems(document, field))
    yield from broken
    if broken:
        return
    try:
        if step.generate is not None:
            read_specification(step.generate, f"{field}.generate")
        if step.rows is not None:
            read_rows(step.rows, f"{field}.rows")
        if step.clean is not None and step.clean.where is not None:
            require_tags(step.clean.where, f"{field}.clean.where")
    except DataError as error:
        yield SpecError(error.field, f"{error.problem}.")
