"""The conductor's pod and Service."""

from __future__ import annotations

from datetime import timedelta

from seatrial.api import memory, names
from seatrial.api.spec import RunSpec
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects.connections import connections_variable
from seatrial.plan.objects.containers import runner_security_context, scenario_variables
from seatrial.plan.objects.manifest import Json, Manifest, Mode, metadata
from seatrial.plan.presets import has_connections
from seatrial.plan.settings import PlanSettings

# Beyond the longest time that the run can take. The API server may have a shorter maximum, of a
# day or more with all providers; Kubernetes knows none below ten minutes.
_TOKEN_MARGIN = timedelta(minutes=15)

# Small requests, so that twenty runs at once find room on two cores; what it uses beyond them it
# takes from what is free.
_REQUESTS = {"cpu": "20m", "memory": "64Mi"}


def conductor_pod(run: Blueprint, settings: PlanSettings) -> Manifest:
    """
    Make the conductor: a bare pod, because a Job's controller would only add its delays.

    The kubelet restarts its container (OnFailure); the operator makes the pod again when it is
    gone. It has no volume, not even for its token: the kubelet looks every 0.3 s whether volumes
    are mounted.
    Source: Kubernetes, pkg/kubelet/volumemanager, podAttachAndMountRetryInterval.
    """
    token = {"name": names.CONDUCTOR, "key": names.TOKEN_KEY}
    container: Json = {
        "name": "conductor",
        "image": settings.runner_image,
        "imagePullPolicy": settings.runner_pull_policy,
        "args": ["conductor"],
        "env": [
            {"name": names.ENV_NAMESPACE, "value": run.environment},
            {"name": names.ENV_API_CA, "value": settings.api_ca},
            {"name": names.ENV_API_TOKEN, "valueFrom": {"secretKeyRef": token}},
        ],
        "ports": [{"name": "http", "containerPort": names.CONDUCTOR_PORT}],
        "resources": {"requests": _REQUESTS, "limits": {"memory": _memory(run.spec)}},
        "securityContext": runner_security_context(),
    }
    if run.spec.env_from:
        container["envFrom"] = scenario_variables(run.spec.env_from)
    # Of the spec, not the blueprint: a conductor that is made again has none.
    if has_connections(run.spec.services):
        container["env"].append(connections_variable())
    body: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(run, names.CONDUCTOR, names.COMPONENT_CONDUCTOR),
        "spec": {
            "serviceAccountName": names.CONDUCTOR,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": 5,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }
    return Manifest(body, Mode.CREATE)


def _memory(spec: RunSpec) -> str:
    scenarios = [test for test in spec.tests if test.scenario is not None]
    at_once = memory.at_once(spec.parallelism, scenarios)
    return f"{memory.of_the_pod(at_once, taps=bool(spec.taps)) // memory.MIB}Mi"


def webhooks_service(run: Blueprint) -> Manifest:
    """Make the Service under which services call webhooks of scenarios."""
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(run, names.WEBHOOKS, names.COMPONENT_CONDUCTOR),
            "spec": {
                # Services may call before the conductor is ready; it takes their calls in time.
                "publishNotReadyAddresses": True,
                "selector": {names.LABEL_COMPONENT: names.COMPONENT_CONDUCTOR},
                "ports": [{"name": "http", "port": 80, "targetPort": names.WEBHOOKS_PORT}],
            },
        }
    )


def conductor_service(run: Blueprint) -> Manifest:
    """Make the Service under which test pods find the conductor."""
    return Manifest(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(run, names.CONDUCTOR, names.COMPONENT_CONDUCTOR),
            "spec": {
                # A test pod may start before the conductor is ready; it is told to wait.
                "publishNotReadyAddresses": True,
                "selector": {names.LABEL_COMPONENT: names.COMPONENT_CONDUCTOR},
                "ports": [
                    {"name": "http", "port": names.CONDUCTOR_PORT, "targetPort": "http"},
                ],
            },
        }
    )


def conductor_token(run: Blueprint) -> Manifest:
    """
    Make the Secret with the conductor's token, which ends with the run's namespace.

    Only the conductor's pod can refer to it: manifests of users may not name our objects.
    """
    longest = run.spec.timeout + run.spec.timeouts.collecting + _TOKEN_MARGIN
    body: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": metadata(run, names.CONDUCTOR, names.COMPONENT_ENVIRONMENT),
    }
    return Manifest(
        body, Mode.CREATE, token_of=names.CONDUCTOR, token_s=int(longest.total_seconds())
    )
