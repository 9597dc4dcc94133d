"""A fault of HTTP cannot meet TLS: the traffic passes, and the report says how much has."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from seatrial.api.names import CHECK_PORTS
from seatrial_runner.conductor.local_ports import connect_from

from tests.support.envoy_process import an_http_fault
from tests.support.gateway_process import Server, echo, eventually
from tests.support.http_origin import HttpOrigin
from tests.support.tls_files import certificate_files
from tests.support.whole import Whole, whole

FAULTS = [
    an_http_fault("fails", abort={"status": 503}),
    an_http_fault("few", share="0.1%", match={"path": "/orders"}, delay="1m"),
]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Whole, ssl.SSLContext]]:
    """Orders that echoes inside of TLS, through the gateway and Envoy, and what trusts it."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = certificate_files(directory, "orders")
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(certificate, key)

    def serve(sock: socket.socket) -> None:
        with inside.wrap_socket(sock, server_side=True) as secured:
            echo(secured)

    server = Server(serve)
    with contextlib.closing(server), whole(directory, server.port, *FAULTS) as all_:
        yield all_, ssl.create_default_context(cafile=str(certificate))


def connect(all_: Whole, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", all_.port), timeout=30)
    return context.wrap_socket(plain, server_hostname="orders")


def ask(secured: ssl.SSLSocket) -> bytes:
    secured.sendall(b"GET /orders HTTP/1.1\r\nhost: orders\r\n\r\n")
    return secured.recv(100)


def test_checks_of_the_conductor_meet_it_or_pass_it_and_are_not_counted(tls: Any) -> None:
    all_, context = tls
    all_.gateway.set_sources(conductor=["127.0.0.1"])
    all_.put_http("fails")
    with connect_from(CHECK_PORTS, ("127.0.0.1", all_.port), 30.0) as plain:
        plain.sendall(b"GET /orders HTTP/1.1\r\nhost: orders\r\n\r\n")
        assert plain.recv(12) == b"HTTP/1.1 503"
    check = connect_from(CHECK_PORTS, ("127.0.0.1", all_.port), 30.0)
    for sock in (check, socket.create_connection(("127.0.0.1", all_.port), timeout=30)):
        with context.wrap_socket(sock, server_hostname="orders") as secured:
            assert ask(secured).startswith(b"GET /orders")
    report = all_.gateway.delete("fails")
    all_.gateway.set_sources()

    assert report["counts"] == {"requests": 0, "unreadConnections": 1}


def test_tls_passes_a_fault_of_http_and_the_report_counts_it(tls: Any) -> None:
    all_, context = tls
    all_.put_http("fails")
    all_.put_http("few")
    for _ in range(3):
        with connect(all_, context) as secured:
            assert ask(secured).startswith(b"GET /orders")
    reports = {name: all_.gateway.delete(name) for name in ("fails", "few")}
    with connect(all_, context) as secured:
        ask(secured)
    again = all_.put_http("fails")
    after = all_.gateway.delete("fails")

    for report in reports.values():
        assert (report["hits"], report["firstHit"]) == (0, None)
        assert report["counts"] == {"requests": 0, "unreadConnections": 3}
    assert again["hits"] == 0
    # Envoy may not have seen the end of the last one when it began again.
    assert after["counts"] in ({"requests": 0}, {"requests": 0, "unreadConnections": 1})


def test_a_connection_from_before_the_fault_counts_once(tls: Any) -> None:
    all_, context = tls
    with connect(all_, context) as secured:
        ask(secured)
        all_.put_http("fails")
        eventually(lambda: "unreadConnections" in all_.gateway.report("fails")["counts"])
        ask(secured)
    report = all_.gateway.delete("fails")

    assert report["counts"] == {"requests": 0, "unreadConnections": 1}


async def test_requests_that_can_be_read_are_none_of_these(tmp_path: Path) -> None:
    async with HttpOrigin() as origin:
        with whole(tmp_path, origin.port, *FAULTS) as all_:
            all_.put_http("fails")
            async with httpx.AsyncClient(base_url=all_.url, timeout=30) as user:
                assert (await user.get("/")).status_code == 503
            report = await asyncio.to_thread(all_.gateway.delete, "fails")

    assert report["counts"] == {"requests": 1, "answered": 1}
