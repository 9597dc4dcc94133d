"""A real Prometheus on loopback, from Debian's packages, that asks for user and password."""

from __future__ import annotations

import base64
import contextlib
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from localcluster.ports import free_port
from tests.support.started import serving

USER, PASSWORD = "reader", "s3cret-of-prometheus"
# bcrypt, of few rounds: htpasswd -nbB -C 4 "" PASSWORD
_DIGEST = "$2b$04$7fO5EEHfDhi0ZQjoHvQPpOquBIeWR8Ry.mbCkiJSPuTVeZ9p0OtAy"


@contextlib.contextmanager
def prometheus_server(scraped: int) -> Iterator[int]:
    """Run a server that scrapes a port of loopback twice a second; gives its own port."""
    assert shutil.which("prometheus"), "prometheus is not here: apt-get install prometheus"
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="seatrial-prometheus-"))
    (folder / "prometheus.yml").write_text(
        "scrape_configs:\n"
        "- {job_name: shop, scrape_interval: 500ms, scrape_timeout: 500ms,"
        f" static_configs: [{{targets: ['127.0.0.1:{scraped}']}}]}}\n"
    )
    (folder / "web.yml").write_text(f"basic_auth_users: {{{USER}: {_DIGEST}}}\n")
    options = {
        "config.file": folder / "prometheus.yml",
        "web.config.file": folder / "web.yml",
        "web.listen-address": f"127.0.0.1:{port}",
        "storage.tsdb.path": folder / "data",
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    with serving(["prometheus", *words], folder, lambda: _answers(port)):
        yield port


def _answers(port: int) -> bool:
    # NB: with the password: without it the answer is 401 also while it is not ready.
    pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/-/ready", headers={"Authorization": f"Basic {pair}"}
    )
    try:
        with urllib.request.urlopen(request):
            return True
    except OSError:  # refused, or 503
        return False
