"""What is to come of each fault when something is killed, and what the verdict has to tell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from tests.e2e.breaking import MOMENTS as PROOF
from tests.e2e.breaking import fault_of, moment
from tests.e2e.cluster import Json
from tests.e2e.every_fault import FAMILIES, HTTP

# Who can be killed while faults of a family are there.
VICTIMS = {
    "api": ("conductor", "operator"),
    "pod": ("conductor", "agent", "operator"),
    "traffic": ("conductor", "gateway", "controller", "worker", "envoy", "operator"),
}
MOMENTS = ("before", "requested", "during", "late", "after")
# With whom a fault goes; nobody else's death ends one before its time.
BEARERS = ("gateway", "controller", "envoy", "agent")
# What is over before its time; on a busy machine, before its effect could be seen.
EARLY = {"EndedEarly", "NoEffect"}
# Words of the verdict's message, after "Missing evidence".
TOLD = {
    "conductor": "onductor was restarted",
    "gateway": "the gateway was restarted",
    "controller": "the gateway was restarted",
    "worker": "broke because a process of the gateway ended",
    "envoy": "such as Envoy",
    "agent": "agent",
}
MISSING = "Missing evidence: "


def cases() -> Iterator[tuple[str, str, str]]:
    """Give family, victim and moment of each run."""
    for family, victims in VICTIMS.items():
        for victim in victims:
            for killed in MOMENTS:
                if killed != "requested" or family == "api":  # of what is over at once
                    yield family, victim, killed


def borne(family: str, victim: str) -> set[str]:
    """Name the faults of a family that end with a victim."""
    if victim not in BEARERS:
        return set()
    kinds = HTTP if victim == "envoy" else FAMILIES[family]
    return {each.lower() for each in kinds}


def states(family: str, victim: str, killed: str, name: str) -> set[str]:
    """Give the states in which a fault may end."""
    if name not in borne(family, victim) or killed in ("before", "after"):
        return {"Recovered"}
    # On a busy machine a kill that is late may come when some of them are over.
    return EARLY if killed == "during" else EARLY | {"Recovered"}


def unexpected(status: Json, family: str, victim: str, killed: str) -> Iterator[str]:
    """Look for faults that came to something else; so nothing passes in which nothing happened."""
    for kind in FAMILIES[family]:
        name = kind.lower()
        wanted, fault = states(family, victim, killed, name), fault_of(status, name)
        if fault["state"] not in wanted:
            yield f"{name} is {fault['state']}, and not {' or '.join(sorted(wanted))}"
        elif fault["state"] == "Recovered" and not is_proven(fault):
            yield f"{name} is not proven: {fault}"


def is_proven(fault: Json) -> bool:
    """Tell whether no moment of a fault's proof is missing."""
    return fault["state"] == "Recovered" and all(fault.get(each) for each in PROOF)


def untold(status: Json, victim: str, at: datetime, lost_evidence: list[str]) -> Iterator[str]:
    """
    See that the verdict tells what evidence was lost with the victim, and invents none.

    ``lost_evidence`` is the report's: of much of it, the verdict tells the first and how much more.
    """
    _, _, told = status["message"].partition(MISSING)
    if told.endswith(" more)"):
        told = " ".join(lost_evidence)
    faults = status["faults"]
    if victim == "conductor":  # the test ran, whatever the moment
        lost = TOLD["conductor"]
    elif victim in BEARERS:
        lost = TOLD[victim] if any(each["state"] in EARLY for each in faults) else ""
    elif victim == "worker":
        lost = TOLD[victim] if any(_was_on(each, at) for each in faults) else ""
    else:
        lost = ""
    if lost and lost not in told:
        yield f"the verdict does not tell what was lost ({lost}): {status['message']}"
    if told and not lost:
        yield f"nothing was lost, and the verdict says: {told}"


def _was_on(fault: Json, at: datetime) -> bool:
    begun, over = fault.get("applied"), fault.get("reverted")
    return bool(begun and over) and moment(begun) < at < moment(over)
