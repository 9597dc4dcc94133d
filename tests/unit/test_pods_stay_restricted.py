"""Where faults inside pods are allowed, manifests are held to what restricted asks for."""

import pytest
import yaml
from seatrial.api.run import parse_run
from seatrial.api.spec import PodSecurity
from seatrial.plan.restricted import restricted_problems
from seatrial.plan.validation import Limits, validate

from tests.support.builders import a_run, a_test

GOOD = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def a_pod(own=None, pod=None, kind="Pod"):
    spec = {"containers": [{"name": "web", "securityContext": {**GOOD, **(own or {})}}]}
    spec["securityContext"] = POD if pod is None else pod
    body = spec if kind == "Pod" else {"template": {"spec": spec}}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "web"}, "spec": body}


@pytest.mark.parametrize("kind", ["Pod", "Deployment", "StatefulSet", "Job"])
def test_a_restricted_pod_has_no_problem(kind):
    assert list(restricted_problems([a_pod(kind=kind)], "f")) == []


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (a_pod({"allowPrivilegeEscalation": True}), "does not set allowPrivilegeEscalation: false"),
        (a_pod({"capabilities": {}}), "does not drop the capability ALL"),
        (a_pod({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}), "adds capabilities"),
        (a_pod({"runAsNonRoot": False}), "does not set runAsNonRoot: true"),
        (a_pod({"runAsUser": 0}), "runs as root"),
        (a_pod({"seccompProfile": {"type": "Unconfined"}}), "has no seccompProfile"),
        (a_pod(pod={"seccompProfile": POD["seccompProfile"]}), "does not set runAsNonRoot"),
        (a_pod(pod={"runAsNonRoot": True}), "has no seccompProfile"),
    ],
)
def test_what_restricted_refuses_is_found(document, problem):
    (found,) = restricted_problems([document], "spec.services[0].manifests")

    assert str(found).startswith("spec.services[0].manifests[Pod/web]: container web ")
    assert problem in str(found)


@pytest.mark.parametrize("shape", [None, 5, "x", [], {"containers": [5]}, {"securityContext": 1}])
def test_any_shape_is_looked_at(shape):
    list(restricted_problems([{"kind": "Pod", "metadata": shape, "spec": shape}], "f"))


@pytest.mark.parametrize(("level", "found"), [("restricted", 0), ("privileged", 1)])
def test_it_is_asked_where_the_namespace_does_not(level, found):
    inline = yaml.safe_dump(a_pod({"allowPrivilegeEscalation": True}))
    run = a_run(
        podSecurity=level,
        services=[{"name": "web", "manifests": {"inline": inline}}],
        tests=[a_test(scenario=[{"expect": ["true"]}])],
    )

    assert len(validate(parse_run(run).spec, None, Limits(frozenset(PodSecurity)))) == found
