"""Runs one instance of a scenario, step by step."""

from __future__ import annotations

from seatrial_runner.scenario.matrix import Instance
from seatrial_runner.scenario.results import InstanceResult
from seatrial_runner.scenario.world import World


def run_instance(instance: Instance, world: World) -> InstanceResult:
    """Run the steps in order; never raises for what a scenario or a system does."""
    raise NotImplementedError(instance, world)
