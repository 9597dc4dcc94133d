"""The operator keeps the deadlines of faults made through the API, when the conductor is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, cast

import pytest
from seatrial.api.errors import ConflictError, ForbiddenError
from seatrial.api.journal import ChangedDoc, FaultState
from seatrial.api.undoing import RESTORED, kept_key, mark_key, note_key
from seatrial.cluster.client import Client
from seatrial.cluster.errors import InvalidObjectError
from seatrial.cluster.kinds import CONFIGMAP, NAMESPACE, POD, SECRET, kind_of
from seatrial.cluster.undoing import undo
from seatrial.plan.result import Undo

from tests.support.builders import (
    a_fault,
    a_service,
    a_test,
    an_open_fault,
    at,
)
from tests.support.fake_cluster import FakeCluster, Key, OperatorKilledError
from tests.support.simulation import FakeConductor, Simulation

START = datetime(2026, 11, 20, 12, tzinfo=UTC)  # at(0)
AWAY = a_fault("away", scale={"replicas": 0}, **{"for": "30s"})
SPEC: dict[str, Any] = {
    "faults": [AWAY],
    "tests": [a_test()],
    "keepEnvironment": {"onSuccess": "1h", "onFailure": "1h"},
}
ENVIRONMENT = "itr-checkout-00000001"
ORDERS = ("Deployment", ENVIRONMENT, "orders")


# A whole run -------------------------------------------------------------------------------------


Begin = Callable[[Simulation, dict[str, Any]], FaultState]


def frozen(
    spec: dict[str, Any] | None = None, *, begin: Begin | None = None, **conductor: Any
) -> Simulation:
    """A run whose conductor has begun its fault, and does nothing any more."""
    simulation = Simulation(**(spec or SPEC))
    for each in simulation.conductors.values():
        each.freezes = True
        if begin is not None:
            each.begin = partial(begin, simulation)  # type: ignore[method-assign]
        for name, value in conductor.items():
            setattr(each, name, value)
    for _ in range(100):
        simulation.deliver()
        simulation.queue.ring()
        if simulation.queue.due:
            simulation.look()
        elif the_conductor(simulation).silent:
            return simulation
        else:
            simulation.conduct()
    raise AssertionError("the fault never began")


def the_conductor(simulation: Simulation) -> FakeConductor:
    return simulation.conductors[ENVIRONMENT]


def orders(simulation: Simulation) -> dict[str, Any]:
    return simulation.cluster.objects[ORDERS]


def wait(simulation: Simulation, seconds: float) -> None:
    simulation.cluster.pass_time(timedelta(seconds=seconds))
    for _ in range(40):
        simulation.deliver()
        simulation.queue.ring()
        if not simulation.queue.due:
            return
        simulation.look()


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=7), timedelta(minutes=-7)])
def test_a_fault_of_a_silent_conductor_is_over_in_time(ahead):
    simulation = frozen(ahead=ahead)
    assert orders(simulation)["spec"]["replicas"] == 0
    wait(simulation, 30.0)
    assert orders(simulation)["spec"]["replicas"] == 0  # still the conductor's to undo
    wait(simulation, 0.5)
    assert orders(simulation)["spec"]["replicas"] == 1
    wait(simulation, 1.0)
    [fault] = simulation.status()["faults"]
    assert (fault["state"], fault["revertedBy"]) == ("Reverted", "operator")


def test_a_conductor_that_is_there_undoes_it_itself():
    simulation = frozen()
    the_conductor(simulation).silent = the_conductor(simulation).freezes = False
    simulation.settle()
    assert not [each for each in simulation.cluster.writes if each == "patch Deployment orders"]
    assert simulation.status()["faults"][0]["revertedBy"] == "deadline"


def test_what_has_begun_anew_is_not_hit():
    simulation = frozen()
    simulation.cluster.patch(ORDERS, {"metadata": {"annotations": {mark_key("away"): "next"}}})
    wait(simulation, 31.0)
    assert orders(simulation)["spec"]["replicas"] == 0
    assert simulation.status()["faults"][0].get("revertedBy") is None


def crash_points() -> int:
    simulation = frozen()
    before = len(simulation.cluster.writes)
    wait(simulation, 31.0)
    wait(simulation, 1.0)
    return len(simulation.cluster.writes) - before


@pytest.mark.parametrize("point", range(1, crash_points() + 1))
def test_it_is_told_even_if_the_operator_is_killed_after_any_write(point):
    simulation = frozen()
    end = len(simulation.cluster.writes) + point

    def die(what: str) -> None:
        if len(simulation.cluster.writes) == end:
            raise OperatorKilledError(what)

    simulation.cluster.after_write = die
    wait(simulation, 31.0)
    wait(simulation, 1.0)
    assert orders(simulation)["spec"]["replicas"] == 1
    [fault] = simulation.status()["faults"]
    assert (fault["state"], fault["revertedBy"]) == ("Reverted", "operator")


def test_another_operator_does_not_do_it_again():
    simulation = frozen()
    wait(simulation, 31.0)
    wait(simulation, 1.0)
    simulation.start_operator()
    written = len(simulation.cluster.writes)
    wait(simulation, 1.0)
    assert "patch Deployment orders" not in simulation.cluster.writes[written:]
    assert simulation.status()["faults"][0]["revertedBy"] == "operator"


def test_what_is_kept_is_as_it_was_meant_to_be():
    """The conductor is lost for good, and the run over, long before the fault's deadline."""
    simulation = frozen()
    pod = ("Pod", ENVIRONMENT, "seatrial-conductor")
    simulation.cluster.put_status(pod, {"phase": "Succeeded"})
    wait(simulation, 1.0)
    assert simulation.status()["verdict"] == "Error"
    assert simulation.status()["phase"] == "Cleaning"
    wait(simulation, 1.0)
    assert orders(simulation)["spec"]["replicas"] == 1
    assert simulation.status()["faults"][0]["revertedBy"] == "operator"


