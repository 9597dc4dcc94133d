"""Images that run as root: welcome in a run that asks for baseline, refused in any other."""

from __future__ import annotations

import pytest

from tests.e2e.breaking import assert_passed, peer, peer_manifests, run_of
from tests.e2e.cluster import Json, reason
from tests.e2e.conftest import Desk

ROOT_IMAGE = "docker.io/seatrial/agent:dev"  # the one image here whose user is root
HTTP = {"http": 8080}
NEVER: Json = {"name": "never", "scenario": [{"expect": ["true"]}]}


def short() -> Json:
    """Give a service whose image runs as root, in the short form."""
    return peer("short", http=HTTP, image=ROOT_IMAGE)


def plain() -> Json:
    """Give a service that is root by its manifests, which Pod Security baseline admits."""
    root = {"runAsUser": 0, "runAsNonRoot": False}
    return peer_manifests("plain", http=HTTP, container={"securityContext": root})


def they_are_root() -> Json:
    """Give a scenario that looks at the processes of both."""
    is_root = "response.text.contains('Uid:\\t0\\t0\\t0\\t0')"
    steps = [
        {"http": {"get": f"http://{each}/file/proc/self/status"}, "expect": [is_root]}
        for each in ("short:8080", "plain:9080")
    ]
    return {"name": "they-are-root", "scenario": steps}


def a_tool_as_root() -> Json:
    code = "import os, pathlib; assert os.getuid() == 0; pathlib.Path('/written').write_text('')"
    container = {"image": ROOT_IMAGE, "command": ["python3", "-c", code]}
    return {"name": "tool", "container": container}


def test_under_baseline_services_and_tests_run_as_root(desk: Desk) -> None:
    spec = {
        "podSecurity": "baseline",
        "services": [short(), plain()],
        "tests": [they_are_root(), a_tool_as_root()],
    }
    run = run_of(desk, "root", spec)
    status = run.finished()
    assert_passed(run, status)
    assert {each["outcome"] for each in status["tests"]} == {"Passed"}


def test_under_restricted_manifests_of_a_root_are_refused_before_anything_is_there(
    desk: Desk,
) -> None:
    run = run_of(desk, "root", {"services": [plain()], "tests": [NEVER]})
    status = run.finished(timeout_s=180)
    assert (status["verdict"], reason(status, "Finished")) == ("Error", "InvalidSpec")
    assert "spec.services[0].manifests[Deployment/plain]: container peer" in status["message"]
    assert "spec.podSecurity: baseline" in status["message"]
    assert desk.cluster.environments(run.get()["metadata"]["uid"]) == []


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"services": [short()], "tests": [NEVER]}, id="of-a-service"),
        pytest.param({"tests": [a_tool_as_root()]}, id="of-a-test"),
    ],
)
def test_under_restricted_an_image_of_root_is_an_error_that_says_what_to_do(
    spec: Json, desk: Desk
) -> None:
    status = run_of(desk, "root", spec).finished()
    assert status["verdict"] == "Error", status["message"]
    assert "image will run as root" in status["message"]
    assert "Set runAsUser, or spec.podSecurity: baseline" in status["message"]
