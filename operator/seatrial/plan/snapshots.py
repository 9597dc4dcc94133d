"""The snapshots that a run brings: in its spec, and in files of a ConfigMap. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.nesting import MAX_NESTED, excess
from seatrial.api.paths import below
from seatrial.api.spec import RunSpec

MAX_BYTES = 256 * 1024  # they travel with the run

_SMALLER = "Compare smaller parts of what is answered."

Found = Mapping[tuple[str, str], Mapping[str, Any] | None]


def snapshots_of(spec: RunSpec, found: Found) -> dict[str, Any]:
    """Give every snapshot by its name; what the spec itself says comes before the ConfigMap."""
    stored: dict[str, Any] = {}
    for text in _files(spec, found).values():
        stored |= json.loads(text)
    content = spec.snapshots.content if spec.snapshots else {}
    return {**stored, **content}


def snapshot_problems(spec: RunSpec, found: Found | None) -> Iterator[SpecError]:
    """Find files that hold no snapshots, and too many of them."""
    if spec.snapshots is None:
        return
    files = _files(spec, found or {})
    unreadable = {key: told for key, text in files.items() if (told := _unreadable(text))}
    for key, (problem, remedy) in unreadable.items():
        yield SpecError(below("spec.snapshots.configMap", key), problem, remedy)
    if unreadable:
        return
    size = len(json.dumps(snapshots_of(spec, found or {}), ensure_ascii=False).encode())
    if size > MAX_BYTES:
        problem = f"has {size // 1024} KiB, more than {MAX_BYTES // 1024} KiB."
        yield SpecError("spec.snapshots", problem, _SMALLER)


def _unreadable(text: str) -> tuple[str, str] | None:
    """Give problem and remedy of a file that cannot be taken."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half of a character cannot travel
    except RecursionError:
        return f"is nested more than {MAX_NESTED} levels deep.", _SMALLER
    except ValueError:
        value = None
    if not isinstance(value, dict):
        remedy = "It must be a file that pytest --seatrial-update-snapshots wrote."
        return "holds no snapshots.", remedy
    return next(((each.problem, _SMALLER) for each in excess(value)), None)


def _files(spec: RunSpec, found: Found) -> dict[str, str]:
    if spec.snapshots is None or spec.snapshots.config_map is None:
        return {}
    source = found.get(("ConfigMap", spec.snapshots.config_map)) or {}
    data: Mapping[str, str] = source.get("data") or {}
    return {key: data[key] for key in sorted(data) if key.endswith(".json")}
