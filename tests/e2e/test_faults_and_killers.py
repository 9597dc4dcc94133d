"""
Whatever is killed, and whenever: no fault is there 1 s after its deadline, and no proof is made up.

Kinds x victims x moments. One run has a fault of every kind of a family, all at the same time, each
on a port or a service of its own; its test looks at all of them from outside five times a second
(``inside/observer.py``), and this one at the objects. So a run is a victim at a moment.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from seatrial.api import families
from seatrial.api.names import COMPONENT_GATEWAY, CONDUCTOR, LABEL_COMPONENT

from tests.e2e import node
from tests.e2e.breaking import (
    MOMENTS,
    fault_of,
    last_summary,
    moment,
    peer,
    peer_manifests,
    report_part,
    run_of,
    suite,
)
from tests.e2e.cluster import OPERATOR_LABELS, Cluster, Json, Run, condition
from tests.e2e.conftest import Desk

# Longer on a busy machine, where many faults at one moment take their time to begin.
LASTS_S = float(os.environ.get("E2E_FAULTS_LAST_S", "8"))
BEGINS_S = 4.0  # after the test's start
GRACE_S = 1.0
EDGE_S = 1.0
MOST_CLEAR = 5  # looks, of five a second: what is measured by time is not exact
TO_APPLY_S = 5.0  # until the pods of a service that is scaled down have ended
LOOK_S = 0.4  # between two looks, and what a busy machine adds to that
KILLED_BEFORE_S = 1.5  # ... the faults' moment

NETWORK: dict[str, Json] = {
    "latency": {"delay": "1s"},
    "blackhole": {},
    "refuse": {},
    "reset": {},
    "bandwidth": {"rate": "16Ki"},
    "slowClose": {"delay": "2s"},
    "connectionLimit": {"connections": 0},
    "corrupt": {"share": "50%"},
    "partition": {},
}
HTTP: dict[str, Json] = {
    "abort": {"abort": {"status": 503}},
    "delay": {"delay": "2s"},
    "rate": {"rate": "8Ki"},
    "body": {"body": {"replace": "<html>not JSON</html>"}},
}
API: dict[str, Json] = {
    "kill": {"kill": {}},
    "restart": {"restart": {}},
    "evict": {"evict": {}},
    "scale": {"scale": {"replicas": 2}},
    "outage": {"outage": {}},
    "noEndpoints": {"noEndpoints": {}},
    "configuration": {"configuration": {"configMap": "look", "set": {"COLOUR": "red"}}},
}
POD: dict[str, Json] = {
    "packets": {"loss": "100%"},
    "dns": {"nxdomain": {}},
    "freeze": {},
    "cpu": {"workers": 1, "load": "40%"},
    "memory": {"size": "100Mi"},
    "disk": {"path": "/data"},
}
WIRE_PORTS = {**{each.lower(): 9000 + i for i, each in enumerate(NETWORK)}, "clean": 9100}
WEB_PORTS = {**{each: 8000 + i for i, each in enumerate(HTTP)}, "clean": 8100}

ROOMY = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "256Mi"}}

# Each in a run of its own: what carries them out are others, and so are those who can be killed.
FAMILIES: dict[str, tuple[dict[str, Json], tuple[str, ...]]] = {
    "traffic": ({**NETWORK, **HTTP}, ("conductor", "gateway", "worker", "envoy", "operator")),
    "api": (API, ("conductor", "operator")),
    "pod": (POD, ("conductor", "agent", "operator")),
}
KILLED = ("before", "during", "after")


def services(family: str) -> list[Json]:
    """Give the services: two whose ports are hit one by one, or one for each fault."""
    http = {"http": 8080}
    if family == "traffic":
        return [peer("wire", wire=WIRE_PORTS), peer("web", http=WEB_PORTS)]
    if family == "api":
        look = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "look"},
            "data": {"COLOUR": "green"},
        }
        plain = ("kill", "restart", "evict", "scale", "noendpoints")
        return [
            *(peer(each, http=http) for each in plain),
            peer("outage", http=http, volumes=[{"path": "/data", "size": "1Mi"}]),
            peer_manifests("configuration", http=http, others=[look]),
        ]
    # What is hit fails its readiness probe, and is to be seen all the same.
    seen = {"publishNotReadyAddresses": True}
    # In memory: a full volume may be a full node.
    volume = {"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}
    return [
        peer_manifests(
            each,
            wire={"wire": 9000},
            http=http,
            service=seen,
            container={
                "resources": ROOMY,
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            },
            volumes=[volume],
        )
        for each in POD
    ]


def faults(family: str) -> Iterator[Json]:
    """Give a fault of every kind of a family, all bound to the same moment."""
    when = {"test": "watch", "after": f"{BEGINS_S:g}s"}
    for kind, given in FAMILIES[family][0].items():
        name = kind.lower()
        fault: Json = {
            "name": name,
            "target": {"service": name},
            "for": f"{LASTS_S:g}s",
            "when": when,
            "recovery": {"within": "60s"},
        }
        if kind in NETWORK:
            fault |= {kind: given, "target": {"service": "wire", "port": name}}
        elif kind in HTTP:
            fault |= {"http": given, "target": {"service": "web", "port": name}}
        elif kind in API:
            fault |= given
        else:
            fault |= {kind: given}
        if kind == "partition":
            fault["target"]["from"] = ["tests"]
        if kind in families.MOMENTARY:
            del fault["for"]
        yield fault


def watched(family: str) -> Json:
    """Say where the observer finds what it looks at."""
    found: Json = {}
    for kind in FAMILIES[family][0]:
        name = kind.lower()
        if kind in NETWORK:
            found[name] = {
                "look": kind,
                "host": "wire",
                "port": WIRE_PORTS[name],
                "clean": WIRE_PORTS["clean"],
            }
        elif kind in HTTP:
            found[name] = {"look": kind, "host": "web", "port": WEB_PORTS[name]}
        elif kind in API:
            port = 9080 if kind == "configuration" else 8080
            found[name] = {"url": f"http://{name}:{port}/"}
        else:
            url = f"http://{name}:9080/"
            found[name] = {"look": kind, "host": name, "port": 10_000, "url": url}
    return found


def spec(family: str, watch_s: float) -> Json:
    return {
        "timeout": "5m",
        "podSecurity": "privileged" if family == "pod" else "restricted",
        "services": [*services(family), peer("bystander", wire={"wire": 9000})],
        "faults": list(faults(family)),
        "tests": [
            {
                "name": "watch",
                "pytest": {
                    "configMap": "observer",
                    "args": ["-s"],
                    "env": {
                        "WATCHED": json.dumps(watched(family)),
                        "WATCH_S": f"{watch_s:g}",
                        # On the same way, so that a gateway that is slow is no fault.
                        "BYSTANDER": "wire:9100" if family == "traffic" else "bystander:9000",
                    },
                },
                "timeout": "2m",
            }
        ],
    }


@pytest.fixture(scope="session")
def local_node(kubeconfig: str) -> Path:
    """Give the folder of the local cluster, whose processes these tests kill."""
    folder = Path(kubeconfig).parent
    if not node.api_servers(folder):
        pytest.skip("needs the local cluster of `make up`: it kills processes of its node")
    return folder


# What is seen of the objects ---------------------------------------------------------------------


class Objects:
    """Watches the objects that faults of the API change, and notes when they are disturbed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ended = threading.Event()
        self._looks = {"scale": self._scaled, "outage": self._down, "configuration": self._red}
        self._looks["noendpoints"] = self._cut
        self.seen: dict[str, list[tuple[float, bool]]] = {name: [] for name in self._looks}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Objects:
        self._base = f"/namespaces/{self._run.environment}"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            for name, look in self._looks.items():
                began = time.time()
                with suppress(Exception):  # the namespace goes in the end
                    self.seen[name].append((began, look()))

    def _replicas(self, name: str) -> int:
        found = self._run.cluster.get(f"/apis/apps/v1{self._base}/deployments/{name}")
        return int(found["spec"]["replicas"]) if found else 1

    def _scaled(self) -> bool:
        return self._replicas("scale") == 2

    def _down(self) -> bool:
        return self._replicas("outage") == 0

    def _red(self) -> bool:
        found = self._run.cluster.get(f"/api/v1{self._base}/configmaps/look")
        return bool(found) and found["data"]["COLOUR"] == "red"

    def _cut(self) -> bool:
        found = self._run.cluster.get(f"/api/v1{self._base}/services/noendpoints")
        return bool(found) and len(found["spec"]["selector"]) > 1

    def spans(self) -> Json:
        """Give when each was seen, in the observer's form."""
        found: Json = {}
        for name, looks in self.seen.items():
            spans: list[list[float]] = []
            before = False
            for began, seen in looks:
                if seen and before:
                    spans[-1][1] = began
                elif seen:
                    spans.append([began, began])
                before = seen
            found[name] = {
                "spans": spans,
                "clear": [began for began, seen in looks if not seen],
            }
        return found


