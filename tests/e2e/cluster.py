"""The cluster under test: objects as plain JSON, and waiting by watches, never by sleeping."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import yaml
from kubernetes import config
from seatrial.api.names import API_VERSION, LABEL_RUN_UID, PLURAL

Json = dict[str, Any]
RUNS = f"/apis/{API_VERSION}"
# What the tests create themselves; everything else is made by Seatrial.
PLURALS = {"IntegrationTestRun": PLURAL}
PATIENCE_S = 120.0  # with a busy machine
STARTING = (401, 429, 500, 503)  # answers of a server that is not quite there yet
OPERATOR_LABELS = "app.kubernetes.io/name=seatrial,app.kubernetes.io/component=operator"


class ApiError(Exception):
    """The API server said no."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        super().__init__(f"{status}: {text[:1000]}")


class Cluster:
    """One API server, as the administrator sees it."""

    def __init__(self, kubeconfig: str) -> None:
        configuration = config.new_client_from_config(kubeconfig).configuration
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
        self._http = httpx.Client(
            base_url=configuration.host,
            verify=context,
            headers={"Authorization": configuration.get_api_key_with_prefix("authorization") or ""},
            timeout=httpx.Timeout(330, connect=5),  # longer than any watch is quiet
            trust_env=False,
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def call(
        self, method: str, path: str, body: object = None, *, kind: str = "", **query: Any
    ) -> Any:
        """
        Send one request, again while nobody answers, and give its JSON, or its text if it is none.

        Args:
            method: ``GET``, ``POST``, ...
            path: With a leading slash.
            body: JSON.
            kind: Content type, if it is not plain JSON.
            query: Query parameters.

        Raises:
            ApiError: The answer was not 2xx.
            httpx.TransportError: There was none for ``PATIENCE_S``.
        """
        headers = {"Content-Type": kind or "application/json"} if body is not None else {}
        content = json.dumps(body) if body is not None else None
        give_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._http.request(
                    method, path, content=content, headers=headers, params=query
                )
            except httpx.TransportError:  # the tests stop it on purpose
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)
                continue
            if answer.status_code not in STARTING or time.monotonic() > give_up:
                break
            time.sleep(0.2)
        if not answer.is_success:
            raise ApiError(answer.status_code, answer.text)
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.json() if is_json else answer.text

    def get(self, path: str, **query: object) -> Json | None:
        """Give an object, or None if it is not there."""
        try:
            found: Json = self.call("GET", path, **query)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def items(self, path: str, **query: object) -> list[Json]:
        """Give the objects of a collection; none if the collection is not there."""
        found = self.get(path, **query)
        return found["items"] if found else []

    def create(self, namespace: str, obj: Json) -> Json:
        """Create a namespaced object."""
        created: Json = self.call("POST", collection(namespace, obj), obj, fieldValidation="Strict")
        return created

    def apply(self, namespace: str, obj: Json) -> Json:
        """Create or change a namespaced object, as ``kubectl apply --server-side`` does."""
        path = f"{collection(namespace, obj)}/{obj['metadata']['name']}"
        kind = "application/apply-patch+yaml"
        query = {"fieldManager": "e2e", "force": "true", "fieldValidation": "Strict"}
        applied: Json = self.call("PATCH", path, obj, kind=kind, **query)
        return applied

    def delete(self, path: str, **query: object) -> None:
        """Delete an object; one that has gone is fine."""
        try:
            self.call("DELETE", path, **query)
        except ApiError as error:
            if error.status != 404:
                raise

    def patch(self, path: str, change: Json) -> Json:
        """Merge a change into an object."""
        changed: Json = self.call("PATCH", path, change, kind="application/merge-patch+json")
        return changed

    def watch(self, path: str, timeout_s: float, **query: object) -> Iterator[list[Json]]:
        """
        Give the collection as it is, and again after each change, until time is out.

        A server that is away is asked again: the tests stop it on purpose.
        """
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                listed = self.call("GET", path, **query)
                objects = {item["metadata"]["uid"]: item for item in listed["items"]}
                yield list(objects.values())
                version = listed["metadata"]["resourceVersion"]
                for event in self.events(path, version, min(left, 30), **query):
                    uid = event["object"]["metadata"]["uid"]
                    if event["type"] == "DELETED":
                        objects.pop(uid, None)
                    else:
                        objects[uid] = event["object"]
                    yield list(objects.values())
                    if time.monotonic() > deadline:
                        return
            except (ApiError, httpx.TransportError):
                time.sleep(0.2)

    def events(self, path: str, version: str, timeout_s: float, **query: object) -> Iterator[Json]:
        """Give the changes of a collection since a resource version, until the server ends it."""
        follow = {
            **query,
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": max(1, int(timeout_s)),
        }
        with self._http.stream("GET", path, params=follow) as stream:
            for line in stream.iter_lines():
                event: Json = json.loads(line)
                if event["type"] == "ERROR":  # too old: list again
                    return
                yield event

    def wait(
        self,
        path: str,
        until: Callable[[list[Json]], bool],
        what: str,
        timeout_s: float,
        **query: object,
    ) -> list[Json]:
        """
        Watch a collection until it is as wanted.

        Raises:
            AssertionError: Time is out; the message has ``what`` and what there was.
        """
        seen: list[Json] = []
        for seen in self.watch(path, timeout_s, **query):
            if until(seen):
                return seen
        names = [item["metadata"]["name"] for item in seen]
        raise AssertionError(f"after {timeout_s:g} s not yet: {what}; there is {names}")

    def logs(self, namespace: str, pod: str, **query: object) -> str:
        """Give a pod's log, or why there is none."""
        try:
            text: str = self.call("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}/log", **query)
        except ApiError as error:
            return f"(no log: {error})"
        return str(text)

    def environments(self, uid: str | None = None) -> list[Json]:
        """Give the namespaces of runs, or of one run."""
        selector = f"{LABEL_RUN_UID}={uid}" if uid else LABEL_RUN_UID
        return self.items("/api/v1/namespaces", labelSelector=selector)

    def everything(self) -> set[str]:
        """
        Give every object of the cluster as ``group/plural/namespace/name``.

        Events and leases come and go by themselves and are left out, as are the metrics' views of
        other objects.
        """
        found = set()
        for group, plural, _ in self._listable():
            base = f"/apis/{group}" if "/" in group else f"/api/{group}"
            for item in self.items(f"{base}/{plural}"):
                meta = item["metadata"]
                found.add(f"{group}/{plural}/{meta.get('namespace', '')}/{meta['name']}")
        return found

    def _listable(self) -> Iterator[tuple[str, str, bool]]:
        groups = [
            g["preferredVersion"]["groupVersion"] for g in self.call("GET", "/apis")["groups"]
        ]
        for group in ["v1", *groups]:
            base = f"/apis/{group}" if "/" in group else f"/api/{group}"
            for resource in self.call("GET", base)["resources"]:
                plural = resource["name"]
                if "/" in plural or "list" not in resource["verbs"]:
                    continue
                if plural not in {"events", "leases", "componentstatuses"}:
                    yield group, plural, resource["namespaced"]


