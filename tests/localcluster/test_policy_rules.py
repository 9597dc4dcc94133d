"""What the rules let through: their lines are read here as nftables reads them."""

import ipaddress
import os
import re
import shutil
import subprocess
from typing import Any

import pytest

from localcluster.policies import Pod, Rules, changes, rules_for, selects, whole_table

MATCH = re.compile(
    r"(?:ip [sd]addr|meta l4proto|tcp dport|udp dport) (?:!= )?(?:\{[^}]*\}|\S+)|drop|return"
)
NAMESPACES = {"run": {"team": "a"}, "other": {"team": "b"}}
CLIENT = Pod("run", {"app": "client"}, "10.200.0.2")
SERVER = Pod("run", {"app": "server"}, "10.200.0.3", {("http", "TCP"): 8080})
STRANGER = Pod("other", {"app": "client"}, "10.200.0.4")
PODS = [CLIENT, SERVER, STRANGER]
NODE = "10.200.255.2"
OUTSIDE = "10.200.255.1"


def policy(namespace: str = "run", **spec: Any) -> dict[str, Any]:
    types = [name.capitalize() for name in ("ingress", "egress") if name in spec]
    spec = {"podSelector": {}, "policyTypes": types, **spec}
    return {"metadata": {"namespace": namespace}, "spec": spec}


def passes(policies, source, target, port=8080, protocol="tcp", *, to_node=False) -> bool:
    rules = rules_for(policies, PODS, NAMESPACES)
    packet = {"saddr": source, "daddr": target, "dport": port, "l4proto": protocol}
    judges = [rules.egress.get(source), None if to_node else rules.ingress.get(target)]
    return all(verdict(rules.chains[judge], packet) == "return" for judge in judges if judge)


def verdict(chain: tuple[str, ...], packet: dict[str, Any]) -> str:
    for line in chain:
        *matches, last = MATCH.findall(line)
        if all(holds(match, packet) for match in matches):
            return str(last)
    raise AssertionError("a chain must end in a verdict")


def holds(match: str, packet: dict[str, Any]) -> bool:
    words = match.replace("{", "").replace("}", "").replace(",", " ").split()
    negated, values = "!=" in words, [w for w in words[2:] if w != "!="]
    if words[0] == "ip":
        address = ipaddress.ip_address(packet[words[1]])
        return any(address in ipaddress.ip_network(v) for v in values) != negated
    if words[0] == "meta":
        return packet["l4proto"] in values
    low, _, high = values[0].partition("-")
    return words[0] == packet["l4proto"] and int(low) <= packet["dport"] <= int(high or low)


def test_without_policies_everything_passes():
    assert passes([], STRANGER.address, SERVER.address)


def test_default_deny_closes_both_directions():
    deny = [policy(ingress=[], egress=[])]
    assert not passes(deny, STRANGER.address, SERVER.address)
    assert not passes(deny, SERVER.address, STRANGER.address)
    assert not passes(deny, CLIENT.address, SERVER.address)


def test_a_namespace_without_policies_is_not_touched_by_others():
    assert passes([policy(ingress=[], egress=[])], OUTSIDE, STRANGER.address)


def test_the_api_server_needs_a_rule():
    assert not passes([policy(egress=[])], CLIENT.address, NODE, 6443, to_node=True)
    allowed = [policy(egress=[{"ports": [{"port": 6443, "protocol": "TCP"}]}])]
    assert passes(allowed, CLIENT.address, NODE, 6443, to_node=True)
    assert not passes(allowed, CLIENT.address, NODE, 10250, to_node=True)


def test_both_ends_must_allow_a_connection():
    out_only = policy(egress=[{"to": [{"podSelector": {}}]}], ingress=[])
    both = policy(egress=[{"to": [{"podSelector": {}}]}], ingress=[{"from": [{"podSelector": {}}]}])
    assert not passes([out_only], CLIENT.address, SERVER.address)
    assert passes([both], CLIENT.address, SERVER.address)
    assert not passes([both], CLIENT.address, STRANGER.address)


