"""
A whole run without a cluster: the real operator but for kopf, on a fake API server.

The test decides what happens next: an event arrives, the operator looks, the conductor takes a
step, time passes, somebody kills something.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from datetime import datetime, timedelta
from typing import Any, cast

from seatrial.api import names
from seatrial.api.duration import parse_duration
from seatrial.api.errors import ClusterError
from seatrial.api.journal import FaultState, SummaryDoc
from seatrial.api.undoing import mark_key, note_key
from seatrial.app.metrics import Metrics
from seatrial.app.reconciler import Reconciler
from seatrial.app.workqueue import WorkQueue
from seatrial.app.world import World
from seatrial.cluster.client import Client
from seatrial.plan.events import Event
from seatrial.plan.settings import PlanSettings

from tests.support.builders import a_fault_state, a_run, a_summary, a_test_state, an_open_fault
from tests.support.fake_cluster import FakeCluster, Key, Object, OperatorKilledError

SETTINGS = PlanSettings(runner_image="registry.example/runner:1", max_concurrent_runs=2)


class ManualQueue:
    """The work queue, driven by hand: keys that are due, and keys that wait for their time."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self.due: deque[str] = deque()
        self.later: dict[str, datetime] = {}

    def add(self, key: str) -> None:
        if key not in self.due:
            self.due.append(key)

    def add_at(self, key: str, moment: datetime) -> None:
        self.later[key] = min(self.later.get(key, moment), moment)

    def add_after(self, key: str, delay: timedelta) -> None:
        self.add_at(key, self._cluster.now + delay)

    def forget(self, key: str) -> None:
        self.later.pop(key, None)

    def ring(self) -> None:
        for key in [key for key, moment in self.later.items() if moment <= self._cluster.now]:
            del self.later[key]
            self.add(key)


