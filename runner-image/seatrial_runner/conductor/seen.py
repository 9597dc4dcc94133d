"""What is in the run's namespace, kept up to date by one watch for each kind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from seatrial.api.errors import ClusterError
from seatrial.api.names import RUN_CONFIGMAP

from seatrial_runner.conductor.apiserver import ApiServer

logger = logging.getLogger("seatrial.conductor")

Object = dict[str, Any]

# Less than a run takes: what a watch has missed, its successor gets.
_WATCH_S = 120
_PAGE = "500"
_PAUSE_S = 0.5
# With these the server asks for patience, and knows the version still.
_BUSY = (None, 429, 503)


@dataclass(frozen=True)
class Kind:
    """A kind the conductor may watch."""

    name: str
    group: str  # path of its API group
    plural: str
    field_selector: str = ""

    def path(self, namespace: str, name: str = "") -> str:
        """Give the path of its collection in a namespace, or of one object."""
        base = f"{self.group}/namespaces/{namespace}/{self.plural}"
        return f"{base}/{name}" if name else base


PODS = Kind("Pod", "/api/v1", "pods")
# Normal events tell nothing that the objects themselves do not.
EVENTS = Kind("Event", "/api/v1", "events", "type=Warning")
DEPLOYMENTS = Kind("Deployment", "/apis/apps/v1", "deployments")
STATEFULSETS = Kind("StatefulSet", "/apis/apps/v1", "statefulsets")
JOBS = Kind("Job", "/apis/batch/v1", "jobs")
SERVICES = Kind("Service", "/api/v1", "services")
ENDPOINT_SLICES = Kind("EndpointSlice", "/apis/discovery.k8s.io/v1", "endpointslices")
CONTROL = Kind("ConfigMap", "/api/v1", "configmaps", f"metadata.name={RUN_CONFIGMAP}")
WORKLOADS = {kind.name: kind for kind in (DEPLOYMENTS, STATEFULSETS, JOBS, PODS)}


@dataclass
class Seen:
    """
    The objects by kind and name, as of the last event.

    ``wait`` wakes whoever waits for a change; each look decides anew from the whole.
    """

    _objects: dict[str, dict[str, Object]] = field(default_factory=dict)
    _waiting: set[asyncio.Future[None]] = field(default_factory=set)

    def all(self, kind: Kind) -> list[Object]:
        """Give the objects of a kind, in order of name."""
        return [item for _, item in sorted(self._objects.get(kind.name, {}).items())]

    def get(self, kind: Kind, name: str) -> Object | None:
        """Give one object, or None."""
        return self._objects.get(kind.name, {}).get(name)

    def knows(self, kinds: Iterable[Kind]) -> bool:
        """Tell whether each of the kinds has been listed once: until then nothing is known."""
        return all(kind.name in self._objects for kind in kinds)

    def replace(self, kind: Kind, objects: Iterable[Object]) -> None:
        """Take a whole list in."""
        self._objects[kind.name] = {item["metadata"]["name"]: item for item in objects}
        self.notify()

    def apply(self, kind: Kind, event_type: str, item: Object) -> None:
        """Take one event in."""
        objects = self._objects.setdefault(kind.name, {})
        if event_type == "DELETED":
            objects.pop(item["metadata"]["name"], None)
        else:
            objects[item["metadata"]["name"]] = item
        self.notify()

    def notify(self) -> None:
        """Wake everyone who waits."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, at_most_s: float) -> None:
        """Return after the next change, or when the time is over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(at_most_s):
                await future
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(future)


async def follow(
    api: ApiServer,
    namespace: str,
    kind: Kind,
    on_list: Callable[[list[Object]], None],
    on_event: Callable[[str, Object], None],
) -> None:
    """
    List a kind, then watch it, for ever; begin anew whenever the server is away or has forgotten.

    An outage loses nothing: the next watch, or list, brings what has changed.
    """
    version, told = "", ""
    selector = {"fieldSelector": kind.field_selector} if kind.field_selector else {}
    path = kind.path(namespace)
    while True:
        try:
            if not version:
                listed = await api.get(path, {**selector, "limit": _PAGE})
                items, version = listed["items"], listed["metadata"]["resourceVersion"]
                while more := listed["metadata"].get("continue"):
                    listed = await api.get(path, {**selector, "limit": _PAGE, "continue": more})
                    items += listed["items"]
                on_list(items)
            query = {
                **selector,
                "watch": "1",
                "resourceVersion": version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(_WATCH_S),
            }
            async for event in api.watch(path, query):
                item = event["object"]
                version, told = item["metadata"]["resourceVersion"], ""
                if event["type"] != "BOOKMARK":
                    on_event(event["type"], item)
        except ClusterError as error:
            if error.status not in _BUSY:
                version = ""
            if str(error) != told:  # once for each reason: this may go on for long
                told = str(error)
                logger.info("%s are not seen for now: %s", kind.plural, told)
            await asyncio.sleep(_PAUSE_S)


async def keep_seen(api: ApiServer, namespace: str, kind: Kind, seen: Seen) -> None:
    """Keep the objects of a kind up to date in ``seen``, for ever."""
    await follow(
        api,
        namespace,
        kind,
        lambda items: seen.replace(kind, items),
        lambda event_type, item: seen.apply(kind, event_type, item),
    )
