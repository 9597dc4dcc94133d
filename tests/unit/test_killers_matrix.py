"""What the killers of the end-to-end tests kill, and that they would notice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from seatrial.api import families
from seatrial.api.fault_kinds import Dns, Http, HttpAbort, HttpBody, Packets
from seatrial.api.run import parse_run
from seatrial.api.spec import PodSecurity
from seatrial.plan.settings import FaultCeiling
from seatrial.plan.validation import Limits, validate

from tests.e2e import killed
from tests.e2e.every_fault import FAMILIES, HTTP, NETWORK, POD, faults, spec
from tests.e2e.expected import MISSING, TOLD, VICTIMS, cases, unexpected, untold
from tests.e2e.killed import Outcome, problems, write_page
from tests.e2e.looks import Playing

AT = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def at(seconds: float) -> str:
    return (AT + timedelta(seconds=seconds)).isoformat()


def a_status(family: str, state: str = "Recovered", **more: Any) -> dict[str, Any]:
    told = {
        "requested": at(-4), "applied": at(-4), "effective": at(-3.9), "firstHit": at(-3.9),
        "reverted": at(4), "recovered": at(4.1), "revertedBy": "deadline", "hits": 3,
    }  # fmt: skip
    return {
        "verdict": "Passed",
        "message": "1 test case passed.",
        "tests": [{"name": "watch", "outcome": "Passed"}],
        "faults": [{"name": each.lower(), "state": state, **told} for each in FAMILIES[family]],
        **more,
    }


def an_outcome(family: str, status: dict[str, Any]) -> Outcome:
    zero = AT.timestamp()
    names = [each.lower() for each in FAMILIES[family]]
    return Outcome(
        name=f"{family}-run",
        family=family,
        at=AT,
        seen={each: {"spans": [[zero - 3, zero + 3]], "clear": []} for each in names},
        played={each: [Playing(zero - 4, zero - 4, zero + 5)] for each in names},
        status=status,
        lost=[],
        replaced=set(),
    )


def test_every_kind_is_played() -> None:
    played = {
        families.kind_of(fault)  # type: ignore[arg-type]
        for family in FAMILIES
        for fault in faults(family)
    }
    assert played == set(families.KINDS)


def fields(model: Any) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items()}


def test_every_variant_of_a_kind_is_played() -> None:
    http = {key for each in HTTP.values() for key in each}
    assert http == fields(Http) - {"match", "share"}
    for key, model in (("abort", HttpAbort), ("body", HttpBody)):
        assert {name for each in HTTP.values() for name in each.get(key, {})} == fields(model)
    packets = {key for each in POD.values() for key in each.get("packets", {})}
    assert packets == fields(Packets) - {"jitter"}
    dns = {key for each in POD.values() for key in each.get("dns", {})}
    assert dns == fields(Dns) - {"names"}
    assert set(NETWORK) == set(families.NETWORK)


def test_every_victim_is_killed_at_every_moment_of_every_fault() -> None:
    everything = {
        (family, victim, killed)
        for family, victims in VICTIMS.items()
        for victim in victims
        for killed in ("before", "during", "late", "after")
    }
    # When kill, restart and evict begin, which are over at once.
    requested = {("api", victim, "requested") for victim in VICTIMS["api"]}
    assert sorted(cases()) == sorted(everything | requested)


def test_a_run_in_which_all_is_well_has_no_problem() -> None:
    assert problems(an_outcome("traffic", a_status("traffic")), "operator", "during") == []


def test_a_run_in_which_nothing_was_injected_is_a_problem() -> None:
    status = a_status("traffic", "NotInjected")
    found = list(unexpected(status, "traffic", "gateway", "before"))
    assert found[0] == "latency is NotInjected, and not Recovered"
    assert len(found) == len(FAMILIES["traffic"])


def test_a_victim_that_was_killed_too_late_is_told() -> None:
    [wrong] = problems(an_outcome("traffic", a_status("traffic")), "operator", "before")
    assert wrong.startswith("killed 4.0 s after the faults began, and not before")


def test_a_proof_that_nobody_else_has_seen_is_a_problem() -> None:
    outcome = an_outcome("pod", a_status("pod"))
    outcome.seen["disk"]["spans"] = []
    wrong = problems(outcome, "operator", "during")
    assert wrong == ["disk is proven, and no look has seen it"]


@pytest.mark.parametrize(
    ("seconds", "wrong"),
    [
        (-1, ["outage is proven, and 3 looks did not see it meanwhile"]),
        (-0.5, []),
        (4.5, []),
    ],
    ids=["before-its-deadline", "under-way-at-the-killing", "after-it"],
)
def test_a_proof_is_of_the_time_until_the_deadline(seconds: float, wrong: list[str]) -> None:
    status = a_status("api")
    for fault in status["faults"]:
        fault["reverted"] = fault["recovered"] = at(8)  # told by a conductor that was away
    outcome = an_outcome("api", status)
    outcome.seen["outage"]["clear"] = [AT.timestamp() + seconds] * 3
    assert problems(outcome, "operator", "during") == wrong


def test_a_fault_that_must_go_with_its_bearer_may_not_be_proven() -> None:
    found = unexpected(a_status("traffic"), "traffic", "envoy", "during")
    assert [each.split()[0] for each in found] == [each.lower() for each in HTTP]


@pytest.mark.parametrize("victim", ["conductor", "worker"])
def test_a_verdict_that_does_not_tell_what_was_lost_is_a_problem(victim: str) -> None:
    status = a_status("traffic")
    assert list(untold(status, victim, AT, []))
    told = {"message": f"Well. {MISSING}It {TOLD[victim]}."}
    assert not list(untold({**status, **told}, victim, AT, []))


def test_what_the_verdict_had_no_room_for_is_looked_for_in_the_report() -> None:
    lost = ["A log was lost.", f"The {TOLD['conductor'].replace('onductor', 'conductor')}."]
    status = a_status("api", message=f"Well. {MISSING}A log was lost. (and 1 more)")
    assert not list(untold(status, "conductor", AT, lost))
    assert list(untold(status, "conductor", AT, lost[:1]))


@pytest.mark.parametrize("victim", ["gateway", "controller", "envoy", "agent"])
def test_what_ended_early_has_to_be_told_by_its_bearer(victim: str) -> None:
    assert list(untold(a_status("traffic", "EndedEarly"), victim, AT, []))


def test_lost_evidence_that_is_made_up_is_a_problem() -> None:
    told = {"message": f"Well. {MISSING}The conductor was restarted."}
    assert list(untold(a_status("api", **told), "operator", AT, []))


def test_the_page_has_a_row_for_each_victim(tmp_path: Any, monkeypatch: Any) -> None:
    about = {"today": "today", "commit": "abc", "machine": "ours"}
    monkeypatch.setattr(killed, "origin", lambda: about)
    outcomes = {case: an_outcome(case[0], a_status(case[0])) for case in cases()}

    write_page(tmp_path / "page.md", outcomes)

    page = (tmp_path / "page.md").read_text()
    rows = [each for each in page.splitlines() if each.startswith("| ")][2:]
    assert len(rows) == sum(map(len, VICTIMS.values()))
    cell = "-1.00 s (truncate), Passed"
    assert f"| traffic | envoy | {cell} |  | {cell} | {cell} | {cell} |" in rows


@pytest.mark.parametrize("family", FAMILIES)
def test_the_operator_has_nothing_against_the_runs(family: str) -> None:
    run = {
        "apiVersion": "seatrial.dev/v1alpha1",
        "kind": "IntegrationTestRun",
        "metadata": {"name": family},
        "spec": spec(family, 10.0),
    }
    allowed = Limits(frozenset(PodSecurity), FaultCeiling(delegated=None))
    assert [str(each) for each in validate(parse_run(run).spec, None, allowed)] == []
