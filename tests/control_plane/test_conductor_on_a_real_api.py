"""The conductor's process with the rights the chart gives it, on a real API server."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.verdict import judge
from seatrial_runner.journal.store import THROTTLE_S

from tests.support.conductor_process import ConductorProcess, CountingProxy
from tests.support.kube_api import KubeApi

MOST_WRITES = 40  # a conductor writes less often in the run with faults below
_numbers = itertools.count(1)


class Environment:
    """A run's namespace, as the operator leaves it, and a kubelet that has every pod ready."""

    def __init__(self, api: KubeApi, folder: Path, **run: Any) -> None:
        self.api = api
        self.name = f"itr-conducted-{next(_numbers)}"
        self.base = f"/api/v1/namespaces/{self.name}"
        self._stopped = threading.Event()
        self._prepare(run)
        answer = api.send(
            "POST",
            f"{self.base}/serviceaccounts/seatrial-conductor/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
        self.proxy = CountingProxy(api.url, api.ca)
        self.conductor = ConductorProcess(
            folder, self.proxy.url, self.name, answer["status"]["token"]
        )
        self._kubelet = threading.Thread(target=self._have_pods_ready, daemon=True)
        self._kubelet.start()

    def bind(self, role: str) -> None:
        """Give the conductor what a ClusterRole of the chart allows."""
        group = "rbac.authorization.k8s.io"
        account = {"kind": "ServiceAccount", "name": "seatrial-conductor", "namespace": self.name}
        self.api.send(
            "POST",
            f"/apis/{group}/v1/namespaces/{self.name}/rolebindings",
            {
                **a_named(role),
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
                "subjects": [account],
            },
        )

    def _prepare(self, run: dict[str, Any]) -> None:
        api = self.api
        api.namespace(self.name)
        api.send("POST", f"{self.base}/serviceaccounts", a_named("seatrial-conductor"))
        self.bind("seatrial-conductor")
        data = {"run.json": json.dumps(a_run(self.name, **run))}
        for name, content in (("run", data), ("journal", {}), ("report", {})):
            body = {**a_named(f"seatrial-{name}"), "data": content}
            api.send("POST", f"{self.base}/configmaps", body)

    def deployment(self, name: str, replicas: int) -> None:
        self._workload("deployments", name, replicas)

    def stateful_set(self, name: str, replicas: int) -> None:
        self._workload("statefulsets", name, replicas)

    def _workload(self, plural: str, name: str, replicas: int) -> None:
        labels = {"seatrial.dev/service": name}
        body = {
            **a_named(name),
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": "registry.example/x:1"}]},
                },
            },
        }
        self.api.send("POST", f"/apis/apps/v1/namespaces/{self.name}/{plural}", body)

    def replicas(self, name: str) -> int:
        base = f"/apis/apps/v1/namespaces/{self.name}"
        found = (self.api.get(f"{base}/{each}/{name}") for each in ("deployments", "statefulsets"))
        [item] = filter(None, found)
        return int(item["spec"]["replicas"])

    def _have_pods_ready(self) -> None:
        while not self._stopped.wait(0.05):
            for pod in self.api.items(f"{self.base}/pods"):
                if pod["status"].get("phase") == "Pending":
                    condition = {"type": "Ready", "status": "True"}
                    status = {"phase": "Running", "conditions": [condition]}
                    path = f"{self.base}/pods/{pod['metadata']['name']}/status"
                    try:
                        self.api.send("PATCH", path, {"status": status})
                    except AssertionError:
                        continue  # it went meanwhile

    def configmap(self, name: str) -> dict[str, Any]:
        return self.api.get(f"{self.base}/configmaps/{name}") or {}

    def summary(self) -> dict[str, Any]:
        data = self.configmap("seatrial-journal").get("data") or {}
        summary: dict[str, Any] = json.loads(data.get("summary.json") or "{}")
        return summary

    def close(self) -> None:
        self._stopped.set()
        self._kubelet.join()
        self.conductor.kill()
        self.proxy.close()
        self.api.send("DELETE", f"/api/v1/namespaces/{self.name}")
        if self.conductor.log.exists():
            print(self.conductor.log.read_text()[-4000:])


def a_named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def a_run(namespace: str, **more: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "version": 1,
        "name": "conducted",
        "namespace": "shop",
        "uid": "0a1b2c3d-0000-4000-8000-000000000001",
        "environment": namespace,
        "startedAt": now.isoformat(),
        "deadline": (now + timedelta(minutes=10)).isoformat(),
        "provisioningTimeout": 60.0,
        "testsTimeout": 300.0,
        "collectingTimeout": 20.0,
        "parallelism": 1,
        "services": [],
        "faults": [],
        "tests": [a_scenario("paid")],
        "access": False,
        **more,
    }


def a_scenario(name: str, expect: str = "1 + 1 == 2") -> dict[str, Any]:
    return {"name": name, "timeout": "1m", "retries": 0, "scenario": [{"expect": [expect]}]}


ORDERS = {
    "name": "orders",
    "wave": 0,
    "hosts": ["orders"],
    "ports": [],
    "workloads": [{"kind": "Deployment", "name": "orders"}],
}
FAULTS = [
    {
        "name": "fewer",
        "target": {"service": "orders"},
        "scale": {"replicas": 1},
        "for": "1s",
        "when": {"test": "second"},
        "recovery": {"within": "60s"},
    },
    {
        "name": "lose-one",
        "target": {"service": "orders", "pods": "50%"},
        "kill": {"gracePeriod": "0s"},
        "when": {"test": "third"},
        "recovery": {"within": "60s"},
    },
]
WITH_FAULTS: dict[str, Any] = {
    "services": [ORDERS],
    "faults": FAULTS,
    "tests": [a_scenario("first"), a_scenario("second"), a_scenario("third", "1 == 2")],
}


