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
        "services": [a_service(replicas=replicas, files={"/etc/orders/a": "1"})],
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
        ({"kill": {}, "pods": "50%"}, 3, False),  # rounded up, it is two of three
        ({"kill": {}, "pods": "50%"}, 1, True),
        ({"kill": {}, "pods": "60%"}, 1, True),
        ({"kill": {}, "pods": "all"}, 4, False),
        ({"kill": {}, "pods": "all"}, 1, True),  # one pod may always be hit
        ({"evict": {}, "pods": "all"}, 4, False),
        ({"scale": {"replicas": 2}, "for": "5s"}, 4, True),
        ({"scale": {"replicas": 1}, "for": "5s"}, 4, False),
        ({"scale": {"replicas": 8}, "for": "5s"}, 4, True),
        ({"restart": {}}, 4, True),
        ({"configuration": {"configMap": "orders", "remove": {}, "restart": True}, "for": "5s"},
         4, False),
        ({"configuration": {"configMap": "orders", "remove": {}, "restart": True}, "for": "5s"},
         1, True),
        ({"latency": {"delay": "1s"}, "for": "5s"}, 4, True),
    ],
)  # fmt: skip
def test_a_fault_hits_no_more_pods_than_the_cluster_allows(fault, replicas, allowed):
    fault = dict(fault)
    target = {"service": "orders", **({"pods": fault.pop("pods")} if "pods" in fault else {})}
    found = problems(a_fault(target=target, **fault), FaultCeiling(max_pods=50), replicas)

    assert [each for each in found if "faults.maxPods" not in each] == []
    assert (found == []) is allowed


PODS = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: orders}}
spec:
  replicas: {}
  selector: {{matchLabels: {{app: orders}}}}
  template:
    metadata: {{labels: {{app: orders}}}}
    spec: {{containers: [{{name: main, image: "registry.example/orders:1"}}]}}