def seen_from_inside(run: Run) -> Json:
    """Give what the observer has printed, from the logs that the report keeps."""
    logs = json.loads(report_part(run, "logs.json.gz"))
    lines = [line for log in logs for line in log["text"].splitlines()]
    # pytest has written something before it on its line.
    found: Json = json.loads(next(each for each in lines if "SEEN {" in each).partition("SEEN ")[2])
    return found


# Killing -----------------------------------------------------------------------------------------


def kill(victim: str, run: Run) -> None:
    """Kill a victim's process with SIGKILL."""
    pids = list(VICTIM[victim](run))
    assert pids, f"{victim} has no process"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _pod(run: Run, name: str) -> str:
    pod = run.cluster.get(f"/api/v1/namespaces/{run.environment}/pods/{name}")
    assert pod is not None, f"there is no pod {name}"
    uid: str = pod["metadata"]["uid"]
    return uid


def _gateway(run: Run) -> str:
    [pod] = run.cluster.items(
        f"/api/v1/namespaces/{run.environment}/pods",
        labelSelector=f"{LABEL_COMPONENT}={COMPONENT_GATEWAY}",
    )
    uid: str = pod["metadata"]["uid"]
    return uid


def _operators(cluster: Cluster) -> Iterator[int]:
    for pod in cluster.items("/api/v1/pods", labelSelector=OPERATOR_LABELS):
        yield from node.first_processes(pod["metadata"]["uid"], "seatrial")


