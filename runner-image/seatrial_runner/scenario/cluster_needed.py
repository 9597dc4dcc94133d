"""Which scenarios mean nothing without a run's cluster: where none is, they are skipped whole."""

from __future__ import annotations

from collections.abc import Iterable

from seatrial_runner.scenario.kinds import steps_of
from seatrial_runner.scenario.matrix import Instance
from seatrial_runner.scenario.world import World

# Kinds of steps that ask the run's namespace. Those of kind metrics know another way.
_ASKING = ("exec", "kubernetes", "logs")


def needs_faults(faults: Iterable[str]) -> str:
    """Say why a test is skipped that needs these faults, and what to do."""
    return (
        f"needs the cluster: without a conductor there is no fault {', '.join(faults)};"
        " run it with seatrial run"
    )


def why_not_in(world: World, instance: Instance) -> str:
    """
    Say why a scenario is skipped, for want of a conductor or a cluster; empty if it is not.

    NB: to skip only the steps that need them would let the others pass with nothing down, or with
    nothing checked.
    """
    faults: dict[str, None] = {}
    kinds = set()
    for step in steps_of(instance.parts, instance.scenarios):
        faults |= dict.fromkeys(step.get("fault", {}).values())
        if expected := step.get("expectFailure"):
            faults[expected["during"]] = None
        kinds |= {kind for kind in _ASKING if kind in step}
    if faults and world.faults is None:
        return needs_faults(faults)
    if kinds and world.cluster is None:
        return (
            f"needs the cluster: there is none to ask for steps of kind {', '.join(sorted(kinds))};"
            " run it with seatrial run, or with pytest --seatrial-namespace NAME"
        )
    return ""
