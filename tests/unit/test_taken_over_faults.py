"""What a conductor that takes over says of faults is no better, and blames no less."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from seatrial.api.proof import prove
from seatrial.api.reasons import Reason
from seatrial_runner.conductor.faults import Director

from tests.support.conducted import a_fault_doc
from tests.support.played_faults import played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop
from tests.unit.test_repeats_after_restart import taken_over


def a_scale(lasts: str = "1m", **more: Any) -> dict[str, Any]:
    return a_fault_doc("f", scale={"replicas": 0}, **{"for": lasts}, **more)


def reason_of(namespace: RunNamespace) -> Reason:
    (proof,) = prove(namespace.summary(), [])
    return proof.reason


@pytest.mark.parametrize(
    ("start_s", "away_s", "reason"),
    [
        (2.0, 1.0, Reason.FAULT_PROVEN),
        (8.0, 4.0, Reason.NOT_RECOVERED),
        (2.0, 4.8, Reason.FAULT_RECOVERY_NOT_SEEN),
        (60.0, 8.0, Reason.NOT_RECOVERED),
        (8.0, 20.0, Reason.FAULT_RECOVERY_NOT_SEEN),
    ],
)
def test_a_restart_gives_the_system_no_more_time_to_recover(
    start_s: float, away_s: float, reason: Reason
) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        await director.start("f", test="paid")
        director.met(loop().now(), "orders")
        namespace.start_s = start_s
        await director.stop("f")
        successor = await taken_over(director, after_s=away_s)
        await successor.recovered("f")

    fault = a_scale(when={"manual": {}}, recovery={"within": "5s"})
    _, namespace = played(fault, course=course)
    assert reason_of(namespace) is reason


def test_a_fault_that_another_conductor_has_undone_is_no_longer_active() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.start("f", test="paid")
        namespace.start_s = 30.0
        successor = await taken_over(director)
        assert (successor.fault("f") or {})["state"] == "Reverted"
        third = await taken_over(successor)
        await third.abandon("The run was aborted.")

    states, namespace = played(a_scale(when={"manual": {}}), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Reverted", "conductor")
    assert [each["kind"] for each in namespace.entries()].count("fault.reverted") == 1


@pytest.mark.parametrize("killed", ["as-it-is-carried-out", "in-effect", "when-it-is-over"])
def test_what_failed_while_a_fault_was_carried_out_names_it_after_a_restart(killed: str) -> None:
    during: list[list[str]] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        before = director._stage.at()
        await asyncio.sleep(0.1)
        starting = asyncio.create_task(director.start("f", test="paid"))
        await asyncio.sleep(0.5)
        meanwhile = director._stage.at()
        assert (director.fault("f") or {})["applied"] is None  # pods take a second to end
        if killed != "as-it-is-carried-out":
            await starting
        if killed == "when-it-is-over":
            await director.stop("f")
            await director.recovered("f")
        starting.cancel()
        director = await taken_over(director)
        windows = director._stage.windows
        during.extend([windows.during(before, before), windows.during(meanwhile, meanwhile)])
        await director.undo_open("the test ends")

    played(a_scale(when={"manual": {}}), course=course)
    assert during == [[], ["f"]]


def test_what_was_not_in_effect_when_a_conductor_ended_was_not_ended_early() -> None:
    lost: list[Any] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        starting = asyncio.create_task(director.begin_with("paid"))
        await asyncio.sleep(0.5)
        assert (director.fault("f") or {})["state"] == "Requested"  # pods take a second to end
        await director.undo_open("the conductor was stopped")
        await starting
        director = await taken_over(director)
        lost.extend(director._stage.journal.summary["lostEvidence"])

    states, namespace = played(a_scale(when={"test": "paid"}), course=course)
    assert states["f"]["state"] == "Pending"
    assert lost == []
    assert "fault.reverted" not in [each["kind"] for each in namespace.entries()]


def test_a_service_that_went_before_it_was_cut_off_has_nothing_to_undo() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace._remove("services", "orders")
        namespace._remove("endpointslices", "orders-x")
        starting = asyncio.create_task(director.begin_with("paid"))
        await asyncio.sleep(0.5)
        assert (director.fault("f") or {})["state"] == "Requested"  # it looks for endpoints
        starting.cancel()
        await taken_over(director)

    fault = a_fault_doc("f", noEndpoints={}, **{"for": "1m"}, when={"test": "paid"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "Pending"


def test_what_fails_before_the_system_is_well_names_a_fault_that_is_played_again() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await director.begin_with("paid")
        namespace.start_s = 5.0
        director = await taken_over(director)
        during, at = director._stage.windows.during, director._stage.at
        assert (director.fault("f") or {})["state"] == "Pending"
        await asyncio.sleep(2.0)
        assert during(at(), at()) == ["f"]
        await director.gate_opened()
        director.met(loop().now(), "orders")
        assert (director.fault("f") or {})["hits"] == 0
        assert during(at(), at()) == []
        await director.undo_open("the test ends")

    played(a_scale(when={"test": "paid"}), course=course)
