"""The gate: opens when every service is ready, or says early and exactly why that will not be."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from seatrial.api.errors import ClusterError
from seatrial.api.journal import FailureDoc, ServiceState
from seatrial.api.reasons import Reason

from seatrial_runner.clock import parse
from seatrial_runner.conductor import pods
from seatrial_runner.conductor.diagnosis import Finding, Subject, diagnose
from seatrial_runner.conductor.logs import tail
from seatrial_runner.conductor.reach import NAMES_S, REACHED_S, until_reachable
from seatrial_runner.conductor.readiness import is_well, service_state, subject_of
from seatrial_runner.conductor.seen import (
    ENDPOINT_SLICES,
    EVENTS,
    PODS,
    WORKLOADS,
    Kind,
    Seen,
)
from seatrial_runner.conductor.stage import Stage

logger = logging.getLogger("seatrial.conductor")

# Some findings ripen with time, not with an event.
_LOOK_AGAIN_S = 1.0
_LOG_LINES = 20
_LOG_BYTES = 2048


def kinds_to_watch(stage: Stage) -> list[Kind]:
    """Give what a run needs to see: nothing for a plain one."""
    workloads = {doc["kind"] for each in stage.run["services"] for doc in each["workloads"]}
    if not workloads and not stage.run["access"]:
        return []
    cut_off = any(fault.get("noEndpoints") is not None for fault in stage.run["faults"])
    return [
        PODS,
        EVENTS,
        *(WORKLOADS[kind] for kind in sorted(workloads - {"Pod"})),
        *([ENDPOINT_SLICES] if cut_off else []),
    ]


async def pass_gate(stage: Stage) -> FailureDoc | None:
    """
    Return None when every service is ready; or, as soon as it is certain, why not.

    Reports the services' states on the way, so that the operator can start the next wave.
    """
    time_left = stage.run["provisioningTimeout"] - _age(stage)
    deadline = stage.monotonic() + time_left
    while True:
        states = [service_state(each, stage.seen) for each in stage.run["services"]]
        finding = _first_finding(stage, states)
        report_services(stage, states)
        if finding is not None:
            return await _failure(stage, finding)
        if all(state["state"] == "Ready" for state in states):
            await _reach(stage, states)
            return None
        if stage.monotonic() >= deadline:
            return _out_of_time(stage, states)
        await stage.seen.wait(min(_LOOK_AGAIN_S, max(deadline - stage.monotonic(), 0.01)))


async def _reach(stage: Stage, states: list[ServiceState]) -> None:
    """Wait for clients to reach the services; say in their states what is waited for, and why."""

    def tell(service: str, problem: str) -> None:
        stage.unreached[service] = f"is ready, but clients do not reach it yet: {problem}"
        report_services(stage, states)

    services = stage.run["services"]
    missing = await until_reachable(services, named_within_s=NAMES_S, tell=tell)
    began = f"was ready, but clients did not reach it within {REACHED_S:g} s"
    stage.unreached = {name: f"{began}: {problem}" for name, problem in missing.items()}
    report_services(stage, states)


async def wait_until_well(stage: Stage, *, at_most_s: float) -> None:
    """Return when every service is ready, or the time is over."""
    give_up = stage.monotonic() + at_most_s
    while (left := give_up - stage.monotonic()) > 0:
        if all(is_well(each, stage.seen) for each in stage.run["services"]):
            await until_reachable(stage.run["services"])
            return
        await stage.seen.wait(left)


def _age(stage: Stage) -> float:
    """Give how long ago the run left the queue, in seconds."""
    return (stage.now() - parse(stage.run["startedAt"])).total_seconds()


def report_services(stage: Stage, states: list[ServiceState]) -> None:
    """Put the services' states into the summary; a change of one is written at once."""
    states = [
        {**each, "message": each["message"] or stage.unreached.get(each["name"], "")}
        for each in states
    ]
    before = {each["name"]: each for each in stage.journal.summary["services"]}
    if list(before.values()) == states:
        return
    stage.journal.summary["services"] = states
    stage.journal.changed()
    for state in states:
        old = before.get(state["name"])
        if state["state"] == "Ready" and (old is None or old["state"] != "Ready"):
            stage.journal.note("service.ready", service=state["name"])
            stage.journal.save_soon()


def _first_finding(stage: Stage, states: list[ServiceState]) -> Finding | None:
    now = stage.now()
    for service, state in zip(stage.run["services"], states, strict=True):
        if state["state"] != "Ready":
            finding = diagnose(subject_of(service, stage.seen), now)
            if finding is not None:
                state["state"] = "Failed"
                state["message"] = finding.message[:1024]
                return finding
    return next(
        filter(None, (diagnose(each, now) for each in test_subjects(stage.seen, _names(stage)))),
        None,
    )


def _names(stage: Stage) -> list[str]:
    return [test["name"] for test in stage.run["tests"] if "scenario" not in test]


def test_subjects(seen: Seen, tests: Iterable[str]) -> list[Subject]:
    """Collect what belongs to each test that has pods."""
    return [test_subject(seen, name) for name in tests]


def test_subject(seen: Seen, test: str) -> Subject:
    """Collect what belongs to a test: its pods that have not run yet, and what refused them."""
    own = [pod for pod in seen.all(PODS) if pods.test(pod) == test]
    names = {f"test-{test}", *map(pods.name, own)}  # its Job and its pods
    return Subject(
        name=test,
        pods=own,
        workloads=[],
        events=[
            each
            for each in seen.all(EVENTS)
            if (each.get("involvedObject") or {}).get("name") in names
        ],
        what="test",
    )


async def _failure(stage: Stage, finding: Finding) -> FailureDoc:
    failure: FailureDoc = {
        "reason": str(finding.reason),
        "message": finding.message,
        "service": finding.service,
    }
    if finding.pod is not None:
        failure["pod"] = finding.pod
    if finding.pod is not None and finding.container is not None:
        failure["logs"] = await last_lines(stage, finding.pod, finding.container, finding.previous)
    return failure


async def last_lines(stage: Stage, pod: str, container: str, previous: bool) -> str:
    """Give the last lines a container wrote, at most 2 KiB; empty when they can't be had."""
    try:
        text = await tail(
            stage.api, stage.namespace, pod, container, lines=_LOG_LINES, previous=previous
        )
    except ClusterError as error:
        logger.info("no logs of %s/%s: %s", pod, container, error)
        return ""
    return text[-_LOG_BYTES:]


def _out_of_time(stage: Stage, states: list[ServiceState]) -> FailureDoc:
    waiting = [state for state in states if state["state"] != "Ready"]
    told = "; ".join(f"{state['name']}: {state['message']}" for state in waiting[:5])
    more = f"; and {len(waiting) - 5} more" if len(waiting) > 5 else ""
    seconds = stage.run["provisioningTimeout"]
    return {
        "reason": Reason.NOT_READY_IN_TIME,
        "message": f"Not every service was ready within {seconds:g} s"
        f" (spec.timeouts.provisioning): {told}{more}.",
        "service": waiting[0]["name"] if waiting else "",
    }
