"""ServiceAccounts of a run, and the conductor's rights."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.api import names
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.objects.copies import copy_name
from seatrial.plan.objects.manifest import Json, Manifest, metadata


def accounts(run: Blueprint, pull_secrets: tuple[str, ...]) -> Iterator[Manifest]:
    """
    Make the accounts and the conductor's RoleBinding.

    No pod gets a token by mounting: the conductor's pod asks for its own by a projected volume,
    and nobody else needs one.
    """
    yield _account(run, names.CONDUCTOR, pull_secrets)
    if not run.is_plain:
        yield _account(run, names.WORKLOAD_ACCOUNT, pull_secrets)
    yield Manifest(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(run, names.CONDUCTOR, names.COMPONENT_ENVIRONMENT),
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": names.CONDUCTOR,
            },
            "subjects": [
                {
                    "kind": "ServiceAccount",
                    "name": names.CONDUCTOR,
                    "namespace": run.environment,
                }
            ],
        }
    )


def _account(run: Blueprint, name: str, pull_secrets: tuple[str, ...]) -> Manifest:
    body: Json = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(run, name, names.COMPONENT_ENVIRONMENT),
        "automountServiceAccountToken": False,
    }
    if pull_secrets:
        body["imagePullSecrets"] = [{"name": copy_name(secret)} for secret in pull_secrets]
    return Manifest(body)