class FakeConductor:
    """Takes a run from its start to its report, one step at a time, and outlives its pod."""

    def __init__(self, cluster: FakeCluster, namespace: str, *, fails: bool = False) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._fails = fails
        self.silent = False  # frozen: it never does anything again
        self.freezes = False  # as soon as its faults are on
        self.ahead = timedelta(0)  # of the operator's clock
        self._summary: SummaryDoc | None = None
        self._pod = ""

    @property
    def began(self) -> bool:
        return self._summary is not None

    def count_from_zero(self) -> None:
        """Number the summaries anew, as after a start that found no journal."""
        assert self._summary is not None
        self._summary["sequence"] = 0

    def step(self) -> None:
        """Do the next thing, if there is a pod to do it in and a run to read."""
        pod = self._cluster.objects.get(("Pod", self._namespace, names.CONDUCTOR))
        document = self._cluster.objects.get(("ConfigMap", self._namespace, names.RUN_CONFIGMAP))
        journal = ("ConfigMap", self._namespace, names.JOURNAL_CONFIGMAP)
        if self.silent or pod is None or document is None or journal not in self._cluster.objects:
            return
        data = document["data"]
        run = json.loads(data[names.RUN_KEY])
        control = json.loads(data.get(names.CONTROL_KEY, "{}"))
        summary = self._summary or self._first(run)
        if self._summary is not None:
            summary = self._next(run, summary, abort=control.get("abort", False))
        if pod["metadata"]["uid"] != self._pod:
            self._pod = pod["metadata"]["uid"]
            summary["starts"] += 1
        if summary == self._summary:
            return
        summary["sequence"] += 1
        summary["updatedAt"] = self.moment()
        self._summary = summary
        self.silent = self.freezes and any(each["state"] == "Active" for each in summary["faults"])
        self._cluster.put_data(journal, {names.SUMMARY_KEY: json.dumps(summary)})

    def _first(self, run: dict[str, Any]) -> SummaryDoc:
        services = [
            {
                "name": each["name"],
                "state": "Pending",
                "readyReplicas": 0,
                "replicas": 1,
                "restarts": 0,
                "message": "",
            }
            for each in run["services"]
        ]
        tests = [
            a_test_state(each["name"], outcome="Pending", passed=0, finishedAt=None)
            for each in run["tests"]
        ]
        return a_summary(
            sequence=0,
            starts=0,
            services=services,
            tests=tests,
            gateOpenedAt=None,
            finished=None,
            reportReady=False,
            summary={"tests": len(tests), "passed": 0, "failed": 0, "flaky": 0, "skipped": 0},
        )

    def _next(self, run: dict[str, Any], summary: SummaryDoc, *, abort: bool) -> SummaryDoc:
        summary = cast(SummaryDoc, json.loads(json.dumps(summary)))
        now = self.moment()
        waiting = [each for each in summary["services"] if each["state"] != "Ready"]
        if summary["finished"] is not None:
            summary["reportReady"] = True
            report = ("ConfigMap", self._namespace, names.REPORT_CONFIGMAP)
            self._cluster.put_data(report, {"report.json.gz": "cmVwb3J0"})
        elif abort:
            summary["finished"] = {"at": now, "reason": "Aborted", "message": "It was aborted."}
        elif waiting:
            service = next(each for each in run["services"] if each["name"] == waiting[0]["name"])
            workloads = [
                (each["kind"], self._namespace, each["name"]) for each in service["workloads"]
            ]
            exist = all(each in self._cluster.objects for each in workloads)
            waiting[0]["state"] = "Ready" if exist else "Pending"
        elif summary["gateOpenedAt"] is None:
            summary["gateOpenedAt"] = now
        elif run["faults"] and not summary["faults"]:
            summary["faults"] = [self.begin(each) for each in run["faults"]]
        else:
            for fault in summary["faults"]:
                self._end(fault)
            for test in summary["tests"]:
                test.update(outcome="Passed", passed=1, finishedAt=now)
            if self._fails:
                summary["tests"][0].update(outcome="Failed", passed=0, failed=1, message="no")
            summary["finished"] = {"at": now, "reason": "Completed", "message": ""}
        return summary

    def moment(self, after: timedelta = timedelta(0)) -> str:
        """Write a moment by its own clock."""
        moment = self._cluster.now + self.ahead + after
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def begin(self, fault: Object) -> FaultState:
        """Carry an outage out, with the mark on its workload; other kinds are as good as over."""
        name = (fault.get("target") or {}).get("service", "")
        key = ("Deployment", self._namespace, name)
        if not {"outage", "scale"} & fault.keys() or key not in self._cluster.objects:
            return a_fault_state(fault["name"])
        mark = self._cluster.next_version()
        annotations = {mark_key(fault["name"]): mark, note_key(fault["name"]): None}
        self._cluster.patch(
            key, {"metadata": {"annotations": annotations}, "spec": {"replicas": 0}}
        )
        changed = {"kind": "Deployment", "name": name, "uid": "", "replicas": 1}
        until = self.moment(parse_duration(fault["for"]))
        to_undo = {"until": until, "mark": mark, "objects": [changed]}
        moments = {"requested": self.moment(), "applied": self.moment()}
        return an_open_fault(fault["name"], until=until, toUndo=to_undo, **moments)

    def _end(self, fault: FaultState) -> None:
        if "toUndo" not in fault:
            return
        [changed] = fault.pop("toUndo")["objects"]
        key = (changed["kind"], self._namespace, changed["name"])
        annotations = {mark_key(fault["name"]): None}
        if key in self._cluster.objects:
            self._cluster.patch(
                key, {"metadata": {"annotations": annotations}, "spec": {"replicas": 1}}
            )
        fault["state"] = "Recovered"
        fault["reverted"] = fault["recovered"] = self.moment()
        fault["revertedBy"] = "deadline"


