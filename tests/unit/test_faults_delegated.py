"""Faults that another tool carries out: confined, waited for, removed, and what is said if not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from seatrial.api.errors import NotInjectedError
from seatrial_runner.conductor.faults import Director
from seatrial_runner.conductor.faults.tools import ChaosMesh, Litmus, tool_of

from tests.support.conducted import a_fault_doc
from tests.support.played_faults import played
from tests.support.played_tool import PlayedTool
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import loop

DELAY = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "NetworkChaos",
    "metadata": {"labels": {"mine": "yes"}},
    "spec": {
        "action": "delay",
        "mode": "all",
        "selector": {"labelSelectors": {"app": "orders"}},
        "delay": {"latency": "100ms"},
    },
}
ENGINE = {
    "apiVersion": "litmuschaos.io/v1alpha1",
    "kind": "ChaosEngine",
    "spec": {
        "appinfo": {"appns": "default", "applabel": "app=orders", "appkind": "deployment"},
        "chaosServiceAccount": "litmus",
        "experiments": [{"name": "pod-delete", "spec": {"components": {"env": []}}}],
    },
}
KEY = {"NetworkChaos": "networkchaos", "ChaosEngine": "chaosengines"}


# Confined ----------------------------------------------------------------------------------------


def test_every_selector_selects_in_the_runs_namespace_alone() -> None:
    elsewhere = {"namespaces": ["kube-system"], "pods": {"kube-system": ["dns"]}, "nodes": ["n1"]}
    manifest = {
        **DELAY,
        "spec": {
            "selector": {**elsewhere, "labelSelectors": {"app": "a"}},
            "target": {"mode": "all", "selector": elsewhere},
        },
    }
    spec = ChaosMesh().confine(manifest, namespace="itr-x", lasts_s=1.5)["spec"]
    own = {"seatrial.dev/component": "service"}
    assert spec["selector"] == {"namespaces": ["itr-x"], "labelSelectors": {"app": "a", **own}}
    # By direction: from or both, these get the rules as well.
    assert spec["target"]["selector"] == {"namespaces": ["itr-x"], "labelSelectors": own}
    assert spec["duration"] == "1500ms"
    assert manifest["spec"]["selector"]["namespaces"] == ["kube-system"]  # not changed in place


def test_without_a_selector_one_is_made() -> None:
    confined = ChaosMesh().confine({"kind": "PodChaos"}, namespace="itr-x", lasts_s=1.0)
    own = {"seatrial.dev/component": "service"}
    assert confined["spec"]["selector"] == {"namespaces": ["itr-x"], "labelSelectors": own}


def test_pods_of_ours_are_hit_only_where_the_selector_says_so() -> None:
    tests = {"seatrial.dev/component": "test"}
    manifest = {**DELAY, "spec": {"selector": {"labelSelectors": tests}}}
    confined = ChaosMesh().confine(manifest, namespace="itr-x", lasts_s=1.0)
    assert confined["spec"]["selector"]["labelSelectors"] == tests


def test_an_engine_hits_the_runs_namespace_alone_and_ends_itself() -> None:
    manifest = {
        **ENGINE,
        "spec": {
            **ENGINE["spec"],  # type: ignore[dict-item]
            "selectors": {"pods": [{"namespace": "default", "names": "a"}]},
            "experiments": [
                {
                    "name": "pod-network-loss",
                    "spec": {
                        "components": {
                            "env": [
                                {"name": "TARGET_NAMESPACE", "value": "kube-system"},
                                {"name": "TOTAL_CHAOS_DURATION", "value": "9999"},
                                {"name": "RAMP_TIME", "value": "60"},
                                {"name": "LOSS", "value": "10"},
                            ]
                        }
                    },
                }
            ],
        },
    }
    spec = Litmus().confine(manifest, namespace="itr-x", lasts_s=30.0)["spec"]
    assert spec["appinfo"]["appns"] == "itr-x"
    assert spec["selectors"]["pods"] == [{"namespace": "itr-x", "names": "a"}]
    assert spec["engineState"] == "active"
    assert spec["experiments"][0]["spec"]["components"]["env"] == [
        {"name": "TARGET_NAMESPACE", "value": "itr-x"},
        {"name": "LOSS", "value": "10"},
        {"name": "TOTAL_CHAOS_DURATION", "value": "30"},
        {"name": "RAMP_TIME", "value": "0"},
    ]


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({**DELAY, "kind": "Schedule"}, "Schedule cannot be confined"),
        ({**DELAY, "kind": "PhysicalMachineChaos"}, "cannot be confined"),
        ({**DELAY, "spec": {"remoteCluster": "other"}}, "reach another cluster"),
        ({**ENGINE, "kind": "ChaosExperiment"}, "write a ChaosEngine"),
        ({**ENGINE, "spec": {"auxiliaryAppInfo": "ns:app=x"}}, "reach other namespaces"),
        ({"apiVersion": "v1", "kind": "Pod"}, "none of Chaos Mesh or Litmus"),
    ],
)
def test_what_cannot_be_confined_is_refused(manifest: dict[str, Any], words: str) -> None:
    with pytest.raises(NotInjectedError, match=words):
        tool_of(str(manifest["apiVersion"])).confine(manifest, namespace="itr-x", lasts_s=1.0)


# Played ------------------------------------------------------------------------------------------


def a_resource(manifest: dict[str, Any], lasts: str = "3s", **more: Any) -> dict[str, Any]:
    fault = a_fault_doc("f", resource={"manifest": manifest}, when={"test": "paid"}, **more)
    return {**{k: v for k, v in fault.items() if k != "target"}, "for": lasts}


async def a_test(director: Director) -> None:
    await director.begin_with("paid")
    director.met(loop().now(), "orders")
    await asyncio.sleep(10.0)
    await director.end_with("paid")
    await director.settle()


def test_chaos_mesh_ends_it_at_its_deadline_and_its_object_is_removed() -> None:
    tools: list[PlayedTool] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        tools.append(PlayedTool(namespace))
        await a_test(director)
        assert ("networkchaos", "seatrial-f") not in namespace.objects

    states, _ = played(a_resource(DELAY), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")
    assert states["f"]["effective"] is not None
    assert states["f"]["hits"] == 1
    [made] = tools[0].made
    assert made["metadata"]["namespace"] == NAMESPACE
    assert made["metadata"]["labels"]["mine"] == "yes"
    assert made["spec"]["selector"]["namespaces"] == [NAMESPACE]
    assert states["f"]["targets"][0]["uid"] == made["metadata"]["uid"]


@pytest.mark.parametrize("manifest", [DELAY, ENGINE], ids=["chaos-mesh", "litmus"])
def test_it_is_stopped_when_its_test_ends(manifest: dict[str, Any]) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        PlayedTool(namespace)
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(1.0)
        await director.end_with("paid")
        assert (KEY[manifest["kind"]], "seatrial-f") not in namespace.objects

    states, _ = played(a_resource(manifest, lasts="10m"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")


def test_what_is_not_injected_in_time_is_told_and_removed() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        PlayedTool(namespace, injects=False)
        await a_test(director)
        assert ("networkchaos", "seatrial-f") not in namespace.objects

    states, _ = played(a_resource(DELAY), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "was not injected within 60 s" in states["f"]["message"]


def test_an_experiment_that_is_not_there_is_told_at_once() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        tool = PlayedTool(namespace)
        tool._litmus = lambda *_: tool._status(  # type: ignore[method-assign]
            {
                "engineStatus": "initialized",
                "experiments": [{"name": "x", "status": "ChaosExperiment Not Found"}],
            }
        )
        await a_test(director)

    states, _ = played(a_resource(ENGINE), course=course)
    assert states["f"]["state"] in ("NotInjected", "NotReverted")
    assert "experiment x: ChaosExperiment Not Found" in states["f"]["message"]


def cut_off(manifest: dict[str, Any], tells: Callable[[PlayedTool], None]) -> dict[str, Any]:
    """Play a fault of a minute of which the tool tells something after a second; give its state."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        tool = PlayedTool(namespace)
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(1.0)
        tells(tool)
        await asyncio.sleep(5.0)
        await director.end_with("paid")

    states, _ = played(a_resource(manifest, lasts="1m"), course=course)
    return states["f"]


