"""The operator as a process, out of the cluster, with the rights the chart gives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.support.frozen import freeze


def write_kubeconfig(path: Path, server: str, token: str, ca: str | None = None) -> Path:
    """Write a kubeconfig for a token."""
    cluster = {"server": server} | ({"certificate-authority": ca} if ca else {})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    path.write_text(yaml.safe_dump(document))
    return path


class OperatorProcess:
    """One operator; its log goes to a file that failed tests can show."""

    def __init__(
        self,
        folder: Path,
        kubeconfig: Path,
        namespace: str,
        identity: str,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.log = folder / f"{identity}.log"
        self._kubeconfig = kubeconfig
        self._environ = {
            **os.environ,
            "SEATRIAL_RUNNER_IMAGE": "registry.example/runner:1",
            "SEATRIAL_NAMESPACE": namespace,
            "SEATRIAL_IDENTITY": identity,
            "SEATRIAL_HTTP_PORT": "0",
            "SEATRIAL_LOG_LEVEL": "DEBUG",
            **(variables or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it does then, it does when it is ready."""
        command = [sys.executable, "-m", "seatrial.app", "--kubeconfig", str(self._kubeconfig)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environ, stderr=log)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a lost node does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self, within: float = 60) -> int:
        """End it as Kubernetes does; gives its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within)

    def freeze(self) -> None:
        """Stop it where it is, as a machine does that is paused."""
        assert self._process is not None
        freeze(self._process.pid)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wait(self, within: float = 60) -> int:
        """Wait until it has ended by itself; gives its exit status."""
        assert self._process is not None
        return self._process.wait(within)

    def wait_for_log(self, text: str, within: float = 120) -> None:
        """Wait until its log has a text."""
        deadline = time.monotonic() + within
        while text not in (self.log.read_text() if self.log.exists() else ""):
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)
