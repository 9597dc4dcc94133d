"""Whether the steps of scenarios, and the checks of recovery, can work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from seatrial.api.duration import format_duration
from seatrial.api.errors import SpecError
from seatrial.api.faults import Recovery
from seatrial.api.observations import OBSERVED
from seatrial.api.probes import SteadyState
from seatrial.api.rules import did_you_mean
from seatrial.api.scenario import ACTIONS, ExpectFailure, Step
from seatrial.api.spec import Fault, RunSpec, Test
from seatrial.plan.calls import call_problems
from seatrial.plan.expressions import name_problem, unknown_name_problem
from seatrial.plan.nesting import action_of, nesting_problems, steps_of, steps_of_scenarios
from seatrial.plan.step_checks import kind_problems, message
from seatrial.plan.step_checks.common import expression_problems, template_problems
from seatrial.plan.step_checks.sql import problems as sql_problems
from seatrial.plan.step_checks.web import Hosts, host_problems, http_problems, web_problems

MAX_COMBINATIONS = 256
# Actions that do not succeed later if they fail at first.
NOTHING_TO_WAIT_FOR = ("", "set", "fault")
LEAST_EVERY = timedelta(milliseconds=100)  # of a probe; the conductor checks no faster either


def scenario_problems(spec: RunSpec, hosts: Hosts | None) -> Iterator[SpecError]:
    """
    Find what is wrong with scenarios, with the checks of recovery, with probes, and with taps.

    Args:
        spec: The spec, already checked by ``parse_run``.
        hosts: Host names of the run's services; None if they are not all known.
    """
    for index, test in enumerate(spec.tests):
        field = f"spec.tests[{index}]"
        yield from _matrix(test, field)
        yield from _names(test.vars, f"{field}.vars")
        for step, where in steps_of(test, field):
            yield from _step(step, where, test, spec.faults, hosts)
            yield from kind_problems(step, where, spec, test.timeout)
            if step.expect_failure is not None:
                failure = f"{where}.expectFailure"
                yield from _expected_failure(step.expect_failure, failure, test, spec, _kind(step))
    for step, where in steps_of_scenarios(spec):
        yield from _step(step, where, None, spec.faults, hosts)
        yield from kind_problems(step, where, spec, spec.timeout)
        if step.expect_failure is not None:
            failure = f"{where}.expectFailure"
            yield from _expected_failure(step.expect_failure, failure, None, spec, _kind(step))
    yield from nesting_problems(spec)
    yield from call_problems(spec)
    for index, fault in enumerate(spec.faults):
        if until := fault.recovery.until:
            yield from _check(until, f"spec.faults[{index}].recovery.until", spec, hosts)
    for index, probe in enumerate(spec.probes):
        yield from _probe(probe, f"spec.probes[{index}]", spec, hosts)
    for index, tap in enumerate(spec.taps):
        yield from message.problems(tap.as_step(), f"spec.taps[{index}]", spec, None)


def _check(
    check: SteadyState | Recovery.Until, field: str, spec: RunSpec, hosts: Hosts | None
) -> Iterator[SpecError]:
    """Look at a request or a statement outside of scenarios, and at what is expected of it."""
    if check.http is not None:
        yield from http_problems(check.http, f"{field}.http", hosts)
        document = check.http.model_dump(mode="json", by_alias=True, exclude_none=True)
        remedy = "Write its value: names of scenarios are not known here."
        yield from template_problems(document, f"{field}.http", unknown_name_problem, remedy)
    if check.sql is not None:
        yield from sql_problems(check.sql, f"{field}.sql", spec, None)
        yield from _unconnected(check.sql.service, f"{field}.sql.service", spec)
    kind = "sql" if check.sql is not None else "http"
    yield from expression_problems(check.expect, f"{field}.expect", kind=kind, alone=True)


def _unconnected(name: str | None, field: str, spec: RunSpec) -> Iterator[SpecError]:
    """Find a service that cannot be asked: it would count as a system that is not well."""
    if any(service.name == name and service.preset is None for service in spec.services):
        problem = f"service {name} has no preset, so nobody knows how to connect to it."
        yield SpecError(field, problem, "Give it one, or give url in place of service.")


def _probe(
    probe: SteadyState, field: str, spec: RunSpec, hosts: Hosts | None
) -> Iterator[SpecError]:
    if probe.tcp is None:
        yield from _check(probe, field, spec, hosts)
    else:
        host, _, port = probe.tcp.rpartition(":")
        if not 1 <= int(port) <= 65535:
            yield SpecError(f"{field}.tcp", f"there is no port {port}.", "Write HOST:PORT.")
        elif hosts is not None and "." not in host:
            yield from host_problems(host, int(port), f"{field}.tcp", hosts)
        if probe.expect:
            problem = "has no response to judge: a TCP probe only connects."
            yield SpecError(f"{field}.expect", problem, "Leave it out, or give http or sql.")
    if probe.every < LEAST_EVERY:
        problem = f"is shorter than {format_duration(LEAST_EVERY)}."
        remedy = "The conductor has other things to do as well; give a longer one."
        yield SpecError(f"{field}.every", problem, remedy)


def _matrix(test: Test, field: str) -> Iterator[SpecError]:
    if test.combinations > MAX_COMBINATIONS:
        problem = f"makes {test.combinations} combinations, more than {MAX_COMBINATIONS}."
        yield SpecError(f"{field}.matrix", problem, "Give fewer values, or make several tests.")
    yield from _names(test.matrix, f"{field}.matrix")


def _step(
    step: Step, field: str, test: Test | None, faults: list[Fault], hosts: Hosts | None
) -> Iterator[SpecError]:
    kind = _kind(step)
    if step.when is not None:
        yield from expression_problems([step.when], field, "when")
    yield from expression_problems(step.expect, f"{field}.expect", kind=kind)
    for key, values in (("set", step.set or {}), ("capture", step.capture)):
        yield from _names(values, f"{field}.{key}")
        for name, expression in values.items():
            yield from expression_problems([expression], f"{field}.{key}", name, kind=kind)
    yield from web_problems(step, field, hosts, test.timeout if test else None)
    if step.fault:
        yield from _control(step.fault.start, faults, f"{field}.fault.start")
        yield from _control(step.fault.stop, faults, f"{field}.fault.stop")
    yield from expression_problems(step.expect_error or (), f"{field}.expectError")
    if step.eventually:
        yield from _fits(step.eventually.within, test, f"{field}.eventually.within")
        if step.eventually.every and step.eventually.every >= step.eventually.within:
            problem = "is not shorter than within, so the step would be tried once."
            yield SpecError(f"{field}.eventually.every", problem, "Use a shorter one.")
        if not step.expect and action_of(step) in NOTHING_TO_WAIT_FOR:
            problem = "has nothing to wait for."
            yield SpecError(f"{field}.eventually", problem, "Give the step http or expect.")
    if step.always:
        yield from _fits(step.always.for_, test, f"{field}.always.for")
    yield from _loops(step, field)
    if step.snapshot:
        yield from expression_problems(
            [step.snapshot.value], f"{field}.snapshot", "value", kind=kind
        )


def _loops(step: Step, field: str) -> Iterator[SpecError]:
    if loop := step.repeat:
        for key, expression in (("until", loop.until), ("while", loop.while_)):
            if expression is not None:
                yield from expression_problems([expression], f"{field}.repeat", key)
        yield from _names([loop.index], f"{field}.repeat")
    if each := step.for_each:
        yield from expression_problems([each.in_], f"{field}.forEach", "in")
        yield from _names([each.item, each.index], f"{field}.forEach")


def _kind(step: Step) -> str:
    """Name the action of a step, if it is one that shows something to expectations."""
    return next((kind for kind in OBSERVED if kind in ACTIONS and step.given(kind)), "")


def _expected_failure(
    expected: ExpectFailure, field: str, test: Test | None, spec: RunSpec, kind: str
) -> Iterator[SpecError]:
    by_name = {fault.name: fault for fault in spec.faults}
    if (fault := by_name.get(expected.during)) is None:
        problem = f"no fault of this run is named {expected.during!r}."
        yield SpecError(f"{field}.during", problem, did_you_mean(expected.during, by_name))
    elif test and fault.when.test not in (None, test.name) and spec.parallelism == 1:
        problem = f"fault {fault.name} is over before this test: it ends with {fault.when.test}."
        yield SpecError(f"{field}.during", problem, "Bind it to this test with when.test.")
    if expected.no_response and expected.expect:
        problem = "has no response to judge, because of noResponse."
        yield SpecError(f"{field}.expect", problem, "Leave one of them out.")
    yield from expression_problems(expected.expect, f"{field}.expect", kind=kind)
    yield from _fits(expected.within, test, f"{field}.within")


def _fits(duration: timedelta | None, test: Test | None, field: str) -> Iterator[SpecError]:
    if test is not None and duration is not None and duration > test.timeout:
        problem = f"is longer than the test may take ({format_duration(test.timeout)})."
        yield SpecError(field, problem, f"Shorten it, or raise timeout of test {test.name}.")


def _control(name: str | None, faults: list[Fault], field: str) -> Iterator[SpecError]:
    if name is None:
        return
    by_name = {fault.name: fault for fault in faults}
    if name not in by_name:
        problem = f"no fault of this run is named {name!r}."
        yield SpecError(field, problem, did_you_mean(name, by_name))
    elif by_name[name].when.manual is None:
        problem = f"fault {name} is not one that a test starts."
        yield SpecError(field, problem, "Declare it with when: {manual: {}}.")


def _names(values: Iterable[str], field: str) -> Iterator[SpecError]:
    for name in values:
        if problem := name_problem(name):
            yield SpecError(f"{field}.{name}", problem, "Choose another name.")
