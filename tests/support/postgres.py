"""A real PostgreSQL on loopback, from Debian's packages."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.gateway_process import free_port

# initdb refuses to be root.
_USER: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}


def program(name: str) -> str:
    """Find a program of PostgreSQL; Debian keeps those of the server out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    assert found, f"{name} is not here: apt-get install postgresql"
    return str(found[-1])


@contextlib.contextmanager
def postgres() -> Iterator[int]:
    """Run a server; gives its port. Everyone on loopback is its superuser, ``postgres``."""
    folder = Path(tempfile.mkdtemp(prefix="seatrial-postgres-"))
    if _USER:
        shutil.chown(folder, _USER["user"], _USER["group"])
    port = free_port()
    try:
        _run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "--no-sync")
        options = f"-c port={port} -c fsync=off -c unix_socket_directories= -c ssl=off"
        log = folder / "log"
        _run("pg_ctl", "-D", folder / "data", "-l", log, "-o", options, "-w", "start")
        try:
            yield port
        finally:
            _run("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _run(name: str, *arguments: object) -> None:
    # NB: no pipe, which the server would inherit and keep open.
    done = subprocess.run(
        [program(name), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        check=False,
        **_USER,
    )
    assert done.returncode == 0, f"{name} failed"


def client(port: int, name: str, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run psql or pgbench against a port; gives what it printed."""
    where = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
    done = subprocess.run(
        [program(name), *where, *arguments],
        env={**os.environ, "PGDATABASE": "postgres"},
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def seconds_of(port: int, query: str) -> float:
    """Measure a query, with its connection."""
    begun = time.monotonic()
    client(port, "psql", "-c", query)
    return time.monotonic() - begun
