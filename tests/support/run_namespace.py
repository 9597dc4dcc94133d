"""A run's namespace in memory: the API server as a conductor knows it, and its controllers."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any, cast

from seatrial.api.errors import ClusterError, ConflictError, NotFoundError
from seatrial.api.journal import SummaryDoc
from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.apiserver import ApiServer

from tests.support.virtual_time import loop

Object = dict[str, Any]

NAMESPACE = "itr-checkout-0a1b2c3d"
_STOPPING_S = 1.0
# Addresses of pods: of this machine, and no other test process has them.
LOOPBACK = f"127.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250}"


class RunNamespace:
    """
    Objects by plural and name, with watches, and Deployments whose pods come and go.

    Args:
        start_s: From a pod's creation to its readiness.
    """

    def __init__(self, *, start_s: float = 0.5) -> None:
        self.start_s = start_s
        self.objects: dict[tuple[str, str], Object] = {}
        self.logs: dict[str, str] = {}
        self.writes: list[str] = []
        self.before_write: Callable[[int, str], None] = lambda number, what: None
        self.after_write: Callable[[int, str], None] = lambda number, what: None
        self.away = False  # no request is answered
        self.on_agent: Callable[[Object, Object], None] = lambda pod, container: None
        self.on_gone: Callable[[str], None] = lambda name: None  # of a pod
        self.apis: dict[str, list[Object]] = {}  # resources by path of group and version
        self.no_disruption = ""  # what evictions are refused with
        self._version = itertools.count(1)
        self._uids = itertools.count(1)
        self._watches: list[tuple[str, asyncio.Queue[Object]]] = []
        self._history: list[tuple[str, Object]] = []

    # What a test sets up and looks at -----------------------------------------------------------

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

    def summary(self) -> SummaryDoc:
        data = self.objects["configmaps", "seatrial-journal"]["data"]
        return cast("SummaryDoc", json.loads(data["summary.json"]))

    def entries(self) -> list[Object]:
        data = self.objects["configmaps", "seatrial-journal"]["data"]
        return [json.loads(line) for line in data["entries.jsonl"].splitlines()]

    def deployment(self, name: str, replicas: int = 1) -> None:
        """Add a Deployment of a service of the same name, and have its pods start."""
        spec = {"replicas": replicas, "template": {"metadata": {}}}
        self.add("deployments", {"metadata": {"name": name}, "spec": spec})
        self._reconcile(name)

    def service(self, name: str, *, of: str = "") -> None:
        """Add a Service that selects the pods of a Deployment, and have its slices kept."""
        selector = {"seatrial.dev/service": of or name}
        self.add("services", {"metadata": {"name": name}, "spec": {"selector": selector}})
        self._slice(name)

    # What the conductor calls ---------------------------------------------------------------------

    @property
    def api(self) -> ApiServer:
        return cast("ApiServer", self)

    @property
    def time(self) -> datetime:
        return loop().now()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        await self._answer()
        if "/namespaces/" not in path:
            if path not in self.apis:
                raise NotFoundError(f"there is no {path}", status=404)
            return {"resources": self.apis[path]}
        plural, name, _ = _parts(path)
        if name:
            return copy.deepcopy(self._find(plural, name))
        version = str(next(self._version))
        items = [item for item in self.all(plural) if _selected(item, query)]
        return {"items": copy.deepcopy(items), "metadata": {"resourceVersion": version}}

    async def text(
        self, path: str, query: Mapping[str, str], *, patience_s: float | None = None
    ) -> str:
        await self._answer()
        key = _parts(path)[1] + ("/previous" if query.get("previous") else "")
        if key not in self.logs:
            raise ClusterError(f"no log of {key}", status=400)
        return self.logs[key]

    async def post(self, path: str, body: Object, *, patience_s: float | None = None) -> Object:
        await self._answer()
        plural, name, subresource = _parts(path)
        self._note_write(f"post {plural}/{name or body['metadata']['name']}{subresource}")
        if subresource == "/eviction":
            self._evict(name, body["deleteOptions"]["preconditions"]["uid"])
            self.after_write(len(self.writes), self.writes[-1])
            return {}
        if (plural, body["metadata"]["name"]) in self.objects:
            raise ConflictError(f"{body['metadata']['name']} already exists", status=409)
        item = self.add(plural, body)
        self.after_write(len(self.writes), self.writes[-1])
        return copy.deepcopy(item)

    async def patch(
        self,
        path: str,
        body: Object,
        *,
        patience_s: float | None = None,
        content_type: str = "",
    ) -> Object:
        await self._answer()
        plural, name, subresource = _parts(path)
        self._note_write(f"patch {plural}/{name}{subresource}")
        item = copy.deepcopy(self._find(plural, name))
        if body.get("metadata", {}).get("uid") not in (None, item["metadata"]["uid"]):
            raise ConflictError(f"{name} is another one", status=409)
        version = body.get("metadata", {}).get("resourceVersion")
        if version not in (None, item["metadata"]["resourceVersion"]):
            raise ConflictError(f"{name} has changed", status=409)
        if subresource == "/ephemeralcontainers":
            self._add_agent(item, body["spec"]["ephemeralContainers"])
            self._store(plural, item, "MODIFIED")
            self.after_write(len(self.writes), self.writes[-1])
            return copy.deepcopy(item)
        _merge(item, body)
        if "spec" in body:
            item["metadata"]["generation"] += 1
        self._store(plural, item, "MODIFIED")
        if plural == "services":
            self._slice(name)
        if plural == "deployments":
            if "template" in body.get("spec", {}):
                self._roll(name)
            self._reconcile(name)
        self.after_write(len(self.writes), self.writes[-1])
        return copy.deepcopy(item)

    async def delete(self, path: str, body: Object) -> Object:
        await self._answer()
        plural, name, _ = _parts(path)
        self._note_write(f"delete {plural}/{name}")
        item = self._find(plural, name)
        if body["preconditions"]["uid"] != item["metadata"]["uid"]:
            raise ConflictError(f"{name} is another one", status=409)
        if plural == "pods":
            self._begin_to_go(name)
        else:
            self._remove(plural, name)
        self.after_write(len(self.writes), self.writes[-1])
        return {}

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Object]:
        await self._answer()
        queue: asyncio.Queue[Object] = asyncio.Queue()
        entry = (_parts(path)[0], queue)
        for plural, event in self._history:
            version = int(event["object"]["metadata"]["resourceVersion"])
            if plural == entry[0] and version > int(query["resourceVersion"]):
                queue.put_nowait(event)
        self._watches.append(entry)
        try:
            while True:
                event = await queue.get()
                if self.away:
                    raise ClusterError("the watch broke")
                if _selected(event["object"], query):
                    yield event
        finally:
            self._watches.remove(entry)

    def close(self) -> None:
        pass

    # The cluster ----------------------------------------------------------------------------------

    async def _answer(self) -> None:
        while self.away:  # noqa: ASYNC110 - the real client repeats its request, too
            await asyncio.sleep(0.5)
        await asyncio.sleep(0.001)

    def _note_write(self, what: str) -> None:
        self.writes.append(what)
        self.before_write(len(self.writes), what)

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
        self._history.append((plural, {"type": event, "object": copy.deepcopy(item)}))
        for kind, queue in self._watches:
            if kind == plural:
                queue.put_nowait(self._history[-1][1])

    def _pods_of(self, deployment: str) -> list[Object]:
        return [
            pod
            for pod in self.all("pods")
            if pod["metadata"]["labels"].get("seatrial.dev/service") == deployment
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def _reconcile(self, name: str) -> None:
        deployment = self.objects["deployments", name]
        wanted = deployment["spec"]["replicas"]
        there = self._pods_of(name)
        for pod in there[wanted:]:
            self._begin_to_go(pod["metadata"]["name"])
        for _ in range(wanted - len(there)):
            self._create_pod(name)
        there = self._pods_of(name)
        ready = sum(_is_ready(pod) for pod in there)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(there),
            "updatedReplicas": len(there),
            "readyReplicas": ready,
        }
        if deployment.get("status") != status:
            self.change("deployments", name, lambda item: item.update(status=status))

    def _create_pod(self, deployment: str) -> None:
        owner = f"{deployment}-6d56dc878d"
        name = f"{owner}-{next(self._uids):05d}"
        self.add(
            "pods",
            {
                "metadata": {
                    "name": name,
                    "labels": {"seatrial.dev/service": deployment},
                    "ownerReferences": [{"kind": "ReplicaSet", "name": owner, "controller": True}],
                },
                "spec": {"containers": [{"name": "main"}]},
                "status": {"phase": "Pending"},
            },
        )
        loop().call_later(self.start_s, self._become_ready, deployment, name)

    def _become_ready(self, deployment: str, name: str) -> None:
        if ("pods", name) not in self.objects:
            return

        def ready(pod: Object) -> None:
            running = {"running": {"startedAt": rfc3339(loop().now())}}
            pod["status"] = {
                "phase": "Running",
                "podIP": f"{LOOPBACK}.{int(name.rpartition('-')[2]) % 250 + 1}",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "main", "ready": True, "state": running}],
            }

        self.change("pods", name, ready)
        self._reconcile(deployment)
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
        if ("deployments", owner) in self.objects:
            loop().call_later(0.01, self._reconcile, owner)

    def _be_gone(self, name: str) -> None:
        if ("pods", name) in self.objects:
            self._remove("pods", name)
            self._slice_all()
            self.on_gone(name)

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

    def end_agent(self, name: str) -> None:
        """Have the newest agent of a pod end."""

        def ended(pod: Object) -> None:
            pod["status"]["ephemeralContainerStatuses"][-1]["state"] = {"terminated": {}}

        self.change("pods", name, ended)
        self.on_gone(name)

    def our_pod(self, component: str, *, ip: str = f"{LOOPBACK}.251") -> None:
        """Add a running pod of the gateway or the conductor."""
        labels = {"seatrial.dev/component": component}
        status = {"phase": "Running", "podIP": ip}
        metadata = {"name": f"seatrial-{component}", "labels": labels}
        self.add("pods", {"metadata": metadata, "spec": {"containers": []}, "status": status})

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
        """Replace every pod of a Deployment."""
        for pod in self._pods_of(name):
            self._begin_to_go(pod["metadata"]["name"])


class MortalClient:
    """
    The namespace as one conductor's process sees it, until that process is killed.

    Args:
        namespace: Outlives it.
        dies_at: The number of the write at which it dies, from 1.
        after: Whether that write still takes effect.
    """

    def __init__(self, namespace: RunNamespace, *, dies_at: int, after: bool) -> None:
        self._namespace = namespace
        self._dies_at = dies_at
        self._after = after
        self._writes = 0
        self.died = asyncio.Event()

    @property
    def api(self) -> ApiServer:
        return cast("ApiServer", self)

    @property
    def time(self) -> datetime:
        return loop().now()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        await self.alive()
        return await self._namespace.get(path, query)

    async def text(self, *args: Any, **more: Any) -> str:
        await self.alive()
        return await self._namespace.text(*args, **more)

    async def post(self, *args: Any, **more: Any) -> Object:
        return await self.write(lambda: self._namespace.post(*args, **more))

    async def patch(self, *args: Any, **more: Any) -> Object:
        return await self.write(lambda: self._namespace.patch(*args, **more))

    async def delete(self, *args: Any) -> Object:
        return await self.write(lambda: self._namespace.delete(*args))

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Object]:
        async for event in self._namespace.watch(path, query):
            await self.alive()
            yield event

    def close(self) -> None:
        pass

    async def alive(self) -> None:
        if self.died.is_set():
            await asyncio.Event().wait()  # a dead process gets no answer, for ever

    async def write(self, write: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Make a write, unless the process dies before it; it may die after it."""
        await self.alive()
        self._writes += 1
        if self._writes < self._dies_at:
            return await write()
        if self._after:
            await write()
        self.died.set()
        await self.alive()
        raise AssertionError("unreachable")


def _parts(path: str) -> tuple[str, str, str]:
    """Give plural, name and ``/subresource`` of an API path."""
    parts = path.partition(f"/namespaces/{NAMESPACE}/")[2].split("/")
    plural, name, subresource, *_ = [*parts, "", ""]
    return plural, name, f"/{subresource}" if subresource else ""


def _selected(item: Object, query: Mapping[str, str] | None) -> bool:
    field, _, value = ((query or {}).get("fieldSelector") or "").partition("=")
    return field != "metadata.name" or item["metadata"]["name"] == value


def _merge(item: Object, patch: Object) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(item.setdefault(key, {}), value)
        elif value is None:
            item.pop(key, None)
        elif key != "resourceVersion":
            item[key] = value


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
