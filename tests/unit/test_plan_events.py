"""Events: what has changed between two statuses, each told once, and never a flood."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.run import Metadata
from seatrial.api.status import Condition, FaultStatus, RunStatus, TargetStatus
from seatrial.cluster.events import event_body
from seatrial.plan.events import Event, events

from tests.support import builders
from tests.support.builders import a_test
from tests.support.simulation import Simulation

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
AWAY = builders.a_fault("away", scale={"replicas": 0}, **{"for": "30s"})


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def a_condition(type_, status, reason, message=""):
    return Condition(
        type=type_, status=status, reason=reason, message=message, last_transition_time=NOW
    )


def a_status(*conditions, **fields):
    return RunStatus(conditions=list(conditions), **fields)


def held(reason, message="", **fields):
    return a_status(a_condition("Finished", "False", reason), message=message, **fields)


def a_fault(state="Pending", **fields):
    return FaultStatus(name="slow", kind="latency", state=state, **fields)


def with_fault(*args, **fields):
    return RunStatus(faults=[a_fault(*args, **fields)])


ON = {"times": 1, "applied": NOW, "targets": [TargetStatus(kind="Pod", name="orders-1")]}
OFF = {**ON, "reverted": after(30), "reverted_by": "deadline"}
WELL = {**OFF, "recovered": after(32.5)}
MANY = [TargetStatus(kind="Pod", name=f"orders-{n}") for n in range(5)]
APPLIED = ("FaultApplied", "Fault slow (latency) was applied to Pod/orders-1.")
REVERTED = ("FaultReverted", "Fault slow was reverted after 30.0 s (by: deadline).")
RECOVERED = ("FaultRecovered", "The system was well again 2.5 s after fault slow was reverted.")


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        pytest.param(
            RunStatus(),
            held("Queued", "Waits for another run."),
            [("Queued", "Waits for another run.")],
            id="queued",
        ),
        pytest.param(
            held("Queued", "Waits for a."), held("Queued", "Waits for b."), [], id="still-queued"
        ),
        pytest.param(
            held("Queued"), held("Suspended", "Held."), [("Suspended", "Held.")], id="suspended"
        ),
        pytest.param(
            held("Running", gate_time=NOW),
            held("Suspended", "Held.", gate_time=NOW),
            [("Suspended", "Held.")],
            id="suspended-between-tests",
        ),
        pytest.param(
            held("Suspended", gate_time=NOW),
            held("Running", gate_time=NOW),
            [("Resumed", "spec.suspend was unset: the run goes on.")],
            id="resumed",
        ),
        pytest.param(
            RunStatus(),
            held("Provisioning", "Makes it.", start_time=NOW),
            [("Started", "Makes it.")],
            id="started",
        ),
        pytest.param(
            a_status(start_time=NOW),
            a_status(start_time=NOW, gate_time=NOW),
            [("EnvironmentReady", "Every service is ready; the tests begin.")],
            id="environment-ready",
        ),
        pytest.param(
            RunStatus(),
            a_status(a_condition("Aborting", "True", "AbortRequested", "spec.abort was set.")),
            [("Aborting", "The run is being ended before its time: spec.abort was set.")],
            id="aborting",
        ),
        pytest.param(
            RunStatus(), a_status(verdict="Passed", message="ok"), [("Passed", "ok")], id="passed"
        ),
        pytest.param(
            RunStatus(),
            a_status(verdict="Failed", message="no"),
            [("Failed", "no", "Warning")],
            id="failed",
        ),
        pytest.param(
            RunStatus(),
            a_status(a_condition("ReportAvailable", "True", "ReportCopied"), report="x-report"),
            [("ReportAvailable", "The report is in ConfigMap x-report.")],
            id="report-available",
        ),
        pytest.param(
            RunStatus(),
            a_status(a_condition("ReportAvailable", "False", "ReportMissing", "It is late.")),
            [("ReportMissing", "There is no report: It is late.", "Warning")],
            id="report-missing",
        ),
        pytest.param(
            RunStatus(),
            a_status(a_condition("CleanedUp", "False", "Kept", "Kept until noon.")),
            [("Kept", "Kept until noon.")],
            id="kept",
        ),
        pytest.param(
            RunStatus(), a_status(a_condition("CleanedUp", "False", "Deleting")), [], id="deleting"
        ),
        pytest.param(
            a_status(a_condition("CleanedUp", "False", "Deleting")),
            a_status(a_condition("CleanedUp", "False", "NamespaceStuck", "Pod x stays.")),
            [("NamespaceStuck", "Pod x stays.", "Warning")],
            id="namespace-stuck",
        ),
        pytest.param(
            a_status(a_condition("CleanedUp", "False", "NamespaceStuck", "Pod x stays.")),
            a_status(a_condition("CleanedUp", "False", "NamespaceStuck", "Pod y stays.")),
            [],
            id="still-stuck",
        ),
        pytest.param(
            a_status(a_condition("CleanedUp", "False", "Deleting")),
            a_status(a_condition("CleanedUp", "True", "Deleted"), namespace="itr-x-1"),
            [("CleanedUp", "Namespace itr-x-1 is gone, with all that was in it.")],
            id="cleaned-up",
        ),
        pytest.param(
            RunStatus(),
            a_status(a_condition("CleanedUp", "True", "NothingCreated")),
            [],
            id="nothing-to-clean",
        ),
        pytest.param(with_fault(), with_fault("Requested", requested=NOW), [], id="requested"),
        pytest.param(RunStatus(), with_fault("Active", **ON), [APPLIED], id="applied"),
        pytest.param(
            with_fault(),
            with_fault("Active", **{**ON, "targets": MANY}),
            [
                (
                    "FaultApplied",
                    "Fault slow (latency) was applied to Pod/orders-0, Pod/orders-1, Pod/orders-2"
                    " and 2 more.",
                )
            ],
            id="applied-to-many",
        ),
        pytest.param(
            with_fault("Active", **ON), with_fault("Reverted", **OFF), [REVERTED], id="reverted"
        ),
        pytest.param(
            with_fault("Reverted", **OFF), with_fault("Recovered", **WELL), [RECOVERED], id="well"
        ),
        pytest.param(
            with_fault(),
            with_fault("Recovered", **WELL),
            [APPLIED, REVERTED, RECOVERED],
            id="all-within-one-write",
        ),
        pytest.param(
            with_fault("Recovered", **WELL),
            with_fault("Active", **{**ON, "times": 2}),
            [],
            id="applied-again",
        ),
        pytest.param(
            with_fault("Active", **{**ON, "times": 2}),
            with_fault("Recovered", **{**WELL, "times": 2}),
            [],
            id="recovered-again",
        ),
        pytest.param(
            with_fault("Reverted", **{**OFF, "times": 3}),
            with_fault("NotRecovered", **{**OFF, "times": 3}, message="no pod is ready"),
            [
                (
                    "NotRecovered",
                    "Fault slow was undone, but the system did not recover: no pod is ready",
                    "Warning",
                )
            ],
            id="not-recovered-the-third-time",
        ),
        pytest.param(
            with_fault("Requested"),
            with_fault("NotInjected", message="no pod"),
            [("FaultNotInjected", "Fault slow was not injected: no pod", "Warning")],
            id="not-injected",
        ),
        pytest.param(
            with_fault(),
            with_fault("Skipped"),
            [("FaultNotStarted", "Fault slow never came to its moment.", "Warning")],
            id="skipped",
        ),
    ],
)
def test_each_transition_is_told(before, now, told):
    found = events(before, now, {"slow"})
    assert [(each.reason, each.message, each.type) for each in found] == [
        (*each, "Normal")[:3] for each in told
    ]
    assert events(now, now, {"slow"}) == ()


def test_a_fault_that_the_run_does_not_declare_is_not_told():
    assert events(RunStatus(), with_fault("NotReverted", **OFF), {"other"}) == ()


moments = st.none() | st.integers(0, 60).map(after)
faults = st.builds(
    FaultStatus,
    name=st.sampled_from(["slow", "down", "unknown"]),
    state=st.sampled_from(
        [
            *("Pending", "Requested", "Active", "Reverted", "Recovered", "NotInjected"),
            *("NoEffect", "EndedEarly", "NotReverted", "NotRecovered", "Skipped", "Newer"),
        ]
    ),
    times=st.integers(0, 3),
    applied=moments,
    reverted=moments,
    recovered=moments,
    message=st.text(max_size=9),
)
statuses = st.lists(faults, max_size=3, unique_by=lambda fault: fault.name).map(
    lambda found: RunStatus(faults=found)
)


@given(st.lists(statuses, max_size=30))
def test_whatever_a_conductor_says_there_are_nine_events_for_a_fault_at_most(course):
    metadata = Metadata("x", "shop", "0a1b2c3d-0000", 1, "1", NOW, None, (), {})
    told = set()
    for before, now in pairwise(course):
        for event in events(before, now, {"slow", "down"}):
            told.add(event_body(metadata, event, NOW)["metadata"]["name"])
    assert len(told) <= 2 * 9


def test_a_plain_run_has_five_events():
    simulation = Simulation(**PLAIN)
    simulation.settle()
    told = ["Started", "EnvironmentReady", "Passed", "ReportAvailable", "CleanedUp"]
    assert simulation.reasons() == told


def test_a_run_that_is_held_and_aborted_tells_of_each():
    simulation = Simulation(**PLAIN, suspend=True)
    simulation.settle()
    simulation.cluster.edit(simulation.runs[0], suspend=False)
    simulation.until("Running")
    simulation.cluster.edit(simulation.runs[0], suspend=True)
    simulation.deliver()
    simulation.look()
    assert simulation.status()["phase"] == "Running"
    assert simulation.condition("Reconciling")["reason"] == "Suspended"
    simulation.cluster.edit(simulation.runs[0], suspend=False)
    simulation.deliver()
    simulation.look()
    simulation.cluster.edit(simulation.runs[0], abort=True)
    simulation.settle()
    assert simulation.reasons() == [
        *("Suspended", "Resumed", "Started", "EnvironmentReady", "Suspended", "Resumed"),
        *("Aborting", "Aborted", "ReportAvailable", "CleanedUp"),
    ]


def test_a_fault_is_told_from_its_beginning_to_its_end():
    simulation = Simulation(faults=[AWAY], tests=[a_test()])
    simulation.settle()
    of_the_fault = [each for each in simulation.reasons() if each.startswith("Fault")]
    assert of_the_fault == ["FaultApplied", "FaultReverted", "FaultRecovered"]


def test_an_event_of_the_same_about_has_the_same_name():
    metadata = Metadata("x", "shop", "0a1b2c3d-0000", 1, "1", NOW, None, (), {})
    one = event_body(metadata, Event("NotRecovered", "after 1 s", about="slow"), NOW)
    two = event_body(metadata, Event("NotRecovered", "after 2 s", about="slow"), NOW)
    other = event_body(metadata, Event("NotRecovered", "after 1 s", about="down"), NOW)
    assert one["metadata"]["name"] == two["metadata"]["name"] != other["metadata"]["name"]
