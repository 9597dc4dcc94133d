"""NetworkPolicies: nothing in, nothing out, except what a run needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seatrial.api import families, names
from seatrial.plan.blueprint import Blueprint
from seatrial.plan.gateway import GatewayPlan
from seatrial.plan.objects.manifest import Json, Manifest, metadata
from seatrial.plan.settings import ClusterNetwork

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


def network_policies(run: Blueprint, network: ClusterNetwork) -> Iterator[Manifest]:
    """Confine the run's pods to one another, DNS, and for the conductor the API server."""
    api_server, dns = _api_server(network), _dns(network)
    if run.is_plain:
        # The conductor is the only pod: one policy says it all, and saves two writes.
        yield _policy(run, "seatrial-default-deny", egress=[api_server])
        return
    yield _policy(run, "seatrial-default-deny")
    has_agents = any(fault.kind in families.POD for fault in run.spec.faults)
    yield _policy(
        run,
        "seatrial-allow-within",
        pods=_all_but(names.COMPONENT_CONDUCTOR, names.COMPONENT_GATEWAY),
        ingress=_BESIDE_AGENTS if has_agents else [{"from": [_SAME_NAMESPACE]}],
        egress=[{"to": [_SAME_NAMESPACE]}, dns],
    )
    yield _policy(
        run,
        "seatrial-allow-conductor",
        pods=_CONDUCTOR,
        ingress=[
            *([_FROM_TESTS] if run.has_test_pods else []),
            *([_TO_WEBHOOKS] if run.has_webhooks else []),
        ],
        egress=[{"to": [_SAME_NAMESPACE]}, dns, api_server],
    )
    if run.gateway is not None:
        yield _policy(
            run,
            "seatrial-allow-gateway",
            pods=_GATEWAY,
            ingress=list(_to_gateway(run.gateway)),
            egress=[{"to": [_SAME_NAMESPACE]}, dns],
        )


def _api_server(network: ClusterNetwork) -> Json:
    """
    Let the conductor reach the API server.

    A policy cannot select it: it is no pod, and its address differs from cluster to cluster. So the
    conductor, which holds no user code, may reach its ports anywhere, if no addresses are given.
    """
    rule: Json = {"ports": [{"protocol": "TCP", "port": port} for port in network.api_server_ports]}
    if network.api_server_cidrs:
        rule["to"] = _addresses(network.api_server_cidrs)
    return rule


def _dns(network: ClusterNetwork) -> Json:
    return {
        "to": [
            *(
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
                for name in network.dns_namespaces
            ),
            *_addresses(network.dns_cidrs),
        ],
        "ports": [
            {"protocol": protocol, "port": port}
            for port in network.dns_ports
            for protocol in ("UDP", "TCP")
        ],
    }


def _addresses(cidrs: Iterable[str]) -> list[Json]:
    return [{"ipBlock": {"cidr": each}} for each in cidrs]


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
