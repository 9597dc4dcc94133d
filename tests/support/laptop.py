"""
An example on a laptop: its services as its run.yaml describes them, each a process on loopback.

What the cluster would give them is given here: ports, the URLs of one another, of databases and of
brokers. Faults that end pods are done by hand: a process is stopped, or killed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from seatrial.api.names import KIND
from seatrial_runner.scenario import InstanceResult, World, expand, run_instance

from localcluster.builds import NOTIFICATIONS
from localcluster.layout import cache_dir
from localcluster.ports import free_port
from localcluster.progress import Progress
from tests.support import brokers
from tests.support.postgres import client, postgres
from tests.support.redis_server import PASSWORD as REDIS_PASSWORD
from tests.support.redis_server import redis_answers
from tests.support.started import until

Json = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"
PASSWORD = "s3cret-of-postgres"
SCHEMA = "/docker-entrypoint-initdb.d/schema.sql"


def run_of(example: str) -> Json:
    documents = yaml.safe_load_all((EXAMPLES / example / "run.yaml").read_text())
    return next(each for each in documents if each["kind"] == KIND)


def services_of(example: str) -> dict[str, Json]:
    return {each["name"]: each for each in run_of(example)["spec"]["services"]}


class Service:
    """A process that serves HTTP, from its start on; it can be ended and started again."""

    def __init__(self, command: Sequence[str], port: int, log: Path, **environ: str) -> None:
        self._command, self._log = command, log
        self._environ = {**os.environ, **environ, "PORT": str(port)}
        self.url = _url(port)
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command, cwd=EXAMPLES / "shop", env=self._environ, stdout=log, stderr=log
            )

    def start(self) -> None:
        self._process = self._started()

    def ready(self) -> None:
        """Wait until it serves."""
        until(self.serves, self._process, self._log)

    def serves(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/health").close()
        except OSError:
            return False
        return True

    def end(self, how: int = signal.SIGTERM) -> None:
        self._process.send_signal(how)
        self._process.wait(timeout=60)


class Redis(Service):
    """As the preset runs it: what it knew it knows when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        words = ["--port", str(self._port), "--bind", "127.0.0.1", "--requirepass", REDIS_PASSWORD]
        keeps = ["--dir", str(folder), "--appendonly", "yes"]
        super().__init__(["redis-server", *words, *keeps], self._port, folder / "redis.log")
        self.url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{self._port}/0"

    def serves(self) -> bool:
        return redis_answers(self._port)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _shop(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shop", *arguments]


@contextmanager
def shop(service: str, **environ: str) -> Iterator[str]:
    """Run one service of the examples; gives its URL."""
    with TemporaryDirectory() as folder:
        process = Service(_shop(service), free_port(), Path(folder) / "log", **environ)
        try:
            process.ready()
            yield process.url
        finally:
            process.end(signal.SIGKILL)


class FaultsByHand:
    """``scale`` to no pods and ``outage`` last until the fault is stopped, ``kill`` a moment."""

    def __init__(self, faults: Sequence[Json], services: Mapping[str, Service]) -> None:
        self._faults = {each["name"]: each for each in faults}
        self._services = services
        self._active: set[str] = set()

    def start(self, name: str) -> None:
        if "kill" in self._faults[name]:
            self._service(name).end(signal.SIGKILL)
            self._begin_again(name)
        else:
            assert self._faults[name].get("scale", {"replicas": 0}) == {"replicas": 0}
            self._service(name).end()
            self._active.add(name)

    def stop(self, name: str) -> None:
        self._begin_again(name)
        self._active.remove(name)

    def status(self, name: str) -> Mapping[str, Any]:
        return {"name": name, "state": "Active" if name in self._active else "Recovered"}

    def _service(self, name: str) -> Service:
        return self._services[self._faults[name]["target"]["service"]]

    def _begin_again(self, name: str) -> None:
        self._service(name).start()
        self._service(name).ready()


@dataclass(frozen=True)
class System:
    """
    The system under test of an example, which is up.

    Attributes:
        services: By name, without those with a preset.
        connections: URLs of those with a preset.
        stores: Those of them that a fault can end.
    """

    example: str
    services: Mapping[str, Service]
    connections: Mapping[str, str]
    stores: Mapping[str, Service]

    def by_pytest(self) -> str:
        """Run its tests as a user does; gives what pytest says."""
        services = [f"--service={name}={each.url}" for name, each in self.services.items()]
        return pytest_of(self.example, *services, *connected(self.connections))

    def under_faults(self) -> Iterator[InstanceResult]:
        """Run the tests that are tagged ``faults``, one after another."""
        spec = run_of(self.example)["spec"]
        world = World(
            base_urls={name: each.url for name, each in self.services.items()},
            connections=self.connections,
            faults=FaultsByHand(spec["faults"], {**self.services, **self.stores}),
        )
        for test in spec["tests"]:
            if "faults" in test.get("tags", []):
                [instance] = expand(test, spec.get("scenarios", []))
                yield run_instance(instance, world)


@contextmanager
def system_of(example: str, **connections: str) -> Iterator[System]:
    """
    Run the services of an example.

    ``connections``: URLs of databases and brokers that run already; the others are started.
    """
    described = services_of(example)
    presets = {name: each["preset"] for name, each in described.items() if "preset" in each}
    ports = {name: free_port() for name in described if name not in presets}
    with TemporaryDirectory() as folder, ExitStack() as stack:
        beside = _Beside(stack, Path(folder))
        for name, preset in presets.items():
            if name not in connections:
                connections[name] = beside.url(preset, described[name])
        told = {_variable(name): url for name, url in connections.items()}
        services = {}
        for name, port in ports.items():
            environ = told | _environ_of(described[name], told, ports)
            log = Path(folder) / name
            services[name] = Service(_command_of(described[name]), port, log, **environ)
            stack.callback(services[name].end, signal.SIGKILL)
        for service in services.values():
            service.ready()
        yield System(example, services, connections, beside.stores)


def _environ_of(service: Json, told: Mapping[str, str], ports: Mapping[str, int]) -> Json:
    """Give its own variables, with the places of others on this machine."""

    def here(text: str) -> str:
        text = re.sub(r"\$\((\w+)\)", lambda found: told[found[1]], text)
        return re.sub(r"http://([\w-]+):8080", lambda found: _url(ports[found[1]]), text)

    return {name: here(value) for name, value in service.get("env", {}).items()}


def _command_of(service: Json) -> list[str]:
    if service.get("command") == ["notifications"]:
        return [str(NOTIFICATIONS.binary(Progress(cache_dir() / "times.json")))]
    return _shop(*service["args"])


def _variable(service: str) -> str:
    return f"{service.upper().replace('-', '_')}_URL"


@dataclass(frozen=True)
class _Beside:
    """Databases and brokers of a system, which end with it."""

    stack: ExitStack
    folder: Path
    stores: dict[str, Service] = field(default_factory=dict)

    def url(self, preset: str, service: Json) -> str:
        """Start a service with a preset; gives its URL."""
        match preset:
            case "postgres":
                return self._database(service)
            case "redis":
                store = self.stores[service["name"]] = Redis(self.folder)
                self.stack.callback(store.end, signal.SIGKILL)
                store.ready()
                return store.url
            case "nats":
                return self.stack.enter_context(brokers.running(brokers.Nats())).url
        raise AssertionError(f"nobody knows how to start {preset} here")

    def _database(self, service: Json) -> str:
        """Make a database in the one server that all share: several would only take longer."""
        port, name = self._server, service["name"]
        client(port, "psql", "-c", f'create database "{name}"', password=PASSWORD)
        client(port, "psql", "-d", name, "-c", service["files"][SCHEMA], password=PASSWORD)
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/{name}"

    @cached_property
    def _server(self) -> int:
        return self.stack.enter_context(postgres(PASSWORD))


def pytest_of(example: str, *options: str) -> str:
    """Run the scenarios of an example by pytest; gives what it says."""
    return by_pytest(EXAMPLES / example / "run.yaml", *options)


def by_pytest(file: Path, *options: str) -> str:
    """Run the scenarios of a file by pytest, as a user does; gives what it says."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-v", str(file)]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, cwd="/"
    )
    return done.stdout + done.stderr


def connected(urls: Mapping[str, str]) -> list[str]:
    """Give the options by which a user tells pytest the URLs of databases and brokers."""
    return [f"--connection={name}={url}" for name, url in urls.items()]


def outcomes_by_name(said: str) -> dict[str, str]:
    """Read the outcomes by test in what pytest said."""
    print(said)
    return dict(re.findall(r"^\S+::(\S+) (PASSED|FAILED|ERROR|SKIPPED)\b", said, re.MULTILINE))


def outcomes(example: str, said: str) -> dict[str, str]:
    """
    Read the outcomes by test in what pytest said.

    Those that are tagged ``faults`` are left out: they must have been skipped, and no others.
    """
    found = outcomes_by_name(said)
    tagged = {
        test["name"]
        for test in run_of(example)["spec"]["tests"]
        if "faults" in test.get("tags", [])
    }
    assert {name for name, outcome in found.items() if outcome == "SKIPPED"} == tagged
    assert not tagged or "needs the cluster: without a conductor there is no fault " in said
    return {name: outcome for name, outcome in found.items() if name not in tagged}
