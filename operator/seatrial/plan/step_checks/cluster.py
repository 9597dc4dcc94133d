"""``exec``, ``kubernetes``, ``logs`` and ``metrics``: services, kinds of objects, patterns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from seatrial.api.confinement import problems
from seatrial.api.errors import SpecError
from seatrial.api.fields import Model
from seatrial.api.rules import did_you_mean
from seatrial.api.spec import RunSpec
from seatrial.api.step_objects import BY_KIND, ObjectReferenceError, parse_reference
from seatrial.api.steps.exec import Exec
from seatrial.api.steps.kubernetes import KubernetesStep
from seatrial.api.steps.logs import LogQuery
from seatrial.api.steps.metrics import MetricQuery
from seatrial.plan.expressions import expression_problem
from seatrial.plan.step_checks.common import template_problems, too_long
from seatrial.plan.step_roles import asked_of


def exec_problems(
    step: Exec, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps a command from being run."""
    yield from _service(step.service, field, spec)
    yield from _templates(step, field)
    yield from too_long(step.timeout, f"{field}.timeout", longest)


def kubernetes_problems(
    step: KubernetesStep, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find objects that no step may name, and changes that may not be in a run."""
    yield from _service(step.service, field, spec)
    yield from _templates(step, field)
    yield from _objects(step, field)
    yield from too_long(step.within, f"{field}.within", longest)


def logs_problems(
    step: LogQuery, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps a line from being found."""
    yield from _service(step.service, field, spec)
    yield from _templates(step, field)
    yield from _pattern(step.matches, f"{field}.matches")
    yield from too_long(step.within, f"{field}.within", longest)


def metrics_problems(
    step: MetricQuery, field: str, spec: RunSpec, longest: timedelta | None
) -> Iterator[SpecError]:
    """Find what keeps a metric from being read."""
    yield from _service(step.service, field, spec)
    yield from _templates(step, field)
    yield from too_long(step.timeout, f"{field}.timeout", longest)


def _objects(step: KubernetesStep, field: str) -> Iterator[SpecError]:
    verb, reference = asked_of(step)
    if verb == "apply":
        yield from _applied(step.apply, f"{field}.apply")
        return
    try:
        _, name = parse_reference(reference, verb)
    except ObjectReferenceError as error:
        yield SpecError(f"{field}.{verb}", error.problem, error.remedy)
        return
    if not name and verb not in ("get", "wait"):
        yield SpecError(f"{field}.{verb}", "has no name.", f"Write {reference[:60]}/NAME.")
    if name and (step.labels or step.service):
        problem = "is of no use: there is one object of that name."
        which = "labels" if step.labels else "service"
        yield SpecError(f"{field}.{which}", problem, "Take it out, or the name.")
    if step.until and (problem := expression_problem(step.until, "kubernetes")):
        yield SpecError(f"{field}.until", f"{step.until[:80]!r} cannot be evaluated: {problem}.")
    if verb == "patch" and not isinstance(step.with_, dict):
        yield SpecError(f"{field}.with", "is no object.", "Write it like {spec: {...}}.")


def _applied(body: Any, field: str) -> Iterator[SpecError]:
    if not isinstance(body, dict):
        yield SpecError(field, "is no object.", "Write it like a manifest.")
        return
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in BY_KIND or "apply" not in BY_KIND[kind].verbs:
        able = ", ".join(each.kind for each in BY_KIND.values() if "apply" in each.verbs)
        problem = f"kind {str(kind)[:60]!r} cannot be applied by a step."
        yield SpecError(f"{field}.kind", problem, f"Those can: {able}.")
    elif "{{" not in json.dumps(body):
        # With values to fill in, the conductor says the same when it has filled them in.
        yield from problems([body], field)


def _service(name: str | None, field: str, spec: RunSpec) -> Iterator[SpecError]:
    known = [service.name for service in spec.services]
    if name is not None and name not in known:
        problem = f"no service of this run is named {name!r}."
        remedy = did_you_mean(name, known) or "Declare it in spec.services."
        yield SpecError(f"{field}.service", problem, remedy)


def _pattern(pattern: str | None, field: str) -> Iterator[SpecError]:
    if pattern is None or "{{" in pattern:
        return
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        yield SpecError(field, f"{pattern[:80]!r} is no regular expression: {error}.")


def _templates(step: Model, field: str) -> Iterator[SpecError]:
    document = step.model_dump(mode="json", by_alias=True, exclude_none=True)
    yield from template_problems(document, field)
