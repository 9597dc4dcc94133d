"""Commands, objects, logs and metrics of a run, on a real node."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.cluster import Cluster, Json, Run
from tests.e2e.conftest import Desk, new_desk

SHOP = "docker.io/seatrial/shop"
STEPS = Path(__file__).parent / "steps"


def service(name: str, **more: Any) -> Json:
    """Make a service that counts its requests."""
    return {
        "name": name,
        "image": f"{SHOP}:1",
        # Not as a file: what mounts a ConfigMap of ours cannot be copied by a step.
        "command": ["python3", "-c", (STEPS / "counter.py").read_text()],
        "ports": [{"name": "http", "port": 8080}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
        **more,
    }


def spec_of(file: str, *services: Json) -> str:
    spec = yaml.safe_load((STEPS / file).read_text())
    spec["services"] += services
    return yaml.safe_dump(spec)


SAYS = {
    "no-such-command": ["the command could not be run", "lss"],
    "fails": ["exit code 4", "it is broken"],
    "takes-too-long": ["did not end within 3 s"],
    "writes-too-much": ["more than 1 MiB"],
    "no-such-object": ["there is no deployment 'wob'"],
    "the-conductor": ["there is no pod 'seatrial-conductor'"],
    "the-conductors-pod": ["is not of the system under test"],
    "the-conductors-token": ["secretRef: is seatrial-conductor"],
    "an-image-that-is-not-there": ["not within 2", "object.metadata.name == 'x' is false"],
    "no-such-line": ["has written no line within 1s that contains 'never written'"],
    "a-line-that-is-there": ["has written", "such"],
    "no-such-metric": ["there is no metric visits", "visits_total"],
    "stops-in-the-middle-of-requests": ["did not hold for 1m", "response.status is 503"],
}


@pytest.fixture(scope="module")
def good(shared_desk: Desk) -> tuple[Run, Json]:
    services = [service(name) for name in ("web", "counted", "crashing", "rolled")]
    services += [service(name, env={"VERSION": name}) for name in ("blue", "green")]
    run = shared_desk.run("steps", spec_of("right.yaml", *services))
    return run, run.finished(timeout_s=420)


@pytest.fixture(scope="module")
def bad(shared_desk: Desk) -> tuple[Run, Json]:
    # Three, because of one pod all requests may have gone elsewhere just before.
    abrupt = service("abrupt", replicas=3, env={"STOPS": "at once"})
    run = shared_desk.run("wrong-steps", spec_of("wrong.yaml", service("web"), abrupt))
    return run, run.finished(timeout_s=360)


@pytest.mark.parametrize(
    "name",
    [
        *("commands", "rolls-out-under-traffic", "blue-and-green", "a-canary-has-its-share"),
        *("logs", "metrics"),
    ],
)
def test_what_a_step_can_do(name: str, good: tuple[Run, Json]) -> None:
    [test] = [each for each in good[1]["tests"] if each["name"] == name]
    assert (test["outcome"], test["message"]) == ("Passed", "")


def test_a_run_that_changes_itself_is_passed(good: tuple[Run, Json]) -> None:
    assert good[1]["verdict"] == "Passed", good[1]["message"]


@pytest.mark.parametrize("name", SAYS)
def test_what_goes_wrong_is_told(name: str, bad: tuple[Run, Json]) -> None:
    [test] = [each for each in bad[1]["tests"] if each["name"] == name]
    assert test["outcome"] in ("Failed", "Error")
    message = test["message"] + " ".join(each["message"] for each in test.get("failures", []))
    assert [words for words in SAYS[name] if words not in message] == [], message


@pytest.fixture
def kept(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Run]:
    desk = new_desk(cluster, "kept")
    spec = {
        "keepEnvironment": {"onSuccess": "10m"},
        "services": [service("web")],
        "tests": [{"name": "a", "scenario": [{"expect": ["true"]}]}],
    }
    run = desk.run("kept", yaml.safe_dump(spec))
    run.finished()
    yield run
    cluster.delete(f"/api/v1/namespaces/{desk.namespace}")


def pytest_of(file: Path, namespace: str, kubeconfig: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(file), "-rA"]
    done = subprocess.run(
        [*command, "--seatrial-namespace", namespace],
        env={**os.environ, "KUBECONFIG": kubeconfig},
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_the_same_steps_work_from_a_laptop_in_a_namespace_that_was_kept(
    kept: Run, kubeconfig: str, tmp_path: Path
) -> None:
    file = tmp_path / "test_kept.yaml"
    file.write_text(
        """
tests:
- name: from-afar
  scenario:
  - exec: {service: web, command: [echo, hello]}
    expect: ["result.stdout.trim() == 'hello'"]
  - kubernetes: {wait: deployment/web}
  - logs: {service: web, since: all}
"""
    )
    assert "1 passed" in pytest_of(file, kept.environment, kubeconfig)
    refused = pytest_of(file, "kube-system", kubeconfig)
    assert "namespace kube-system is not that of a run" in refused
    assert "1 failed" in refused
