"""Who may speak to whom in a run's namespace, as its NetworkPolicies say."""

import dataclasses

import pytest
from seatrial.api import names
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.objects.policies import network_policies
from seatrial.plan.settings import ClusterNetwork

from localcluster.policies import selects
from tests.support.builders import a_fault, a_run, a_service, a_test
from tests.support.simulation import SETTINGS

PODS = {
    "conductor": {names.LABEL_COMPONENT: names.COMPONENT_CONDUCTOR},
    "service": {names.LABEL_COMPONENT: names.COMPONENT_SERVICE},
    "test": {names.LABEL_COMPONENT: names.COMPONENT_TEST},
    "gateway": {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY},
    "api-server": None,  # somewhere outside of the cluster's pods
}


PERMISSIVE = dataclasses.replace(SETTINGS, pod_security_levels=("restricted", "privileged"))


def policies(network=PERMISSIVE.network, **spec):
    run = parse_run(a_run(**spec))
    blueprint = draw(run.metadata, run.spec, {}, PERMISSIVE)
    return [each.body["spec"] for each in network_policies(blueprint, network)]


def allows(rules, side, peer, port):
    for rule in rules:
        ports = [
            range(each["port"], each.get("endPort", each["port"]) + 1)
            for each in rule.get("ports", [])
            if each["protocol"] == "TCP"
        ]
        peers = rule.get(side)
        if ports and not any(port in each for each in ports):
            continue
        if peers is None:
            return True
        if PODS[peer] is not None and any(
            "podSelector" in each and selects(each["podSelector"], PODS[peer]) for each in peers
        ):
            return True
    return False


def may(specs, source, target, port):
    """Tell whether a connection is allowed at both of its ends."""
    ends = [("egress", "to", source, target), ("ingress", "from", target, source)]
    return all(
        any(
            selects(spec["podSelector"], PODS[end]) and allows(spec[kind], side, peer, port)
            for spec in specs
        )
        for kind, side, end, peer in ends
        if PODS[end] is not None
    )


WHOLE = {
    "services": [a_service()],
    "tests": [a_test(), a_test("any", container={"image": "any:1"})],
}


@pytest.mark.parametrize(
    ("source", "target", "port", "allowed"),
    [
        ("test", "conductor", names.CONDUCTOR_PORT, True),
        ("test", "service", 8080, True),
        ("service", "service", 5432, True),
        ("service", "test", 9000, True),  # a webhook, say
        ("conductor", "service", 8080, True),
        ("conductor", "api-server", 6443, True),
        ("conductor", "api-server", 443, True),
        ("service", "conductor", names.CONDUCTOR_PORT, False),
        ("test", "conductor", 22, False),
        ("service", "api-server", 6443, False),
        ("test", "api-server", 443, False),
        ("conductor", "api-server", 22, False),
    ],
)
def test_who_may_connect_to_whom(source, target, port, allowed):
    assert may(policies(**WHOLE), source, target, port) is allowed


CARRIED = {**WHOLE, "faults": [a_fault(latency={"delay": "1s"}, **{"for": "5s"})]}
FIRST = names.GATEWAY_FIRST_LISTEN


@pytest.mark.parametrize(
    ("source", "target", "port", "allowed"),
    [
        ("service", "gateway", FIRST, True),
        ("test", "gateway", FIRST, True),
        ("conductor", "gateway", FIRST, True),
        ("gateway", "service", 8080, True),
        ("conductor", "gateway", names.GATEWAY_PORT, True),
        ("service", "gateway", names.GATEWAY_PORT, False),
        ("test", "gateway", names.GATEWAY_PORT, False),
        ("service", "gateway", names.ENVOY_ADMIN_PORT, False),
        ("service", "gateway", FIRST + 1, False),
        ("gateway", "conductor", names.CONDUCTOR_PORT, False),
        ("gateway", "api-server", 6443, False),
    ],
)
def test_the_gateway_takes_traffic_from_all_and_orders_from_the_conductor(
    source, target, port, allowed
):
    assert may(policies(**CARRIED), source, target, port) is allowed


