"""Conditions: one of each type, whose transition time changes only when its status does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from seatrial.api.reasons import Reason
from seatrial.api.status import Condition
from seatrial.api.verdict import Judgement, Verdict

MAX_MESSAGE = 1024


class Type(StrEnum):
    """Types of conditions; the last three are kstatus', for GitOps tools."""

    FINISHED = "Finished"
    PASSED = "Passed"
    ENVIRONMENT_READY = "EnvironmentReady"
    FAULTS_PROVEN = "FaultsProven"
    ABORTING = "Aborting"
    REPORT_AVAILABLE = "ReportAvailable"
    CLEANED_UP = "CleanedUp"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"


@dataclass(frozen=True)
class Claim:
    """What holds now of one type."""

    type: Type
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def find(conditions: Iterable[Condition], type_: Type) -> Condition | None:
    """Give the condition of a type, if it is there."""
    return next((each for each in conditions if each.type == type_), None)


def update(
    conditions: Iterable[Condition], claims: Iterable[Claim], now: datetime, generation: int
) -> list[Condition]:
    """
    Bring conditions up to date; types without a claim stay as they are.

    Source: Kubernetes API conventions, "Typical status properties".
    """
    result = {each.type: each for each in conditions}
    for claim in claims:
        old = result.get(claim.type)
        same = old is not None and old.status == claim.status
        result[claim.type] = Condition(
            type=claim.type,
            status=claim.status,
            reason=claim.reason,
            message=claim.message[:MAX_MESSAGE],
            last_transition_time=old.last_transition_time if old and same else now,
            observed_generation=generation,
        )
    return list(result.values())


def in_progress(reason: str, message: str) -> list[Claim]:
    """Claim what GitOps tools read while a run goes on."""
    return [
        Claim(Type.FINISHED, "False", reason, message),
        Claim(Type.READY, "False", reason, message),
        Claim(Type.RECONCILING, "True", reason, message),
        Claim(Type.STALLED, "False", reason),
    ]


def ended(judgement: Judgement, *, has_faults: bool) -> list[Claim]:
    """
    Claim what a verdict says.

    A run that has not passed is Stalled: nothing will change it, and a GitOps tool that waits for
    Ready must not wait for its timeout.
    """
    reason, message = judgement.reason, judgement.message
    passed = judgement.verdict is Verdict.PASSED
    claims = [
        Claim(Type.FINISHED, "True", reason, message),
        Claim(Type.PASSED, "True" if passed else "False", reason, message),
        Claim(Type.READY, "True" if passed else "False", reason, message),
        Claim(Type.RECONCILING, "False", reason),
        Claim(Type.STALLED, "False" if passed else "True", reason, "" if passed else message),
    ]
    if not has_faults:
        claims.append(Claim(Type.FAULTS_PROVEN, "True", Reason.NO_FAULTS))
    elif judgement.faults_proven:
        claims.append(Claim(Type.FAULTS_PROVEN, "True", Reason.FAULT_PROVEN))
    else:
        missing = next(proof for proof in judgement.faults if not proof.proven)
        claims.append(Claim(Type.FAULTS_PROVEN, "False", missing.reason, missing.message))
    return claims
