"""Snapshots in a file beside the scenarios: ``orders.snapshots.json`` is of ``orders.yaml``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPTION = "--seatrial-update-snapshots"


class FileSnapshots:
    """
    Those of one scenario file.

    Args:
        path: Of the scenario file.
        given: What the file itself gives (``spec.snapshots.content``).
        updating: Store what is seen, in place of comparing.

    Raises:
        ValueError: What is stored cannot be read.
    """

    remedy = f"look at it, and store it with pytest {OPTION}"

    def __init__(self, path: Path, given: Mapping[str, Any], *, updating: bool) -> None:
        self.updating = updating
        self._path = path.with_suffix(".snapshots.json")
        self._given = given
        self._stored = _read(self._path)

    def get(self, key: str) -> Any:
        """Give what is stored; raise KeyError if nothing is."""
        return self._given[key] if key in self._given else self._stored[key]

    def put(self, key: str, value: Any) -> None:
        """Store it, and write the file."""
        self._stored[key] = value
        text = json.dumps(self._stored, indent=2, sort_keys=True, ensure_ascii=False)
        draft = self._path.with_suffix(".tmp")
        draft.write_text(f"{text}\n", encoding="utf-8")
        os.replace(draft, self._path)


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name}: no snapshots can be read: {error}") from error
    if not isinstance(stored, dict):
        raise ValueError(f"{path.name}: no snapshots can be read: it holds no map")
    return stored
