"""The chart on a real cluster: upgraded to two operators and back, uninstalled, installed again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import OPERATOR_LABELS, Cluster, Json, reason
from tests.e2e.conftest import ROOT, Desk
from tests.support.chart import CHART, NAMESPACE, RELEASE, helm

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/integrationtestruns.seatrial.dev"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/seatrial-operator"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
TRIVIAL = """
tests:
- name: arithmetic-holds
  scenario:
  - set: {answer: "6 * 7"}
    expect: ["answer == 42"]
"""


class Release:
    """The release that `make up` has installed, with its values."""

    def __init__(self, kubeconfig: str, folder: Path) -> None:
        self.kubeconfig = kubeconfig
        values = helm(
            "get", "values", RELEASE, "-n", NAMESPACE, "-o", "json", kubeconfig=kubeconfig
        )
        self.values = folder / "values.json"
        self.values.write_text(values)

    def upgrade(self, *settings: str) -> None:
        """Install it or upgrade it, and wait until it is ready."""
        helm(
            "upgrade", "--install", RELEASE, str(CHART), "-n", NAMESPACE, "-f", str(self.values),
            *(word for each in settings for word in ("--set", each)), "--wait", "--timeout=300s",
            kubeconfig=self.kubeconfig,
        )  # fmt: skip

    def uninstall(self) -> None:
        """Take it away, and wait until it is gone."""
        helm("uninstall", RELEASE, "-n", NAMESPACE, "--wait", kubeconfig=self.kubeconfig)


@pytest.fixture
def release(cluster: Cluster, kubeconfig: str, tmp_path: Path) -> Iterator[Release]:
    """Give the release; afterwards it is as it was."""
    release = Release(kubeconfig, tmp_path)
    yield release
    release.upgrade()


def new_holder(cluster: Cluster, candidates: set[str]) -> str:
    """Wait until one of the candidates holds the Lease, and name it."""

    def taken(leases: list[Json]) -> bool:
        return any(each["spec"].get("holderIdentity") in candidates for each in leases)

    (lease,) = cluster.wait(
        LEASES, taken, "an operator leads", 120, fieldSelector="metadata.name=seatrial-operator"
    )
    return str(lease["spec"]["holderIdentity"])


def operators(cluster: Cluster) -> set[str]:
    """Name the operator's pods, without those that are going."""
    pods = cluster.items(PODS, labelSelector=OPERATOR_LABELS)
    return {p["metadata"]["name"] for p in pods if not p["metadata"].get("deletionTimestamp")}


def test_a_standby_takes_over_in_the_middle_of_a_run(release, cluster: Cluster, desk: Desk):
    release.upgrade("ha.enabled=true")
    # Ready is enough for Helm; those of before may be there a moment longer.
    cluster.wait(PODS, lambda _: len(operators(cluster)) == 2, "there are two operators", 120)
    pair = operators(cluster)
    leader = new_holder(cluster, pair)
    run = desk.example("hello")
    run.in_phase("Provisioning")
    cluster.delete(f"{PODS}/{leader}", gracePeriodSeconds=0)
    assert run.finished()["verdict"] == "Passed"
    run.in_phase("Finished")
    assert new_holder(cluster, operators(cluster)) != leader


def test_the_runs_outlive_the_chart_and_the_next_one_knows_them(
    release, cluster: Cluster, desk: Desk, kubeconfig: str
):
    before = desk.run("before", TRIVIAL)
    before.in_phase("Finished")
    release.uninstall()
    wait_until_operators_are_gone(cluster)
    assert cluster.get(DEPLOYMENT) is None
    definition = cluster.get(CRD)
    assert definition is not None
    assert before.status["verdict"] == "Passed"
    roles = cluster.items("/apis/rbac.authorization.k8s.io/v1/clusterroles")
    assert not [each for each in roles if each["metadata"]["name"].startswith("seatrial")]
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    assert not [p for p in cluster.items(policies) if p["metadata"]["name"].startswith("seatrial")]

    waiting = desk.run("waiting", TRIVIAL)
    assert waiting.status == {"observedGeneration": -1}  # nobody has looked at it
    release.upgrade()
    assert waiting.finished()["verdict"] == "Passed"
    assert before.status["verdict"] == "Passed"
    for run in (before, waiting):
        run.delete()
        run.gone()
    history = helm("history", RELEASE, "-n", NAMESPACE, "-o", "json", kubeconfig=kubeconfig)
    assert [each["status"] for each in json.loads(history)] == ["deployed"]


