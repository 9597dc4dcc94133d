"""Twenty runs applied at once all end with the right verdict, and leave nothing behind."""

from __future__ import annotations

import time

import pytest
from seatrial.api.names import LABEL_READABLE, LABEL_READABLE_VALUE

from tests.e2e.conftest import Desk

PASSES = "tests: [{name: t, scenario: [{expect: ['1 + 1 == 2']}]}]"
FAILS = "tests: [{name: t, scenario: [{expect: ['1 + 1 == 3']}]}]"
WEB = """
- name: web
  image: docker.io/seatrial/shop:1
  command: [python3, -m, http.server, --directory, /srv, "8080"]
  ports: [{name: http, port: 8080}]
"""
SERVES = f"""
services:{WEB}
tests:
- name: t
  scenario:
  - http: {{get: "http://web:8080/"}}
    expect: ["response.status == 200"]
"""
# Its pod is killed while it is asked; with one pod, every request until the next one is there.
KILLED = f"""
services:{WEB}
faults:
- name: lost
  target: {{service: web}}
  kill: {{}}
  when: {{test: t}}
  recovery: {{within: 90s}}
tests:
- name: t
  matrix: {{number: [1, 2, 3]}}
  scenario:
  - http: {{get: "http://web:8080/", timeout: 1s}}
    eventually: {{within: 90s}}
    expect: ["response.status == 200"]
"""
SUITE = """
tests: [{name: t, pytest: {configMap: suite}}]
"""
CONTAINER = """
tests:
- name: t
  container: {image: docker.io/seatrial/shop:1, command: [python3, -c, pass]}
- name: wrong
  container: {image: docker.io/seatrial/shop:1, command: [python3, -c, "exit(3)"]}
"""
BAD = "tests: [{name: t, pytest: {configMap: nowhere}}]"
KINDS = [
    (PASSES, "Passed"),
    (FAILS, "Failed"),
    (SERVES, "Passed"),
    (KILLED, "Passed"),
    (SUITE, "Passed"),
    (CONTAINER, "Failed"),
    (BAD, "Error"),
]
TESTS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "suite", "labels": {LABEL_READABLE: LABEL_READABLE_VALUE}},
    "data": {"test_it.py": "def test_it():\n    pass\n"},
}


@pytest.mark.slow
def test_twenty_runs_at_once_end_right_and_leave_nothing(desk: Desk) -> None:
    cluster = desk.cluster
    cluster.apply(desk.namespace, TESTS)
    before = cluster.everything()
    expected = {}
    for number in range(20):
        spec, verdict = KINDS[number % len(KINDS)]
        run = desk.run(f"run-{number}", spec)
        expected[run.name] = verdict

    ended = {run.name: run.finished(timeout_s=300) for run in desk.runs}
    verdicts = {name: status["verdict"] for name, status in ended.items()}
    assert verdicts == expected, {name: status["message"] for name, status in ended.items()}

    uids = {run.get()["metadata"]["uid"] for run in desk.runs}
    for run in desk.runs:
        run.delete()
    for run in desk.runs:
        run.gone(timeout_s=120)
    # The address of a Service is given back some time after the Service has gone; a namespace has
    # these two of its own, a moment after it was made.
    apart = ("/ipaddresses/", f"/{desk.namespace}/kube-root-ca.crt", f"/{desk.namespace}/default")

    def left() -> set[str]:
        found = cluster.everything() - before
        return {each for each in found if not any(part in each for part in apart)}

    # What a run owned goes some time after it.
    give_up = time.monotonic() + 60
    while left() and time.monotonic() < give_up:
        time.sleep(1)
    assert left() == set()
    assert [cluster.environments(uid) for uid in uids] == [[]] * 20
