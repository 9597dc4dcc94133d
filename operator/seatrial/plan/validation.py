"""What the schema cannot say: whether a run can work, before anything is created for it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.spec import PodSecurity, RunSpec

# (kind, name) -> the object of the run's own namespace, or None if it is not there.
Found = Mapping[tuple[str, str], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Limits:
    """What this cluster's operator allows, from its Helm values."""

    pod_security: frozenset[PodSecurity] = frozenset({PodSecurity.RESTRICTED})
    faults: frozenset[str] = frozenset({"kill", "restart", "scale"})


def references(spec: RunSpec) -> set[tuple[str, str]]:
    """Name the ConfigMaps and Secrets that the run refers to, as (kind, name)."""
    raise NotImplementedError


def validate(spec: RunSpec, found: Found | None, limits: Limits) -> list[SpecError]:
    """
    Find everything that keeps the run from working.

    Args:
        spec: The spec, already checked by ``parse_run``.
        found: The objects named by ``references``; None without a cluster, which skips them.
        limits: What the operator allows.

    Returns:
        Every problem with its field and remedy, the most telling first; empty if it can work.
    """
    raise NotImplementedError


def one_message(problems: Sequence[SpecError]) -> str:
    """Put the first problem into one sentence, and count the others."""
    raise NotImplementedError
