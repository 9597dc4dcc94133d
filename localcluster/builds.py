"""Built things in the cache: each is keyed by a hash of its inputs, whole or not there at all."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from localcluster.layout import HERE, ROOT, LocalClusterError, cache_dir
from localcluster.machine import go_command
from localcluster.progress import Progress

ABANDONED_S = 6 * 3600
SKIPPED = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", ".git"}


def key_of(files: Iterable[Path], root: Path, *extra: str) -> str:
    """
    A key of 12 hex digits for what is built from these inputs.

    Args:
        files: Files and folders; caches and bytecode inside them do not count.
        root: Paths are taken relative to it, so that two checkouts agree.
        extra: Whatever else decides the result, such as flags.
    """
    digest = hashlib.sha256()
    for file in sorted(set(_all_files(files))):
        mode = b"x" if os.access(file, os.X_OK) else b"-"
        content = hashlib.sha256(file.read_bytes()).digest()
        digest.update(str(file.relative_to(root)).encode() + b"\0" + mode + content)
    for text in extra:
        digest.update(b"\1" + text.encode())
    return digest.hexdigest()[:12]


def _all_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = [
                    f for f in folders if f not in SKIPPED and not f.endswith(".egg-info")
                ]
                yield from (Path(folder) / n for n in names if not n.endswith((".pyc", ".swp")))
        elif path.is_file():
            yield path


def copy_files(paths: Iterable[str], root: Path, target: Path) -> None:
    """Copy files and folders of a root, by relative path, without caches and bytecode."""
    for file in _all_files(root / path for path in paths):
        copy = target / file.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)


@contextlib.contextmanager
def locked(name: str, held_by: Callable[[str], None] | None = None) -> Iterator[None]:
    """
    Hold a lock of the whole machine; the kernel lets go of it when we are killed.

    Args:
        name: Of the lock.
        held_by: Told, before we wait for it, who has it: ``process 123 (python3 -m ...)``.
    """
    folder = cache_dir() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if held_by:
                lock.seek(0)
                held_by(_process(lock.read()))
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _process(pid: str) -> str:
    """Describe a process by its command line; it may be gone, or none that is seen from here."""
    try:
        command = Path(f"/proc/{int(pid)}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, ValueError):
        return "another process"
    return f"process {pid} ({command.replace(chr(0), ' ').strip()})"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder in the cache, so that a result can be renamed into place."""
    folder = cache_dir() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():  # left by a build that was killed
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(old, ignore_errors=True)
    path = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def built(kind: str, name: str, make: Callable[[Path], None]) -> Path:
    """
    A file of the cache, made now when it is not there.

    Args:
        kind: Folder in the cache.
        name: Name of the file, with the key of its inputs.
        make: Writes the file to the path it is given.
    """
    target = cache_dir() / kind / name
    if target.exists():
        return target
    with locked(f"{kind}-{name}"):
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with scratch_folder() as scratch:
                make(scratch / name)
                (scratch / name).replace(target)
    return target


def run(command: list[str], what: str, **options: object) -> str:
    """
    Run a command quietly and give its output.

    Raises:
        LocalClusterError: it failed; says what for, with the end of its output.
    """
    done = subprocess.run(  # type: ignore[call-overload]
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        **options,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise LocalClusterError(f"{what} failed ({' '.join(command[:3])} ...):\n{tail}")
    return str(done.stdout)


@dataclass(frozen=True)
class GoProgram:
    """A program that is built from released Go modules."""

    name: str
    package: str = "."
    flags: str = "-s -w"
    root: Path = HERE
    laid: tuple[tuple[str, str], ...] = ()  # files that belong into a module: its release has them

    @property
    def folder(self) -> Path:
        """Where its go.mod is."""
        return self.root / "go" / self.name

    def cached(self) -> bool:
        """Whether it need not be built."""
        return self._path.exists()

    def binary(self, progress: Progress) -> Path:
        """The built program."""
        if self.cached():
            return self._path
        with progress.stage(f"Build {self.name}"):
            return built("bin", self._path.name, self._build)

    @property
    def key(self) -> str:
        """The hash of what it is built from."""
        return key_of([self.folder], self.root, self.package, self.flags, *chain(*self.laid))

    @property
    def _path(self) -> Path:
        return cache_dir() / "bin" / f"{self.name}-{self.key}"

    def _build(self, target: Path) -> None:
        command = [go_command(), "build", "-trimpath", "-ldflags", self.flags]
        options = {"env": {**os.environ, "CGO_ENABLED": "0"}}
        if not self.laid:
            command += ["-o", str(target), self.package]
            run(command, f"Building {self.name}", cwd=self.folder, **options)
            return
        with scratch_folder() as scratch:
            copy_files(["."], self.folder, scratch)
            run([go_command(), "mod", "vendor"], f"Fetching {self.name}", cwd=scratch)
            for path, text in self.laid:
                (scratch / "vendor" / path).write_text(text)
            command += ["-mod=vendor", "-o", str(target), self.package]
            run(command, f"Building {self.name}", cwd=scratch, **options)


VERSION = "v1.36.4"
_STAMP = "-X k8s.io/component-base/version"
# kubectl and helm refuse a server that does not tell its version.
KUBERNETES = GoProgram(
    "kubernetes",
    flags=f"-s -w {_STAMP}.gitVersion={VERSION} {_STAMP}.gitMajor=1 {_STAMP}.gitMinor=36",
)
COREDNS = GoProgram("coredns")
# Without these, `helm template` believes in a Kubernetes too old for the chart.
_RENDERED_FOR = "-X helm.sh/helm/v3/pkg/chartutil.k8sVersion"
HELM = GoProgram(
    "helm",
    package="helm.sh/helm/v3/cmd/helm",
    flags=f"-s -w {_RENDERED_FOR}Major=1 {_RENDERED_FOR}Minor=36",
)
# It wants to know its version, which the released module does not say.
FERRETDB = GoProgram(
    "ferretdb",
    package="github.com/FerretDB/FerretDB/cmd/ferretdb",
    laid=(("github.com/FerretDB/FerretDB/build/version/version.txt", "v1.24.2\n"),),
)
MINIO = GoProgram("minio", package="github.com/minio/minio")
# The service of the examples that is written in Go.
NOTIFICATIONS = GoProgram("notifications", root=ROOT / "examples")
