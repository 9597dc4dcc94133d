"""Killed at any write of any kind of fault: nothing stays on, and the run ends as it should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from seatrial.api import families

from tests.support.conducted import (
    a_conductor,
    a_conductor_that_dies,
    a_fault_doc,
    a_killed_conductor,
    a_run_doc,
    a_scenario,
    a_service_doc,
    order,
)
from tests.support.mortal import mortal_connections
from tests.support.ordered_faults import Agents, OrderedPlace, a_gateway
from tests.support.played_tool import PlayedTool
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time, loop

A_DELAY = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos", "spec": {}}
# A conductor writes less often in the runs below, so that it is killed up to the last write.
MOST_WRITES = 60
FAULTS: dict[str, dict[str, Any]] = {
    "kill": {"kill": {"gracePeriod": "0s"}},
    "restart": {"restart": {}},
    "evict": {"evict": {}},
    "scale": {"scale": {"replicas": 1}},
    "outage": {"outage": {}},
    "noEndpoints": {"noEndpoints": {}},
    "configuration": {"configuration": {"configMap": "settings", "remove": {}}},
    "latency": {"latency": {"delay": "1s"}},
    "blackhole": {"blackhole": {}},
    "refuse": {"refuse": {}},
    "reset": {"reset": {}},
    "bandwidth": {"bandwidth": {"rate": "1Ki"}},
    "slowClose": {"slowClose": {"delay": "1s"}},
    "connectionLimit": {"connectionLimit": {"connections": 0}},
    "corrupt": {"corrupt": {"share": "1%"}},
    "partition": {"partition": {}, "target": {"service": "orders", "from": ["tests"]}},
    "http": {"http": {"abort": {"status": 503}}},
    "packets": {"packets": {"loss": "10%"}},
    "dns": {"dns": {"nxdomain": {}}},
    "freeze": {"freeze": {}},
    "cpu": {"cpu": {"workers": 1}},
    "memory": {"memory": {"size": "1Mi"}},
    "disk": {"disk": {"path": "/data"}},
    "resource": {"resource": {"manifest": A_DELAY}},
}
VARIANTS: dict[str, dict[str, Any]] = {
    "keys-of-a-secret": {"configuration": {"secret": "login", "set": {"a": "2", "new": "x"}}},
    "secret-and-restart": {
        "configuration": {"secret": "login", "remove": {"keys": ["a"]}, "restart": True}
    },
}
OF_EACH_FAMILY = (
    *("evict", "noEndpoints", "configuration", "secret-and-restart"),
    *("latency", "freeze", "resource"),
)


@dataclass
class World:
    """A namespace, and what is ordered outside of it."""

    namespace: RunNamespace = field(default_factory=lambda: RunNamespace(start_s=0.3))
    gateway: OrderedPlace | None = None
    agents: Agents | None = None

    def on(self) -> list[str]:
        """Name what is still on, wherever."""
        found = list(self.gateway.carrier.on) if self.gateway else []
        return found + (self.agents.on() if self.agents else [])

    async def close(self) -> None:
        if self.gateway:
            await self.gateway.kill()
        if self.agents:
            await self.agents.close()


async def prepared(kind: str) -> World:
    """A run with one fault, which lasts a second where it lasts, and two tests."""
    world = World()
    namespace = world.namespace
    lasts = {} if kind in families.MOMENTARY else {"for": "1s"}
    fault = a_fault_doc("f", **(FAULTS | VARIANTS)[kind], **lasts, when={"test": "second"})
    service = a_service_doc()
    more: dict[str, Any] = {}
    if kind in families.GATEWAY:
        service["direct"] = {"orders": "seatrial-direct-orders"}
        more["gateway"] = True
        world.gateway = await a_gateway(namespace)
        world.gateway.carrier.traffic = 1
    if kind in families.POD:
        more["agentImage"] = "agent:1"
        loop().alone = True
        world.agents = Agents(namespace)
        world.agents.traffic = 1
    if kind in families.DELEGATED:
        PlayedTool(namespace)
    tests = [a_scenario("first"), a_scenario("second")]
    order(namespace, a_run_doc(services=[service], faults=[fault], tests=tests, **more))
    namespace.deployment("orders", replicas=2)
    namespace.service("orders")
    namespace.add("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
    namespace.add("secrets", {"metadata": {"name": "login"}, "data": {"a": "MQ=="}})
    return world


def as_before(world: World) -> None:
    namespace = world.namespace
    assert world.on() == []
    assert ("networkchaos", "seatrial-f") not in namespace.objects
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2
    assert namespace.objects["configmaps", "settings"]["data"] == {"a": "1"}
    assert ("configmaps", "seatrial-undo-f") not in namespace.objects
    assert namespace.objects["secrets", "login"]["data"] == {"a": "MQ=="}
    assert not namespace.objects["secrets", "login"]["metadata"].get("annotations")
    selector = {"seatrial.dev/service": "orders"}
    assert namespace.objects["services", "orders"]["spec"]["selector"] == selector


async def killed_once(kind: str, dies_at: int, *, after: bool) -> World | None:
    world = await prepared(kind)
    try:
        if not await a_killed_conductor(world.namespace, dies_at=dies_at, after=after):
            return None
        await a_conductor(world.namespace)
        return world
    finally:
        await world.close()


@pytest.fixture(autouse=True)
def _processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with mortal_connections(monkeypatch):
        yield


def test_every_kind_is_among_them() -> None:
    assert list(FAULTS) == list(families.KINDS)


@pytest.mark.parametrize("after", [False, True], ids=["before-it", "after-it"])
@pytest.mark.parametrize("kind", [*FAULTS, *VARIANTS])
def test_killed_at_any_write_nothing_stays_on(kind: str, after: bool) -> None:
    points = told = 0
    # Of each family one kind at every write; the others write the same at the same moments.
    for dies_at in range(1, MOST_WRITES, 1 if kind in OF_EACH_FAMILY else 3):
        world = in_virtual_time(killed_once(kind, dies_at, after=after))
        if world is None:
            break
        points += 1
        summary = world.namespace.summary()
        where = f"killed at write {dies_at}"
        as_before(world)
        assert summary["finished"] is not None, where
        assert summary["finished"]["reason"] == "Completed", where
        assert [t["outcome"] for t in summary["tests"]] == ["Passed", "Passed"], where
        assert summary["faults"][0]["state"] == "Recovered", (where, summary["faults"][0])
        assert summary["faults"][0]["times"] == 1, where
        told += any("Fault f was ended early" in each for each in summary["lostEvidence"])
    else:
        pytest.fail(f"it writes {MOST_WRITES} times or more, and was not killed at all of them")
    assert points > (6 if kind in OF_EACH_FAMILY else 2)  # or it has not looked at much
    if kind in OF_EACH_FAMILY:
        assert bool(told) is (kind not in families.MOMENTARY)


def test_a_fault_that_cannot_be_reached_keeps_no_other_one_on() -> None:
    async def course() -> None:
        world = await prepared("latency")
        namespace, gateway = world.namespace, world.gateway
        assert gateway is not None
        run = json.loads(namespace.objects["configmaps", "seatrial-run"]["data"]["run.json"])
        run["faults"] = [
            a_fault_doc("f", latency={"delay": "1s"}, **{"for": "10m"}),
            a_fault_doc("fewer", scale={"replicas": 1}, **{"for": "10m"}),
        ]
        data = {"run.json": json.dumps(run)}
        namespace.change("configmaps", "seatrial-run", lambda item: item["data"].update(data))
        try:
            await a_conductor_that_dies(namespace, after_s=10.0)
            assert world.on() == ["f"]
            await gateway.stop()
            began = loop().time()
            successor = asyncio.create_task(a_conductor(namespace))
            deployment = ("deployments", "orders")
            while namespace.objects[deployment]["spec"]["replicas"] == 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            assert loop().time() - began < 1.0
            await successor
        finally:
            await world.close()
        states = {fault["name"]: fault for fault in namespace.summary()["faults"]}
        assert states["f"]["state"] == "NotReverted"
        assert "it ends by itself by" in states["f"]["message"]
        assert states["fewer"]["revertedBy"] == "conductor"

    in_virtual_time(course())
