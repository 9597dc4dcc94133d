"""The chart's admission rules, on a real API server, for an operator with every right."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3
import yaml
from kubernetes import client, config
from seatrial.api.names import report_name

from localcluster.controlplane import ControlPlane
from tests.support.chart import CHART, NAMESPACE, RELEASE, given, helm

Json = dict[str, Any]

OPERATOR = f"system:serviceaccount:{NAMESPACE}:seatrial-operator"
UID = "0a1b2c3d-0000-0000-0000-000000000000"
CUT = f"{'a' * 245}.bcd"  # the name of its report would end with the dot
RUNS = "/apis/seatrial.dev/v1alpha1/namespaces/shop/integrationtestruns"


@dataclass
class As:
    """Requests in somebody's name."""

    pool: urllib3.PoolManager
    url: str
    user: str = ""

    def send(
        self, method: str, path: str, body: Json | list[Json] | None = None
    ) -> tuple[int, Json]:
        """Give the status and the answer; a patch is a merge patch, or a list of operations."""
        headers = {"Content-Type": "application/json"}
        if method == "PATCH":
            form = "json-patch" if isinstance(body, list) else "merge-patch"
            headers["Content-Type"] = f"application/{form}+json"
        if self.user:
            headers["Impersonate-User"] = self.user
        content = None if body is None else json.dumps(body)
        response = self.pool.request(method, self.url + path, body=content, headers=headers)
        return response.status, json.loads(response.data)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def admin(plane: ControlPlane) -> As:
    helm(
        "install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace",
        *given(runs={"podSecurityLevels": ["restricted", "baseline"]}),
        kubeconfig=plane.kubeconfig,
    )  # fmt: skip
    configuration = client.Configuration()
    config.load_kube_config(str(plane.kubeconfig), client_configuration=configuration)
    pool = client.ApiClient(configuration).rest_client.pool_manager
    admin = As(pool, configuration.host)
    # Whatever a role allows by mistake: the rules alone must hold.
    everything = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "mistake"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [{"kind": "User", "name": OPERATOR, "apiGroup": "rbac.authorization.k8s.io"}],
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert admin.send("POST", bindings, everything)[0] == 201
    for namespace in (a_namespace("shop", labels={}), a_namespace()):
        assert admin.send("POST", "/api/v1/namespaces", namespace)[0] == 201
    wait_for_the_kind(admin)
    for made in (
        a_run(), a_configmap("theirs", "shop"), a_configmap("mine-report", "shop"),
        an_account("shop"), an_account("itr-mine"),
    ):  # fmt: skip
        assert admin.send("POST", where(made), made)[0] == 201
    wait_for_the_rules(As(pool, configuration.host, OPERATOR))
    return admin


@pytest.fixture
def operator(admin: As) -> As:
    return As(admin.pool, admin.url, OPERATOR)


def wait_for_the_kind(admin: As) -> None:
    """A definition is served a moment after it was written."""
    deadline = time.monotonic() + 120
    while (answer := admin.pool.request("GET", admin.url + RUNS)).status != 200:
        assert time.monotonic() < deadline, f"not served after 120 s: {answer.data!r}"


def wait_for_the_rules(operator: As) -> None:
    """A new policy and a new binding hold a moment after they were written."""
    deadline = time.monotonic() + 120
    probe = a_configmap("probe", "shop")
    while True:
        status, answer = operator.send("POST", f"{where(probe)}?dryRun=All", probe)
        if status == 403 and "ValidatingAdmissionPolicy" in answer["message"]:
            return
        assert time.monotonic() < deadline, f"not in force after 120 s: {answer}"


