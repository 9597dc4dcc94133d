"""Whether the faults of a run can take effect, be undone, and meet a test. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.errors import SpecError
from seatrial.api.faults import Fault, Target
from seatrial.api.spec import RunSpec, Service
from seatrial.plan.documents import contents
from seatrial.plan.steps import steps_of

_CONTROLLERS = ("Deployment", "StatefulSet")


def fault_problems(
    spec: RunSpec, documents: Mapping[str, Sequence[dict[str, Any]]]
) -> Iterator[SpecError]:
    """
    Find faults that would prove nothing.

    Args:
        spec: The spec, already checked by ``parse_run``.
        documents: By service, the objects of its manifests, as far as they are known.
    """
    services = {service.name: service for service in spec.services}
    for index, fault in enumerate(spec.faults):
        field = f"spec.faults[{index}]"
        if fault.target is not None:
            target = services[fault.target.service]
            if target.manifests is None:
                yield from _numbers(fault, fault.target, target, field)
            elif target.name in documents:
                yield from _controllers(fault, target, documents[target.name], field)
        yield from _moment(fault, spec, field)
    yield from _nobody_starts(spec)


def _numbers(fault: Fault, aim: Target, target: Service, field: str) -> Iterator[SpecError]:
    replicas = 1 if target.replicas is None else target.replicas
    if fault.scale and fault.scale.replicas == replicas:
        problem = f"service {target.name} has {replicas} replicas already."
        yield SpecError(f"{field}.scale.replicas", problem, "Give another number.")
    elif replicas == 0 and not fault.scale:
        problem = f"service {target.name} has no pods: its replicas are 0."
        yield SpecError(f"{field}.target.service", problem, "Give it replicas.")
    elif isinstance(aim.pods, int) and aim.pods > replicas:
        problem = f"service {target.name} has {replicas} replicas only."
        yield SpecError(f"{field}.target.pods", problem, "Lower it, or write all.")


def _controllers(
    fault: Fault, target: Service, documents: Sequence[dict[str, Any]], field: str
) -> Iterator[SpecError]:
    workloads = contents(documents).workloads
    if not any(each["kind"] in _CONTROLLERS for each in workloads):
        problem = f"service {target.name} has no Deployment or StatefulSet,"
        problem += " so nothing would bring its pods back."
        yield SpecError(f"{field}.target.service", problem, "Make it one of them.")
    elif fault.kill and (bare := next((w for w in workloads if w["kind"] == "Pod"), None)):
        problem = f"nothing would bring back pod {bare['name']} of {target.name}."
        yield SpecError(f"{field}.target.service", problem, "Make it a Deployment.")


def _moment(fault: Fault, spec: RunSpec, field: str) -> Iterator[SpecError]:
    tests = min(spec.timeouts.tests, spec.timeout)
    lasts = {"when.after": fault.when.after, "for": fault.for_}
    limit, of = tests, "all tests"
    if fault.when.test is not None:
        test = next(each for each in spec.tests if each.name == fault.when.test)
        if test.timeout < tests:
            limit, of = test.timeout, f"test {test.name}"
    for name, duration in lasts.items():
        if duration is not None and duration >= limit and (name != "for" or limit == tests):
            problem = f"is as long as {of} may take ({format_duration(limit)})."
            yield SpecError(f"{field}.{name}", problem, "Shorten it.")
    if fault.recovery.within > spec.timeout:
        problem = f"is longer than spec.timeout ({format_duration(spec.timeout)})."
        yield SpecError(f"{field}.recovery.within", problem, "Shorten it, or raise spec.timeout.")


def _nobody_starts(spec: RunSpec) -> Iterator[SpecError]:
    if any(test.scenario is None for test in spec.tests):
        return  # pytest suites and containers may start any fault
    started = {
        step.fault.start
        for index, test in enumerate(spec.tests)
        for step, _ in steps_of(test, f"spec.tests[{index}]")
        if step.fault
    }
    for index, fault in enumerate(spec.faults):
        if fault.when.manual is not None and fault.name not in started:
            problem = "no step starts this fault."
            remedy = f"Add a step: {{fault: {{start: {fault.name}}}}}."
            yield SpecError(f"spec.faults[{index}].when.manual", problem, remedy)