def test_an_upgrade_leaves_a_run_in_progress_alone(release, cluster: Cluster, desk: Desk):
    run = desk.example("hello")
    run.in_phase("Provisioning")
    release.upgrade("log.level=INFO")
    assert run.finished()["verdict"] == "Passed"
    (name,) = operators(cluster)
    pod = cluster.get(f"{PODS}/{name}")
    assert pod is not None
    environ = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
    assert environ["SEATRIAL_LOG_LEVEL"] == "INFO"


def test_a_level_that_the_values_do_not_allow_is_refused(release, desk: Desk):
    release.upgrade("runs.podSecurityLevels={restricted}")
    run = desk.run("baseline", f"podSecurity: baseline\n{TRIVIAL}")
    status = run.finished()
    assert (status["verdict"], reason(status, "Finished")) == ("Error", "InvalidSpec")
    assert "spec.podSecurity: baseline is not allowed on this cluster" in status["message"]
    assert "the Helm value runs.podSecurityLevels decides" in status["message"]
    assert desk.cluster.environments(run.get()["metadata"]["uid"]) == []


READS, WRITES = {"get", "list", "watch"}, {"create", "update", "patch", "delete"}


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("view", READS), ("edit", READS | WRITES), ("admin", READS | WRITES | {"deletecollection"})],
)
def test_who_has_a_standard_role_of_a_namespace_has_it_for_runs(
    cluster: Cluster, desk: Desk, role: str, allowed: set[str]
):
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": f"e2e-{role}"}],
    }
    cluster.create(desk.namespace, binding)

    def may(verb: str, *, namespace: str = desk.namespace, part: str = "") -> bool:
        about = {"group": "seatrial.dev", "resource": "integrationtestruns", "verb": verb}
        asked = {**about, "namespace": namespace, "subresource": part}
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        review = {**kind, "spec": {"user": f"e2e-{role}", "resourceAttributes": asked}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(cluster.call("POST", path, review)["status"]["allowed"])

    # The API server learns of the binding, and of what the roles are made of, a moment later.
    give_up = time.monotonic() + 120
    while not all(map(may, allowed)) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert {verb for verb in READS | WRITES | {"deletecollection"} if may(verb)} == allowed
    assert may("get", part="status")
    assert not may("update", part="status")
    assert not may("get", namespace="default")


def localcluster(command: str, kubeconfig: str, values: Json) -> None:
    """Run ``make up`` or ``make down`` on whatever cluster a kubeconfig leads to."""
    images = {
        f"SEATRIAL_{name.upper()}_IMAGE": "{repository}:{tag}".format_map(values["image"][name])
        for name in ("operator", "runner")
    }
    done = subprocess.run(
        [sys.executable, "-m", "localcluster", command],
        cwd=ROOT,
        env={**os.environ, **images, "CLUSTER": "current", "KUBECONFIG": kubeconfig},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def wait_until_operators_are_gone(cluster: Cluster) -> None:
    cluster.wait(PODS, lambda pods: not pods, "no operator is left", 120)


def test_on_a_cluster_that_is_there_nothing_is_touched_but_seatrials_own(
    release, cluster: Cluster, desk: Desk, kubeconfig: str
):
    values = json.loads(release.values.read_text())
    release.uninstall()
    wait_until_operators_are_gone(cluster)
    before = cluster.everything()
    localcluster("up", kubeconfig, values)
    run = desk.run("anywhere", TRIVIAL)
    assert run.finished()["verdict"] == "Passed"
    run.delete()
    run.gone()
    (name,) = operators(cluster)
    pod = cluster.get(f"{PODS}/{name}")
    assert pod is not None
    environ = {e["name"]: e.get("value") for e in pod["spec"]["containers"][0]["env"]}
    assert environ["SEATRIAL_LOG_LEVEL"] == "INFO"  # as a user gets it
    localcluster("down", kubeconfig, values)
    wait_until_operators_are_gone(cluster)
    changed = before ^ cluster.everything()
    # The address of a Service is given back some time after the Service has gone.
    apart = ("/e2e-", "/itr-", "/ipaddresses/")
    assert {each for each in changed if not any(part in each for part in apart)} == set()
