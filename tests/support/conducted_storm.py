"""Many short faults in a row, played by the real director with the real journal and gateway."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from seatrial.api.control import FaultOrder, FaultReport
from seatrial.api.errors import ConflictError
from seatrial.api.names import ENTRIES_KEY, SUMMARY_KEY
from seatrial_runner import clock
from seatrial_runner.conductor.apiserver import ApiServer
from seatrial_runner.conductor.faults import Director, hands_of
from seatrial_runner.conductor.faults.control_client import ControlClient
from seatrial_runner.conductor.opening import claim_journal
from seatrial_runner.conductor.seen import PODS, Seen
from seatrial_runner.conductor.stage import Control, Stage
from seatrial_runner.journal import Stored

from tests.support.fault_storm import OTHER_ADDRESS, OTHER_SOURCE, Timings, Weather, traffic
from tests.support.gateway_process import TOKEN, Gateway

# On a machine that has other things to do, faults so short may all have met nobody.
_MORE = 50
Json = dict[str, Any]


@dataclass
class Told:
    """The journal's ConfigMap in memory, and all that it has ever said."""

    stored: Stored = field(default_factory=lambda: Stored({}, "0"))
    entries: Counter[str] = field(default_factory=Counter)  # by kind; each entry once
    failures: Counter[str] = field(default_factory=Counter)  # by state
    numbers: int = 0  # the highest of an entry
    gaps: int = 0  # entries that were gone before anyone could read them
    largest: int = 0  # bytes
    writes: int = 0

    async def read(self) -> Stored:
        return self.stored

    async def write(self, data: dict[str, str], resource_version: str) -> str:
        if resource_version != self.stored.resource_version:
            raise ConflictError("it has changed", status=409)
        await asyncio.sleep(0)
        self.writes += 1
        self.stored = Stored(dict(data), str(self.writes))
        self.largest = max(self.largest, sum(map(len, data.values())))
        self._hear(data[ENTRIES_KEY])
        return self.stored.resource_version

    def _hear(self, text: str) -> None:
        """Read what is new, as somebody does who sees every version."""
        new = []
        for line in reversed(text.splitlines()):
            entry = json.loads(line)
            if entry["n"] <= self.numbers:
                break
            new.append(entry)
        self.entries.update(entry["kind"] for entry in new)
        self.failures.update(entry["state"] for entry in new if entry["kind"] == "fault.failed")
        if new:
            self.gaps += new[0]["n"] - self.numbers - len(new)
            self.numbers = new[0]["n"]

    @property
    def kept(self) -> list[Json]:
        """The entries of its last version."""
        return [json.loads(line) for line in self.stored.data[ENTRIES_KEY].splitlines()]

    @property
    def dropped(self) -> int:
        """How many entries its last version says it has dropped."""
        return sum(entry["dropped"] for entry in self.kept if entry["kind"] == "dropped")

    @property
    def faults(self) -> list[Json]:
        """The states of its last summary."""
        return list(json.loads(self.stored.data[SUMMARY_KEY])["faults"])


class Listening(ControlClient):
    """The conductor's client of the gateway, which notes what it is told."""

    def __init__(self, of: ControlClient) -> None:
        super().__init__(of.what, of._where, of._token)
        self.begun = 0
        self.ended: Counter[str] = Counter()  # by what ended it
        self.timings = Timings()
        self._due: dict[str, float] = {}  # on the wall clock

    async def put(self, name: str, order: FaultOrder, *, patience_s: float) -> FaultReport:
        began, wall = time.monotonic(), clock.now().timestamp()
        report = await super().put(name, order, patience_s=patience_s)
        self.timings.begun_late_s.append(time.monotonic() - began)
        self.begun += report["applied"] is not None
        self._due[name] = wall + order["forS"]
        return report

    async def report(self, name: str) -> FaultReport | None:
        report = await super().report(name)
        if report is not None and report["ended"] is not None and name in self._due:
            late = clock.parse(report["ended"]).timestamp() - self._due.pop(name)
            self.timings.ended_late_s.append(max(late, 0.0))
            self.ended[str(report["endedBy"])] += 1
        return report


