"""What a node does not let the agent do: it says so when it is asked, and nothing is left of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.agent.pod import Agent, Pod

REFUSED = "the node's kernel or the container runtime refuses it: Operation not permitted"
NETWORK = {"packets": REFUSED, "dns": REFUSED}
UNTRACED = {
    "dns": "the node's kernel or the container runtime refuses it: Permission denied",
    "freeze": "the processes of container app may not be traced: Operation not permitted",
    "disk": "the files of container app are not to be seen: Permission denied",
}
NO_CGROUPS = "cgroups cannot be mounted: Operation not permitted"
Start = Callable[..., Agent]


@pytest.fixture
def start(pod: Pod) -> Iterator[Start]:
    """Give a function that starts the agent; it ends with the test."""
    started: list[Agent] = []

    def start(*declared: tuple[str, Any], **how: str) -> Agent:
        docs = [{"kind": kind, "params": params} for kind, params in declared]
        started.append(Agent(pod, docs, **how))
        return started[-1]

    yield start
    for each in started:
        each.close()


def refused(agent: Agent) -> dict[str, str]:
    return {kind: why for kind, why in agent.abilities().items() if why}


@pytest.mark.parametrize(
    ("without", "cannot"),
    [
        pytest.param("net_admin", NETWORK, id="no-rules-for-packets"),
        pytest.param("net_raw", NETWORK, id="no-packets-of-our-own"),
        pytest.param("sys_ptrace", UNTRACED, id="no-look-into-the-container"),
        pytest.param("sys_admin", {"cpu": NO_CGROUPS, "memory": NO_CGROUPS}, id="no-cgroups"),
    ],
)
def test_what_a_missing_capability_forbids_is_told_and_all_else_can_be_done(
    pod: Pod, start: Start, without: str, cannot: dict[str, str]
) -> None:
    assert refused(start(("disk", {"path": pod.volume}), without=without)) == cannot


@pytest.mark.parametrize(
    ("kind", "params", "why"),
    [
        pytest.param("disk", {"path": "/nowhere"}, "disk.path: /nowhere", id="no-such-folder"),
        pytest.param("disk", {"path": "/etc"}, "on the node's own disk", id="no-volume"),
        pytest.param("disk", {"path": "/proc"}, "disk.path: /proc: ", id="no-files"),
        pytest.param("dns", {"address": "nowhere"}, "is no IP address", id="no-address"),
    ],
)
def test_what_a_declared_fault_lacks_is_told(
    start: Start, kind: str, params: Any, why: str
) -> None:
    [(refused_kind, text)] = refused(start((kind, params))).items()
    assert refused_kind == kind
    assert why in text


def test_a_volume_that_is_too_small_for_what_is_to_stay_free_is_told(
    pod: Pod, start: Start
) -> None:
    disk = {"path": pod.volume, "leave": "8Mi"}
    assert "no more than is to stay free" in refused(start(("disk", disk)))["disk"]


def test_a_container_that_is_not_there_has_no_faults(start: Start) -> None:
    told = refused(start(container="0123456789abcdef"))
    assert set(told) == {"freeze", "cpu", "memory", "disk", "dns"}
    assert set(told.values()) == {"container app has no process"}


def test_an_order_that_cannot_be_carried_out_is_refused_and_leaves_nothing(
    pod: Pod, start: Start
) -> None:
    agent = start(without="net_admin")
    order = {"kind": "packets", "params": {"loss": "100%"}, "forS": 30, "seed": 1}
    status, answer = agent.ask("PUT", "/v1/faults/f", order)
    assert status == 409
    assert REFUSED in answer["error"]
    assert agent.bearers() == []
    assert pod.answers(timeout=10)
