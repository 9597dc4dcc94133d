"""An API server, as much of it as steps use: objects by path, patches, logs, and who may what."""

from __future__ import annotations

import copy
import json
from typing import Any

from seatrial.api import names
from seatrial_runner.scenario.cluster import Access, Api, NamespaceCluster

from tests.support.loopback import Answer, Asked, Loopback
from tests.support.scenarios import FakeTime, a_world, run_steps

Json = dict[str, Any]
NAMESPACE = "itr-checkout-0a1b2c3d"
PLURALS = {
    "Pod": "/api/v1/{}/pods",
    "Service": "/api/v1/{}/services",
    "ConfigMap": "/api/v1/{}/configmaps",
    "Secret": "/api/v1/{}/secrets",
    "Deployment": "/apis/apps/v1/{}/deployments",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/{}/endpointslices",
}


class PlayedCluster(Loopback):
    """
    Objects of one namespace.

    A patch is merged as JSON, and lists of things with names by name, which is what the API server
    does with containers. ``forbidden`` holds requests that RBAC refuses, as ``METHOD plural``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, Json] = {}
        self.logs: dict[tuple[str, str, bool], str] = {}
        self.forbidden: set[str] = set()
        self.after_get: list[Any] = []  # called one by one, after each GET of an object

    @property
    def cluster(self) -> NamespaceCluster:
        return self.cluster_of(NamespaceCluster)

    def cluster_of(self, kind: type[NamespaceCluster]) -> NamespaceCluster:
        access = Access(self.url, None, lambda: {"Authorization": "Bearer t0ken"})
        labels = {names.LABEL_RUN_UID: "0a1b2c3d"}
        return kind(Api(access), NAMESPACE, labels)

    def have(self, item: Json) -> Json:
        metadata = item.setdefault("metadata", {})
        metadata.setdefault("resourceVersion", "1")
        metadata.setdefault("uid", f"uid-{metadata['name']}")
        self.objects[f"{collection(item['kind'])}/{metadata['name']}"] = item
        return item

    def object(self, kind: str, name: str) -> Json:
        return self.objects[f"{collection(kind)}/{name}"]

    def respond(self, asked: Asked) -> Answer:
        plural = asked.path.split("/namespaces/")[-1].split("/")[1]
        if f"{asked.method} {plural}" in self.forbidden:
            text = f'{plural} is forbidden: User "x" cannot {asked.method.lower()} resource'
            return Answer(403, json={"message": text})
        if asked.path.endswith("/log"):
            return self._log(asked)
        if asked.method == "GET" and asked.path not in self.objects:
            if asked.path.rsplit("/", 1)[-1] != plural:
                return Answer(404, json={"message": "not found"})
            return Answer(json={"metadata": {}, "items": self._selected(asked)})
        return getattr(self, f"_{asked.method.lower()}")(asked)

    def _get(self, asked: Asked) -> Answer:
        answer = Answer(json=copy.deepcopy(self.objects[asked.path]))
        if self.after_get:
            self.after_get.pop(0)()
        return answer

    def _selected(self, asked: Asked) -> list[Json]:
        selector = asked.query.get("labelSelector", [""])[0]
        wanted = dict(each.split("=") for each in selector.split(",") if each)
        found = []
        for path, item in self.objects.items():
            labels = item["metadata"].get("labels") or {}
            if path.rpartition("/")[0] == asked.path and wanted.items() <= labels.items():
                bare = copy.deepcopy(item)
                del bare["kind"]
                found.append(bare)
        return found

    def _patch(self, asked: Asked) -> Answer:
        before = self.objects.get(asked.path)
        body = asked.json()
        version = (body.get("metadata") or {}).get("resourceVersion")
        if before is not None and version not in (None, before["metadata"]["resourceVersion"]):
            return Answer(409, json={"message": "the object has been modified"})
        after = merged(before or {}, body)
        if "dryRun" in asked.query:
            return Answer(json=after)
        metadata = after["metadata"]
        metadata["resourceVersion"] = str(int(metadata.get("resourceVersion") or 0) + 1)
        self.have(after)
        return Answer(json=after)

    def _delete(self, asked: Asked) -> Answer:
        self.objects.pop(asked.path, None)
        return Answer(json={"status": "Success"})

    def _log(self, asked: Asked) -> Answer:
        pod = asked.path.split("/")[-2]
        key = (pod, asked.query["container"][0], "previous" in asked.query)
        if key not in self.logs:
            return Answer(400, json={"message": "previous terminated container not found"})
        return Answer(text=self.logs[key])


def run(played: PlayedCluster, *steps: dict[str, Any], time: FakeTime | None = None) -> Any:
    world = a_world(time=time or FakeTime(), cluster=lambda: played.cluster)
    return run_steps(list(steps), world)


def k8s(**fields: Any) -> dict[str, Any]:
    return {"kubernetes": fields}


def collection(kind: str) -> str:
    return PLURALS[kind].format(f"namespaces/{NAMESPACE}")


def merged(before: Any, patch: Any) -> Any:
    if isinstance(patch, list) and all(isinstance(each, dict) for each in patch):
        before = before if isinstance(before, list) else []
        by_name = {each["name"]: each for each in before}
        for each in patch:
            by_name[each["name"]] = merged(by_name.get(each["name"], {}), each)
        return list(by_name.values())
    if not isinstance(before, dict) or not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(before)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key, {}), value)
    return result


def of_the_system(service: str = "orders", **labels: str) -> Json:
    own = {names.LABEL_COMPONENT: names.COMPONENT_SERVICE, names.LABEL_SERVICE: service}
    return {**own, **labels}


def a_deployment(name: str = "orders", replicas: int = 1, **status: int) -> Json:
    labels = of_the_system(name)
    container = {"name": "main", "image": "shop:1", "env": [{"name": "A", "value": "1"}]}
    settled = dict.fromkeys(("updatedReplicas", "availableReplicas"), replicas)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": dict(labels), "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {names.LABEL_SERVICE: name}},
            "template": {
                "metadata": {"labels": dict(labels), "creationTimestamp": None},
                "spec": {
                    "serviceAccountName": "seatrial-workload",
                    "automountServiceAccountToken": False,
                    "containers": [container],
                },
            },
        },
        "status": {"observedGeneration": 1, "replicas": replicas, **settled, **status},
    }


def a_pod(name: str = "orders-0", service: str = "orders", **more: Any) -> Json:
    ready = {"type": "Ready", "status": "True"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": more.pop("labels", of_the_system(service))},
        "spec": {"containers": [{"name": "main"}, {"name": "sidecar"}]},
        "status": {"phase": "Running", "conditions": [ready], **more},
    }


def a_service(name: str = "orders", **selector: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": of_the_system(name)},
        "spec": {
            "clusterIP": "10.0.0.1",
            "clusterIPs": ["10.0.0.1"],
            "selector": selector or {names.LABEL_SERVICE: name},
            "ports": [{"name": "http", "port": 8080}],
        },
    }


def written(asked: list[Asked]) -> list[str]:
    """Say what was written, without dry runs."""
    return [
        f"{each.method} {json.dumps(each.json()) if each.body else ''}"
        for each in asked
        if each.method != "GET" and "dryRun" not in each.query
    ]
