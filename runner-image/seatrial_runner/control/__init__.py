"""The control interface of whoever carries faults out: the gateway, and the agent in a pod."""

from __future__ import annotations

from seatrial_runner.control.carrier import Carrier, Evidence
from seatrial_runner.control.server import ControlServer

__all__ = ["Carrier", "ControlServer", "Evidence"]
