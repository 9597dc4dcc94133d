"""Steps that look into the namespace, on a real API server, with the rights the chart gives."""

from __future__ import annotations

import itertools
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from seatrial.api import names
from seatrial.api.names import EXEC_ROLE, READ_ROLE, STEP_ROLES, WRITE_ROLE
from seatrial_runner.scenario.cluster import Access, Api, NamespaceCluster
from seatrial_runner.scenario.cluster import requests as cluster_requests

from tests.support.kube_api import KubeApi
from tests.support.played_cluster import a_deployment, a_service, of_the_system
from tests.support.scenarios import a_world, run_steps
from tests.support.told import REFUSES, TOLD, agrees, told

Json = dict[str, Any]
_numbers = itertools.count(1)
RBAC = "/apis/rbac.authorization.k8s.io/v1"


class Place:
    """The namespace of a run, a conductor's token in it, and a kubelet that has every pod ready."""

    def __init__(self, api: KubeApi, *roles: str) -> None:
        self.api = api
        self.name = f"itr-steps-{next(_numbers)}"
        self.base = f"/api/v1/namespaces/{self.name}"
        api.namespace(self.name)
        for account in (names.CONDUCTOR, names.WORKLOAD_ACCOUNT):
            body = {"metadata": {"name": account}}
            api.send("POST", f"{self.base}/serviceaccounts", body)
        for role in (names.CONDUCTOR, *roles):
            self._bind(role)
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"{self.base}/serviceaccounts/{names.CONDUCTOR}/token"
        token = api.send("POST", path, request)["status"]["token"]
        tls = ssl.create_default_context(cafile=api.ca)
        self.requests = Api(Access(api.url, tls, lambda: {"Authorization": f"Bearer {token}"}))
        self.cluster = NamespaceCluster(self.requests, self.name, {names.LABEL_RUN_UID: "0a1b"})
        self._stopped = threading.Event()
        self._kubelet = threading.Thread(target=self._have_pods_ready, daemon=True)
        self._kubelet.start()

    def _bind(self, role: str) -> None:
        account = {"kind": "ServiceAccount", "name": names.CONDUCTOR, "namespace": self.name}
        group = "rbac.authorization.k8s.io"
        body = {
            "metadata": {"name": role},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [account],
        }
        self.api.send("POST", f"{RBAC}/namespaces/{self.name}/rolebindings", body)

    def have(self, item: Json) -> None:
        kind = item["kind"]
        group = "/apis/apps/v1" if kind == "Deployment" else "/api/v1"
        plural = f"{kind.lower()}s"
        item.pop("status", None)
        item["metadata"].pop("generation", None)
        for given in ("clusterIP", "clusterIPs"):
            item.get("spec", {}).pop(given, None)
        self.api.send("POST", f"{group}/namespaces/{self.name}/{plural}", item)

    def get(self, path: str) -> Json:
        found = self.api.get(path)
        assert found is not None, path
        return found

    def deployment(self, name: str) -> Json:
        return self.get(f"/apis/apps/v1/namespaces/{self.name}/deployments/{name}")

    def run(self, *steps: Json) -> Any:
        return run_steps(list(steps), a_world(cluster=lambda: self.cluster))

    def close(self) -> None:
        self._stopped.set()
        self._kubelet.join()
        self.api.send("DELETE", f"/api/v1/namespaces/{self.name}")

    def _have_pods_ready(self) -> None:
        while not self._stopped.wait(0.05):
            for pod in self.api.items(f"{self.base}/pods"):
                if pod["status"].get("phase") == "Pending":
                    conditions = [{"type": "Ready", "status": "True"}]
                    status = {"phase": "Running", "conditions": conditions}
                    path = f"{self.base}/pods/{pod['metadata']['name']}"
                    try:
                        self.api.send("PATCH", f"{path}/status", {"status": status})
                    except AssertionError:
                        continue  # it went meanwhile
                elif pod["metadata"].get("deletionTimestamp"):
                    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
                    with suppress(AssertionError):  # it went meanwhile
                        self.api.send(
                            "DELETE", f"{self.base}/pods/{pod['metadata']['name']}", options
                        )


