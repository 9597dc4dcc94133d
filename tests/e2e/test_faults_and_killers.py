"""
Whatever is killed, and whenever: no fault is there 1 s after its deadline, and no proof is made up.

Kinds x victims x moments. One run has a fault of every kind of a family (``every_fault.py``); its
test looks at all of them from outside, and this one at the objects (``looks.py``). So a run is a
victim at a moment.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.names import COMPONENT_GATEWAY, CONDUCTOR, LABEL_COMPONENT

from tests.e2e import node
from tests.e2e.breaking import (
    assert_passed,
    fault_of,
    last_summary,
    moment,
    report_part,
    run_of,
    suite,
)
from tests.e2e.cluster import OPERATOR_LABELS, Cluster, Json, Run, condition
from tests.e2e.conftest import Desk
from tests.e2e.every_fault import BEGINS_S, LASTS_S, SECRETS, lasting, momentary, spec
from tests.e2e.expected import cases
from tests.e2e.killed import Case, Outcome, problems, write_page
from tests.e2e.looks import GRACE_S, Objects, chaos_path, playings, seen_from_inside
from tests.support.chaos_crds import CHAOS_MESH, definition
from tests.support.played_controllers import ChaosMesh, Controller

# ... the faults' moment. On a busy machine a container takes two seconds to come again.
KILLED_BEFORE_S = 2.5
KILLED_LATE_S = 0.3  # before the first of the deadlines
FROZEN = timedelta(seconds=4)

# Of all cases, this one is played by `make e2e`. The runs of the other families hold a dozen faults
# at a time: a small machine does not always keep up with them.
OFTEN = {("traffic", "envoy", "during")}


@pytest.fixture(scope="session")
def local_node(kubeconfig: str) -> Path:
    """Give the folder of the local cluster, whose processes these tests kill."""
    folder = Path(kubeconfig).parent
    if not node.api_servers(folder):
        pytest.skip("needs the local cluster of `make up`: it kills processes of its node")
    return folder


@pytest.fixture(scope="module")
def delegated(cluster: Cluster) -> Iterator[None]:
    """Have the cluster serve Chaos Mesh's NetworkChaos, with the tool's own definition."""
    path = "config/crd/bases/chaos-mesh.org_networkchaos.yaml"
    crd = definition(CHAOS_MESH, path, "NetworkChaos")
    crd.pop("status", None)
    collection = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    cluster.delete(f"{collection}/{crd['metadata']['name']}")
    cluster.wait(collection, lambda items: not _named(items, crd), "an earlier one is gone", 60)
    cluster.call("POST", collection, crd)
    cluster.wait(collection, lambda items: _is_served(_named(items, crd)), "it is served", 60)
    yield
    cluster.delete(f"{collection}/{crd['metadata']['name']}")


def _named(items: list[Json], crd: Json) -> list[Json]:
    return [each for each in items if each["metadata"]["name"] == crd["metadata"]["name"]]


def _is_served(items: list[Json]) -> bool:
    conditions = (items[0].get("status") or {}).get("conditions") or [] if items else []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


# Killing -----------------------------------------------------------------------------------------


def pids_of(victim: str, run: Run) -> list[int]:
    """Give the processes to be killed."""
    pids = list(VICTIM[victim](run))
    assert pids, f"{victim} has no process"
    return pids


def kill(pids: list[int]) -> datetime:
    """Kill processes with SIGKILL; tell when."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return datetime.now(UTC)


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


PODS = "/api/v1/pods"


def _operators(cluster: Cluster) -> Iterator[int]:
    for pod in cluster.items(PODS, labelSelector=OPERATOR_LABELS):
        yield from node.first_processes(pod["metadata"]["uid"], "seatrial")


# Runs that kill the operator: it is everybody's, and is to be there at their moment.
_ITS_KILLERS = threading.Lock()


def renew_operator(cluster: Cluster) -> None:
    """Have the operator's pod made anew: the kubelet waits longer after each kill of one."""
    before = {
        each["metadata"]["uid"] for each in cluster.items(PODS, labelSelector=OPERATOR_LABELS)
    }
    for pod in cluster.items(PODS, labelSelector=OPERATOR_LABELS):
        metadata = pod["metadata"]
        cluster.delete(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}")

    def is_new(pods: list[Json]) -> bool:
        return any(
            each["metadata"]["uid"] not in before
            and any(
                condition["type"] == "Ready" and condition["status"] == "True"
                for condition in each["status"].get("conditions", [])
            )
            for each in pods
        )

    cluster.wait(PODS, is_new, "a new operator is ready", 90, labelSelector=OPERATOR_LABELS)


