"""A real PostgreSQL on loopback, from Debian's packages."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localcluster.ports import free_port
from tests.support.frozen import freeze

# initdb refuses to be root.
_USER: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}


def program(name: str) -> str:
    """Find a program of PostgreSQL; Debian keeps those of the server out of the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    assert found, f"{name} is not here: apt-get install postgresql"
    return str(found[-1])


@contextlib.contextmanager
def postgres(password: str = "", tls: tuple[str, str] | None = None) -> Iterator[int]:
    """
    Run a server; gives its port.

    Its superuser is ``postgres``; without a password, everyone on loopback is.
    ``tls``: certificate and key, as PEM.
    """
    folder = Path(tempfile.mkdtemp(prefix="seatrial-postgres-"))
    if _USER:
        shutil.chown(folder, _USER["user"], _USER["group"])
    port = free_port()
    try:
        words = folder / "password"
        words.write_text(password or "none")
        words.chmod(0o644)
        way = "scram-sha-256" if password else "trust"
        asked = ["-U", "postgres", "-A", way, f"--pwfile={words}", "--no-sync"]
        _run("initdb", "-D", folder / "data", *asked)
        options = f"-c port={port} -c fsync=off -c unix_socket_directories= -c ssl=off"
        if tls:
            options = f"{options[:-3]}on{_certified(folder, *tls)}"
        log = folder / "log"
        _run("pg_ctl", "-D", folder / "data", "-l", log, "-o", options, "-w", "start")
        try:
            yield port
        finally:
            _run("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _certified(folder: Path, certificate: str, key: str) -> str:
    """Write both where the server finds them, and give the options that say so."""
    options = ""
    for option, text in (("ssl_cert_file", certificate), ("ssl_key_file", key)):
        path = folder / option
        path.write_text(text)
        path.chmod(0o600)
        if _USER:
            shutil.chown(path, _USER["user"], _USER["group"])
        options += f" -c {option}={path}"
    return options


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


def client(port: int, name: str, *arguments: str, stdin: bytes = b"", password: str = "") -> bytes:
    """Run psql or pgbench against a port; gives what it printed."""
    where = ("-h", "127.0.0.1", "-p", str(port), "-U", "postgres")
    done = subprocess.run(
        [program(name), *where, *arguments],
        env={**os.environ, "PGDATABASE": "postgres", "PGPASSWORD": password},
        input=stdin,
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@contextlib.contextmanager
def backends_frozen(port: int) -> Iterator[None]:
    """Freeze the server with all of its processes while the body runs."""
    found = subprocess.run(
        ["pgrep", "-f", f"port={port} "], capture_output=True, text=True, check=True
    )
    [parent] = [int(each) for each in found.stdout.split()][:1]
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    pids = [parent, *map(int, children)]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a worker of its own that has ended
            freeze(pid)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def seconds_of(port: int, query: str) -> float:
    """Measure a query, with its connection."""
    begun = time.monotonic()
    client(port, "psql", "-c", query)
    return time.monotonic() - begun
