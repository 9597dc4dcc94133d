"""When the system is well again after a fault."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from seatrial.api.duration import format_duration
from seatrial.api.families import MOMENTARY, kind_of
from seatrial.api.journal import FaultState, ServiceDoc

from seatrial_runner.conductor.checked import through_libpq
from seatrial_runner.conductor.faults.timeline import recovery_within_s
from seatrial_runner.conductor.local_ports import makes_checks
from seatrial_runner.conductor.reach import REACHED_S, until_reachable
from seatrial_runner.conductor.readiness import is_well, service_state
from seatrial_runner.conductor.scenario_tests import (
    connections_given,
    host_of,
    services_document,
)
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.workers import Channel, Json, WorkerError, run_in_worker
from seatrial_runner.scenario import Instance, World, run_instance
from seatrial_runner.scenario.checks import step_of
from seatrial_runner.scenario.given import given_variables

_LOOK_AGAIN_S = 1.0
# Of two pods of which one is gone, so many connections miss it once in a thousand times.
_IN_A_ROW = 10


async def recovers(
    stage: Stage, fault: dict[str, Any], services: Sequence[ServiceDoc], *, within_s: float
) -> str | None:
    """Return None once the system is well again, or after ``within_s`` what is still missing."""
    left_s = within_s
    while not all(is_well(each, stage.seen) for each in services):
        if left_s <= 0:
            return _missing(stage, fault, services)
        since, not_ours = stage.monotonic(), _another_replaces_pods(stage, fault)
        await stage.seen.wait(min(left_s, _LOOK_AGAIN_S))
        if not not_ours:
            left_s -= stage.monotonic() - since
    deadline = stage.monotonic() + left_s
    await until_reachable(
        services,
        within_s=min(REACHED_S, deadline - stage.monotonic()),
        in_a_row=_IN_A_ROW,
        in_front=False,
    )
    until = (fault.get("recovery") or {}).get("until")
    if until is not None:
        left_s = max(deadline - stage.monotonic(), 0.1)
        missing = await _holds(stage, fault["name"], until, left_s)
        if missing is not None:
            return missing
    if stage.probing is None:
        return None
    left_s = max(deadline - stage.monotonic(), 0.1)
    return await stage.probing.until_well(fault["name"], within_s=left_s)


def _another_replaces_pods(stage: Stage, fault: Json) -> bool:
    """
    Tell whether the services have still to recover from a later fault.

    That one has a time of its own for it, which does not count for this one. The last of several
    waits for nobody.
    """
    service = fault.get("target", {}).get("service")
    reverted = _state_of(stage, fault)["reverted"] or ""
    for other in stage.run["faults"]:
        if other["name"] == fault["name"] or other.get("target", {}).get("service") != service:
            continue
        state = _state_of(stage, other)
        if state["state"] == "Reverted" and (state["reverted"] or "") > reverted:
            return True
        if kind_of(other) in MOMENTARY and state["state"] in ("Requested", "Active"):
            return True
    return False


def _state_of(stage: Stage, fault: Json) -> FaultState:
    states = stage.journal.summary["faults"]
    return next(each for each in states if each["name"] == fault["name"])


def _missing(stage: Stage, fault: Json, services: Sequence[ServiceDoc]) -> str:
    ill = next((each for each in services if not is_well(each, stage.seen)), services[0])
    state = service_state(ill, stage.seen)
    within = format_duration(timedelta(seconds=recovery_within_s(fault)))
    return (
        f"service {ill['name']} had {state['readyReplicas']} of {state['replicas']} pods"
        f" ready {within} after the fault's end"
        + (f": {state['message']}" if state["message"] else "")
    )


async def _holds(stage: Stage, name: str, until: Json, within_s: float) -> str | None:
    """Ask until the expectations hold; None, or the last answer's shortcoming."""
    within = format_duration(timedelta(seconds=within_s))
    step = {"name": "recovery.until", **step_of(until), "eventually": {"within": within}}
    instance = Instance(
        test=name, id=name, variables={}, steps=[step], timeout_s=within_s + _LOOK_AGAIN_S
    )
    services = services_document(stage.run["services"])
    check, libpq = f"recovery of {name}", through_libpq(until, connections_given())

    async def listen(message: Json) -> Json:
        stage.checked.begins(check, host_of(message["asks"], services), libpq=libpq)
        return {}

    def work(channel: Channel) -> Json:
        # These requests are ours: they are no evidence that a test met a fault.
        makes_checks()
        world = World(
            services=services,
            connections=connections_given(),
            on_request=lambda at, host: channel.tell({"asks": host}),
            **given_variables(),
        )
        return run_instance(instance, world).to_case()

    try:
        case = await run_in_worker(work, listen, timeout_s=within_s + 2 * _LOOK_AGAIN_S)
    except WorkerError as error:
        return f"recovery.until could not be checked: {error}"
    finally:
        stage.checked.ends(check, held=False)
    return None if case["outcome"] == "passed" else f"recovery.until: {case['message']}"
