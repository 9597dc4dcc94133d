"""Reads and writes of one TLS connection take turns, and neither keeps the other waiting."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from seatrial_runner.scenario.tls_socket import OneAtATime
from websockets.asyncio.server import ServerConnection, serve
from websockets.sync.client import connect

from tests.support.tls_files import certificate_files


class Touchy:
    """A TLS context and its socket in one, which notes when two threads are inside at once."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.met = 0
        self._inside = 0

    def wrap_socket(self, sock: socket.socket, *, server_hostname: str | None) -> Touchy:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def _within(self, call: Any, argument: Any) -> Any:
        self._inside += 1
        self.met += self._inside > 1
        time.sleep(0.0005)  # others may come
        try:
            return call(argument)
        except BlockingIOError as error:
            raise ssl.SSLWantReadError from error
        finally:
            self._inside -= 1

    def recv(self, size: int) -> Any:
        return self._within(self.sock.recv, size)

    def send(self, data: Any) -> Any:
        return self._within(self.sock.send, data)


def test_reading_and_writing_take_turns() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        touchy = Touchy(ours)
        wrapped = OneAtATime(touchy).wrap_socket(ours)  # type: ignore[arg-type]  # played
        got = bytearray()

        def read() -> None:
            while len(got) < 200:
                got.extend(wrapped.recv(1))

        reading = threading.Thread(target=read)
        reading.start()
        for _ in range(200):
            theirs.send(b"x")
            wrapped.sendall(b"y")
        reading.join(20)
        assert (len(got), len(theirs.recv(1000)), touchy.met) == (200, 200, 0)


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[tuple[str, OneAtATime]]:
    """Give a server that says again what it is told, and what trusts it."""
    certificate, key = certificate_files(tmp_path, "localhost")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    ports: list[int] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def say_again(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serve(say_again, "127.0.0.1", 0, ssl=served) as server:
            ports.append(next(iter(server.sockets)).getsockname()[1])
            ready.set()
            await ended.wait()

    ended = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    assert ready.wait(10)
    yield f"wss://localhost:{ports[0]}", OneAtATime(ssl.create_default_context(cafile=certificate))
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)
    loop.close()


def test_all_comes_back_while_more_is_sent(echo: tuple[str, OneAtATime]) -> None:
    url, tls = echo
    with connect(url, ssl=tls, proxy=None) as connection:  # type: ignore[arg-type]
        sending = threading.Thread(
            target=lambda: [connection.send(f"{n}" * 1000) for n in range(500)]
        )
        sending.start()
        assert [connection.recv(timeout=20) for _ in range(500)] == [
            f"{n}" * 1000 for n in range(500)
        ]
        sending.join()


def test_a_hundred_connections_are_opened_and_closed(echo: tuple[str, OneAtATime]) -> None:
    url, tls = echo
    for _ in range(100):
        with connect(url, ssl=tls, proxy=None, open_timeout=10) as connection:  # type: ignore[arg-type]
            connection.send("here")
            assert connection.recv(timeout=10) == "here"