@dataclass
class ConductedStorm:
    """What was seen of a storm by a conductor."""

    weather: Weather
    ordered: int
    gateway: Listening
    journal: Told
    in_effect_s: list[float] = field(default_factory=list)  # from the test's wish
    known_s: list[float] = field(default_factory=list)  # from the wish until all is over, and told
    exchanges: int = 0

    @property
    def hits(self) -> dict[str, int]:
        """By shape, as the summary tells."""
        hits: Counter[str] = Counter()
        declared = self.weather.declared()
        for state in self.journal.faults:
            hits[declared[state["name"]][0]] += state["hits"]
        return dict(hits)

    def sums(self) -> dict[str, int]:
        """What has all to be the same number."""
        entries = self.journal.entries
        return {
            "ordered by the conductor": self.ordered,
            "begun, as the gateway answered": self.gateway.begun,
            "ended at their deadline, as the gateway answered": self.gateway.ended["deadline"],
            "intents in the journal": entries["fault.requested"],
            "beginnings in the journal": entries["fault.applied"],
            "ends in the journal": entries["fault.reverted"],
            "recoveries in the journal": entries["fault.recovered"],
            "times in the summary": sum(state["times"] for state in self.journal.faults),
        }

    def problems(self) -> list[str]:
        """Say what does not add up; nothing, if nothing was lost."""
        journal = self.journal
        found = [f"{what}: {many}" for what, many in self.sums().items() if many != self.ordered]
        # A fault of 5 ms may meet nothing: then it must say so, and so it does.
        if failures := {state: n for state, n in journal.failures.items() if state != "NoEffect"}:
            found.append(f"failures in the journal: {failures}")
        if journal.gaps:
            found.append(f"{journal.gaps} entries were never in the ConfigMap")
        kept = sum(entry["kind"] != "dropped" for entry in journal.kept)
        if kept + journal.dropped != journal.numbers:
            found.append(
                f"{journal.numbers} entries, but {kept} kept and {journal.dropped} said to be"
                " dropped"
            )
        if self.unmet and self.ordered >= 10 * len(self.weather.shapes):
            found.append(f"no traffic has met {', '.join(self.unmet)}")
        return found

    @property
    def unmet(self) -> list[str]:
        """Shapes that have met no traffic."""
        met = {shape for shape, hits in self.hits.items() if hits}
        return sorted(set(self.weather.shapes) - met)


async def conducted_storm(gateway: Gateway, count: int, weather: Weather) -> ConductedStorm:
    """Have a director play faults of 5 to 50 ms, one after another, kind by kind, on traffic."""
    journal = Told()
    stage = await _a_stage(journal, weather)
    hands = hands_of(stage, _no_logs, gateway_port=gateway.control_port)
    assert hands.gateway is not None
    listening = hands.gateway.client = Listening(hands.gateway.client)
    director = Director(stage, hands)
    seen = ConductedStorm(weather, count, listening, journal)
    names = list(weather.declared())
    with traffic(gateway, weather) as asked:
        async with _in_the_background(stage, director):
            await director.gate_opened()
            for number in range(count):
                await _play(director, names[number % len(names)], seen)
            longest = {shape: name for name, (shape, _) in weather.declared().items()}
            for _ in range(_MORE if count >= 10 * len(weather.shapes) else 0):
                await stage.journal.save()
                for shape in seen.unmet:
                    await _play(director, longest[shape], seen)
                    seen.ordered += 1
            await director.settle()
            await stage.journal.save()
    seen.exchanges = asked.exchanges
    return seen


async def _play(director: Director, name: str, seen: ConductedStorm) -> None:
    began = time.monotonic()
    await director.start(name, test="storm")
    seen.in_effect_s.append(time.monotonic() - began)
    await director.recovered(name)
    seen.known_s.append(time.monotonic() - began)


def _faults(weather: Weather) -> list[Json]:
    return [
        {
            "name": name,
            "target": {"service": weather.service} | _from(weather.shapes[shape].sources),
            weather.kind(shape): weather.shapes[shape].params,
            "when": {"manual": {}},
            "for": f"{lasts_ms}ms",
        }
        for name, (shape, lasts_ms) in weather.declared().items()
    ]


def _from(sources: list[str] | None) -> Json:
    return {"from": sources} if sources else {}


async def _a_stage(journal: Told, weather: Weather) -> Stage:
    now = clock.now()
    # No ports: probes would be worker processes, which take longer than such faults last.
    services = [
        {"name": name, "wave": 0, "hosts": [name], "ports": [], "workloads": []}
        for name in (weather.service, OTHER_SOURCE)
    ]
    services[0]["direct"] = {weather.service: f"seatrial-direct-{weather.service}"}
    run: Any = {
        "version": 1,
        "name": "storm",
        "namespace": "tests",
        "uid": "0a1b2c3d-0000-4000-8000-000000000001",
        "environment": "itr-storm-0a1b2c3d",
        "startedAt": clock.rfc3339(now),
        "services": services,
        "faults": _faults(weather),
        "tests": [],
        "gateway": True,
    }
    owner = await claim_journal(journal, run, now=clock.now, monotonic=time.monotonic)
    seen = Seen()
    seen.replace(PODS, [_pod("seatrial.dev/component", "gateway", "127.0.0.1")])
    seen.apply(PODS, "ADDED", _pod("seatrial.dev/service", OTHER_SOURCE, OTHER_ADDRESS))
    api = cast("ApiServer", _OnlyTheToken())
    control = Control({"abort": False, "suspend": False})
    return Stage(run, api, seen, owner, control, clock.now, time.monotonic)


def _pod(label: str, value: str, ip: str) -> Json:
    return {
        "metadata": {"name": f"pod-of-{value}", "uid": f"uid-{value}", "labels": {label: value}},
        "spec": {"containers": []},
        "status": {"phase": "Running", "podIP": ip},
    }


class _OnlyTheToken:
    """An API server that has the gateway's Secret and nothing else."""

    async def get(self, path: str) -> Json:
        assert path.endswith("/secrets/seatrial-gateway"), path
        return {"data": {"token": base64.b64encode(TOKEN.encode()).decode()}}


async def _no_logs(pod: str) -> None:
    pass


@contextlib.asynccontextmanager
async def _in_the_background(stage: Stage, director: Director) -> Any:
    work = [stage.journal.keep_written(), *director.background()]
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
