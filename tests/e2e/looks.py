"""What was seen of faults from outside, and when each of them was to be there."""

from __future__ import annotations

import itertools
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from seatrial.api import families

from tests.e2e.breaking import moment, report_part
from tests.e2e.cluster import Json, Run
from tests.e2e.every_fault import LASTS_S, SECRETS, secret
from tests.support.played_controllers import is_injected

GRACE_S = 1.0  # after its deadline, no fault is there
# Of these the time counts from when all pods are made, or have ended; until then they are under
# way, and of one that never got there nobody knows how long.
UNDER_WAY_S = {"outage": 5.0, "scale": 5.0, "restarted": 5.0}


@dataclass(frozen=True)
class Playing:
    """A time that a fault was played: from its order to the last moment at which it may be seen."""

    begin: float
    applied: float | None
    end: float


def playings(journal: list[Json]) -> dict[str, list[Playing]]:
    """Give all times that each fault was played, of which there are several after a restart."""
    found: dict[str, list[Playing]] = {}
    for entry in journal:
        name, at = entry.get("fault", ""), moment(entry["at"]).timestamp()
        if entry["kind"] == "fault.requested":
            under_way = UNDER_WAY_S.get(name, 0.0)
            found.setdefault(name, []).append(Playing(at, None, at + under_way + LASTS_S + GRACE_S))
        elif entry["kind"] == "fault.applied":
            last = found[name][-1]
            found[name][-1] = Playing(last.begin, at, at + LASTS_S + GRACE_S)
    return found


def chaos_path(run: Run) -> str:
    """Give where Chaos Mesh's objects of a run are."""
    return f"/apis/chaos-mesh.org/v1alpha1/namespaces/{run.environment}/networkchaos"


class Objects:
    """Watches the objects that faults of the API change, and notes when they are disturbed."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._ended = threading.Event()
        self._looks = {"scale": self._scaled, "outage": self._down, "configuration": self._red}
        self._looks["noendpoints"] = self._cut
        self._looks["resource"] = self._injected
        for name in (*SECRETS, "restarted"):
            self._looks[name] = partial(self._changed, name)
        self.seen: dict[str, list[tuple[float, bool]]] = {name: [] for name in self._looks}
        # UIDs of the pods of what is over at once: another one, and it has happened.
        self._pods: dict[str, set[str]] = {name: set() for name in families.MOMENTARY}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Objects:
        self._base = f"/namespaces/{self._run.environment}"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        for number in itertools.count():
            if self._ended.wait(0.1):
                return
            if number % 10 == 0:
                with suppress(Exception):
                    self._look_at_pods()
            for name, look in self._looks.items():
                began = time.time()
                with suppress(Exception):  # the namespace goes in the end
                    self.seen[name].append((began, look()))

    def _look_at_pods(self) -> None:
        for pod in self._run.cluster.items(f"/api/v1{self._base}/pods"):
            name = pod["metadata"]["name"].partition("-")[0]
            if name in self._pods:
                self._pods[name].add(pod["metadata"]["uid"])

    def replaced(self) -> set[str]:
        """Name the services whose pods have been replaced."""
        return {name for name, uids in self._pods.items() if len(uids) > 1}

    def _replicas(self, plural: str, name: str) -> int:
        found = self._run.cluster.get(f"/apis/apps/v1{self._base}/{plural}/{name}")
        return int(found["spec"]["replicas"]) if found else 1

    def _scaled(self) -> bool:
        return self._replicas("deployments", "scale") == 2

    def _down(self) -> bool:
        return self._replicas("statefulsets", "outage") == 0

    def _red(self) -> bool:
        found = self._run.cluster.get(f"/api/v1{self._base}/configmaps/look")
        return bool(found) and found["data"]["COLOUR"] == "red"

    def _changed(self, name: str) -> bool:
        found = self._secret(name)
        if found is None:  # before the environment is there, it is not gone
            return name == "secretlost" and bool(self._secret("secretset"))
        return bool(found.get("data") != secret(name)["data"])

    def _secret(self, name: str) -> Json | None:
        return self._run.cluster.get(f"/api/v1{self._base}/secrets/{name}")

    def _injected(self) -> bool:
        found = self._run.cluster.get(f"{chaos_path(self._run)}/seatrial-resource")
        return bool(found) and is_injected(found)

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


def uncovered(span: list[float], played: list[Playing]) -> float:
    """Give how long a fault was seen when it was not to be there, in one go."""
    longest, at = 0.0, span[0]
    for each in sorted(played, key=lambda each: each.begin):
        if each.begin > at:
            longest = max(longest, min(each.begin, span[1]) - at)
        at = max(at, each.end)
        if at >= span[1]:
            return longest
    return max(longest, span[1] - at)