def _agents(run: Run) -> Iterator[int]:
    for pod in run.cluster.items(f"/api/v1/namespaces/{run.environment}/pods"):
        if pod["spec"].get("ephemeralContainers"):
            yield from node.roots(pod["metadata"]["uid"], "agent")


VICTIM: dict[str, Callable[[Run], Any]] = {
    "conductor": lambda run: node.first_processes(_pod(run, CONDUCTOR), "conductor"),
    "gateway": lambda run: node.first_processes(_gateway(run), "gateway"),
    # One of those that carry the traffic, with what it carries.
    "worker": lambda run: node.children(_gateway(run), "gateway")[:1],
    "envoy": lambda run: node.first_processes(_gateway(run), "envoy"),
    "agent": lambda run: list(_agents(run)),
    "operator": lambda run: _operators(run.cluster),
}


NOT_OVER = ("Pending", "Requested", "Active")


def wait_for(killed: str, run: Run, lasting: list[str]) -> None:
    """Wait for the moment: before, during or after the faults, which all have the same."""
    if killed == "before":
        run.wait(lambda status: is_running(status), "the test has begun", 120)
        time.sleep(BEGINS_S - KILLED_BEFORE_S)
        return
    give_up, first = time.monotonic() + 200, 0.0
    while time.monotonic() < give_up:
        states = {each["name"]: each["state"] for each in last_summary(run).get("faults", [])}
        open_ = [states.get(name) == "Active" for name in lasting]
        over = [states.get(name, "Pending") not in NOT_OVER for name in lasting]
        if any(open_) and not first:
            first = time.monotonic()
        if killed == "during" and first and (all(open_) or time.monotonic() > first + LASTS_S / 2):
            return
        if killed == "after" and all(over):
            return
        status = run.status
        assert condition(status, "Finished") != "True", status["message"]
        time.sleep(0.1)
    raise AssertionError(f"the moment {killed} all faults did not come: {states}")


def is_running(status: Json) -> bool:
    return any(test["outcome"] == "Running" for test in status.get("tests", []))


# The check ---------------------------------------------------------------------------------------


def assert_over_in_time(seen: Json, status: Json) -> None:
    """Check that no fault was seen 1 s after its deadline, by its length and by its moments."""
    late = []
    for name, looks in seen.items():
        fault, spans = fault_of(status, name), looks["spans"]
        # What is made through the API is on its way before it counts as applied.
        under_way_s = TO_APPLY_S if fault["kind"] in families.API else 0.0
        for first, last in spans:
            if last - first > under_way_s + LASTS_S + GRACE_S + LOOK_S:
                late.append(f"{name} was seen for {last - first:.2f} s")
        # A single look may have met a busy machine; a fault that is still there is seen again.
        lasting = [last for first, last in spans if last > first]
        if lasting and fault.get("applied"):
            deadline = moment(fault["applied"]).timestamp() + LASTS_S
            if lasting[-1] > deadline + GRACE_S:
                late.append(f"{name} was seen {lasting[-1] - deadline:.2f} s after its deadline")
    assert not late, late


