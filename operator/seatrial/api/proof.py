"""The proof of faults, and whether probes held where they must. Plain: the pods use it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from seatrial.api import families
from seatrial.api.journal import FaultState, ProbeState, SummaryDoc
from seatrial.api.reasons import Reason


@dataclass(frozen=True)
class Proof:
    """Whether a fault is proven: it took effect, met traffic, was undone, the system recovered."""

    name: str
    reason: Reason
    message: str

    @property
    def proven(self) -> bool:
        """True only if nothing is missing."""
        return self.reason is Reason.FAULT_PROVEN


def prove(summary: SummaryDoc | None, names: Sequence[str]) -> Iterator[Proof]:
    """
    Look for the proof of each fault.

    Args:
        summary: What the conductor has written; None if there never was a conductor.
        names: Names of all ``spec.faults``; one that the summary does not have is not proven.
    """
    states = {fault["name"]: fault for fault in summary["faults"]} if summary else {}
    kinds = {test["name"]: test["kind"] for test in summary["tests"]} if summary else {}
    for name in dict.fromkeys([*names, *states]):
        state = states.get(name)
        if state is None:
            message = f"Fault {name} never came to its moment."
            yield Proof(name, Reason.FAULT_NOT_STARTED, message)
            continue
        yield _proof(state, met_traffic=_met_traffic(state, kinds))


# Whose hits are counted where the fault is: connections, requests, packets or lookups of everyone.
_COUNTED_THERE = frozenset({*families.GATEWAY, "packets", "dns"})


def _met_traffic(fault: FaultState, kinds: Mapping[str, str]) -> bool:
    """
    Tell whether something that a test caused met the fault.

    Where everyone's traffic is counted, what services do by themselves is in it, and what they do
    because a check asks them: then a test must have run meanwhile. Elsewhere the requests of tests
    are counted; those of a container test can't be seen, and that it ran has to do.
    """
    if fault["kind"] in _COUNTED_THERE:
        return fault["hits"] > 0 and bool(fault["exposedTests"])
    return fault["hits"] > 0 or any(kinds.get(t) == "container" for t in fault["exposedTests"])


# What is missing in each state; in any other than these, recovery was not seen.
UNPROVEN = {
    "Pending": (Reason.FAULT_NOT_STARTED, "never came to its moment"),
    "Skipped": (Reason.FAULT_NOT_STARTED, "never came to its moment"),
    "Requested": (Reason.FAULT_NOT_INJECTED, "was not injected"),
    "NotInjected": (Reason.FAULT_NOT_INJECTED, "was not injected"),
    "NoEffect": (Reason.FAULT_NO_EFFECT, "was carried out, but had no effect that could be seen"),
    "EndedEarly": (Reason.FAULT_ENDED_EARLY, "was over before its time"),
    "Active": (Reason.FAULT_NOT_REVERTED, "was not undone"),
    "NotReverted": (Reason.FAULT_NOT_REVERTED, "was not undone"),
    "NotRecovered": (Reason.NOT_RECOVERED, "was undone, but the system did not recover"),
}
# What the run's author has to change; of the others, the message says what went wrong.
_TOLD_WHAT_TO_CHANGE = frozenset({Reason.FAULT_MET_NO_TRAFFIC, Reason.FAULT_NO_EFFECT})
_RECOVERY_NOT_SEEN = (Reason.FAULT_RECOVERY_NOT_SEEN, "was undone, but recovery was not seen")


def _proof(fault: FaultState, *, met_traffic: bool) -> Proof:
    missing: tuple[Reason, str] | None = None
    if fault["state"] != "Recovered":
        missing = UNPROVEN.get(fault["state"], _RECOVERY_NOT_SEEN)
    elif fault["applied"] is None:
        missing = UNPROVEN["NotInjected"]
    elif fault["effective"] is None:
        missing = UNPROVEN["NoEffect"]
    elif fault["reverted"] is None:
        missing = UNPROVEN["NotReverted"]
    elif fault["recovered"] is None:
        missing = _RECOVERY_NOT_SEEN
    elif not met_traffic:
        missing = (Reason.FAULT_MET_NO_TRAFFIC, "met no traffic of a test")
    if missing is None:
        return Proof(fault["name"], Reason.FAULT_PROVEN, "")
    reason, sentence = missing
    detail = f": {fault['message']}" if fault["message"] else "."
    # Of a fault that met nothing, a message says why, and what to change.
    explained = reason is Reason.FAULT_MET_NO_TRAFFIC and bool(fault["message"])
    if reason in _TOLD_WHAT_TO_CHANGE and not explained:
        detail = f"{detail.removesuffix('.')}. {reason.remedy}"
    return Proof(fault["name"], reason, f"Fault {fault['name']} {sentence}{detail}")


def probe_failure(probe: ProbeState) -> str:
    """Say where a probe did not hold although it must; empty if it nowhere did."""
    name, detail = probe["name"], f": {probe['message']}" if probe["message"] else "."
    if outside := probe["outsideFaults"]:
        checks = f"{outside} failed check{'s' if outside != 1 else ''}"
        longest = f"{probe['longestOutageS']:.1f} s at the longest"
        return f"Probe {name} did not hold outside of any fault ({checks}, {longest}){detail}"
    if probe["mustHold"] and probe["duringFaults"]:
        return f"Probe {name} must hold, and did not {during(probe['duringFaults'])}{detail}"
    return ""


def probe_state(probe: ProbeState) -> str:
    """Say in a word how a probe is: Held where it must, Failed, or Unchecked."""
    if not probe["checks"]:
        return "Unchecked"
    return "Failed" if probe_failure(probe) else "Held"


def during(faults: Sequence[str]) -> str:
    """Name the faults in whose windows something failed."""
    return f"during fault{'s' if len(faults) > 1 else ''} {', '.join(faults)}"
