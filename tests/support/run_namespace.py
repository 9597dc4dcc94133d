"""A run's namespace in memory: the API server as a conductor knows it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import cast

from seatrial.api.errors import ClusterError, ConflictError, NotFoundError
from seatrial.api.journal import SummaryDoc
from seatrial_runner.conductor.apiserver import ApiServer

from tests.support.controllers import LOOPBACK, WORKLOADS, Controllers, Event, Object
from tests.support.virtual_time import loop

NAMESPACE = "itr-checkout-0a1b2c3d"


class RunNamespace(Controllers):
    """
    Answers a conductor's requests.

    Args:
        start_s: From a pod's creation to its readiness.
    """

    def __init__(self, *, start_s: float = 0.5) -> None:
        super().__init__(start_s=start_s)
        self.logs: dict[str, str] = {}
        self.kept_logs: set[str] = set()  # of pods that nothing had begun to take away
        self.writes: list[str] = []
        self.before_write: Callable[[int, str], None] = lambda number, what: None
        self.after_write: Callable[[int, str], None] = lambda number, what: None
        self.away = False  # no request is answered
        self.apis: dict[str, list[Object]] = {}  # resources by path of group and version

    # What a test sets up and looks at -----------------------------------------------------------

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

    def stateful_set(self, name: str, replicas: int = 1) -> None:
        """Add a StatefulSet of a service of the same name, and have its pods start."""
        spec = {"replicas": replicas, "template": {"metadata": {}}}
        self.add("statefulsets", {"metadata": {"name": name}, "spec": spec})
        self._reconcile(name)

    def service(self, name: str, *, of: str = "") -> None:
        """Add a Service that selects the pods of a workload, and have its slices kept."""
        selector = {"seatrial.dev/service": of or name}
        self.add("services", {"metadata": {"name": name}, "spec": {"selector": selector}})
        self._slice(name)

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

    async def keep_log(self, pod: str) -> None:
        """Note whose log is kept, as a fault asks for it before it takes the pod away."""
        item = self.objects.get(("pods", pod))
        if item is not None and "deletionTimestamp" not in item["metadata"]:
            self.kept_logs.add(pod)

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
        if plural in WORKLOADS:
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
        queue: asyncio.Queue[Event] = asyncio.Queue()
        entry = (_parts(path)[0], queue)
        for plural, event in self._history:
            version = int(event[1]["object"]["metadata"]["resourceVersion"])
            if plural == entry[0] and version > int(query["resourceVersion"]):
                queue.put_nowait(event)
        self._watches.append(entry)
        try:
            while True:
                at_s, event = await queue.get()
                if (left_s := at_s - loop().time()) > 0:
                    await asyncio.sleep(left_s)
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
