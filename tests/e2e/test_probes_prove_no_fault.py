"""What the conductor's own checks meet is no traffic of a test, whichever way they ask."""

from __future__ import annotations

from tests.e2e.cluster import reason
from tests.e2e.conftest import Desk

# Nobody but checks asks payments and db; the test asks web until the faults are over.
SPEC = """
services:
- name: web
  image: docker.io/seatrial/shop:1
  command: [python3, -m, http.server, "8080"]
  ports: [{name: http, port: 8080}]
- name: payments
  image: docker.io/seatrial/shop:1
  command: [python3, -m, http.server, "8080"]
  ports: [{name: http, port: 8080}]
- name: db
  preset: postgres
probes:
- {name: answers, http: {get: "http://payments:8080/"}, every: 200ms, timeout: 5s}
- {name: accepts, tcp: "payments:8080", every: 200ms, timeout: 5s}
- {name: kept, sql: {service: db, query: select 1}, every: 200ms, timeout: 5s}
faults:
- name: slow
  target: {service: payments}
  latency: {delay: 100ms}
  for: 4s
  when: {test: browse}
- name: late
  target: {service: payments}
  http: {delay: 100ms}
  for: 4s
  when: {fault: slow}
  recovery:
    within: 90s
    until: {http: {get: "http://payments:8080/"}}
- name: refused
  target: {service: payments}
  refuse: {}
  for: 4s
  when: {fault: late}
- name: db-slow
  target: {service: db}
  latency: {delay: 100ms}
  for: 4s
  when: {test: browse}
tests:
- name: browse
  timeout: 2m
  scenario:
  - http: {get: "http://web:8080/"}
    always: {for: 20s, every: 1s}
"""


def test_a_fault_that_only_checks_have_met_has_met_nothing(desk: Desk) -> None:
    status = desk.run("only-probes", SPEC).finished()
    assert status["verdict"] == "Inconclusive", status["message"]
    assert reason(status, "FaultsProven") == "FaultMetNoTraffic", status["message"]
    assert [probe["name"] for probe in status["probes"] if probe["checks"] < 20] == []
    faults = {fault["name"]: fault for fault in status["faults"]}
    assert set(faults) == {"slow", "late", "refused", "db-slow"}
    for fault in faults.values():
        assert (fault["hits"], fault.get("firstHit")) == (0, None), fault
        assert fault["state"] == "Recovered", fault
        assert fault["effective"], fault  # it was there, and seen
