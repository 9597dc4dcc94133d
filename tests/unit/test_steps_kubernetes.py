"""Steps of kind kubernetes: what is seen, waited for and changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from seatrial.api import names
from seatrial.api.names import EXEC_ROLE, READ_ROLE, WRITE_ROLE
from seatrial.api.spec import RunSpec
from seatrial.plan.objects.accounts import conductor_roles
from seatrial.plan.step_roles import step_roles
from seatrial_runner.scenario.cluster.rollout import unfinished

from tests.support.builders import a_service as a_declared_service
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
from tests.support.scenarios import FakeTime


@pytest.fixture
def played() -> Iterator[PlayedCluster]:
    with PlayedCluster() as played:
        yield played


# Seen --------------------------------------------------------------------------------------------


def test_an_object_is_seen(played: PlayedCluster) -> None:
    played.have(a_deployment(replicas=3))
    step = k8s(get="deployment/orders") | {
        "expect": ["object.spec.replicas == 3", "size(objects) == 1"],
        "capture": {"image": "object.spec.template.spec.containers[0].image"},
    }
    result = run(played, step, {"expect": ["image == 'shop:1'"]})
    assert (result.outcome, result.message) == ("passed", "")


def test_objects_are_chosen_by_service_and_label(played: PlayedCluster) -> None:
    for name, colour in (("b", "green"), ("a", "green"), ("c", "blue")):
        played.have(a_pod(name, labels=of_the_system("web", colour=colour)))
    played.have(a_pod("d", "other"))
    step = k8s(get="pods", service="web", labels={"colour": "{{ 'green' }}"}) | {
        "expect": ["objects.map(o, o.metadata.name) == ['a', 'b']", "objects[0].kind == 'Pod'"]
    }
    assert run(played, step).outcome == "passed"


def test_what_is_not_there_fails_and_says_so(played: PlayedCluster) -> None:
    result = run(played, k8s(get="deployment/{{ 'or' + 'ders' }}"))
    assert result.outcome == "failed"
    assert "there is no deployment 'orders'" in result.message


def test_an_expectation_that_fails_shows_the_object(played: PlayedCluster) -> None:
    played.have(a_deployment(replicas=2))
    step = k8s(get="deployment/orders") | {"expect": ["object.spec.replicas == 3"]}
    result = run(played, step)
    assert "object.spec.replicas is 2" in result.message
    assert '"image": "shop:1"' in result.details


def test_nothing_of_seatrials_own_is_seen(played: PlayedCluster) -> None:
    conductor = {names.LABEL_COMPONENT: names.COMPONENT_CONDUCTOR}
    played.have(a_pod("seatrial-conductor", labels=conductor))
    played.have(a_pod("orders-0"))
    result = run(played, k8s(get="pods") | {"expect": ["size(objects) == 1"]})
    assert result.outcome == "passed"
    result = run(played, k8s(get="pod/seatrial-conductor"))
    assert "there is no pod 'seatrial-conductor'" in result.message


# Waited for --------------------------------------------------------------------------------------


def test_a_rollout_is_waited_for(played: PlayedCluster) -> None:
    item = played.have(a_deployment(replicas=3, availableReplicas=1))
    played.after_get = [lambda: None, lambda: item["status"].update(availableReplicas=3)]
    time = FakeTime()
    assert run(played, k8s(wait="deployment/orders"), time=time).outcome == "passed"
    assert time.slept == [0.05, 0.1]


def test_a_wait_ends_with_what_was_missing(played: PlayedCluster) -> None:
    played.have(a_deployment(replicas=3, availableReplicas=1))
    result = run(played, k8s(wait="deployment/orders", within="5s"), time=FakeTime())
    assert "not within 5.0 s: deployment orders: 1 of 3 pods are ready" in result.message


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"condition": "Available"}, "not Available"),
        ({"until": "object.status.replicas == 4"}, "object.status.replicas == 4 is false"),
        ({"until": "object.status.nothing == 4"}, "no such key 'nothing'"),
        ({"gone": True}, "orders is still there"),
    ],
)
def test_what_is_waited_for_may_be_said(
    fields: dict[str, Any], says: str, played: PlayedCluster
) -> None:
    played.have(a_deployment(replicas=3))
    step = k8s(wait="deployment/orders", within="30s", **fields)
    result = run(played, step, time=FakeTime())
    assert result.outcome == "failed"
    assert says in result.message


def test_an_until_that_is_no_condition_is_not_tried_again(played: PlayedCluster) -> None:
    played.have(a_deployment())
    time = FakeTime()
    result = run(played, k8s(wait="deployment/orders", until="object.spec.replicas"), time=time)
    assert "is not true or false" in result.message
    assert time.slept == []


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"observedGeneration": 0}, "its controller has not seen the change yet"),
        ({"updatedReplicas": 1}, "1 of 2 pods are of the new template"),
        ({"replicas": 3}, "1 pods of the old template are still there"),
        ({"availableReplicas": 0}, "0 of 2 pods are ready"),
        ({}, ""),
    ],
)
def test_a_deployment_is_rolled_out_when_only_its_new_pods_are_there_and_available(
    status: dict[str, int], says: str
) -> None:
    item = a_deployment(replicas=2)
    item["status"].update(status)
    assert unfinished(item) == says


def test_a_stateful_set_is_rolled_out_when_all_pods_are_of_its_revision() -> None:
    status = {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2}
    item = {"kind": "StatefulSet", "metadata": {"generation": 1}, "spec": {"replicas": 2}}
    rolling = {**status, "updateRevision": "b", "currentRevision": "a", "updatedReplicas": 1}
    assert unfinished({**item, "status": rolling}) == "1 of 2 pods are of the new template"
    done = {**rolling, "currentRevision": "b", "updatedReplicas": 2}
    assert unfinished({**item, "status": done}) == ""
    assert unfinished({**item, "status": {**done, "readyReplicas": 1}}) == "1 of 2 pods are ready"


# Changed -----------------------------------------------------------------------------------------


def test_a_workload_is_scaled(played: PlayedCluster) -> None:
    played.have(a_deployment())
    result = run(played, k8s(scale="deploy/orders", replicas=3) | {"expect": ["object.spec.replicas == 3"]})  # fmt: skip # noqa: E501
    assert result.outcome == "passed"


def test_an_image_is_set(played: PlayedCluster) -> None:
    played.have(a_deployment())
    step = k8s(setImage="deployment/orders", image="shop:2", within="10s")
    assert run(played, step).outcome == "passed"
    [container] = played.object("Deployment", "orders")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "shop:2"
    assert container["env"] == [{"name": "A", "value": "1"}]


def test_an_image_of_a_container_that_is_not_there_is_not_set(played: PlayedCluster) -> None:
    played.have(a_deployment())
    step = k8s(setImage="deployment/orders", image="shop:2", container="web")
    assert "has no container 'web': it has main" in run(played, step).message
    assert written(played.asked) == []


def test_a_restart_changes_the_template(played: PlayedCluster) -> None:
    played.have(a_deployment())
    assert run(played, k8s(restart="deployment/orders")).outcome == "passed"
    template = played.object("Deployment", "orders")["spec"]["template"]
    assert template["metadata"]["annotations"] == {
        "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00.000Z"
    }


def test_a_change_that_meets_another_is_made_again(played: PlayedCluster) -> None:
    item = played.have(a_deployment())
    played.after_get = [lambda: item["metadata"].update(resourceVersion="7")]
    step = k8s(patch="deployment/orders", **{"with": {"spec": {"replicas": 2}}})
    assert run(played, step).outcome == "passed"
    assert played.object("Deployment", "orders")["metadata"]["resourceVersion"] == "8"


def test_traffic_is_moved_from_blue_to_green(played: PlayedCluster) -> None:
    played.have(a_service("web", **{names.LABEL_SERVICE: "blue"}))
    selector = {names.LABEL_SERVICE: "green"}
    step = k8s(patch="service/web", **{"with": {"spec": {"selector": selector}}})
    assert run(played, step).outcome == "passed"
    assert played.object("Service", "web")["spec"]["selector"] == selector


def test_an_object_is_made_and_belongs_to_the_run(played: PlayedCluster) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flags"}}
    step = k8s(apply={**body, "data": {"a": "{{ 1 + 1 }}"}}, service="orders")
    assert run(played, step).outcome == "passed"
    made = played.object("ConfigMap", "flags")
    assert made["data"] == {"a": 2} or made["data"] == {"a": "2"}
    assert made["metadata"]["labels"] == {**of_the_system(), names.LABEL_RUN_UID: "0a1b2c3d"}


def test_a_pod_that_is_made_has_no_token(played: PlayedCluster) -> None:
    pod = {"containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": True}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod}
    assert run(played, k8s(apply=body)).outcome == "passed"
    made = played.object("Pod", "p")
    assert made["spec"]["automountServiceAccountToken"] is False
    assert made["spec"]["serviceAccountName"] == "seatrial-workload"
    assert names.LABEL_SERVICE not in made["metadata"]["labels"]


def test_an_object_is_deleted_and_it_alone(played: PlayedCluster) -> None:
    played.have(a_pod("orders-0"))
    assert run(played, k8s(delete="pod/orders-0", within="5s")).outcome == "passed"
    [request] = [each for each in played.asked if each.method == "DELETE"]
    assert request.json()["preconditions"] == {"uid": "uid-orders-0"}
    assert run(played, k8s(delete="pod/orders-0")).outcome == "passed"


# Rights ------------------------------------------------------------------------------------------


def test_a_missing_right_is_told(played: PlayedCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seatrial_runner.scenario.cluster.requests._RIGHTS_PATIENCE_S", 0)
    played.forbidden.add("GET pods")
    result = run(played, k8s(get="pod/orders-0"))
    assert "403 pods is forbidden" in result.message


def test_an_api_server_that_is_away_is_waited_for(played: PlayedCluster) -> None:
    played.have(a_pod())
    answers = iter([True])
    respond = played.respond
    played.respond = lambda asked: (  # type: ignore[method-assign]
        respond(asked) if next(answers, False) is False else _unavailable()
    )
    assert run(played, k8s(get="pod/orders-0")).outcome == "passed"
    assert len(played.asked) == 2


def _unavailable() -> Any:
    from tests.support.loopback import Answer

    return Answer(503, json={"message": "starting"})


@pytest.mark.parametrize(
    ("step", "roles"),
    [
        ({"exec": {"service": "orders", "command": ["ls"]}}, [EXEC_ROLE]),
        (k8s(get="deployment/orders"), []),
        (k8s(scale="deployment/orders", replicas=2), []),
        (k8s(setImage="deployment/orders", image="x:2"), []),
        (k8s(get="services"), [READ_ROLE]),
        (k8s(patch="svc/orders", **{"with": {"spec": {}}}), [READ_ROLE, WRITE_ROLE]),
        (k8s(delete="pod/orders"), [READ_ROLE, WRITE_ROLE]),
        (
            k8s(apply={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}),
            [READ_ROLE, WRITE_ROLE],
        ),
        ({"logs": {"service": "orders"}}, []),
        ({"metrics": {"service": "orders", "name": "up"}}, []),
    ],
)
def test_a_conductor_has_the_rights_that_its_steps_need(
    step: dict[str, Any], roles: list[str]
) -> None:
    inner = {"parallel": [{"steps": [step]}]}
    for scenario in ([step], [inner]):
        test = {"name": "t", "scenario": scenario}
        spec = RunSpec.model_validate({"services": [a_declared_service()], "tests": [test]})
        assert conductor_roles(spec) == [names.CONDUCTOR, *roles]
    assert step_roles([]) == []
