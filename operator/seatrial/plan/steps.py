"""Whether the steps of scenarios, and the checks of recovery, can work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from math import prod
from typing import Any
from urllib.parse import urlsplit

from seatrial.api.duration import format_duration
from seatrial.api.errors import SpecError
from seatrial.api.paths import below
from seatrial.api.probes import SteadyState
from seatrial.api.rules import did_you_mean
from seatrial.api.scenario import HTTP_VERBS, ExpectFailure, HttpRequest, LeafStep, Step
from seatrial.api.spec import Fault, RunSpec, Test
from seatrial.plan.expressions import expression_problem, name_problem, template_problem

MAX_COMBINATIONS = 256
LEAST_EVERY = timedelta(milliseconds=100)  # of a probe; the conductor checks no faster either

# TCP ports by host name; None where they are not known, and None for all if some hosts are not.
Hosts = Mapping[str, frozenset[int] | None]


def scenario_problems(spec: RunSpec, hosts: Hosts | None) -> Iterator[SpecError]:
    """
    Find what is wrong with scenarios, with the checks of recovery, and with probes.

    Args:
        spec: The spec, already checked by ``parse_run``.
        hosts: Host names of the run's services; None if they are not all known.
    """
    for index, test in enumerate(spec.tests):
        yield from _matrix(test, f"spec.tests[{index}]")
        for step, field in steps_of(test, f"spec.tests[{index}]"):
            yield from _step(step, field, test, spec.faults, hosts)
            if step.expect_failure is not None:
                failure = f"{field}.expectFailure"
                yield from _expected_failure(step.expect_failure, failure, test, spec)
    for index, fault in enumerate(spec.faults):
        if until := fault.recovery.until:
            field = f"spec.faults[{index}].recovery.until"
            yield from _request(until.http, f"{field}.http", hosts)
            yield from _expressions(until.expect, f"{field}.expect")
    for index, probe in enumerate(spec.probes):
        yield from _probe(probe, f"spec.probes[{index}]", hosts)


def _probe(probe: SteadyState, field: str, hosts: Hosts | None) -> Iterator[SpecError]:
    if probe.http is not None:
        yield from _request(probe.http, f"{field}.http", hosts)
        yield from _expressions(probe.expect, f"{field}.expect")
    elif probe.tcp is not None:
        host, _, port = probe.tcp.rpartition(":")
        if not 1 <= int(port) <= 65535:
            yield SpecError(f"{field}.tcp", f"there is no port {port}.", "Write HOST:PORT.")
        elif hosts is not None and "." not in host:
            yield from _host(host, int(port), f"{field}.tcp", hosts)
        if probe.expect != SteadyState.model_fields["expect"].get_default(
            call_default_factory=True
        ):
            problem = "has no response to judge: a TCP probe only connects."
            yield SpecError(f"{field}.expect", problem, "Leave it out, or give http.")
    if probe.every < LEAST_EVERY:
        problem = f"is shorter than {format_duration(LEAST_EVERY)}."
        remedy = "The conductor has other things to do as well; give a longer one."
        yield SpecError(f"{field}.every", problem, remedy)


def steps_of(test: Test, field: str) -> Iterator[tuple[LeafStep, str]]:
    """Go through all steps of a scenario, those of branches included, each with its field."""
    for i, step in enumerate(test.scenario or ()):
        path = f"{field}.scenario[{i}]"
        yield step, path
        for j, branch in enumerate(step.parallel or ()):
            for k, leaf in enumerate(branch.steps):
                yield leaf, f"{path}.parallel[{j}].steps[{k}]"


def _matrix(test: Test, field: str) -> Iterator[SpecError]:
    count = prod(len(values) for values in test.matrix.values())
    if count > MAX_COMBINATIONS:
        problem = f"makes {count} combinations, more than {MAX_COMBINATIONS}."
        yield SpecError(f"{field}.matrix", problem, "Give fewer values, or make several tests.")
    yield from _names(test.matrix, f"{field}.matrix")


def _step(
    step: LeafStep, field: str, test: Test, faults: list[Fault], hosts: Hosts | None
) -> Iterator[SpecError]:
    if step.when is not None:
        yield from _expressions([step.when], field, "when")
    yield from _expressions(step.expect, f"{field}.expect")
    for key, values in (("set", step.set or {}), ("capture", step.capture)):
        yield from _names(values, f"{field}.{key}")
        for name, expression in values.items():
            yield from _expressions([expression], f"{field}.{key}", name)
    if step.http:
        yield from _request(step.http, f"{field}.http", hosts)
        yield from _fits(step.http.timeout, test, f"{field}.http.timeout")
    if step.fault:
        yield from _control(step.fault.start, faults, f"{field}.fault.start")
        yield from _control(step.fault.stop, faults, f"{field}.fault.stop")
    if step.eventually:
        yield from _fits(step.eventually.within, test, f"{field}.eventually.within")
        if step.eventually.every and step.eventually.every >= step.eventually.within:
            problem = "is not shorter than within, so the step would be tried once."
            yield SpecError(f"{field}.eventually.every", problem, "Use a shorter one.")
        nothing = not step.expect and step.http is None
        if nothing and not (isinstance(step, Step) and step.parallel):
            problem = "has nothing to wait for."
            yield SpecError(f"{field}.eventually", problem, "Give the step http or expect.")


def _expected_failure(
    expected: ExpectFailure, field: str, test: Test, spec: RunSpec
) -> Iterator[SpecError]:
    by_name = {fault.name: fault for fault in spec.faults}
    if (fault := by_name.get(expected.during)) is None:
        problem = f"no fault of this run is named {expected.during!r}."
        yield SpecError(f"{field}.during", problem, did_you_mean(expected.during, by_name))
    elif fault.when.test not in (None, test.name) and spec.parallelism == 1:
        problem = f"fault {fault.name} is over before this test: it ends with {fault.when.test}."
        yield SpecError(f"{field}.during", problem, "Bind it to this test with when.test.")
    default = ExpectFailure.model_fields["expect"].get_default(call_default_factory=True)
    if expected.no_response and expected.expect != default:
        problem = "has no response to judge, because of noResponse."
        yield SpecError(f"{field}.expect", problem, "Leave one of them out.")
    yield from _expressions(expected.expect, f"{field}.expect")
    yield from _fits(expected.within, test, f"{field}.within")


def _fits(duration: timedelta | None, test: Test, field: str) -> Iterator[SpecError]:
    if duration is not None and duration > test.timeout:
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


def _request(request: HttpRequest, field: str, hosts: Hosts | None) -> Iterator[SpecError]:
    for verb in HTTP_VERBS:
        if (url := getattr(request, verb)) is not None:
            yield from _url(url, f"{field}.{verb}", hosts)
    body = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    for path, text in _texts(body, field):
        if problem := template_problem(text):
            yield SpecError(path, f"cannot be filled in: {problem}.", "Write it as {{ name }}.")


def _url(url: str, field: str, hosts: Hosts | None) -> Iterator[SpecError]:
    authority = url.partition("://")[2].split("/")[0]
    if "{{" in authority or "{{" in url.partition("://")[0]:
        return  # known only when the run runs
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme not in ("http", "https") or not host:
        problem = f"{url[:80]!r} is no address to send a request to."
        yield SpecError(field, problem, "Write http://SERVICE:PORT/PATH.")
    elif hosts is not None and "." not in host and ":" not in host:
        yield from _host(host, port or {"http": 80, "https": 443}[parts.scheme], field, hosts)


def _host(host: str, port: int, field: str, hosts: Hosts) -> Iterator[SpecError]:
    if host not in hosts:
        problem = f"no service of this run is named {host!r}."
        remedy = did_you_mean(host, hosts) or "Declare it in spec.services."
        yield SpecError(field, problem, remedy)
        return
    ports = hosts[host]
    if ports is not None and port not in ports:
        problem = f"service {host} has no port {port}."
        known = ", ".join(str(each) for each in sorted(ports))
        remedy = f"It has: {known}." if ports else "Give it ports."
        yield SpecError(field, problem, remedy)


def _expressions(values: Iterable[str], field: str, name: str = "") -> Iterator[SpecError]:
    for index, expression in enumerate(values):
        if problem := expression_problem(expression):
            path = f"{field}.{name}" if name else f"{field}[{index}]"
            yield SpecError(path, f"{expression[:80]!r} cannot be evaluated: {problem}.")


def _names(values: Iterable[str], field: str) -> Iterator[SpecError]:
    for name in values:
        if problem := name_problem(name):
            yield SpecError(f"{field}.{name}", problem, "Choose another name.")


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Go through every text of a request, each with its field."""
    pending = [(field, value)]
    while pending:
        path, each = pending.pop()
        if isinstance(each, str):
            yield path, each
        elif isinstance(each, dict):
            pending += [(below(path, key), inner) for key, inner in each.items()]
        elif isinstance(each, list):
            pending += [(below(path, index), inner) for index, inner in enumerate(each)]
