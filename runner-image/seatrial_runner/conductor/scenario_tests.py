"""Tests of kind scenario: each attempt of each instance in a forked worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from seatrial.api import memory, names
from seatrial.api.duration import format_duration, parse_duration
from seatrial.api.journal import ServiceDoc, TestState
from seatrial.api.lanes import Lane, lane_of

from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.cases import Case
from seatrial_runner.conductor.direction import Orders
from seatrial_runner.conductor.namespace import cluster_of
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.workers import (
    Channel,
    Json,
    WorkerError,
    WorkerMemoryError,
    WorkerTimeoutError,
    run_in_worker,
)
from seatrial_runner.scenario import TEARDOWN_S, Instance, World, expand, run_instance
from seatrial_runner.scenario.connections import read_connections
from seatrial_runner.scenario.files import GivenFiles
from seatrial_runner.scenario.given import given_variables
from seatrial_runner.scenario.identity import seed_of_attempt
from seatrial_runner.scenario.world import StoredSnapshots, WebhookPlace

# A worker ends a scenario itself when its time is over, and says which step took it. It is killed
# when it does not.
GRACE_S = 2.0
# What a teardown may take when its test is stopped: the operator waits for that, and for faults to
# be undone meanwhile, no longer than ``ABORT_GRACE``.
STOP_S = 8.0


class _Stopped(BaseException):
    """The conductor has stopped this test: its teardown runs, and then the worker ends."""


async def run_scenario(stage: Stage, orders: Orders, test: Json, state: TestState) -> None:
    """Run the instances that have no final result yet, one after another, with their retries."""
    services = services_document(stage.run["services"])
    connections = connections_given()
    scenarios = stage.run.get("scenarios") or []
    lane = Lane().part(*lane_of(test["name"], stage.run["tests"], scenarios))
    instances = expand(test, scenarios)
    for number, instance in enumerate(instances):
        of_it = lane.part(number, len(instances))
        for attempt in _attempts_left(stage, test, instance.id):
            state["attempts"] = max(state["attempts"], attempt)
            await orders.begins_again(test["name"])
            own = lane_of_attempt(of_it, test, attempt, stage.journal.start)
            case = await _attempt(stage, orders, instance, services, connections, attempt, own)
            stage.record(test["name"], {**case, "attempt": 1}, attempt=attempt)
            if case["outcome"] not in ("failed", "error"):
                break


def lane_of_attempt(lane: Lane, test: Json, attempt: int, start: int) -> Lane:
    """
    Give what the unique values of an attempt are made of.

    What an earlier start of the conductor was at may have left rows and no result, so that it is
    made again under the same number.
    """
    return lane.time((start - 1) * (int(test.get("retries", 0)) + 1) + attempt - 1)


def _attempts_left(stage: Stage, test: Json, case_id: str) -> range:
    """Give the numbers of the attempts to make; none if an earlier conductor has the result."""
    before = stage.cases_of(test["name"]).attempts(case_id)
    if before and before[-1]["outcome"] not in ("failed", "error"):
        return range(0)
    return range(len(before) + 1, int(test.get("retries", 0)) + 2)


async def _attempt(
    stage: Stage,
    orders: Orders,
    instance: Instance,
    services: Json,
    connections: Mapping[str, str],
    attempt: int,
    lane: Lane,
) -> Case:
    started = stage.at()
    most, share = _share(stage)
    given = stage.run.get("seed")
    seed = seed_of_attempt(given, attempt) if given else f"{stage.run['uid']}.{attempt}"
    variables = given_variables()

    def work(channel: Channel) -> Json:
        if instance.teardown:
            signal.signal(signal.SIGTERM, _stop)
        world = World(
            faults=_FaultsByChannel(channel),
            services=services,
            cluster=cluster_of(stage.run, stage.api),
            connections=connections,
            on_request=_teller(channel),
            snapshots=StoredSnapshots(stage.run.get("snapshots")),
            files=GivenFiles(stage.run.get("fixtures")),
            seed=seed,
            lane=lane,
            memory=share,
            webhooks=stage.webhooks or WebhookPlace(),
            **variables,
        )
        return run_instance(instance, world).to_case()

    async def listen(message: Json) -> Json:
        return await _serve(orders, instance.test, message)

    try:
        return await run_in_worker(
            work,
            listen,
            timeout_s=instance.timeout_s + GRACE_S + (TEARDOWN_S if instance.teardown else 0.0),
            stop_s=STOP_S if instance.teardown else 0.0,
            most=most,
        )
    except WorkerTimeoutError:
        return _broken(stage, instance, started, "failed", f"timed out after {_limit(instance)}")
    except WorkerMemoryError:
        return _broken(stage, instance, started, "error", f"out of memory: {share}")
    except WorkerError as error:
        return _broken(stage, instance, started, "error", str(error))


def _stop(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise _Stopped


def _limit(instance: Instance) -> str:
    from datetime import timedelta

    return format_duration(timedelta(seconds=instance.timeout_s))


def _share(stage: Stage) -> tuple[int, str]:
    """Give the bytes that a scenario may take, and say so."""
    scenarios = [test for test in stage.run["tests"] if test.get("scenario") is not None]
    at_once = memory.at_once(stage.run["parallelism"], scenarios)
    most = memory.of_a_scenario(at_once)
    text = f"it may take {most // memory.MIB} MiB"
    if at_once == 1:
        return most, f"{text}: let it read less at once"
    share = f"its share where {at_once} scenarios run at a time"
    return most, f"{text}, {share}: let it read less at once, or lower spec.parallelism"


def _broken(stage: Stage, instance: Instance, started: str, outcome: str, message: str) -> Case:
    return {
        "id": instance.id,
        "outcome": outcome,
        "attempt": 1,
        "startedAt": started,
        "finishedAt": stage.at(),
        "message": message,
        "details": "",
        "requests": 0,
        "properties": {},
    }


def _teller(channel: Channel) -> Callable[[datetime, str], None]:
    return lambda at, host: channel.tell({"request": {"at": rfc3339(at), "host": host}})


class _FaultsByChannel:
    """The engine's ``Faults``, in a worker: asks the conductor and waits."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def start(self, name: str) -> None:
        self._order("start", name)

    def stop(self, name: str) -> None:
        self._order("stop", name)

    def status(self, name: str) -> Json:
        return self._order("status", name)

    def _order(self, what: str, name: str) -> Json:
        answer = self._channel.ask({what: name})
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


