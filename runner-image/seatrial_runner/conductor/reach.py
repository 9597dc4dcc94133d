"""Whether services can be reached where clients reach them: through DNS and their Services."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable

from seatrial.api.journal import ServiceDoc

from seatrial_runner.conductor.local_ports import makes_checks
from seatrial_runner.conductor.workers import Channel, Json, WorkerError, run_in_worker

logger = logging.getLogger("seatrial.conductor")

# NB: a ready pod is not yet one that clients reach. The node's proxy learns of it later, and writes
# its rules at most once a second; until then a client is told "connection refused". Measured here:
# the first request after the last readiness came too early in every run. On a busy node three
# seconds were too few now and then; a port that refuses strangers for ever costs a run all of them.
REACHED_S = 10.0
CUT_OFF_S = 3.0  # a gateway in front accepts for ever
# A name that is not there is nobody's refusal: the cluster's DNS learns of Services in its turn,
# and may keep for some seconds that it did not know one. NB: when the API server was away, a DNS
# that watches it asks again up to 30 s later; of twenty runs then, no name was there after 18 s.
NAMES_S = 45.0
_PAUSE_S = 0.02
_TELL_S = 3.0  # the proxy of a node that is not busy has come by then: no news
_CONNECT_S = 0.5
# A gateway in between accepts before it knows whether the service does, and closes if not.
_STAYS_OPEN_S = 0.05


async def until_reachable(
    services: Iterable[ServiceDoc],
    *,
    within_s: float = REACHED_S,
    in_a_row: int = 1,
    in_front: bool = True,
    named_within_s: float = 0.0,
    tell: Callable[[str, str], None] = lambda service, problem: None,
) -> dict[str, str]:
    """
    Return when every TCP port of the services accepts a connection, or after ``within_s``.

    Args:
        services: All of their ports are asked.
        within_s: The longest time this takes.
        in_a_row: How many connections each port has to accept, one after another. After pods have
            been replaced, the node's proxy may for a while lead to some that are gone.
        in_front: Ask at the gateway as well, where it carries a service. NB: not while faults may
            be there: they would be in the way, and a port that ``refuse`` has closed counts ours.
        named_within_s: The longest time that names are waited for before.
        tell: Called with a service whose port is waited for, and with what was seen there.

    Returns:
        What was seen where there is no connection to be had, by service. It may refuse strangers:
        that is for the tests to find. Nobody answers to a stranger on UDP, so nothing is asked
        there.
    """
    targets = [
        (each["name"], hosts, port["port"])
        for each in services
        # The gateway accepts for pods that it may not reach yet: ask behind it as well.
        for hosts in _hosts(each, in_front=in_front)
        for port in each["ports"]
        if hosts and port.get("protocol", "TCP") == "TCP"
    ]
    if not targets or within_s <= 0:
        return {}

    # In a worker, because resolving names would start threads here.
    def work(channel: Channel) -> Json:
        makes_checks()  # another fault may be there meanwhile
        _resolve_all([hosts for _, hosts, _ in targets], time.monotonic() + named_within_s)
        deadline = time.monotonic() + within_s
        return {"missing": _connect_all(targets, deadline, in_a_row, channel)}

    async def listen(message: Json) -> Json:
        tell(message["service"], message["problem"])
        return {}

    timeout_s = named_within_s + within_s + 2 * _CONNECT_S
    try:
        result = await run_in_worker(work, listen, timeout_s=timeout_s)
    except WorkerError as error:
        logger.info("services not checked: %s", error)
        return {}
    missing: dict[str, str] = result["missing"]
    if missing:
        logger.info("not reached within %g s: %s", within_s, missing)
    return missing


def _hosts(service: ServiceDoc, *, in_front: bool) -> list[list[str]]:
    behind = service.get("direct", {})
    if in_front:
        return [service["hosts"], list(behind.values())]
    return [[behind.get(host, host) for host in service["hosts"]]]


async def until_cut_off(hosts: Iterable[str], ports: Iterable[int]) -> list[str]:
    """
    Return when no port of any host accepts a connection any more, or after ``CUT_OFF_S``.

    Returns:
        Where there is still a connection to be had; empty if there is none.
    """
    targets = [(host, port) for port in ports for host in hosts]
    if not targets:
        return []

    def work(channel: Channel) -> Json:
        makes_checks()
        return {"open": _still_open(targets, time.monotonic() + CUT_OFF_S)}

    try:
        result = await run_in_worker(work, _listen, timeout_s=CUT_OFF_S + 2 * _CONNECT_S)
    except WorkerError as error:
        logger.info("not looked whether services are cut off: %s", error)
        return []
    still_open: list[str] = result["open"]
    return still_open


def _still_open(targets: Iterable[tuple[str, int]], deadline: float) -> list[str]:
    accepting = list(targets)
    while True:
        accepting = [each for each in accepting if _accepts(*each)]
        if not accepting or time.monotonic() >= deadline:
            return [f"{host}:{port}" for host, port in accepting]
        time.sleep(_PAUSE_S)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_S).close()
    except OSError:
        return False
    return True


async def _listen(message: Json) -> Json:
    return {}


def _resolve_all(names: list[list[str]], deadline: float) -> None:
    """Return when one name of each list can be resolved, or at the deadline."""
    for hosts in names:
        while not any(_resolves(host) for host in hosts) and time.monotonic() < deadline:
            time.sleep(5 * _PAUSE_S)


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True


def _connect_all(
    targets: list[tuple[str, list[str], int]], deadline: float, in_a_row: int, channel: Channel
) -> dict[str, str]:
    missing: dict[str, str] = {}
    for service, hosts, port in targets:

        def waits(service: str = service, hosts: list[str] = hosts, port: int = port) -> None:
            channel.tell({"service": service, "problem": _problem(hosts, port, deadline)})

        if not _connect(hosts, port, deadline, in_a_row, waits):
            missing.setdefault(service, _problem(hosts, port, deadline))
    return missing


def _problem(hosts: list[str], port: int, deadline: float) -> str:
    """Say what is seen of a port; by a look at it only while that costs nobody's time."""
    if time.monotonic() <= deadline + _CONNECT_S:
        for host in hosts:
            if problem := tcp_problem(host, port, timeout_s=_CONNECT_S):
                return problem
    return f"no connection to {hosts[0]}:{port}"


