"""
Kills the operator or a conductor right after its i-th write, on the real node.

The API server asks a webhook about every write of theirs before it stores it. The webhook counts
them by run, kills the process at the one it was told, and only then lets the write through: it is
stored, and whoever asked for it never hears of it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from seatrial.api.names import PLURAL

from localcluster.pki import Pki
from tests.e2e.cluster import OPERATOR_LABELS, Cluster, Json

CONFIGURATION = "seatrial-crash-points"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
OPERATOR, CONDUCTOR = "operator", "conductor"
_NOT_COUNTED = ("leases", "events")  # by the clock, not by what happens to a run
_ENVIRONMENT = re.compile(r"^itr-(.+)-[0-9a-f]{8}$")
_DEATH_S = 2.0

Chosen = Callable[[list[str], list[str]], bool]  # of a process, by its words and its environment


def whose(request: Json) -> tuple[str, str]:
    """Say who writes, and for which run; empty if it is nobody's or for none."""
    user = request["userInfo"]["username"]
    who = {"seatrial-operator": OPERATOR, "seatrial-conductor": CONDUCTOR}.get(
        user.rpartition(":")[2], ""
    )
    resource = request["resource"]["resource"]
    if resource in _NOT_COUNTED or request.get("dryRun"):
        return "", ""
    name, namespace = request.get("name") or "", request.get("namespace") or ""
    if not name:
        name = ((request.get("object") or {}).get("metadata") or {}).get("name") or ""
    if resource == PLURAL:
        return who, name
    if found := _ENVIRONMENT.match(name if resource == "namespaces" else namespace):
        return who, found.group(1)
    return who, name.removesuffix("-report")


def what(request: Json) -> str:
    """Describe a write in a few words, such as ``CREATE pods seatrial-conductor``."""
    resource = "/".join(filter(None, [request["resource"]["resource"], request.get("subResource")]))
    return f"{request['operation']} {resource} {request.get('name') or ''}".strip()


class Killer:
    """
    Counts writes, and kills.

    Args:
        cluster: The local cluster, as its administrator.
        name: Its name, which its processes' cgroups bear.
        host: Where its API server reaches this machine.
        folder: For the webhook's certificate.
    """

    def __init__(self, cluster: Cluster, name: str, host: str, folder: Path) -> None:
        self._cluster = cluster
        self._cgroup = f"/seatrial-{name}/"
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._points: dict[tuple[str, str], int] = {}
        self.died_at: dict[tuple[str, str], str] = {}
        pki = Pki(folder)
        pki.authority()
        pki.certificate("webhook", "/CN=webhook", server_names=f"IP:{host}")
        self._server = _serve(host, pki, self._review)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._register(f"https://{host}:{self._server.server_port}/", pki)

    def close(self) -> None:
        """Be asked no more."""
        self._cluster.delete(f"{CONFIGURATIONS}/{CONFIGURATION}")
        self._server.shutdown()
        self._server.server_close()

    def kill_after(self, write: int, who: str, run: str) -> None:
        """Kill the operator, or the conductor of a run, after so many writes for that run."""
        self._points[who, run] = write

    def count(self, who: str, run: str) -> int:
        """Give how many writes there were for a run so far."""
        return self._counts[who, run]

    def _register(self, url: str, pki: Pki) -> None:
        self._cluster.delete(f"{CONFIGURATIONS}/{CONFIGURATION}")
        authority = base64.b64encode(Path(pki.path("ca.crt")).read_bytes()).decode()
        ours = "request.userInfo.username.endsWith"
        webhook = {
            "name": "crash-points.seatrial.dev",
            "clientConfig": {"url": url, "caBundle": authority},
            "rules": [
                {
                    "apiGroups": ["*"],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                    "resources": ["*/*"],
                }
            ],
            "matchConditions": [
                {
                    "name": "ours",
                    "expression": f"{ours}(':seatrial-operator') || {ours}(':seatrial-conductor')",
                }
            ],
            "failurePolicy": "Ignore",
            "sideEffects": "NoneOnDryRun",
            "timeoutSeconds": 10,
            "admissionReviewVersions": ["v1"],
        }
        kind = "ValidatingWebhookConfiguration"
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": CONFIGURATION},
            "webhooks": [webhook],
        }
        self._cluster.call("POST", CONFIGURATIONS, body)

    def _review(self, request: Json) -> None:
        who, run = whose(request)
        if not who or not run:
            return
        with self._lock:
            self._counts[who, run] += 1
            if self._counts[who, run] != self._points.get((who, run)):
                return
            self.died_at[who, run] = what(request)
            if who == OPERATOR:
                self._kill(lambda words, environ: "seatrial.app" in words)
                threading.Thread(target=self._replace_operator, daemon=True).start()
            else:
                self._kill(_conductor_of(request["namespace"]))

    def ask_conductor(self, environment: str) -> None:
        """Have the conductor of a run, and its workers, write into their log where they stand."""
        self._send(signal.SIGUSR1, _conductor_of(environment))

    def _kill(self, chosen: Chosen) -> None:
        pids = self._send(signal.SIGKILL, chosen)
        give_up = time.monotonic() + _DEATH_S
        while any(_of(pid)[0] for pid in pids) and time.monotonic() < give_up:
            time.sleep(0.001)

    def _send(self, number: signal.Signals, chosen: Chosen) -> list[int]:
        pids = [pid for pid in self._processes() if chosen(*_of(pid))]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def _processes(self) -> list[int]:
        pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
        return [pid for pid in pids if self._cgroup in _read(pid, "cgroup")]

    def _replace_operator(self) -> None:
        """Have a new pod at once: the kubelet would make the same one wait ever longer."""
        for pod in self._cluster.items("/api/v1/pods", labelSelector=OPERATOR_LABELS):
            meta = pod["metadata"]
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
            self._cluster.delete(path, gracePeriodSeconds=0)


def _conductor_of(environment: str) -> Chosen:
    mine = f"SEATRIAL_NAMESPACE={environment}"
    return lambda words, environ: "conductor" in words and mine in environ


def _of(pid: int) -> tuple[list[str], list[str]]:
    """Give a process's words and environment; empty once it is dead."""
    return tuple(  # type: ignore[return-value]  # two of them
        [each for each in _read(pid, file).split("\0") if each] for file in ("cmdline", "environ")
    )


def _read(pid: int, file: str) -> str:
    try:
        return (Path("/proc") / str(pid) / file).read_text(errors="replace")
    except OSError:
        return ""


def _serve(host: str, pki: Pki, review: Callable[[Json], None]) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked = json.loads(self.rfile.read(length))
            review(asked["request"])
            answer = {"uid": asked["request"]["uid"], "allowed": True}
            kind = {"apiVersion": asked["apiVersion"], "kind": asked["kind"]}
            content = json.dumps({**kind, "response": answer}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing: the API server hangs up when whoever wrote has been killed."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki.path("webhook.crt"), pki.path("webhook.key"))
    server = Server((host, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server
