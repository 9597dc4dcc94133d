"""What a conductor that takes over says of faults is no better, and blames no less."""

from __future__ import annotations

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
