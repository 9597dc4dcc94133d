"""NetworkPolicies: nothing in, nothing out, except what a run needs."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial.api import families, names
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.gateway import GatewayPlan
from seatrial.plan.objects.manifest import Json, Manifest, metadata

# A policy cannot select the API server: it is no pod, and its address differs from cluster to
# cluster. So the conductor, which holds no user code, may reach its usual ports anywhere.
_API_SERVER = {"ports": [{"protocol": "TCP", "port": port} for port in (443, 6443)]}
_DNS = {
    "to": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
        {"ipBlock": {"cidr": "169.254.0.0/16"}},  # NodeLocal DNSCache
    ],
    "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
}
_SAME_NAMESPACE: Json = {"podSelector": {}}
_CONDUCTOR: Json = {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_CONDUCTOR}}
_GATEWAY: Json = {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY}}
# Of all pods only those of tests have anything to say to the conductor: the system under test
# could keep its connections busy, even without a token.
_FROM_TESTS: Json = {
    "from": [{"podSelector": {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_TEST}}}],
    "ports": [{"protocol": "TCP", "port": names.CONDUCTOR_PORT}],
}
# Another process listens there, which hands what comes to the scenarios' own.
_TO_WEBHOOKS: Json = {
    "from": [_SAME_NAMESPACE],
    "ports": [{"protocol": "TCP", "port": names.WEBHOOKS_PORT}],
}
# Where agents listen in pods under test: on every port but theirs, and on that from the conductor.
_BESIDE_AGENTS: list[Json] = [
    {
        "from": [_SAME_NAMESPACE],
        "ports": [
            {"protocol": "TCP", "port": 1, "endPort": names.AGENT_PORT - 1},
            {"protocol": "TCP", "port": names.AGENT_PORT + 1, "endPort": 65535},
            {"protocol": "UDP", "port": 1, "endPort": 65535},
        ],
    },
    {"from": [{"podSelector": _CONDUCTOR}]},
]


def network_policies(run: Blueprint) -> Iterator[Manifest]:
    """Confine the run's pods to one another, DNS, and for the conductor the API server."""
    if run.is_plain:
        # The conductor is the only pod: one policy says it all, and saves two writes.
        yield _policy(run, "seatrial-default-deny", egress=[_API_SERVER])
        return
    yield _policy(run, "seatrial-default-deny")
    has_agents = any(fault.kind in families.POD for fault in run.spec.faults)
    yield _policy(
        run,
        "seatrial-allow-within",
        pods=_all_but(names.COMPONENT_CONDUCTOR, names.COMPONENT_GATEWAY),
        ingress=_BESIDE_AGENTS if has_agents else [{"from": [_SAME_NAMESPACE]}],
        egress=[{"to": [_SAME_NAMESPACE]}, _DNS],
    )
    yield _policy(
        run,
        "seatrial-allow-conductor",
        pods=_CONDUCTOR,
        ingress=[
            *([_FROM_TESTS] if run.has_test_pods else []),
            *([_TO_WEBHOOKS] if run.has_webhooks else []),
        ],
        egress=[{"to": [_SAME_NAMESPACE]}, _DNS, _API_SERVER],
    )
    if run.gateway is not None:
        yield _policy(
            run,
            "seatrial-allow-gateway",
            pods=_GATEWAY,
            ingress=list(_to_gateway(run.gateway)),
            egress=[{"to": [_SAME_NAMESPACE]}, _DNS],
        )


def _all_but(*components: str) -> Json:
    expression = {"key": names.LABEL_COMPONENT, "operator": "NotIn", "values": list(components)}
    return {"matchExpressions": [expression]}


def _to_gateway(gateway: GatewayPlan) -> Iterator[Json]:
    """Let everyone use the ports it carries, and the conductor alone its control."""
    listen = [each["listen"] for each in gateway.document["listeners"]]
    if listen:
        carried = {"protocol": "TCP", "port": min(listen), "endPort": max(listen)}
        yield {"from": [_SAME_NAMESPACE], "ports": [carried]}
    control = {"protocol": "TCP", "port": names.GATEWAY_PORT}
    yield {"from": [{"podSelector": _CONDUCTOR}], "ports": [control]}


def _policy(
    run: Blueprint,
    name: str,
    *,
    pods: Json | None = None,
    ingress: list[Json] | None = None,
    egress: list[Json] | None = None,
) -> Manifest:
    return Manifest(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(run, name, names.COMPONENT_ENVIRONMENT),
            "spec": {
                "podSelector": pods or {},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": ingress or [],
                "egress": egress or [],
            },
        }
    )
