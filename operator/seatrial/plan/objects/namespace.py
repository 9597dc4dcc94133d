"""The run's namespace, and what bounds it."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.api import names
from seatrial.plan.blueprint import Blueprint, run_labels
from seatrial.plan.objects.manifest import Manifest, Mode, metadata
from seatrial.plan.settings import PlanSettings

_POD_SECURITY = "pod-security.kubernetes.io"


def namespace(run: Blueprint, seal: str) -> Manifest:
    """
    Make the run's namespace, with what tells it from one that somebody else makes.

    Created, never applied: a namespace of that name that someone else made must not become ours.
    """
    level = str(run.spec.pod_security)
    labels = {
        **run_labels(run.metadata),
        names.LABEL_COMPONENT: names.COMPONENT_ENVIRONMENT,
        f"{_POD_SECURITY}/enforce": level,
        f"{_POD_SECURITY}/enforce-version": "latest",
    }
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": run.environment,
            "labels": labels,
            "annotations": {names.ANNOTATION_SEAL: seal},
        },
    }
    return Manifest(body, Mode.CREATE)


def bounds(run: Blueprint, settings: PlanSettings) -> Iterator[Manifest]:
    """Make the ResourceQuota and LimitRange of a namespace that holds pods of the user."""
    if settings.quota:
        yield Manifest(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": metadata(run, "seatrial", names.COMPONENT_ENVIRONMENT),
                "spec": {"hard": dict(settings.quota)},
            }
        )
    if settings.limits:
        limit = {"type": "Container", **{key: dict(each) for key, each in settings.limits.items()}}
        yield Manifest(
            {
                "apiVersion": "v1",
                "kind": "LimitRange",
                "metadata": metadata(run, "seatrial", names.COMPONENT_ENVIRONMENT),
                "spec": {"limits": [limit]},
            }
        )
