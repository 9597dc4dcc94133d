"""What holds whoever was killed, and whenever; and the page that says what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.bench.__main__ import origin
from tests.e2e.breaking import fault_of, moment
from tests.e2e.cluster import Json
from tests.e2e.every_fault import LASTS_S, lasting
from tests.e2e.expected import MISSING, is_proven, unexpected, untold
from tests.e2e.expected import MOMENTS as KILLED
from tests.e2e.looks import GRACE_S, UNDER_WAY_S, Playing, uncovered

EDGE_S = 1.0  # more than most looks take
# A delay of two seconds ends with the fault, and what is held then goes on. A tool counts from when
# it has injected its resource, which the conductor hears of later.
LOOK_S = {"delay": 3.0, "resource": 3.0}
LONGER = {"restarted"}  # the object is back, and the fault is over when the pods are new
MOST_CLEAR = 2  # looks, of five a second: what is measured by time is not exact
# By whom a fault that lasts may have been undone; of one that was played anew, the last time.
REVERTED_BY = {"deadline", "test", "conductor", "operator", "itself", "podGone"}
_NEVER = -1000.0

Case = tuple[str, str, str]  # family, victim, moment


@dataclass(frozen=True)
class Outcome:
    """What came of a run in which something was killed."""

    name: str
    family: str
    at: datetime  # of the killing
    seen: Json
    played: dict[str, list[Playing]]
    status: Json
    lost: list[str]  # evidence, in the conductor's words
    replaced: set[str]  # faults that are over at once, and have taken pods away

    def latest(self) -> tuple[float, str]:
        """Give how long after its deadline a fault was seen at the latest, and which."""
        found = [
            (looks["spans"][-1][1] - max(each.end - GRACE_S for each in self.played[name]), name)
            for name, looks in self.seen.items()
            if name in self.played and looks["spans"]
        ]
        return max(found, default=(_NEVER, ""))

    def __str__(self) -> str:
        """Show what became of each fault, in seconds since the killing."""
        zero = self.at.timestamp()
        lines = [
            f"{self.name}: killed at {self.at.isoformat()}: {self.status['verdict']}",
            self.status["message"],
            "last seen {:+.2f} s after its deadline: {}".format(*self.latest()),
        ]
        for fault in self.status["faults"]:
            name = fault["name"]
            spans = self.seen.get(name, {}).get("spans", [])
            shown = ", ".join(f"{first - zero:.1f} to {last - zero:.1f}" for first, last in spans)
            times = ", ".join(
                f"{each.begin - zero:.1f} to {each.end - GRACE_S - zero:.1f}"
                for each in self.played.get(name, [])
            )
            lines.append(
                f"{name:16} {fault['state']:12} {fault.get('revertedBy') or '-':10} to be there"
                f" [{times}] s, seen [{shown}] s; hits {fault['hits']} {fault.get('message', '')}"
            )
        return "\n".join([*lines, *self.lost])


def problems(found: Outcome, victim: str, killed: str) -> list[str]:
    """Say what is wrong; nothing if all is well."""
    return [
        *mistimed(found, killed),
        *outlived(found),
        *made_up(found),
        *unseen(found),
        *unexpected(found.status, found.family, victim, killed),
        *dishonest(found.status),
        *unnamed(found),
        *untold(found.status, victim, found.at, found.lost),
    ]


def mistimed(found: Outcome, killed: str) -> Iterator[str]:
    """See that what was to be killed before the faults was; the rest would tell of another case."""
    begun = [each[0].begin for each in found.played.values()]
    late = found.at.timestamp() - min(begun, default=found.at.timestamp())
    if killed == "before" and late > 0:
        yield f"killed {late:.1f} s after the faults began, and not before: the machine is too busy"


def outlived(found: Outcome) -> Iterator[str]:
    """Look for faults that were seen but from their order to 1 s after their deadline."""
    for name, looks in found.seen.items():
        # One look may have met a busy machine; what is there is seen again.
        for span in looks["spans"]:
            wrong = uncovered(span, found.played.get(name, []))
            if span[1] > span[0] and wrong > 0:
                yield f"{name} was seen for {wrong:.2f} s when it was not to be there"


def made_up(found: Outcome) -> Iterator[str]:
    """Look for faults that count as proven, and were not there while they are said to be."""
    for name, looks in found.seen.items():
        fault = fault_of(found.status, name)
        if fault["state"] != "Recovered":
            continue
        applied, effective = (moment(fault[each]).timestamp() for each in ("applied", "effective"))
        begin = max(applied + EDGE_S, effective)  # which a busy gateway finds later than it is told
        # Whoever is away at the deadline hears of the end later, and says then that it is over.
        end = min(moment(fault["reverted"]).timestamp(), applied + LASTS_S)
        end -= LOOK_S.get(name, EDGE_S)
        if name in LONGER and looks["spans"]:
            end = min(end, looks["spans"][-1][1])
        # A look that was under way may have met the killing and not the end of the fault.
        zero = found.at.timestamp()
        clear = [at for at in looks["clear"] if begin < at < end and not zero - EDGE_S < at < zero]
        if len(clear) > MOST_CLEAR:
            yield f"{name} is proven, and {len(clear)} looks did not see it meanwhile"


def unseen(found: Outcome) -> Iterator[str]:
    """Look for faults that count as proven, and were never seen by anybody else."""
    there = {name for name, looks in found.seen.items() if looks["spans"]} | found.replaced
    for fault in found.status["faults"]:
        if fault["state"] == "Recovered" and fault["name"] not in there:
            yield f"{fault['name']} is proven, and no look has seen it"


def dishonest(status: Json) -> Iterator[str]:
    """See that Passed means that nothing is missing, and that what is missing is told."""
    unproven = [each for each in status["faults"] if not is_proven(each)]
    outcomes = {test["outcome"] for test in status["tests"]}
    if outcomes != {"Passed"}:
        yield f"tests: {status['tests']}"
    expected = "Inconclusive" if unproven else "Passed"
    if status["verdict"] != expected:
        yield f"{status['verdict']} and not {expected}: {status['message']}"
    about, _, _ = status["message"].partition(MISSING)
    more = f"And {len(unproven) - 1} more not proven" if len(unproven) > 1 else ""
    if unproven and not (unproven[0]["name"] in about and more in about):
        yield f"the verdict does not tell of {[each['name'] for each in unproven]}: {about}"
    for each in unproven:
        if each["state"] != "Recovered" and not each.get("message"):
            yield f"{each['name']} is {each['state']}, and nothing says why"


def unnamed(found: Outcome) -> Iterator[str]:
    """See that each fault that lasted says by what it was undone."""
    for name in lasting(found.family):
        fault = fault_of(found.status, name)
        if fault.get("applied") and fault.get("revertedBy") not in REVERTED_BY:
            yield f"{name} was undone by {fault.get('revertedBy')}"


def write_page(path: Path, outcomes: Mapping[Case, Outcome]) -> None:
    """Write down what was measured, once all cases are well."""
    about = origin()
    count = sum(len(each.played) for each in outcomes.values())
    under_way = max(UNDER_WAY_S.values())
    lines = [
        "# Killers",
        "",
        f"Made on {about['today']} at {about['commit']} by `make killers`.",
        f"{len(outcomes)} runs, with a fault of every kind and variant of a family at one moment in"
        f" each: {count} faults, of {LASTS_S:g} s where they last.",
        "In each run one process is killed with SIGKILL: 2.5 s before the faults (before), when the"
        " first of those that are over at once is written down and not yet done (requested), while"
        " all of them are there (during), 0.3 s before the first of their deadlines (late), or when"
        " all of them are over and the test still runs (after).",
        "They are looked at from outside five times a second, and the objects that they change ten"
        " times a second.",
        "",
        "In every run:",
        "",
        "- no fault was seen 1 s after its deadline;",
        "- each fault came to what it must: it was proven, and somebody else had seen it; or, if it"
        " went with what was killed, it is `EndedEarly` (or `NoEffect`, where that was before its"
        " effect could be seen), and the run Inconclusive;",
        "- no proof was made up: what counts as proven was seen all the time that it is said to"
        " have been there;",
        "- the verdict's message says what evidence was lost with the victim, and invents none.",
        "",
        "What the looks do not decide, and why:",
        "",
        "- What a single look has seen does not count as a fault that is still there: it may have"
        " met a busy machine, and what is there is seen by the next one, 0.1 to 0.2 s later.",
        "- Of a scale, an outage and a restart that were killed before all pods were made, or had"
        " ended, nobody knows when they would have been in effect; they have"
        f" {under_way:g} s more.",
        f"- Up to {MOST_CLEAR} looks that did not see a proven fault, and those that began less"
        f" than {EDGE_S:g} s from its edges or before the killing, are no proof against it: what is"
        " measured by time is not exact, and a look may meet the killing.",
        "- Of a configuration with `restart`, its Secret is looked at, and not what the pods have"
        " read of it: pods of before are there until they are replaced. That their answers change,"
        " and change back, is seen by the test of every kind through the API.",
        "- A process that is killed late may, on a busy machine, be killed when some of the faults"
        " are over; these are proven.",
        "",
        "How long after its deadline a fault was seen at the latest (negative: before it), and the"
        " verdict:",
        "",
        f"| faults | killed | {' | '.join(KILLED)} |",
        f"| --- | --- |{' --- |' * len(KILLED)}",
    ]
    for family, victim in dict.fromkeys((family, victim) for family, victim, _ in outcomes):
        found = [outcomes.get((family, victim, each)) for each in KILLED]
        cells = [_cell(each) if each else "" for each in found]
        lines.append(f"| {family} | {victim} | {' | '.join(cells)} |")
    path.write_text("\n".join(lines) + "\n")


def _cell(found: Outcome) -> str:
    seconds, name = found.latest()
    shown = f"{seconds:+.2f} s ({name})" if seconds > _NEVER else "none seen"
    return f"{shown}, {found.status['verdict']}"
