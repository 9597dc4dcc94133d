"""Probes and expected failures on a real node: what fails, when, and whose doing it was."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from seatrial.api.names import CONDUCTOR

from tests.e2e.breaking import report_part
from tests.e2e.cluster import Json, Run, condition, reason
from tests.e2e.conftest import Desk

# A server whose answers a request can change: POST /500 makes it answer 500 from then on.
WEB = """
- name: web
  image: docker.io/seatrial/shop:1
  command:
  - python3
  - -c
  - |
    import os, signal
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    class Handler(BaseHTTPRequestHandler):
        status = 200
        def do_GET(self):
            self.send_response(Handler.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
        def do_POST(self):
            Handler.status = int(self.path[1:])
            self.do_GET()

    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
  ports: [{name: http, port: 8080}]
"""


def a_spec(*, faults: str = "[]", probes: str = "[]", tests: str) -> str:
    """Write a run of the one service; each part as YAML in flow style."""
    indented = WEB.replace("\n", "\n  ")
    return f"services:{indented}\nfaults: {faults}\nprobes: {probes}\ntests: {tests}\n"


AWAY = """[{name: web-away, target: {service: web}, scale: {replicas: 0}, for: 3s,
  when: {test: asks}, recovery: {within: 90s}}]"""
ASKS = """[{name: asks, timeout: 2m, scenario: [
  {http: {get: "http://web:8080/", timeout: 1s}, eventually: {within: 90s}}]}]"""
WEB_PROBE = '{name: web, http: {get: "http://web:8080/"}, every: 200ms, timeout: 3s'
PORT_PROBE = "{name: port, tcp: web:8080, every: 200ms, timeout: 3s}"


@pytest.fixture
def outcome(desk: Desk) -> Callable[[str, str], tuple[Run, Json]]:
    """Apply a run and give it with its last status."""

    def apply(name: str, spec: str) -> tuple[Run, Json]:
        run = desk.run(name, spec)
        return run, run.finished()

    return apply


Outcome = Callable[[str, str], tuple[Run, Json]]


def probe_of(status: Json) -> Json:
    [probe] = status["probes"]
    assert isinstance(probe, dict)
    return probe


def test_an_outage_by_a_fault_is_the_faults_and_fails_nothing(outcome: Outcome) -> None:
    probes = f"[{WEB_PROBE}}}, {PORT_PROBE}]"
    _, status = outcome("away", a_spec(faults=AWAY, probes=probes, tests=ASKS))
    assert status["verdict"] == "Passed", status["message"]
    assert [probe["name"] for probe in status["probes"]] == ["web", "port"]
    for probe in status["probes"]:
        assert (probe["state"], probe["outsideFaults"]) == ("Held", 0)
        assert probe["failures"] > 0
        assert probe["duringFaults"] == ["web-away"]
        seconds = float(probe["longestOutage"].removesuffix("s"))
        assert 2 < seconds < 90
    assert "web:8080" in status["probes"][1]["message"]
    [fault] = status["faults"]
    # The fault's own 3 s, and then the time until users were served again.
    assert fault["recovered"] > fault["reverted"]


def test_what_must_hold_during_faults_fails_the_run_and_names_the_fault(outcome: Outcome) -> None:
    probes = f"[{WEB_PROBE}, duringFaults: MustHold}}]"
    _, status = outcome("must-hold", a_spec(faults=AWAY, probes=probes, tests=ASKS))
    assert status["verdict"] == "Failed"
    assert reason(status, "Finished") == "ProbeFailed"
    assert "did not during fault web-away" in status["message"]
    assert condition(status, "FaultsProven") == "True"


def test_what_breaks_by_itself_fails_the_run_and_names_no_fault(outcome: Outcome) -> None:
    tests = '[{name: breaks-it, scenario: [{http: {post: "http://web:8080/500"}}]}]'
    probes = "[{name: web, http: {get: 'http://web:8080/'}, every: 500ms, threshold: 2}]"
    _, status = outcome("by-itself", a_spec(probes=probes, tests=tests))
    assert reason(status, "Finished") == "ProbeFailed"
    assert "did not hold outside of any fault" in status["message"]
    assert "response.status is 500" in status["message"]
    assert probe_of(status)["outsideFaults"] >= 2


def test_probes_go_on_after_the_conductors_death_and_say_what_was_missed(desk: Desk) -> None:
    tests = """[{name: waits, timeout: 1m, scenario: [
      {http: {get: "http://web:8080/"}, eventually: {within: 20s}, expect: ["1 == 2"]}]},
      {name: asks, scenario: [{http: {get: "http://web:8080/"}}]}]"""
    run = desk.run("restarted", a_spec(probes=f"[{WEB_PROBE}}}]", tests=tests))
    run.wait(
        lambda status: any(probe["checks"] > 0 for probe in status.get("probes", [])),
        "a first check",
    )
    run.cluster.delete(
        f"/api/v1/namespaces/{run.environment}/pods/{CONDUCTOR}", gracePeriodSeconds=0
    )
    before = probe_of(run.status)["checks"]
    status = run.finished()
    assert status["conductorStarts"] >= 2
    assert probe_of(status)["checks"] > before
    assert probe_of(status)["state"] == "Held"
    lost = json.loads(report_part(run, "report.json.gz"))["summary"]["lostEvidence"]
    assert [text for text in lost if text.startswith("The probes made no check from")], lost


DATABASE = """
services:
- name: db
  preset: postgres
  files: {/docker-entrypoint-initdb.d/schema.sql: create table kept as select 1 as n}
probes:
- name: db
  sql: {service: db, query: select n from kept}
  expect: [row.n == 1]
  every: 200ms
  timeout: 5s
faults:
- name: db-away
  target: {service: db}
  outage: {}
  for: 3s
  when: {test: asks}
  recovery:
    within: 90s
    until: {sql: {service: db, query: select n from kept}, expect: [rowCount == 1]}
tests:
- name: asks
  timeout: 2m
  scenario: [{sql: {service: db, query: select 1}, eventually: {within: 90s}}]
"""


def test_a_probe_sees_a_database_go_and_come_back(outcome: Outcome) -> None:
    _, status = outcome("database", DATABASE)
    assert status["verdict"] == "Passed", status["message"]
    probe = probe_of(status)
    assert (probe["state"], probe["duringFaults"]) == ("Held", ["db-away"])
    assert 2 < float(probe["longestOutage"].removesuffix("s")) < 90
    # It finds nobody there, or was asking when the server ended.
    told = ("db: postgresql://db:5432/", "db: terminating connection")
    assert probe["message"].startswith(told), probe["message"]
    [fault] = status["faults"]
    assert fault["recovered"] > fault["reverted"]
    # Where it is, is told; the password that it is asked with is not.
    assert "@" not in probe["message"]


def test_a_failure_that_is_expected_is_asserted_in_its_kind_and_time(outcome: Outcome) -> None:
    faults = """[
      {name: refused, target: {service: web, from: [tests]}, refuse: {}, for: 40s,
       when: {manual: {}}},
      {name: dead, target: {service: web, from: [tests]}, blackhole: {}, for: 40s,
       when: {manual: {}}}]"""
    patient = 'http: {get: "http://web:8080/", timeout: 20s}'
    step = 'http: {get: "http://web:8080/", timeout: 1s}'
    tests = f"""[{{name: it-fails-so, timeout: 1m, scenario: [
      {{fault: {{start: refused}}}},
      {{{patient}, expectFailure: {{during: refused, noResponse: true, within: 10s}}}},
      {{fault: {{stop: refused}}}},
      {{fault: {{start: dead}}}},
      {{{step}, expectFailure: {{during: dead, noResponse: true, within: 10s}}}},
      {{fault: {{stop: dead}}}}]}},
      {{name: too-late, scenario: [
      {{{step}, expectFailure: {{during: dead, noResponse: true}}}}]}}]"""
    _, status = outcome("it-fails-so", a_spec(faults=faults, tests=tests))
    first, second = status["tests"]
    assert (first["outcome"], first["message"]) == ("Passed", "")
    assert second["outcome"] == "Failed"
    assert "fault dead is not in effect" in second["message"]
    assert {fault["state"] for fault in status["faults"]} == {"Recovered"}
    assert all(fault["hits"] > 0 for fault in status["faults"])
