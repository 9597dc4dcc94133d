"""Memory of the conductor's pod, and what each of the scenarios in it may take of it. Plain."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

MIB = 1024 * 1024
# The conductor itself; and what each worker of its own, such as that of probes, may take.
BESIDE = 192 * MIB
_SCENARIOS = 320 * MIB  # all that run at the same time
_LEAST = 160 * MIB  # one; a thread of a parallel branch alone counts 8
_COPIED = 32 * MIB  # pages that a worker shares with the conductor until it writes to them


def at_once(parallelism: int, tests: Collection[Any]) -> int:
    """Give how many scenarios run at the same time at most, of these tests."""
    return max(1, min(parallelism, len(tests)))


def of_a_scenario(at_once: int) -> int:
    """Give the bytes that one may take, beyond what it shares, where so many run at a time."""
    return max(_SCENARIOS // at_once, _LEAST)


def of_the_pod(at_once: int, *, taps: bool = False) -> int:
    """Give the limit of the pod: room for all of them, whatever each one takes of its share."""
    return (2 if taps else 1) * BESIDE + at_once * of_a_scenario(at_once) + (at_once - 1) * _COPIED
