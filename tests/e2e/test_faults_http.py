"""Every kind of HTTP fault on a real cluster: its effect, its end, its proof."""

from __future__ import annotations

import pytest
from seatrial.api.fault_kinds import Http, HttpAbort, HttpBody

from tests.e2e.breaking import MANUAL, assert_passed, assert_proven, peer, run_of, suite
from tests.e2e.cluster import Json, Run
from tests.e2e.conftest import Desk

ORDERS = {
    "methods": ["POST", "PUT"],
    "pathPrefix": "/orders",
    "headers": {"x-customer": "ada"},
}
# Every fault is started by the suite, which looks at its effect; see ``inside/http_kinds.py``.
FAULTS: dict[str, Json] = {
    "abort": {"abort": {"status": 503}},
    "grpc-abort": {"abort": {"grpcStatus": 14}},
    "delay": {"delay": "500ms"},
    "rate": {"rate": "16Ki"},
    "body": {"body": {"replace": "<html>not JSON</html>"}},
    "truncate": {"body": {"truncate": 10}},
    "content-type": {"body": {"contentType": "text/html"}},
    "matched": {"abort": {"status": 418}, "match": ORDERS},
    "exact": {"abort": {"status": 500}, "match": {"path": "/orders"}},
    "half": {"abort": {"status": 502}, "share": "50%"},
    "exact-too": {"abort": {"status": 500}, "match": {"path": "/orders"}},
    "slow-carts": {"delay": "300ms", "match": {"path": "/carts"}},
    "everything-on-http": {"abort": {"status": 503}},
}


def spec() -> Json:
    return {
        "timeout": "5m",
        "services": [peer("web", http={"http": 8080, "plain": 8081})],
        "faults": [
            {
                "name": name,
                "target": {"service": "web", "port": "http"},
                "http": http,
                "for": "60s",
                "when": MANUAL,
            }
            for name, http in FAULTS.items()
        ],
        "tests": [{"name": "kinds", "pytest": {"configMap": "http-kinds"}, "timeout": "3m"}],
    }


@pytest.fixture(scope="module")
def run(shared_desk: Desk) -> Run:
    return run_of(shared_desk, "http", spec(), suite("http-kinds", "http_kinds"))


def test_every_kind_is_seen_from_outside(run: Run, status: Json) -> None:
    assert_passed(run, status)


@pytest.mark.parametrize("name", FAULTS)
def test_an_http_fault_is_proven(name: str, status: Json) -> None:
    fault = assert_proven(status, name)
    assert fault["revertedBy"] == "test"


def test_all_kinds_are_here() -> None:
    def aliases(model: type) -> set[str]:
        return {info.alias or key for key, info in model.model_fields.items()}  # type: ignore[attr-defined]

    assert {key for http in FAULTS.values() for key in http} == aliases(Http)
    for kind, model in (("abort", HttpAbort), ("body", HttpBody)):
        assert {key for http in FAULTS.values() for key in http.get(kind, {})} == aliases(model)
