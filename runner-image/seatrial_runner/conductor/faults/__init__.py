"""Faults: when they begin, what they hit, who carries them out, how they end, their proof."""

from seatrial_runner.conductor.faults.director import Director
from seatrial_runner.conductor.faults.equipping import hands_of
from seatrial_runner.conductor.faults.kinds import Hands

__all__ = ["Director", "Hands", "hands_of"]
