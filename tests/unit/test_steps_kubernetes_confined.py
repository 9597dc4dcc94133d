"""What a step of kind kubernetes never sees, and never changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from seatrial.api import names
from seatrial.api.undoing import cut_key, mark_key, note_key

from tests.support.played_cluster import (
    PlayedCluster,
    a_deployment,
    a_pod,
    a_service,
    k8s,
    of_the_system,
    run,
    written,
)


@pytest.fixture
def played() -> Iterator[PlayedCluster]:
    with PlayedCluster() as played:
        yield played


@pytest.mark.parametrize(
    "step",
    [
        k8s(scale="deployment/seatrial-gateway", replicas=0),
        k8s(delete="pod/seatrial-conductor"),
        k8s(delete="configmap/seatrial-journal"),
        k8s(patch="configmap/seatrial-run", **{"with": {"data": {"run.json": "{}"}}}),
        k8s(apply={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "copied"}}),
    ],
    ids=lambda step: (
        next(iter(step["kubernetes"].values()))["kind"]
        if isinstance(next(iter(step["kubernetes"].values())), dict)
        else next(iter(step["kubernetes"].values()))
    ),
)
def test_what_is_seatrials_own_is_not_changed(step: dict[str, Any], played: PlayedCluster) -> None:
    own = {names.LABEL_COMPONENT: names.COMPONENT_ENVIRONMENT}
    deployment = a_deployment("seatrial-gateway")
    deployment["metadata"]["labels"] = own
    played.have(deployment)
    played.have(a_pod("seatrial-conductor", labels=own))
    for name in ("seatrial-journal", "seatrial-run", "copied"):
        played.have({"kind": "ConfigMap", "metadata": {"name": name, "labels": own}, "data": {}})
    result = run(played, step)
    assert result.outcome == "failed"
    assert "is not of the system under test" in result.message
    assert written(played.asked) == []


def from_secret(name: str) -> dict[str, Any]:
    variable = {"name": "T", "valueFrom": {"secretKeyRef": {"name": name, "key": "token"}}}
    return {"containers": [{"name": "main", "env": [variable]}]}


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ({"spec": from_secret("seatrial-conductor")}, "is seatrial-conductor"),
        ({"spec": {"serviceAccountName": "seatrial-conductor"}}, "serviceAccountName"),
        ({"spec": {"hostNetwork": True}}, "hostNetwork"),
        ({"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}, "hostPath"),
        ({"metadata": {"labels": {names.LABEL_COMPONENT: "conductor"}}}, "Seatrial's own"),
        ({"metadata": {"annotations": {mark_key("f"): "x"}}}, "Seatrial's own"),
        ({"spec": {"serviceAccountName": "default"}}, "serviceAccountName may not be changed"),
        ({"spec": {"serviceAccountName": None}}, "serviceAccountName may not be changed"),
        ({"spec": {"serviceAccount": "default"}}, "serviceAccount may not be changed"),
        (
            {"spec": {"automountServiceAccountToken": True}},
            "automountServiceAccountToken may not be changed",
        ),
        (
            {"spec": {"automountServiceAccountToken": None}},
            "automountServiceAccountToken may not be changed",
        ),
    ],
    ids=[
        *("token", "account", "network", "host-path", "label", "mark"),
        *("default-account", "no-account", "old-name", "mounted", "mounted-by-default"),
    ],
)
def test_a_patch_goes_no_further_than_a_manifest(
    template: dict[str, Any], says: str, played: PlayedCluster
) -> None:
    played.have(a_deployment())
    patch = {"spec": {"template": template}}
    result = run(played, k8s(patch="deployment/orders", **{"with": patch}))
    assert result.outcome == "failed"
    assert says in result.message
    assert written(played.asked) == []


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"finalizers": ["example.com/never"]}, "metadata.finalizers may not be changed"),
        (
            {"ownerReferences": [{"name": "x", "uid": "y"}]},
            "metadata.ownerReferences may not be changed",
        ),
        ({"labels": {names.LABEL_COMPONENT: None}}, "Seatrial's own"),
        ({"annotations": {"seatrial.dev/x": "y"}}, "Seatrial's own"),
        ({"annotations": {mark_key("f"): "20261120T120000Z"}}, "Seatrial's own"),
        ({"annotations": {mark_key("on"): None}}, "Seatrial's own"),
        ({"annotations": {note_key("f"): "x 2026-11-20T12:00:00Z"}}, "Seatrial's own"),
        ({"labels": {"undone.seatrial.dev/f": "x"}}, "Seatrial's own"),
    ],
    ids=["finalizers", "owners", "label", "annotation", "mark", "unmark", "note", "note-label"],
)
def test_a_patch_does_not_touch_what_a_run_is_cleaned_up_by(
    metadata: dict[str, Any], says: str, played: PlayedCluster
) -> None:
    item = a_deployment()
    item["metadata"]["annotations"] = {mark_key("on"): "20261120T115900Z"}
    played.have(item)
    result = run(played, k8s(patch="deployment/orders", **{"with": {"metadata": metadata}}))
    assert says in result.message
    assert written(played.asked) == []


def test_a_fault_that_begins_during_a_patch_is_no_reason_to_refuse_it(
    played: PlayedCluster,
) -> None:
    played.have(a_deployment())

    def begin() -> None:
        metadata = played.object("Deployment", "orders")["metadata"]
        metadata |= {"annotations": {mark_key("f"): "x"}, "resourceVersion": "2"}

    played.after_get.append(begin)
    patch = {"metadata": {"labels": {"colour": "green"}}}
    result = run(played, k8s(patch="deployment/orders", **{"with": patch}))
    assert (result.outcome, result.message) == ("passed", "")
    assert played.object("Deployment", "orders")["metadata"]["annotations"] == {mark_key("f"): "x"}


def test_what_the_operator_put_there_is_no_reason_to_refuse_a_patch(played: PlayedCluster) -> None:
    item = a_deployment()
    [container] = item["spec"]["template"]["spec"]["containers"]
    source = {"secretKeyRef": {"name": "seatrial-copy.db", "key": "url"}}
    container["env"] = [{"name": "DB", "valueFrom": source}]
    played.have(item)
    more = {"name": "main", "env": [{"name": "B", "value": "2"}]}
    patch = {"spec": {"template": {"spec": {"containers": [more]}}}}
    assert run(played, k8s(patch="deployment/orders", **{"with": patch})).outcome == "passed"


@pytest.mark.parametrize(
    ("selector", "says"),
    [
        ({names.LABEL_SERVICE: None, "app": "x"}, "a selector must hold"),
        ({names.LABEL_SERVICE: None, names.LABEL_COMPONENT: "conductor"}, "a selector must hold"),
    ],
)
def test_a_service_never_leads_to_the_conductor(
    selector: dict[str, Any], says: str, played: PlayedCluster
) -> None:
    played.have(a_service("web"))
    result = run(played, k8s(patch="service/web", **{"with": {"spec": {"selector": selector}}}))
    assert says in result.message
    assert written(played.asked) == []


@pytest.mark.parametrize("where", ["pod/orders-0", "pods"])
def test_the_token_of_an_agent_is_not_shown(where: str, played: PlayedCluster) -> None:
    """With it, and from the conductor's pod, a step could order what the cluster does not allow."""
    pod = a_pod()
    token = {"name": names.ENV_CONTROL_TOKEN, "value": "t0ken"}
    pod["spec"]["ephemeralContainers"] = [{"name": "seatrial-agent-1", "env": [token]}]
    played.have(pod)
    seen = "object" if "/" in where else "objects[0]"
    step = k8s(get=where) | {"expect": [f"!has({seen}.spec.ephemeralContainers)", "1 == 2"]}
    result = run(played, step)
    assert "1 == 2" in result.message
    assert "t0ken" not in f"{result.message}{result.details}"


