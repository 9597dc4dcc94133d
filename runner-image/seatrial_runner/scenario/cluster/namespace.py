"""What steps may do in the run's namespace, and what they may not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from seatrial.api import names
from seatrial.api.confinement import RESERVED_PREFIX, confine, is_own_label, problems
from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.step_objects import BY_KIND, ObjectKind
from seatrial.api.undoing import is_cut_key

from seatrial_runner.scenario.cluster.command import execute
from seatrial_runner.scenario.cluster.requests import Api, ApiError
from seatrial_runner.scenario.world import ClusterStepError, Executed, LogStream

Json = dict[str, Any]

STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
MANAGER = "seatrial-scenario"
MAX_OBJECTS = 500
MAX_LOG = 4 * 1024 * 1024
_CONFLICTS = 5
_OWN = f"{names.GROUP}/"
_ACCOUNT = ("serviceAccountName", "serviceAccount", "automountServiceAccountToken")
_PLACE = re.compile(r"\[\d+\]")


class NamespaceCluster:
    """
    The objects of the system under test, in one namespace.

    Everything else in it is Seatrial's own: what the API server's rights cannot tell apart by name
    (a pod to run a command in, a reference to a Secret) is told apart here, by the label that the
    operator gives to whatever belongs to the system under test.

    Args:
        api: With rights in this namespace.
        namespace: Of a run.
        labels: Of everything that the run makes; an object that a step makes gets them too.
    """

    def __init__(self, api: Api, namespace: str, labels: Mapping[str, str]) -> None:
        self._api = api
        self._namespace = namespace
        self._labels = dict(labels)

    def get(self, kind: ObjectKind, name: str, *, seconds: float) -> Json | None:
        """Read an object; None if there is none that a step may see."""
        item = self._there(kind, name, seconds)
        return shown(item) if item is not None and is_of_the_system(item) else None

    def find(self, kind: ObjectKind, labels: Mapping[str, str], *, seconds: float) -> list[Json]:
        """Read all objects of a kind with these labels, by name."""
        wanted = {**labels, names.LABEL_COMPONENT: names.COMPONENT_SERVICE}
        selector = ",".join(f"{key}={value}" for key, value in wanted.items())
        query = {"labelSelector": selector, "limit": str(MAX_OBJECTS)}
        answer = self._api.json("GET", self._path(kind), query=query, seconds=seconds)
        if (answer.get("metadata") or {}).get("continue"):
            text = f"there are more than {MAX_OBJECTS} {kind.plural}: choose some by labels"
            raise ClusterStepError(text, permanent=True)
        # The API server leaves kind and apiVersion out of the items of a list.
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        found = answer.get("items")
        if not isinstance(found, list) or not all(map(_is_object, found)):
            raise self._api.no_answer_of_kubernetes("GET", self._path(kind), json.dumps(answer))
        items = [shown({**head, **item}) for item in found]
        return sorted(items, key=lambda item: str(item["metadata"]["name"]))

    def patch(self, kind: ObjectKind, name: str, patch: Json, *, seconds: float) -> Json:
        """Change an object, if what comes of it may be in a run."""
        for attempt in range(_CONFLICTS):
            before = self._existing(kind, name, seconds)
            try:
                return self._change(kind, before, patch, STRATEGIC, seconds)
            except ApiError as error:
                if error.status != 409 or attempt == _CONFLICTS - 1:
                    raise
        raise AssertionError("unreachable")

    def scale(self, kind: ObjectKind, name: str, replicas: int, *, seconds: float) -> Json:
        """
        Change how many pods it shall have.

        Not by its subresource: the conductor may patch workloads, as faults do, and needs no more.
        """
        return self.patch(kind, name, {"spec": {"replicas": replicas}}, seconds=seconds)

    def apply(self, body: Json, service: str, *, seconds: float) -> Json:
        """Make an object, or bring it to this state, held as manifests of a run are."""
        kind = BY_KIND.get(str(body.get("kind")))
        try:
            [held] = confine(
                [body],
                service=service or "-",
                namespace=self._namespace,
                labels=self._labels,
                field="apply",
            )
        except InvalidSpecError as error:
            raise ClusterStepError(str(error), permanent=True) from error
        if kind is None or "apply" not in kind.verbs:
            text = f"apply cannot be done with {str(body.get('kind'))[:60]!r}"
            raise ClusterStepError(text, permanent=True)
        if not service:
            _take_out_service(held)
        name = str(held["metadata"]["name"])
        if self._there(kind, name, seconds) is not None:
            there = self._existing(kind, name, seconds)
            return self._change(kind, there, held, APPLY, seconds)
        return shown(self._send(kind, name, held, APPLY, seconds))

    def delete(self, kind: ObjectKind, name: str, *, seconds: float) -> None:
        """Delete an object, the very one that was looked at."""
        item = self._there(kind, name, seconds)
        if item is None:
            return
        self._existing(kind, name, seconds)
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": item["metadata"]["uid"]},
        }
        try:
            self._api.json("DELETE", self._path(kind, name), body=body, seconds=seconds)
        except ApiError as error:
            if error.status != 404:
                raise

    def log(
        self, pod: Json, container: str, since: str | None, *, previous: bool, seconds: float
    ) -> str:
        """Read a log, each line behind its time; empty if none is kept."""
        name = self._own_pod(pod)
        query = {"container": container, "timestamps": "true", "limitBytes": str(MAX_LOG)}
        if since is not None:
            query["sinceTime"] = since
        if previous:
            query["previous"] = "true"
        path = f"{self._path(BY_KIND['Pod'], name)}/log"
        try:
            text = self._api.text(path, query=query, seconds=seconds)
        except ApiError as error:
            # A container that has not begun, or has no previous attempt, has written nothing.
            if error.status in (400, 404):
                return ""
            raise
        if len(text.encode()) >= MAX_LOG:
            large = f"{name}/{container} has written more than {MAX_LOG // 2**20} MiB meanwhile"
            raise ClusterStepError(f"{large}, the most a scenario reads", permanent=True)
        return text

    def follow(self, pod: Json, container: str, since: str) -> LogStream:
        """Read a log while it is written, until its container ends."""
        path = f"{self._path(BY_KIND['Pod'], self._own_pod(pod))}/log"
        query = {"container": container, "timestamps": "true", "follow": "true"}
        return self._api.stream(path, query={**query, "sinceTime": since})

    def execute(
        self, pod: Json, container: str, command: list[str], stdin: str, *, seconds: float
    ) -> Executed:
        """Run a command in a container of the system under test."""
        name = self._own_pod(pod)
        if container.startswith(names.AGENT_PREFIX):
            raise ClusterStepError(f"container {container} is Seatrial's own", permanent=True)
        path = f"{self._path(BY_KIND['Pod'], name)}/exec"
        return execute(self._api.access, path, container, command, stdin, seconds)

    def _path(self, kind: ObjectKind, name: str = "") -> str:
        path = f"{kind.base}/namespaces/{self._namespace}/{kind.plural}"
        if not name:
            return path
        # NB: a name comes from a template, and a path from the name: it must not lead elsewhere.
        if "/" in name or name in (".", "..") or len(name) > 253:
            raise ClusterStepError(f"{name[:80]!r} is no name of an object", permanent=True)
        return f"{path}/{name}"

    def _change(
        self, kind: ObjectKind, before: Json, change: Json, media: str, seconds: float
    ) -> Json:
        """
        Make a change that the object survives as one that may be in a run.

        The API server works out what comes of it in a dry run; then it is made of that version.
        Both of the version that was read: a fault that marks it meanwhile is no change of ours.
        """
        name = str(before["metadata"]["name"])
        version = {"resourceVersion": before["metadata"]["resourceVersion"]}
        held = {**change, "metadata": {**_map(change.get("metadata")), **version}}
        judge_change(before, self._send(kind, name, held, media, seconds, dryRun="All"))
        return shown(self._send(kind, name, held, media, seconds))

    def _send(
        self, kind: ObjectKind, name: str, body: Json, media: str, seconds: float, **query: str
    ) -> Json:
        query = {"fieldManager": MANAGER, **query}
        if media == APPLY:
            query["force"] = "true"
        return self._api.json(
            "PATCH",
            self._path(kind, name),
            body=body,
            content_type=media,
            query=query,
            seconds=seconds,
        )

    def _there(self, kind: ObjectKind, name: str, seconds: float) -> Json | None:
        path = self._path(kind, name)
        try:
            item = self._api.json("GET", path, seconds=seconds)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        if not _is_object(item):
            raise self._api.no_answer_of_kubernetes("GET", path, json.dumps(item))
        return item

    def _existing(self, kind: ObjectKind, name: str, seconds: float) -> Json:
        """
        Read an object that is to be changed.

        Raises:
            ClusterStepError: There is none that a step may change.
        """
        item = self._there(kind, name, seconds)
        if item is None:
            raise ClusterStepError(f"there is no {kind.word} {name!r}")
        if not is_of_the_system(item) or name.startswith(RESERVED_PREFIX):
            text = f"{kind.word} {name!r} is not of the system under test: it stays as it is"
            raise ClusterStepError(text, permanent=True)
        return item

    def _own_pod(self, pod: Json) -> str:
        name = str(pod["metadata"]["name"])
        if not is_of_the_system(pod):
            text = f"pod {name!r} is not of the system under test"
            raise ClusterStepError(text, permanent=True)
        return name


def _is_object(item: Any) -> bool:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)


def is_of_the_system(item: Mapping[str, Any]) -> bool:
    """Tell whether an object belongs to the system under test, and not to Seatrial."""
    return _labels(item).get(names.LABEL_COMPONENT) == names.COMPONENT_SERVICE


def shown(item: Json) -> Json:
    """Leave out what nobody looks at and what is long, and the containers of agents."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "managedFields"}
    spec = _map(item.get("spec"))
    if "ephemeralContainers" not in spec:
        return {**item, "metadata": metadata}
    # NB: with the token of its agent, a step could order there what the cluster does not allow.
    spec = {key: value for key, value in spec.items() if key != "ephemeralContainers"}
    return {**item, "metadata": metadata, "spec": spec}