"""


@pytest.mark.parametrize("asked", [{"outage": {}, "for": "5s"}, {"kill": {}, "pods": "all"}])
def test_what_a_configmaps_manifests_have_is_judged_when_they_are_read(asked):
    fault = dict(asked)
    target = {"service": "orders", **({"pods": fault.pop("pods")} if "pods" in fault else {})}
    service = {"name": "orders", "manifests": {"configMap": "orders"}}
    scenario = a_test(scenario=[{"expect": ["true"]}])
    run = a_run(services=[service], tests=[scenario], faults=[a_fault(target=target, **fault)])
    limits = Limits(faults=FaultCeiling(max_pods=50))

    def found(replicas):
        metadata = {"name": "orders", "labels": {"seatrial.dev/readable-by": "runs"}}
        data = {"a.yaml": PODS.format(replicas)}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        return {("ConfigMap", "orders"): body}

    def refused(found):
        problems = validate(parse_run(run).spec, found, limits)
        return [each for each in problems if "faults.maxPods" in str(each)]

    assert refused(None) == []
    assert refused(found(1)) == []
    assert len(refused(found(3))) == 1


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
        ({"spec": {"remoteCluster": "other"}}, "spec.remoteCluster"),
        # The tool reads it with its own rights, and hands it to the pod.
        ({"spec": {"tls": {"secretName": "tls", "secretNamespace": "kube-system"}}},
         "spec.tls.secretNamespace"),
        ({"spec": {"stressngStressors": "--cpu 1 --log-file /etc/cron.d/x"}},
         "spec.stressngStressors"),
        ({"spec": {"stressors": {"cpu": {"workers": 1, "options": ["--hdd 9"]}}}},
         "spec.stressors.cpu.options"),
        ({"spec": {"chaosServiceAccount": "seatrial-conductor"}}, "spec.chaosServiceAccount"),
        ({"spec": {"experiments": [{"spec": {"components": {"secrets": [
            {"name": "seatrial-conductor", "mountPath": "/x"}]}}}]}},
         "spec.experiments[0].spec.components.secrets[0].name"),
        ({"spec": {"experiments": [{"spec": {"components": {"env": [
            {"name": "T", "valueFrom": {"secretKeyRef": {"name": "seatrial-gateway"}}}]}}}]}},
         "spec.experiments[0].spec.components.env[0].valueFrom.secretKeyRef.name"),
        ({"spec": {"tls": {"secretName": "seatrial-conductor"}}}, "spec.tls.secretName"),
        ({"spec": "x"}, "spec"),
        ({"status": {}}, "status"),
    ],
)  # fmt: skip
def test_objects_of_other_tools_stay_in_the_run(fields, where):
    ceiling = FaultCeiling(delegated=frozenset({f"{CHAOS}/NetworkChaos"}))

    (problem,) = problems(a_resource(**fields), ceiling)

    assert problem.startswith(f"spec.faults[0].resource.manifest.{where}: ")


@pytest.mark.parametrize(
    "spec",
    [
        {"selector": {"labelSelectors": {"app.kubernetes.io/namespace": "a", "nodes": "b"}}},
        {"selector": {"labelSelectors": {"app": "seatrial-demo"}}},
        {"selector": {"annotationSelectors": {"example.com/namespace": "seatrial-demo"}}},
        {"request_headers": {"X-Vault-Namespace": "a", "address": "b"}},
        {"response_headers": {"X-Namespace": "seatrial-demo"}},
        {"replace": {"headers": {"X-Namespace": "a"}, "queries": {"options": "b"}}},
        {"patch": {"headers": [["X-Owner", "seatrial-demo"]]}},
    ],
)
def test_labels_and_headers_may_be_called_whatever_they_are(spec):
    assert problems(a_resource(spec=spec), FaultCeiling(delegated=None)) == []


# How many pods they hit --------------------------------------------------------------------------

OF_ORDERS = {"labelSelectors": {"seatrial.dev/service": "orders"}}
UNTOLD = "does not tell which share of one service's pods is hit; this cluster allows 50%. "


def delegated(manifest, replicas=4, service=None, found=None):
    fault = {"name": "other", "resource": {"manifest": manifest}, "for": "5s"}
    run = a_run(
        services=[service or a_service(replicas=replicas)],
        tests=[a_test(scenario=[{"expect": ["true"]}])],
        faults=[fault],
    )
    limits = Limits(faults=FaultCeiling(max_pods=50, delegated=None))
    return [str(each) for each in validate(parse_run(run).spec, found, limits)]


def chaos(**spec):
    return {"apiVersion": CHAOS, "kind": "NetworkChaos", "spec": {"action": "delay", **spec}}


@pytest.mark.parametrize(
    ("spec", "replicas", "where"),
    [
        ({"mode": "one"}, 4, ""),
        ({"mode": "one", "selector": OF_ORDERS}, 1, ""),
        ({"mode": "fixed", "value": "1"}, 4, ""),
        ({"mode": "all", "selector": OF_ORDERS}, 1, ""),  # one pod may always be hit
        ({"mode": "all", "selector": OF_ORDERS}, 2, "mode"),
        ({"mode": "fixed", "value": "2", "selector": OF_ORDERS}, 4, ""),
        ({"mode": "fixed", "value": 3, "selector": OF_ORDERS}, 4, "value"),
        ({"mode": "fixed-percent", "value": "50", "selector": OF_ORDERS}, 4, ""),
        ({"mode": "fixed-percent", "value": "51", "selector": OF_ORDERS}, 4, "value"),
        ({"mode": "fixed-percent", "value": "51", "selector": OF_ORDERS}, 1, ""),
        ({"mode": "random-max-percent", "value": "50", "selector": OF_ORDERS}, 4, ""),
        ({"mode": "random-max-percent", "value": "90", "selector": OF_ORDERS}, 4, "value"),
        # Where the other side is hit as well.
        ({"mode": "one", "target": {"mode": "all", "selector": OF_ORDERS}}, 4, ""),
        ({"mode": "one", "direction": "both", "target": {"mode": "all", "selector": OF_ORDERS}},
         4, "target.mode"),
        ({"mode": "one", "action": "partition", "target": {"mode": "all", "selector": OF_ORDERS}},
         4, "target.mode"),
        ({"mode": "one", "target": "Request"}, 4, ""),  # of HTTPChaos
    ],
)  # fmt: skip
def test_chaos_mesh_hits_no_more_pods_than_the_cluster_allows(spec, replicas, where):
    found = delegated(chaos(**spec), replicas)

    told = f"spec.faults[0].resource.manifest.spec.{where}: hits more than the 50% of pods that"
    told += " this cluster allows. The Helm value faults.maxPods decides."
    assert found == ([told] if where else [])


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"mode": "some", "selector": OF_ORDERS},
        {"mode": "all"},
        {"mode": "all", "selector": "orders"},
        {"mode": "all", "selector": {"labelSelectors": {"app": "orders"}}},
        {"mode": "fixed-percent", "value": "20"},  # of several services, that may be all of one
        {"mode": "fixed-percent", "value": "20%", "selector": OF_ORDERS},
        {"mode": "fixed", "value": "9" * 5_000, "selector": OF_ORDERS},
        {"mode": "fixed-percent", "value": "20",
         "selector": {"labelSelectors": {"seatrial.dev/service": "nobody"}}},
    ],
)  # fmt: skip
def test_what_chaos_mesh_hits_can_be_told(spec):
    assert delegated(chaos(**spec)) == [
        f"spec.faults[0].resource.manifest.spec.mode: {UNTOLD}Write mode one; or select the pods of"
        " one service by the label seatrial.dev/service, and write how many as mode and value; the"
        " Helm value faults.maxPods decides."
    ]


def test_pods_of_another_tool_are_judged_when_the_manifests_are_read():
    service = {"name": "orders", "manifests": {"configMap": "orders"}}
    metadata = {"name": "orders", "labels": {"seatrial.dev/readable-by": "runs"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    def refused(replicas):
        there = {**body, "data": {"a.yaml": PODS.format(replicas)}}
        found = {("ConfigMap", "orders"): there} if replicas else None
        problems = delegated(chaos(mode="all", selector=OF_ORDERS), service=service, found=found)
        return [each for each in problems if "faults.maxPods" in each]

    assert refused(0) == []
    assert refused(1) == []
    assert len(refused(3)) == 1


def an_engine(*env, **spec):
    experiment = {"name": "pod-delete", "spec": {"components": {"env": list(env)}}}
    appinfo = {"applabel": "seatrial.dev/service=orders", "appkind": "deployment"}
    spec = {"appinfo": appinfo, "experiments": [experiment], **spec}
    return {"apiVersion": "litmuschaos.io/v1alpha1", "kind": "ChaosEngine", "spec": spec}


def share(value):
    return {"name": "PODS_AFFECTED_PERC", "value": value}


@pytest.mark.parametrize(
    ("value", "replicas", "allowed"),
    [("0", 4, True), ("50", 4, True), ("51", 4, False), ("100", 4, False), ("100", 1, True)],
)
def test_litmus_hits_no_more_pods_than_the_cluster_allows(value, replicas, allowed):
    found = delegated(an_engine(share(value)), replicas)

    told = "spec.faults[0].resource.manifest.spec.experiments[0]: hits more than the 50% of pods"
    told += " that this cluster allows. The Helm value faults.maxPods decides."
    assert found == ([] if allowed else [told])


@pytest.mark.parametrize(
    "engine",
    [
        an_engine(),  # its definition has a default, which nobody sees
        an_engine(share("10-100")),
        an_engine({"name": "PODS_AFFECTED_PERC", "valueFrom": {}}),
        an_engine(share("10"), {"name": "TARGET_PODS", "value": "a,b,c"}),
        an_engine(share("10"), selectors={"workloads": []}),
        an_engine(share("10"), appinfo={"applabel": "app=orders"}),
        an_engine(share("10"), appinfo="orders"),
        an_engine(experiments=["pod-delete"]),
    ],
)
def test_what_litmus_hits_can_be_told(engine):
    assert delegated(engine) == [
        f"spec.faults[0].resource.manifest.spec.experiments[0]: {UNTOLD}Give its env"
        " PODS_AFFECTED_PERC a whole number (0 is one pod), leave TARGET_PODS out, and select the"
        " pods of one service by the label seatrial.dev/service in spec.appinfo.applabel; the Helm"
        " value faults.maxPods decides."
    ]


def test_without_a_ceiling_other_tools_hit_what_they_like():
    ceiling = FaultCeiling(delegated=None)

    assert problems(a_resource(), ceiling) == []
