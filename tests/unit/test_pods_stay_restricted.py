"""Manifests are held to what restricted asks for, unless the run asks for baseline."""

import pytest
import yaml
from seatrial.api.run import parse_run
from seatrial.api.spec import PodSecurity
from seatrial.plan.restricted import contradictions, restricted_problems
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
    for own in ({}, {"seLinuxOptions": {"level": "s0:c26,c5", "type": "container_t"}}):
        assert list(restricted_problems([a_pod(own, kind=kind)], "f")) == []


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
        (a_pod({"seLinuxOptions": {"type": "spc_t"}}), "a type of its own in seLinuxOptions"),
        (a_pod({"seLinuxOptions": {"user": "u"}}), "a type of its own in seLinuxOptions"),
        (a_pod(pod={**POD, "seLinuxOptions": {"type": "spc_t"}}), "in seLinuxOptions"),
    ],
)
def test_what_restricted_refuses_is_found(document, problem):
    (found,) = restricted_problems([document], "spec.services[0].manifests")

    assert str(found).startswith("spec.services[0].manifests[Pod/web]: container web ")
    assert problem in str(found)


@pytest.mark.parametrize("shape", [None, 5, "x", [], {"containers": [5]}, {"securityContext": 1}])
def test_any_shape_is_looked_at(shape):
    for look in (restricted_problems, contradictions):
        list(look([{"kind": "Pod", "metadata": shape, "spec": shape}], "f"))


@pytest.mark.parametrize(
    ("own", "pod", "problem"),
    [
        ({"allowPrivilegeEscalation": True}, POD, "sets allowPrivilegeEscalation: true"),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}, POD, "adds capabilities"),
        ({"runAsNonRoot": False}, POD, "sets runAsNonRoot: false"),
        ({}, {**POD, "runAsNonRoot": False}, "sets runAsNonRoot: false"),
        ({"runAsUser": 0}, POD, "runs as root (runAsUser: 0)"),
        ({}, {**POD, "runAsUser": 0}, "runs as root (runAsUser: 0)"),
    ],
)
def test_what_is_set_against_restricted_is_refused_with_the_remedy(own, pod, problem):
    (found,) = found_in(a_pod(own, pod), "restricted")

    assert str(found).startswith(
        f"spec.services[0].manifests[Pod/web]: container web {problem}. Take it out, or set"
        " spec.podSecurity: baseline"
    )
    assert found_in(a_pod(own, pod), "baseline") == []


@pytest.mark.parametrize(
    ("level", "found"), [("restricted", 0), ("baseline", 0), ("privileged", 3)]
)
def test_what_is_left_out_is_asked_for_where_the_namespace_does_not(level, found):
    """An admission webhook of the cluster may still set it, before Pod Security looks."""
    left_out = a_pod(pod={})
    left_out["spec"]["containers"][0]["securityContext"] = {"capabilities": {"drop": ["ALL"]}}

    assert len(found_in(left_out, level)) == found


def found_in(document, level):
    run = a_run(
        podSecurity=level,
        services=[{"name": "web", "manifests": {"inline": yaml.safe_dump(document)}}],
        tests=[a_test(scenario=[{"expect": ["true"]}])],
    )
    return validate(parse_run(run).spec, None, Limits(frozenset(PodSecurity)))
