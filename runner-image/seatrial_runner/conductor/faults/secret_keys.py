"""
Keys of a Secret that a fault changes: their old values are kept in annotations of the Secret.

There, unlike in another Secret, the operator can bring them back without reading them. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seatrial.api.errors import NotInjectedError
from seatrial.api.undoing import (
    MAX_ANNOTATIONS,
    back_key,
    kept_key,
    mark_key,
    note,
    note_key,
)

Json = dict[str, Any]


def as_before(item: Json, fault: str, keys: Sequence[str]) -> Json:
    """Give a Secret without what a fault has changed, if an earlier try of it was not undone."""
    annotations = _annotations(item)
    if mark_key(fault) not in annotations:
        return item
    data = dict(item.get("data") or {})
    for key, value in _kept(annotations, fault, keys).items():
        data.pop(key, None)
        if value is not None:
            data[key] = value
    return {**item, "data": data}


def keeping(item: Json, fault: str, mark: str, keys: Sequence[str]) -> Json:
    """
    Give the annotations that keep the values of keys, to be written with the change.

    Raises:
        NotInjectedError: They are too large.
    """
    data = item.get("data") or {}
    kept = {
        mark_key(fault): mark,
        **{kept_key(fault, n): data[key] for n, key in enumerate(keys) if key in data},
    }
    size = sum(len(k) + len(v) for k, v in {**_annotations(item), **kept}.items())
    if size > MAX_ANNOTATIONS:
        raise NotInjectedError(
            f"the values of Secret {item['metadata']['name']} that are kept in its annotations"
            f" until they are back take {size / 1024:.0f} KiB with the others, and Kubernetes"
            f" allows {MAX_ANNOTATIONS // 1024}: change fewer keys, or remove it as a whole"
            " (remove: {})"
        )
    return {**kept, note_key(fault): None, back_key(fault): None}


def bringing_back(item: Json, fault: str, mark: str, keys: Sequence[str], at: str) -> Json:
    """
    Give the merge patch that brings keys back; it fails if the Secret has changed since.

    Args:
        item: As it is now.
        fault: Name of the fault.
        mark: Of this playing.
        keys: That were changed, in the order in which they are kept.
        at: The moment, to be written down for whoever has to see to the pods; empty: nobody has.
    """
    metadata = item["metadata"]
    back = note(mark, at) if at else None
    gone: Json = {kept_key(fault, n): None for n in range(len(keys))}
    return {
        "metadata": {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "annotations": {**gone, mark_key(fault): None, back_key(fault): back},
        },
        "data": _kept(_annotations(item), fault, keys),
    }


def _kept(annotations: Json, fault: str, keys: Sequence[str]) -> Json:
    """Give the old values by key; None where there was none."""
    return {key: annotations.get(kept_key(fault, n)) for n, key in enumerate(keys)}


def _annotations(item: Json) -> Json:
    found: Json = item["metadata"].get("annotations") or {}
    return found