def _agents(run: Run) -> Iterator[int]:
    for pod in run.cluster.items(f"/api/v1/namespaces/{run.environment}/pods"):
        if pod["spec"].get("ephemeralContainers"):
            yield from node.roots(pod["metadata"]["uid"], "agent")


VICTIM: dict[str, Callable[[Run], Any]] = {
    "conductor": lambda run: node.first_processes(_pod(run, CONDUCTOR), "conductor"),
    "gateway": lambda run: node.first_processes(_gateway(run), "gateway"),
    "controller": lambda run: node.named(_gateway(run), "controller"),
    # One of those that carry the traffic, with what it carries.
    "worker": lambda run: node.named(_gateway(run), "worker")[:1],
    "envoy": lambda run: node.first_processes(_gateway(run), "envoy"),
    "agent": lambda run: list(_agents(run)),
    "operator": lambda run: _operators(run.cluster),
}


NOT_OVER = ("Pending", "Requested", "Active")


def wait_for(killed: str, run: Run, family: str) -> None:
    """Wait for the moment before, during, late in or after the faults, which all have the same."""
    if killed == "before":
        [test] = last_summary(run)["tests"]
        began = moment(test["startedAt"]).timestamp()
        time.sleep(max(began + BEGINS_S - KILLED_BEFORE_S - time.time(), 0.0))
        return
    names = lasting(family) if killed != "requested" else momentary(family)
    give_up, first = time.monotonic() + 200, 0.0
    while time.monotonic() < give_up:
        faults = {each["name"]: each for each in last_summary(run).get("faults", [])}
        states = {name: faults.get(name, {}).get("state", "Pending") for name in names}
        if killed == "requested" and any(state != "Pending" for state in states.values()):
            return
        active = [name for name in names if states[name] == "Active"]
        if active and not first:
            first = time.monotonic()
        in_effect = active == names and all(faults[name]["effective"] for name in names)
        all_or_late = in_effect or (first and time.monotonic() > first + LASTS_S / 2)
        if killed == "during" and all_or_late:
            return
        if killed == "late" and all_or_late:
            # On a busy machine all may be over by now.
            applied = [
                faults[name]["applied"] for name in names if faults.get(name, {}).get("applied")
            ]
            began = min(moment(each).timestamp() for each in applied)
            time.sleep(max(began + LASTS_S - KILLED_LATE_S - time.time(), 0.0))
            return
        if killed == "after" and not any(state in NOT_OVER for state in states.values()):
            return
        status = run.status
        assert condition(status, "Finished") != "True", status["message"]
        time.sleep(0.02 if killed == "requested" else 0.1)
    raise AssertionError(f"the moment {killed} all faults did not come: {states}")


def wait_for_the_test(run: Run) -> None:
    """
    Wait until the test runs; a run that has ended before says why.

    The conductor is asked: on a busy machine the run's status tells of it seconds later.
    """
    give_up = time.monotonic() + 120
    while not any(each["outcome"] == "Running" for each in last_summary(run).get("tests", [])):
        status = run.status
        assert condition(status, "Finished") != "True", status["message"]
        assert time.monotonic() < give_up, f"the test has not begun: {status.get('message')}"
        time.sleep(0.1)


def chaos_mesh(run: Run) -> Controller:
    """Play Chaos Mesh for a run."""
    return Controller(run.cluster, chaos_path(run), ChaosMesh())


def play(desk: Desk, family: str, victim: str, killed: str) -> Outcome:
    """Run all faults, kill the victim at its moment, and give what came of it."""
    with _ITS_KILLERS if victim == "operator" else nullcontext():
        return _play(desk, family, victim, killed)


