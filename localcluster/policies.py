"""
NetworkPolicies as nftables rules: pure functions from what the API says to one table.

The ends of a connection are compared after kube-proxy has replaced a Service's address, as every
network plugin does. Names are always answered: CoreDNS is no pod here, so that no policy could
select it. Traffic from the node itself (probes, the API server) is never held up.

Source: Kubernetes API reference, "NetworkPolicy v1 networking.k8s.io".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TABLE = "seatrial_policies"


@dataclass(frozen=True)
class Pod:
    """
    A pod with an address.

    Attributes:
        namespace: Its namespace.
        labels: Its labels.
        address: Its IPv4 address.
        ports: Number by name and protocol, as in ``{("http", "TCP"): 8080}``.
    """

    namespace: str
    labels: Mapping[str, str]
    address: str
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """The words of one direction."""

    policy_type: str
    rules: str
    peers: str
    inner: str
    outer: str


INGRESS = Side("Ingress", "ingress", "from", inner="daddr", outer="saddr")
EGRESS = Side("Egress", "egress", "to", inner="saddr", outer="daddr")


@dataclass(frozen=True)
class Rules:
    """
    What is to be in force.

    Attributes:
        chains: Lines by name; a namespace has one chain for each direction it has policies for.
        egress: The chain that judges what leaves, by the pod's address.
        ingress: The chain that judges what arrives, by the pod's address.
        known: Addresses of pods whose rules are made.
    """

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    egress: Mapping[str, str] = field(default_factory=dict)
    ingress: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()


def rules_for(
    policies: Iterable[Mapping[str, Any]],
    pods: Iterable[Pod],
    namespaces: Mapping[str, Mapping[str, str]],
) -> Rules:
    """
    The rules that the policies ask for.

    Args:
        policies: NetworkPolicies as the API gives them.
        pods: Every pod that has an address.
        namespaces: Labels by namespace.
    """
    by_namespace: dict[str, list[Pod]] = {}
    for pod in sorted(pods, key=lambda pod: pod.address):
        by_namespace.setdefault(pod.namespace, []).append(pod)
    cluster = Cluster(by_namespace, namespaces)
    chains: dict[str, list[str]] = {}
    judges: dict[Side, dict[str, str]] = {INGRESS: {}, EGRESS: {}}
    for policy in policies:
        spec, namespace = policy["spec"], policy["metadata"]["namespace"]
        selector = spec.get("podSelector", {})
        chosen = [p for p in by_namespace.get(namespace, ()) if selects(selector, p.labels)]
        for side in (INGRESS, EGRESS) if chosen else ():
            if side.policy_type not in spec.get("policyTypes", ("Ingress",)):
                continue
            chain = f"{side.rules}_{namespace}"
            judges[side].update((pod.address, chain) for pod in chosen)
            lines = chains.setdefault(chain, [])
            for rule in spec.get(side.rules) or ():
                lines += _one_rule(side, rule, chosen, namespace, cluster)
    return Rules(
        # What a rule lets through returns: the other end's policies have their say then.
        chains={name: (*sorted(lines), "drop") for name, lines in chains.items()},
        egress=judges[EGRESS],
        ingress=judges[INGRESS],
        known=frozenset(pod.address for pods in by_namespace.values() for pod in pods),
    )


def whole_table(pod_range: str, dns: str) -> str:
    """
    Input of ``nft -f`` that makes the table anew, without any rule of a policy.

    A pod whose rules are not made yet is free for these milliseconds: were it held up, its first
    connection would wait a whole second for TCP to try again.

    Args:
        pod_range: Where pods get their addresses from.
        dns: The address of CoreDNS.
    """
    return f"""\
