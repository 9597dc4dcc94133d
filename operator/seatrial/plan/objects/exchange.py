"""The ConfigMaps through which operator and conductor talk, and the test pods' tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from seatrial.api import names
from seatrial.api.journal import ControlDoc, RunDoc
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects.manifest import Json, Manifest, Mode, metadata


def run_configmap(run: Blueprint, document: RunDoc) -> Manifest:
    """Make the ConfigMap the conductor reads. What it says of the run never changes."""
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(run, names.RUN_CONFIGMAP, names.COMPONENT_ENVIRONMENT),
            "data": {names.RUN_KEY: compact(document)},
        },
        Mode.CREATE,
    )


def control_manifest(namespace: str, control: ControlDoc) -> Manifest:
    """
    Put ``control.json`` beside ``run.json``.

    Applied as an aspect of its own, so that it needs nothing of what the ConfigMap was made from.
    """
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": names.RUN_CONFIGMAP, "namespace": namespace},
            "data": {names.CONTROL_KEY: compact(control)},
        },
        aspect="control",
    )


def conductor_configmaps(run: Blueprint) -> Iterator[Manifest]:
    """Make the two that the conductor fills; its rights name them, and cannot cover a create."""
    for name, component in (
        (names.JOURNAL_CONFIGMAP, names.COMPONENT_JOURNAL),
        (names.REPORT_CONFIGMAP, names.COMPONENT_REPORT),
    ):
        body: Json = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(run, name, component),
        }
        yield Manifest(body, Mode.CREATE)


def access_secret(run: Blueprint) -> Manifest:
    """
    Make the tokens that test pods show to the conductor, one for each test, under its name.

    Drawn when it is created. With one for all, a hostile test could give the results of another.
    """
    body: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(run, names.ACCESS_SECRET, names.COMPONENT_ENVIRONMENT),
    }
    tests = tuple(test.name for test in run.spec.tests if test.scenario is None)
    return Manifest(body, Mode.CREATE, random_keys=tests)


def compact(document: Any) -> str:
    """Write JSON in as few bytes as it takes."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)
