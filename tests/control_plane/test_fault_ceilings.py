"""Faults that the cluster's values do not allow: refused before anything is made."""

import json

import pytest
from seatrial.api import names

from tests.support.builders import a_fault, a_run, a_service, a_test
from tests.support.chart import NAMESPACE
from tests.support.operator_process import OperatorProcess, write_kubeconfig

VARIABLES = {
    "SEATRIAL_FAULT_KINDS": "kill,evict,scale,refuse,resource",
    "SEATRIAL_FAULT_MAX_DURATION": "1m",
    "SEATRIAL_FAULT_MAX_PODS": "50%",
    "SEATRIAL_FAULT_DELEGATED": "chaos-mesh.org/v1alpha1/NetworkChaos",
}
PODS = "hits more than the 50% of pods that this cluster allows. The Helm value faults.maxPods"


def of(**target):
    return {"service": "orders", **target}


def network_chaos(kind="NetworkChaos", **spec):
    selector = {"labelSelectors": {"seatrial.dev/service": "orders"}}
    manifest = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind}
    manifest["spec"] = {"action": "delay", "mode": "all", "selector": selector, **spec}
    return {"name": "other", "resource": {"manifest": manifest}, "for": "5s"}


REFUSED = {
    "kind": (
        a_fault(latency={"delay": "1s"}, **{"for": "5s"}),
        "latency: is not allowed on this cluster. Allowed is: kill, evict, scale, refuse, resource;"
        " the Helm value faults.kinds decides.",
    ),
    "duration": (
        a_fault(refuse={}, **{"for": "61s"}),
        "for: is longer than the 1m that this cluster allows. Shorten it; the Helm value"
        " faults.maxDuration decides.",
    ),
    "pods": (a_fault(target=of(pods="all")), f"target.pods: {PODS} decides."),
    "scale": (a_fault(scale={"replicas": 1}, **{"for": "5s"}), f"scale.replicas: {PODS} decides."),
    # Its manifests are known only once the operator has read them.
    "manifests": (
        a_fault(target={"service": "stock", "pods": 3}),
        f"target.pods: {PODS} decides.",
    ),
    "resource": (network_chaos(), f"resource.manifest.spec.mode: {PODS} decides."),
    "untold": (
        network_chaos(selector={}),
        "resource.manifest.spec.mode: does not tell which share of one service's pods is hit; this"
        " cluster allows 50%. Write mode one; or select the pods of one service by the label"
        " seatrial.dev/service, and write how many as mode and value; the Helm value faults.maxPods"
        " decides.",
    ),
    "delegated": (
        network_chaos("PodChaos", mode="one"),
        "resource.manifest: chaos-mesh.org/v1alpha1 PodChaos is not allowed on this cluster."
        " Allowed is: chaos-mesh.org/v1alpha1/NetworkChaos; the Helm value faults.delegated"
        " decides.",
    ),
}
STOCK = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "stock"},
    "spec": {
        "replicas": 4,
        "selector": {"matchLabels": {"app": "stock"}},
        "template": {
            "metadata": {"labels": {"app": "stock"}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/stock:1"}]},
        },
    },
}


def a_run_with(name, *faults):
    services = [
        a_service(replicas=4),
        a_service("stock", manifests={"configMap": "stock"}),
    ]
    tests = [a_test(scenario=[{"expect": ["true"]}])]
    return a_run(name, namespace="ceilings", services=services, tests=tests, faults=list(faults))


@pytest.fixture(scope="module")
def strict(api, token, tmp_path_factory):
    """Run an operator that allows little; runs go into namespace ceilings."""
    api.namespace("ceilings")
    metadata = {"name": "stock", "labels": {names.LABEL_READABLE: names.LABEL_READABLE_VALUE}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    body["data"] = {"stock.json": json.dumps(STOCK)}
    api.send("POST", "/api/v1/namespaces/ceilings/configmaps", body)
    folder = tmp_path_factory.mktemp("strict")
    kubeconfig = write_kubeconfig(folder / "kubeconfig", api.url, token, api.ca)
    process = OperatorProcess(folder, kubeconfig, NAMESPACE, "strict", VARIABLES)
    process.start()
    yield process
    process.kill()
    print(process.log.read_text()[-8000:])


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("name", REFUSED)
def test_a_fault_that_the_cluster_does_not_allow_ends_the_run_without_a_namespace(api, name):
    fault, told = REFUSED[name]
    api.apply(a_run_with(name, fault))

    status = api.wait_for("ceilings", name, lambda status: status.get("phase") == "Finished")

    [ended] = [each for each in status["conditions"] if each["type"] == "Finished"]
    assert (status["verdict"], ended["reason"]) == ("Error", "InvalidSpec")
    assert status["message"] == f"spec.faults[0].{told}"
    assert "namespace" not in status
    assert api.items("/api/v1/namespaces", f"{names.LABEL_RUN_NAME}={name}") == []


@pytest.mark.usefixtures("strict")
def test_faults_within_the_ceilings_are_begun_with(api, conductors):
    """So it is the ceilings that the others are refused for."""
    conductors.hold.add("allowed")
    faults = [
        a_fault("half", target=of(pods="50%")),
        a_fault("down", scale={"replicas": 2}, **{"for": "1m"}),
        network_chaos(mode="fixed-percent", value="50"),
    ]
    api.apply(a_run_with("allowed", *faults))

    status = api.wait_for("ceilings", "allowed", lambda status: "namespace" in status)

    assert "verdict" not in status
    api.delete_run("ceilings", "allowed")
