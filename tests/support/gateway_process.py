"""The real gateway as a process of this machine, with services of the tests behind it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from seatrial.api.control import EnvoyDoc, GatewayDoc, ListenerDoc
from seatrial.api.names import ENV_CONTROL_TOKEN, ENV_GATEWAY

from localcluster.ports import free_port

TOKEN = "a-token-of-the-tests"
# How late anything may come on a machine that has other things to do.
SLACK_S = 20.0
Json = dict[str, Any]


class Server:
    """A TCP server on loopback: a thread for each connection, which does as ``serve`` says."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = int(self._listening.getsockname()[1])
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(sock)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            self._serve(sock)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for sock in self.connections:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def echo(sock: socket.socket) -> None:
    """Send everything back; end when the other one has ended."""
    while data := sock.recv(65536):
        sock.sendall(data)


def receive(sock: socket.socket, length: int) -> bytes:
    """Give so many bytes."""
    received = bytearray()
    while len(received) < length:
        data = sock.recv(length - len(received))
        assert data, f"the connection ended after {len(received)} of {length} bytes"
        received += data
    return bytes(received)


class Gateway:
    """``python -m seatrial_runner gateway``, with a listener for each service."""

    def __init__(
        self,
        services: dict[str, int],
        *,
        workers: int = 2,
        ports: dict[str, int] | None = None,
        envoy: dict[str, EnvoyDoc] | None = None,
        http_faults: Sequence[str] = (),
        envoy_directory: Path | None = None,
        envoy_admin_port: int = 0,
        log: Path | None = None,
        python_path: Path | None = None,
    ) -> None:
        """
        Make it; ``services`` have the port of the server behind each.

        ``ports`` are those it listens on, where it matters; ``http_faults`` need an Envoy.
        """
        self.ports = {name: free_port() for name in services} | (ports or {})
        self.control_port = free_port()
        listeners = [
            ListenerDoc(
                service=name,
                portName="tcp",
                port=port,
                listen=self.ports[name],
                upstreamHost="127.0.0.1",
                envoy=(envoy or {}).get(name),
            )
            for name, port in services.items()
        ]
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            ENV_GATEWAY: json.dumps(GatewayDoc(listeners=listeners, httpFaults=list(http_faults))),
            ENV_CONTROL_TOKEN: TOKEN,
            "SEATRIAL_CONTROL_PORT": str(self.control_port),
            "SEATRIAL_GATEWAY_WORKERS": str(workers),
            "SEATRIAL_ENVOY_DIRECTORY": str(envoy_directory or ""),
            "SEATRIAL_ENVOY_ADMIN_PORT": str(envoy_admin_port or ""),
            **({"PYTHONPATH": str(python_path)} if python_path else {}),
        }
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.control_port}",
            headers={"authorization": f"Bearer {TOKEN}"},
            trust_env=False,
            timeout=30,
        )

    def __enter__(self):
        with self._log.open("ab") if self._log else contextlib.nullcontext() as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "seatrial_runner", "gateway"],
                env=self._environ,
                stderr=log,
            )
        self.wait_until_ready()
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)

    def wait_until_ready(self) -> None:
        assert self.process is not None

        def ready() -> bool:
            assert self.process.poll() is None, "the gateway has ended"
            with contextlib.suppress(httpx.TransportError):
                return self.client.get("/healthz").status_code == 200
            return False

        eventually(ready)

    @property
    def children(self) -> dict[str, int]:
        """The numbers of the processes: controller, worker-0, worker-1, ..."""
        assert self.process is not None
        found = {}
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                found[Path(f"/proc/{child}/comm").read_text().strip()] = int(child)
        return found

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def connect(
        self, service: str = "shop", *, timeout: float = 10.0, address: str = "127.0.0.1"
    ) -> socket.socket:
        """Connect from one of the addresses 127.0.0.0/8: so the gateway can tell clients apart."""
        sock = socket.create_connection(
            ("127.0.0.1", self.ports[service]), timeout, source_address=(address, 0)
        )
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    # Control -------------------------------------------------------------------------------------

    def put(self, name: str, kind: str, for_s: float = 120.0, **more: Any) -> Json:
        order = {"kind": kind, "params": {}, "forS": for_s, "seed": 1, **more}
        answer = self.client.put(f"/v1/faults/{name}", json=order)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def delete(self, name: str) -> Json:
        answer = self.client.delete(f"/v1/faults/{name}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def report(self, name: str) -> Json:
        return dict(self.client.get(f"/v1/faults/{name}").json())

    def set_sources(self, **sources: list[str]) -> None:
        answer = self.client.put("/v1/sources", json={"sources": sources})
        assert answer.status_code == 200, answer.text


def quickest(took: Callable[[], float], times: int = 20) -> float:
    """Give the shortest of several times: a busy machine adds to each, and takes nothing away."""
    return min(took() for _ in range(times))


def eventually(check: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


@contextlib.contextmanager
def carried(
    serve: Callable[[socket.socket], None] = echo, *, workers: int = 2, log: Path | None = None
) -> Iterator[Gateway]:
    """A gateway with one service, ``shop``."""
    server = Server(serve)
    try:
        with Gateway({"shop": server.port}, workers=workers, log=log) as gateway:
            yield gateway
    finally:
        server.close()
