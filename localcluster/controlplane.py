"""
A control plane alone, for tests: a real API server and etcd on loopback, no nodes, no namespaces.

    with ControlPlane() as plane:
        kubectl --kubeconfig plane.kubeconfig ...
"""

import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

from localcluster.builds import KUBERNETES
from localcluster.components import (
    apiserver_flags,
    controller_manager_flags,
    etcd_flags,
    make_certificates,
)
from localcluster.layout import LocalClusterError, cache_dir
from localcluster.pki import Pki
from localcluster.ports import free_ports
from localcluster.progress import Progress

START_TIMEOUT_S = 180  # on a machine that has other things to do


class ControlPlane:
    """
    An API server with RBAC and the usual admission; everything goes when the block ends.

    The processes are killed by the kernel when the thread that started them ends, however it ends.

    Args:
        folder: Where its files go; a temporary folder when not given.
        controllers: Run the controller manager too: garbage collection, namespaces, tokens.
    """

    def __init__(self, folder: Path | None = None, *, controllers: bool = False) -> None:
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="seatrial-control-plane-"))
        self.controllers = controllers
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._argv: dict[str, list[str]] = {}
        self.url = ""

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    def __enter__(self) -> "ControlPlane":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Path:
        """
        Start it and wait until it answers.

        Returns:
            The path of the kubeconfig.

        Raises:
            LocalClusterError: it ended or did not answer in time; with the end of its log.
        """
        binary = KUBERNETES.binary(Progress(cache_dir() / "times.json"))
        try:
            self._start(binary)
        except BaseException:
            self.stop()
            raise
        return self.kubeconfig

    def restart_apiserver(self) -> None:
        """Kill the API server and start it again on the same port, over the same data."""
        process = self.processes["kube-apiserver"]
        process.kill()
        process.wait()
        self._run("kube-apiserver", self._argv["kube-apiserver"])
        self._wait_ready()

    def stop(self) -> None:
        """Kill everything; files in a folder that the caller named stay."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, binary: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        pki = Pki(self.folder / "pki")
        make_certificates(pki)
        client, peer, secure, controller = free_ports(4)
        etcd = f"http://127.0.0.1:{client}"
        self.url = f"https://127.0.0.1:{secure}"
        flags = etcd_flags(self.folder / "etcd", etcd, f"http://127.0.0.1:{peer}")
        self._run("etcd", [str(binary), "etcd", *flags])
        listen = ["--bind-address=127.0.0.1", f"--secure-port={secure}"]
        # Without nodes nobody would ever answer at the API server's own Service.
        listen += ["--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        flags = [*apiserver_flags(pki, etcd, "10.96.0.0/16"), *listen]
        self._run("kube-apiserver", [str(binary), "kube-apiserver", *flags])
        pki.kubeconfig(self.kubeconfig, "admin", self.url)
        self._wait_ready()
        if self.controllers:
            kubeconfig = self.folder / "controller-manager.kubeconfig"
            pki.kubeconfig(kubeconfig, "controller-manager", self.url)
            flags = controller_manager_flags(pki, kubeconfig)
            listen = ["--bind-address=127.0.0.1", f"--secure-port={controller}"]
            argv = [str(binary), "kube-controller-manager", *flags, *listen]
            self._run("kube-controller-manager", argv)

    def _run(self, name: str, argv: list[str]) -> None:
        self._argv[name] = argv
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", *argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
            )

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        context = ssl.create_default_context(cafile=str(self.folder / "pki/ca.crt"))
        while not _answers(f"{self.url}/readyz", context):
            for name, process in self.processes.items():
                if process.poll() is not None:
                    raise LocalClusterError(f"{name} ended:\n{self._log_end(name)}")
            if time.monotonic() > deadline:
                log = self._log_end("kube-apiserver")
                raise LocalClusterError(f"No answer in {START_TIMEOUT_S} s:\n{log}")
            time.sleep(0.05)

    def _log_end(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])


def _answers(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def main() -> None:
    """Run one until interrupted: ``python3 -m localcluster.controlplane``."""
    with ControlPlane(controllers="--controllers" in sys.argv) as plane:
        print(plane.kubeconfig, flush=True)
        signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main()
