"""The ephemeral container that faults inside a pod need: no more rights than they take."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from seatrial.api import families, names
from seatrial.api.agents import ephemeral_container
from seatrial_runner.agent.network import node_addresses
from seatrial_runner.conductor.faults.agents import declared_for
from seatrial_runner.conductor.stage import Stage

from tests.support.conducted import a_fault_doc
from tests.support.pods import a_pod


def container(*kinds: str) -> dict[str, Any]:
    return ephemeral_container(
        "seatrial-agent-1",
        image="agent:1",
        pull_policy="IfNotPresent",
        token="a-token-of-the-conductor",
        container="app",
        container_id="0123abcd",
        declared=[{"kind": kind, "params": {}} for kind in kinds],
    )


@pytest.mark.parametrize(
    ("kind", "capabilities"),
    [
        ("packets", ["NET_ADMIN", "NET_RAW", "SYS_NICE"]),
        ("dns", ["NET_ADMIN", "NET_RAW", "SYS_NICE", "SYS_PTRACE"]),
        ("freeze", ["SYS_NICE", "SYS_PTRACE"]),
        ("disk", ["DAC_OVERRIDE", "SYS_NICE", "SYS_PTRACE"]),
    ],
)
def test_a_fault_gets_only_the_capabilities_it_takes(kind: str, capabilities: list[str]) -> None:
    security = container(kind)["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": capabilities}
    assert security["allowPrivilegeEscalation"] is False
    assert "privileged" not in security


@pytest.mark.parametrize("kind", ["cpu", "memory"])
def test_what_joins_the_cgroup_is_privileged(kind: str) -> None:
    assert container("packets", kind)["securityContext"]["privileged"] is True


@pytest.mark.parametrize("kind", families.POD)
def test_no_kind_is_without_rights(kind: str) -> None:
    security = container(kind)["securityContext"]
    assert security.get("privileged") or security["capabilities"]["add"]


def test_it_shares_the_processes_of_the_container_that_is_hit() -> None:
    made = container("freeze")
    assert made["targetContainerName"] == "app"
    env = {each["name"]: each.get("value") for each in made["env"]}
    doc = json.loads(env[names.ENV_AGENT] or "")
    assert doc["container"] == "app"
    assert doc["containerId"] == "0123abcd"
    assert doc["declared"] == [{"kind": "freeze", "params": {}}]


def test_it_is_told_every_address_of_its_node() -> None:
    """Of both families: the kubelet may ask from either."""
    [node] = [each for each in container("packets")["env"] if each["name"] == names.ENV_NODE_IP]
    assert node["valueFrom"] == {"fieldRef": {"fieldPath": "status.hostIPs"}}
    assert len(node_addresses("10.0.0.1,fd00::1")) >= 2


def test_a_fault_of_other_pods_of_the_service_is_not_declared() -> None:
    """A volume that those have need not be in this one."""
    faults = [a_fault_doc("c", freeze={})]
    for each in "ab":
        target = {"service": "orders", "podLabels": {"of": each}}
        faults.append(a_fault_doc(each, disk={"path": f"/{each}"}, target=target))
    stage = cast("Stage", SimpleNamespace(run={"faults": faults}))
    pod = a_pod("orders-a")
    pod["metadata"]["labels"]["of"] = "a"
    declared = declared_for(stage, pod)
    assert [(each["kind"], each["params"]) for each in declared] == [
        ("freeze", {}),
        ("disk", {"path": "/a"}),
    ]