@pytest.mark.parametrize("cut_off", [True, False])
def test_the_label_by_which_a_fault_cuts_a_service_off_is_no_steps_to_change(
    played: PlayedCluster, cut_off: bool
) -> None:
    label = cut_key("away")
    service = a_service("web")
    service["spec"]["selector"] |= {label: "a-mark"} if cut_off else {}
    played.have(service)
    change = {label: None if cut_off else "a-mark"}
    result = run(played, k8s(patch="service/web", **{"with": {"spec": {"selector": change}}}))
    assert f"label {label} of the selector of service web is that of a fault" in result.message
    assert "declare a fault noEndpoints" in result.message
    assert written(played.asked) == []


def test_a_service_that_is_cut_off_may_be_changed_otherwise(played: PlayedCluster) -> None:
    service = a_service("web")
    service["spec"]["selector"] |= {cut_key("away"): "a-mark"}
    played.have(service)
    change = {names.LABEL_SERVICE: "green"}
    result = run(played, k8s(patch="service/web", **{"with": {"spec": {"selector": change}}}))
    assert result.outcome == "passed", result.message
    assert played.object("Service", "web")["spec"]["selector"][cut_key("away")] == "a-mark"


def test_a_service_that_the_gateway_carries_keeps_its_selector(played: PlayedCluster) -> None:
    played.have(a_service("web", **{names.LABEL_COMPONENT: names.COMPONENT_GATEWAY}))
    selector = {names.LABEL_SERVICE: "green"}
    result = run(played, k8s(patch="service/web", **{"with": {"spec": {"selector": selector}}}))
    assert "the gateway carries service web" in result.message


@pytest.mark.parametrize("name", ["../../kube-system/pods/x", "a/../../x", "a/log", ".."])
def test_a_name_from_a_template_leads_nowhere_else(name: str, played: PlayedCluster) -> None:
    steps = [{"set": {"name": f"'{name}'"}}, k8s(get="pod/{{ name }}")]
    result = run(played, *steps)
    assert result.outcome == "failed"
    assert "is no name of an object" in result.message
    assert played.asked == []


def test_a_kind_from_a_template_cannot_be_a_secret(played: PlayedCluster) -> None:
    played.have({"kind": "Secret", "metadata": {"name": "db", "labels": of_the_system()}})
    result = run(played, k8s(get="secret/db"))
    assert "cannot see Secrets" in result.message
    assert played.asked == []


def test_an_applied_object_is_confined_after_it_was_filled_in(played: PlayedCluster) -> None:
    spec = {"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "{{ n }}"}}]}]}  # fmt: skip # noqa: E501
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    result = run(played, {"set": {"n": "'seatrial-conductor'"}}, k8s(apply=body))
    assert "is seatrial-conductor" in result.message
    assert written(played.asked) == []
