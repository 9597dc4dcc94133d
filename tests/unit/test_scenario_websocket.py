"""WebSocket steps against a real server on loopback."""

from __future__ import annotations

import contextlib
import http
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from seatrial_runner.scenario import World
from seatrial_runner.scenario.kinds import websocket as kind
from seatrial_runner.scenario.kinds import websocket_opening
from websockets.sync.server import Server, ServerConnection, serve

from tests.support.authority import Authority
from tests.support.loopback import Loopback
from tests.support.scenarios import FaultsByName, run_steps

kind.preload()  # a driver that is imported in a step takes of its time
Handler = Callable[[ServerConnection], None]


@contextlib.contextmanager
def a_server(handler: Handler, *, close_s: float = 30.0, **more: Any) -> Iterator[str]:
    """
    Serve WebSockets; give the address. At the end all that came has been handled.

    A client that went before the server has closed, too, would take what is on its way with it:
    it waits for so long.
    """
    handled: list[threading.Thread] = []

    def handle(connection: ServerConnection) -> None:
        handled.append(threading.current_thread())
        handler(connection)

    server: Server = serve(handle, "127.0.0.1", 0, **more)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websocket_opening, "_CLOSE_S", close_s)
        try:
            yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            for one in (thread, *handled):
                one.join(timeout=30)


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def many(connection: ServerConnection) -> None:
    for n in range(5):
        connection.send(json.dumps({"n": n}))
    with contextlib.suppress(Exception):
        connection.recv()


def run(where: str, *steps: Any, **more: Any) -> Any:
    """Run steps; of each the websocket's document and expectations."""
    written = [{"websocket": document, "expect": list(expect)} for document, *expect in steps]
    world = World(base_urls={"chat": f"http://{where}"}, **more)
    return run_steps(written, world, timeout="20s")


def of(text: str) -> str:
    return f"response.message.text == '{text}'"


OPEN = {"url": "ws://chat:8080/room"}


def test_what_is_no_frame_is_told() -> None:
    def babbles(connection: ServerConnection) -> None:
        connection.send("well")
        connection.socket.sendall(b"\xf3\x85hello")
        with contextlib.suppress(Exception):
            connection.recv()

    with a_server(babbles) as where:
        result = run(where, [{**OPEN, "receive": {"count": 2}}])
    assert "what the server sent is no WebSocket frame: invalid opcode" in result.message
    with a_server(babbles) as where:  # also for who waits for the end
        result = run(where, [{**OPEN, "receive": {"closed": True}}])
    assert "is no WebSocket frame" in result.message


def test_what_is_sent_comes_back() -> None:
    with a_server(echo) as where:
        result = run(
            where,
            (
                {**OPEN, "send": [{"json": {"id": 7}}], "receive": {}},
                "response.message.json.id == 7",
                "response.status == 101",
                "response.elapsed > duration('0s')",
                "response.closeCode == 0",
            ),
        )
    assert result.outcome == "passed", result.details
    assert result.requests == 1


def test_a_connection_stays_open_across_steps_by_its_name() -> None:
    with a_server(echo) as where:
        result = run(
            where,
            ({**OPEN, "name": "ann"},),
            ({**OPEN, "name": "bob"},),
            ({"name": "ann", "send": [{"text": "a"}]},),
            (
                {"name": "bob", "send": [{"text": "b"}], "receive": {}},
                "response.message.text == 'b'",
            ),
            ({"name": "ann", "receive": {}}, "response.message.text == 'a'"),
            ({"name": "ann", "close": {"code": 3001}}, "response.closeCode == 3001"),
        )
    assert result.outcome == "passed", result.details


def test_messages_come_in_order_and_none_is_lost_between_steps() -> None:
    with a_server(many) as where:
        result = run(
            where,
            (OPEN,),
            (
                {"receive": {"count": 3}},
                "response.messages.map(m, m.json.n) == [0, 1, 2]",
            ),
            (
                {"receive": {"until": "response.message.json.n == 4"}},
                "size(response.messages) == 2",
            ),
        )
    assert result.outcome == "passed", result.details


def test_an_expectation_on_messages_can_fail() -> None:
    with a_server(many) as where:
        result = run(where, ({**OPEN, "receive": {}}, "response.message.json.n == 1"))
    assert (
        "expected response.message.json.n == 1, but response.message.json.n is 0" in result.message
    )
    assert '< {"n": 0}' in result.details


