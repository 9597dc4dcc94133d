"""A run that is stopped while faults of every family are on: what is seen of them then."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from tests.e2e.breaking import fault_of, last_summary, moment, peer, peer_manifests, run_of
from tests.e2e.cluster import Json, Run, condition
from tests.e2e.conftest import Desk
from tests.e2e.test_command_line import seatrial

HTTP = {"http": 8080}
# Asks on when nobody else does any more, and writes down of which faults it sees something.
WATCH = """
import json, os, signal, socket, time, urllib.error, urllib.request
from concurrent.futures import ThreadPoolExecutor
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

def status(service):
    try:
        with urllib.request.urlopen(f"http://{service}:8080/", timeout=3) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0

def is_slow():
    began = time.monotonic()
    return status("web") == 200 and time.monotonic() - began >= 0.6

def is_nameless():
    try:
        with socket.create_connection(("nameless", 9000), timeout=3) as sock:
            sock.sendall(b"look web\\n")
            return sock.recv(100).startswith(b"error")
    except OSError:
        return False

looks = {
    "slow": is_slow,
    "fails": lambda: status("fails") == 503,
    "lost": lambda: status("lost") == 0,
    "frozen": lambda: status("frozen") == 0,
    "nameless": is_nameless,
}
with ThreadPoolExecutor(len(looks)) as pool:
    while True:
        seen = pool.map(lambda look: look(), looks.values())
        print(json.dumps(dict(zip(looks, seen))), flush=True)
        time.sleep(0.1)
"""
LOOKS = 3  # of the watcher, one after another: a single one may have met a busy machine
# What the objects show, and what the watcher sees.
CHANGES: dict[str, tuple[str, Json]] = {
    "more": ("many", {"scale": {"replicas": 3}}),
    "other": (
        "configured",
        {"configuration": {"configMap": "look", "set": {"COLOUR": "red"}}},
    ),
}
DISTURBS: dict[str, tuple[str, Json]] = {
    "slow": ("web", {"latency": {"delay": "600ms", "direction": "response"}}),
    "fails": ("fails", {"http": {"abort": {"status": 503}}}),
    "lost": ("lost", {"packets": {"loss": "100%"}}),
    "frozen": ("frozen", {"freeze": {}}),
    "nameless": ("nameless", {"dns": {"nxdomain": {}}}),
}
FAULTS = {**CHANGES, **DISTURBS}
LASTS_S = 240


def spec(faults: dict[str, tuple[str, Json]], **more: object) -> Json:
    look = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "look"},
        "data": {"COLOUR": "green"},
    }
    never = {
        "http": {"get": "http://many:8080/"},
        "eventually": {"within": "3m"},
        "expect": ["response.status == 500"],
    }
    when = {"test": "long", "after": "1s"}
    disturbed = [
        peer(service, http=HTTP, wire={"wire": 9000} if name == "nameless" else {})
        for name, (service, _) in DISTURBS.items()
        if name in faults
    ]
    watcher = {
        "name": "watcher",
        "image": "docker.io/seatrial/shop:1",
        "command": ["python3", "-c", WATCH],
    }
    return {
        "services": [
            peer("many", http=HTTP),
            peer_manifests("configured", http=HTTP, others=[look]),
            *([*disturbed, watcher] if disturbed else []),
        ],
        "faults": [
            {
                "name": name,
                "target": {"service": service},
                **kind,
                "for": f"{LASTS_S}s",
                "when": when,
            }
            for name, (service, kind) in faults.items()
        ],
        "tests": [{"name": "long", "timeout": "5m", "scenario": [never]}],
        **more,
    }


def eventually(holds: Callable[[], bool], what: Callable[[], object], within_s: float = 60) -> None:
    give_up = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < give_up, f"after {within_s:g} s not yet: {what()}"
        time.sleep(0.1)


def seen(run: Run) -> dict[str, bool | None]:
    """Tell which faults are seen from outside; None while the looks differ."""
    cluster, base = run.cluster, f"namespaces/{run.environment}"
    [pod] = cluster.items(f"/api/v1/{base}/pods", labelSelector="seatrial.dev/service=watcher")
    lines = cluster.logs(run.environment, pod["metadata"]["name"], tailLines=LOOKS).splitlines()
    looks = [json.loads(line) for line in lines if line.startswith("{")]
    found: dict[str, bool | None] = {}
    for name in DISTURBS:
        told = {look[name] for look in looks} if len(looks) == LOOKS else set()
        found[name] = told.pop() if len(told) == 1 else None
    many = cluster.get(f"/apis/apps/v1/{base}/deployments/many")
    look = cluster.get(f"/api/v1/{base}/configmaps/look")
    assert many is not None
    assert look is not None
    return {
        **found,
        "more": many["spec"]["replicas"] == 3,
        "other": look["data"]["COLOUR"] == "red",
    }


def are_seen(run: Run, expected: bool) -> bool:
    return seen(run) == dict.fromkeys(FAULTS, expected)


def are_on(run: Run) -> bool:
    return {each["state"] for each in last_summary(run).get("faults", [])} == {"Active"}


def is_begun(run: Run) -> None:
    """Wait until all faults of a run are on."""
    run.wait(lambda status: bool(status.get("namespace")), "a namespace")
    states = lambda: last_summary(run).get("faults", [])  # noqa: E731
    eventually(partial(are_on, run), states, 120)


def assert_undone(status: Json, faults: dict[str, tuple[str, Json]], since: datetime) -> None:
    """Check that the conductor has undone all faults, and soon after a moment."""
    assert status["verdict"] == "Aborted"
    for name in faults:
        fault = fault_of(status, name)
        assert (fault["state"], fault["revertedBy"]) == ("Reverted", "conductor"), fault
        after_s = (moment(fault["reverted"]) - since).total_seconds()
        assert after_s < LASTS_S / 2, fault  # and not when it would have ended by itself


def test_an_abort_undoes_every_fault_at_once_and_the_environment_is_kept(desk: Desk) -> None:
    kept = spec(FAULTS, podSecurity="privileged", keepEnvironment={"onFailure": "10m"})
    run = run_of(desk, "by-spec", kept)
    is_begun(run)
    eventually(partial(are_seen, run, True), partial(seen, run))

    run.change(abort=True)
    aborted = datetime.now(UTC)

    assert_undone(run.finished(), FAULTS, aborted)
    # Kept to be looked at, and without them.
    eventually(partial(are_seen, run, False), partial(seen, run))
    assert condition(run.status, "CleanedUp") != "True"
    assert desk.cluster.get(f"/api/v1/namespaces/{run.environment}") is not None
    uid = run.get()["metadata"]["uid"]
    run.delete()
    run.gone()
    assert desk.cluster.environments(uid) == []


def test_one_command_stops_everything_and_nothing_is_left(desk: Desk, kubeconfig: str) -> None:
    runs = [run_of(desk, "breaks", spec(CHANGES)), run_of(desk, "waits", spec({}, suspend=True))]
    is_begun(runs[0])
    uids = [run.get()["metadata"]["uid"] for run in runs]

    done = seatrial(desk, kubeconfig, "abort", "--all", "--wait")
    aborted = datetime.now(UTC)

    assert done.returncode == 0, done.stderr
    for run, uid in zip(runs, uids, strict=True):
        assert f"run {desk.namespace}/{run.name} ended: Aborted" in done.stdout
        run.in_phase("Finished")
        assert desk.cluster.environments(uid) == []
    assert_undone(runs[0].status, CHANGES, aborted)
    again = seatrial(desk, kubeconfig, "abort", "--all")
    assert again.stdout.strip() == f"no run goes on in namespace {desk.namespace}"
