"""What the cluster's Helm values allow faults to do, and what objects of other tools may be."""

from datetime import timedelta

import pytest
from seatrial.api.run import parse_run
from seatrial.plan.settings import FaultCeiling
from seatrial.plan.validation import Limits, validate

from tests.support.builders import a_fault, a_run, a_service, a_test

CHAOS = "chaos-mesh.org/v1alpha1"


def problems(fault, ceiling, replicas=4):
    spec = {
        "services": [a_service(replicas=replicas)],
        "tests": [a_test(scenario=[{"expect": ["true"]}])],
        "faults": [fault],
    }
    limits = Limits(faults=ceiling)
    return [str(each) for each in validate(parse_run(a_run(**spec)).spec, None, limits)]


def test_a_fault_is_no_longer_than_the_cluster_allows():
    fault = a_fault(refuse={}, **{"for": "2m"})

    assert problems(fault, FaultCeiling(max_duration=timedelta(minutes=2))) == []
    assert problems(fault, FaultCeiling(max_duration=timedelta(minutes=1))) == [
        "spec.faults[0].for: is longer than the 1m that this cluster allows. Shorten it; the Helm"
        " value faults.maxDuration decides."
    ]


@pytest.mark.parametrize(
    ("fault", "replicas", "allowed"),
    [
        ({"kill": {}}, 4, True),
        ({"kill": {}, "pods": 2}, 4, True),
        ({"kill": {}, "pods": 3}, 4, False),
        ({"kill": {}, "pods": "50%"}, 4, True),
        ({"kill": {}, "pods": "60%"}, 4, False),
        ({"kill": {}, "pods": "all"}, 4, False),
        ({"kill": {}, "pods": "all"}, 1, True),  # one pod may always be hit
        ({"evict": {}, "pods": "all"}, 4, False),
        ({"scale": {"replicas": 2}, "for": "5s"}, 4, True),
        ({"scale": {"replicas": 1}, "for": "5s"}, 4, False),
        ({"scale": {"replicas": 8}, "for": "5s"}, 4, True),
        ({"restart": {}}, 4, True),
        ({"latency": {"delay": "1s"}, "for": "5s"}, 4, True),
    ],
)
def test_a_fault_hits_no_more_pods_than_the_cluster_allows(fault, replicas, allowed):
    fault = dict(fault)
    target = {"service": "orders", **({"pods": fault.pop("pods")} if "pods" in fault else {})}
    found = problems(a_fault(target=target, **fault), FaultCeiling(max_pods=50), replicas)

    assert [each for each in found if "faults.maxPods" not in each] == []
    assert (found == []) is allowed


def a_resource(kind="NetworkChaos", **fields):
    manifest = {"apiVersion": CHAOS, "kind": kind, "spec": {"action": "delay"}, **fields}
    return {"name": "other", "resource": {"manifest": manifest}, "for": "5s"}


def test_objects_of_other_tools_are_those_that_the_cluster_allows():
    ceiling = FaultCeiling(delegated=frozenset({f"{CHAOS}/NetworkChaos"}))

    assert problems(a_resource(), ceiling) == []
    (problem,) = problems(a_resource("PodChaos"), ceiling)
    assert f"{CHAOS} PodChaos is not allowed on this cluster" in problem
    assert problems(a_resource("PodChaos"), FaultCeiling(delegated=None)) == []


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"metadata": {"namespace": "kube-system"}}, "metadata.namespace"),
        ({"metadata": {"finalizers": ["a/b"]}}, "metadata.finalizers"),
        ({"metadata": "x"}, "metadata"),
        ({"spec": {"selector": {"namespaces": ["kube-system"]}}}, "spec.selector.namespaces"),
        ({"spec": {"target": {"selector": {"namespaces": []}}}}, "spec.target.selector.namespaces"),
        ({"spec": {"selector": {"pods": {"kube-system": ["a"]}}}}, "spec.selector.pods"),
        ({"spec": {"appinfo": {"appns": "kube-system"}}}, "spec.appinfo.appns"),
        ({"spec": {"selector": {"nodes": ["n"]}}}, "spec.selector.nodes"),
        ({"spec": {"templates": [{"selector": {"namespaces": []}}]}},
         "spec.templates[0].selector.namespaces"),
        ({"spec": "x"}, "spec"),
        ({"status": {}}, "status"),
    ],
)  # fmt: skip
def test_objects_of_other_tools_stay_in_the_run(fields, where):
    ceiling = FaultCeiling(delegated=frozenset({f"{CHAOS}/NetworkChaos"}))

    (problem,) = problems(a_resource(**fields), ceiling)

    assert problem.startswith(f"spec.faults[0].resource.manifest.{where}: ")