def test_policies_add_up():
    deny = policy(ingress=[], egress=[])
    allow = policy(
        podSelector={"matchLabels": {"app": "server"}},
        ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}],
    )
    assert not passes([deny, allow], CLIENT.address, SERVER.address)
    assert passes([policy(ingress=[]), allow], CLIENT.address, SERVER.address)
    assert not passes([policy(ingress=[]), allow], STRANGER.address, SERVER.address)


@pytest.mark.parametrize(
    ("peer", "passed"),
    [
        pytest.param({"namespaceSelector": {}}, True, id="every-namespace"),
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "b"}}}, True, id="its-label"),
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "c"}}}, False, id="another"),
        pytest.param({"podSelector": {}}, False, id="own-namespace-only"),
        pytest.param(
            {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "x"}}},
            False,
            id="both-selectors-must-match",
        ),
        pytest.param({"ipBlock": {"cidr": "10.200.0.0/24"}}, True, id="block"),
        pytest.param(
            {"ipBlock": {"cidr": "10.200.0.0/24", "except": ["10.200.0.4/32"]}},
            False,
            id="except-of-a-block",
        ),
        pytest.param({"ipBlock": {"cidr": "fd00::/8"}}, False, id="no-pod-has-ipv6"),
    ],
)
def test_who_may_come_in(peer, passed):
    assert passes([policy(ingress=[{"from": [peer]}])], STRANGER.address, SERVER.address) is passed


@pytest.mark.parametrize(
    ("port", "passed"),
    [
        ({"port": 8080}, True),
        ({"port": 8081}, False),
        ({"port": 8000, "endPort": 8100}, True),
        ({"port": 8080, "protocol": "UDP"}, False),
        ({"protocol": "TCP"}, True),
        ({"port": "http"}, True),
        ({"port": "https"}, False),
    ],
)
@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_which_ports_are_open(port, passed, side):
    peers = "from" if side == "ingress" else "to"
    spec = {side: [{peers: [{"namespaceSelector": {}}], "ports": [port]}]}
    assert passes([policy(**spec)], CLIENT.address, SERVER.address) is passed


@pytest.mark.parametrize(
    ("selector", "matched"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_label_selectors(selector, matched):
    assert selects(selector, {"a": "1"}) is matched


DENY = policy(ingress=[], egress=[])
WITHIN = policy(
    ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": "http"}]}],
    egress=[{"to": [{"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
)
ELSEWHERE = policy("other", ingress=[{"ports": [{"port": 1, "endPort": 9}]}])
STATES = [
    Rules(),
    rules_for([DENY], PODS, NAMESPACES),
    rules_for([DENY, WITHIN, ELSEWHERE], PODS, NAMESPACES),
    rules_for([WITHIN, ELSEWHERE], [CLIENT, STRANGER], NAMESPACES),
]


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_written_when_nothing_has_changed(state):
    assert changes(state, state) == ""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft"), reason="needs root and nftables")
@pytest.mark.parametrize("old", STATES)
@pytest.mark.parametrize("new", STATES)
def test_any_change_leads_to_the_same_table_as_making_it_anew(old, new):
    empty = whole_table("10.200.0.0/20", "10.200.254.1")
    stepwise = listed(empty + changes(Rules(), old), changes(old, new))
    assert stepwise == listed(empty + changes(Rules(), new))


def listed(*scripts: str) -> list[str]:
    """The table after some scripts, in a network namespace of its own."""
    quoted = "".join(f"nft -f - <<'END' || exit 1\n{script}END\n" for script in scripts)
    command = ["unshare", "--net", "sh", "-c", f"{quoted}nft -s list table inet seatrial_policies"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    blocks = re.split(r"\n\t(?=chain|set|map)", done.stdout.replace("}", ""))
    # Elements and chains have no order of their own.
    return sorted(" ".join(sorted(re.split(r"[\s,]+", block))) for block in blocks)
