"""The conductor as a process, beside a real API server that it reaches through a counting proxy."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

WRITES = ("POST", "PATCH", "DELETE")


class CountingProxy:
    """
    Passes requests on, counts the writes, and calls ``before`` and ``after`` with their number.

    A write for which ``before`` says False gets no further.

    Args:
        url: Of the API server.
        ca: File with its authority.
    """

    def __init__(self, url: str, ca: str) -> None:
        self.before: Callable[[int], bool] = lambda number: True
        self.after: Callable[[int], None] = lambda number: None
        self.writes: list[str] = []
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=ca)
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(length)
                number = 0
                if self.command in WRITES:
                    proxy.writes.append(f"{self.command} {self.path.rpartition('/')[2]}")
                    number = len(proxy.writes)
                    if not proxy.before(number):
                        self.close_connection = True
                        return
                upstream = http.client.HTTPSConnection(
                    parts.hostname or "", parts.port, context=context
                )
                upstream.request(self.command, self.path, body, dict(self.headers))
                answer = upstream.getresponse()
                if number:
                    proxy.after(number)
                try:
                    self._answer(answer)
                except OSError:
                    pass  # it was killed meanwhile
                finally:
                    upstream.close()

            def _answer(self, answer: http.client.HTTPResponse) -> None:
                self.send_response(answer.status)
                if answer.getheader("transfer-encoding") == "chunked":
                    self.send_header("transfer-encoding", "chunked")
                    self.end_headers()
                    while part := answer.read1(65536):
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
                        self.wfile.flush()
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    content = answer.read()
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815 - names of the base class

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # a client that was killed in the middle is what this is for

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class ConductorProcess:
    """One conductor; its log goes to a file that failed tests can show."""

    def __init__(self, folder: Path, url: str, namespace: str, token: str) -> None:
        self.log = folder / "conductor.log"
        token_file = folder / "token"
        token_file.write_text(token)
        self._environ = {
            **os.environ,
            "SEATRIAL_NAMESPACE": namespace,
            "SEATRIAL_API_URL": url,
            "SEATRIAL_API_TOKEN_FILE": str(token_file),
            "SEATRIAL_PORT": "0",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "seatrial_runner", "conductor"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environ, stderr=log)

    def wait(self, within: float = 180) -> int:
        assert self.process is not None
        return self.process.wait(within)

    def kill(self) -> None:
        """End it as a lost node does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
