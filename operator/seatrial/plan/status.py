"""``status`` from what the conductor says, within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from seatrial.api import names
from seatrial.api.duration import format_duration
from seatrial.api.journal import FaultState, ProbeState, ServiceState, SummaryDoc, TestState
from seatrial.api.proof import probe_state, prove
from seatrial.api.reasons import Reason
from seatrial.api.status import (
    FaultStatus,
    ProbeStatus,
    RunStatus,
    ServiceStatus,
    Summary,
    TargetStatus,
    TestStatus,
    Timings,
)

_CUT = " … (shortened; the report has all of it)"
_SHORT = 512  # characters of a message where many stand side by side
_TARGETS = 20


def read_status(body: Mapping[str, Any]) -> RunStatus:
    """
    Read the status of a run.

    What someone else has put there and cannot be read is left out, field by field: forgetting all
    of it would start a run a second time.
    """
    fields = dict(body.get("status") or {})
    while True:
        try:
            return RunStatus.model_validate(fields)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                fields.pop(str(problem["loc"][0]), None)


def write_status(status: RunStatus) -> dict[str, Any]:
    """Write the status as JSON of at most 64 KiB; what does not fit is visibly shortened."""
    limit = 2048  # of each message, as the schema has it
    # NB: why a run is refused quotes what its author has written, names of keys among it.
    status = status.model_copy(update={"message": _cut(status.message, limit)})
    while True:
        document = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        if len(json.dumps(document).encode()) <= names.MAX_STATUS_BYTES or limit < 64:
            return document
        limit //= 2
        status = _shortened(status, limit)


def progress(status: RunStatus, summary: SummaryDoc) -> RunStatus:
    """Take over what the conductor says: counts, services, tests, faults."""
    # Whether a fault that is over has met something is known when the last test has ended.
    ended = summary if summary["finished"] else None
    lacking = {
        each.name: each.message
        for each in prove(ended, ())
        if each.reason is Reason.FAULT_MET_NO_TRAFFIC
    }
    return status.model_copy(
        update={
            "conductor_starts": summary["starts"],
            "summary": _summary(summary),
            "services": [_service(each) for each in summary["services"]],
            "tests": [_test(each) for each in summary["tests"]],
            "faults": [_fault(each, lacking.get(each["name"], "")) for each in summary["faults"]],
            "probes": [_probe(each) for each in summary.get("probes") or ()],
            "gate_time": status.gate_time
            or _by_our_clock(summary["gateOpenedAt"], status, summary),
        }
    )


_PROGRESS = {"summary", "services", "tests", "faults", "probes", "conductor_starts"}


def is_transition(before: RunStatus, after: RunStatus) -> bool:
    """Tell whether more has changed than counts and the states of services, tests and faults."""
    return before.model_copy(update={name: getattr(after, name) for name in _PROGRESS}) != after


def timings(status: RunStatus, created: datetime, tests_ended: datetime | None) -> Timings:
    """Say where the time went; what is not over yet is left out."""
    return Timings(
        queued=_queued(created, status.start_time),
        provisioning=_span(status.start_time, status.gate_time),
        tests=_span(status.gate_time, tests_ended),
        total=_span(status.start_time, status.completion_time),
    )


def tests_ended(status: RunStatus, summary: SummaryDoc | None) -> datetime | None:
    """Say when the tests ended, if they did."""
    ended = summary["finished"] if summary else None
    return _by_our_clock(ended["at"], status, summary) if summary and ended else None


def _by_our_clock(text: str | None, status: RunStatus, summary: SummaryDoc) -> datetime | None:
    """Read a moment of the conductor's, whose node may be minutes ahead of us or behind."""
    moment = _moment(text)
    return moment - lead(status, summary) if moment is not None else None


