"""
What conductor and operator both know of undoing a fault made through the API. Plain.

While such a fault is on, each object that it has changed bears its **mark**, which is another one
each time that a fault is played; whoever undoes it takes the mark away in the same write. So none
of the two can undo what the other has undone and begun anew. The operator leaves a **note** on the
object instead of the mark: that it was it, and when. It stays there for the conductor to read, also
for one that was not there meanwhile, and for an operator that was killed after the write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from seatrial.api.names import GROUP

Json = dict[str, Any]

# In FaultState.revertedBy:
OPERATOR = "operator"
ITSELF = "itself"  # what carried it out ended before its time, or something else undid it
POD_GONE = "podGone"  # the pod that was hit went, and took the fault with it
MAX_OBJECTS = 20  # of a fault, that the operator undoes; more are left to the conductor
# Objects of a fault of a kind, and so what the operator may be asked to undo.
UNDONE_BY_OPERATOR = {
    "scale": ("Deployment", "StatefulSet"),
    "outage": ("Deployment", "StatefulSet"),
    "noEndpoints": ("Service",),
    "configuration": ("ConfigMap", "Secret"),
}

# A pod has no such label, so a selector that asks for it finds none. To undo that is to take it out
# again, whatever else is there: exact without knowing what was there before.
_CUT = f"no-endpoints.{GROUP}/"
_MARK = f"fault.{GROUP}/"  # annotation
_NOTE = f"undone.{GROUP}/"  # annotation
# Original content of what a ``configuration`` fault changes: an object of the same kind, so that a
# Secret never gets into the journal.
UNDO_PREFIX = "seatrial-undo-"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
RESTORED = f"{GROUP}/restored"  # annotation of the kept object: when the original was back
# Of a Secret whose keys are changed, the old values are kept in annotations of itself: who may read
# them is who may read the Secret, and a JSON patch brings them back without anyone reading them.
_KEPT_VALUE = f"kept-{{}}.{GROUP}/"
_BACK = f"restored.{GROUP}/"  # annotation of that Secret: when they were back, while pods are not
# Source: Kubernetes, apimachinery/pkg/api/validation, TotalAnnotationSizeLimitB.
MAX_ANNOTATIONS = 256 * 1024
IMMUTABLE = f"{GROUP}/immutable"  # annotation of the kept object: the original was
KEPT = ("data", "binaryData", "type", "immutable")


def mark_of(stamp: str) -> str:
    """Give the mark of a fault that is played at a moment; it can be a label's value."""
    return stamp.replace(":", "")


def cut_key(fault: str) -> str:
    """Name the label that a Service's selector asks for while the fault cuts it off."""
    return f"{_CUT}{fault}"


def is_cut_key(label: str) -> bool:
    """Tell whether a label of a selector is that of a fault."""
    return label.startswith(_CUT)


def mark_key(fault: str) -> str:
    """Name the annotation that holds the mark."""
    return f"{_MARK}{fault}"


def note_key(fault: str) -> str:
    """Name the annotation that holds the note."""
    return f"{_NOTE}{fault}"


def kept_key(fault: str, number: int) -> str:
    """Name the annotation that holds the old value of a Secret's key, which is told by number."""
    return f"{_KEPT_VALUE.format(number)}{fault}"


def back_key(fault: str) -> str:
    """Name the annotation that says, as the note does, when the conductor brought keys back."""
    return f"{_BACK}{fault}"


def note(mark: str, at: str) -> str:
    """Write the note: of which playing it tells, and when it was undone."""
    return f"{mark} {at}"


def noted(item: Mapping[str, Any], fault: str, mark: str) -> str:
    """Read when the operator has undone this playing of a fault; empty if it has not."""
    return _moment_in(item, note_key(fault), mark)


def back_since(item: Mapping[str, Any], fault: str, mark: str) -> str:
    """Read when the conductor has brought the keys of a Secret back; empty if it has not."""
    return _moment_in(item, back_key(fault), mark)


def _moment_in(item: Mapping[str, Any], key: str, mark: str) -> str:
    # An annotation is anybody's to write: what is no moment, in UTC as RFC 3339 has it, is no note.
    annotations = item["metadata"].get("annotations") or {}
    of, _, at = str(annotations.get(key, "")).partition(" ")
    return at if of == mark and _is_moment(at) else ""


def _is_moment(text: str) -> bool:
    if not _MOMENT.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


# Configuration -----------------------------------------------------------------------------------


def all_keys(item: Mapping[str, Any]) -> list[str]:
    """List the keys of a ConfigMap or Secret."""
    return [*(item.get("data") or {}), *(item.get("binaryData") or {})]


def difference(
    present: Mapping[str, Any], kept: Mapping[str, Any], keys: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Give the merge patch that brings keys back to what they were, and removes what was not."""
    patch: dict[str, dict[str, Any]] = {}
    for field in ("data", "binaryData"):
        old, new = kept.get(field) or {}, present.get(field) or {}
        for key in keys:
            if old.get(key) != new.get(key):
                patch.setdefault(field, {})[key] = old.get(key)
    return patch


def made_again(kept: Mapping[str, Any], name: str, fault: str) -> Json:
    """Give the original, from what was kept of it, to be created anew."""
    metadata = kept["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    immutable = annotations.pop(IMMUTABLE, None) is not None
    for ours in (mark_key(fault), note_key(fault), RESTORED):
        annotations.pop(ours, None)
    return {
        "apiVersion": "v1",
        "kind": kept["kind"],
        "metadata": {
            "name": name,
            "labels": metadata.get("labels") or {},
            "annotations": annotations,
        },
        **{key: kept[key] for key in KEPT if key in kept},
        **({"immutable": True} if immutable else {}),
    }
