"""What a check connects to knows it by its port; so do its neighbours, who are none."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from seatrial.api.names import CHECK_PORTS, PROBE_PORTS
from seatrial_runner.conductor.local_ports import connect_from, makes_checks
from seatrial_runner.conductor.probing import _problem
from seatrial_runner.conductor.reach import until_cut_off, until_reachable
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


@pytest.mark.parametrize("way", ["asyncio", "socket"])
def test_who_connects_is_told_before_and_after(answering: Answering, way: str) -> None:
    def work(channel: Channel) -> Json:
        said: list[str] = []

        @contextlib.contextmanager
        def asking(host: str) -> Iterator[None]:
            said.append(host)
            yield
            said.append("done")

        makes_checks(asking)

        async def asks() -> None:
            _, writer = await asyncio.open_connection("localhost", answering.port)
            writer.write(b"?")
            writer.close()
            await writer.wait_closed()

        if way == "asyncio":
            asyncio.run(asks())
        else:
            with socket.create_connection(("localhost", answering.port)) as sock:
                sock.sendall(b"?")
        return {"said": said}

    assert in_a_worker(work) == {"said": ["localhost", "done"]}
    assert [port for port in answering.came if port not in CHECK_PORTS] == []
    assert answering.came


def test_who_has_chosen_a_port_keeps_it(answering: Answering) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    async def asks() -> None:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", answering.port, local_addr=("127.0.0.1", port)
        )
        writer.close()

    def work(channel: Channel) -> Json:
        makes_checks()
        asyncio.run(asks())
        return {}

    in_a_worker(work)
    assert answering.came == [port]


@pytest.mark.parametrize("look", ["reachable", "cut off"])
def test_a_look_at_whether_a_service_is_there_comes_from_such_a_port(
    answering: Answering, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service: Any = {"name": "db", "hosts": ["127.0.0.1"], "ports": [{"port": answering.port}]}
    if look == "reachable":
        assert asyncio.run(until_reachable([service], in_a_row=3)) == {}
    else:
        monkeypatch.setattr("seatrial_runner.conductor.reach.CUT_OFF_S", 0.0)
        assert asyncio.run(until_cut_off(service["hosts"], [answering.port]))
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

    async def asks() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", answering.port)
        writer.close()

    def work(channel: Channel) -> Json:
        monkeypatch.setattr("seatrial_runner.conductor.local_ports.CHECK_PORTS", CHECK_PORTS[:1])
        makes_checks()
        asyncio.run(asks())
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
