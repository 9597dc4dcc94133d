"""Twenty runs applied at once all end with the right verdict, and leave nothing behind."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Desk

PASSES = "tests: [{name: t, scenario: [{expect: ['1 + 1 == 2']}]}]"
FAILS = "tests: [{name: t, scenario: [{expect: ['1 + 1 == 3']}]}]"
SERVES = """
services:
- name: web
  image: docker.io/seatrial/shop:1
  command: [python3, -m, http.server, --directory, /srv, "8080"]
  ports: [{name: http, port: 8080}]
tests:
- name: t
  scenario:
  - http: {get: "http://web:8080/"}
    expect: ["response.status == 200"]
"""
BAD = "tests: [{name: t, pytest: {configMap: nowhere}}]"
KINDS = [(PASSES, "Passed"), (FAILS, "Failed"), (SERVES, "Passed"), (BAD, "Error")]


@pytest.mark.slow
def test_twenty_runs_at_once_end_right_and_leave_nothing(desk: Desk) -> None:
    cluster = desk.cluster
    before = cluster.everything()
    expected = {}
    for number in range(20):
        spec, verdict = KINDS[number % len(KINDS)]
        run = desk.run(f"run-{number}", spec)
        expected[run.name] = verdict

    verdicts = {run.name: run.finished(timeout_s=180)["verdict"] for run in desk.runs}
    assert verdicts == expected

    uids = {run.get()["metadata"]["uid"] for run in desk.runs}
    for run in desk.runs:
        run.delete()
    for run in desk.runs:
        run.gone(timeout_s=120)
    names = tuple(run.name for run in desk.runs)
    left = {
        each
        for each in cluster.everything() - before
        if f"/{desk.namespace}/" in each or any(f"itr-{name}-" in each for name in names)
    }
    assert {each for each in left if not each.endswith(("/kube-root-ca.crt", "/default"))} == set()
    assert [cluster.environments(uid) for uid in uids] == [[]] * 20