def judge_change(before: Json, after: Json) -> None:
    """
    Refuse a change after which the object may not be in a run.

    Raises:
        ClusterStepError: It says what of the change may not be.
    """
    kind = str(before.get("kind"))
    if after["metadata"]["name"] != before["metadata"]["name"]:
        raise ClusterStepError("patch: a name cannot be changed", permanent=True)
    for path, old, new in _own_labels(before, after):
        if old != new:
            text = f"patch: {path} of {_OWN} are Seatrial's own and stay as they are"
            raise ClusterStepError(text, permanent=True)
    for key in _ACCOUNT:
        if _template_spec(before).get(key) != _template_spec(after).get(key):
            text = f"patch: {key} may not be changed: pods of a run have an account without rights"
            raise ClusterStepError(text, permanent=True)
    for key in ("finalizers", "ownerReferences"):
        if _metadata(before).get(key) != _metadata(after).get(key):
            raise ClusterStepError(f"patch: metadata.{key} may not be changed", permanent=True)
    if kind == "Service":
        _judge_selector(before, after)
    # Without places in lists: what was there before may have moved.
    known = {_PLACE.sub("[]", str(each)) for each in _problems(before)}
    new_ones = [each for each in _problems(after) if _PLACE.sub("[]", str(each)) not in known]
    if new_ones:
        raise ClusterStepError(str(InvalidSpecError(new_ones)), permanent=True)


