"""
Everything Seatrial raises on purpose.

::

    SeatrialError
    ├── SpecError           the user must change something: verdict Error, not retried
    │   └── InvalidSpecError    the same, with every problem that was found
    ├── ClusterError        the API server or the network: retried
    │   ├── ConflictError   409: read again, plan again, at once
    │   ├── ForbiddenError  403: retried slowly, until someone grants the right
    │   └── NotFoundError   404
    └── FaultError
        ├── NotInjectedError   nothing happened, so nothing was proved: Inconclusive
        ├── NoEffectError      it was carried out, but nothing was seen of it: Inconclusive
        └── NotRevertedError   it may still be there: never Passed, and clean-up goes on
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta


class SeatrialError(Exception):
    """
    Base of the tree.

    ``reason`` becomes a condition's reason, so it is public. ``retry_after`` is the whole retry
    policy: None means that trying again cannot help.
    """

    reason = "InternalError"
    retry_after: timedelta | None = None


class SpecError(SeatrialError):
    """The run cannot work as written. The message names the field and the remedy."""

    reason = "InvalidSpec"

    def __init__(self, field: str, problem: str, remedy: str = "") -> None:
        self.field = field
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{field}: {problem}" + (f" {remedy}" if remedy else ""))


class InvalidSpecError(SpecError):
    """One or more problems of a run; ``problems`` has each, the message the first."""

    def __init__(self, problems: Sequence[SpecError]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(first.field, first.problem, first.remedy)
        more = len(self.problems) - 1
        if more:
            self.args = (f"{first} (and {more} more)",)


class ClusterError(SeatrialError):
    """The API server refused or did not answer."""

    reason = "ClusterUnavailable"
    retry_after: timedelta | None = timedelta(seconds=1)

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class ConflictError(ClusterError):
    """The object changed in between (409)."""

    reason = "Conflict"
    retry_after = timedelta(0)


class ForbiddenError(ClusterError):
    """The operator lacks a right (403), or an admission rule or quota said no."""

    reason = "Forbidden"
    retry_after = timedelta(seconds=15)


def lacks_a_right(refusal: str) -> bool:
    """
    Tell a 403 of a right that someone may still grant from one of an admission rule or a quota.

    Source: Kubernetes, staging/src/k8s.io/apiserver/pkg/endpoints/handlers/responsewriters.
    """
    return re.search(r'User ".*?" cannot ', refusal) is not None


class NotFoundError(ClusterError):
    """The object, or the namespace it should be in, is not there (404)."""

    reason = "NotFound"


class FaultError(SeatrialError):
    """A fault did not go as ordered."""

    reason = "FaultFailed"


class NotInjectedError(FaultError):
    """Nothing happened, so nothing was proved."""

    reason = "FaultNotInjected"


class NoEffectError(FaultError):
    """It was carried out, but nothing was seen of it from outside."""

    reason = "FaultWithoutEffect"


class NotRevertedError(FaultError):
    """The fault may still be there."""

    reason = "FaultNotReverted"