def a_namespace(
    name: str = "itr-mine", labels: Json | None = None, level: str = "restricted"
) -> Json:
    ours = {"seatrial.dev/run-uid": UID, "pod-security.kubernetes.io/enforce": level}
    metadata = {"name": name, "labels": ours if labels is None else labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def a_configmap(name: str, namespace: str, **metadata: Any) -> Json:
    metadata = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def a_report(
    name: str, run: str, component: str = "report", kind: str = "IntegrationTestRun"
) -> Json:
    owner = {"apiVersion": "seatrial.dev/v1alpha1", "kind": kind, "name": run, "uid": UID}
    labels = {"seatrial.dev/component": component}
    return a_configmap(name, "shop", labels=labels, ownerReferences=[owner])


def a_run(name: str = "mine") -> Json:
    return {
        "apiVersion": "seatrial.dev/v1alpha1",
        "kind": "IntegrationTestRun",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"tests": [{"name": "t", "scenario": [{"set": {"a": "1"}}]}]},
    }


def a_lease(namespace: str) -> Json:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "seatrial-operator", "namespace": namespace},
    }


def an_event() -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "mine.1", "namespace": "shop"},
        "involvedObject": {"kind": "IntegrationTestRun", "namespace": "shop", "name": "mine"},
    }


def a_binding(namespace: str) -> Json:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "seatrial-conductor", "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "seatrial-conductor"},
    }


def where(body: Json) -> str:
    """Give the path of an object's collection."""
    version, namespace = body["apiVersion"], body["metadata"].get("namespace")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = body["kind"].lower() + "s"
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


def created(body: Json) -> tuple[str, str, Json]:
    return "POST", where(body), body


def an_account(namespace: str) -> Json:
    metadata = {"name": "seatrial-conductor", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def a_token(namespace: str) -> tuple[str, str, Json]:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return "POST", f"{where(an_account(namespace))}/seatrial-conductor/token", request


SHOP = "/api/v1/namespaces/shop"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(created(a_namespace("itr-other")), id="a-namespace-of-a-run"),
        pytest.param(created(a_namespace("itr-base", level="baseline")), id="a-level-allowed"),
        pytest.param(created(a_configmap("x", "itr-mine")), id="a-configmap-of-a-run"),
        pytest.param(created(a_binding("itr-mine")), id="the-conductor-s-role"),
        pytest.param(created(a_report("long-report", "long")), id="a-report"),
        pytest.param(created(a_report(report_name(CUT), CUT)), id="a-report-of-a-long-name"),
        pytest.param(created(an_event()), id="an-event"),
        pytest.param(created(a_lease(NAMESPACE)), id="the-lease"),
        pytest.param(a_token("itr-mine"), id="the-conductor-s-token"),
        pytest.param(
            ("PATCH", f"{RUNS}/mine", {"metadata": {"finalizers": ["seatrial.dev/environment"]}}),
            id="a-finalizer",
        ),
        pytest.param(
            ("PATCH", f"{RUNS}/mine/status", {"status": {"phase": "Queued"}}), id="a-status"
        ),
        pytest.param(("DELETE", f"{RUNS}/mine", None), id="the-end-of-a-run-s-time-to-live"),
        pytest.param(("DELETE", "/api/v1/namespaces/itr-mine", None), id="a-clean-up"),
    ],
)
def test_the_operator_may_do_what_a_run_needs(operator, request_):
    method, path, body = request_
    status, answer = operator.send(method, f"{path}?dryRun=All", body)
    assert status in (200, 201), answer


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(created(a_namespace("evil", labels={})), id="a-namespace-of-nobody"),
        pytest.param(
            created(a_namespace("itr-weak", level="privileged")), id="a-namespace-without-security"
        ),
        pytest.param(
            created(a_namespace("itr-none", labels={"seatrial.dev/run-uid": UID})),
            id="a-namespace-that-says-nothing-of-security",
        ),
        pytest.param(
            ("PATCH", SHOP, {"metadata": {"labels": {"seatrial.dev/run-uid": UID}}}),
            id="a-namespace-made-its-own",
        ),
        pytest.param(
            (
                "PATCH",
                "/api/v1/namespaces/itr-mine",
                {"metadata": {"labels": {"seatrial.dev/run-uid": "another"}}},
            ),
            id="a-namespace-given-to-another-run",
        ),
        pytest.param(
            (
                "PATCH",
                "/api/v1/namespaces/itr-mine",
                {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
            ),
            id="a-namespace-weakened",
        ),
        pytest.param(("DELETE", SHOP, None), id="the-end-of-somebody-s-namespace"),
        pytest.param(created(a_configmap("x", "shop")), id="a-configmap-of-somebody"),
        pytest.param(("DELETE", f"{SHOP}/configmaps/theirs", None), id="a-deletion-elsewhere"),
        pytest.param(("DELETE", f"{SHOP}/configmaps", None), id="a-deletion-of-everything"),
        pytest.param(
            (
                "PATCH",
                f"{SHOP}/configmaps/mine-report",
                {"metadata": a_report("mine-report", "mine")["metadata"]},
            ),
            id="a-configmap-made-a-report",
        ),
        pytest.param(created(a_report("other-report", "mine")), id="a-report-of-another-name"),
        pytest.param(created(a_report("mine", "mine")), id="a-report-without-its-ending"),
        pytest.param(created(a_report("mine-and-more-report", "mine")), id="a-longer-name"),
        pytest.param(created(a_report("z-report", "z", component="x")), id="a-report-unlabelled"),
        pytest.param(created(a_report("z-report", "z", kind="Pod")), id="a-report-of-a-pod"),
        pytest.param(created(a_lease("shop")), id="a-lease-elsewhere"),
        pytest.param(a_token("shop"), id="a-token-of-somebody-s-account"),
        pytest.param(created(a_binding("shop")), id="rights-in-somebody-s-namespace"),
        pytest.param(created(a_run("new")), id="a-run-of-its-own"),
        pytest.param(
            ("PATCH", f"{RUNS}/mine", {"spec": {"priority": 1}}), id="a-change-of-what-is-asked-for"
        ),
        pytest.param(
            created(
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRole",
                    "metadata": {"name": "evil"},
                    "rules": [],
                }
            ),
            id="a-cluster-role",
        ),
        pytest.param(
            created(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": "x", "namespace": NAMESPACE},
                }
            ),
            id="a-secret-in-its-own-namespace",
        ),
    ],
)
def test_the_operator_may_do_nothing_else_even_as_cluster_admin(operator, request_):
    method, path, body = request_
    status, answer = operator.send(method, f"{path}?dryRun=All", body)
    assert "ValidatingAdmissionPolicy 'seatrial-operator'" in answer.get("message", ""), answer
    assert status == 403


