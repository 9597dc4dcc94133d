"""Each preset is restarted and killed under use, and has its data and its clients afterwards."""

from __future__ import annotations

import json
from base64 import b64decode

import pytest
import yaml
from seatrial.api.names import CONNECTIONS_SECRET

from tests.e2e.breaking import (
    INSIDE,
    MANUAL,
    assert_passed,
    assert_proven,
    report_part,
    run_of,
    suite,
)
from tests.e2e.cluster import Json
from tests.e2e.conftest import Desk
from tests.support.documented import runs_of

SCHEMA = {"/docker-entrypoint-initdb.d/schema.sql": "create table kept (number int primary key);"}
# What becomes of each; an outage keeps it away until the test ends it, and keeps its volume.
RESTARTS: dict[str, Json] = {
    "postgres": {"outage": {}, "for": "1m"},
    "mysql": {"restart": {}},
    "redis": {"restart": {}},
    "mongodb": {"outage": {}, "for": "1m"},
    "minio": {"restart": {}},
    "rabbitmq": {"restart": {}},
    "kafka": {"outage": {}, "for": "1m"},
    "nats": {"restart": {}},
    "mosquitto": {"outage": {}, "for": "1m"},
}
# Side by side as far as a small node has room.
GROUPS = [
    pytest.param(["postgres", "mysql", "redis", "mongodb", "minio"], id="databases"),
    pytest.param(["rabbitmq", "kafka", "nats", "mosquitto"], id="brokers"),
]


def documented() -> dict[str, Json]:
    """Give the brokers of the page by preset, with the files that they begin with."""
    [run] = [
        run
        for run in runs_of("databases-and-brokers.md")
        if run["metadata"]["name"] == "brokers-with-files"
    ]
    return {each["preset"]: each for each in run["spec"]["services"]}


def a_preset(name: str) -> Json:
    """Give a service that is named like its preset, with something to begin with."""
    files = {"files": SCHEMA} if name in ("postgres", "mysql") else {}
    return {"preset": name, **files, **documented().get(name, {}), "name": name}


def ends_of(name: str) -> list[Json]:
    """Give the faults that end a service's pod, in order and all at once."""
    fault = {"target": {"service": name}, "when": MANUAL, "recovery": {"within": "2m"}}
    return [
        {"name": f"{name}-restarts", **fault, **RESTARTS[name]},
        {"name": f"{name}-killed", **fault, "kill": {}},
    ]


SLOW: Json = {
    "name": "redis-slow",
    "target": {"service": "redis"},
    "latency": {"delay": "300ms"},
    "for": "30s",
    "when": MANUAL,
}


def the_suite() -> Json:
    """Give the ConfigMap of the suite and the clients it uses."""
    made = suite("presets", "presets")
    made["data"]["preset_clients.py"] = (INSIDE / "preset_clients.py").read_text()
    return made


@pytest.mark.parametrize("names", GROUPS)
def test_presets_survive_a_restart_and_a_kill_under_use(desk: Desk, names: list[str]) -> None:
    ends = [fault for name in names for fault in ends_of(name)]
    faults = [*ends, *([SLOW] if "redis" in names else [])]
    # After the suite, which is the first to use each of them.
    steps = yaml.safe_load((INSIDE / "sql.yaml").read_text())["tests"] if "mysql" in names else []
    spec = {
        "timeout": "12m",
        "services": [a_preset(name) for name in names],
        "faults": faults,
        "tests": [
            {
                "name": "suite",
                "timeout": "10m",
                "pytest": {"configMap": "presets", "env": {"PRESETS": ",".join(names)}},
            },
            *steps,
        ],
    }
    run = run_of(desk, "presets", spec, the_suite())

    status = run.finished(780)

    assert_passed(run, status)
    for fault in faults:
        proven = assert_proven(status, fault["name"])
        if "kill" in fault:
            [pod] = proven["targets"]
            assert pod["replacedBy"] not in {None, pod["uid"]}


def test_a_password_is_known_to_steps_and_tests_and_written_nowhere(desk: Desk) -> None:
    tells = 'psql -Atc "select 1" "$DB_URL" && echo "the word is $DB_PASSWORD" && sleep 3'
    spec = {
        "keepEnvironment": {"onSuccess": "5m"},  # until it has been looked at
        "services": [a_preset("postgres") | {"name": "db"}],
        "tests": [
            {
                "name": "asks",
                "scenario": [
                    {
                        "sql": {"service": "db", "query": "select count(*) as rows from kept"},
                        "expect": ["rows[0].rows == 0"],
                    }
                ],
            },
            {
                "name": "tells",
                "container": {
                    "image": "docker.io/seatrial/postgres:15",
                    "command": ["sh", "-c", tells],
                    "runAsUser": 999,
                },
            },
        ],
    }
    run = run_of(desk, "password", spec)
    run.in_phase("Running", 240)
    secret = run.cluster.get(f"/api/v1/namespaces/{run.environment}/secrets/{CONNECTIONS_SECRET}")
    assert secret is not None
    password = b64decode(secret["data"]["db.password"]).decode()
    maps = run.cluster.items(f"/api/v1/namespaces/{run.environment}/configmaps")
    pods = run.cluster.items(f"/api/v1/namespaces/{run.environment}/pods")
    assert password not in json.dumps([maps, pods])

    status = run.finished()

    assert_passed(run, status)
    logs = report_part(run, "logs.json.gz")
    assert "the word is ***" in logs
    for text in (json.dumps(run.get()), logs, report_part(run, "report.json.gz")):
        assert password not in text
