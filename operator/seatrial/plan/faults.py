"""Whether the faults of a run may be, can take effect, be undone, and meet a test. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter

from seatrial.api import families, names
from seatrial.api.duration import format_duration
from seatrial.api.errors import SpecError
from seatrial.api.faults import Fault
from seatrial.api.spec import RunSpec
from seatrial.plan.ceilings import ceiling_problems
from seatrial.plan.configuration import Key, configuration_problems, is_complete, sources
from seatrial.plan.delegation import resource_problems
from seatrial.plan.envoy_size import MAX_BYTES, envoy_bytes
from seatrial.plan.fault_targets import target_problems
from seatrial.plan.fronts import carried
from seatrial.plan.gateway import MAX_LISTENERS, carried_services, is_needed, plan_gateway
from seatrial.plan.nesting import steps_of, steps_of_scenarios
from seatrial.plan.parts import Part
from seatrial.plan.settings import FaultCeiling


def fault_problems(
    spec: RunSpec,
    parts: Mapping[str, Part],
    found: Mapping[Key, Mapping[str, object] | None] | None,
    ceiling: FaultCeiling,
) -> Iterator[SpecError]:
    """
    Find faults that may not be, or that would prove nothing.

    Args:
        spec: The spec, already checked by ``parse_run``.
        parts: The system under test, by service.
        found: What the run refers to; None if nobody has looked.
        ceiling: What the operator allows.
    """
    there = sources(list(parts.values()), found)
    complete = is_complete(parts.values())
    for index, fault in enumerate(spec.faults):
        field = f"spec.faults[{index}]"
        yield from ceiling_problems(fault, parts, ceiling, field)
        if fault.target is not None:
            yield from target_problems(fault, parts, field)
        if fault.configuration and fault.target:
            yield from configuration_problems(
                fault.configuration,
                there,
                f"{field}.configuration",
                target=fault.target.service,
                complete=complete,
            )
        if fault.resource:
            where = f"{field}.resource.manifest"
            yield from resource_problems(fault.resource.manifest, ceiling.delegated, where)
        yield from _moment(fault, spec, field)
        yield from _repetition(fault, spec, field)
    yield from _too_many_ports(spec, parts)
    yield from _too_much_for_envoy(spec, parts)
    yield from _too_much_for_the_gateway(spec, parts)
    yield from _ambiguous(spec)
    yield from _circle(spec)
    yield from _nobody_starts(spec)


def _too_many_ports(spec: RunSpec, parts: Mapping[str, Part]) -> Iterator[SpecError]:
    ports = sum(
        len(front.ports)
        for name in carried_services(spec.faults)
        for front in carried(parts[name].fronts)
    )
    if ports > MAX_LISTENERS:
        problem = f"have targets with {ports} ports; the gateway carries at most {MAX_LISTENERS}."
        yield SpecError("spec.faults", problem, "Make several runs of it.")


def _too_much_for_envoy(spec: RunSpec, parts: Mapping[str, Part]) -> Iterator[SpecError]:
    size = envoy_bytes(spec.faults, {name: part.fronts for name, part in parts.items()})
    if size > MAX_BYTES:
        problem = f"of kind http need a configuration of about {size // 1024} KiB;"
        problem += f" at most {MAX_BYTES // 1024} KiB can be kept."
        remedy = "Name target.port, fewer services in target.from, or make several runs of it."
        yield SpecError("spec.faults", problem, remedy)


def _too_much_for_the_gateway(spec: RunSpec, parts: Mapping[str, Part]) -> Iterator[SpecError]:
    gateway = plan_gateway(spec.faults, {name: part.fronts for name, part in parts.items()})
    if gateway is not None and gateway.is_too_large:
        problem = "have targets with more ports and sources than a gateway can carry."
        yield SpecError("spec.faults", problem, "Make several runs of it.")


def _moment(fault: Fault, spec: RunSpec, field: str) -> Iterator[SpecError]:
    tests = min(spec.timeouts.tests, spec.timeout)
    limit, of, more = _room(fault, spec)
    if fault.when.after is not None and fault.when.after >= limit:
        problem = f"is as long as {of} may take ({format_duration(limit)})."
        yield SpecError(f"{field}.when.after", problem, f"Shorten it{more}.")
    if fault.for_ is not None and fault.for_ >= tests:
        problem = f"is as long as all tests may take ({format_duration(tests)})."
        yield SpecError(f"{field}.for", problem, "Shorten it.")
    if fault.recovery.within > spec.timeout:
        problem = f"is longer than spec.timeout ({format_duration(spec.timeout)})."
        yield SpecError(f"{field}.recovery.within", problem, "Shorten it, or raise spec.timeout.")


def _repetition(fault: Fault, spec: RunSpec, field: str) -> Iterator[SpecError]:
    every, times = fault.when.every, fault.when.times
    if every is None or times is None:
        return
    if fault.for_ is not None and every <= fault.for_:
        problem = f"is not longer than for ({format_duration(fault.for_)}): it would never be off."
        yield SpecError(f"{field}.when.every", problem, "Raise it, or make one long fault of it.")
    limit, of, more = _room(fault, spec)
    last = (fault.when.after or timedelta(0)) + every * (times - 1)
    if last >= limit:
        problem = f"come to {format_duration(last)}, as long as {of} may take"
        problem += f" ({format_duration(limit)})."
        yield SpecError(f"{field}.when.times", problem, f"Lower it{more}.")


def _room(fault: Fault, spec: RunSpec) -> tuple[timedelta, str, str]:
    """Say how long what a fault is bound to may take, what that is, and how it gets more."""
    tests = min(spec.timeouts.tests, spec.timeout)
    if fault.when.test is not None:
        test = next(each for each in spec.tests if each.name == fault.when.test)
        # Each combination has its own time; a further attempt is made only where the first failed.
        longest = test.timeout * test.combinations
        if longest < tests:
            return longest, f"test {test.name}", f", or raise timeout of test {test.name}"
    return tests, "all tests", ""


def _ambiguous(spec: RunSpec) -> Iterator[SpecError]:
    """Find services whose traffic could not be told from that of the run's own parts."""
    if not is_needed(spec.faults):
        return
    for index, service in enumerate(spec.services):
        if service.name in (families.FROM_TESTS, names.COMPONENT_CONDUCTOR):
            problem = "is what faults call traffic of the run itself."
            yield SpecError(f"spec.services[{index}].name", problem, "Choose another name.")


def _circle(spec: RunSpec) -> Iterator[SpecError]:
    """Find a circle of faults that wait for one another: none of them would begin."""
    waits = {each.name: [each.when.fault] if each.when.fault else [] for each in spec.faults}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        circle = list(reversed(error.args[1]))
        field = f"spec.faults[{list(waits).index(circle[0])}].when.fault"
        problem = f"faults wait for one another: {' -> '.join(circle)}."
        yield SpecError(field, problem, "Let one of them begin by itself.")


def _nobody_starts(spec: RunSpec) -> Iterator[SpecError]:
    if any(test.scenario is None for test in spec.tests):
        return  # pytest suites and containers may start any fault
    started = {
        step.fault.start
        for index, test in enumerate(spec.tests)
        for step, _ in [*steps_of(test, f"spec.tests[{index}]"), *steps_of_scenarios(spec)]
        if step.fault
    }
    for index, fault in enumerate(spec.faults):
        if fault.when.manual is not None and fault.name not in started:
            problem = "no step starts this fault."
            remedy = f"Add a step: {{fault: {{start: {fault.name}}}}}."
            yield SpecError(f"spec.faults[{index}].when.manual", problem, remedy)