@dataclass(frozen=True)
class Run:
    """An IntegrationTestRun in the cluster."""

    cluster: Cluster
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Where it is in the API."""
        return f"{RUNS}/namespaces/{self.namespace}/{PLURAL}/{self.name}"

    def get(self) -> Json:
        """Give it as it is now; it must be there."""
        found = self.cluster.get(self.path)
        assert found is not None, f"run {self.name} is gone"
        return found

    @property
    def status(self) -> Json:
        """Its status, empty if there is none yet."""
        status: Json = self.get().get("status", {})
        return status

    @property
    def environment(self) -> str:
        """Its own namespace, as status has it."""
        namespace: str = self.status["namespace"]
        return namespace

    def wait(self, until: Callable[[Json], bool], what: str, timeout_s: float = 240) -> Json:
        """Wait until the status is as wanted, and give it."""

        def holds(items: list[Json]) -> bool:
            return any(until(item.get("status", {})) for item in items)

        items = self.cluster.wait(
            f"{RUNS}/namespaces/{self.namespace}/{PLURAL}",
            holds,
            f"run {self.name}: {what}",
            timeout_s,
            fieldSelector=f"metadata.name={self.name}",
        )
        status: Json = items[0].get("status", {})
        return status

    def finished(self, timeout_s: float = 420) -> Json:
        """Wait for the verdict, and give the status."""
        return self.wait(
            lambda status: condition(status, "Finished") == "True", "Finished", timeout_s
        )

    def in_phase(self, phase: str, timeout_s: float = 240) -> Json:
        """Wait for a phase, and give the status."""
        return self.wait(lambda status: status.get("phase") == phase, f"phase {phase}", timeout_s)

    def change(self, **spec: object) -> None:
        """Change mutable fields of the spec."""
        self.cluster.patch(self.path, {"spec": spec})

    def delete(self) -> None:
        """Ask for its deletion."""
        self.cluster.delete(self.path)

    def gone(self, timeout_s: float = 300) -> None:
        """Wait until it and its namespace are gone."""
        self.cluster.wait(
            f"{RUNS}/namespaces/{self.namespace}/{PLURAL}",
            lambda items: not items,
            f"run {self.name} is gone",
            timeout_s,
            fieldSelector=f"metadata.name={self.name}",
        )


def condition(status: Json, kind: str) -> str | None:
    """Give the status of a condition: True, False, Unknown, or None if it is not there."""
    found = [each["status"] for each in status.get("conditions", []) if each["type"] == kind]
    return found[0] if found else None


def reason(status: Json, kind: str) -> str | None:
    """Give the reason of a condition, or None if it is not there."""
    found = [each["reason"] for each in status.get("conditions", []) if each["type"] == kind]
    return found[0] if found else None


def collection(namespace: str, obj: Json) -> str:
    """Give the path of the collection an object belongs to."""
    kind, version = obj["kind"], obj["apiVersion"]
    base = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = PLURALS.get(kind, kind.lower() + "s")
    return f"{base}/namespaces/{quote(namespace)}/{plural}"


def documents(text: str) -> list[Json]:
    """Read the objects of a YAML file."""
    return [document for document in yaml.safe_load_all(text) if document]
