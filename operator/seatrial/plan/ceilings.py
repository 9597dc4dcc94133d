"""What the cluster's values allow faults to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seatrial.api import families
from seatrial.api.duration import format_duration
from seatrial.api.errors import SpecError
from seatrial.api.faults import Fault
from seatrial.plan.delegated_pods import reaches
from seatrial.plan.parts import Part
from seatrial.plan.settings import FaultCeiling

_OF_SOME_PODS = ("kill", "evict", *families.POD)


def ceiling_problems(
    fault: Fault, parts: Mapping[str, Part], ceiling: FaultCeiling, field: str
) -> Iterator[SpecError]:
    """
    Find where a fault goes beyond what every run of this cluster may do.

    Args:
        fault: One of the run's.
        parts: The system under test, by service.
        ceiling: What the operator allows.
        field: Of the fault, such as ``spec.faults[0]``.
    """
    kind = fault.kind
    if kind not in ceiling.kinds:
        allowed = ", ".join(each for each in families.KINDS if each in ceiling.kinds) or "none"
        problem = "is not allowed on this cluster."
        remedy = f"Allowed is: {allowed}; the Helm value faults.kinds decides."
        yield SpecError(f"{field}.{kind}", problem, remedy)
    if fault.for_ is not None and fault.for_ > ceiling.max_duration:
        longest = format_duration(ceiling.max_duration)
        problem = f"is longer than the {longest} that this cluster allows."
        remedy = "Shorten it; the Helm value faults.maxDuration decides."
        yield SpecError(f"{field}.for", problem, remedy)
    if ceiling.max_pods < 100:
        yield from _share(fault, parts, ceiling.max_pods, field)


def _share(fault: Fault, parts: Mapping[str, Part], most: int, field: str) -> Iterator[SpecError]:
    if fault.resource:
        where = f"{field}.resource.manifest"
        for reach in reaches(fault.resource.manifest, parts, where):
            if reach is not None and reach.share is None:
                problem = "does not tell which share of one service's pods is hit;"
                problem += f" this cluster allows {most}%."
                remedy = f"{reach.remedy}; the Helm value faults.maxPods decides."
                yield SpecError(reach.field, problem, remedy)
            elif reach is not None and reach.share is not None:
                yield from _beyond(reach.field, reach.pods, reach.share, most)
        return
    part = parts[fault.target.service] if fault.target else None
    # Manifests that nobody has read yet are judged once they are.
    if part is not None and part.known and (hit := _pods_hit(fault, part)):
        where, pods, share = hit
        yield from _beyond(f"{field}.{where}", pods, share, most)


def _beyond(field: str, pods: int | None, share: float, most: int) -> Iterator[SpecError]:
    # One pod may always be hit: a service of one replica could not be tested otherwise.
    if share > most and (pods is None or pods > 1):
        problem = f"hits more than the {most}% of pods that this cluster allows."
        yield SpecError(field, problem, "The Helm value faults.maxPods decides.")


def _pods_hit(fault: Fault, part: Part) -> tuple[str, int | None, float] | None:
    """Say where the number of pods stands, how many they are if known, and which share."""
    replicas = part.replicas
    if fault.outage:
        return "outage", replicas, 100.0
    if fault.configuration and fault.configuration.restart:
        return "configuration.restart", replicas, 100.0  # all at once: it is no roll-out
    if fault.scale:
        if replicas is None:
            return None
        lost = max(replicas - fault.scale.replicas, 0)
        return "scale.replicas", lost, 100 * lost / max(replicas, 1)
    if fault.kind not in _OF_SOME_PODS or fault.target is None or fault.target.pods is None:
        return None
    asked = fault.target.pods
    if isinstance(asked, int):
        return "target.pods", asked, 100 * asked / replicas if replicas else 100.0
    share = 100.0 if asked == "all" else float(asked.removesuffix("%"))
    if not replicas:
        return "target.pods", replicas, share
    pods = -(-int(share) * replicas // 100)  # as the conductor rounds
    return "target.pods", pods, 100 * pods / replicas
