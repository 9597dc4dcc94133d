"""
An API server in memory, as far as the operator can tell: the edge that unit tests fake.

It keeps objects, versions, UIDs, finalizers and namespaces that go in two steps; it checks UIDs and
versions; it writes down every change for whoever watches; and it can fail or kill on any request.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from seatrial.api import names
from seatrial.api.errors import ConflictError, ForbiddenError, NotFoundError
from seatrial.cluster.errors import AlreadyExistsError, InvalidObjectError
from seatrial.cluster.kinds import Kind

Object = dict[str, Any]
Key = tuple[str, str, str]

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class OperatorKilledError(BaseException):
    """The operator's process ends here: no handler of its own may see it."""


@dataclass
class FakeCluster:
    """Stands in for ``seatrial.cluster.client.Client``."""

    now: datetime = START
    objects: dict[Key, Object] = field(default_factory=dict)
    events: list[tuple[str, Object]] = field(default_factory=list)  # ADDED, MODIFIED, DELETED
    writes: list[str] = field(default_factory=list)
    answers: list[Object] = field(default_factory=list)  # to JSON patches
    requests: int = 0
    before_write: Callable[[str], None] = lambda _: None
    after_write: Callable[[str], None] = lambda _: None
    namespaces_stick: bool = False
    longest_token_s: int = 7 * 24 * 3600
    _version: int = 100

    # What the operator calls -----------------------------------------------------------------

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        self.requests += 1
        body = self.objects.get((kind.name, namespace, name))
        return copy.deepcopy(body) if body else None

    async def items(
        self, kind: Kind, namespace: str = "", selector: str = ""
    ) -> AsyncIterator[Object]:
        for (kind_name, where, _), body in list(self.objects.items()):
            labels = body["metadata"].get("labels") or {}
            key, _, value = selector.partition("=")
            selected = not value or labels.get(key) == value  # of the selectors, these two
            if kind_name == kind.name and namespace in ("", where) and selected:
                yield copy.deepcopy(body)

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> Object:
        key = _key(kind, body)
        with _Write(self, f"create {kind.name} {key[2]}"):
            if key in self.objects:
                raise AlreadyExistsError(f"{key} already exists", status=409)
            return self._put(kind, key, copy.deepcopy(dict(body)))

    async def apply(
        self,
        kind: Kind,
        body: Mapping[str, Any],
        *,
        subresource: str = "",
        manager: str = names.FIELD_MANAGER,
    ) -> Object:
        key = _key(kind, body)
        what = f"apply {kind.name} {key[2]}" + (f"/{subresource}" if subresource else "")
        with _Write(self, what):
            current = self.objects.get(key)
            metadata = body["metadata"]
            if current is None:
                if "uid" in metadata:
                    raise ConflictError("uid mismatch: no object was found", status=409)
                return self._put(kind, key, copy.deepcopy(dict(body)))
            for precondition in ("uid", "resourceVersion"):
                wanted = metadata.get(precondition)
                if wanted is not None and wanted != current["metadata"][precondition]:
                    raise ConflictError(f"{precondition} of {key} has changed", status=409)
            changed = copy.deepcopy(current)
            if subresource == "status":
                changed["status"] = copy.deepcopy(body["status"])
            elif kind.name == names.KIND:
                changed["metadata"]["finalizers"] = list(metadata.get("finalizers", []))
            else:
                for part in ("data", "spec", "rules", "subjects"):
                    if part in body:
                        merged = {**changed.get(part, {}), **body[part]} if part == "data" else None
                        changed[part] = copy.deepcopy(merged or body[part])
            return self._change(key, current, changed)

    async def patch_if(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        metadata_only: bool = False,
        dry_run: bool = False,
    ) -> Object:
        key = (kind.name, namespace, name)
        with _Write(self, f"{'try' if dry_run else 'patch'} {kind.name} {name}"):
            current = self._existing(key)
            changed = copy.deepcopy(current)
            for each in operations:
                _operate(changed, each)
            item = changed if dry_run else self._change(key, current, changed)
        self.answers.append({"metadata": item["metadata"]} if metadata_only else item)
        return copy.deepcopy(self.answers[-1])

    async def merge(self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any]) -> Object:
        key = (kind.name, namespace, name)
        with _Write(self, f"merge {kind.name} {name}"):
            current = self._existing(key)
            for precondition in ("uid", "resourceVersion"):
                wanted = body.get("metadata", {}).get(precondition)
                if wanted is not None and wanted != current["metadata"][precondition]:
                    raise ConflictError(f"{precondition} of {key} has changed", status=409)
            changed = copy.deepcopy(current)
            merge(changed, body)
            return self._change(key, current, changed)

    def _existing(self, key: Key) -> Object:
        if key not in self.objects:
            raise NotFoundError(f"{key} is not there", status=404)
        return self.objects[key]

    async def replace(self, kind: Kind, body: Mapping[str, Any]) -> Object:
        key = _key(kind, body)
        with _Write(self, f"replace {kind.name} {key[2]}"):
            if key not in self.objects:
                raise NotFoundError(f"{key} is not there", status=404)
            current = self.objects[key]
            if body["metadata"]["resourceVersion"] != current["metadata"]["resourceVersion"]:
                raise ConflictError(f"{key} has changed", status=409)
            changed = {**copy.deepcopy(current), "spec": copy.deepcopy(body["spec"])}
            return self._change(key, current, changed)

    async def account_token(self, namespace: str, account: str, seconds: int) -> tuple[str, int]:
        if ("ServiceAccount", namespace, account) not in self.objects:
            raise NotFoundError(f"serviceaccount {namespace}/{account} not found", status=404)
        return "a-token", min(seconds, self.longest_token_s)

    async def delete(
        self, kind: Kind, namespace: str, name: str, uid: str, *, force: bool = False
    ) -> None:
        key = (kind.name, namespace, name)
        with _Write(self, f"delete {kind.name} {name}"):
            current = self.objects.get(key)
            if current is None or current["metadata"]["uid"] != uid:
                return
            self.remove(key)

    # What the world does ---------------------------------------------------------------------

    def remove(self, key: Key) -> None:
        """Delete an object as the API server does: at once, or when its finalizers are gone."""
        current = self.objects[key]
        waits = key[0] == "Namespace" or current["metadata"].get("finalizers")
        if waits:
            if "deletionTimestamp" not in current["metadata"]:
                changed = copy.deepcopy(current)
                changed["metadata"]["deletionTimestamp"] = self._stamp()
                self._change(key, current, changed)
            return
        self._drop(key)

    def collect_namespaces(self) -> None:
        """Do the namespace controller's work: empty and remove what is being deleted."""
        if self.namespaces_stick:
            return
        for key, body in list(self.objects.items()):
            if key[0] == "Namespace" and "deletionTimestamp" in body["metadata"]:
                for other in [each for each in self.objects if each[1] == key[2]]:
                    self._drop(other)
                self._drop(key)

    def edit(self, key: Key, **spec: Any) -> None:
        """Change the spec of a run as its user does."""
        current = self.objects[key]
        changed = copy.deepcopy(current)
        changed["spec"].update(spec)
        if changed["spec"] != current["spec"]:
            changed["metadata"]["generation"] += 1
        self._change(key, current, changed)

    def patch(self, key: Key, body: Object) -> None:
        """Change an object by a merge patch, as the conductor does."""
        current = self.objects[key]
        changed = copy.deepcopy(current)
        merge(changed, body)
        self._change(key, current, changed)

    def put_data(self, key: Key, data: dict[str, str]) -> None:
        """Write data of a ConfigMap as the conductor does; nothing if it is not there."""
        if key in self.objects:
            current = self.objects[key]
            self._change(key, current, {**copy.deepcopy(current), "data": data})

    def put_status(self, key: Key, status: Object) -> None:
        """Write the status of a pod as the kubelet does."""
        current = self.objects[key]
        self._change(key, current, {**copy.deepcopy(current), "status": status})

    def next_version(self) -> str:
        """Count on the version that all objects share."""
        self._version += 1
        return str(self._version)

    def in_namespace(self, namespace: str) -> list[Key]:
        """List what is in a namespace."""
        return sorted(key for key in self.objects if key[1] == namespace)

    def _put(self, kind: Kind, key: Key, body: Object) -> Object:
        if kind.namespaced and key[1].startswith("itr-"):
            owner = self.objects.get(("Namespace", "", key[1]))
            if owner is None:
                raise NotFoundError(f"namespace {key[1]} not found", status=404)
            if "deletionTimestamp" in owner["metadata"]:
                raise ForbiddenError(f"namespace {key[1]} is being terminated", status=403)
        self._version += 1
        body["metadata"].update(
            uid=body["metadata"].get("uid") or f"{self._version:08x}-0000-4000-8000-000000000000",
            resourceVersion=str(self._version),
            creationTimestamp=self._stamp(),
            generation=1,
        )
        self.objects[key] = body
        self.events.append(("ADDED", copy.deepcopy(body)))
        return copy.deepcopy(body)

    def _change(self, key: Key, current: Object, changed: Object) -> Object:
        if changed != current:  # what is the same is not written, and nobody is told
            self._version += 1
            changed["metadata"]["resourceVersion"] = str(self._version)
            self.objects[key] = changed
            self.events.append(("MODIFIED", copy.deepcopy(changed)))
            if "deletionTimestamp" in changed["metadata"] and key[0] != "Namespace":
                self.remove(key) if not changed["metadata"].get("finalizers") else None
        return copy.deepcopy(changed)

    def _drop(self, key: Key) -> None:
        body = self.objects.pop(key)
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self.events.append(("DELETED", copy.deepcopy(body)))

    def _stamp(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def pass_time(self, delay: timedelta) -> None:
        self.now += delay


class _Write:
    """Counts a write, and lets a test fail it before, or kill the operator after it."""

    def __init__(self, cluster: FakeCluster, what: str) -> None:
        self._cluster = cluster
        self._what = what

    def __enter__(self) -> None:
        self._cluster.requests += 1
        self._cluster.before_write(self._what)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self._cluster.writes.append(self._what)
            self._cluster.after_write(self._what)


def _operate(item: Object, operation: Mapping[str, Any]) -> None:
    """Change an object by one operation of a JSON patch."""
    if operation["op"] == "move":
        value = _parent(item, operation["from"]).pop(_last(operation["from"]))
        _parent(item, operation["path"], add=True)[_last(operation["path"])] = value
        return
    parent = _parent(item, operation["path"], add=operation["op"] == "add")
    last = _last(operation["path"])
    if operation["op"] == "test" and parent[last] != operation["value"]:
        raise InvalidObjectError(f"testing {operation['path']}: test failed", status=422)
    if operation["op"] == "remove":
        del parent[last]
    elif operation["op"] != "test":
        parent[last] = copy.deepcopy(operation["value"])


def _parent(item: Object, path: str, *, add: bool = False) -> Object:
    parent: Any = item
    for part in _parts(path)[:-1]:
        parent = parent.get(part) if isinstance(parent, dict) else None
    if parent is None or (_last(path) not in parent and not add):
        raise InvalidObjectError(f"{path} is missing", status=422)
    found: Object = parent
    return found


def _parts(path: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")][1:]


def _last(path: str) -> str:
    return _parts(path)[-1]


def merge(item: Any, patch: Mapping[str, Any]) -> None:
    """Change an object by a JSON merge patch."""
    for key, value in patch.items():
        if value is None:
            item.pop(key, None)
        elif isinstance(value, Mapping):
            merge(item.setdefault(key, {}), value)
        else:
            item[key] = copy.deepcopy(value)


def _key(kind: Kind, body: Mapping[str, Any]) -> Key:
    return (kind.name, body["metadata"].get("namespace", ""), body["metadata"]["name"])
