"""
The scenario engine: declarative tests, run in this process.

The conductor's workers and the pytest plugin use it alike. Its input is the canonical JSON of a
validated test (``seatrial.api.scenario``, by JSON name). Nothing heavy is imported before a step
needs it: httpx with the first request, CEL with the first expression, Jinja2 with the first
template.
"""

from seatrial_runner.scenario.engine import TEARDOWN_S, run_instance
from seatrial_runner.scenario.matrix import Instance, expand
from seatrial_runner.scenario.preloading import preload
from seatrial_runner.scenario.results import InstanceResult, Outcome, StepResult
from seatrial_runner.scenario.world import Faults, World

__all__ = [
    "TEARDOWN_S",
    "Faults",
    "Instance",
    "InstanceResult",
    "Outcome",
    "StepResult",
    "World",
    "expand",
    "preload",
    "run_instance",
]
