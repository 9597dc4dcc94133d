"""What a scenario may touch: the outside world, as the caller hands it in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from seatrial_runner import clock
from seatrial_runner.scenario.files import Files, GivenFiles

if TYPE_CHECKING:
    from seatrial.api.lanes import Lane
    from seatrial.api.step_objects import ObjectKind

Json = dict[str, Any]


class Faults(Protocol):
    """Starts and stops the manual faults of the run, and tells how each fault is."""

    def start(self, name: str) -> None:
        """Return once the fault is in effect; raise with a sentence if it cannot be."""

    def stop(self, name: str) -> None:
        """Return once the fault is undone; raise with a sentence if it cannot be."""

    def status(self, name: str) -> Mapping[str, Any]:
        """Give a fault's entry of ``status.faults``; raise with a sentence if there is none."""


class LogStream(Protocol):
    """Lines as they come; ends when it is closed, from whatever thread."""

    def __iter__(self) -> Iterator[str]:
        """Give the lines."""

    def close(self) -> None:
        """End it."""


class Cluster(Protocol):
    """
    The run's namespace, and nothing else: what steps of kind exec, kubernetes and logs work with.

    Objects are plain JSON. Only the system under test can be seen; everything of Seatrial's own
    cannot. Every method raises ``ClusterStepError`` with a sentence, and takes at most ``seconds``.
    """

    def get(self, kind: ObjectKind, name: str, *, seconds: float) -> Json | None:
        """Read an object; None if there is none."""

    def find(self, kind: ObjectKind, labels: Mapping[str, str], *, seconds: float) -> list[Json]:
        """Read all objects of a kind that have these labels, by name."""

    def patch(self, kind: ObjectKind, name: str, patch: Json, *, seconds: float) -> Json:
        """Change an object by a strategic merge patch; give it as it is then."""

    def scale(self, kind: ObjectKind, name: str, replicas: int, *, seconds: float) -> Json:
        """Change how many pods it shall have; give the object as it is then."""

    def apply(self, body: Json, service: str, *, seconds: float) -> Json:
        """Make an object, or bring it to this state; ``service`` may be empty."""

    def delete(self, kind: ObjectKind, name: str, *, seconds: float) -> None:
        """Delete an object; one that is not there is none to complain about."""

    def log(
        self, pod: Json, container: str, since: str | None, *, previous: bool, seconds: float
    ) -> str:
        """Read a log, each line behind its time; empty if none is kept. ``since`` is RFC 3339."""

    def follow(self, pod: Json, container: str, since: str) -> LogStream:
        """Read a log while it is written, until its container ends; each line behind its time."""

    def execute(
        self, pod: Json, container: str, command: list[str], stdin: str, *, seconds: float
    ) -> Executed:
        """Run a command and wait for its end."""


@dataclass(frozen=True)
class Executed:
    """What came of a command."""

    exit_code: int
    stdout: str
    stderr: str


class ClusterStepError(Exception):
    """
    The cluster did not do it; the message says why.

    ``permanent``: trying again cannot help. ``out_of_time``: nothing came in time.
    """

    def __init__(
        self, message: str, *, details: str = "", permanent: bool = False, out_of_time: bool = False
    ) -> None:
        self.details = details
        self.permanent = permanent
        self.out_of_time = out_of_time
        super().__init__(message)


class Snapshots(Protocol):
    """Where snapshots are stored."""

    @property
    def updating(self) -> bool:
        """Whether to store what is seen, in place of comparing."""

    @property
    def remedy(self) -> str:
        """What to do about one that is not there."""

    def get(self, key: str) -> Any:
        """Give what is stored; raise KeyError if nothing is."""

    def put(self, key: str, value: Any) -> None:
        """Store it."""


class StoredSnapshots:
    """Those that came with the run; they cannot be changed."""

    updating = False
    remedy = "put it into spec.snapshots"

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = values or {}

    def get(self, key: str) -> Any:
        """Give what is stored; raise KeyError if nothing is."""
        return self._values[key]

    def put(self, key: str, value: Any) -> None:
        """Refuse."""
        raise NotImplementedError(key, value)


def _nobody_listens(at: datetime, host: str) -> None:
    pass


@dataclass(frozen=True)
class WebhookPlace:
    """
    Where the webhooks of a scenario are.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0: any free one.
        public: Host under which services reach it; empty: ``host``.
        inside: Prefix of abstract Unix sockets to listen on instead, behind a port of somebody
            else's: the conductor's.
        url: Of that port.
    """

    host: str = "127.0.0.1"
    port: int = 0
    public: str = ""
    inside: str = ""
    url: str = ""


@dataclass(frozen=True)
class World:
    """
    Everything a scenario needs that is not in its text.

    Attributes:
        faults: Starts and stops manual faults. None where no conductor is, as on a laptop: a
            scenario that needs one is skipped.
        services: The CEL and template variable ``services``: by name, ``{"host", "port", "url",
            "ports": {name: number}}``, the same document as the variable SEATRIAL_SERVICES.
        base_urls: Where to send requests instead, by origin: ``{"http://orders:8080":
            "http://localhost:18080"}``; a host name alone (``orders``) stands for all its ports.
        cluster: Gives the run's namespace. None where nobody may speak to one, as on a laptop or
            in a test's own pod: a scenario that asks it is skipped.
        connections: URLs of databases and brokers with their credentials, by service.
        environ: The variable ``env``. Whatever is in it can be printed by a scenario.
        secrets: Texts in ``environ`` that are masked wherever a person would read them.
        webhooks: Where services call back.
        on_request: Called for each request just before it is sent, with the host named in the
            scenario. Called from several threads when a scenario has parallel branches.
        snapshots: What steps with ``snapshot`` compare with.
        files: What steps load data from.
        seed: What ``run.id`` and ``run.uuid`` are made of, with the name of the instance; the same
            seed gives the same. Empty: another one each time.
        lane: What unique values of data are made of; no other scenario of the run has it.
        memory: How much of it a scenario may take, said with a step for which that is not enough.
        deadline: On the clock of ``monotonic``, in seconds; None: only the test's own timeout.
        now: Wall clock, UTC.
        monotonic: Clock of timeouts and durations, in seconds.
        sleep: Waits that many seconds.
    """

    faults: Faults | None = None
    services: Mapping[str, Any] = field(default_factory=dict)
    base_urls: Mapping[str, str] = field(default_factory=dict)
    cluster: Callable[[], Cluster] | None = None
    connections: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    webhooks: WebhookPlace = field(default_factory=WebhookPlace)
    on_request: Callable[[datetime, str], None] = _nobody_listens
    snapshots: Snapshots = field(default_factory=StoredSnapshots)
    files: Files = field(default_factory=GivenFiles)
    seed: str = ""
    lane: Lane | None = None
    memory: str = "this process gets no more"
    deadline: float | None = None
    now: Callable[[], datetime] = clock.now
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
