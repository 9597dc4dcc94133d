"""Plays whole runs of faults and tests on a namespace in memory, with a conductor that may die."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from seatrial.api.verdict import Verdict
from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor import scenario_tests

from tests.support.conducted import (
    a_conductor,
    a_conductor_that_dies,
    a_run_doc,
    a_scenario,
    a_service_doc,
    abort,
    order,
    verdict,
)
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import GATE, in_virtual_time, loop

REPLICAS = {"orders": 2, "web": 1}
Step = tuple[str, Any]


@dataclass(frozen=True)
class Course:
    """
    What a test does, each attempt alike.

    Steps are sleep (seconds), request (a host), start and stop (a fault); what they are refused
    is none of its concern.
    """

    name: str
    steps: tuple[Step, ...]
    fails: int = 0  # so many attempts fail, before those that pass
    retries: int = 0

    @property
    def passes(self) -> bool:
        return self.fails <= self.retries


@dataclass(frozen=True)
class Timeline:
    faults: tuple[dict[str, Any], ...]
    tests: tuple[Course, ...]
    parallelism: int = 1
    start_s: float = 0.3  # of pods
    lag_s: float = 0.0  # of watches
    vanish: tuple[float, str, str] | None = None  # seconds after the gate, what, which
    abort_s: float | None = None  # likewise


@dataclass
class Told:
    """What the run has told, and what was so."""

    verdict: Verdict
    summary: Any
    entries: list[dict[str, Any]]
    on: list[tuple[str, float, float]] = field(default_factory=list)  # object, from, until
    writes: list[tuple[float, str]] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    on_at_stop: list[str] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)  # when another conductor began

    def of(self, fault: str) -> list[dict[str, Any]]:
        """The journal's entries of a fault."""
        return [each for each in self.entries if each.get("fault") == fault]

    def state(self, fault: str) -> dict[str, Any]:
        return next(each for each in self.summary["faults"] if each["name"] == fault)


def seconds(text: str) -> float:
    return (parse(text) - GATE).total_seconds()


def play(timeline: Timeline, *killed_s: float) -> Told:
    """Play a run to its end; its first conductors are killed so long after their start."""
    with pytest.MonkeyPatch.context() as patch:
        return in_virtual_time(_play(timeline, killed_s, patch))


async def _play(timeline: Timeline, killed_s: Sequence[float], patch: pytest.MonkeyPatch) -> Told:
    namespace = RunNamespace(start_s=timeline.start_s)
    namespace.lag_s = timeline.lag_s
    tests = [a_scenario(each.name, retries=each.retries) for each in timeline.tests]
    services = [a_service_doc(name) for name in REPLICAS]
    order(
        namespace,
        a_run_doc(
            services=services,
            faults=list(timeline.faults),
            tests=tests,
            parallelism=timeline.parallelism,
        ),
    )
    told = Told(Verdict.ERROR, {}, [])
    looks = _Looks(namespace, told)
    namespace.after_write = looks.look
    for name, replicas in REPLICAS.items():
        namespace.deployment(name, replicas=replicas)
        namespace.service(name)
    await asyncio.sleep(timeline.start_s + 0.1)
    courses = {each.name: each for each in timeline.tests}
    patch.setattr(scenario_tests, "_attempt", _Attempts(courses, told).attempt)
    if timeline.vanish is not None:
        at_s, what, which = timeline.vanish
        loop().call_later(at_s, _vanish, namespace, what, which)
    if timeline.abort_s is not None:
        loop().call_later(timeline.abort_s, abort, namespace)
    for after_s in killed_s:
        # Less than 0: it is not killed, but stopped, and may undo what is on.
        await a_conductor_that_dies(namespace, after_s=abs(after_s), kill=after_s >= 0)
        told.on_at_stop += [] if after_s >= 0 else looks.on()
        told.back_s.append(loop().time())
    await a_conductor(namespace)
    looks.close()
    told.verdict, told.summary = verdict(namespace), namespace.summary()
    told.entries = namespace.entries()
    return told


class _Attempts:
    """Stands for the workers in which the steps of tests run."""

    def __init__(self, courses: dict[str, Course], told: Told) -> None:
        self._courses = courses
        self._told = told

    async def attempt(
        self,
        stage: Any,
        orders: Any,
        instance: Any,
        services: Any,
        connections: Any,
        attempt: int,
        lane: Any,
    ) -> dict[str, Any]:
        course, started = self._courses[instance.test], stage.at()
        for what, value in course.steps:
            if what == "sleep":
                await asyncio.sleep(value)
                continue
            if what == "request":
                self._told.requests.append(loop().time())
                message = {"request": {"at": rfc3339(stage.now()), "host": value}}
            else:
                message = {what: value}
            await scenario_tests._serve(orders, course.name, message)
        outcome = "failed" if attempt <= course.fails else "passed"
        return {
            "id": instance.id,
            "outcome": outcome,
            "attempt": 1,
            "startedAt": started,
            "finishedAt": stage.at(),
            "message": "",
            "details": "",
            "requests": 0,
            "properties": {},
        }


class _Looks:
    """Notes from outside when an object is not as it was."""

    def __init__(self, namespace: RunNamespace, told: Told) -> None:
        self._namespace = namespace
        self._told = told
        self._since: dict[str, float] = {}

    def look(self, number: int, what: str) -> None:
        now = loop().time()
        self._told.writes.append((now, what))
        for name, replicas in REPLICAS.items():
            deployment = self._namespace.objects.get(("deployments", name))
            if deployment is not None:
                self._note(f"deployments/{name}", deployment["spec"]["replicas"] != replicas)
            service = self._namespace.objects["services", name]
            self._note(f"services/{name}", len(service["spec"]["selector"]) != 1)

    def _note(self, key: str, is_on: bool) -> None:
        if is_on:
            self._since.setdefault(key, loop().time())
        elif key in self._since:
            self._told.on.append((key, self._since.pop(key), loop().time()))

    def on(self) -> list[str]:
        return list(self._since)

    def close(self) -> None:
        """What is on now is never undone."""
        self._told.on += [(key, since, float("inf")) for key, since in self._since.items()]


def _vanish(namespace: RunNamespace, what: str, which: str) -> None:
    if what == "workload" and ("deployments", which) in namespace.objects:
        namespace._remove("deployments", which)
    pods = [each["metadata"]["name"] for each in namespace._pods_of(which)]
    for name in pods if what != "pod" else pods[:1]:
        namespace._begin_to_go(name)
