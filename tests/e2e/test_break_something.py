"""The runs that pages show of faults, as they are: each is Passed, so each fault is proven."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.breaking import assert_passed, run_of
from tests.e2e.cluster import Run
from tests.e2e.conftest import Desk
from tests.support.certificates import a_certificate
from tests.support.documented import runs_of

PAGES = ("break-something.md", "../reference/scenario.md")
SHOWN = {run["metadata"]["name"]: run["spec"] for page in PAGES for run in runs_of(page)}
# That of a tool that is not installed here (see test_faults_delegated.py), and one that shows how a
# snapshot fails.
NAMES = [name for name in SHOWN if name not in ("delegated", "compares")]


@pytest.fixture(scope="module")
def runs(shared_desk: Desk) -> dict[str, Run]:
    """Apply all of them at once: most of the time they wait for faults to be over."""
    with_a_certificate(SHOWN["lost-setting"])
    return {name: run_of(shared_desk, name, SHOWN[name]) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_what_the_page_shows_passes_in_the_cluster(name: str, runs: dict[str, Run]) -> None:
    run = runs[name]
    assert_passed(run, run.finished())


def with_a_certificate(spec: dict[str, Any]) -> None:
    """Put a certificate that is one where the page has only words for it."""
    certificate, key = a_certificate("web")
    [service] = spec["services"]
    manifests = service["manifests"]["inline"]
    assert "the certificate, as PEM" in manifests
    service["manifests"]["inline"] = manifests.replace(
        '"the certificate, as PEM"', json.dumps(certificate)
    ).replace('"its key"', json.dumps(key))