def test_what_cannot_be_undone_keeps_nothing_else_from_being_done():
    def refuse(what: str) -> None:
        if what.startswith("patch Deployment"):
            raise ForbiddenError("the operator may not", status=403)

    simulation = frozen({**SPEC, "timeout": "2m", "keepEnvironment": {}})
    simulation.cluster.before_write = refuse
    simulation.settle()
    assert simulation.errors
    assert simulation.status()["phase"] == "Finished"


# A ConfigMap -------------------------------------------------------------------------------------

SETTINGS = ("ConfigMap", ENVIRONMENT, "look")
KEPT = ("ConfigMap", ENVIRONMENT, "seatrial-undo-away")


def a_namespace_with(present: dict[str, str] | None) -> FakeCluster:
    """A namespace in which a fault has changed ConfigMap look."""
    cluster = FakeCluster()
    environment = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ENVIRONMENT}}
    asyncio.run(cluster.create(NAMESPACE, environment))
    kept = {"colour": "green", "size": "1"}
    asyncio.run(cluster.create(CONFIGMAP, a_configmap(KEPT, kept, {mark_key("away"): "1"})))
    if present is not None:
        asyncio.run(cluster.create(CONFIGMAP, a_configmap(SETTINGS, present, {})))
    return cluster


def a_configmap(key: Key, data: dict[str, str], annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": key[2], "namespace": ENVIRONMENT, "annotations": {"a": "b", **annotations}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def restore(cluster: FakeCluster, *keys: str) -> str:
    doc: ChangedDoc = {"kind": "ConfigMap", "name": "look", "uid": "", "kept": KEPT[2]}
    if keys:
        doc["keys"] = list(keys)
    wanted = Undo(ENVIRONMENT, "away", "1", doc, at(41))
    return asyncio.run(undo(cast(Client, cluster), wanted))


@pytest.mark.parametrize(
    ("present", "keys", "expected"),
    [
        pytest.param(
            {"colour": "red", "new": "x", "size": "2"},
            ("colour", "new"),
            {"colour": "green", "size": "2"},
            id="only-what-was-changed",
        ),
        pytest.param(None, (), {"colour": "green", "size": "1"}, id="all-of-it"),
        pytest.param({}, (), {"colour": "green", "size": "1"}, id="somebody-made-it-again"),
    ],
)
def test_a_configmap_is_brought_back(present, keys, expected):
    cluster = a_namespace_with(present)
    assert restore(cluster, *keys) == at(41)
    item = cluster.objects[SETTINGS]
    assert item["data"] == expected
    assert item["metadata"]["annotations"] == {"a": "b"}
    kept = cluster.objects[KEPT]["metadata"]["annotations"]
    assert set(kept) == {"a", mark_key("away"), note_key("away"), RESTORED}
    cluster.patch(SETTINGS, {"data": {"colour": "blue"}})
    assert restore(cluster, *keys) == at(41)  # another operator only reads that it is done
    assert cluster.objects[SETTINGS]["data"]["colour"] == "blue"


def test_a_configmap_that_the_conductor_has_brought_back_is_left_alone():
    cluster = a_namespace_with({"colour": "blue"})
    cluster.patch(KEPT, {"metadata": {"annotations": {RESTORED: at(1)}}})
    assert restore(cluster, "colour") == ""
    assert cluster.objects[SETTINGS]["data"] == {"colour": "blue"}


def test_a_configmap_of_another_playing_is_left_alone():
    cluster = a_namespace_with({"colour": "red"})
    cluster.patch(KEPT, {"metadata": {"annotations": {mark_key("away"): "2"}}})
    assert restore(cluster, "colour") == ""
    assert cluster.objects[SETTINGS]["data"] == {"colour": "red"}


def test_a_configmap_that_has_changed_since_it_was_looked_at_is_looked_at_again():
    cluster = a_namespace_with({"colour": "red"})

    def undo_and_begin_anew(what: str) -> None:
        if what == "merge ConfigMap look":
            cluster.patch(SETTINGS, {"data": {"colour": "red again"}})

    cluster.before_write = undo_and_begin_anew
    with pytest.raises(ConflictError):
        restore(cluster, "colour")
    assert cluster.objects[SETTINGS]["data"] == {"colour": "red again"}


# Keys of a Secret --------------------------------------------------------------------------------

KEYS = ["a/b", "new", "tls.crt"]
SECRET_KEY = ("Secret", ENVIRONMENT, "look")


def a_secret(mark: str = "1", **data: str) -> FakeCluster:
    """A namespace in which a fault has changed keys of Secret look."""
    cluster = FakeCluster()
    environment = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ENVIRONMENT}}
    asyncio.run(cluster.create(NAMESPACE, environment))
    kept = {kept_key("away", 0): "b2xk", kept_key("away", 2): "Y2VydA=="}
    annotations = {"a": "b", mark_key("away"): mark, **kept}
    metadata = {"name": "look", "namespace": ENVIRONMENT, "annotations": annotations}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **({"data": data})}
    asyncio.run(cluster.create(SECRET, body if data else {**body, "data": None}))
    return cluster


