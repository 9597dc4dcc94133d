"""A real Redis on loopback, from Debian's packages."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from localcluster.ports import free_port
from tests.support.started import serving

PASSWORD = "s3cret-of-redis"


@contextlib.contextmanager
def redis_server(*options: str, port: int = 0) -> Iterator[int]:
    """Run a server that keeps nothing; gives its port. Its password is ``PASSWORD``."""
    assert shutil.which("redis-server"), "redis-server is not here: apt-get install redis-server"
    port = port or free_port()
    folder = Path(tempfile.mkdtemp(prefix="seatrial-redis-"))
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    command = ["redis-server", *words, "--requirepass", PASSWORD, *options]
    with serving(command, folder, lambda: redis_answers(port)):
        yield port


def redis_answers(port: int) -> bool:
    """Tell whether a server is there, with ``PASSWORD``, that serves."""
    import redis

    try:
        with contextlib.closing(redis.Redis(port=port, password=PASSWORD)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
