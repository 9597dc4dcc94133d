"""Steps of kind exec: over a real WebSocket, with an API server that is played."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from seatrial.api import names
from seatrial_runner.scenario.cluster import Access, Api, NamespaceCluster
from seatrial_runner.scenario.cluster.command import MAX_OUTPUT, V4, V5, execute
from seatrial_runner.scenario.world import ClusterStepError
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.support.played_cluster import NAMESPACE, PlayedCluster, a_pod, of_the_system
from tests.support.scenarios import a_world, run_steps

Command = Callable[[ServerConnection, dict[str, list[str]]], None]
SUCCESS = {"status": "Success"}


def ended(code: int) -> dict[str, Any]:
    cause = {"reason": "ExitCode", "message": str(code)}
    return {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [cause]}}


def wrote(stdout: str = "", stderr: str = "", status: dict[str, Any] | None = None) -> Command:
    def command(connection: ServerConnection, query: dict[str, list[str]]) -> None:
        for stream, text in ((1, stdout), (2, stderr)):
            if text:
                connection.send(bytes([stream]) + text.encode())
        connection.send(b"\x03" + json.dumps(status or SUCCESS).encode())

    return command


@contextmanager
def kubelet(
    command: Command, *, protocols: tuple[str, ...] = (V5, V4), refuse: HTTPStatus | None = None
) -> Iterator[str]:
    """Give the URL of an API server that carries out every command like this."""

    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        with suppress(ConnectionClosed):
            command(connection, parse_qs(urlsplit(connection.request.path).query))

    def process(connection: ServerConnection, request: Any) -> Any:
        if refuse is not None:
            return connection.respond(refuse, json.dumps({"message": "container not found"}))
        assert request.headers["Authorization"] == "Bearer t0ken"
        return None

    with serve(
        handle, "127.0.0.1", 0, subprotocols=list(protocols), process_request=process
    ) as server:  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def access(url: str) -> Access:
    return Access(url, None, lambda: {"Authorization": "Bearer t0ken"})


@pytest.fixture
def played() -> Iterator[PlayedCluster]:
    with PlayedCluster() as played:
        yield played


def run(played: PlayedCluster, url: str, *steps: dict[str, Any], **world: Any) -> Any:
    """Run steps whose objects are played, and whose commands go to ``url``."""

    class Split(NamespaceCluster):
        def execute(self, pod: Any, container: str, *rest: Any, seconds: float) -> Any:
            own = NamespaceCluster(Api(access(url)), NAMESPACE, {})
            return own.execute(pod, container, *rest, seconds=seconds)

    cluster = Split(played.cluster._api, NAMESPACE, {})
    return run_steps(list(steps), a_world(cluster=lambda: cluster, **world))


def step(*command: str, expect: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    where = {} if "pod" in fields else {"service": "orders"}
    return {"exec": {**where, "command": list(command), **fields}, "expect": list(expect)}


def test_a_command_is_run_in_a_ready_pod(played: PlayedCluster) -> None:
    came: list[Any] = []

    def command(connection: ServerConnection, query: dict[str, list[str]]) -> None:
        came.append((connection.request.path.partition("?")[0], query))  # type: ignore[union-attr]
        wrote("3 rows\n", "a warning\n")(connection, query)

    played.have(a_pod("orders-0", conditions=[]))
    played.have(a_pod("orders-1"))
    with kubelet(command) as url:
        result = run(
            played,
            url,
            {"set": {"n": "3"}},
            step(
                "count",
                "{{ n }}",
                container="sidecar",
                expect=(
                    "result.exitCode == 0",
                    "result.stdout == '3 rows\\n'",
                    "result.stderr.startsWith('a warning')",
                ),
            ),
        )
    assert (result.outcome, result.message) == ("passed", "")
    path, query = came[0]
    assert path == f"/api/v1/namespaces/{NAMESPACE}/pods/orders-1/exec"
    assert query["command"] == ["count", "3"]
    assert query["container"] == ["sidecar"]


def test_a_command_that_fails_fails_the_step_with_what_it_said(played: PlayedCluster) -> None:
    played.have(a_pod())
    with kubelet(wrote("", "usage\nno such table: orders\n", ended(2))) as url:
        result = run(played, url, step("migrate"))
    assert result.outcome == "failed"
    assert "exit code 2: no such table: orders" in result.message
    assert "stderr:\nusage" in result.details


def test_a_password_that_the_run_has_drawn_is_masked(played: PlayedCluster) -> None:
    played.have(a_pod())
    connections = {"db": "postgresql://app:dr4wn-for-us@db:5432/app"}
    with kubelet(wrote("DB_PASSWORD=dr4wn-for-us\n", "", ended(1))) as url:
        result = run(played, url, step("env"), connections=connections)
    assert result.outcome == "failed"
    assert "dr4wn-for-us" not in result.message + result.details


def test_a_failure_may_be_left_to_the_expectations(played: PlayedCluster) -> None:
    played.have(a_pod())
    with kubelet(wrote("", "", ended(3))) as url:
        result = run(played, url, step("x", allowFailure=True, expect=("result.exitCode == 3",)))
        assert result.outcome == "passed"
        result = run(played, url, step("x", allowFailure=True, expect=("result.exitCode == 0",)))
    assert "result.exitCode is 3" in result.message


def echo(connection: ServerConnection, query: dict[str, list[str]]) -> None:
    assert query["stdin"] == ["true"]
    content = b""
    while (message := connection.recv()) != b"\xff\x00":
        assert isinstance(message, bytes)
        assert message[0] == 0
        content += message[1:]
    wrote(content.decode())(connection, query)


def test_standard_input_is_sent_and_ended(played: PlayedCluster) -> None:
    played.have(a_pod())
    text = "ä" * 40_000
    with kubelet(echo) as url:
        result = run(played, url, step("cat", stdin=text, expect=("size(result.stdout) == 40000",)))
    assert (result.outcome, result.message) == ("passed", "")


def test_an_older_api_server_cannot_end_standard_input(played: PlayedCluster) -> None:
    played.have(a_pod())
    with kubelet(wrote("out"), protocols=(V4,)) as url:
        assert run(played, url, step("ls", expect=("result.stdout == 'out'",))).outcome == "passed"
        assert "Kubernetes 1.30" in run(played, url, step("cat", stdin="x")).message


def test_a_command_that_does_not_end_is_out_of_time(played: PlayedCluster) -> None:
    played.have(a_pod())

    def never(connection: ServerConnection, query: dict[str, list[str]]) -> None:
        connection.send(b"\x01halfway")
        connection.recv()

    with kubelet(never) as url:
        result = run(played, url, step("sleep", "inf", timeout="3s"))
    assert "did not end within 3 s; it may still be running" in result.message
    assert "halfway" in result.details


def test_a_command_that_writes_without_end_is_cut_off(played: PlayedCluster) -> None:
    played.have(a_pod())

    def flood(connection: ServerConnection, query: dict[str, list[str]]) -> None:
        for _ in range(40):
            connection.send(b"\x01" + b"y" * (MAX_OUTPUT // 20))

    with kubelet(flood) as url:
        assert "wrote more than 1 MiB" in run(played, url, step("yes")).message


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"status": "Failure", "message": 'exec: "lss": not found in $PATH'}, '"lss": not found'),
        ({"status": "Failure"}, "the API server does not say why"),
    ],
)
def test_a_command_that_cannot_begin_says_why(
    status: dict[str, Any], says: str, played: PlayedCluster
) -> None:
    played.have(a_pod())
    with kubelet(wrote(status=status)) as url:
        assert says in run(played, url, step("lss")).message


def test_a_refusal_says_why(played: PlayedCluster) -> None:
    played.have(a_pod())
    with kubelet(wrote(), refuse=HTTPStatus.NOT_FOUND) as url:
        result = run(played, url, step("ls"))
    assert "could not be run: 404 container not found" in result.message


def test_a_connection_that_breaks_is_no_result(played: PlayedCluster) -> None:
    played.have(a_pod())
    with kubelet(lambda connection, query: None) as url:
        assert "broke before the command's end was known" in run(played, url, step("ls")).message


def test_an_api_server_that_is_away_is_out_of_time() -> None:
    with pytest.raises(ClusterStepError, match="does not answer"):
        execute(access("http://127.0.0.1:1"), "/x", "main", ["ls"], "", 0.3)


def test_no_ready_pod_is_told(played: PlayedCluster) -> None:
    played.have(a_pod("orders-0", conditions=[]))
    result = run(played, "http://127.0.0.1:1", step("ls"))
    assert "service orders has no ready pod; it has 1 that are not" in result.message


def test_a_container_that_is_not_there_is_told(played: PlayedCluster) -> None:
    played.have(a_pod())
    result = run(played, "http://127.0.0.1:1", step("ls", container="web"))
    assert "has no container 'web': it has main, sidecar" in result.message


@pytest.mark.parametrize(
    ("pod", "component"),
    [
        ("seatrial-conductor", names.COMPONENT_CONDUCTOR),
        ("seatrial-gateway-1", names.COMPONENT_GATEWAY),
        ("test-suite-0", names.COMPONENT_TEST),
    ],
)
def test_nobody_gets_into_a_pod_of_seatrials_own(
    pod: str, component: str, played: PlayedCluster
) -> None:
    played.have(a_pod(pod, labels={names.LABEL_COMPONENT: component}))
    result = run(played, "http://127.0.0.1:1", step("env", pod=pod))
    assert f"there is no pod '{pod}' of the system under test" in result.message


def test_nobody_gets_into_the_agent(played: PlayedCluster) -> None:
    pod = a_pod(labels=of_the_system())
    pod["spec"]["containers"].append({"name": "seatrial-agent-1"})
    played.have(pod)
    result = run(played, "http://127.0.0.1:1", step("env", container="seatrial-agent-1"))
    assert "has no container 'seatrial-agent-1'" in result.message
    with pytest.raises(ClusterStepError, match="Seatrial's own"):
        played.cluster.execute(pod, "seatrial-agent-1", ["env"], "", seconds=1)
