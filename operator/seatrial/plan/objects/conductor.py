"""The conductor's pod and Service."""

from __future__ import annotations

from seatrial.api import names
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects.containers import runner_security_context
from seatrial.plan.objects.manifest import Json, Manifest, Mode, metadata
from seatrial.plan.settings import PlanSettings

TOKEN_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 - a directory
_TOKEN_SECONDS = 3607  # the kubelet renews it; the odd 7 is what Kubernetes' own admission uses

# Small requests, so that twenty runs at once find room on two cores; what it uses beyond them it
# takes from what is free.
_RESOURCES = {
    "requests": {"cpu": "20m", "memory": "64Mi"},
    "limits": {"memory": "512Mi"},
}


def conductor_pod(run: Blueprint, settings: PlanSettings) -> Manifest:
    """
    Make the conductor: a bare pod, because a Job's controller would only add its delays.

    The kubelet restarts its container (OnFailure); the operator makes the pod again when it is
    gone.
    """
    container: Json = {
        "name": "conductor",
        "image": settings.runner_image,
        "imagePullPolicy": settings.runner_pull_policy,
        "args": ["conductor"],
        "env": [{"name": names.ENV_NAMESPACE, "value": run.environment}],
        "ports": [{"name": "http", "containerPort": names.CONDUCTOR_PORT}],
        "resources": _RESOURCES,
        "securityContext": runner_security_context(),
        "volumeMounts": [
            {"name": "token", "mountPath": TOKEN_DIRECTORY, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
        ],
    }
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
            "volumes": [_token(), {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
        },
    }
    return Manifest(body, Mode.CREATE)


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


def _token() -> Json:
    return {
        "name": "token",
        "projected": {
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": _TOKEN_SECONDS}},
                {
                    "configMap": {
                        "name": "kube-root-ca.crt",
                        "items": [{"key": "ca.crt", "path": "ca.crt"}],
                    }
                },
            ]
        },
    }
