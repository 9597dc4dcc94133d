"""The objects of a namespace in memory, and the controllers that keep them."""

from __future__ import annotations

import asyncio
import copy
import itertools
import os
from collections.abc import Callable
from typing import Any

from seatrial.api.errors import ClusterError, ConflictError, NotFoundError
from seatrial_runner.clock import rfc3339

from tests.support.virtual_time import loop

Object = dict[str, Any]
Event = tuple[float, Object]  # when a watch tells of it

_STOPPING_S = 1.0
WORKLOADS = ("deployments", "statefulsets")
# Addresses of pods: of this machine, and no other test process has them.
LOOPBACK = f"127.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250}"


class Controllers:
    """
    Objects by plural and name, with watches, and Deployments and StatefulSets whose pods come and
    go.

    Args:
        start_s: From a pod's creation to its readiness.
    """

    def __init__(self, *, start_s: float) -> None:
        self.start_s = start_s
        self.objects: dict[tuple[str, str], Object] = {}
        self.on_agent: Callable[[Object, Object], None] = lambda pod, container: None
        self.on_gone: Callable[[str], None] = lambda name: None  # of a pod
        self.lag_s = 0.0  # until watches tell of what has changed
        self.no_disruption = ""  # what evictions are refused with
        self._version = itertools.count(1)
        self._uids = itertools.count(1)
        self._watches: list[tuple[str, asyncio.Queue[Event]]] = []
        self._history: list[tuple[str, Event]] = []

    def add(self, plural: str, item: Object) -> Object:
        item = copy.deepcopy(item)
        metadata = item.setdefault("metadata", {})
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        metadata.setdefault("creationTimestamp", rfc3339(loop().now()))
        metadata.setdefault("generation", 1)
        self._store(plural, item, "ADDED")
        return item

    def change(self, plural: str, name: str, change: Callable[[Object], None]) -> None:
        item = copy.deepcopy(self.objects[plural, name])
        change(item)
        self._store(plural, item, "MODIFIED")

    def all(self, plural: str) -> list[Object]:
        return [item for (kind, _), item in sorted(self.objects.items()) if kind == plural]

    def _find(self, plural: str, name: str) -> Object:
        item = self.objects.get((plural, name))
        if item is None:
            raise NotFoundError(f"there is no {plural}/{name}", status=404)
        return item

    def _store(self, plural: str, item: Object, event: str) -> None:
        item["metadata"]["resourceVersion"] = str(next(self._version))
        self.objects[plural, item["metadata"]["name"]] = item
        self._tell(plural, event, item)

    def _tell(self, plural: str, event: str, item: Object) -> None:
        told = {"type": event, "object": copy.deepcopy(item)}
        self._history.append((plural, (loop().time() + self.lag_s, told)))
        for kind, queue in self._watches:
            if kind == plural:
                queue.put_nowait(self._history[-1][1])

    def _workload(self, name: str) -> str:
        """Give the plural of what makes a service's pods; a service has one, of its own name."""
        return next((each for each in WORKLOADS if (each, name) in self.objects), "")

    def _pods_of(self, workload: str, *, going: bool = False) -> list[Object]:
        return [
            pod
            for pod in self.all("pods")
            if pod["metadata"]["labels"].get("seatrial.dev/service") == workload
            and (going or "deletionTimestamp" not in pod["metadata"])
            and pod["status"]["phase"] not in ("Succeeded", "Failed")
        ]

    def _reconcile(self, name: str) -> None:
        plural = self._workload(name)
        if not plural:
            return  # it has gone
        workload = self.objects[plural, name]
        wanted = workload["spec"]["replicas"]
        there = self._pods_of(name)
        for pod in there[wanted:]:
            self._begin_to_go(pod["metadata"]["name"])
        if plural == "deployments":
            for _ in range(wanted - len(there)):
                self._create_pod(name)
        else:
            for ordinal in range(wanted):
                # Also while a pod of that name is still ending.
                if ("pods", f"{name}-{ordinal}") not in self.objects:
                    self._create_member(name, ordinal)
        updated = self._pods_of(name)
        # A StatefulSet counts those that are ending, too.
        there = updated if plural == "deployments" else self._pods_of(name, going=True)
        status = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(there),
            "updatedReplicas": len(updated),
            "readyReplicas": sum(_is_ready(pod) for pod in there),
        }
        if workload.get("status") != status:
            self.change(plural, name, lambda item: item.update(status=status))

    def _create_pod(self, deployment: str) -> None:
        owner = f"{deployment}-6d56dc878d"
        name = f"{owner}-{next(self._uids):05d}"
        self._add_pod(deployment, name, {"kind": "ReplicaSet", "name": owner})

    def _create_member(self, stateful_set: str, ordinal: int) -> None:
        owner = {"kind": "StatefulSet", "name": stateful_set}
        self._add_pod(stateful_set, f"{stateful_set}-{ordinal}", owner)

    def _add_pod(self, service: str, name: str, owner: Object) -> None:
        pod = self.add(
            "pods",
            {
                "metadata": {
                    "name": name,
                    "labels": {"seatrial.dev/service": service},
                    "ownerReferences": [{**owner, "controller": True}],
                },
                "spec": {"containers": [{"name": "main"}]},
                "status": {"phase": "Pending"},
            },
        )
        uid = pod["metadata"]["uid"]
        loop().call_later(self.start_s, self._become_ready, service, name, uid)

    def _become_ready(self, service: str, name: str, uid: str) -> None:
        present = self.objects.get(("pods", name))
        if present is None or present["metadata"]["uid"] != uid:
            return

        def ready(pod: Object) -> None:
            running = {"running": {"startedAt": rfc3339(loop().now())}}
            pod["status"] = {
                "phase": "Running",
                "podIP": f"{LOOPBACK}.{int(uid.rpartition('-')[2]) % 250 + 1}",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "main", "ready": True, "state": running}],
            }

        self.change("pods", name, ready)
        self._reconcile(service)
        self._slice_all()

    def _begin_to_go(self, name: str) -> None:
        pod = self.objects["pods", name]
        if "deletionTimestamp" in pod["metadata"]:
            return

        def going(item: Object) -> None:
            item["metadata"]["deletionTimestamp"] = rfc3339(loop().now())

        self.change("pods", name, going)
        loop().call_later(_STOPPING_S, self._be_gone, name)
        owner = pod["metadata"]["labels"].get("seatrial.dev/service")
        if self._workload(owner):
            loop().call_later(0.01, self._reconcile, owner)

    def _be_gone(self, name: str) -> None:
        if ("pods", name) in self.objects:
            owner = self.objects["pods", name]["metadata"]["labels"].get("seatrial.dev/service")
            self._remove("pods", name)
            self._slice_all()
            self.on_gone(name)
            if self._workload(owner) == "statefulsets":
                self._reconcile(owner)

    def _remove(self, plural: str, name: str) -> None:
        item = self.objects.pop((plural, name))
        item["metadata"]["resourceVersion"] = str(next(self._version))
        self._tell(plural, "DELETED", item)

    def _evict(self, name: str, uid: str) -> None:
        pod = self._find("pods", name)
        if uid != pod["metadata"]["uid"]:
            raise ConflictError(f"{name} is another one", status=409)
        if self.no_disruption:
            raise ClusterError(f"429 {self.no_disruption}", status=429)

        def disrupted(item: Object) -> None:
            reason = {"reason": "EvictionByEvictionAPI", "message": "evicting"}
            condition = {"type": "DisruptionTarget", "status": "True", **reason}
            item["status"].setdefault("conditions", []).append(condition)

        self.change("pods", name, disrupted)
        self._begin_to_go(name)

    def _add_agent(self, pod: Object, containers: list[Object]) -> None:
        present = pod["spec"].setdefault("ephemeralContainers", [])
        names = [each["name"] for each in present]
        for container in containers:
            assert container["name"] not in names  # the API server would refuse the change
            present.append(container)
            loop().call_later(0.1, self._begin_agent, pod["metadata"]["name"], container)

    def _begin_agent(self, name: str, container: Object) -> None:
        if ("pods", name) not in self.objects:
            return
        running = {"name": container["name"], "state": {"running": {}}}

        def begun(pod: Object) -> None:
            pod["status"].setdefault("ephemeralContainerStatuses", []).append(running)

        self.on_agent(self.objects["pods", name], container)
        self.change("pods", name, begun)

    def _slice(self, service: str) -> None:
        """Do what the EndpointSlice controller does, a moment later."""
        loop().call_later(0.02, self._write_slice, service)

    def _slice_all(self) -> None:
        for service in self.all("services"):
            self._slice(service["metadata"]["name"])

    def _write_slice(self, service: str) -> None:
        selector = self.objects["services", service]["spec"].get("selector") or {}
        found = [
            pod
            for pod in self.all("pods")
            if selector.items() <= pod["metadata"]["labels"].items() and _is_ready(pod)
        ]
        endpoints = [{"targetRef": {"name": pod["metadata"]["name"]}} for pod in found]
        name = f"{service}-x"
        if ("endpointslices", name) in self.objects:
            self.change("endpointslices", name, lambda item: item.update(endpoints=endpoints))
            return
        labels = {"kubernetes.io/service-name": service}
        self.add(
            "endpointslices", {"metadata": {"name": name, "labels": labels}, "endpoints": endpoints}
        )

    def _roll(self, name: str) -> None:
        """Replace every pod of a workload."""
        for pod in self._pods_of(name):
            self._begin_to_go(pod["metadata"]["name"])


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