def test_a_bad_verdict_is_told() -> None:
    state = cut_off(ENGINE, lambda tool: tool._litmus("completed", "Completed", "Fail"))
    assert state["state"] == "EndedEarly"
    assert "the verdict of experiment pod-delete is Fail" in state["message"]


def test_an_object_that_somebody_pauses_has_ended_early() -> None:
    state = cut_off(DELAY, lambda tool: tool._chaos_mesh("False", "True", "Stop"))
    assert (state["state"], state["revertedBy"]) == ("EndedEarly", "itself")
    assert "NetworkChaos seatrial-f recovered 5" in state["message"]
    assert "before its time, not by the conductor" in state["message"]


def test_a_clock_that_is_set_back_makes_no_end_early() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        tool = PlayedTool(namespace, ends=False)
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        loop().set_by_s = -300.0
        await asyncio.sleep(8.8)
        tool._chaos_mesh("False", "True", "Stop")  # it counts from the object's creation
        await asyncio.sleep(5.0)
        await director.end_with("paid")

    states, _ = played(a_resource(DELAY, lasts="10s"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")


def test_an_object_that_somebody_removes_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        PlayedTool(namespace)
        await director.begin_with("paid")
        await asyncio.sleep(1.0)
        namespace._remove("networkchaos", "seatrial-f")
        await asyncio.sleep(5.0)
        await director.end_with("paid")

    states, _ = played(a_resource(DELAY, lasts="1m"), course=course)
    assert states["f"]["state"] == "EndedEarly"
    assert "was removed, not by the conductor" in states["f"]["message"]


def test_an_object_that_does_not_go_is_never_taken_for_undone() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        PlayedTool(namespace, ends=False)

        def stays(plural: str, name: str) -> None:
            namespace.change(
                plural,
                name,
                lambda item: item["metadata"].update(finalizers=["chaos-mesh/records"]),
            )

        await director.begin_with("paid")
        namespace._remove = stays  # type: ignore[method-assign]
        await director.end_with("paid")

    states, _ = played(a_resource(DELAY, lasts="1m"), course=course)
    assert states["f"]["state"] == "NotReverted"
    assert "finalizers: chaos-mesh/records" in states["f"]["message"]


def test_an_object_of_before_that_does_not_go_is_not_taken_for_this_times() -> None:
    """Its tool is away: what it says of itself is what it said then."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        tool = PlayedTool(namespace)
        going = {"deletionTimestamp": "2026-11-20T12:00:00Z", "finalizers": ["chaos-mesh/records"]}
        namespace.add("networkchaos", {"metadata": {"name": "seatrial-f", **going}})
        tool._chaos_mesh("True", "False", "Run")
        await a_test(director)

    states, _ = played(a_resource(DELAY), course=course)
    assert "NetworkChaos seatrial-f of an earlier time is still there" in states["f"]["message"]
    assert "finalizers: chaos-mesh/records" in states["f"]["message"]


@pytest.mark.parametrize(
    "manifest",
    [
        {**ENGINE, "spec": {"appinfo": None, "experiments": [{"name": "pod-delete"}]}},
        {**ENGINE, "spec": {"experiments": {"name": "pod-delete"}}},
        {**ENGINE, "spec": {"experiments": [{"name": "pod-delete", "spec": {"components": None}}]}},
        {**DELAY, "metadata": {"labels": "app=orders"}},
        {**DELAY, "spec": {"selector": {"labelSelectors": "app=orders"}}},
    ],
)
def test_an_object_of_another_shape_is_told_and_keeps_nobody_up(manifest: dict[str, Any]) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        PlayedTool(namespace)
        await a_test(director)

    states, namespace = played(a_resource(manifest), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert (
        f"{manifest['kind']} seatrial-f: its manifest has not the shape" in states["f"]["message"]
    )
    assert not [each for each in namespace.writes if each.startswith("post")]


def test_a_cluster_without_the_tool_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await a_test(director)

    states, _ = played(a_resource(DELAY), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "this cluster has no chaos-mesh.org/v1alpha1 NetworkChaos" in states["f"]["message"]
