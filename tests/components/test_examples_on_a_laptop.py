"""The scenarios of an example, as in the cluster, on a laptop: the same file, by pytest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from seatrial_runner.conductor.faults.certificates import expired_copy

from localcluster.ports import free_port
from tests.support.laptop import outcomes, pytest_of, services_of, shop, system_of
from tests.support.scenarios import run_steps


@pytest.mark.parametrize(
    ("example", "tests", "fails"),
    [
        ("postgres", 4, set()),
        ("postgres-broken", 4, {"a-transfer-is-whole-or-not-at-all"}),
        ("event-sourcing-broken", 3, {"of-writers-in-conflict-one-is-first"}),
        ("pool-exhausted", 1, set()),
    ],
)
def test_scenarios_come_to_the_same_end_and_those_with_faults_are_skipped(
    example: str, tests: int, fails: set[str]
) -> None:
    with system_of(example) as system:
        found = outcomes(example, system.by_pytest())
    assert len(found) == tests
    assert {name for name, outcome in found.items() if outcome != "PASSED"} == fails


@pytest.mark.parametrize("broker", ["rabbitmq", "kafka"])
def test_the_scenarios_of_a_queue_pass_and_those_with_faults_are_skipped(
    broker: str, request: pytest.FixtureRequest
) -> None:
    events = request.getfixturevalue(broker).url
    example = f"queue-{broker}"
    with system_of(example, events=events) as system:
        found = outcomes(example, system.by_pytest())
    assert found == {
        "both-do-their-part": "PASSED",
        "tried-again-until-it-can-be-done": "PASSED",
        "what-nobody-can-read-is-put-aside": "PASSED",
    }


def manifests_of(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Give the objects of a service's manifests by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(service["manifests"]["inline"])}


FRONTS = ("front", "lapsed")


def files_of(service: dict[str, Any]) -> dict[str, str]:
    """Give the files of a service by name, without the folder."""
    return {Path(path).name: text for path, text in service["files"].items()}


@contextmanager
def authentication(
    example: str, folder: Path, expired: str = ""
) -> Iterator[tuple[dict[str, str], int]]:
    """
    Run its services; gives their URLs, and the port at which records speaks TLS.

    ``expired``: the service whose certificate is replaced as the fault does it.
    """
    services = services_of(example)
    manifests = manifests_of(services["records"])
    secret = manifests["Secret"]["stringData"]
    for name, files in (
        *((front, files_of(services[front])) for front in FRONTS),
        ("records", secret),
    ):
        (folder / name).mkdir()
        if name == expired:
            signer = {"ca.crt": secret["ca.crt"], "ca.key": secret["ca.key"]}
            old = expired_copy(files | signer, "tls.crt", now=datetime.now(UTC))
            files |= {"tls.crt": old}
        for file, text in files.items():
            (folder / name / file).write_text(text)
    [container] = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    switches = {each["name"]: each["value"] for each in container["env"]}
    port = free_port()
    with ExitStack() as running:
        clients = services["identity"]["env"]["CLIENTS"]
        identity = running.enter_context(shop("auth.identity", CLIENTS=clients))
        records = running.enter_context(
            shop(
                "auth.records",
                IDENTITY_URL=identity,
                TLS_PORT=str(port),
                TLS_FOLDER=str(folder / "records"),
                CHECKS_AUDIENCE=switches["CHECKS_AUDIENCE"],
            )
        )
        fronts = {
            name: running.enter_context(
                shop(
                    "auth.front",
                    IDENTITY_URL=identity,
                    RECORDS_URL=f"https://localhost:{port}",
                    TLS_FOLDER=str(folder / name),
                )
            )
            for name in FRONTS
        }
        yield {"identity": identity, "records": records, **fronts}, port


@pytest.mark.parametrize(
    ("example", "fails"),
    [
        ("authentication", set()),
        ("authentication-broken", {"a-token-for-another-service-is-refused"}),
    ],
)
def test_the_scenarios_of_the_authentication_example_come_to_the_same_end(
    example: str, fails: set[str], tmp_path: Path
) -> None:
    with authentication(example, tmp_path) as (urls, _):
        where = [f"--service={name}={url}" for name, url in urls.items()]
        found = outcomes(example, pytest_of(example, *where))
    assert len(found) == 5
    assert {name for name, outcome in found.items() if outcome != "PASSED"} == fails


@pytest.mark.parametrize(
    ("expired", "status", "words"),
    [("", 200, ""), ("records", 502, "certificate has expired")],
)
def test_two_services_look_at_each_others_certificates(
    expired: str, status: int, words: str, tmp_path: Path
) -> None:
    with authentication("authentication", tmp_path, expired) as (urls, _), httpx.Client() as client:
        answer = client.post(
            f"{urls['identity']}/token",
            data={"grant_type": "client_credentials"},
            auth=("ada", "ada's secret"),
        )
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        found = client.get(f"{urls['front']}/records", headers=bearer)
    assert found.status_code == status, found.text
    assert words in found.text


def test_a_test_that_shows_no_good_certificate_is_told_why(tmp_path: Path) -> None:
    shown = files_of(services_of("authentication")["lapsed"])
    expired = {"ca": shown["ca.crt"], "cert": shown["tls.crt"], "key": shown["tls.key"]}
    none = {"ca": shown["ca.crt"]}
    with authentication("authentication", tmp_path) as (_, port):
        request = {"get": f"https://localhost:{port}/records"}
        with_none, with_expired = (
            run_steps([{"http": {**request, "tls": tls}}]).message for tls in (none, expired)
        )
    assert "it wants a client certificate (tls.cert, tls.key)" in with_none
    assert "alert certificate expired; is it the client's certificate?" in with_expired
