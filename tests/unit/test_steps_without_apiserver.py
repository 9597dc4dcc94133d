"""Steps that ask the API server, where something else answers in its place."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from seatrial_runner.scenario.cluster import Access, Api, NamespaceCluster
from seatrial_runner.scenario.cluster.command import _status
from seatrial_runner.scenario.world import ClusterStepError

from tests.support.loopback import Answer, Asked, Loopback
from tests.support.scenarios import a_world, run_steps

STEPS = {
    "kubernetes-list": {"kubernetes": {"get": "pods"}},
    "kubernetes-one": {"kubernetes": {"get": "pod/orders-0"}},
    "kubernetes-scale": {"kubernetes": {"scale": "deployment/orders", "replicas": 1}},
    "logs": {"logs": {"service": "orders", "contains": "paid"}},
    "exec": {"exec": {"service": "orders", "command": ["ls"]}},
}


class Elsewhere(Loopback):
    """Answers everything with the same text, and the status of an answer that is fine."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def respond(self, asked: Asked) -> Answer:
        return Answer(text=self.text)


def run(port_of: str, step: dict[str, Any]) -> Any:
    api = Api(Access(port_of, None, lambda: {"Authorization": "Bearer t0ken"}))
    world = a_world(cluster=lambda: NamespaceCluster(api, "itr-shop", {}))
    return run_steps([step], world, timeout="30s")


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize(
    "text",
    ["<h1>Sign in</h1>", "", "[]", '{"hello": "world"}', '{"items": [{}]}', "[" * 100_000],
    ids=["page", "nothing", "list", "map", "no-metadata", "deep"],
)
def test_an_answer_of_something_else_is_told(
    step: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", broken.append)
    with Elsewhere(text) as other:
        result = run(other.url, step)
    assert result.outcome == "failed"
    place = other.url.removeprefix("http://")
    assert f": what answers at {place} is no API server of Kubernetes: " in result.message
    assert len(result.message) < 400
    assert broken == []


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"\xff"])
def test_an_end_of_a_command_that_cannot_be_read_is_told(content: bytes) -> None:
    with pytest.raises(ClusterStepError, match="how the command ended cannot be read"):
        _status(content)
