"""From a test to its instances: one for each combination of its matrix."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from seatrial.api.duration import parse_duration

DEFAULT_TIMEOUT_S = 300.0
MAX_ID_PART = 40


@dataclass(frozen=True)
class Instance:
    """One scenario to run. Made of JSON types, so that it can be sent to a worker."""

    test: str
    id: str  # the test's name, or with a matrix ``name[A1-2]``
    variables: dict[str, Any]  # of ``vars`` and of the matrix
    steps: list[dict[str, Any]]
    timeout_s: float
    setup: list[dict[str, Any]] = field(default_factory=list)
    teardown: list[dict[str, Any]] = field(default_factory=list)
    scenarios: dict[str, dict[str, Any]] = field(default_factory=dict)  # to call, by name

    @property
    def parts(self) -> dict[str, list[dict[str, Any]]]:
        """The test's own steps, by the names of a test."""
        return {"setup": self.setup, "scenario": self.steps, "teardown": self.teardown}


def expand(test: dict[str, Any], scenarios: Iterable[dict[str, Any]] = ()) -> list[Instance]:
    """
    Give the instances of a test in the order of its matrix, the last variable changing fastest.

    Args:
        test: A validated entry of ``spec.tests`` with ``scenario``, by JSON name.
        scenarios: Validated entries of ``spec.scenarios``, which its steps may call.
    """
    by_name = {scenario["name"]: scenario for scenario in scenarios}
    matrix: dict[str, list[Any]] = test.get("matrix") or {}
    timeout = parse_duration(test["timeout"]).total_seconds() if "timeout" in test else None
    combinations = [dict(zip(matrix, values, strict=True)) for values in product(*matrix.values())]
    columns = [_column(name, values) for name, values in matrix.items()]
    parts = ["-".join(labels) for labels in product(*columns)]
    return [
        Instance(
            test=test["name"],
            id=f"{test['name']}[{part}]" if matrix else test["name"],
            variables={**(test.get("vars") or {}), **variables},
            steps=test["scenario"],
            timeout_s=DEFAULT_TIMEOUT_S if timeout is None else timeout,
            setup=test.get("setup") or [],
            teardown=test.get("teardown") or [],
            scenarios=by_name,
        )
        for variables, part in zip(combinations, _distinct(parts), strict=True)
    ]


def _column(name: str, values: list[Any]) -> list[str]:
    return [_label(name, index, value) for index, value in enumerate(values)]


def _label(name: str, index: int, value: Any) -> str:
    """Label a value as pytest does: itself if it is short and plain, else its name and number."""
    text = value if isinstance(value, str) else json.dumps(value)
    plain = not isinstance(value, (dict, list)) and text.isprintable() and text != ""
    return text if plain and len(text) <= MAX_ID_PART else f"{name}{index}"


def _distinct(parts: Iterable[str]) -> list[str]:
    parts = list(parts)
    counts, taken = Counter(parts), set(parts)
    seen: Counter[str] = Counter()
    result = []
    for part in parts:
        label = part
        while counts[part] > 1 and label in taken:
            label = f"{part}_{seen[part]}"
            seen[part] += 1
        taken.add(label)
        result.append(label)
    return result
