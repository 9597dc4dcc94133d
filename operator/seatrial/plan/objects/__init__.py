"""Everything that is made in a run's namespace, a module per kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects.accounts import accounts
from seatrial.plan.objects.conductor import (
    conductor_pod,
    conductor_service,
    conductor_token,
)
from seatrial.plan.objects.copies import copies, pull_secrets
from seatrial.plan.objects.exchange import (
    access_secret,
    conductor_configmaps,
    control_manifest,
    run_configmap,
)
from seatrial.plan.objects.jobs import job_objects
from seatrial.plan.objects.manifest import Manifest, Mode, ObjectKey, Stage
from seatrial.plan.objects.namespace import bounds, namespace
from seatrial.plan.objects.policies import network_policies
from seatrial.plan.objects.workloads import service_objects
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
    ready: Collection[str],
) -> Iterator[Manifest]:
    """
    Make all objects of a run whose time has come.

    Args:
        run: What the namespace is to hold.
        settings: The administrator's.
        started: When the run left the queue.
        ready: Names of the services that are ready; those that depend on others wait for them.
    """
    secrets = pull_secrets(run, settings.image_pull_secrets)
    yield namespace(run)
    yield from accounts(run, secrets)
    yield run_configmap(run, run_document(run, started))
    yield from conductor_configmaps(run)
    yield from network_policies(run)
    yield from copies(run, secrets)
    yield conductor_token(run)
    yield conductor_pod(run, settings)
    if run.is_plain:
        return
    yield from bounds(run, settings)
    if run.has_test_pods:
        yield access_secret(run)
        yield conductor_service(run)
    for service in run.services:
        if not set(service.spec.depends_on or ()) <= set(ready):
            continue
        if service.objects:
            yield from (Manifest(each) for each in service.objects)
        else:
            yield from service_objects(run, service.spec)
    for test in run.spec.tests:
        yield from job_objects(run, test, settings)