def test_everything_that_comes_in_a_time_is_taken() -> None:
    with a_server(many) as where:
        result = run(where, ({**OPEN, "receive": {"for": "3s"}}, "size(response.messages) == 5"))
    assert result.outcome == "passed", result.message


def test_a_time_that_was_cut_short_is_told() -> None:
    with a_server(many) as where:
        receive = {"websocket": {"receive": {"for": "20s"}}, "eventually": {"within": "100ms"}}
        steps = [{"websocket": {**OPEN, "url": f"ws://{where}/room"}}, receive]
        result = run_steps(steps, World())
    assert result.outcome == "failed"
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 20 s")


def test_bytes_go_both_ways() -> None:
    with a_server(echo) as where:
        step = {**OPEN, "send": [{"base64": "AAH/"}], "receive": {}}
        result = run(
            where, (step, "response.message.base64 == 'AAH/'", "response.message.text == ''")
        )
    assert result.outcome == "passed", result.details


def test_the_end_by_the_server_can_be_waited_for() -> None:
    def ends(connection: ServerConnection) -> None:
        connection.send("bye")
        connection.close(4000, "enough")

    with a_server(ends) as where:
        result = run(
            where,
            (
                {**OPEN, "receive": {"closed": True}},
                "response.closeCode == 4000",
                "response.closeReason == 'enough'",
                "response.messages[0].text == 'bye'",
            ),
        )
        assert result.outcome == "passed", result.details
        result = run(where, ({**OPEN, "receive": {"count": 2}},))
    assert result.message.endswith(
        "the connection was closed (4000 enough) after 1 message came, before 2"
    )


def test_an_end_that_does_not_come_is_told() -> None:
    with a_server(echo) as where:
        document = {**OPEN, "send": [{"text": "a"}], "receive": {"closed": True}}
        result = run(where, ({**document, "timeout": "3s"},))
    assert result.outcome == "failed"
    assert result.message.endswith("1 message came in time, and not the end of the connection")


def test_a_connection_that_is_not_open_is_told() -> None:
    with a_server(echo) as where:
        result = run(where, ({"name": "ann", "send": [{"text": "a"}]},))
        assert "no WebSocket named 'ann' is open: open it in a step before" in result.message
        result = run(where, ({**OPEN, "close": {}},), ({"send": [{"text": "a"}]},))
    assert "no WebSocket named 'default' is open" in result.message


def test_a_message_that_does_not_come_is_told() -> None:
    with a_server(many) as where:
        until = {"until": "response.message.json.n == 9"}
        result = run(where, ({**OPEN, "receive": until, "timeout": "3s"},))
    assert result.message.endswith("5 messages came in time, and not response.message.json.n == 9")


def test_a_server_that_chose_a_subprotocol() -> None:
    with a_server(echo, subprotocols=["v2", "v1"]) as where:
        step = {**OPEN, "subprotocols": ["v1"]}
        assert run(where, (step, "response.subprotocol == 'v1'")).outcome == "passed"
        assert 'is ""' in run(where, (OPEN, "response.subprotocol == 'v1'")).message


def refusing(connection: ServerConnection, request: Any) -> Any:
    if request.headers.get("Authorization") != "Bearer good":
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "who are you?\n")
    return None


def test_wrong_credentials_are_an_answer_unless_more_is_asked_for() -> None:
    with a_server(echo, process_request=refusing) as where:
        bad, good = {**OPEN, "bearer": "bad"}, {**OPEN, "bearer": "{{ 'good' }}"}
        assert run(where, (good, "response.status == 101")).outcome == "passed"
        assert run(where, (bad, "response.status == 401")).outcome == "passed"
        result = run(where, ({**bad, "send": [{"text": "a"}]},))
        assert "the server refused the WebSocket: 401 Unauthorized: who are you?" in result.message
        then = run(where, (bad,), ({"send": [{"text": "a"}]},))
    assert "no WebSocket named 'default' is open" in then.message