def bring_back(cluster: FakeCluster, when: float = 41, **more: Any) -> str:
    doc: ChangedDoc = {"kind": "Secret", "name": "look", "uid": "", "keys": KEYS, **more}  # type: ignore[typeddict-item]  # fields of it
    wanted = Undo(ENVIRONMENT, "away", "1", doc, at(when))
    return asyncio.run(undo(cast(Client, cluster), wanted))


@pytest.mark.parametrize(
    ("during", "more", "expected"),
    [
        pytest.param(
            {"a/b": "bmV3", "new": "eA==", "tls.crt": "ZXhwaXJlZA==", "other": "c3RheXM="},
            {"added": ["new"]},
            {"a/b": "b2xk", "tls.crt": "Y2VydA==", "other": "c3RheXM="},
            id="changed",
        ),
        pytest.param(
            {"other": "c3RheXM="},
            {"added": ["new"]},
            {"a/b": "b2xk", "tls.crt": "Y2VydA==", "other": "c3RheXM="},
            id="removed",
        ),
        pytest.param(
            {},
            {"added": ["new"]},
            {"a/b": "b2xk", "tls.crt": "Y2VydA=="},
            id="all-that-it-had",
        ),
        pytest.param(
            {"other": "c3RheXM="},
            {"added": ["new"]},
            {"a/b": "b2xk", "tls.crt": "Y2VydA==", "other": "c3RheXM="},
            id="all-that-it-had-and-others-came",
        ),
    ],
)
def test_keys_of_a_secret_are_brought_back_without_being_read(during, more, expected):
    cluster = a_secret(**during)
    assert bring_back(cluster, **more) == at(41)
    item = cluster.objects[SECRET_KEY]
    assert item["data"] == expected
    assert set(item["metadata"]["annotations"]) == {"a", note_key("away")}
    cluster.patch(SECRET_KEY, {"data": {"a/b": "bmV4dA=="}})
    assert bring_back(cluster, 50, **more) == at(41)  # another operator only reads that it is done
    assert cluster.objects[SECRET_KEY]["data"]["a/b"] == "bmV4dA=="
    assert "b2xk" not in str(cluster.answers)


