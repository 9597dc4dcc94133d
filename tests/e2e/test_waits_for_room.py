"""Nodes that other runs fill are waited for: they will be free, or an autoscaler makes another."""

from __future__ import annotations

import pytest
from kubernetes.utils import parse_quantity

from tests.e2e.cluster import Cluster, Json, condition
from tests.e2e.conftest import Desk

NO_ROOM = "waits for a node"
LONGER_S = 12.0  # than what can never be is waited for


def test_a_run_that_finds_no_room_goes_on_when_another_one_has_left(
    cluster: Cluster, desk: Desk
) -> None:
    nodes = cluster.items("/api/v1/nodes")
    if len(nodes) > 1:
        pytest.skip("on several nodes there is always room")
    cores = float(parse_quantity(nodes[0]["status"]["allocatable"]["cpu"]))
    spec = f"""
    services:
    - name: web
      image: docker.io/seatrial/shop:1
      command: [python3, -m, http.server, "8080"]
      ports: [{{name: http, port: 8080}}]
      resources: {{requests: {{cpu: {0.6 * cores * 1000:.0f}m}}}}
    tests:
    - name: t
      scenario:
      - eventually: {{within: SECONDS}}
        expect: [CONDITION]
    """
    holds = spec.replace("SECONDS", "4m").replace("CONDITION", "'false'")
    first = desk.run("first", holds)
    first.wait(lambda status: condition(status, "EnvironmentReady") == "True", "ready")

    second = desk.run("second", spec.replace("SECONDS", "1s").replace("CONDITION", "'true'"))
    second.wait(says_no_room, "no room")
    # It would end within this time if it were as sure as with a pod that is larger than a node.
    with pytest.raises(AssertionError):
        second.wait(lambda status: condition(status, "Finished") == "True", "over", LONGER_S)
    assert says_no_room(second.status)
    first.change(abort=True)

    assert second.finished()["verdict"] == "Passed"


def says_no_room(status: Json) -> bool:
    return any(NO_ROOM in service["message"] for service in status.get("services", []))
