"""What Seatrial knows of a database or broker that it can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from seatrial.api.services import ExecCheck, HttpGet, PortSpec, Probe, Resources

DEFAULT_NAME = "app"  # of users and databases


@dataclass(frozen=True)
class Variables:
    """
    The environment variables of the image that decide who may connect; empty where it has none.

    A service that sets one of them decides what everybody is told.
    """

    username: str = ""
    password: str = ""
    database: str = ""


@dataclass(frozen=True)
class Recipe:
    """
    A preset: everything that its service does not say itself.

    In texts, ``{service}`` stands for the name of the service, and ``$(NAME)`` for a variable of
    the container, as in any pod.
    """

    image: str
    ports: tuple[PortSpec, ...]  # the first is that of the URL
    user: int  # of the image
    data: str  # directory of the volume
    readiness: Probe
    url: str  # {username}, {password}, {host}, {port}, {database}: made safe for a URL
    variables: Variables
    username: str = DEFAULT_NAME
    database: str = DEFAULT_NAME  # empty: it has none
    startup: Probe | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()  # variables that get a value of their own, known to nobody else
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()  # directories that may be written to, and begin empty
    read_only: bool = True  # whether nothing else may be written to
    cpu: str = "50m"
    memory: str = "128Mi"
    memory_limit: str = "512Mi"

    @property
    def resources(self) -> Resources:
        """What it is given: little is reserved, so that runs find room side by side."""
        requests = Resources.Amounts(cpu=self.cpu, memory=self.memory)
        return Resources(requests=requests, limits=Resources.Amounts(memory=self.memory_limit))


class Probes(TypedDict):
    """How a recipe tells that its server has started, and that it serves."""

    startup: Probe
    readiness: Probe


def asking(script: str, *, interpreter: str = "sh") -> Probes:
    """
    Make the probes of a command that asks the server: at its start, and for readiness.

    Every second until it serves; then now and then, because each look starts a process.
    """
    check = ExecCheck(command=[interpreter, "-c", script])
    return Probes(
        startup=Probe(exec=check, timeout_seconds=5, failure_threshold=1000),
        readiness=Probe(exec=check, period_seconds=5, timeout_seconds=5),
    )


def getting(path: str, port: int) -> Probe:
    """Make the readiness probe of a server that says by HTTP whether it serves."""
    return Probe(http_get=HttpGet(path=path, port=port), timeout_seconds=3)


def a_port(name: str, number: int) -> PortSpec:
    """Make a TCP port."""
    return PortSpec(name=name, port=number)
