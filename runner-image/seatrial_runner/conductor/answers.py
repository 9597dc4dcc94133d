"""What others answer is JSON objects, or else told: in a pod, anybody may answer at a port."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]


def read_object(text: bytes) -> Json:
    """Read a JSON object; ValueError if it is none."""
    try:
        return mapping(json.loads(text))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def mapping(value: object) -> Json:
    """Give an object that was read; ValueError if it is another value."""
    if not isinstance(value, dict):
        raise ValueError(f"{str(value)[:60]!r} is no JSON object")
    return value
