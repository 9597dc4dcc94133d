"""Everything that is made in a run's namespace, a module per kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects.accounts import accounts
from seatrial.plan.objects.conductor import (
    conductor_pod,
    conductor_service,
    conductor_token,
    webhooks_service,
)
from seatrial.plan.objects.connections import connections_secret, told
from seatrial.plan.objects.copies import copies, pull_secrets
from seatrial.plan.objects.exchange import (
    access_secret,
    conductor_configmaps,
    control_manifest,
    run_configmap,
)
from seatrial.plan.objects.gateway import front, gateway_objects
from seatrial.plan.objects.jobs import job_objects
from seatrial.plan.objects.manifest import Manifest, Mode, ObjectKey, Stage
from seatrial.plan.objects.namespace import bounds, namespace
from seatrial.plan.objects.policies import network_policies
from seatrial.plan.objects.workloads import service_body, service_objects
from seatrial.plan.rundoc import run_document
from seatrial.plan.settings import PlanSettings

__all__ = [
    "Manifest",
    "Mode",
    "ObjectKey",
    "Stage",
    "conductor_configmaps",
    "conductor_pod",
    "conductor_token",
    "control_manifest",
    "environment",
]


def environment(
    run: Blueprint,
    settings: PlanSettings,
    *,
    started: datetime,
    seal: str,
    ready: Collection[str],
) -> Iterator[Manifest]:
    """
    Make all objects of a run whose time has come.

    Args:
        run: What the namespace is to hold.
        settings: The administrator's.
        started: When the run left the queue.
        seal: Of the namespace, if it is yet to be made.
        ready: Names of the services that are ready; those that depend on others wait for them.
    """
    secrets = pull_secrets(run, settings.image_pull_secrets)
    yield namespace(run, seal)
    yield from accounts(run, secrets)
    yield run_configmap(run, run_document(run, settings, started))
    yield from conductor_configmaps(run)
    yield from network_policies(run, settings.network)
    yield from copies(run, secrets)
    yield conductor_token(run)
    yield conductor_pod(run, settings)
    if run.is_plain:
        return
    yield from bounds(run, settings)
    if run.connections:
        yield connections_secret(run)
    if run.has_test_pods:
        yield access_secret(run)
        yield conductor_service(run)
    if run.has_webhooks:
        yield webhooks_service(run)
    if run.gateway is not None:
        yield from gateway_objects(run, run.gateway, settings, _services(run))
    for service in run.services:
        if not set(service.spec.depends_on or ()) <= set(ready):
            continue
        if service.objects:
            yield from (
                Manifest(told(run, service, _turned(run, each))) for each in service.objects
            )
        else:
            yield from service_objects(run, service.spec)
    for test in run.spec.tests:
        yield from job_objects(run, test, settings)


def _services(run: Blueprint) -> Iterator[Mapping[str, Any]]:
    """Give the Services of the system under test as they would be without a gateway."""
    for service in run.services:
        if service.objects:
            yield from (each for each in service.objects if each["kind"] == "Service")
        elif service.spec.ports:
            yield service_body(run, service.spec, service.spec.ports)


def _turned(run: Blueprint, body: Mapping[str, Any]) -> Mapping[str, Any]:
    return front(run, body) if body["kind"] == "Service" else body
