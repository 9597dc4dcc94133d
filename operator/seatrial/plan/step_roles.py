"""The rights that steps of a run need in its namespace. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seatrial.api.names import EXEC_ROLE, READ_ROLE, STEP_ROLES, WRITE_ROLE
from seatrial.api.scenario import Step
from seatrial.api.step_objects import ObjectReferenceError, parse_reference
from seatrial.api.steps.kubernetes import KUBERNETES_VERBS, KubernetesStep

# What the conductor may do in every run.
_PATCHED_BY_ALL = ("deployment", "statefulset")
_NOT_READ_BY_ALL = ("service", "persistentvolumeclaim")


def step_roles(steps: Iterable[Step]) -> list[str]:
    """Name the roles that a conductor needs to carry out these steps, in the chart's order."""
    wanted = {role for step in steps for role in _roles(step)}
    return [role for role in STEP_ROLES if role in wanted]


def _roles(step: Step) -> Iterator[str]:
    if step.exec is not None:
        yield EXEC_ROLE
    if (asked := step.kubernetes) is None:
        return
    verb, reference = asked_of(asked)
    word = reference.partition("/")[0]
    try:
        kind = parse_reference(reference, verb)[0].word if verb != "apply" else ""
    except ObjectReferenceError:
        return  # the run ends for it before anything is made
    if kind in _NOT_READ_BY_ALL or (not kind and not word):
        yield READ_ROLE
    if verb in ("apply", "delete") or (verb == "patch" and kind not in _PATCHED_BY_ALL):
        yield READ_ROLE
        yield WRITE_ROLE


def asked_of(step: KubernetesStep) -> tuple[str, str]:
    """Give the verb of a step, and its reference; that is empty for apply."""
    verb = next(verb for verb in KUBERNETES_VERBS if step.given(verb))
    return verb, "" if verb == "apply" else str(getattr(step, step.attribute(verb)))
