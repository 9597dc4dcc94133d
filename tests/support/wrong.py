"""
The wrong manifests of ``tests/control_plane/wrong``: each a good run with something wrong in it.

An entry has

- ``name``;
- ``at``: who refuses it: ``apply``, the API server, or ``operator``, which ends the run as Error;
- ``spec``: laid over the spec of a good run, field by field; or ``inline``: manifests of a service;
- ``objects``: ConfigMaps and Secrets in the run's namespace; ``readable`` ones carry the label;
- ``says``: what Seatrial says of it, word for word;
- ``server``: for ``apply``, a part of what the API server says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import parse_run
from seatrial.plan.validation import Limits, one_message, references, validate

from tests.support.builders import a_run, a_test

FOLDER = Path(__file__).parents[1] / "control_plane" / "wrong"


@dataclass(frozen=True)
class Wrong:
    """One wrong manifest, and what is said of it."""

    name: str
    refused_by: str
    manifest: dict[str, Any]
    found: dict[tuple[str, str], dict[str, Any] | None]
    says: str
    server: str


def wrong_manifests() -> list[Wrong]:
    """Load them all."""
    entries = [
        entry
        for path in sorted(FOLDER.glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text())
    ]
    return [_wrong(entry) for entry in entries]


def verdict_of_seatrial(wrong: Wrong) -> str:
    """Give the message that Seatrial has for it; empty if it finds nothing wrong."""
    try:
        run = parse_run(wrong.manifest)
    except InvalidSpecError as error:
        return str(error)
    looked_for = dict.fromkeys(references(run.spec))
    problems = validate(run.spec, {**looked_for, **wrong.found}, Limits())
    return one_message(problems) if problems else ""


def _wrong(entry: dict[str, Any]) -> Wrong:
    spec = entry.get("spec", {})
    if "inline" in entry:
        spec = {
            "services": [{"name": "orders", "manifests": {"inline": entry["inline"]}}],
            "tests": [a_test(scenario=[{"expect": ["true"]}])],
        }
    name = entry["name"].lower().replace(" ", "-").replace(",", "").replace("'", "")
    return Wrong(
        name=name,
        refused_by=entry["at"],
        manifest=a_run(name, **spec),
        found={(each["kind"], each["name"]): _object(each) for each in entry.get("objects", [])},
        says=entry.get("says", ""),
        server=entry.get("server", ""),
    )


def _object(entry: dict[str, Any]) -> dict[str, Any]:
    labels = {names.LABEL_READABLE: names.LABEL_READABLE_VALUE} if entry.get("readable") else {}
    return {"metadata": {"name": entry["name"], "labels": labels}, "data": entry.get("data", {})}
