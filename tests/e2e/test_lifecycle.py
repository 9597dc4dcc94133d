"""Suspend, abort, replace, keep, delete: in every phase, and nothing stays behind."""

from __future__ import annotations

import pytest

from tests.e2e.breaking import moment
from tests.e2e.cluster import Run, condition, reason
from tests.e2e.conftest import Desk

SHOP = "docker.io/seatrial/shop:1"
# Ready after a while, so that Provisioning can be met; the test takes as long as it is given. The
# shell ends at once when it is told to, so that nobody waits for the pod's grace.
SPEC = """
services:
- name: web
  image: {shop}
  command:
  - sh
  - -c
  - |
    trap 'exit 0' TERM
    (sleep {ready_after_s}; exec python3 -m http.server --directory /app 8080) &
    wait
  ports: [{{name: http, port: 8080}}]
tests:
- name: long
  scenario:
  - http: {{get: "http://web:8080/{path}", timeout: 1s}}
    eventually: {{within: {test_s}s}}
    expect: ["response.status == 200"]
- name: after
  scenario:
  - http: {{get: "http://web:8080/"}}
"""
TRIVIAL = "tests: [{name: t, scenario: [{expect: ['true']}]}]"


def slow(*, ready_after_s: float = 0, test_s: int = 60, path: str = "nowhere") -> str:
    return SPEC.format(shop=SHOP, ready_after_s=ready_after_s, test_s=test_s, path=path)


def uid(run: Run) -> str:
    found: str = run.get()["metadata"]["uid"]
    return found


@pytest.mark.parametrize("phase", ["Queued", "Provisioning", "Running", "Collecting", "Finished"])
def test_a_deleted_run_leaves_nothing(phase: str, desk: Desk) -> None:
    spec = TRIVIAL if phase == "Finished" else slow(ready_after_s=30 * (phase == "Provisioning"))
    run = desk.run("deleted", ("suspend: true\n" if phase == "Queued" else "") + spec)
    identity = uid(run)
    if phase == "Collecting":
        run.in_phase("Running")
        run.change(abort=True)
    run.in_phase(phase)
    run.delete()
    run.gone()
    assert desk.cluster.environments(identity) == []


@pytest.mark.parametrize("phase", ["Queued", "Provisioning", "Running"])
def test_an_aborted_run_ends_soon_as_aborted(phase: str, desk: Desk) -> None:
    spec = slow(ready_after_s=30 if phase == "Provisioning" else 0)
    run = desk.run("aborted", ("suspend: true\n" if phase == "Queued" else "") + spec)
    run.in_phase(phase)
    run.change(abort=True)
    status = run.finished(timeout_s=180)
    assert status["verdict"] == "Aborted"
    assert reason(status, "Finished") == "AbortRequested"


def test_a_suspended_run_waits_in_the_queue_and_before_its_next_test(desk: Desk) -> None:
    run = desk.run("suspended", "suspend: true\n" + slow(ready_after_s=15, path="", test_s=30))
    run.in_phase("Queued")
    assert desk.cluster.environments(uid(run)) == []

    run.change(suspend=False)
    run.in_phase("Provisioning")
    run.change(suspend=True)
    # The environment still comes up; then the run holds before its first test.
    held = run.wait(lambda now: condition(now, "EnvironmentReady") == "True", "ready", 180)
    assert {test["outcome"] for test in held["tests"]} <= {"Pending"}
    with pytest.raises(AssertionError, match="not yet"):
        run.finished(timeout_s=4)

    run.change(suspend=False)
    assert run.finished()["verdict"] == "Passed"


def test_a_newer_run_of_a_group_replaces_the_older(desk: Desk) -> None:
    replace = "concurrency: {group: checkout, policy: Replace}\n"
    older = desk.run("older", replace + slow())
    older.in_phase("Running")
    newer = desk.run("newer", replace + slow(path=""))
    status = older.finished(timeout_s=180)
    assert status["verdict"] == "Aborted"
    assert reason(status, "Finished") == "Replaced"
    assert "newer" in status["message"]
    assert newer.finished()["verdict"] == "Passed"


def test_a_newer_run_of_a_group_waits_for_the_older(desk: Desk) -> None:
    group = "concurrency: {group: checkout, policy: Queue}\n"
    older = desk.run("older", group + slow())
    older.in_phase("Running")
    newer = desk.run("newer", group + TRIVIAL)
    other = desk.run("other", TRIVIAL)
    assert other.finished()["verdict"] == "Passed"  # later, but of no group: there is room
    waits = newer.in_phase("Queued")
    assert older.status["phase"] == "Running"
    assert "older" in waits["message"]
    older.change(abort=True)
    status = newer.finished()
    assert status["verdict"] == "Passed"
    assert moment(status["startTime"]) >= moment(older.status["completionTime"])


def test_a_kept_environment_stays_until_it_is_let_go(desk: Desk) -> None:
    run = desk.run("kept", "keepEnvironment: {onFailure: 1h}\n" + slow(test_s=1))
    status = run.finished()
    assert status["verdict"] == "Failed"
    run.wait(lambda now: condition(now, "ReportAvailable") == "True", "a report", 120)
    environment = f"/api/v1/namespaces/{run.environment}"
    found = desk.cluster.get(environment)
    assert found is not None
    assert found["status"]["phase"] == "Active"
    pods = desk.cluster.items(f"{environment}/pods", labelSelector="seatrial.dev/service=web")
    assert [pod["status"]["phase"] for pod in pods] == ["Running"]

    run.change(keepEnvironment={"onFailure": "0s"})
    final = run.in_phase("Finished", timeout_s=240)
    assert condition(final, "CleanedUp") == "True"
    assert desk.cluster.get(environment) is None
    assert final["verdict"] == "Failed"


def test_a_finished_run_goes_after_its_ttl(desk: Desk) -> None:
    run = desk.run("short-lived", "ttlAfterFinished: 1s\n" + TRIVIAL)
    run.gone()


def test_a_namespace_that_will_not_go_is_diagnosed(desk: Desk) -> None:
    run = desk.run("held", "timeouts: {cleanup: 3s}\n" + slow(ready_after_s=15, path=""))
    run.wait(lambda now: bool(now.get("namespace")), "a namespace")
    environment = run.environment
    # Before the run can end: in a namespace that is going nothing can be made any more.
    desk.cluster.wait(
        "/api/v1/namespaces", bool, "it is there", 60, fieldSelector=f"metadata.name={environment}"
    )
    holder = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["e2e.seatrial.dev/holds"]},
    }
    desk.cluster.create(environment, holder)
    try:
        status = run.wait(
            lambda now: (
                condition(now, "CleanedUp") == "False"
                and "e2e.seatrial.dev/holds" in str(now["conditions"])
            ),
            "CleanedUp=False that names the finalizer",
            240,
        )
        assert status["verdict"] == "Passed"
    finally:
        path = f"/api/v1/namespaces/{environment}/configmaps/held"
        desk.cluster.patch(path, {"metadata": {"finalizers": None}})
    run.wait(lambda now: condition(now, "CleanedUp") == "True", "clean", 180)
