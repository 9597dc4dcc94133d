"""Builders of what an operator hands to a conductor, and of a conductor's stage."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any

from seatrial.api.families import KINDS
from seatrial.api.journal import ControlDoc, RunDoc, ServiceDoc
from seatrial.api.verdict import Verdict, judge
from seatrial_runner.clock import rfc3339
from seatrial_runner.conductor.conducting import conduct
from seatrial_runner.conductor.configmaps import JournalConfigMap
from seatrial_runner.conductor.opening import claim_journal
from seatrial_runner.conductor.seen import Seen
from seatrial_runner.conductor.stage import Control, Stage

from tests.support.mortal import PROCESS
from tests.support.mortal_client import MortalClient
from tests.support.run_namespace import NAMESPACE, RunNamespace
from tests.support.virtual_time import loop

GOES_ON: ControlDoc = {"abort": False, "suspend": False}


def a_scenario(name: str = "paid", *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A test whose one step holds, unless steps are given."""
    return {
        "name": name,
        "timeout": "5m",
        "retries": 0,
        "matrix": {},
        "scenario": list(steps) or [{"expect": ["1 + 1 == 2"]}],
        **more,
    }


def a_service_doc(
    name: str = "orders", *, ports: bool = False, wave: int = 0, kind: str = "Deployment"
) -> ServiceDoc:
    """A service of the short form; without ports nothing tries to connect to it."""
    return {
        "name": name,
        "wave": wave,
        "hosts": [name],
        "ports": [{"name": "http", "port": 8080}] if ports else [],
        "workloads": [{"kind": kind, "name": name}],
    }


def a_fault_doc(name: str = "lose-a-pod", service: str = "orders", **more: Any) -> dict[str, Any]:
    """A kill with the opening of the gate, unless told otherwise."""
    kind = {} if set(KINDS) & more.keys() else {"kill": {"gracePeriod": "0s"}}
    return {
        "name": name,
        "target": {"service": service},
        "when": {},
        "recovery": {"within": "60s"},
        **kind,
        **more,
    }


def a_run_doc(**more: Any) -> RunDoc:
    """A run that left the queue just now."""
    now = loop().now()
    run: RunDoc = {
        "version": 1,
        "name": "checkout",
        "namespace": "shop",
        "uid": "0a1b2c3d-0000-4000-8000-000000000001",
        "environment": NAMESPACE,
        "startedAt": rfc3339(now),
        "deadline": rfc3339(now + timedelta(minutes=30)),
        "provisioningTimeout": 300.0,
        "testsTimeout": 1800.0,
        "collectingTimeout": 60.0,
        "parallelism": 1,
        "services": [],
        "faults": [],
        "tests": [a_scenario()],
        "access": False,
    }
    return {**run, **more}  # type: ignore[typeddict-item]  # the fields of a test's own choice


def order(namespace: RunNamespace, run: RunDoc, control: ControlDoc = GOES_ON) -> None:
    """Do what the operator does before the conductor starts."""
    data = {"run.json": json.dumps(run), "control.json": json.dumps(control)}
    namespace.add("configmaps", {"metadata": {"name": "seatrial-run"}, "data": data})
    for name in ("seatrial-journal", "seatrial-report"):
        namespace.add("configmaps", {"metadata": {"name": name}})


async def a_conductor(namespace: RunNamespace | MortalClient, *, patience_s: float = 0.0) -> None:
    """Run a conductor to its end; it lets others go first for so long before its report."""
    await conduct(
        namespace.api,
        NAMESPACE,
        port=0,
        now=loop().now,
        monotonic=lambda: loop().time(),
        patience_s=lambda: patience_s,
    )


async def a_stage(namespace: RunNamespace, run: RunDoc) -> Stage:
    """A stage whose journal is claimed; nobody writes it, and nobody watches."""
    order(namespace, run)
    edge = JournalConfigMap(namespace.api, NAMESPACE)
    journal = await claim_journal(edge, run, now=loop().now, monotonic=lambda: loop().time())
    return Stage(
        run,
        namespace.api,
        Seen(),
        journal,
        Control(GOES_ON),
        loop().now,
        lambda: loop().time(),
    )


async def a_killed_conductor(namespace: RunNamespace, *, dies_at: int, after: bool) -> bool:
    """Run a conductor that is killed at a write; False if it ended before it made that many."""
    client = MortalClient(namespace, dies_at=dies_at, after=after)
    token = PROCESS.set(client)
    process = asyncio.create_task(a_conductor(client))
    PROCESS.reset(token)
    death = asyncio.create_task(client.died.wait())
    await asyncio.wait((process, death), return_when=asyncio.FIRST_COMPLETED)
    death.cancel()
    process.cancel()
    await asyncio.gather(process, return_exceptions=True)
    return client.died.is_set()


async def a_conductor_that_dies(
    namespace: RunNamespace, *, after_s: float, kill: bool = True
) -> None:
    """Run a conductor that is killed, or stopped, at a moment."""
    client = MortalClient(namespace, dies_at=sys.maxsize, after=False)
    token = PROCESS.set(client)
    process = asyncio.create_task(a_conductor(client))
    PROCESS.reset(token)
    await asyncio.sleep(after_s)
    if kill:
        client.died.set()
    process.cancel()
    await asyncio.gather(process, return_exceptions=True)
    client.died.set()


def verdict(namespace: RunNamespace) -> Verdict:
    """Judge a run as the operator does."""
    summary = namespace.summary()
    return judge(
        summary,
        tests=[each["name"] for each in summary["tests"]],
        faults=[each["name"] for each in summary["faults"]],
    ).verdict


def abort(namespace: RunNamespace) -> None:
    control = json.dumps({"abort": True, "abortReason": "enough", "suspend": False})
    namespace.change(
        "configmaps", "seatrial-run", lambda i: i["data"].update({"control.json": control})
    )
