"""A real API server, as a test sees it: JSON, and waiting for what is to come."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from seatrial.api import names
from seatrial.cluster.nested import read_json

Object = dict[str, Any]
RUNS = f"/apis/{names.API_VERSION}"


class KubeApi:
    """Requests with an administrator's rights."""

    def __init__(self, kubeconfig: Path) -> None:
        configuration = client.Configuration()
        config.load_kube_config(str(kubeconfig), client_configuration=configuration)
        self.url: str = configuration.host
        self.ca: str = configuration.ssl_ca_cert
        self._client = client.ApiClient(configuration)
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager

    def send(
        self,
        method: str,
        path: str,
        body: Object | str | None = None,
        *,
        patch: str = "merge-patch",
    ) -> Object:
        """Send JSON, or a text of it; raises AssertionError with the answer if it is refused."""
        content = f"application/{patch}+json" if method == "PATCH" else "application/json"
        data = json.dumps(body) if isinstance(body, dict) else body
        answer = self._pool.request(
            method, self.url + path, body=data, headers={"Content-Type": content}
        )
        document: Object = read_json(answer.data)
        assert answer.status < 300, f"{method} {path}: {document.get('message', document)}"
        return document

    def patch(self, path: str, change: Object) -> Object:
        """Merge a change into an object."""
        return self.send("PATCH", path, change)

    def get(self, path: str) -> Object | None:
        """Read an object; None if it is not there, or the API server is away."""
        try:
            answer = self._pool.request("GET", self.url + path, retries=False)
        except urllib3.exceptions.HTTPError:
            return None
        return read_json(answer.data) if answer.status == 200 else None

    def items(self, path: str, selector: str = "") -> list[Object]:
        """List objects; empty if the API server is away."""
        query = f"?labelSelector={selector}" if selector else ""
        return list((self.get(path + query) or {}).get("items", []))

    # Runs --------------------------------------------------------------------------------------

    def namespace(self, name: str) -> None:
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.send("POST", "/api/v1/namespaces", body)

    def apply(self, run: Object) -> Object:
        """Make a run from a builder's, without what only an API server can set."""
        metadata = {key: run["metadata"][key] for key in ("name", "namespace")}
        body = {**run, "metadata": metadata}
        return self.send("POST", f"{RUNS}/namespaces/{metadata['namespace']}/{names.PLURAL}", body)

    def run(self, namespace: str, name: str) -> Object | None:
        return self.get(f"{RUNS}/namespaces/{namespace}/{names.PLURAL}/{name}")

    def edit_run(self, namespace: str, name: str, **spec: Any) -> None:
        path = f"{RUNS}/namespaces/{namespace}/{names.PLURAL}/{name}"
        self.send("PATCH", path, {"spec": spec})

    def delete_run(self, namespace: str, name: str) -> None:
        self.send("DELETE", f"{RUNS}/namespaces/{namespace}/{names.PLURAL}/{name}")

    def wait_for(
        self,
        namespace: str,
        name: str,
        condition: Callable[[Object], bool],
        within: float = 120,
    ) -> Object:
        """Wait until something holds of a run's status."""
        deadline = time.monotonic() + within
        status: Object = {}
        while time.monotonic() < deadline:
            body = self.run(namespace, name)
            status = (body or {}).get("status") or {}
            if body is not None and condition(status):
                return status
            time.sleep(0.03)
        raise AssertionError(f"{namespace}/{name} after {within} s: {json.dumps(status, indent=1)}")

    def wait_until(self, condition: Callable[[], bool], what: str, within: float = 120) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + within
        while not condition():
            assert time.monotonic() < deadline, f"not within {within} s: {what}"
            time.sleep(0.05)


class PlayedConductors(dict[tuple[str, str, str], Object]):
    """Real ConfigMaps and pods in the shape that the unit tests' fake conductor works on."""

    def __init__(self, api: KubeApi) -> None:
        super().__init__()
        self._api = api

    def path(self, key: tuple[str, str, str]) -> str:
        kind, namespace, name = key
        plural = {"Pod": "pods", "ConfigMap": "configmaps"}.get(kind)
        if plural is None:
            return f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s/{name}"
        return f"/api/v1/namespaces/{namespace}/{plural}/{name}"

    def get(self, key, default=None):
        return self._api.get(self.path(key)) or default

    def __contains__(self, key: object) -> bool:
        return self._api.get(self.path(key)) is not None
