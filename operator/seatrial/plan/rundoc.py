"""What the conductor is told: ``run.json`` and ``control.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from seatrial.api import families
from seatrial.api.faults import Fault
from seatrial.api.fields import Model
from seatrial.api.journal import ControlDoc, RunDoc, ServiceDoc
from seatrial.plan.blueprint import Blueprint, ServicePlan
from seatrial.plan.configuration import Key, Source, named, sources
from seatrial.plan.fixtures import fixtures_of
from seatrial.plan.parts import Part
from seatrial.plan.settings import PlanSettings
from seatrial.plan.snapshots import snapshots_of

VERSION = 1


def run_document(run: Blueprint, settings: PlanSettings, started: datetime) -> RunDoc:
    """
    Write the run as the conductor reads it, without pydantic.

    The same for the same run and start, so that applying it again changes nothing.
    """
    timeouts = run.spec.timeouts
    there: dict[Key, Source] = {}
    if any(fault.configuration for fault in run.spec.faults):
        there = sources([Part(each.spec, each.objects) for each in run.services], run.found)
    document = RunDoc(
        version=VERSION,
        name=run.name,
        namespace=run.namespace,
        uid=run.uid,
        environment=run.environment,
        startedAt=rfc3339(started),
        deadline=rfc3339(started + run.spec.timeout),
        provisioningTimeout=timeouts.provisioning.total_seconds(),
        testsTimeout=timeouts.tests.total_seconds(),
        collectingTimeout=timeouts.collecting.total_seconds(),
        parallelism=run.spec.parallelism,
        services=[_service(run, service) for service in run.services],
        faults=[_fault(fault, there) for fault in run.spec.faults],
        tests=[_plain(test) for test in run.spec.tests],
        access=run.has_test_pods,
    )
    if run.spec.seed is not None:
        document["seed"] = run.spec.seed
    if run.spec.scenarios:
        document["scenarios"] = [_plain(scenario) for scenario in run.spec.scenarios]
    if snapshots := snapshots_of(run.spec, run.found):
        document["snapshots"] = snapshots
    if fixtures := fixtures_of(run.spec, run.found):
        document["fixtures"] = fixtures
    if run.has_webhooks:
        document["webhooks"] = True
    if run.spec.probes:
        document["probes"] = [_plain(probe) for probe in run.spec.probes]
    if run.spec.taps:
        document["taps"] = [{"name": tap.name, **_plain(tap.as_step())} for tap in run.spec.taps]
    if run.gateway is not None:
        document["gateway"] = True
    if any(fault.kind in families.POD for fault in run.spec.faults):
        document["agentImage"] = settings.agent_image
    return document


def control_document(*, abort: str, suspend: bool) -> ControlDoc:
    """Write what may change while the run goes on; ``abort`` is its reason, or empty."""
    if abort:
        return ControlDoc(abort=True, abortReason=abort, suspend=suspend)
    return ControlDoc(abort=False, suspend=suspend)


def endpoints(services: Iterable[ServicePlan]) -> dict[str, dict[str, Any]]:
    """Say where each service is, for the variable SEATRIAL_SERVICES of test pods."""
    result: dict[str, dict[str, Any]] = {}
    for service in services:
        if not service.hosts or not service.ports:
            continue
        host, port = service.hosts[0], service.ports[0]["port"]
        result[service.name] = {
            "host": host,
            "port": port,
            "url": f"http://{host}:{port}",
            "ports": {each["name"]: each["port"] for each in service.ports},
        }
    return result


def rfc3339(moment: datetime) -> str:
    """Write a moment in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _service(run: Blueprint, service: ServicePlan) -> ServiceDoc:
    return ServiceDoc(
        name=service.name,
        wave=service.wave,
        hosts=list(service.hosts),
        ports=list(service.ports),
        workloads=list(service.workloads),
        direct=run.gateway.direct(service.name) if run.gateway else {},
    )


def _fault(fault: Fault, there: Mapping[Key, Source]) -> dict[str, Any]:
    """Write a fault, with the name that a ConfigMap or Secret has in the run's namespace."""
    document = _plain(fault)
    if fault.configuration:
        kind, name = named(fault.configuration)
        if (source := there.get((kind, name))) is not None:
            document["configuration"]["configMap" if kind == "ConfigMap" else "secret"] = (
                source.name
            )
    return document


def _plain(part: Model) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)
