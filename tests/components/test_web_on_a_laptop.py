"""The scenarios of the end-to-end test on a laptop: pytest, and services on loopback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.ports import free_port
from tests.support.authority import Authority

ROOT = Path(__file__).parents[2]
INSIDE = ROOT / "tests/e2e/inside"
ROLES = {"web": "http", "secure": "tls", "chat": "websocket", "rpc": "grpc"}


@pytest.fixture
def services(tmp_path: Path) -> Iterator[tuple[dict[str, int], dict[str, str]]]:
    """Start each; give the ports, and the variables that scenarios see."""
    ours, clients = Authority(), Authority("clients")
    certificate, key = ours.sign("secure")
    client, client_key = clients.sign("a client")
    own = {"TLS_CERT": certificate, "TLS_KEY": key, "TLS_CLIENTS": clients.ca}
    environ = {**os.environ, **own, "PYTHONPATH": str(ROOT / "tests/support")}
    ports = {name: free_port() for name in ROLES}
    started = [
        subprocess.Popen([sys.executable, INSIDE / "web.py", role, str(ports[name])], env=environ)
        for name, role in ROLES.items()
    ]
    try:
        for name in ROLES:
            _wait_for(ports[name])
        variables = {"SEATRIAL_ENV_ca.crt": ours.ca, "SEATRIAL_SECRET_client.crt": client}
        yield ports, {**variables, "SEATRIAL_SECRET_client.key": client_key}
    finally:
        for process in started:
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"nothing listens on {port}")


def test_the_same_scenarios_pass(services: tuple[dict[str, int], dict[str, str]]) -> None:
    ports, variables = services
    schemes = {"secure": "https"}
    options = [
        f"--service={name}={schemes.get(name, 'http')}://127.0.0.1:{port}"
        for name, port in ports.items()
    ]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA"]
    done = subprocess.run(
        [*command, "-c", os.devnull, f"--rootdir={INSIDE}", *options, INSIDE / "web_apis.yaml"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"8 passed", done.stdout), done.stdout[-4000:]
