"""
The kinds of faults by who carries them out. Plain: the pods use it too.

The API server (``API``), the gateway (``NETWORK`` at layer 4, ``HTTP`` through Envoy), the agent in
the target's pod (``POD``), another chaos tool (``DELEGATED``). ``MOMENTARY`` ones are over at once;
all others have ``for``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOMENTARY = ("kill", "restart", "evict")
API = (*MOMENTARY, "scale", "outage", "noEndpoints", "configuration")
NETWORK = (
    "latency",
    "blackhole",
    "refuse",
    "reset",
    "bandwidth",
    "slowClose",
    "connectionLimit",
    "corrupt",
    "partition",
)
HTTP = ("http",)
GATEWAY = (*NETWORK, *HTTP)
POD = ("packets", "dns", "freeze", "cpu", "memory", "disk")
DELEGATED = ("resource",)
KINDS = (*API, *GATEWAY, *POD, *DELEGATED)
LASTING = tuple(kind for kind in KINDS if kind not in MOMENTARY)

# Source of traffic that is no service: the conductor's scenarios and the test pods.
FROM_TESTS = "tests"


def kind_of(fault: Mapping[str, Any]) -> str:
    """Name the kind of a fault as the spec has it in JSON, such as ``noEndpoints``."""
    return next(kind for kind in KINDS if fault.get(kind) is not None)