def test_a_service_that_somebody_has_bound_again_is_no_error():
    cluster = FakeCluster()
    environment = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ENVIRONMENT}}
    asyncio.run(cluster.create(NAMESPACE, environment))
    annotations = {mark_key("away"): "1"}
    metadata = {"name": "orders", "namespace": ENVIRONMENT, "annotations": annotations}
    body = {"kind": "Service", "metadata": metadata, "spec": {"selector": {"app": "orders"}}}
    made = asyncio.run(cluster.create(kind_of("Service"), body))
    doc: ChangedDoc = {"kind": "Service", "name": "orders", "uid": made["metadata"]["uid"]}
    wanted = Undo(ENVIRONMENT, "away", "1", doc, at(41))
    assert asyncio.run(undo(cast(Client, cluster), wanted)) == at(41)
    item = cluster.objects["Service", ENVIRONMENT, "orders"]
    assert item["spec"]["selector"] == {"app": "orders"}
    assert set(item["metadata"]["annotations"]) == {note_key("away")}


def test_a_secret_that_has_been_changed_anew_is_left_alone_and_not_read():
    cluster = a_secret("2", **{"a/b": "bmV3"})
    assert bring_back(cluster) == ""
    assert cluster.objects[SECRET_KEY]["data"] == {"a/b": "bmV3"}
    cluster.patch(SECRET_KEY, {"metadata": {"annotations": {note_key("away"): f"1 {at(30)}"}}})
    assert bring_back(cluster) == at(30)
    assert not [word for word in ("b2xk", "Y2VydA==", "bmV3") if word in str(cluster.answers)]


def test_pods_that_began_with_the_other_configuration_begin_anew():
    cluster = a_secret(**{"a/b": "bmV3"})

    def a_pod(name: str, seconds: float, service: str = "orders") -> None:
        cluster.now = START + timedelta(seconds=seconds)
        labels = {"seatrial.dev/service": service}
        metadata = {"name": name, "namespace": ENVIRONMENT, "labels": labels}
        asyncio.run(cluster.create(POD, {"kind": "Pod", "metadata": metadata}))

    a_pod("old", 5)
    a_pod("other", 5, service="stock")
    a_pod("new", 42)
    a_pod("migrated", 5)  # it is done: nothing would bring it back, and it reads nothing
    done = ("Pod", ENVIRONMENT, "migrated")
    cluster.patch(done, {"status": {"phase": "Succeeded"}})

    def die(what: str) -> None:
        raise OperatorKilledError(what)

    cluster.before_write = lambda what: die(what) if what == "delete Pod old" else None
    with pytest.raises(OperatorKilledError):
        bring_back(cluster, added=["new"], restart="orders")
    cluster.before_write = lambda _: None
    assert bring_back(cluster, 50, added=["new"], restart="orders") == at(41)
    left = {name for kind, _, name in cluster.objects if kind == "Pod"}
    assert left == {"other", "new", "migrated"}


