"""
What cannot be had, or is out of time, is an Error with its own reason.

What cannot be had is one long before its timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

from tests.e2e.breaking import report_part
from tests.e2e.cluster import Run, condition, reason
from tests.e2e.conftest import Desk

SHOP = "docker.io/seatrial/shop:1"


@dataclass(frozen=True)
class Broken:
    """A service that cannot start, and what is said about it."""

    service: str
    reason: str
    says: tuple[str, ...]
    within_s: float = 240  # and not the five minutes of the phase


BROKEN = {
    "image-that-is-not-there": Broken(
        "image: localhost:1/nothing:1", "ImagePullFailed", ("localhost:1/nothing:1",)
    ),
    "crash-loop": Broken(
        f"""image: {SHOP}
      ports: [{{name: http, port: 8080}}]
      command: [python3, -c, "raise SystemExit('no database url')"]""",
        "CrashLoop",
        ("no database url", "1"),
    ),
    "out-of-memory": Broken(
        f"""image: {SHOP}
      ports: [{{name: http, port: 8080}}]
      resources: {{limits: {{memory: 24Mi}}}}
      command: [python3, -c, "x = bytes(range(256)) * 2**20"]""",
        "OOMKilled",
        ("memory",),
    ),
    "no-room": Broken(
        f"""image: {SHOP}
      resources: {{requests: {{cpu: "500"}}}}""",
        "Unschedulable",
        ("cpu",),
    ),
}


def spec(broken: Broken) -> str:
    return f"""
    services:
    - name: broken
      {broken.service}
    tests:
    - name: t
      scenario: [{{expect: ["true"]}}]
    """


@pytest.fixture(scope="module")
def runs(shared_desk: Desk) -> dict[str, Run]:
    """Apply all of them at once: they fail side by side, in a quarter of the time."""
    return {name: shared_desk.run(name, spec(each)) for name, each in BROKEN.items()}


@pytest.mark.parametrize("name", BROKEN)
def test_the_reason_is_specific_and_comes_soon(name: str, runs: dict[str, Run]) -> None:
    broken = BROKEN[name]
    status = runs[name].finished(timeout_s=broken.within_s)
    assert status["verdict"] == "Error", status["message"]
    assert reason(status, "EnvironmentReady") == broken.reason
    assert condition(status, "EnvironmentReady") == "False"
    message = status["message"]
    for words in broken.says:
        assert words in message
    assert [s["state"] for s in status["services"]] == ["Failed"]
    junit = ElementTree.fromstring(report_part(runs[name], "junit.xml.gz"))
    error = junit.find("testsuite[@name='provisioning']/testcase[@name='broken']/error")
    assert error is not None
    assert error.get("message") in message


def test_a_quota_that_is_used_up_is_named(desk: Desk) -> None:
    # Behind a first service: the quota counts only once its controller has seen it. The pod waits
    # for a volume for ever, so the service is not ready before the quota says no.
    claims = "\n---\n".join(
        f"{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: claim-{n}}}, spec:"
        " {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}"
        for n in range(21)  # the quota of a run's namespace admits 20
    )
    waits = (
        "{apiVersion: v1, kind: Pod, metadata: {name: waits}, spec: {volumes: [{name: v,"
        " persistentVolumeClaim: {claimName: claim-0}}], securityContext: {runAsNonRoot: true,"
        " seccompProfile: {type: RuntimeDefault}}, containers: [{name: c, image: " + SHOP + ","
        " volumeMounts: [{name: v, mountPath: /v}], securityContext: {allowPrivilegeEscalation:"
        " false, capabilities: {drop: [ALL]}}}]}}"
    )
    indented = f"{waits}\n---\n{claims}".replace("\n", "\n      ")
    run = desk.run(
        "over-quota",
        f"""
services:
- name: first
  image: {SHOP}
  command: [python3, -m, http.server, "8080"]
  ports: [{{name: http, port: 8080}}]
- name: greedy
  dependsOn: [first]
  manifests:
    inline: |
      {indented}
tests:
- name: t
  scenario: [{{expect: ["true"]}}]
""",
    )
    status = run.finished(timeout_s=180)
    assert status["verdict"] == "Error", status["message"]
    assert reason(status, "EnvironmentReady") == "QuotaExceeded"
    assert "persistentvolumeclaims" in status["message"]
    assert "PersistentVolumeClaim claim-" in status["message"]


def test_a_bad_spec_is_an_error_before_anything_is_created(desk: Desk) -> None:
    run = desk.run("missing", "tests:\n- name: t\n  pytest: {configMap: nowhere}\n")
    status = run.finished(timeout_s=180)
    assert status["verdict"] == "Error"
    assert reason(status, "Finished") == "InvalidSpec"
    assert "spec.tests[0].pytest.configMap" in status["message"]
    assert "nowhere" in status["message"]
    assert desk.cluster.environments(run.get()["metadata"]["uid"]) == []


def test_a_provisioning_that_takes_too_long_names_the_service_and_the_budget(desk: Desk) -> None:
    run = desk.run(
        "slow",
        f"""
        timeouts: {{provisioning: 15s}}
        services:
        - name: never-ready
          image: {SHOP}
          command: [sleep, "600"]
          readinessProbe: {{exec: {{command: ["false"]}}}}
        tests:
        - name: t
          scenario: [{{expect: ["true"]}}]
        """,
    )
    status = run.finished(timeout_s=180)
    assert status["verdict"] == "Error"
    assert reason(status, "EnvironmentReady") == "NotReadyInTime"
    assert "never-ready" in status["message"]
    assert "15 s (spec.timeouts.provisioning)" in status["message"]


ENDLESS = """
tests:
- name: endless
  scenario: [{eventually: {within: 5m}, expect: ["false"]}]
- name: after
  scenario: [{expect: ["true"]}]
"""


def test_what_is_out_of_time_ends_with_the_field_that_says_so(desk: Desk) -> None:
    runs = {
        "The run was not over by its deadline (spec.timeout)": desk.run(
            "whole", "timeout: 30s" + ENDLESS
        ),
        "The tests were not over within 3s (spec.timeouts.tests)": desk.run(
            "tests", "timeouts: {tests: 3s}" + ENDLESS
        ),
    }
    for says, run in runs.items():
        status = run.finished(timeout_s=180)
        assert status["verdict"] == "Error"
        assert reason(status, "Finished") == "TimedOut"
        assert says in status["message"]
        assert [test["outcome"] for test in status["tests"]] == ["Error", "Skipped"]
        assert says in status["tests"][0]["message"]


def test_a_report_that_is_out_of_time_is_missing_and_the_verdict_stays(desk: Desk) -> None:
    spec = "tests: [{name: t, scenario: [{expect: ['true']}]}]"
    run = desk.run("collecting", "timeouts: {collecting: 1ms}\n" + spec)
    status = run.wait(lambda now: condition(now, "ReportAvailable") is not None, "a report or not")
    assert status["verdict"] == "Passed"
    assert condition(status, "ReportAvailable") == "False"
    assert reason(status, "ReportAvailable") == "ReportMissing"
    assert "report" not in status
