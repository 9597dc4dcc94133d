"""Faults through the Kubernetes API: when they begin, what they hit, how they end, their proof."""

from seatrial_runner.conductor.faults.director import Director
from seatrial_runner.conductor.faults.kinds import Hands

__all__ = ["Director", "Hands"]
