"""When a fault begins and ends, what chance chooses, and what is said when the proof is missing."""

from __future__ import annotations

import copy
import json

import yaml

from tests.e2e.breaking import (
    MANUAL,
    MOMENTS,
    assert_passed,
    assert_proven,
    fault_of,
    last_summary,
    moment,
    peer,
    peer_manifests,
    report_part,
    run_of,
    suite,
)
from tests.e2e.cluster import Json, Run, reason
from tests.e2e.conftest import Desk

WIRE = {"echo": 9000}
HTTP = {"http": 8080}


def latency(name: str, service: str, lasts: str, when: Json | None = None, **more: object) -> Json:
    return {
        "name": name,
        "target": {"service": service},
        "latency": {"delay": "100ms"},
        "for": lasts,
        "when": when or {},
        **more,
    }


def group() -> Json:
    """Give a service of four pods with an address each, one of which leads."""
    service = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,  # what hangs is to be found all the same
        "ports": [{"name": "http", "port": 8080, "targetPort": "http"}],
    }
    made = peer_manifests("group", http=HTTP, service=service)
    objects = list(yaml.safe_load_all(made["manifests"]["inline"]))
    [workload] = [each for each in objects if each["kind"] == "Deployment"]
    objects.remove(workload)
    for role, replicas in {"leader": 1, "follower": 3}.items():
        labels = {"app": "group", "role": role}
        one = copy.deepcopy(workload)
        one["metadata"]["name"] = role
        one["spec"] |= {"replicas": replicas, "selector": {"matchLabels": labels}}
        one["spec"]["template"]["metadata"]["labels"] = labels
        objects.append(one)
    return {"name": "group", "manifests": {"inline": yaml.safe_dump_all(objects)}}


# See ``inside/frozen.py``, which begins and ends them.
FREEZES: dict[str, Json] = {"half": {"pods": "50%"}, "leader": {"podLabels": {"role": "leader"}}}
FROM_GATE_S = 3


def timeline() -> Json:
    return {
        "timeout": "5m",
        "podSecurity": "privileged",
        "services": [peer("web", http=HTTP, wire=WIRE), group()],
        "faults": [
            # Long enough for a suite that takes its time to begin.
            latency("from-gate", "web", "25s", {"after": f"{FROM_GATE_S}s"}),
            latency("first", "web", "3s", {"test": "busy", "after": "500ms"}),
            latency("second", "web", "3s", {"fault": "first"}),
            latency("third", "web", "3s", {"fault": "second", "after": "500ms"}),
            latency("again", "web", "2s", {"test": "busy", "every": "4s", "times": 3}),
            *(
                {
                    "name": name,
                    "target": {"service": "group", **target},
                    "freeze": {},
                    "for": "1m",
                    "when": MANUAL,
                }
                for name, target in FREEZES.items()
            ),
        ],
        "tests": [
            {
                "name": "busy",
                "pytest": {"configMap": "suites", "args": ["-k", "test_busy"]},
                "timeout": "3m",
            },
            {"name": "frozen", "pytest": {"configMap": "suites", "args": ["-k", "test_frozen"]}},
        ],
    }


def test_faults_begin_at_their_moment_follow_one_another_and_come_again(desk: Desk) -> None:
    run = run_of(desk, "timeline", timeline(), suite("suites", "busy", "frozen"))
    status = run.finished()
    assert_passed(run, status)
    from_gate, first, second, third, again = (
        assert_proven(status, each) for each in ("from-gate", "first", "second", "third", "again")
    )
    report = json.loads(report_part(run, "report.json.gz"))
    [gate] = [moment(each["at"]) for each in report["journal"] if each["kind"] == "gate.opened"]
    begun = moment(from_gate["requested"])
    assert (begun - gate).total_seconds() >= FROM_GATE_S
    [busy] = [each for each in report["summary"]["tests"] if each["name"] == "busy"]
    assert begun < moment(busy["finishedAt"])  # it waited for the gate alone
    assert moment(first["reverted"]) <= moment(second["requested"])
    wait_s = (moment(third["requested"]) - moment(second["reverted"])).total_seconds()
    assert wait_s >= 0.5
    assert again["times"] == 3
    ends = {each["revertedBy"] for each in (from_gate, first, second, third, again)}
    assert ends == {"deadline"}
    half, leader = (assert_proven(status, each) for each in FREEZES)
    assert len(half["targets"]) == 2
    assert [each["name"].partition("-")[0] for each in leader["targets"]] == ["leader"]