@pytest.fixture
def place(api: KubeApi) -> Iterator[Callable[..., Place]]:
    places: list[Place] = []

    def make(*roles: str) -> Place:
        places.append(Place(api, *roles))
        return places[-1]

    yield make
    for each in places:
        each.close()


@pytest.fixture(autouse=True)
def rights_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_requests, "_RIGHTS_PATIENCE_S", 3.0)


def k8s(expect: str = "", **fields: Any) -> Json:
    return {"kubernetes": fields, "expect": [expect] if expect else []}


def test_a_workload_is_looked_at_scaled_restarted_and_given_an_image(
    place: Callable[..., Place],
) -> None:
    there = place()
    there.have(a_deployment())
    steps = [
        k8s(wait="deployment/orders", within="30s"),
        k8s(
            "object.status.readyReplicas == 3", scale="deployment/orders", replicas=3, within="30s"
        ),
        k8s("size(objects) == 3 && objects.all(o, o.kind == 'Pod')", get="pods", service="orders"),
        k8s(setImage="deployment/orders", image="registry.example/orders:2", within="30s"),
        k8s(
            "objects.all(o, o.spec.containers[0].image == 'registry.example/orders:2')",
            wait="pods",
            service="orders",
            until="object.spec.containers[0].image.endsWith(':2')",
        ),
        k8s(restart="deployment/orders", within="30s"),
        k8s("size(objects) >= 3", get="rs", service="orders"),
    ]
    result = there.run(*steps)
    assert (result.outcome, result.message) == ("passed", "")
    [container] = there.deployment("orders")["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "A", "value": "1"}]


def test_traffic_moves_from_blue_to_green(place: Callable[..., Place]) -> None:
    there = place(READ_ROLE, WRITE_ROLE)
    there.have(a_service("web", **{names.LABEL_SERVICE: "blue"}))
    selector = {names.LABEL_SERVICE: "green"}
    steps = [
        k8s(patch="service/web", **{"with": {"spec": {"selector": selector}}}),
        k8s("object.spec.selector['seatrial.dev/service'] == 'green'", get="service/web"),
        k8s(wait="endpointslices", service="web", within="20s", until="true"),
    ]
    result = there.run(*steps)
    assert (result.outcome, result.message) == ("passed", "")


def test_objects_are_made_changed_and_deleted(place: Callable[..., Place]) -> None:
    there = place(READ_ROLE, WRITE_ROLE)
    flags = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flags"}}
    canary = a_deployment("web-canary")
    del canary["status"], canary["metadata"]["generation"], canary["metadata"]["labels"]
    canary["spec"]["selector"] = {"matchLabels": {"app": "canary"}}
    canary["spec"]["template"]["metadata"] = {"labels": {"app": "canary"}}
    steps = [
        k8s(apply={**flags, "data": {"on": "a"}}),
        k8s("object.data.on == 'b'", apply={**flags, "data": {"on": "b"}}),
        k8s(patch="configmap/flags", **{"with": {"data": {"on": None, "off": "c"}}}),
        k8s("object.data == {'off': 'c'}", get="configmap/flags"),
        k8s(apply=canary, service="web", within="30s"),
        k8s("size(objects) == 1", get="pods", service="web", labels={"app": "canary"}),
        k8s(delete="deployment/web-canary", within="30s"),
        k8s(wait="pods", service="web", gone=True, within="30s"),
        k8s(delete="configmap/flags"),
        k8s(wait="configmap/flags", gone=True),
    ]
    result = there.run(*steps)
    assert (result.outcome, result.message) == ("passed", "")


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        (
            {"spec": {"template": {"spec": {"serviceAccountName": "seatrial-conductor"}}}},
            "serviceAccountName may not be changed",
        ),
        (
            {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [
                                {
                                    "name": "main",
                                    "envFrom": [{"secretRef": {"name": "seatrial-conductor"}}],
                                }
                            ]
                        }
                    }
                }
            },
            "secretRef: is seatrial-conductor",
        ),
        ({"metadata": {"finalizers": ["example.com/x"]}}, "finalizers may not be changed"),
        ({"metadata": {"labels": {names.LABEL_COMPONENT: None}}}, "Seatrial's own"),
    ],
    ids=["account", "token", "finalizer", "label"],
)
def test_a_change_that_may_not_be_is_never_made(
    patch: Json, says: str, place: Callable[..., Place]
) -> None:
    there = place(*STEP_ROLES)
    there.have(a_deployment())
    before = there.deployment("orders")["metadata"]["generation"]
    result = there.run(k8s(patch="deployment/orders", **{"with": patch}))
    assert says in result.message
    after = there.deployment("orders")
    assert after["metadata"]["generation"] == before
    assert "finalizers" not in after["metadata"]