@pytest.fixture
def plain(api: KubeApi, tmp_path: Path) -> Iterator[Environment]:
    environment = Environment(api, tmp_path)
    yield environment
    environment.close()


@pytest.fixture
def with_faults(api: KubeApi, tmp_path: Path) -> Iterator[Environment]:
    environment = Environment(api, tmp_path, **WITH_FAULTS)
    environment.deployment("orders", 2)
    yield environment
    environment.close()


def test_a_plain_run_takes_two_writes_to_its_verdict_and_leaves_a_report(
    plain: Environment,
) -> None:
    ended_after: list[int] = []
    moments: list[float] = []

    def look(number: int) -> None:
        moments.append(time.monotonic())
        if plain.summary().get("finished"):
            ended_after.append(number)

    plain.proxy.after = look
    plain.conductor.start()
    assert plain.conductor.wait() == 0
    # One that a busy machine holds up says meanwhile how far it is.
    held_up_s = moments[ended_after[0] - 1] - moments[0]
    # Between two writes of it; the first may have taken a part of that time to come.
    assert 2 <= ended_after[0] <= 2 + (held_up_s + 0.5) / THROTTLE_S
    summary = plain.summary()
    assert judge(summary, tests=["paid"]).verdict == "Passed"  # type: ignore[arg-type]
    assert summary["reportReady"]
    parts = plain.configmap("seatrial-report")["binaryData"]
    report = json.loads(gzip.decompress(base64.b64decode(parts["report.json.gz"])))
    assert report["verdict"] == "Passed"


def assert_the_usual_end(environment: Environment, where: str) -> None:
    summary = environment.summary()
    assert summary["finished"]["reason"] == "Completed", where
    assert [t["outcome"] for t in summary["tests"]] == ["Passed", "Passed", "Failed"], where
    assert [f["state"] for f in summary["faults"]] == ["Recovered", "Recovered"], where
    assert summary["summary"]["tests"] == 3, where
    assert environment.replicas("orders") == 2, where
    assert summary["reportReady"], where


def test_faults_run_with_the_rights_the_chart_gives(with_faults: Environment) -> None:
    with_faults.conductor.start()
    assert with_faults.conductor.wait() == 0
    assert_the_usual_end(with_faults, "")
    killed = with_faults.summary()["faults"][1]
    assert killed["revertedBy"] == "controller"
    assert killed["targets"][0]["replacedBy"] not in (None, killed["targets"][0]["uid"])


def test_a_successor_of_the_same_name_proves_a_kill(api: KubeApi, tmp_path: Path) -> None:
    workloads = [{"kind": "StatefulSet", "name": "orders"}]
    run = {**WITH_FAULTS, "services": [{**ORDERS, "workloads": workloads}]}
    environment = Environment(api, tmp_path, **run)
    try:
        environment.stateful_set("orders", 2)
        environment.conductor.start()
        assert environment.conductor.wait() == 0
        assert_the_usual_end(environment, "")
        [hit] = environment.summary()["faults"][1]["targets"]
        present = api.get(f"{environment.base}/pods/{hit['name']}")
        assert present is not None
        assert hit["replacedBy"] == present["metadata"]["uid"] != hit["uid"]
    finally:
        environment.close()


@pytest.mark.slow
@pytest.mark.parametrize("effect", ["before", "after"])
def test_killed_at_any_write_and_started_again_the_run_ends_the_same(
    api: KubeApi, tmp_path: Path, effect: str
) -> None:
    points = 0
    for dies_at in range(1, MOST_WRITES):
        folder = tmp_path / str(dies_at)
        folder.mkdir()
        environment = Environment(api, folder, **WITH_FAULTS)
        try:
            environment.deployment("orders", 2)
            died = kill_once(environment, dies_at, effect)
            environment.conductor.start()
            died_or_done = environment.conductor.wait()
            if died.is_set():
                points += 1
                assert died_or_done == -signal.SIGKILL
                environment.conductor.start()
                assert environment.conductor.wait() == 0
            assert_the_usual_end(environment, f"killed {effect} write {dies_at}")
        finally:
            environment.close()
        if not died.is_set():
            break
    else:
        pytest.fail(f"it writes {MOST_WRITES} times or more, and was not killed at all of them")
    assert points > 10  # or the test has not looked at much


def kill_once(environment: Environment, dies_at: int, effect: str) -> threading.Event:
    died = threading.Event()

    def kill(number: int) -> bool:
        if number != dies_at or died.is_set():
            return True
        died.set()
        environment.conductor.kill()
        return False

    setattr(environment.proxy, effect, kill)
    return died


def test_terminated_it_undoes_what_is_open_and_leaves_the_rest_to_the_next(
    with_faults: Environment,
) -> None:
    scaled = threading.Event()
    environment = with_faults

    def look(number: int) -> None:
        if environment.proxy.writes[number - 1] == "PATCH orders" and not scaled.is_set():
            assert environment.conductor.process is not None
            environment.conductor.process.terminate()
            scaled.set()

    environment.proxy.after = look
    environment.conductor.start()
    assert scaled.wait(120)
    assert environment.conductor.wait() == 128 + signal.SIGTERM
    assert environment.replicas("orders") == 2
    assert environment.summary()["finished"] is None
    environment.conductor.start()
    assert environment.conductor.wait() == 0
    assert_the_usual_end(environment, "terminated")