def _judge_selector(before: Json, after: Json) -> None:
    """Keep a Service on the system under test: it must not lead to the conductor or the gateway."""
    old, new = (_map(_map(each.get("spec")).get("selector")) for each in (before, after))
    if old == new:
        return
    name = before["metadata"]["name"]
    were, are = ({k: v for k, v in each.items() if is_cut_key(k)} for each in (old, new))
    if were != are:
        [label, *_] = sorted(were.items() ^ are.items())
        text = f"patch: label {label[0]} of the selector of service {name} is that of a fault"
        remedy = "declare a fault noEndpoints to cut a service off, and stop it with a step fault"
        raise ClusterStepError(f"{text}, and stays as it is: {remedy}", permanent=True)
    if old.get(names.LABEL_COMPONENT) == names.COMPONENT_GATEWAY:
        text = (
            f"patch: the gateway carries service {name}, because a fault targets it: its selector"
        )
        raise ClusterStepError(f"{text} stays as it is", permanent=True)
    held = new.get(names.LABEL_COMPONENT) == names.COMPONENT_SERVICE
    if new and not held and names.LABEL_SERVICE not in new:
        text = (
            f"patch: a selector must hold {names.LABEL_SERVICE}, or {names.LABEL_COMPONENT}:"
            f" {names.COMPONENT_SERVICE}, so that it leads to the system under test alone"
        )
        raise ClusterStepError(text, permanent=True)


def _problems(item: Json) -> list[SpecError]:
    """Find what may not be in a run, of what users write."""
    metadata = {"name": item["metadata"]["name"]}
    spec = dict(_map(item.get("spec")))
    if item.get("kind") == "Service":
        # Given by the API server, and immutable or of no use to anyone else.
        spec = {key: value for key, value in spec.items() if key not in ("clusterIP", "clusterIPs")}
    bare = {**item, "metadata": metadata, "spec": _without_own_labels(spec)}
    return problems([bare], "patch")


def _without_own_labels(spec: Json) -> Json:
    template = _map(spec.get("template"))
    if not template:
        return spec
    metadata = {
        key: {k: v for k, v in _map(value).items() if not is_own_label(k)}
        if key in ("labels", "annotations")
        else value
        for key, value in _map(template.get("metadata")).items()
        if key != "creationTimestamp"
    }
    return {**spec, "template": {**template, "metadata": metadata}}


def _own_labels(before: Json, after: Json) -> Iterator[tuple[str, Json, Json]]:
    for path, part in (("labels", _metadata), ("labels of pods", _template_metadata)):
        for key in ("labels", "annotations"):
            old, new = (
                {k: v for k, v in _map(part(each).get(key)).items() if is_own_label(k)}
                for each in (before, after)
            )
            yield (path if key == "labels" else path.replace("labels", key)), old, new


def _metadata(item: Json) -> Json:
    return _map(item.get("metadata"))


def _template_metadata(item: Json) -> Json:
    return _map(_map(_map(item.get("spec")).get("template")).get("metadata"))


def _template_spec(item: Json) -> Json:
    return _map(_map(_map(item.get("spec")).get("template")).get("spec"))


def _take_out_service(item: Json) -> None:
    for metadata in (_metadata(item), _template_metadata(item)):
        _map(metadata.get("labels")).pop(names.LABEL_SERVICE, None)


def _labels(item: Mapping[str, Any]) -> Json:
    return _map(_map(item.get("metadata")).get("labels"))


def _map(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
