"""
Kubernetes Events about a run: what has changed between two statuses, told to people.

Each is told once. Of a fault that is repeated a thousand times, the first time is told, and each
way in which it was flawed; so there are at most nine events for each declared fault, whatever the
conductor says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from seatrial.api.proof import UNPROVEN
from seatrial.api.reasons import Reason
from seatrial.api.status import Condition, FaultStatus, RunStatus
from seatrial.api.verdict import Verdict
from seatrial.plan.conditions import Type, find

# States that a fault does not leave for a better one. The others of UNPROVEN are on the way.
_FLAWS = ("NotInjected", "NoEffect", "EndedEarly", "NotReverted", "NotRecovered", "Skipped")
_SHOWN = 3  # targets of a fault
_Level = Literal["Normal", "Warning"]


@dataclass(frozen=True)
class Event:
    """
    A Kubernetes Event about the run, told once its status has been written.

    ``about`` names what may happen again: there is one event of each reason for it. Where it is
    empty, there is one for each message.
    """

    reason: str
    message: str
    type: _Level = "Normal"
    about: str = ""


def events(before: RunStatus, after: RunStatus, declared: Collection[str]) -> tuple[Event, ...]:
    """
    Derive the events from a status that was written, and the one before.

    Args:
        before: As it stood.
        after: As it stands now; states in between that nobody has seen are told of all the same,
            by what they have left.
        declared: Names of ``spec.faults``: the summary comes from where user code runs, and must
            not fill the cluster with events of others.
    """
    return tuple(
        event
        for derive in (_waiting, _starting, _aborting, _faults(declared), _ending, _clearing)
        for event in derive(before, after)
    )


def _waiting(before: RunStatus, after: RunStatus) -> Iterator[Event]:
    """Tell that a run waits in the queue, or is held by its user, and goes on."""
    was, now = _reason(before, Type.FINISHED), _reason(after, Type.FINISHED)
    if after.verdict is not None or now == was:
        return
    if now in (Reason.QUEUED, Reason.SUSPENDED):
        yield Event(now, after.message, about="waiting")
    if was == Reason.SUSPENDED:
        yield Event("Resumed", "spec.suspend was unset: the run goes on.")


def _starting(before: RunStatus, after: RunStatus) -> Iterator[Event]:
    if before.start_time is None and after.start_time is not None:
        yield Event("Started", after.message)
    if before.gate_time is None and after.gate_time is not None:
        yield Event("EnvironmentReady", "Every service is ready; the tests begin.")


def _aborting(before: RunStatus, after: RunStatus) -> Iterator[Event]:
    now = find(after.conditions, Type.ABORTING)
    if now is not None and find(before.conditions, Type.ABORTING) is None:
        yield Event("Aborting", f"The run is being ended before its time: {now.message}")


def _faults(declared: Collection[str]) -> Callable[[RunStatus, RunStatus], Iterator[Event]]:
    def derive(before: RunStatus, after: RunStatus) -> Iterator[Event]:
        known = {fault.name: fault for fault in before.faults}
        for fault in after.faults:
            if fault.name in declared:
                was = known.get(fault.name) or FaultStatus(name=fault.name, state="Pending")
                yield from _fault(was, fault)

    return derive


def _fault(was: FaultStatus, now: FaultStatus) -> Iterator[Event]:
    """Tell what became of a fault; of its moments only the first of each."""
    name = now.name
    first = was.times <= 1
    if was.times == 0 and was.applied is None and now.applied is not None:
        kind = f" ({now.kind})" if now.kind else ""
        yield Event("FaultApplied", f"Fault {name}{kind} was applied{_on(now)}.", about=name)
    if first and was.reverted is None and now.reverted is not None:
        after = f" after {_span(now.applied, now.reverted)}" if now.applied else ""
        by = f" (by: {now.reverted_by})" if now.reverted_by else ""
        yield Event("FaultReverted", f"Fault {name} was reverted{after}{by}.", about=name)
    if first and was.recovered is None and now.recovered is not None:
        span = _span(now.reverted or now.recovered, now.recovered)
        message = f"The system was well again {span} after fault {name} was reverted."
        yield Event("FaultRecovered", message, about=name)
    if now.state in _FLAWS and now.state != was.state:
        reason, sentence = UNPROVEN[now.state]
        detail = f": {now.message}" if now.message else "."
        yield Event(reason, f"Fault {name} {sentence}{detail}", "Warning", about=name)


def _ending(before: RunStatus, after: RunStatus) -> Iterator[Event]:
    if before.verdict is None and after.verdict is not None:
        level: _Level = "Normal" if after.verdict is Verdict.PASSED else "Warning"
        yield Event(after.verdict, after.message, level)


def _clearing(before: RunStatus, after: RunStatus) -> Iterator[Event]:
    """Tell what became of the report, and of the environment."""
    report = find(after.conditions, Type.REPORT_AVAILABLE)
    if report is not None and find(before.conditions, Type.REPORT_AVAILABLE) is None:
        if report.status == "True":
            yield Event("ReportAvailable", f"The report is in ConfigMap {after.report}.")
        else:
            yield Event(report.reason, f"There is no report: {report.message}", "Warning")
    cleaned = find(after.conditions, Type.CLEANED_UP)
    if cleaned is None or cleaned.reason == _reason(before, Type.CLEANED_UP):
        return
    if (event := _environment(cleaned, after)) is not None:
        yield event


def _environment(cleaned: Condition, after: RunStatus) -> Event | None:
    if cleaned.reason == Reason.KEPT:
        return Event(Reason.KEPT, cleaned.message, about="environment")
    if cleaned.reason == Reason.NAMESPACE_STUCK:
        return Event(Reason.NAMESPACE_STUCK, cleaned.message, "Warning", about="environment")
    if cleaned.reason == Reason.DELETED:
        return Event("CleanedUp", f"Namespace {after.namespace} is gone, with all that was in it.")
    return None


def _reason(status: RunStatus, type_: Type) -> str:
    condition = find(status.conditions, type_)
    return condition.reason if condition else ""


def _on(fault: FaultStatus) -> str:
    if not fault.targets:
        return ""
    shown = [f"{each.kind}/{each.name}" for each in fault.targets[:_SHOWN]]
    more = len(fault.targets) - len(shown)
    return f" to {', '.join(shown)}" + (f" and {more} more" if more else "")


def _span(begin: datetime, end: datetime) -> str:
    """Write the time between, to a tenth of a second; clocks may have been set meanwhile."""
    return f"{max((end - begin).total_seconds(), 0.0):.1f} s"
