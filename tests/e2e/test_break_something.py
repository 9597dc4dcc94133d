"""A run of the page of faults that needs more than the page shows: a certificate that is one."""

from __future__ import annotations

import json

from tests.e2e.breaking import assert_passed, run_of
from tests.e2e.conftest import Desk
from tests.support.certificates import a_certificate
from tests.support.documented import runs_of


def test_a_setting_is_lost_and_a_certificate_expires_as_the_page_shows(desk: Desk) -> None:
    [run] = [each for each in runs_of("break-something.md") if is_called(each, "lost-setting")]
    certificate, key = a_certificate("web")
    [service] = run["spec"]["services"]
    manifests = service["manifests"]["inline"]
    assert "the certificate, as PEM" in manifests
    service["manifests"]["inline"] = manifests.replace(
        '"the certificate, as PEM"', json.dumps(certificate)
    ).replace('"its key"', json.dumps(key))
    made = run_of(desk, "lost-setting", run["spec"])
    assert_passed(made, made.finished(240))


def is_called(run: dict[str, object], name: str) -> bool:
    return run["metadata"] == {"name": name}
