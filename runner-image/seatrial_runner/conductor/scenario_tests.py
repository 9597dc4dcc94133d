"""Tests of kind scenario: each attempt of each instance in a forked worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from seatrial.api.duration import format_duration, parse_duration
from seatrial.api.journal import ServiceDoc, TestState

from seatrial_runner.clock import parse, rfc3339
from seatrial_runner.conductor.cases import Case
from seatrial_runner.conductor.direction import Orders
from seatrial_runner.conductor.stage import Stage
from seatrial_runner.conductor.workers import (
    Channel,
    Json,
    WorkerError,
    WorkerTimeoutError,
    run_in_worker,
)
from seatrial_runner.scenario import Instance, World, expand, run_instance

# A worker ends a scenario itself when its time is over, and says which step took it. It is killed
# when it does not.
GRACE_S = 2.0


async def run_scenario(stage: Stage, orders: Orders, test: Json, state: TestState) -> None:
    """Run the instances that have no final result yet, one after another, with their retries."""
    services = services_document(stage.run["services"])
    for instance in expand(test):
        for attempt in _attempts_left(stage, test, instance.id):
            state["attempts"] = max(state["attempts"], attempt)
            case = await _attempt(stage, orders, instance, services)
            stage.record(test["name"], {**case, "attempt": 1}, attempt=attempt)
            if case["outcome"] not in ("failed", "error"):
                break


def _attempts_left(stage: Stage, test: Json, case_id: str) -> range:
    """Give the numbers of the attempts to make; none if an earlier conductor has the result."""
    before = stage.cases_of(test["name"]).attempts(case_id)
    if before and before[-1]["outcome"] not in ("failed", "error"):
        return range(0)
    return range(len(before) + 1, int(test.get("retries", 0)) + 2)


async def _attempt(stage: Stage, orders: Orders, instance: Instance, services: Json) -> Case:
    started = stage.at()

    def work(channel: Channel) -> Json:
        world = World(
            faults=_FaultsByChannel(channel),
            services=services,
            on_request=_teller(channel),
        )
        return run_instance(instance, world).to_case()

    async def listen(message: Json) -> Json:
        return await _serve(orders, instance.test, message)

    try:
        return await run_in_worker(work, listen, timeout_s=instance.timeout_s + GRACE_S)
    except WorkerTimeoutError:
        return _broken(stage, instance, started, "failed", f"timed out after {_limit(instance)}")
    except WorkerError as error:
        return _broken(stage, instance, started, "error", str(error))


def _limit(instance: Instance) -> str:
    from datetime import timedelta

    return format_duration(timedelta(seconds=instance.timeout_s))


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
                orders.met(parse(at), host)
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


def services_document(services: list[ServiceDoc]) -> dict[str, Any]:
    """Give the document of the variable SEATRIAL_SERVICES: hosts, ports and URLs by service."""
    return {service["name"]: _service(service) for service in services}


def _service(service: ServiceDoc) -> Json:
    host = service["hosts"][0] if service["hosts"] else service["name"]
    ports = {port["name"]: port["port"] for port in service["ports"]}
    port = service["ports"][0]["port"] if service["ports"] else None
    url = f"http://{host}:{port}" if port else f"http://{host}"
    return {"host": host, "port": port, "url": url, "ports": ports}


def timeout_of(test: Json) -> float:
    """Give the longest time of one attempt, in seconds."""
    return parse_duration(test.get("timeout", "5m")).total_seconds()
