"""The conductor's HTTP interface, over loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest
from seatrial.api.errors import FaultError
from seatrial_runner.conductor import desk
from seatrial_runner.conductor.desk import Desk
from seatrial_runner.conductor.nofaults import NoFaults
from seatrial_runner.conductor.routes import Routes
from seatrial_runner.conductor.seen import Seen
from seatrial_runner.conductor.stage import Control, Stage
from seatrial_runner.httpserver import MAX_BODY, HttpServer
from seatrial_runner.journal import Entries, Journal, Stored, new_summary

from tests.support.builders import UID, a_test_state
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import GATE

TOKEN = "t0ken"
RIVAL = "r1val"
AT = "2026-11-20T12:00:00.000Z"


class Edge:
    async def read(self) -> Stored:
        return Stored({}, "1")

    async def write(self, data: dict[str, str], resource_version: str) -> str:
        return "1"


class Hasty(Journal):
    """Writes at once what might wait for a second."""

    async def written(self) -> None:
        self.save_soon()
        await super().written()


class OneFault(NoFaults):
    """A fault that is there, and hears of requests."""

    met_hosts: list[str]

    def fault(self, name: str) -> dict[str, Any] | None:
        return {"name": name, "state": "Pending"} if name == "known" else None

    async def start(self, fault: str, *, test: str) -> dict[str, Any]:
        if fault == "known":
            return {"name": fault, "state": "Active", "test": test}
        raise FaultError("it begins by itself")

    async def stop(self, fault: str) -> dict[str, Any]:
        raise FaultError(f"fault {fault} was not started")

    def met(self, at: datetime, host: str, *, test: str = "") -> None:
        self.met_hosts.append(f"{host} by {test}")


@dataclass
class Conductor:
    client: httpx.AsyncClient
    desk: Desk
    stage: Stage
    faults: OneFault


@pytest.fixture
async def conductor() -> AsyncIterator[Conductor]:
    """The interface of a run with a pytest test of two shards and one retry, and a rival."""
    suite = {"name": "suite", "retries": 1, "pytest": {"parallelism": 2}}
    run: Any = {
        "tests": [suite, {"name": "rival", "container": {}}],
        "services": [],
        "faults": [],
        "environment": NAMESPACE,
        "uid": UID,
    }
    journal = Hasty(
        Edge(),
        now=lambda: GATE,
        monotonic=asyncio.get_running_loop().time,
        summary=new_summary(run, at=AT),
        entries=Entries(),
        stored=Stored({}, "1"),
    )
    writer = asyncio.create_task(journal.keep_written())
    stage = Stage(
        run,
        RunNamespace().api,
        Seen(),
        journal,
        Control({"abort": False, "suspend": False}),
        lambda: GATE,
        asyncio.get_running_loop().time,
    )
    desk, faults = Desk(stage), OneFault(stage)
    faults.met_hosts = []
    server = HttpServer(Routes({"suite": TOKEN, "rival": RIVAL}, desk, faults))
    port = await server.start("127.0.0.1", 0)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False
    ) as client:
        yield Conductor(client, desk, stage, faults)
    await server.stop()
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)


def a_case(name: str = "test_a", outcome: str = "passed") -> dict[str, Any]:
    return {"id": name, "outcome": outcome, "startedAt": AT, "finishedAt": AT}


async def test_health_needs_no_token(conductor: Conductor) -> None:
    answer = await conductor.client.get("/healthz", headers={"Authorization": ""})
    assert answer.status_code == 200


@pytest.mark.parametrize("authorization", ["", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer é"])
async def test_everything_else_does(conductor: Conductor, authorization: str) -> None:
    headers = {"Authorization": authorization.encode()}
    answer = await conductor.client.get("/v1/gate?test=suite", headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert "SEATRIAL_TOKEN" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/v1/nothing", None, 404, "there is no GET /v1/nothing"),
        ("GET", "/v1/gate?test=other", None, 404, "no test 'other' with pods"),
        ("GET", "/v1/gate?test=suite&shard=2", None, 400, "the shards 0 to 1"),
        ("GET", "/v1/gate?test=suite&shard=x", None, 400, "shard must be a whole number"),
        ("GET", "/v1/gate?test=suite&wait=nan", None, 400, "wait must be a number of seconds"),
        ("POST", "/v1/tests/suite/results", b"{", 400, "the body is not JSON"),
        ("POST", "/v1/tests/suite/results", b"[" * 100_000, 400, "the body is not JSON"),
        ("POST", "/v1/tests/suite/results", b"[]", 400, "the body must be a JSON object"),
        ("POST", "/v1/tests/suite/results", b"{}", 400, "cases must be a list"),
        ("POST", "/v1/tests/suite/results", b'{"cases": [7]}', 400, "a case must be an object"),
        ("POST", "/v1/tests/suite/results", b'{"shard": "0"}', 400, "shard must be a whole"),
        ("POST", "/v1/tests/other/results", b'{"cases": []}', 404, "no test 'other'"),
        ("POST", "/v1/tests/suite/junit", b"<x/>", 400, "give the file's name"),
        ("POST", "/v1/requests", b'{"requests": [{}]}', 400, "each request needs at"),
        ("GET", "/v1/faults/other", None, 404, "no fault 'other'"),
        ("POST", "/v1/faults/other/start", None, 404, "no fault 'other'"),
        ("POST", "/v1/faults/known/stop", None, 409, "fault known was not started"),
    ],
)
async def test_a_wrong_request_is_answered_with_one_sentence(
    conductor: Conductor, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    answer = await conductor.client.request(method, path, content=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert "Traceback" not in answer.text


HEAD = b"POST /v1/requests HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        pytest.param(b"\x16\x03\x01 this is no HTTP\r\n\r\n", b"no HTTP request", id="no-http"),
        pytest.param(
            HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), b"is longer than", id="too-long"
        ),
        pytest.param(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (MAX_BODY + 1)
            + b"x" * (MAX_BODY + 1), b"is longer than", id="too-long-in-chunks",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000, b"no HTTP request", id="long-head"),
    ],
)  # fmt: skip
async def test_what_is_out_of_bounds_is_answered_and_closed(
    conductor: Conductor, sent: bytes, words: bytes
) -> None:
    port = conductor.client.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 4")
    assert words in answer
    writer.close()


async def test_a_pod_at_the_gate_hears_of_its_turn_at_once(conductor: Conductor) -> None:
    asked = asyncio.create_task(conductor.client.get("/v1/gate?test=suite&shard=1&wait=30"))
    turn = conductor.desk.turn("suite")
    while 1 not in turn.waiting:
        await turn.changed.wait()
    turn.is_open = True
    turn.notify()
    assert (await asked).json() == {"open": True, "attempt": 1}


async def test_a_pod_that_asks_too_early_is_told_not_yet(conductor: Conductor) -> None:
    answer = await conductor.client.get("/v1/gate?test=suite&wait=0")
    assert answer.json() == {"open": False}


async def test_a_pod_whose_turn_will_never_come_is_told(conductor: Conductor) -> None:
    conductor.desk.cancel_all()
    answer = await conductor.client.get("/v1/gate?test=suite&wait=30")
    assert answer.json() == {"open": False, "cancelled": True}
    late = await conductor.client.post("/v1/tests/suite/results", json={"cases": [a_case()]})
    assert late.status_code == 409


async def test_results_move_the_counts_and_are_idempotent(conductor: Conductor) -> None:
    body = {"shard": 0, "attempt": 1, "cases": [a_case("test_a"), a_case("test_b", "failed")]}
    first = await conductor.client.post("/v1/tests/suite/results", json=body)
    again = await conductor.client.post("/v1/tests/suite/results", json=body)
    assert (first.json()["new"], again.json()["new"]) == (2, 0)
    state = conductor.stage.test("suite") or a_test_state("none")
    assert (state["passed"], state["failed"]) == (1, 1)
    assert conductor.stage.journal.summary["summary"]["tests"] == 2


async def finish(conductor: Conductor, **more: Any) -> dict[str, Any]:
    body = {"shard": 0, "attempt": 1, "exitCode": 1, "collected": 1, **more}
    answer = await conductor.client.post("/v1/tests/suite/finished", json=body)
    result: dict[str, Any] = answer.json()
    return result


async def send(conductor: Conductor, case: dict[str, Any], attempt: int = 1) -> None:
    body = {"shard": 0, "attempt": attempt, "cases": [case]}
    await conductor.client.post("/v1/tests/suite/results", json=body)


async def test_a_shard_with_failures_is_asked_to_try_again_once(conductor: Conductor) -> None:
    await send(conductor, a_case(outcome="failed"))
    assert await finish(conductor) == {"retry": True, "attempt": 2}
    assert await finish(conductor) == {"retry": True, "attempt": 2}  # its answer got lost
    await send(conductor, a_case(outcome="failed"), attempt=2)
    assert await finish(conductor, attempt=2) == {"retry": False}
    assert conductor.desk.turn("suite").ended[0].attempt == 2


async def test_a_shard_without_failures_is_done(conductor: Conductor) -> None:
    await send(conductor, a_case())
    assert await finish(conductor, exitCode=0) == {"retry": False}


async def test_missing_results_are_asked_for_once(conductor: Conductor) -> None:
    await send(conductor, a_case("test_a"))
    assert await finish(conductor, collected=2) == {"retry": False, "resend": True}
    await send(conductor, a_case("test_b"))
    assert await finish(conductor, collected=2) == {"retry": False}


async def test_the_end_of_a_shard_is_in_the_journal_before_it_is_answered(
    conductor: Conductor,
) -> None:
    await finish(conductor, collected=0, exitCode=5, message="no tests ran")
    [entry] = [e for e in conductor.stage.journal.entries if e["kind"] == "shard.finished"]
    assert entry["message"] == "no tests ran"
    resumed = Desk(conductor.stage)
    resumed.resume()
    assert resumed.turn("suite").ended[0].exit_code == 5


async def test_a_junit_file_is_kept_by_name(conductor: Conductor) -> None:
    for content in (b"<a/>", b"<b/>"):
        await conductor.client.post("/v1/tests/suite/junit?file=x.xml", content=content)
    assert conductor.desk.turn("suite").files == {"x.xml": "<b/>"}


async def test_one_test_cannot_use_up_what_the_run_may_leave(
    conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "MAX_TEST_JUNIT_BYTES", 2**20)
    content = b"<x>" + b" " * 600_000 + b"</x>"
    url = "/v1/tests/suite/junit?file="
    for name in ("a.xml", "a.xml"):  # the second takes the place of the first
        assert (await conductor.client.post(url + name, content=content)).status_code == 200
    answer = await conductor.client.post(url + "b.xml", content=content)
    assert answer.status_code == 400
    assert "the JUnit files of a test may have 1 MiB in all" in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/gate?test=suite&wait=0", None),
        ("POST", "/v1/tests/suite/results", {"cases": [a_case()]}),
        ("POST", "/v1/tests/suite/finished", {"exitCode": 0}),
        ("POST", "/v1/tests/suite/junit?file=x.xml", {}),
        ("POST", "/v1/faults/known/start?test=suite", None),
    ],
)
async def test_no_test_speaks_for_another(
    conductor: Conductor, method: str, path: str, body: dict[str, Any] | None
) -> None:
    headers = {"Authorization": f"Bearer {RIVAL}"}
    answer = await conductor.client.request(method, path, json=body, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"] == "this token is of test rival: it cannot speak for test suite"
    turn, state = conductor.desk.turn("suite"), conductor.stage.test("suite")
    assert state == new_summary(conductor.stage.run, at=AT)["tests"][0]
    assert [turn.waiting, turn.ended, turn.files] == [set(), {}, {}]


async def test_any_test_may_see_and_stop_a_fault_and_tell_of_requests(conductor: Conductor) -> None:
    headers = {"Authorization": f"Bearer {RIVAL}"}
    requests = {"requests": [{"at": AT, "host": "web"}]}
    for method, path, body, status in (
        ("GET", "/v1/faults/known", None, 200),
        ("POST", "/v1/faults/known/stop", None, 409),  # there is nothing to stop, but it may
        ("POST", "/v1/requests", requests, 200),
    ):
        answer = await conductor.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, path


async def test_requests_are_handed_on_as_evidence(conductor: Conductor) -> None:
    requests = [{"at": AT, "host": "orders"}, {"at": AT, "host": "web"}]
    answer = await conductor.client.post("/v1/requests", json={"requests": requests})
    assert answer.json() == {"accepted": 2}
    assert conductor.faults.met_hosts == ["orders by suite", "web by suite"]


async def test_a_fault_is_started_and_its_state_is_the_answer(conductor: Conductor) -> None:
    answer = await conductor.client.post("/v1/faults/known/start?test=suite")
    assert answer.json() == {"name": "known", "state": "Active", "test": "suite"}
    assert (await conductor.client.get("/v1/faults/known")).json()["state"] == "Pending"


async def test_a_fault_knows_by_the_token_which_test_has_started_it(conductor: Conductor) -> None:
    headers = {"Authorization": f"Bearer {RIVAL}"}
    answer = await conductor.client.post("/v1/faults/known/start", headers=headers)
    assert answer.json()["test"] == "rival"


async def test_an_error_of_ours_is_no_traceback(
    conductor: Conductor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> dict[str, Any]:
        raise RuntimeError("s3cret inner state")

    monkeypatch.setattr(conductor.desk, "gate", broken)
    answer = await conductor.client.get("/v1/gate?test=suite")
    assert answer.status_code == 500
    assert json.loads(answer.text) == {"error": "this could not be handled; the log says why"}


async def test_one_connection_carries_many_requests(conductor: Conductor) -> None:
    for _ in range(5):
        assert (await conductor.client.get("/healthz")).status_code == 200