def seeded(name: str, seed: int | None) -> Json:
    kill: Json = {
        "name": "lose-two",
        "target": {"service": "web", "pods": 2},
        "kill": {},
        "when": MANUAL,
        "recovery": {"within": "60s"},
    }
    return {
        "services": [
            peer_manifests(
                "web",
                http=HTTP,
                workload={
                    "kind": "StatefulSet",
                    "replicas": 5,
                    "podManagementPolicy": "Parallel",
                },
            )
        ],
        "faults": [kill if seed is None else {**kill, "seed": seed}],
        "tests": [
            {
                "name": "t",
                "scenario": [
                    {"fault": {"start": "lose-two"}},
                    {
                        "http": {"get": "http://web:9080/"},
                        "eventually": {"within": "60s"},
                    },
                ],
            }
        ],
    }


def test_what_chance_chose_can_be_had_again(desk: Desk) -> None:
    def chosen(run: Run, status: Json) -> list[str]:
        assert_passed(run, status)
        return sorted(each["name"] for each in fault_of(status, "lose-two")["targets"])

    run = run_of(desk, "by-chance", seeded("by-chance", None))
    status = run.finished()
    first = chosen(run, status)
    seed = fault_of(status, "lose-two")["seed"]
    assert seed is not None
    # All at once: each only waits for pods.
    runs = [
        run_of(desk, name, seeded(name, number))
        for name, number in {"again": seed, "other-1": 1, "other-2": 2, "other-3": 3}.items()
    ]
    again, *others = [chosen(run, run.finished(timeout_s=240)) for run in runs]
    assert fault_of(runs[0].status, "lose-two")["seed"] == seed
    assert again == first
    assert len({tuple(each) for each in [first, *others]}) > 1


def test_a_fault_that_meets_nothing_proves_nothing(desk: Desk) -> None:
    run = run_of(
        desk,
        "unmet",
        {
            "services": [peer("web", http=HTTP), peer("lonely", http=HTTP)],
            "faults": [
                latency("unmet", "lonely", "30s", {"test": "t"}),
                {
                    "name": "unmatched",
                    "target": {"service": "web"},
                    "http": {"abort": {"status": 503}, "match": {"path": "/nowhere"}},
                    "for": "30s",  # at the longest: it ends with its test
                    "when": {"test": "t"},
                },
            ],
            "tests": [{"name": "t", "pytest": {"configMap": "elsewhere"}, "timeout": "3m"}],
        },
        suite("elsewhere", "elsewhere"),
    )
    status = run.finished()
    assert status["verdict"] == "Inconclusive"
    assert reason(status, "FaultsProven") == "FaultMetNoTraffic"
    for name in ("unmet", "unmatched"):
        fault = fault_of(status, name)
        assert fault["hits"] == 0
        missing = [each for each in MOMENTS if each != "firstHit" and not fault.get(each)]
        assert not missing, fault
    assert "unmet" in status["message"]
    assert "when: {test: NAME}" in status["message"]  # what to change


def test_what_had_no_effect_and_what_ended_early_is_no_proof(desk: Desk) -> None:
    run = run_of(
        desk,
        "unproven",
        {
            "services": [peer("web", http=HTTP, wire=WIRE), peer("other", http=HTTP)],
            "faults": [
                {
                    "name": "no-limit",
                    "target": {"service": "web", "port": "echo"},
                    # More than there are connections: nobody has to wait.
                    "connectionLimit": {"connections": 2000},
                    "for": "4s",
                    "when": {"test": "busy"},
                },
                {
                    "name": "away",
                    "target": {"service": "other"},
                    "scale": {"replicas": 0},
                    "for": "30s",
                    "when": {"test": "busy"},
                },
            ],
            "tests": [{"name": "busy", "pytest": {"configMap": "busy"}, "timeout": "3m"}],
        },
        suite("busy", "busy"),
    )

    def is_away(status: Json) -> bool:
        if not status.get("namespace"):
            return False
        faults = {each["name"]: each for each in last_summary(run).get("faults", [])}
        return bool(faults) and faults["away"]["state"] == "Active"

    run.wait(is_away, "the fault is on")
    other = f"/apis/apps/v1/namespaces/{run.environment}/deployments/other"
    run.cluster.patch(other, {"spec": {"replicas": 2}})  # as an autoscaler would
    status = run.finished()
    assert status["verdict"] == "Inconclusive"
    no_limit, away = fault_of(status, "no-limit"), fault_of(status, "away")
    assert no_limit["state"] == "NoEffect", no_limit
    assert "no probe of the conductor has seen connectionLimit" in no_limit["message"]
    assert away["state"] == "EndedEarly", away
    assert "Deployment/other was given 2 replicas, not by the conductor" in away["message"]
    assert (
        "Fault no-limit was carried out, but had no effect that could be seen" in status["message"]
    )