table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
set known {{ type ipv4_addr; }}
set itself {{ type ipv4_addr . ipv4_addr; }}
map egress {{ type ipv4_addr : verdict; }}
map ingress {{ type ipv4_addr : verdict; }}
chain common {{
ct state established,related accept
ip daddr {dns} meta l4proto {{ tcp, udp }} th dport 53 accept
ip saddr . ip daddr @itself accept
ip saddr {pod_range} ip saddr != @known accept
ip daddr {pod_range} ip daddr != @known accept
}}
chain forward {{ type filter hook forward priority filter; policy accept;
jump common
ip saddr vmap @egress
ip daddr vmap @ingress
}}
chain input {{ type filter hook input priority filter; policy accept;
jump common
ip saddr vmap @egress
}}
}}
"""


def changes(old: Rules, new: Rules) -> str:
    """Input of ``nft -f`` that leads from one to the other, at once; empty when they are equal."""
    lines = [
        f"add chain inet {TABLE} {chain}" for chain in sorted(new.chains.keys() - old.chains.keys())
    ]
    for name in ("egress", "ingress"):
        before, after = getattr(old, name).items(), getattr(new, name).items()
        lines += _elements("delete", name, [address for address, _ in before - after])
        added = [f"{address} : jump {chain}" for address, chain in after - before]
        lines += _elements("add", name, added)
    for name, form in (("known", "{0}"), ("itself", "{0} . {0}")):
        for verb, which in (("delete", old.known - new.known), ("add", new.known - old.known)):
            lines += _elements(verb, name, [form.format(address) for address in which])
    for chain, rules in new.chains.items():
        if rules != old.chains.get(chain):
            lines.append(f"flush chain inet {TABLE} {chain}")
            lines += [f"add rule inet {TABLE} {chain} {rule}" for rule in rules]
    for chain in sorted(old.chains.keys() - new.chains.keys()):
        lines += [f"flush chain inet {TABLE} {chain}", f"delete chain inet {TABLE} {chain}"]
    return "".join(f"{line}\n" for line in lines)


def _elements(verb: str, name: str, elements: list[str]) -> list[str]:
    return [f"{verb} element inet {TABLE} {name} {_set(elements)}"] if elements else []


@dataclass(frozen=True)
class Cluster:
    """The pods by namespace, and the namespaces' labels."""

    pods: Mapping[str, list[Pod]]
    namespaces: Mapping[str, Mapping[str, str]]

    def peers(self, peer: Mapping[str, Any], namespace: str) -> list[Pod]:
        """The pods that an entry of ``from`` or ``to`` means, in a policy of a namespace."""
        if "ipBlock" in peer:
            return []
        where = [namespace]
        if (selector := peer.get("namespaceSelector")) is not None:
            where = [n for n in self.pods if selects(selector, self.namespaces.get(n, {}))]
        wanted = peer.get("podSelector", {})
        return [pod for n in where for pod in self.pods.get(n, ()) if selects(wanted, pod.labels)]


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything, None nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions", ()))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", ())
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def _one_rule(
    side: Side, rule: Mapping[str, Any], chosen: list[Pod], namespace: str, cluster: Cluster
) -> list[str]:
    ours = _set(pod.address for pod in chosen)
    lines = []
    peers = rule.get(side.peers) or ()
    blocks = [peer["ipBlock"] for peer in peers if ":" not in _cidr(peer)]
    others = [pod for peer in peers for pod in cluster.peers(peer, namespace)]
    for port in rule.get("ports") or (None,):
        # A port's name is looked up in the pods that listen: ours, or our peers.
        listening = chosen if side is INGRESS else others
        if port and isinstance(port.get("port"), str):
            lines += _named_port(side, port, chosen, others, listening, anybody=not peers)
            continue
        match = _port(port)
        if not peers:
            lines.append(f"ip {side.inner} {ours} {match}return")
        if others:
            theirs = _set(pod.address for pod in others)
            lines.append(f"ip {side.inner} {ours} ip {side.outer} {theirs} {match}return")
        for block in blocks:
            outside = f"ip {side.outer} {block['cidr']} "
            outside += "".join(f"ip {side.outer} != {one} " for one in block.get("except", ()))
            lines.append(f"ip {side.inner} {ours} {outside}{match}return")
    return lines


def _named_port(
    side: Side,
    port: Mapping[str, Any],
    chosen: list[Pod],
    others: list[Pod],
    listening: list[Pod],
    *,
    anybody: bool,
) -> list[str]:
    protocol = port.get("protocol", "TCP")
    numbers: dict[int, list[str]] = {}
    for pod in listening:
        if number := pod.ports.get((port["port"], protocol)):
            numbers.setdefault(number, []).append(pod.address)
    lines = []
    callers = [] if anybody else (others if side is INGRESS else chosen)
    for number, addresses in numbers.items():
        line = f"ip daddr {_set(addresses)} {protocol.lower()} dport {number} return"
        if callers:
            line = f"ip saddr {_set(pod.address for pod in callers)} {line}"
        if callers or anybody:
            lines.append(line)
    return lines


def _cidr(peer: Mapping[str, Any]) -> str:
    # Without a block it reads like one of IPv6, which no pod here has.
    return str(peer.get("ipBlock", {}).get("cidr", "::/0"))


def _port(port: Mapping[str, Any] | None) -> str:
    if port is None:
        return ""
    protocol = port.get("protocol", "TCP").lower()
    if "port" not in port:
        return f"meta l4proto {protocol} "
    last = f"-{port['endPort']}" if "endPort" in port else ""
    return f"{protocol} dport {port['port']}{last} "


def _set(members: Iterable[str]) -> str:
    return "{ " + ", ".join(sorted(set(members))) + " }"
