"""What Seatrial writes back: the status of an IntegrationTestRun, as pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, PlainSerializer

from seatrial.api.fields import BY_NAME, Model
from seatrial.api.verdict import Phase, Verdict


def _written(moment: datetime) -> str:
    """Write a moment in UTC with milliseconds: ``2026-11-20T12:00:31.004Z``."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(_written, return_type=str, when_used="json")]
Word = Annotated[str, Field(max_length=128)]
Message = Annotated[str, Field(max_length=2048)]
Count = Annotated[int, Field(ge=0)]

# The generation that is observed of a run which no operator has looked at yet. Without one, kstatus
# takes a run without conditions for ready; it is what the CRDs of Flux have, too.
UNSEEN = -1


class StatusModel(Model):
    """
    Base of every part of the status.

    Lenient, because a newer Seatrial, or an older one, may have written it.
    """

    model_config = ConfigDict(strict=False, extra="ignore")


class Condition(StatusModel):
    """A Kubernetes condition."""

    type: Word = Field(
        description="Finished, Passed, EnvironmentReady, FaultsProven, Aborting, CleanedUp,"
        " ReportAvailable; Ready, Reconciling and Stalled for GitOps tools."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Word = Field(description="One CamelCase word for machines.")
    message: Message = Field("", description="A sentence for people.")
    last_transition_time: Moment = Field(description="When status last changed.")
    observed_generation: Count | None = Field(None, description="Generation this speaks of.")


class Summary(StatusModel):
    """Test cases by outcome, so far."""

    tests: Count = Field(0, description="Test cases known.")
    passed: Count = Field(0, description="Passed, flaky ones included.")
    failed: Count = Field(0, description="Failed or in error.")
    flaky: Count = Field(0, description="Passed after a failed attempt.")
    skipped: Count = Field(0, description="Skipped.")
    faults: Word | None = Field(None, description="Faults proven of those declared: 2/3.")
    probes: Word | None = Field(None, description="Probes that hold of those declared: 1/1.")


class ServiceStatus(StatusModel):
    """One service of the system under test."""

    name: Word = Field(description="Name of the service.")
    state: Word = Field(description="Pending, Starting, Ready or Failed.")
    ready_replicas: Count = Field(0, description="Pods that are ready.")
    replicas: Count = Field(0, description="Pods that are wanted.")
    restarts: Count = Field(0, description="Container restarts so far.")
    message: Message = Field(
        "", description="What it waits for, why it failed, or what clients met."
    )


class TestStatus(StatusModel):
    """One entry of spec.tests."""

    __test__ = False
    name: Word = Field(description="Name of the test.")
    outcome: Word = Field(description="Pending, Running, Passed, Failed, Error or Skipped.")
    passed: Count = Field(0, description="Cases passed.")
    failed: Count = Field(0, description="Cases failed.")
    skipped: Count = Field(0, description="Cases skipped.")
    flaky: Count = Field(0, description="Cases passed after a failed attempt.")
    attempts: Count = Field(0, description="Attempts so far.")
    started_at: Moment | None = Field(None, description="Start of the first attempt.")
    duration: Word | None = Field(None, description="Start to end, such as 1.25s.")
    message: Message = Field(
        "", description="First failure: expectation, values, and the fault it happened in."
    )


class TargetStatus(StatusModel):
    """One pod or workload that a fault hit."""

    kind: Word = Field(description="Pod, Deployment or StatefulSet.")
    name: Annotated[str, Field(max_length=253)] = Field(description="Its name.")
    uid: Word | None = Field(None, description="Its UID before the fault.")
    replaced_by: Word | None = Field(None, description="UID of the pod that took its place.")


class FaultStatus(StatusModel):
    """The proof of one fault."""

    name: Word = Field(description="Name of the fault.")
    state: Word = Field(
        description="Pending, Requested, Active, Reverted, Recovered, NotInjected, NoEffect,"
        " EndedEarly, NotReverted, NotRecovered or Skipped."
    )
    kind: Word = Field("", description="Its kind, such as kill or latency.")
    times: Count = Field(0, description="How often it has happened.")
    seed: Count | None = Field(None, description="Of its choices; in the spec it repeats them.")
    targets: list[TargetStatus] = Field(
        default_factory=list, max_length=20, description="What it hit, at most 20 shown."
    )
    requested: Moment | None = Field(None, description="When it was ordered.")
    applied: Moment | None = Field(None, description="When it was carried out.")
    effective: Moment | None = Field(
        None, description="When its effect was seen, by a watch or by a check of ours."
    )
    first_hit: Moment | None = Field(
        None, description="When the first of what a test caused met it."
    )
    hits: Count = Field(
        0,
        description="What met it: requests of tests, or what the gateway or an agent has counted.",
    )
    reverted: Moment | None = Field(None, description="When it was undone.")
    reverted_by: Word | None = Field(
        None,
        description="deadline, test, conductor, operator or controller; podGone: the pod took it"
        " along; itself: what carried it out ended early, or something else undid it.",
    )
    recovered: Moment | None = Field(None, description="When the system was well again.")
    message: Message = Field("", description="What is missing, and what to change.")


class ProbeStatus(StatusModel):
    """What a steady-state probe saw."""

    name: Word = Field(description="Name of the probe.")
    state: Word = Field(
        "Unchecked", description="Held where it must, Failed, or Unchecked: no check was made."
    )
    checks: Count = Field(0, description="Checks made.")
    failures: Count = Field(0, description="Checks that failed.")
    outside_faults: Count = Field(0, description="Failures that no fault explains.")
    during_faults: list[Word] = Field(
        default_factory=list, max_length=20, description="Faults during which it failed."
    )
    longest_outage: Word | None = Field(None, description="Longest time it did not hold.")
    message: Message = Field("", description="The first failure.")


class Timings(StatusModel):
    """Time by phase, such as 6.1s."""

    queued: Word | None = Field(None, description="Creation to admission.")
    provisioning: Word | None = Field(None, description="Admission to the opening of the gate.")
    tests: Word | None = Field(None, description="Opening of the gate to the end of the tests.")
    total: Word | None = Field(None, description="Admission to the verdict.")


class RunStatus(StatusModel):
    """Bounded, and readable with kubectl alone."""

    model_config = ConfigDict(json_schema_extra={"default": {"observedGeneration": UNSEEN}})

    observed_generation: int = Field(
        UNSEEN, ge=UNSEEN, description="Generation this status speaks of; -1 before the first."
    )
    phase: Phase = Field(Phase.QUEUED, description="Where the run is; for display.")
    verdict: Verdict | None = Field(None, description="What the run came to.")
    message: Message = Field("", description="Why, in one sentence.")
    namespace: Word | None = Field(None, description="Namespace that was made for the run.")
    seals: list[Word] = Field(
        default_factory=list,
        max_length=4,
        description="SHA-256 of the namespace's annotation seatrial.dev/seal: a namespace without"
        " it was made by someone else.",
    )
    report: Annotated[str, Field(max_length=253)] | None = Field(
        None, description="ConfigMap beside the run, with JUnit, logs and the journal."
    )
    start_time: Moment | None = Field(None, description="When the run left the queue.")
    gate_time: Moment | None = Field(None, description="When the environment was ready.")
    completion_time: Moment | None = Field(None, description="When the verdict stood.")
    cleanup_time: Moment | None = Field(None, description="When clean-up began.")
    duration: Word | None = Field(None, description="Admission to the verdict, such as 12.4s.")
    conductor_starts: Count = Field(0, description="How often the conductor was started.")
    summary: Summary = Field(default_factory=Summary, description="Test cases by outcome.")
    services: list[ServiceStatus] = Field(
        default_factory=list,
        max_length=32,
        json_schema_extra=BY_NAME,
        description="The system under test.",
    )
    tests: list[TestStatus] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=BY_NAME,
        description="Each entry of spec.tests.",
    )
    faults: list[FaultStatus] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=BY_NAME,
        description="The proof of each fault.",
    )
    probes: list[ProbeStatus] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=BY_NAME,
        description="What each entry of spec.probes saw.",
    )
    timings: Timings = Field(default_factory=Timings, description="Time by phase.")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
        description="Conditions by type.",
    )
