"""What the operator tells of a run whose failures show secrets: its log, metrics and events."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from seatrial.api.names import CONNECTIONS_SECRET, LABEL_READABLE, LABEL_READABLE_VALUE

from tests.e2e.breaking import IMAGE, run_of
from tests.e2e.cluster import OPERATOR_LABELS, Cluster, Json, Run
from tests.e2e.conftest import Desk, operator_log

WORD = "open-sesame-4711"
WORDS: Json = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "words", "labels": {LABEL_READABLE: LABEL_READABLE_VALUE}},
    "data": {"WORD": b64encode(WORD.encode()).decode()},
}
GIVEN: Json = [{"secret": "words"}]
# The first shows the word in what it says of its failure, the second all it knows in its log.
SPEC: Json = {
    "envFrom": GIVEN,
    "services": [
        {"name": "db", "preset": "postgres"},
        {
            "name": "web",
            "image": IMAGE,
            "command": ["python3", "-m", "http.server", "--directory", "/srv", "8080"],
            "envFrom": GIVEN,
            "ports": [{"name": "http", "port": 8080}],
        },
    ],
    "tests": [
        {
            "name": "asks",
            "scenario": [
                {
                    "http": {"get": "http://web:8080/{{ env.WORD }}"},
                    "expect": ["env.WORD == 'mistaken'"],
                }
            ],
        },
        {
            "name": "tells",
            "container": {
                "image": IMAGE,
                "command": ["sh", "-c", 'echo "$WORD $DB_PASSWORD $DB_URL" >&2; exit 3'],
                "envFrom": GIVEN,
            },
        },
    ],
}


def metrics_of(cluster: Cluster) -> str:
    """Give what each operator's /metrics shows, asked through the API server."""
    texts = []
    for pod in cluster.items("/api/v1/pods", labelSelector=OPERATOR_LABELS):
        where, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        [container] = pod["spec"]["containers"]
        [port] = [each["containerPort"] for each in container["ports"] if each["name"] == "metrics"]
        path = f"/api/v1/namespaces/{where}/pods/{name}:{port}/proxy/metrics"
        texts.append(str(cluster.call("GET", path)))
    return "\n".join(texts)


def told_of(run: Run) -> list[Json]:
    uid = run.get()["metadata"]["uid"]
    events = run.cluster.items(f"/api/v1/namespaces/{run.namespace}/events")
    return [each for each in events if each["involvedObject"].get("uid") == uid]


def lines_about(run: Run, log: str) -> list[Json]:
    """Give the lines about a run: JSON objects with its name and its UID."""
    uid = run.get()["metadata"]["uid"]
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [each for each in lines if (each.get("run"), each.get("uid")) == (run.name, uid)]


def test_log_metrics_and_events_tell_of_the_run_and_of_no_secret(desk: Desk) -> None:
    cluster = desk.cluster
    run = run_of(desk, "indiscreet", SPEC, WORDS)
    run.wait(lambda status: bool(status.get("namespace")), "a namespace")
    # It is there before the tests, and gone soon after them.
    [drawn] = cluster.wait(
        f"/api/v1/namespaces/{run.environment}/secrets",
        bool,
        "the password is drawn",
        180,
        fieldSelector=f"metadata.name={CONNECTIONS_SECRET}",
    )
    password = b64decode(drawn["data"]["db.password"]).decode()
    status = run.finished()
    assert status["verdict"] == "Failed", status["message"]
    assert [each["outcome"] for each in status["tests"]] == ["Failed", "Failed"]
    assert "***" in status["tests"][0]["message"]  # it had something to hide
    run.in_phase("Finished", 240)
    cluster.wait(
        f"/api/v1/namespaces/{run.namespace}/events",
        lambda events: any(each["reason"] == "CleanedUp" for each in events),
        "the last event is told",
        120,
    )

    log, metrics, events = operator_log(cluster, tail=5000), metrics_of(cluster), told_of(run)

    changes = [each for each in lines_about(run, log) if each["message"] == "phase changed"]
    phases = {each["phase"] for each in changes}
    assert {"Provisioning", "Running", "Finished"} <= phases
    assert {each["namespace"] for each in changes} == {desk.namespace}
    assert {"Started", "Failed", "ReportAvailable"} <= {each["reason"] for each in events}
    counted = [
        float(line.split()[-1])
        for line in metrics.splitlines()
        if line.startswith('seatrial_runs_ended_total{verdict="Failed"}')
    ]
    assert sum(counted) >= 1
    for secret in (WORD, password):
        for form in (secret, b64encode(secret.encode()).decode()):
            for where, text in {
                "the operator's log": log,
                "/metrics": metrics,
                "the events": json.dumps(events),
                "the run": json.dumps(run.get()),
            }.items():
                assert form not in text, f"{where} has a secret"
