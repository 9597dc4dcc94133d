"""
Secrets that faults remove as a whole, as the run makes them. Pure.

What the conductor keeps of them is in Secrets, and the operator reads none of a run; but it has
made them itself, of the spec and what that refers to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seatrial.api.fault_kinds import Configuration
from seatrial.api.spec import RunSpec
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.configuration import named, sources
from seatrial.plan.objects.copies import copies
from seatrial.plan.parts import Part


def has_spares(spec: RunSpec) -> bool:
    """Tell whether a fault removes a Secret as a whole."""
    return any(True for _ in _removals(spec))


def spares(run: Blueprint) -> dict[str, Mapping[str, Any]]:
    """Give those Secrets, by their names in the run's namespace."""
    there = sources([Part(each.spec, each.objects) for each in run.services], run.found)
    keys = [named(change) for change in _removals(run.spec)]
    names = {there[key].name for key in keys if key in there}
    bodies = [body for service in run.services for body in service.objects]
    bodies += [each.body for each in copies(run, ())]
    return {
        body["metadata"]["name"]: body
        for body in bodies
        if body["kind"] == "Secret" and body["metadata"]["name"] in names
    }


def _removals(spec: RunSpec) -> Iterator[Configuration]:
    for fault in spec.faults:
        change = fault.configuration
        if change and change.secret and change.remove and not change.remove.keys:
            yield change
