"""The files with data that a run brings: in its spec, and in a ConfigMap. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from seatrial.api.errors import SpecError
from seatrial.api.rules import did_you_mean
from seatrial.api.spec import RunSpec
from seatrial.plan.nesting import Placed, steps_of, steps_of_scenarios

MAX_BYTES = 256 * 1024  # they travel with the run
SUFFIXES = (".csv", ".json", ".yaml", ".yml", ".sql")

Found = Mapping[tuple[str, str], Mapping[str, Any] | None]


def fixtures_of(spec: RunSpec, found: Found) -> dict[str, str]:
    """Give every file by its name; what the spec itself says comes before the ConfigMap."""
    if spec.fixtures is None:
        return {}
    source = found.get(("ConfigMap", spec.fixtures.config_map or "")) or {}
    data: Mapping[str, str] = source.get("data") or {}
    stored = {name: data[name] for name in sorted(data) if name.endswith(SUFFIXES)}
    return {**stored, **spec.fixtures.content}


def fixture_problems(spec: RunSpec, found: Found | None) -> Iterator[SpecError]:
    """Find files that are too large, and steps whose file is not among them."""
    files = fixtures_of(spec, found or {})
    size = sum(len(text.encode()) for text in files.values())
    if size > MAX_BYTES:
        problem = f"has {size // 1024} KiB, more than {MAX_BYTES // 1024} KiB."
        yield SpecError("spec.fixtures", problem, "Let steps generate what is large.")
    if spec.fixtures and spec.fixtures.config_map and _unknown(spec, found):
        return
    for step, field in _steps(spec):
        name = PurePosixPath(step.data.file).name if step.data and step.data.file else ""
        if name and "{{" not in name and name not in files:
            problem = f"there is no file {name} in spec.fixtures."
            remedy = did_you_mean(name, files) or "Put it there, or into its ConfigMap."
            yield SpecError(f"{field}.data.file", problem, remedy)


def _unknown(spec: RunSpec, found: Found | None) -> bool:
    """Whether nobody has looked into the ConfigMap, or it is not there."""
    assert spec.fixtures is not None
    return not (found or {}).get(("ConfigMap", spec.fixtures.config_map or ""))


def _steps(spec: RunSpec) -> Iterator[Placed]:
    for index, test in enumerate(spec.tests):
        yield from steps_of(test, f"spec.tests[{index}]")
    yield from steps_of_scenarios(spec)