def test_what_the_api_server_refuses_is_told(place: Callable[..., Place]) -> None:
    there = place()
    there.have(a_deployment())
    patch = {"spec": {"selector": {"matchLabels": {"a": "b"}}}}
    result = there.run(k8s(patch="deployment/orders", **{"with": patch}))
    assert "422" in result.message
    assert "field is immutable" in result.message


SECRET = {
    "kind": "Secret",
    "metadata": {"name": "db", "labels": of_the_system()},
    "stringData": {"password": "hunter2"},
}


def test_with_every_role_of_steps_no_secret_can_be_read(place: Callable[..., Place]) -> None:
    there = place(*STEP_ROLES)
    there.have(SECRET)
    for path in ("secrets/db", "secrets", "secrets/seatrial-conductor"):
        with pytest.raises(cluster_requests.ApiError, match="403"):
            there.requests.json("GET", f"{there.base}/{path}", seconds=30)


def test_the_token_is_good_for_no_other_namespace(place: Callable[..., Place]) -> None:
    there = place(*STEP_ROLES)
    other = NamespaceCluster(there.requests, "shop", {})
    world = a_world(cluster=lambda: other)
    for step in (k8s(get="pods"), k8s(scale="deployment/orders", replicas=0)):
        result = run_steps([step], world)
        assert "403" in result.message


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("kubernetes", k8s(get="pods")),
        ("logs", {"logs": {"service": "orders", "contains": "paid"}}),
        ("exec", {"exec": {"service": "orders", "command": ["ls"]}}),
    ],
)
def test_a_token_that_is_none_is_told(kind: str, step: Json, api: KubeApi) -> None:
    tls = ssl.create_default_context(cafile=api.ca)
    requests = Api(Access(api.url, tls, lambda: {"Authorization": "Bearer wr0ng-word"}))
    cluster = NamespaceCluster(requests, "itr-shop", {})
    result = run_steps([step], a_world(cluster=lambda: cluster))
    assert agrees(told(result.message, 0), TOLD[kind][REFUSES]), result.message


@pytest.mark.parametrize(
    ("step", "role"),
    [
        (k8s(get="service/web"), READ_ROLE),
        (k8s(get="pvc"), READ_ROLE),
        (k8s(delete="deployment/orders"), WRITE_ROLE),
        (
            k8s(apply={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}),
            WRITE_ROLE,
        ),
    ],
    ids=["get", "list", "delete", "apply"],
)
def test_a_right_that_no_step_declared_is_not_there(
    step: Json, role: str, place: Callable[..., Place]
) -> None:
    without = place()
    without.have(a_deployment())
    without.have(a_service("web"))
    assert "403" in without.run(step).message
    granted = place(role)
    granted.have(a_deployment())
    granted.have(a_service("web"))
    assert granted.run(step).outcome == "passed"


def test_a_command_needs_its_role(place: Callable[..., Place]) -> None:
    step = {"exec": {"service": "orders", "command": ["ls"], "timeout": "30s"}}
    for roles, says in (((), "403"), ((EXEC_ROLE,), "does not have a host assigned")):
        there = place(*roles)
        there.have(a_deployment())
        assert there.run(k8s(wait="deployment/orders", within="30s")).outcome == "passed"
        message = there.run(step).message
        assert "the command could not be run" in message
        assert says in message