def test_the_cookies_of_the_scenario_are_sent() -> None:
    def known(connection: ServerConnection, request: Any) -> Any:
        if request.path == "/login":
            answer = connection.respond(http.HTTPStatus.OK, "hello\n")
            answer.headers["Set-Cookie"] = "sid=abc; Path=/room"
            return answer
        good = request.headers.get("Cookie") == "sid=abc"
        return None if good else connection.respond(http.HTTPStatus.FORBIDDEN, "who?\n")

    with a_server(echo, process_request=known) as where:
        world = World(base_urls={"chat": f"http://{where}"})
        login = {"http": {"get": "http://chat:8080/login"}}
        room = {"websocket": OPEN, "expect": ["response.status == 101"]}
        assert run_steps([login, room], world).outcome == "passed"
        assert run_steps([room], world).outcome == "failed"


def test_a_server_that_is_down_is_told() -> None:
    result = run("127.0.0.1:1", (OPEN,))
    assert result.message.endswith("connection refused: nothing listens on 127.0.0.1:1")


def test_a_server_of_something_else_is_told() -> None:
    with Loopback() as system:
        system.answer("GET /room", json={})
        result = run(system.url.removeprefix("http://"), (OPEN,))
        assert "the server" not in result.message
        assert result.outcome == "passed"  # 200 is an answer; see the next line
        result = run(system.url.removeprefix("http://"), (OPEN, "response.status == 101"))
        assert "but response.status is 200" in result.message
        system.answer("GET /room", broken=True)
        run(system.url.removeprefix("http://"), (OPEN,))
        result = run(system.url.removeprefix("http://"), (OPEN,))
    assert "is no WebSocket handshake" in result.message


def test_a_server_that_does_not_answer_is_given_up() -> None:
    over = threading.Event()
    with Loopback() as system:
        system.answer("GET /room", before=over.wait, json={})
        result = run(system.url.removeprefix("http://"), ({**OPEN, "timeout": "150ms"},))
        over.set()
    assert "no WebSocket at 127.0.0.1:" in result.message


@pytest.mark.parametrize("url", ["http://chat/x", "chat"])
def test_what_is_no_url_of_a_websocket_is_told(url: str) -> None:
    result = run("127.0.0.1:1", ({"url": url},))
    assert f"{url!r} is no URL of a WebSocket: write ws://host:port/path" in result.message


def test_tls_with_an_authority_of_the_run() -> None:
    ours = Authority()
    with a_server(echo, ssl=ours.server()) as where:
        step = {"url": f"wss://{where}/room", "send": [{"text": "a"}], "receive": {}}
        result = run(where, ({**step, "tls": {"ca": ours.ca}},))
        assert result.outcome == "passed", result.message
        result = run(where, (step,))
    assert "give its authority as tls.ca" in result.message


def test_a_message_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "MAX_MESSAGE", 2**20)

    def huge(connection: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            connection.send("x" * (2**20 + 1))

    with a_server(huge, compression=None) as where:
        result = run(where, ({**OPEN, "receive": {}},))
    assert "a message is larger than 1 MiB, the most a scenario reads" in result.message


def test_a_message_that_unpacks_without_end_is_bounded() -> None:
    def bomb(connection: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            connection.send("0" * 2**26)  # deflated: a thousandth of it

    with a_server(bomb) as where:
        result = run(where, ({**OPEN, "receive": {}},))
    assert "a message is larger than 4 MiB, the most a scenario reads" in result.message


def test_messages_without_end_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "MAX_MESSAGES", 50)

    def endless(connection: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            while True:
                connection.send("x")

    with a_server(endless, close_s=0.1) as where:  # it never gets to our close
        result = run(where, ({**OPEN, "receive": {"for": "10s"}},))
    assert "more than 50 messages" in result.message


def test_it_may_have_to_fail_during_a_fault() -> None:
    world = World(faults=FaultsByName(chat_down=["Active"]))
    document = {"url": "ws://127.0.0.1:1/room"}
    expected = {"during": "chat-down", "noResponse": True}
    step = {"websocket": document, "expectFailure": expected}
    assert run_steps([step], world).outcome == "passed"
    with a_server(echo) as where:
        step["websocket"] = {"url": f"ws://{where}/room"}
        message = run_steps([step], world).message
    assert "expected no response during fault chat-down, but got 101" in message


def test_without_its_driver_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    result = run("127.0.0.1:1", (OPEN,))
    assert result.message.endswith("websocket needs the extra: pip install 'seatrial[websocket]'")
