"""ServiceAccounts of a run, and the conductor's rights."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.api import names
from seatrial.api.spec import RunSpec
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.naming import copy_name
from seatrial.plan.nesting import steps_of, steps_of_scenarios
from seatrial.plan.objects.manifest import Json, Manifest, metadata
from seatrial.plan.step_roles import step_roles


def accounts(run: Blueprint, pull_secrets: tuple[str, ...]) -> Iterator[Manifest]:
    """
    Make the accounts and the conductor's RoleBindings.

    No pod gets a token by mounting: the conductor's pod asks for its own by a projected volume,
    and nobody else needs one.
    """
    yield _account(run, names.CONDUCTOR, pull_secrets)
    if not run.is_plain:
        yield _account(run, names.WORKLOAD_ACCOUNT, pull_secrets)
    for role in conductor_roles(run.spec):
        yield _binding(run, role)


def conductor_roles(spec: RunSpec) -> list[str]:
    """
    Name the ClusterRoles of the chart that the conductor needs in its namespace.

    The first is enough for most runs; each of the others comes with a kind of fault, or of step.
    """
    kinds = {fault.kind for fault in spec.faults}
    further = [role for role, of in names.CONDUCTOR_ROLES.items() if kinds & set(of)]
    steps = [step for test in spec.tests for step, _ in steps_of(test, "")]
    steps += [step for step, _ in steps_of_scenarios(spec)]
    return [names.CONDUCTOR, *further, *step_roles(steps)]


def _binding(run: Blueprint, role: str) -> Manifest:
    group = "rbac.authorization.k8s.io"
    account = {"kind": "ServiceAccount", "name": names.CONDUCTOR, "namespace": run.environment}
    return Manifest(
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(run, role, names.COMPONENT_ENVIRONMENT),
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
            "subjects": [account],
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
