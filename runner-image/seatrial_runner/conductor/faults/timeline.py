"""
When a fault begins, how often, and how long it lasts. Pure.

A fault without an offset is in effect *before* the first step of what it is bound to: the test's
worker is forked, or its pods are let through the gate, once the fault has been applied. A scenario
of a few milliseconds would otherwise be over before the API server has deleted a pod, and would
have met nothing. With an offset it comes into the middle of the test.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from seatrial.api.duration import format_duration, parse_duration

Fault = dict[str, Any]

_SEEDS = 2**31  # as many as the schema admits


class Trigger(Enum):
    """What a fault waits for."""

    GATE = auto()
    TEST = auto()
    FAULT = auto()  # another one that has been undone
    MANUAL = auto()


@dataclass(frozen=True)
class Moment:
    """When a fault begins."""

    trigger: Trigger
    test: str  # empty unless it is bound to one
    after_s: float
    fault: str = ""  # likewise

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
    if when.get("fault"):
        return Moment(Trigger.FAULT, "", after_s, when["fault"])
    return Moment(Trigger.GATE, "", after_s)


@dataclass(frozen=True)
class Repeats:
    """How often a fault happens, and how far one beginning is from the next."""

    times: int
    every_s: float


def repeats(fault: Fault) -> Repeats:
    """Read ``when.times`` and ``when.every``; without them a fault happens once."""
    when = fault.get("when") or {}
    if not when.get("times"):
        return Repeats(1, 0.0)
    every_s = parse_duration(when["every"]).total_seconds() if when.get("every") else 0.0
    return Repeats(int(when["times"]), every_s)


def seed_of(fault: Fault, of_the_run: str) -> int:
    """Give the seed of what is left to chance: the fault's own, or else one from the run's."""
    given = fault.get("seed")
    if given is not None:
        return int(given)
    return zlib.crc32(f"{of_the_run}/{fault['name']}".encode()) % _SEEDS


def seed_of_round(seed: int, number: int) -> int:
    """Give the seed of one time that a fault happens, from 1: each chooses anew, and alike."""
    return (seed + number - 1) % _SEEDS


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
        case Trigger.FAULT:
            after = f"{planned} after" if when.after_s else "when"
            return "NotInjected", (
                f"the tests ended after {_span(ran_s)}, before the fault's moment ({after}"
                f" fault {when.fault} was undone); have fault {when.fault} begin or end earlier"
            )
        case Trigger.GATE:
            return "NotInjected", (
                f"the tests ended after {_span(ran_s)}, before the fault's moment ({planned});"
                " lower when.after, or bind the fault to a test with when.test"
            )


def bound_to(fault: Fault) -> str:
    """Name what a fault cannot outlast; empty of one that a test starts, and stops."""
    when = moment(fault)
    if when.trigger is Trigger.MANUAL:
        return ""
    return f"test {when.test}" if when.test else "the tests"


def not_as_often(happened: int, asked: Repeats, *, what: str) -> str:
    """Say that a fault has not happened as often as it should, because ``what`` ended."""
    every = format_duration(timedelta(seconds=asked.every_s))
    return (
        f"it happened {happened} of {asked.times} times, each {every}, before {what} ended; lower"
        " when.every or when.times"
    )


def _span(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds, 1)))