DEEP = {"parallel": [{"steps": [{"set": {"a": "1"}}]}]}
STARTED = {
    "apiVersion": "seatrial.dev/v1alpha1",
    "kind": "IntegrationTestRun",
    "metadata": {
        "name": "started",
        "namespace": "shop",
        "finalizers": ["seatrial.dev/environment"],
    },
    "spec": {
        "tests": [
            {"name": "deep", "scenario": [DEEP]},
            {"name": "json", "scenario": [{"http": {"post": "http://a.b/", "json": {"a": 1}}}]},
            {"name": "matrix", "matrix": {"size": [1, 2]}, "scenario": [{"set": {"a": "1"}}]},
        ],
        "snapshots": {"content": {"a": {"b": 1}}},
    },
}


def put(path: str, value: Any) -> list[Json]:
    return [{"op": "replace", "path": path, "value": value}]


@pytest.fixture(scope="module")
def started(admin: As) -> As:
    """Make a run that has started, and wait until the rule for it holds."""
    status, answer = admin.send("POST", f"{RUNS}?fieldValidation=Strict", STARTED)
    assert status == 201, answer
    status, answer = admin.send("PATCH", f"{RUNS}/started/status", {"status": {"phase": "Running"}})
    assert status == 200, answer
    deadline = time.monotonic() + 120
    while edited(admin, put("/spec/tests/0/scenario/0/parallel", []))[0] != 422:
        assert time.monotonic() < deadline, "not in force after 120 s"
    return admin


def edited(user: As, patch: list[Json]) -> tuple[int, str]:
    status, answer = user.send("PATCH", f"{RUNS}/started?dryRun=All", patch)
    return status, answer.get("message", "")