def _play(desk: Desk, family: str, victim: str, killed: str) -> Outcome:
    if victim == "operator":
        renew_operator(desk.cluster)
    # The test runs until all faults are over, and where its part is killed then, for longer.
    watch_s = BEGINS_S + LASTS_S + (10 if killed == "after" else 3)
    run = run_of(desk, f"{family}-{victim}-{killed}", spec(family, watch_s))
    run.wait(lambda status: bool(status.get("namespace")), "a namespace")
    tool: AbstractContextManager[object] = chaos_mesh(run) if family == "api" else nullcontext()
    with Objects(run) as objects, tool:
        wait_for_the_test(run)
        pids = pids_of(victim, run)  # before the moment, which is exact
        wait_for(killed, run, family)
        at = kill(pids)
        run.finished(timeout_s=180)
    return outcome_of(family, run, objects, at)


def outcome_of(family: str, run: Run, objects: Objects, at: datetime) -> Outcome:
    """Collect what came of a run."""
    report = json.loads(report_part(run, "report.json.gz"))
    return Outcome(
        run.name,
        family,
        at,
        seen=seen_from_inside(run) | (objects.spans() if family == "api" else {}),
        played=playings(report["journal"]),
        status=run.status,  # with what came after the verdict
        lost=report["summary"]["lostEvidence"],
        replaced=objects.replaced(),
    )


CASES = [
    pytest.param(*case, marks=[] if case in OFTEN else [pytest.mark.exhaustive]) for case in cases()
]
# Runs. Two with a dozen faults inside of pods each are too much for two processors: then what is
# looked at is as late as what it is compared with.
AT_ONCE = int(os.environ.get("KILLERS_AT_ONCE", "1"))


@pytest.fixture(scope="module")
def outcome(
    shared_desk: Desk, local_node: Path, delegated: None, request: pytest.FixtureRequest
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
    if page := os.environ.get("KILLERS_PAGE"):
        write_page_if_all_is_well(Path(page), played)


def write_page_if_all_is_well(path: Path, played: Mapping[Case, Future[Outcome]]) -> None:
    """Write down what was measured, of all cases in one go and of nothing less."""
    done = {case: each.result() for case, each in played.items() if _ended_well(each)}
    well = [case for case, found in done.items() if not problems(found, *case[1:])]
    if len(well) == len(CASES):
        write_page(path, done)


def _ended_well(each: Future[Outcome]) -> bool:
    return each.done() and not each.cancelled() and each.exception() is None


@pytest.mark.slow
@pytest.mark.parametrize(("family", "victim", "killed"), CASES)
def test_no_fault_outlives_its_time(
    family: str, victim: str, killed: str, outcome: Callable[[str, str, str], Outcome]
) -> None:
    found = outcome(family, victim, killed)
    wrong = problems(found, victim, killed)
    if log := os.environ.get("KILLERS_LOG"):  # to be read while the others run
        with Path(log).open("a") as file:
            file.write("\n".join(["", *wrong, str(found), ""]))
    assert not wrong, "\n".join([*wrong, "", str(found)])


@pytest.mark.slow
def test_the_operator_undoes_what_a_frozen_conductor_does_not(
    shared_desk: Desk, local_node: Path, delegated: None
) -> None:
    shared_desk.cluster.apply(shared_desk.namespace, suite("observer", "observer"))
    run = run_of(shared_desk, "api-conductor-frozen", spec("api", BEGINS_S + LASTS_S + 8))
    run.wait(lambda status: bool(status.get("namespace")), "a namespace")
    with Objects(run) as objects, chaos_mesh(run):
        wait_for_the_test(run)
        pids = node.processes_of_pod(_pod(run, CONDUCTOR))
        wait_for("late", run, "api")
        at = datetime.now(UTC)
        with node.frozen(pids):
            time.sleep(FROZEN.total_seconds())
        status = run.finished(timeout_s=180)
    found = outcome_of("api", run, objects, at)
    assert_passed(run, status)
    wrong = problems(found, "nobody", "during")
    assert not wrong, "\n".join([*wrong, "", str(found)])
    # Those that need no pods have all begun at once; a busy machine may take its time for others.
    # The resource has been ended by its tool. Where pods begin anew, the end is the conductor's
    # doing, though the object was back in time.
    over = {
        name: fault["revertedBy"]
        for name in set(lasting("api")) - {"restarted", "resource"}
        if (fault := fault_of(found.status, name))
        and moment(fault["applied"]) + timedelta(seconds=LASTS_S + GRACE_S) < at + FROZEN
    }
    assert set(over) >= {"configuration", *SECRETS}, str(found)
    assert set(over.values()) == {"operator"}, str(found)
    assert fault_of(found.status, "restarted")["revertedBy"] == "deadline", str(found)
