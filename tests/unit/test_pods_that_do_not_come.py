"""Pods that do not come to the gate: the run says so while it waits, and why as far as it sees."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from seatrial_runner.conductor.desk import Desk

from tests.support.pod_tests import SUITE, TOOL, a_result, came, stand, through_the_gate
from tests.support.pods import ended, running, waiting
from tests.support.run_namespace import RunNamespace


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        pytest.param([], ": the others are not there yet", id="no-pod"),
        pytest.param(
            [running(ready=True)],
            ": pod test-suite-0-x runs, and should ask at seatrial-conductor:7777",
            id="runs",
        ),
        pytest.param([waiting("ContainerCreating")], "waits (ContainerCreating)", id="waits"),
    ],
)
def test_who_never_comes_is_said_with_how_it_stands(pods: list[dict[str, Any]], words: str) -> None:
    meanwhile: list[str] = []

    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        if pods:
            stand(namespace, containers=pods)
        await asyncio.sleep(30.0)
        meanwhile.append(namespace.summary()["tests"][0]["message"])

    state, _, _ = came(SUITE, pod)
    assert (state["outcome"], state["lost"]) == ("Error", True)
    assert state["message"].startswith("0 of 1 of its pods came to the gate within 1m")
    assert words in state["message"]
    assert meanwhile[0].startswith("0 of 1 of its pods came to the gate so far")
    assert words in meanwhile[0]


def test_of_one_that_comes_late_nothing_is_left_to_say() -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, containers=[running(ready=True)])
        await asyncio.sleep(20.0)
        await through_the_gate(desk)
        desk.results("suite", {"cases": [a_result()]})
        await desk.finished("suite", {"exitCode": 0, "collected": 1})

    state, _, _ = came(SUITE, pod)
    assert (state["outcome"], state["message"]) == ("Passed", "")


REFUSED_AT_THE_GATE: dict[str, Any] = {
    "init": [ended(77, name="gate")],
    "containers": [waiting("PodInitializing", name="test")],
}


@pytest.mark.parametrize(
    ("test", "died"),
    [
        pytest.param(TOOL, REFUSED_AT_THE_GATE, id="container"),
        pytest.param(SUITE, {"containers": [ended(77, name="test")]}, id="pytest"),
        pytest.param(
            {**SUITE, "retries": 2}, {"containers": [ended(77, name="test")]}, id="pytest-retries"
        ),
    ],
)
def test_one_that_ended_before_it_came_is_not_waited_for(
    test: dict[str, Any], died: dict[str, Any]
) -> None:
    async def pod(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, test["name"], phase="Failed", **died)

    state, _, _ = came(test, pod)
    assert state["outcome"] == "Error"
    # And not, after the test's minute, that it did not come.
    assert state["message"].startswith(f"Pod test-{test['name']}-0-x ended with exit status 77")
    assert "before it came to the gate" in state["message"]


def test_another_that_its_job_makes_for_one_that_ended_is_waited_for() -> None:
    async def pods(desk: Desk, namespace: RunNamespace) -> None:
        stand(namespace, "tool", phase="Failed", **REFUSED_AT_THE_GATE)
        await asyncio.sleep(10.0)
        second = {"name": "test-tool-0-y", "creationTimestamp": "2026-11-20T12:00:10Z"}
        stand(namespace, "tool", **second)
        await through_the_gate(desk, "tool")
        stand(namespace, "tool", **second, containers=[ended(0, name="test")])

    state, _, _ = came({**TOOL, "retries": 1}, pods)
    assert (state["outcome"], state["message"]) == ("Passed", "")
