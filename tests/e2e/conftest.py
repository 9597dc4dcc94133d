"""Fixtures of the end-to-end tests: the cluster, a namespace for each test, and what went wrong."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from seatrial.api.names import KIND, LABEL_RUN_NAMESPACE

from tests.e2e.cluster import OPERATOR_LABELS, ApiError, Cluster, Json, Run, documents
from tests.e2e.telling import about

ROOT = Path(__file__).parents[2]
LABEL = "e2e.seatrial.dev/session"  # on the namespaces of these tests
# They stop the operator or the API server, look at everything there is in the cluster, or fill it.
ALONE = {
    "test_chart_lifecycle",
    "test_faults_and_killers",
    "test_something_dies",
    "test_twenty_at_once",
    "test_waits_for_room",
}
SESSION = f"e2e-{secrets.token_hex(3)}"  # begins the names of this session's namespaces


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what must not run beside other tests."""
    for item in items:
        if item.path.stem in ALONE:
            item.add_marker("alone")


@pytest.fixture(scope="session")
def kubeconfig() -> str:
    """Where the kubeconfig is: of KUBECONFIG, or of the cluster that `make up` has made."""
    if path := os.environ.get("KUBECONFIG"):
        return path
    asked = subprocess.run(
        ["make", "-s", "kubeconfig"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    path = asked.stdout.strip()
    assert Path(path or "nothing").exists(), f"no cluster: run `make up` first\n{asked.stderr}"
    return path


@pytest.fixture(scope="session")
def cluster(kubeconfig: str) -> Iterator[Cluster]:
    """Give the cluster; at the end nothing of this session's runs may be left in it."""
    cluster = Cluster(kubeconfig)
    yield cluster
    cluster.wait(
        "/api/v1/namespaces",
        lambda items: not any(SESSION in each["metadata"]["name"] for each in items),
        "the namespaces of these tests are gone",
        300,
        labelSelector=LABEL,
    )
    cluster.wait(
        "/api/v1/namespaces",
        lambda items: (
            not any(SESSION in each["metadata"]["labels"][LABEL_RUN_NAMESPACE] for each in items)
        ),
        "the namespaces of their runs are gone",
        300,
        labelSelector=LABEL_RUN_NAMESPACE,
    )
    cluster.close()


class Desk:
    """Where a test puts its runs: a namespace of its own."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.runs: list[Run] = []

    def apply(self, *objects: Json) -> Run:
        """Create objects in order, and give the run among them."""
        run = None
        for obj in objects:
            created = self.cluster.apply(self.namespace, obj)
            if obj["kind"] == KIND:
                run = Run(self.cluster, self.namespace, created["metadata"]["name"])
                self.runs.append(run)
        assert run is not None, "there is no IntegrationTestRun among the objects"
        return run

    def example(self, name: str) -> Run:
        """Apply an example by the name of its folder."""
        return self.apply(*documents((ROOT / "examples" / name / "run.yaml").read_text()))

    def run(self, name: str, spec: str) -> Run:
        """Apply a run with this spec, as YAML."""
        return self.apply(
            {
                "apiVersion": "seatrial.dev/v1alpha1",
                "kind": KIND,
                "metadata": {"name": name},
                "spec": yaml.safe_load(spec),
            }
        )


def new_desk(cluster: Cluster, title: str) -> Desk:
    """Make a namespace that is named after what it is for."""
    readable = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40]
    name = f"{SESSION}-{readable}-{secrets.token_hex(2)}".replace("--", "-")
    cluster.call(
        "POST",
        "/api/v1/namespaces",
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {LABEL: SESSION}},
        },
    )
    return Desk(cluster, name)


@pytest.fixture
def desk(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Give a namespace for the runs of one test; its deletion takes them along."""
    desk = new_desk(cluster, request.node.name.removeprefix("test_"))
    yield desk
    cluster.delete(f"/api/v1/namespaces/{desk.namespace}")


@pytest.fixture(scope="module")
def shared_desk(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Give a namespace for the runs of all tests of a module."""
    desk = new_desk(cluster, request.node.name.rpartition("/")[2].removesuffix(".py"))
    yield desk
    cluster.delete(f"/api/v1/namespaces/{desk.namespace}")


@pytest.fixture(scope="module")
def status(run: Run) -> Json:
    """Give the status in which the module's ``run`` has ended."""
    return run.finished()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Add to a failed test what its runs, their conductors and the operator have to say."""
    report = yield
    if report.failed:
        funcargs = getattr(item, "funcargs", {})
        for desk in {funcargs.get("desk"), funcargs.get("shared_desk")} - {None}:
            for run in desk.runs[-3:]:
                _add_section(report, f"run {run.name}", lambda run=run: about(run))
        if cluster := funcargs.get("cluster"):
            _add_section(report, "operator", lambda: operator_log(cluster, tail=60))
    return report


def _add_section(report: Any, title: str, content: Callable[[], str]) -> None:
    try:
        report.sections.append((title, content()))
    except (ApiError, httpx.TransportError, KeyError) as error:  # the failure itself matters more
        report.sections.append((title, f"(not to be had: {error!r})"))


def operator_log(cluster: Cluster, tail: int) -> str:
    """Give the end of the logs of all operator pods."""
    pods = cluster.items("/api/v1/pods", labelSelector=OPERATOR_LABELS)
    return "\n".join(
        cluster.logs(pod["metadata"]["namespace"], pod["metadata"]["name"], tailLines=tail)
        for pod in pods
    )