def test_a_secret_that_is_gone_has_nothing_to_be_undone():
    cluster = a_secret()
    cluster.remove(SECRET_KEY)
    assert bring_back(cluster) == ""


def test_a_secret_that_bears_the_mark_and_cannot_be_undone_is_told():
    cluster = a_secret(**{"a/b": "bmV3"})
    cluster.patch(SECRET_KEY, {"metadata": {"annotations": {kept_key("away", 0): None}}})
    with pytest.raises(InvalidObjectError):
        bring_back(cluster)
    assert "Y2VydA==" not in str(cluster.answers)


# A Secret that was removed as a whole ------------------------------------------------------------

LOGIN = "{apiVersion: v1, kind: Secret, metadata: {name: login}, stringData: {a: geheim}}"
REMOVES = a_fault("away", configuration={"secret": "login", "remove": {}}, **{"for": "30s"})
WITH_LOGIN = {
    **SPEC,
    "services": [a_service(), a_service("login", manifests={"inline": LOGIN})],
    "faults": [REMOVES],
}
GONE = ("Secret", ENVIRONMENT, "login")
KEPT_SECRET = ("Secret", ENVIRONMENT, "seatrial-undo-away")


def remove(simulation: Simulation, fault: dict[str, Any]) -> FaultState:
    """Do what a conductor does: keep the original, and remove it."""
    cluster = simulation.cluster
    metadata = {**KEPT_METADATA, "annotations": {mark_key("away"): "1"}}
    kept = {**cluster.objects[GONE], "metadata": metadata}
    asyncio.run(cluster.create(SECRET, kept))
    cluster.remove(GONE)
    until = the_conductor(simulation).moment(timedelta(seconds=30))
    changed = {"kind": "Secret", "name": "login", "uid": "u", "kept": KEPT_SECRET[2]}
    to_undo = {"until": until, "mark": "1", "objects": [changed]}
    return an_open_fault(until=until, kind="configuration", toUndo=to_undo)


KEPT_METADATA = {"name": KEPT_SECRET[2], "namespace": ENVIRONMENT}


@pytest.mark.parametrize("successor", [False, True])
def test_a_secret_that_was_removed_is_made_anew_and_not_read(successor):
    simulation = frozen(WITH_LOGIN, begin=remove)
    cluster = simulation.cluster
    if successor:  # which has not made the environment
        simulation.start_operator()
    wait(simulation, 30.0)
    assert GONE not in cluster.objects
    wait(simulation, 0.5)
    assert cluster.objects[GONE]["stringData"] == {"a": "geheim"}
    assert {RESTORED, note_key("away")} == set(
        cluster.objects[KEPT_SECRET]["metadata"]["annotations"]
    )
    assert "geheim" not in str(cluster.answers)
    wait(simulation, 1.0)
    assert simulation.status()["faults"][0]["revertedBy"] == "operator"


@pytest.mark.parametrize("dies_after", ["create Secret login", "patch Secret seatrial-undo-away"])
def test_a_secret_is_made_anew_even_if_the_operator_is_killed(dies_after):
    simulation = frozen(WITH_LOGIN, begin=remove)

    def die(what: str) -> None:
        if what == dies_after:
            simulation.cluster.after_write = lambda _: None
            raise OperatorKilledError(what)

    simulation.cluster.after_write = die
    wait(simulation, 31.0)
    wait(simulation, 1.0)
    assert GONE in simulation.cluster.objects
    assert simulation.status()["faults"][0]["revertedBy"] == "operator"


def test_a_secret_that_is_removed_anew_is_not_made():
    simulation = frozen(WITH_LOGIN, begin=remove)
    again = {"metadata": {"annotations": {mark_key("away"): "2"}}}
    simulation.cluster.patch(KEPT_SECRET, again)
    wait(simulation, 31.0)
    assert GONE not in simulation.cluster.objects