def _connect(
    hosts: list[str], port: int, deadline: float, in_a_row: int, waits: Callable[[], None]
) -> bool:
    """
    Connect to the port on any of the hosts: which of them has it is not known here.

    Calls ``waits`` once, if that takes a while.
    """
    tell_at = time.monotonic() + _TELL_S
    accepted = 0
    while accepted < in_a_row:
        if any(_accepts(host, port) for host in hosts):
            accepted += 1
            continue
        if time.monotonic() >= deadline:
            return False
        if time.monotonic() >= tell_at:
            tell_at = deadline
            waits()
        accepted = 0
        time.sleep(_PAUSE_S)
    return True


def tcp_problem(host: str, port: int, *, timeout_s: float) -> str:
    """Connect, and say why there is no connection that stays open; empty if there is one."""
    where = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.settimeout(min(_STAYS_OPEN_S, timeout_s))
            try:
                closed = connection.recv(1) == b""
            except TimeoutError:
                return ""
    except TimeoutError:
        return f"no connection to {where} within {timeout_s:g} s"
    except ConnectionRefusedError:
        return f"connection refused: nothing listens on {where}"
    except ConnectionResetError:
        return f"the connection to {where} was reset at once"
    except socket.gaierror:
        return f"the name {host!r} does not resolve: is it a service of this run?"
    except OSError as error:
        return f"no connection to {where}: {error.strerror or error}"
    return f"{where} closed the connection at once" if closed else ""
