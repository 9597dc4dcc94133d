"""What a check connects to knows it by its port; so do its neighbours, who are none."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from seatrial.api.names import CHECK_PORTS, PROBE_PORTS
from seatrial_runner.conductor.local_ports import connect_from, makes_checks
from seatrial_runner.conductor.probing import _problem
from seatrial_runner.conductor.workers import Channel, Json, run_in_worker

HTTP = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"


class Answering:
    """Answers whatever comes as a web server does; ``came`` has the ports of its clients."""

    def __init__(self) -> None:
        self.came: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, address = self._listening.accept()
            except OSError:
                return
            self.came.append(address[1])
            with sock:
                if sock.recv(4096):
                    sock.sendall(HTTP)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def answering() -> Iterator[Answering]:
    server = Answering()
    yield server
    server.close()


@pytest.mark.parametrize("kind", ["http", "tcp", "mysql"])
def test_a_check_comes_from_a_port_of_checks(answering: Answering, kind: str) -> None:
    where = f"127.0.0.1:{answering.port}"
    probe = {
        "http": {"http": {"get": f"http://{where}/"}},
        "tcp": {"tcp": where},
        "mysql": {"sql": {"url": f"mysql://u:p@{where}/d", "query": "select 1"}},
    }[kind]

    def work(channel: Channel) -> Json:
        makes_checks()
        return {"problem": _problem({**probe, "timeout": "500ms"}, {}, print)}

    problem = in_a_worker(work)["problem"]
    assert bool(problem) == (kind == "mysql")
    assert answering.came
    assert [port for port in answering.came if port not in CHECK_PORTS] == []


def test_what_other_workers_connect_to_sees_any_port(answering: Answering) -> None:
    def work(channel: Channel) -> Json:
        return {
            "problem": _problem({"http": {"get": f"http://127.0.0.1:{answering.port}/"}}, {}, print)
        }

    assert in_a_worker(work) == {"problem": ""}
    assert answering.came[0] not in CHECK_PORTS


def test_where_no_port_of_checks_is_free_a_check_is_made_all_the_same(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = socket.create_server(("0.0.0.0", CHECK_PORTS[0]))

    def work(channel: Channel) -> Json:
        monkeypatch.setattr("seatrial_runner.conductor.local_ports.CHECK_PORTS", CHECK_PORTS[:1])
        makes_checks()
        return {"problem": _problem({"tcp": f"127.0.0.1:{answering.port}"}, {}, print)}

    with taken:
        assert in_a_worker(work) == {"problem": ""}


def test_nothing_listens_is_told_and_not_taken_for_a_port_that_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connect_from(PROBE_PORTS, ("127.0.0.1", port), 5.0)


def in_a_worker(work) -> Json:
    async def nobody(message: Json) -> Json:
        return {}

    return asyncio.run(run_in_worker(work, nobody, timeout_s=60))