def lead(status: RunStatus, summary: SummaryDoc, heard: timedelta | None = None) -> timedelta:
    """
    Say how far the conductor's clock is ahead of ours.

    Args:
        status: Has the run's start by our clock.
        summary: Has it by the conductor's.
        heard: What the conductor's messages told when they arrived; None if none has arrived yet.
    """
    if heard is not None:
        return heard
    theirs = _moment(summary.get("startedAt"))
    if theirs is None or status.start_time is None:
        return timedelta(0)
    ahead = theirs - status.start_time
    return ahead if abs(ahead) >= timedelta(seconds=1) else timedelta(0)


def _summary(summary: SummaryDoc) -> Summary:
    proofs = [proof.proven for proof in prove(summary, ())]
    held = [probe_state(each) == "Held" for each in summary.get("probes") or ()]
    return Summary.model_validate(summary["summary"]).model_copy(
        update={"faults": _share(proofs), "probes": _share(held)}
    )


def _share(good: list[bool]) -> str | None:
    return f"{sum(good)}/{len(good)}" if good else None


def _service(state: ServiceState) -> ServiceStatus:
    return ServiceStatus(
        name=state["name"],
        state=state["state"],
        ready_replicas=state["readyReplicas"],
        replicas=state["replicas"],
        restarts=state["restarts"],
        message=_cut(state["message"], 2048),
    )


def _test(state: TestState) -> TestStatus:
    started, finished = _moment(state["startedAt"]), _moment(state["finishedAt"])
    return TestStatus(
        name=state["name"],
        outcome=state["outcome"],
        passed=state["passed"],
        failed=state["failed"],
        skipped=state["skipped"],
        flaky=state["flaky"],
        attempts=state["attempts"],
        started_at=started,
        duration=_span(started, finished),
        message=_cut(state["message"], 2048),
    )


def _fault(state: FaultState, lacking: str) -> FaultStatus:
    return FaultStatus(
        name=state["name"],
        kind=state["kind"],
        state=state["state"],
        times=state["times"],
        seed=state["seed"],
        targets=[
            TargetStatus(
                kind=target["kind"],
                name=target["name"],
                uid=target["uid"],
                replaced_by=target["replacedBy"],
            )
            for target in state["targets"][:_TARGETS]
        ],
        requested=_moment(state["requested"]),
        applied=_moment(state["applied"]),
        effective=_moment(state["effective"]),
        first_hit=_moment(state["firstHit"]),
        hits=state["hits"],
        reverted=_moment(state["reverted"]),
        reverted_by=state["revertedBy"],
        recovered=_moment(state["recovered"]),
        message=_cut(state["message"] or lacking, 2048),
    )


def _probe(state: ProbeState) -> ProbeStatus:
    return ProbeStatus(
        name=state["name"],
        state=probe_state(state),
        checks=state["checks"],
        failures=state["failures"],
        outside_faults=state["outsideFaults"],
        during_faults=state["duringFaults"][:_TARGETS],
        longest_outage=format_duration(timedelta(seconds=state["longestOutageS"])),
        message=_cut(state["message"], 2048),
    )


def _shortened(status: RunStatus, limit: int) -> RunStatus:
    def shorten(part: Any) -> Any:
        return part.model_copy(update={"message": _cut(part.message, limit)})

    cut: Callable[[list[Any]], list[Any]] = lambda parts: [shorten(each) for each in parts]  # noqa: E731
    faults = [
        fault.model_copy(update={"targets": fault.targets[: limit // 128]})
        for fault in status.faults
    ]
    probes = [
        probe.model_copy(update={"during_faults": probe.during_faults[: max(limit // 128, 1)]})
        for probe in status.probes
    ]
    return status.model_copy(
        update={
            "services": cut(status.services),
            "tests": cut(status.tests),
            "faults": cut(faults),
            "probes": cut(probes),
        }
    )


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(0, limit - len(_CUT))] + _CUT


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _queued(created: datetime, started: datetime | None) -> str | None:
    """Write the time in the queue; the API server tells the creation to the second only."""
    if started is None:
        return None
    waited = started - created
    return format_duration(waited) if waited >= timedelta(seconds=1) else "0s"


def _span(start: datetime | None, end: datetime | None) -> str | None:
    if start is None or end is None:
        return None
    return format_duration(max(end - start, timedelta(0)))
