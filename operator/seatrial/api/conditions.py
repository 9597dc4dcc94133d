"""The types of conditions, each with when it is True. Plain."""

from __future__ import annotations

from enum import StrEnum


class ConditionType(StrEnum):
    """Part of the API; the last three are kstatus', for GitOps tools."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> ConditionType:
        """Make a member that equals its word and carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    FINISHED = "Finished", "The verdict stands. `kubectl wait --for=condition=Finished` returns."
    PASSED = "Passed", "The verdict is Passed; False with any other."
    ENVIRONMENT_READY = "EnvironmentReady", "Every service is ready and the tests have begun."
    FAULTS_PROVEN = (
        "FaultsProven",
        "Every declared fault took effect, met traffic, was undone, and the system recovered.",
    )
    ABORTING = "Aborting", "The run is being ended before its time."
    REPORT_AVAILABLE = "ReportAvailable", "The ConfigMap named in `status.report` is complete."
    CLEANED_UP = "CleanedUp", "The run's namespace is gone; if not, the message says what stays."
    READY = "Ready", "The verdict is Passed."
    RECONCILING = "Reconciling", "The run is on its way."
    STALLED = "Stalled", "The run has ended with another verdict than Passed."
