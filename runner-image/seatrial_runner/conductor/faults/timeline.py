"""
When a fault begins. Pure.

A fault without an offset is in effect *before* the first step of what it is bound to: the test's
worker is forked, or its pods are let through the gate, once the fault has been applied. A scenario
of a few milliseconds would otherwise be over before the API server has deleted a pod, and would
have met nothing. With an offset it comes into the middle of the test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from seatrial.api.duration import format_duration, parse_duration

Fault = dict[str, Any]


class Trigger(Enum):
    """What a fault waits for."""

    GATE = auto()
    TEST = auto()
    MANUAL = auto()


@dataclass(frozen=True)
class Moment:
    """When a fault begins."""

    trigger: Trigger
    test: str  # empty unless it is bound to one
    after_s: float

    @property
    def at_once(self) -> bool:
        """Tell whether it must be in effect before the first step."""
        return self.after_s == 0


def moment(fault: Fault) -> Moment:
    """Read ``when``; without one a fault begins with the opening of the gate."""
    when = fault.get("when") or {}
    if when.get("manual") is not None:
        return Moment(Trigger.MANUAL, "", 0.0)
    after_s = parse_duration(when["after"]).total_seconds() if when.get("after") else 0.0
    if when.get("test"):
        return Moment(Trigger.TEST, when["test"], after_s)
    return Moment(Trigger.GATE, "", after_s)


def lasts_s(fault: Fault) -> float | None:
    """Give how long a fault lasts, in seconds; None for one that is over at once."""
    return parse_duration(fault["for"]).total_seconds() if fault.get("for") else None


def recovery_within_s(fault: Fault) -> float:
    """Give the longest time the system may take to be well again, in seconds."""
    within = (fault.get("recovery") or {}).get("within") or "60s"
    return parse_duration(within).total_seconds()


def never_came(fault: Fault, *, ran_s: float) -> tuple[str, str]:
    """
    Say what becomes of a fault whose moment never came, and why.

    Args:
        fault: It is still pending, although all tests have ended.
        ran_s: How long the tests took, or the test it is bound to.
    """
    when = moment(fault)
    planned = (fault.get("when") or {}).get("after", "0s")
    match when.trigger:
        case Trigger.MANUAL:
            return "Skipped", "no test started it; start it in a step, a fixture or over HTTP"
        case Trigger.TEST if when.at_once:
            return "Skipped", f"its test {when.test} did not run"
        case Trigger.TEST:
            return "NotInjected", (
                f"test {when.test} ended after {_span(ran_s)}, before the fault's moment"
                f" ({planned}); lower when.after"
            )
        case Trigger.GATE:
            return "NotInjected", (
                f"the tests ended after {_span(ran_s)}, before the fault's moment ({planned});"
                " lower when.after, or bind the fault to a test with when.test"
            )


def _span(seconds: float) -> str:
    from datetime import timedelta

    return format_duration(timedelta(seconds=round(seconds, 1)))
