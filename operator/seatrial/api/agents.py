"""
The agent's container: what the conductor adds to a pod under test for faults inside it.

Plain: the conductor makes it, the agent reads its variables.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict

from seatrial.api import names

# These need the container runtime's own view of cgroups, which only privileged containers have.
_PRIVILEGED = ("cpu", "memory")
# SYS_PTRACE opens /proc/PID/root of a process too; what a volume's owner may write, root may not.
# SYS_NICE lets it go before others on a busy node: such a container has no share of CPU time.
_ALWAYS = ("SYS_NICE",)
_CAPABILITIES = {
    "packets": ("NET_ADMIN", "NET_RAW"),
    "dns": ("NET_ADMIN", "NET_RAW", "SYS_PTRACE"),
    "freeze": ("SYS_PTRACE",),
    "disk": ("DAC_OVERRIDE", "SYS_PTRACE"),
}


class Declared(TypedDict):
    """A fault that the run declares for this pod: the agent says beforehand if it can't be done."""

    kind: str
    params: dict[str, Any]


class AgentDoc(TypedDict):
    """The agent's configuration, in the variable ``SEATRIAL_AGENT``."""

    container: str  # name of the container that is hit
    containerId: str  # if the pod's containers share their processes; else empty
    declared: list[Declared]


def ephemeral_container(
    name: str,
    *,
    image: str,
    pull_policy: str,
    token: str,
    container: str,
    container_id: str = "",
    declared: Sequence[Declared],
) -> dict[str, Any]:
    """
    Make the ephemeral container that carries out faults in a pod.

    It is root with the few capabilities that the declared faults need; privileged only if one of
    them needs that. It ends with the container that is hit, whose processes it shares: then another
    one is needed, of another name.

    Args:
        name: ``names.AGENT_PREFIX`` and a number; the name of one that has ended is not free again.
        image: The agent's.
        pull_policy: Of the image.
        token: Of its control interface, on ``names.AGENT_PORT`` of the pod.
        container: The pod's container that is hit.
        container_id: Its ID, if the pod's containers share their processes.
        declared: The faults that are declared for the pod.

    Source: Kubernetes documentation, "Ephemeral Containers".
    """
    doc = AgentDoc(
        container=container,
        containerId=container_id,
        declared=list(declared),
    )
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": ["agent"],
        "env": [
            {"name": names.ENV_AGENT, "value": json.dumps(doc, separators=(",", ":"))},
            {"name": names.ENV_CONTROL_TOKEN, "value": token},
            {
                "name": names.ENV_NODE_IP,
                "valueFrom": {"fieldRef": {"fieldPath": "status.hostIPs"}},
            },
        ],
        "securityContext": _security({each["kind"] for each in declared}),
        "targetContainerName": container,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _security(kinds: set[str]) -> dict[str, Any]:
    as_root = {"runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False}
    if kinds.intersection(_PRIVILEGED):
        return {**as_root, "privileged": True}
    return {
        **as_root,
        "allowPrivilegeEscalation": False,
        "capabilities": {
            "drop": ["ALL"],
            "add": sorted({*_ALWAYS, *(each for kind in kinds for each in _CAPABILITIES[kind])}),
        },
    }
