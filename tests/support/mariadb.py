"""A real MariaDB on loopback, from Debian's packages."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localcluster.ports import free_port
from tests.support.started import serving

USER, PASSWORD = "app", "s3cret-of-mariadb"


@contextlib.contextmanager
def mariadb(*more: str) -> Iterator[int]:
    """Run a server; gives its port. ``USER`` may do everything, on database ``app``."""
    assert shutil.which("mariadbd"), "mariadbd is not here: apt-get install mariadb-server"
    folder = Path(tempfile.mkdtemp(prefix="seatrial-mariadb-"))
    port = free_port()
    begin = folder / "begin.sql"
    begin.write_text(
        f"create database app;\ncreate user {USER}@'%' identified by '{PASSWORD}';\n"
        f"grant all on *.* to {USER}@'%' with grant option;\n"
    )
    who = ["--user=root"] if os.getuid() == 0 else [f"--user={getpass.getuser()}"]
    where = ["--no-defaults", f"--datadir={folder}/data"]
    subprocess.run(
        ["mariadb-install-db", *where, *who, "--auth-root-authentication-method=normal"],
        check=True,
        capture_output=True,
    )
    options = [
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
        f"--init-file={begin}",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=32M",
        "--performance-schema=OFF",
        *more,
    ]
    with serving(["mariadbd", *where, *who, *options], folder, lambda: _answers(port)):
        yield port


def _answers(port: int) -> bool:
    import pymysql

    try:
        pymysql.connect(
            host="127.0.0.1", port=port, user=USER, password=PASSWORD, database="app"
        ).close()
    except pymysql.MySQLError:
        return False
    return True
