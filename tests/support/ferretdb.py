"""
FerretDB on loopback: what speaks MongoDB's protocol, over SQLite, built as for the local cluster.

MongoDB itself is in no registry of packages that can be had here.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localcluster.builds import FERRETDB
from localcluster.layout import cache_dir
from localcluster.ports import free_port
from localcluster.progress import Progress
from tests.support.started import serving

USER, PASSWORD = "app", "s3cret-of-mongo"


def _program() -> Path:
    return FERRETDB.binary(Progress(cache_dir() / "times.json"))


@contextlib.contextmanager
def ferretdb() -> Iterator[int]:
    """Run it; gives its port. ``USER`` may do everything, on database ``app``."""
    with ferretdb_process() as (port, _):
        yield port


@contextlib.contextmanager
def ferretdb_process() -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Run it; gives its port, and its process."""
    program, port = _program(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="seatrial-ferretdb-"))
    options = [
        f"--listen-addr=127.0.0.1:{port}",
        "--handler=sqlite",
        f"--sqlite-url=file:{folder}/",
        f"--state-dir={folder}",
        "--telemetry=disable",
        "--debug-addr=-",
        "--test-enable-new-auth",
        f"--setup-username={USER}",
        f"--setup-password={PASSWORD}",
        "--setup-database=app",
    ]
    with serving([str(program), *options], folder, lambda: _answers(port)) as process:
        yield port, process


def _answers(port: int) -> bool:
    import pymongo
    from pymongo.errors import PyMongoError

    url = f"mongodb://{USER}:{PASSWORD}@127.0.0.1:{port}/app"
    client: pymongo.MongoClient[object] = pymongo.MongoClient(url, serverSelectionTimeoutMS=2000)
    try:
        client.app.command("ping")
    except PyMongoError:
        return False
    finally:
        client.close()
    return True