FROZEN = {
    **WHOLE,
    "podSecurity": "privileged",
    "faults": [a_fault(freeze={}, **{"for": "5s"})],
}


@pytest.mark.parametrize(
    ("source", "port", "allowed"),
    [
        ("conductor", names.AGENT_PORT, True),
        ("service", names.AGENT_PORT, False),
        ("test", names.AGENT_PORT, False),
        ("service", names.AGENT_PORT - 1, True),
        ("test", names.AGENT_PORT + 1, True),
        ("service", 8080, True),
    ],
)
def test_an_agent_in_a_pod_takes_orders_from_the_conductor_alone(source, port, allowed):
    assert may(policies(**FROZEN), source, "service", port) is allowed


def test_without_test_pods_nobody_speaks_to_the_conductor():
    specs = policies(services=[a_service()], tests=[a_test()])

    assert not may(specs, "service", "conductor", names.CONDUCTOR_PORT)
    assert may(specs, "conductor", "service", 8080)


@pytest.mark.parametrize("pod", ["conductor", "service", "test", "gateway"])
def test_what_no_policy_allows_is_denied_in_both_directions(pod):
    chosen = [each for each in policies(**CARRIED) if selects(each["podSelector"], PODS[pod])]

    assert {"Ingress", "Egress"} == {kind for each in chosen for kind in each["policyTypes"]}


def ways_out(pod, network, spec=CARRIED):
    """Give the rules by which a pod leaves its run's namespace."""
    return [
        rule
        for each in policies(network, **spec)
        if selects(each["podSelector"], PODS[pod])
        for rule in each["egress"]
        if rule.get("to") != [{"podSelector": {}}]
    ]


def dns(ports, *peers):
    return {
        "to": list(peers),
        "ports": [{"protocol": each, "port": port} for port in ports for each in ("UDP", "TCP")],
    }


def api_server(*ports):
    return {"ports": [{"protocol": "TCP", "port": port} for port in ports]}


def in_namespace(name):
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}


LINK_LOCAL = {"ipBlock": {"cidr": "169.254.0.0/16"}}
PLAIN = {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]}
USUAL_DNS = dns([53], in_namespace("kube-system"), LINK_LOCAL)
USUAL_API_SERVER = api_server(443, 6443)


@pytest.mark.parametrize(
    ("network", "names_from", "server"),
    [
        pytest.param(ClusterNetwork(), USUAL_DNS, USUAL_API_SERVER, id="default"),
        pytest.param(
            ClusterNetwork(api_server_ports=(443, 16443)),
            USUAL_DNS,
            api_server(443, 16443),
            id="microk8s",
        ),
        pytest.param(
            ClusterNetwork(dns_namespaces=("openshift-dns",), dns_ports=(53, 5353), dns_cidrs=()),
            dns([53, 5353], in_namespace("openshift-dns")),
            USUAL_API_SERVER,
            id="openshift",
        ),
        pytest.param(
            ClusterNetwork(dns_cidrs=("169.254.0.0/16", "10.96.0.10/32")),
            dns(
                [53],
                in_namespace("kube-system"),
                LINK_LOCAL,
                {"ipBlock": {"cidr": "10.96.0.10/32"}},
            ),
            USUAL_API_SERVER,
            id="nodelocal-dnscache-at-the-service-s-address",
        ),
        pytest.param(
            ClusterNetwork(api_server_cidrs=("10.0.0.0/24", "fd00::/64")),
            USUAL_DNS,
            USUAL_API_SERVER
            | {"to": [{"ipBlock": {"cidr": "10.0.0.0/24"}}, {"ipBlock": {"cidr": "fd00::/64"}}]},
            id="an-api-server-at-known-addresses",
        ),
    ],
)
def test_names_and_the_api_server_are_where_the_administrator_says(network, names_from, server):
    for pod in ("service", "test", "gateway"):
        assert ways_out(pod, network) == [names_from]
    assert ways_out("conductor", network) == [names_from, server]
    assert ways_out("conductor", network, PLAIN) == [server]
