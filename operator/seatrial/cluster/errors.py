"""The API server's answers as errors of ours."""

from __future__ import annotations

import json
from datetime import timedelta

from seatrial.api.errors import ClusterError, ConflictError, ForbiddenError, NotFoundError


class AlreadyExistsError(ConflictError):
    """An object of that name is there already (409, reason AlreadyExists)."""


class InvalidObjectError(ClusterError):
    """The API server will not have this object, however often it is tried (400, 422)."""

    reason = "Invalid"
    retry_after = None


class NotYetError(ClusterError):
    """Refused only because the namespace has just been made; a moment later it is accepted."""

    reason = "NotYet"
    retry_after = timedelta(milliseconds=25)


class LeaseNotHeldError(ClusterError):
    """Not even asked for: another operator may be at work by now."""

    reason = "LeaseNotHeld"


def error_from(status: int, body: bytes, what: str) -> ClusterError:
    """
    Make the error for an answer.

    Args:
        status: HTTP status, 400 or more.
        body: The answer, usually a Status object.
        what: What was asked for, to be named in the message.
    """
    reason, text = _read(body)
    message = f"{what}: {text or f'HTTP status {status}'}"[:2048]
    if status == 404:
        return NotFoundError(message, status=status)
    if status == 409:
        kind = AlreadyExistsError if reason == "AlreadyExists" else ConflictError
        return kind(message, status=status)
    if status in (401, 403):
        # Source: Kubernetes, staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota:
        # until the quota controller has counted a new namespace, nothing is admitted to it.
        if "status unknown for quota" in text:
            return NotYetError(message, status=status)
        return ForbiddenError(message, status=status)
    # Source: Kubernetes, staging/src/k8s.io/apimachinery/pkg/util/managedfields/internal/
    # structuredmerge.go: a list of an applied object that has a key twice is an internal error.
    if status in (400, 413, 422) or "failed to create typed patch object" in text:
        return InvalidObjectError(message, status=status)
    return ClusterError(message, status=status)


def _read(body: bytes) -> tuple[str, str]:
    """Read reason and message of a Status object; of anything else, its beginning."""
    try:
        document = json.loads(body)
    except ValueError:
        return "", body[:200].decode(errors="replace")
    if not isinstance(document, dict):
        return "", ""
    return str(document.get("reason") or ""), str(document.get("message") or "")