def assert_nothing_is_made_up(seen: Json, status: Json) -> None:
    """Check that a fault that counts as proven was there when we looked while it is said to be."""
    made_up = []
    for name, looks in seen.items():
        fault = fault_of(status, name)
        if fault["state"] != "Recovered":
            continue
        begin = moment(fault["applied"]).timestamp() + EDGE_S
        end = moment(fault["reverted"]).timestamp() - EDGE_S
        clear = [at for at in looks["clear"] if begin < at < end]
        if len(clear) > MOST_CLEAR:
            made_up.append(f"{name} is proven, and {len(clear)} looks did not see it meanwhile")
    assert not made_up, made_up


def assert_verdict_is_honest(status: Json) -> None:
    """Check that Passed means that nothing is missing, and that what is missing is told."""
    unproven = [each for each in status["faults"] if not is_proven(each)]
    assert {test["outcome"] for test in status["tests"]} == {"Passed"}, status["tests"]
    if not unproven:
        assert status["verdict"] == "Passed", status["message"]
        return
    assert status["verdict"] == "Inconclusive", status["message"]
    assert any(each["name"] in status["message"] for each in unproven), status["message"]
    silent = [
        each["name"]
        for each in unproven
        if each["state"] != "Recovered" and not each.get("message")
    ]
    assert not silent, unproven


def is_proven(fault: Json) -> bool:
    return fault["state"] == "Recovered" and all(fault.get(each) for each in MOMENTS)


@dataclass(frozen=True)
class Outcome:
    """What came of a run in which something was killed."""

    seen: Json
    status: Json
    shown: str


def play(desk: Desk, family: str, victim: str, killed: str) -> Outcome:
    """Run all faults, kill the victim at its moment, and give what came of it."""
    # A conductor that comes back may play faults anew, from the beginning.
    watch_s = BEGINS_S + LASTS_S + (14 if victim == "conductor" else 6)
    run = run_of(desk, f"{family}-{victim}-{killed}", spec(family, watch_s))
    lasting = [each["name"] for each in faults(family) if "for" in each]
    run.wait(lambda status: bool(status.get("namespace")), "a namespace")
    with Objects(run) as objects:
        wait_for(killed, run, lasting)
        kill(victim, run)
        at = datetime.now(UTC)
        status = run.finished(timeout_s=180)
    seen = seen_from_inside(run) | (objects.spans() if family == "api" else {})
    return Outcome(seen, status, table(run.name, at, seen, status))


CASES = [
    pytest.param(family, victim, killed, marks=[pytest.mark.exhaustive])  # `make killers`
    for family, (_, victims) in FAMILIES.items()
    for victim in victims
    for killed in KILLED
]
AT_ONCE = 2  # runs; each keeps its node busy while it comes up, and then mostly waits


@pytest.fixture(scope="module")
def outcome(
    shared_desk: Desk, local_node: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[str, str, str], Outcome]]:
    """Give what came of a run; all that are asked for are begun at the first question."""
    shared_desk.cluster.apply(shared_desk.namespace, suite("observer", "observer"))
    wanted = [
        tuple(item.callspec.params[each] for each in ("family", "victim", "killed"))
        for item in request.session.items
        if isinstance(item, pytest.Function) and "outcome" in item.fixturenames
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        played = {case: pool.submit(play, shared_desk, *case) for case in wanted}
        yield lambda *case: played[case].result()
        for each in played.values():
            each.cancel()


@pytest.mark.slow
@pytest.mark.parametrize(("family", "victim", "killed"), CASES)
def test_no_fault_outlives_its_time(
    family: str, victim: str, killed: str, outcome: Callable[[str, str, str], Outcome]
) -> None:
    found = outcome(family, victim, killed)
    print(found.shown)
    assert_over_in_time(found.seen, found.status)
    assert_nothing_is_made_up(found.seen, found.status)
    assert_verdict_is_honest(found.status)


def table(name: str, at: datetime, seen: Json, status: Json) -> str:
    """Show what became of each fault; part of the output of a test that fails."""
    lines = [f"{name}: killed at {at.isoformat()}: {status['verdict']}"]
    lines.append(status["message"])
    for fault in status["faults"]:
        spans = seen.get(fault["name"], {}).get("spans", [])
        shown = ", ".join(f"{last - first:.1f}" for first, last in spans)
        lines.append(
            f"{fault['name']:16} {fault['state']:12} {fault.get('revertedBy') or '-':10}"
            f" seen [{shown}] s; hits {fault['hits']} {fault.get('message', '')}"
        )
    return "\n".join(lines)
