"""
The gateway, and the Services that lead to it and past it.

A Deployment, not a bare pod as the conductor: what the system under test talks through must come
back at once, also while the operator is away.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seatrial.api import names
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.gateway import Carried, GatewayPlan
from seatrial.plan.objects.containers import runner_security_context
from seatrial.plan.objects.envoy import (
    envoy_bootstrap,
    envoy_container,
    envoy_shared_mount,
    envoy_volumes,
)
from seatrial.plan.objects.exchange import compact
from seatrial.plan.objects.manifest import Json, Manifest, Mode, metadata
from seatrial.plan.settings import PlanSettings

SELECTOR = {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY}
_RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
# Of a Service of the user; they would tie its clients, or the gateway, to pods of the same node.
_NODE_BOUND = ("internalTrafficPolicy", "trafficDistribution")


def gateway_objects(
    run: Blueprint,
    gateway: GatewayPlan,
    settings: PlanSettings,
    services: Iterable[Mapping[str, Any]],
) -> Iterator[Manifest]:
    """
    Make the gateway: its token, the Service of its control, its pod, and the Services behind it.

    Those are made from the start, whatever their service waits for: a name that is asked for too
    early is remembered as unknown for a while.

    Args:
        run: The run.
        gateway: What it carries.
        settings: The administrator's.
        services: The Services of the system under test, as they would be without a gateway.
    """
    yield _token(run)
    yield _control(run)
    if gateway.http_faults:
        yield _envoy_config(run, gateway)
    yield _deployment(run, gateway, settings)
    for body in services:
        if (carried := gateway.of(body["metadata"]["name"])) is not None:
            yield Manifest(_direct(run, body, carried))


def front(run: Blueprint, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Turn a Service of the system under test to the gateway, if that is to carry it.

    Clients keep its name, its ports and its address.
    """
    carried = run.gateway.of(body["metadata"]["name"]) if run.gateway else None
    return _front(body, carried) if carried else body


def _front(body: Mapping[str, Any], carried: Carried) -> Json:
    front: Json = copy.deepcopy(dict(body))
    for key in _NODE_BOUND:
        front["spec"].pop(key, None)
    front["spec"]["selector"] = SELECTOR
    for port, listener in zip(front["spec"]["ports"], carried.listeners, strict=True):
        port["targetPort"] = listener["listen"]
    return front


def _direct(run: Blueprint, body: Mapping[str, Any], carried: Carried) -> Json:
    spec: Json = copy.deepcopy(body["spec"])
    for key in _NODE_BOUND:
        spec.pop(key, None)
    own = metadata(run, carried.direct, names.COMPONENT_GATEWAY, service=carried.service)
    return {"apiVersion": "v1", "kind": "Service", "metadata": own, "spec": spec}


def _token(run: Blueprint) -> Manifest:
    body: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(run, names.GATEWAY, names.COMPONENT_GATEWAY),
    }
    return Manifest(body, Mode.CREATE, random_keys=(names.TOKEN_KEY,))


def _control(run: Blueprint) -> Manifest:
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(run, names.GATEWAY, names.COMPONENT_GATEWAY),
            "spec": {
                "selector": SELECTOR,
                "ports": [{"name": "control", "port": names.GATEWAY_PORT, "targetPort": "control"}],
            },
        }
    )


def _envoy_config(run: Blueprint, gateway: GatewayPlan) -> Manifest:
    listeners = [
        (each.service, listener) for each in gateway.carried for listener in each.listeners
    ]
    bootstrap = envoy_bootstrap(listeners, gateway.http_faults)
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(run, names.GATEWAY, names.COMPONENT_GATEWAY),
            "data": {names.ENVOY_CONFIG: compact(bootstrap)},
        }
    )


def _deployment(run: Blueprint, gateway: GatewayPlan, settings: PlanSettings) -> Manifest:
    token = {"name": names.GATEWAY, "key": names.TOKEN_KEY}
    container: Json = {
        "name": "gateway",
        "image": settings.runner_image,
        "imagePullPolicy": settings.runner_pull_policy,
        "args": ["gateway"],
        "env": [
            {"name": names.ENV_GATEWAY, "value": compact(gateway.document)},
            {"name": names.ENV_CONTROL_TOKEN, "valueFrom": {"secretKeyRef": token}},
        ],
        "ports": [{"name": "control", "containerPort": names.GATEWAY_PORT}],
        "resources": _RESOURCES,
        "securityContext": runner_security_context(),
    }
    own = metadata(run, names.GATEWAY, names.COMPONENT_GATEWAY)
    pod: Json = {
        "serviceAccountName": names.WORKLOAD_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    if gateway.http_faults:
        container["volumeMounts"] = [envoy_shared_mount()]
        pod["containers"].append(envoy_container(settings))
        pod["volumes"] = envoy_volumes()
    return Manifest(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": own,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": SELECTOR},
                "strategy": {"type": "Recreate"},
                "revisionHistoryLimit": 1,
                "template": {"metadata": {"labels": own["labels"]}, "spec": pod},
            },
        }
    )