SAME = "spec cannot change once the run has started, except suspend, abort, priority,"


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(
            put("/spec/tests/0/scenario/0/parallel/0/steps/0/set/a", "2"), id="steps-inside-steps"
        ),
        pytest.param(put("/spec/tests/1/scenario/0/http/json/a", 2), id="json"),
        pytest.param(put("/spec/tests/2/matrix/size/0", 3), id="matrix"),
        pytest.param(put("/spec/snapshots/content/a/b", 2), id="content-of-snapshots"),
        pytest.param([{"op": "remove", "path": "/spec/snapshots"}], id="something-taken-away"),
        pytest.param([{"op": "add", "path": "/spec/parallelism", "value": 4}], id="a-number"),
    ],
)
def test_a_run_that_has_started_stays_as_it_is_in_every_part(started, patch):
    status, message = edited(started, patch)
    assert (status, SAME in message) == (422, True), message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suspend", True),
        ("abort", True),
        ("priority", 3),
        ("keepEnvironment", {"onFailure": "1h"}),
        ("ttlAfterFinished", "1h"),
    ],
)
def test_what_may_change_of_a_run_that_has_started_may_change(started, field, value):
    status, message = edited(started, [{"op": "add", "path": f"/spec/{field}", "value": value}])
    assert status == 200, message


def test_the_finalizer_of_a_run_that_has_started_may_go(started, operator):
    patch = [{"op": "remove", "path": "/metadata/finalizers"}]
    status, message = edited(operator, patch)
    assert status == 200, message


def test_a_run_as_large_as_an_object_can_be_stays_within_the_budget_of_the_rule(started, operator):
    leaf = {"http": {"post": "http://a.b/", "json": {"text": "x" * 1000, "list": [0] * 200}}}
    scenario = [{"parallel": [{"steps": [leaf] * 16}]}]
    tests = [{"name": f"t-{index}", "scenario": scenario} for index in range(50)]
    metadata = {**STARTED["metadata"], "name": "large"}
    run = {**STARTED, "metadata": metadata, "spec": {"tests": tests}}
    assert len(json.dumps(run)) > 1_000_000
    status, answer = started.send("POST", RUNS, run)
    assert status == 201, answer
    running = {"status": {"phase": "Running"}}
    assert started.send("PATCH", f"{RUNS}/large/status", running)[0] == 200
    last = put("/spec/tests/49/scenario/0/parallel/0/steps/15/http/json/list/199", 1)
    assert SAME in started.send("PATCH", f"{RUNS}/large", last)[1].get("message", "")

    status, answer = started.send("PATCH", f"{RUNS}/large", {"spec": {"abort": True}})
    assert status == 200, answer
    status, answer = operator.send("PATCH", f"{RUNS}/large", {"metadata": {"finalizers": None}})
    assert status == 200, answer


def test_a_run_in_the_queue_may_change(started):
    spec = {"tests": [{"name": "t", "scenario": [DEEP]}]}
    status, answer = started.send("PATCH", f"{RUNS}/mine?dryRun=All", {"spec": spec})
    assert status == 200, answer


def test_nobody_else_is_confined(admin):
    status, _ = admin.send(*created(a_configmap("free", "shop")))
    assert status == 201


def test_a_refusal_says_what_and_where(operator):
    _, answer = operator.send(*created(a_configmap("x", "shop")))
    assert answer["message"].endswith(
        "the Seatrial operator may not write configmaps in namespace shop: only in namespaces of"
        " runs, which carry the label seatrial.dev/run-uid"
    )


def test_the_first_run_that_the_chart_suggests_is_accepted(admin, plane):
    notes = helm("get", "notes", RELEASE, "-n", NAMESPACE, kubeconfig=plane.kubeconfig)
    indented = notes.partition("<<EOF\n")[2].partition("  EOF")[0]
    run = yaml.safe_load(textwrap.dedent(indented))
    status, answer = admin.send("POST", f"{RUNS}?dryRun=All&fieldValidation=Strict", run)
    assert status == 201, answer