async def _serve(orders: Orders, test: str, message: Json) -> Json:
    from seatrial.api.errors import SeatrialError

    try:
        match message:
            case {"request": {"at": at, "host": host}}:
                orders.met(parse(at), host, test=test)
            case {"start": fault}:
                return await orders.start(fault, test=test)
            case {"stop": fault}:
                return await orders.stop(fault)
            case {"status": fault}:
                unknown = {"error": f"there is no fault {fault[:60]!r} in spec.faults"}
                return orders.fault(fault) or unknown
    except SeatrialError as error:
        return {"error": str(error)}
    return {}


def connections_given() -> dict[str, str]:
    """Give the URLs of the run's databases and brokers, with their passwords, by service."""
    return read_connections(os.environ.get(names.ENV_CONNECTIONS, ""))


def services_document(services: list[ServiceDoc]) -> dict[str, Any]:
    """Give the document of the variable SEATRIAL_SERVICES: hosts, ports and URLs by service."""
    return {service["name"]: _service(service) for service in services}


def host_of(asked: str, services: dict[str, Any]) -> str:
    """Give the host behind what a step has asked: a host, or a database or broker by its name."""
    found: str = services[asked]["host"] if asked in services else asked
    return found


def _service(service: ServiceDoc) -> Json:
    host = service["hosts"][0] if service["hosts"] else service["name"]
    ports = {port["name"]: port["port"] for port in service["ports"]}
    port = service["ports"][0]["port"] if service["ports"] else None
    url = f"http://{host}:{port}" if port else f"http://{host}"
    return {"host": host, "port": port, "url": url, "ports": ports}


def timeout_of(test: Json) -> float:
    """Give the longest time of one attempt, in seconds."""
    return parse_duration(test.get("timeout", "5m")).total_seconds()