class Simulation:
    """One or more runs, an operator that can die and come back, and time."""

    def __init__(self, **spec: Any) -> None:
        self.cluster = FakeCluster()
        self.conductors: dict[str, FakeConductor] = {}
        self.seen: list[tuple[str, str, str]] = []  # run, phase, verdict, as they were written
        self.errors: list[ClusterError] = []
        self.told: list[tuple[str, Event]] = []  # run, event
        self._delivered = 0
        self.start_operator()
        if spec:
            self.apply(**spec)

    # The operator -----------------------------------------------------------------------------

    def start_operator(self) -> None:
        """Start an operator that knows nothing; its watches list what is there."""
        self.queue = ManualQueue(self.cluster)
        queue = cast(WorkQueue, self.queue)
        self.world = World(queue, SETTINGS.max_concurrent_runs)
        self.reconciler = Reconciler(
            client=cast(Client, self.cluster),
            world=self.world,
            queue=queue,
            settings=SETTINGS,
            metrics=Metrics(),
            now=lambda: self.cluster.now,
            tell=lambda metadata, event: self.told.append((metadata.name, event)),
        )
        self.relist()

    def relist(self) -> None:
        """List everything, as a watch does that has missed something; what is gone is not told."""
        self._delivered = len(self.cluster.events)
        for body in list(self.cluster.objects.values()):
            self.take_in("ADDED", body)

    def deliver(self, count: int = 10_000) -> None:
        """Bring the next events."""
        for type_, body in self.cluster.events[self._delivered :][:count]:
            self._delivered += 1
            self.take_in(type_, body)

    def deliver_again(self, back: int) -> None:
        """Bring an old event once more."""
        old = self.cluster.events[: self._delivered]
        if old:
            self.take_in(*old[-1 - back % len(old)])

    def look(self) -> None:
        """Let the operator have its next look; a failed one is repeated later."""
        self.queue.ring()
        if not self.queue.due:
            return
        key = self.queue.due.popleft()
        try:
            asyncio.run(self.reconciler.look(key))
        except ClusterError as error:
            self.errors.append(error)
            self.queue.add_after(key, timedelta(seconds=1))
        except OperatorKilledError:
            self.start_operator()
        self._note()

    def take_in(self, type_: str, body: Object) -> None:
        gone = type_ == "DELETED"
        labels = body["metadata"].get("labels") or {}
        component = labels.get(names.LABEL_COMPONENT)
        match body["kind"]:
            case names.KIND if gone:
                self.world.lose_run(body["metadata"]["uid"])
            case names.KIND:
                self.world.see_run(body)
            case "Namespace" if names.LABEL_RUN_UID in labels:
                self.world.see_namespace(body, gone=gone)
            case "Pod" if component == names.COMPONENT_CONDUCTOR:
                self.world.see_conductor(body, gone=gone)
            case "ConfigMap" if component == names.COMPONENT_JOURNAL:
                self.world.see_journal(body, gone=gone)

    def _note(self) -> None:
        for key in self.runs:
            status = self.cluster.objects[key].get("status") or {}
            seen = (key[2], status.get("phase", "Queued"), status.get("verdict") or "")
            if seen not in self.seen[-1:]:
                self.seen.append(seen)

    # Everybody else ---------------------------------------------------------------------------

    def apply(self, name: str = "checkout", *, fails: bool = False, **spec: Any) -> Key:
        """Apply a run as a user does."""
        number = len(self.conductors) + 1
        uid = f"{number:08x}-0000-4000-8000-00000000abcd"
        body = a_run(name, uid=uid, **spec)
        key = (names.KIND, body["metadata"]["namespace"], name)
        self.cluster.events.append(("ADDED", self._store(key, body)))
        namespace = names.run_namespace(name, uid)
        self.conductors[namespace] = FakeConductor(self.cluster, namespace, fails=fails)
        return key

    def _store(self, key: Key, body: Object) -> Object:
        body["metadata"]["resourceVersion"] = self.cluster.next_version()
        body["metadata"]["creationTimestamp"] = self.cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.cluster.objects[key] = body
        return json.loads(json.dumps(body))

    @property
    def runs(self) -> list[Key]:
        return [key for key in self.cluster.objects if key[0] == names.KIND]

    def status(self, name: str = "checkout") -> Object:
        """Give the status of a run as it stands in the API server."""
        key = next(key for key in self.runs if key[2] == name)
        return self.cluster.objects[key].get("status") or {}

    def unreachable(self, what: str) -> ClusterError:
        """Make the error of an API server that does not answer."""
        return ClusterError(f"{what}: connection refused")

    def conductor(self, name: str) -> FakeConductor:
        """Give the conductor of a run."""
        [found] = [each for key, each in self.conductors.items() if key.startswith(f"itr-{name}-")]
        return found

    def condition(self, type_: str, name: str = "checkout") -> Object:
        return next(each for each in self.status(name)["conditions"] if each["type"] == type_)

    def reasons(self, name: str = "checkout") -> list[str]:
        """Give the reasons of the events that were told of a run."""
        return [event.reason for run, event in self.told if run == name]

    def conduct(self) -> None:
        """Let every conductor take a step."""
        for conductor in self.conductors.values():
            conductor.step()

    def until(self, phase: str) -> None:
        """Let things happen until the run has reached a phase."""
        for _ in range(100):
            self.deliver()
            self.look()
            if self.runs and self.status().get("phase") == phase:
                return
            if not self.queue.due:
                self.conduct()
        raise AssertionError(f"it never comes to {phase}: {self.seen}")

    def settle(self, *, within: timedelta = timedelta(hours=6)) -> None:
        """Let everything happen that will, until nothing happens any more."""
        end = self.cluster.now + within
        for _ in range(2000):
            self.deliver()
            self.queue.ring()
            if self.queue.due:
                self.look()
                continue
            before = len(self.cluster.events)
            self.conduct()
            self.cluster.collect_namespaces()
            if len(self.cluster.events) > before:
                continue
            if not self.queue.later or min(self.queue.later.values()) > end:
                return
            self.cluster.now = max(self.cluster.now, min(self.queue.later.values()))
        raise AssertionError(f"it never comes to rest: {self.cluster.writes[-20:]}")
