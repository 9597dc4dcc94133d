"""
The two documents that operator and conductor exchange, as TypedDicts. Plain: no pydantic.

Operator -> conductor: ConfigMap ``seatrial-run`` with ``run.json`` (written once) and
``control.json`` (changes). Conductor -> operator: ConfigMap ``seatrial-journal`` with
``summary.json``, at most 64 KiB, which is all the operator ever parses, and ``entries.jsonl``, one
JSON object a line, oldest first, which people and reports read.

Moments are RFC 3339 in UTC with milliseconds, durations are seconds as float.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class WorkloadDoc(TypedDict):
    """A workload whose readiness the gate waits for."""

    kind: str  # Deployment, StatefulSet, Pod, Job
    name: str


class PortDoc(TypedDict):
    """A port of a Service."""

    name: str
    port: int
    protocol: NotRequired[str]  # TCP unless it says UDP or SCTP


class ServiceDoc(TypedDict):
    """A service, as far as the conductor needs it."""

    name: str
    wave: int  # 0 starts first
    hosts: list[str]  # Service names that lead to it; the first is the service's own
    ports: list[PortDoc]
    workloads: list[WorkloadDoc]
    # Where the pods answer without the gateway between, by host; empty if there is none between.
    direct: NotRequired[dict[str, str]]


class RunDoc(TypedDict):
    """``run.json``. ``faults`` and ``tests`` are the validated spec, camelCase, defaults filled."""

    version: int
    name: str
    namespace: str  # of the run itself
    uid: str
    environment: str  # the namespace made for the run
    startedAt: str
    deadline: str  # end of spec.timeout
    provisioningTimeout: float
    testsTimeout: float
    collectingTimeout: float
    parallelism: int
    services: list[ServiceDoc]
    faults: list[dict[str, Any]]
    tests: list[dict[str, Any]]
    seed: NotRequired[str]  # of what is left to chance; without it, from the UID
    scenarios: NotRequired[list[dict[str, Any]]]  # that tests call
    snapshots: NotRequired[dict[str, Any]]  # by name, TEST/STEP
    fixtures: NotRequired[dict[str, str]]  # files by name, without folders
    probes: NotRequired[list[dict[str, Any]]]
    taps: NotRequired[list[dict[str, Any]]]  # each a step of kind message, with a name
    webhooks: NotRequired[bool]  # True: services call webhooks of scenarios; listen for them
    access: bool  # True: there are test pods; serve HTTP with the tokens in ``seatrial-access``
    gateway: NotRequired[bool]  # True: a gateway carries the traffic of services with ``direct``
    agentImage: NotRequired[str]  # of faults inside pods; there only if one is declared


class ControlDoc(TypedDict):
    """``control.json``."""

    abort: bool
    abortReason: NotRequired[str]
    suspend: bool


class FailureDoc(TypedDict):
    """Why the environment could not be had."""

    reason: str  # ImagePullFailed, CrashLoop, OOMKilled, Unschedulable, QuotaExceeded, ...
    message: str  # one sentence with the service, the container and the remedy
    service: str
    pod: NotRequired[str]
    logs: NotRequired[str]  # the last lines, at most 2 KiB


class ServiceState(TypedDict):
    """A service as the conductor sees it; becomes status.services[]."""

    name: str
    state: Literal["Pending", "Starting", "Ready", "Failed"]
    readyReplicas: int
    replicas: int
    restarts: int
    message: str


class CaseDoc(TypedDict):
    """A test case that did not simply pass."""

    name: str
    outcome: str
    message: str
    startedAt: str
    finishedAt: str
    duringFaults: list[str]  # faults whose window [applied, recovered] overlaps the case


class TestState(TypedDict):
    """One entry of spec.tests; becomes status.tests[]."""

    name: str
    kind: Literal["scenario", "pytest", "container"]
    outcome: Literal["Pending", "Running", "Passed", "Failed", "Error", "Skipped"]
    passed: int
    failed: int
    skipped: int
    flaky: int
    flakyDuring: NotRequired[list[str]]  # faults in whose windows the flaky cases had failed
    attempts: int
    lost: bool  # results are missing: a runner died, a shard never reported
    startedAt: str | None
    finishedAt: str | None
    message: str
    failures: list[CaseDoc]  # bounded: at most 20, messages at most 1 KiB


class TargetState(TypedDict):
    """One pod or workload that a fault hit."""

    kind: str
    name: str
    uid: str
    replacedBy: str | None


class ChangedDoc(TypedDict):
    """An object that a fault has changed through the API, and what it was before."""

    kind: str  # Deployment, StatefulSet, Service, ConfigMap, Secret
    name: str
    uid: str  # empty: not known yet
    replicas: NotRequired[int]  # of a workload
    kept: NotRequired[str]  # name of the object of the same kind that holds the original
    # Of a ConfigMap: that were changed; left out: all. Of a Secret: that had a value, which is in
    # the annotation of its number; left out: the Secret was removed as a whole.
    keys: NotRequired[list[str]]
    added: NotRequired[list[str]]  # of a Secret, that it did not have before
    restart: NotRequired[str]  # service whose pods have to begin anew after it


class ToUndoDoc(TypedDict):
    """What the operator has to know to undo a fault whose conductor is silent."""

    until: str  # when the fault has to be over, at the latest
    mark: str  # see ``seatrial.api.undoing``
    objects: list[ChangedDoc]


class FaultState(TypedDict):
    """
    The proof of one fault; becomes status.faults[].

    Of a fault that is repeated, the moments are those of the last time, but ``firstHit`` is that
    of the first; ``hits`` is the sum, and a state that proves less stays.
    """

    name: str
    kind: str  # as in spec: kill, latency, ...
    state: Literal[
        "Pending", "Requested", "Active", "Reverted", "Recovered",
        "NotInjected", "NoEffect", "EndedEarly", "NotReverted", "NotRecovered", "Skipped",
    ]  # fmt: skip
    times: int  # how often it has happened
    seed: int | None
    targets: list[TargetState]
    requested: str | None
    applied: str | None
    effective: str | None  # a probe, or the API server's own view, saw it
    firstHit: str | None
    hits: int
    exposedTests: list[str]  # tests that ran while it was in effect
    reverted: str | None
    revertedBy: str | None
    recovered: str | None
    message: str
    # While it is on, of a kind that the operator can undo.
    toUndo: NotRequired[ToUndoDoc]


class ProbeState(TypedDict):
    """
    What a steady-state probe saw; becomes status.probes[].

    A failure counts if ``threshold`` of its kind came in a row: all outside of every fault's
    window, or all within one fault's.
    """

    name: str
    mustHold: bool  # a failure that counts within a fault's window fails the run, too
    checks: int
    failures: int
    outsideFaults: int  # failures that count and lie outside every fault's window
    duringFaults: list[str]  # faults in whose windows it has a failure that counts; at most 64
    longestOutageS: float
    firstFailure: str | None  # when the check of ``message`` was made
    lastCheck: str | None
    message: str  # of the first failure that decides the verdict, or else of the first


class FinishedDoc(TypedDict):
    """The end of the tests."""

    at: str
    reason: Literal["Completed", "EnvironmentFailed", "Aborted", "TimedOut"]
    message: str


class SummaryDoc(TypedDict):
    """``summary.json``: everything the operator needs to judge the run, and nothing else."""

    version: int
    sequence: int  # grows with every write
    starts: int  # of the conductor
    updatedAt: str
    startedAt: NotRequired[str]  # when the run left the queue, by the conductor's clock
    services: list[ServiceState]
    environmentFailure: FailureDoc | None
    environmentLostAt: str | None  # the environment broke after the gate had opened (a lost node)
    gateOpenedAt: str | None
    summary: dict[str, int]  # tests, passed, failed, flaky, skipped
    tests: list[TestState]
    faults: list[FaultState]
    probes: NotRequired[list[ProbeState]]
    finished: FinishedDoc | None
    lostEvidence: list[str]  # sentences: what may be missing because something was restarted
    reportReady: bool  # the ConfigMap ``seatrial-report`` is complete
