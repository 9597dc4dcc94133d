"""Faults that the API server carries out: what is changed, what is seen, and that it comes back."""

from __future__ import annotations

import asyncio
import base64
import copy
from typing import Any

import pytest
from seatrial.api import families
from seatrial_runner.conductor.faults import Director, no_endpoints
from seatrial_runner.conductor.faults.table import TABLE

from tests.support.certificates import a_certificate, expiry
from tests.support.conducted import a_fault_doc
from tests.support.played_faults import one_test, played, taking_pods_away
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop


def a_lasting(lasts: str = "10m", **kind: Any) -> dict[str, Any]:
    return a_fault_doc("f", **kind, **{"for": lasts}, when={"test": "paid"})


def test_every_kind_of_the_schema_has_a_module() -> None:
    assert set(TABLE) == set(families.KINDS)


def names_of_pods(namespace: RunNamespace) -> set[str]:
    return {
        pod["metadata"]["name"]
        for pod in namespace.all("pods")
        if "deletionTimestamp" not in pod["metadata"]
    }


@taking_pods_away
def test_the_logs_of_pods_that_a_fault_takes_away_are_kept(kind: Any) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        before = names_of_pods(namespace)
        await one_test(director, namespace)
        gone = before - names_of_pods(namespace)
        assert gone
        assert gone <= namespace.kept_logs

    states, _ = played(a_fault_doc("f", **kind, when={"test": "paid"}), course=course)
    assert states["f"]["state"] == "Recovered"


# Eviction ----------------------------------------------------------------------------------------


def test_an_evicted_pod_is_replaced_and_everything_is_proven() -> None:
    states, namespace = played(
        a_fault_doc("f", evict={}, when={"test": "paid"}), course=one_test, start_s=0.3
    )
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "controller")
    assert states["f"]["effective"] is not None
    assert [each for each in namespace.writes if each.endswith("/eviction")] == [
        f"post pods/{states['f']['targets'][0]['name']}/eviction"
    ]
    assert not [each for each in namespace.writes if each.startswith("delete")]


def test_a_disruption_budget_that_forbids_it_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.no_disruption = "Cannot evict pod as it would violate the pod's disruption budget"
        await one_test(director, namespace)

    fault = a_fault_doc("f", evict={}, when={"test": "paid"})
    states, namespace = played(fault, course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "its PodDisruptionBudget allows no disruption" in states["f"]["message"]
    assert len(namespace.all("pods")) == 3  # nobody went


def test_a_disruption_budget_that_forbids_some_of_them_is_told_and_the_others_are_watched() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        real = namespace._evict

        def one_only(name: str, uid: str) -> None:
            real(name, uid)
            namespace.no_disruption = "would violate the pod's disruption budget"

        namespace._evict = one_only  # type: ignore[method-assign]
        await one_test(director, namespace)

    target = {"service": "orders", "pods": 2}
    fault = a_fault_doc("f", evict={}, target=target, when={"test": "paid"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "NotInjected"
    assert states["f"]["message"].startswith("1 of 2 pods could not be hit: pod orders-")
    assert "its PodDisruptionBudget allows no disruption" in states["f"]["message"]
    [hit] = states["f"]["targets"]
    assert hit["replacedBy"] is not None
    assert states["f"]["recovered"] is not None  # what failed meanwhile was during this fault


# Outage ------------------------------------------------------------------------------------------


def test_an_outage_takes_every_pod_away_and_brings_as_many_back() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        names = [pod["metadata"]["name"] for pod in namespace.all("pods")]
        assert not [name for name in names if name.startswith("orders-")]
        await director.end_with("paid")

    states, namespace = played(a_lasting(outage={}), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2


def test_an_outage_that_would_delete_volumes_is_refused() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        def change(item: dict[str, Any]) -> None:
            item["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenScaled": "Delete"}

        namespace.change("deployments", "orders", change)
        await asyncio.sleep(0.1)
        await one_test(director, namespace)

    states, namespace = played(a_lasting(outage={}), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "Deployment orders would delete its claims" in states["f"]["message"]
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2


# No endpoints ------------------------------------------------------------------------------------


def endpoints(namespace: RunNamespace) -> int:
    return len(namespace.objects["endpointslices", "orders-x"]["endpoints"])


def test_a_service_is_cut_off_from_its_pods_and_bound_to_them_again() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        before = copy.deepcopy(namespace.objects["services", "orders"]["spec"])
        assert endpoints(namespace) == 2
        await director.begin_with("paid")
        assert endpoints(namespace) == 0
        pods = [pod["metadata"]["name"] for pod in namespace.all("pods")]
        await director.end_with("paid")
        assert endpoints(namespace) == 2
        assert namespace.objects["services", "orders"]["spec"] == before
        assert [pod["metadata"]["name"] for pod in namespace.all("pods")] == pods

    states, _ = played(a_lasting(noEndpoints={}), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")
    assert states["f"]["effective"] is not None


@pytest.mark.parametrize(
    ("looks", "state"), [(2, "Recovered"), (1000, "NoEffect")], ids=["late", "never"]
)
def test_a_cut_is_in_effect_when_nobody_gets_through_any_more(
    looks: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[float] = []

    async def until_cut_off(hosts: Any, ports: Any) -> list[str]:
        await asyncio.sleep(3.0)
        looked.append(loop().time())
        return ["orders:8080"] if len(looked) < looks else []

    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        director.met(loop().now(), "orders")
        await asyncio.sleep(12.0)
        await director.end_with("paid")

    monkeypatch.setattr(no_endpoints, "until_cut_off", until_cut_off)
    states, _ = played(a_lasting("10s", noEndpoints={}), course=course)
    assert states["f"]["state"] == state
    assert (states["f"]["effective"] is None) == (state == "NoEffect")
    assert ("connections to orders:8080 were accepted" in states["f"]["message"]) == (
        state == "NoEffect"
    )


def test_a_service_behind_a_gateway_is_cut_off_behind_it() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.service("seatrial-direct-orders", of="orders")
        await asyncio.sleep(0.1)
        await one_test(director, namespace)

    states, namespace = played(
        a_lasting(noEndpoints={}), course=course, direct={"orders": "seatrial-direct-orders"}
    )
    assert states["f"]["state"] == "Recovered"
    patched = [each for each in namespace.writes if each.startswith("patch services")]
    assert patched == ["patch services/seatrial-direct-orders"] * 2


def test_two_cuts_of_one_service_do_not_undo_each_other() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await asyncio.sleep(2.0)
        assert endpoints(namespace) == 0  # the short one is over, the long one is not
        await director.settle()
        assert endpoints(namespace) == 2

    faults = [
        a_fault_doc("short", noEndpoints={}, **{"for": "1s"}, recovery={"within": "10s"}),
        a_fault_doc("long", noEndpoints={}, **{"for": "4s"}, when={"after": "0s"}),
    ]
    states, _ = played(*faults, course=course)
    assert [states[name]["revertedBy"] for name in ("short", "long")] == ["deadline", "deadline"]


def test_a_service_that_somebody_deletes_meanwhile_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        namespace._remove("services", "orders")
        namespace._remove("endpointslices", "orders-x")
        await director.end_with("paid")

    states, _ = played(a_lasting(noEndpoints={}), course=course)
    assert states["f"]["state"] == "NotReverted"
    assert "Service orders was deleted meanwhile, not by the conductor" in states["f"]["message"]


def test_a_service_that_was_deleted_before_is_not_injected() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        del namespace.objects["services", "orders"]  # its endpoints go a moment later
        await one_test(director, namespace)

    states, _ = played(a_lasting(noEndpoints={}), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "services/orders" in states["f"]["message"]
    assert "undone" not in states["f"]["message"]


def test_a_service_without_endpoints_cannot_be_cut_off() -> None:
    states, _ = played(a_lasting(noEndpoints={}), course=one_test, replicas=0)
    assert states["f"]["state"] == "NotInjected"
    assert "Service orders has no endpoints" in states["f"]["message"]


# Configuration -----------------------------------------------------------------------------------

LABELS = {"app": "orders"}


def with_object(plural: str, **content: Any) -> Any:
    """A course in which an object is there, and is as before in the end."""

    def made(during: Any) -> Any:
        async def course(director: Director, namespace: RunNamespace) -> None:
            namespace.add(plural, {"metadata": {"name": "settings", "labels": LABELS}, **content})
            await director.begin_with("paid")
            during(namespace, namespace.objects.get((plural, "settings")))
            await director.end_with("paid")
            after = namespace.objects[plural, "settings"]
            assert {key: after[key] for key in content} == content
            assert after["metadata"]["labels"] == LABELS
            assert (plural, "seatrial-undo-f") not in namespace.objects

        return course

    return made


def text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"remove": {"keys": ["a"]}}, {"b": "2"}),
        ({"set": {"a": "changed", "new": "x"}}, {"a": "changed", "b": "2", "new": "x"}),
        ({"remove": {"keys": []}}, None),
        ({"remove": {}}, None),
    ],
)
def test_a_configmap_is_changed_and_comes_back(change: Any, expected: Any) -> None:
    def during(namespace: RunNamespace, item: Any) -> None:
        assert (item and item["data"]) == expected
        assert namespace.objects["configmaps", "seatrial-undo-f"]["data"] == {"a": "1", "b": "2"}

    course = with_object("configmaps", data={"a": "1", "b": "2"})(during)
    fault = a_lasting(configuration={"configMap": "settings", **change})
    states, _ = played(fault, course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")
    replaced = states["f"]["targets"][0]["replacedBy"]
    assert (replaced is not None) == (expected is None)


def test_binary_keys_and_immutable_objects_come_back_too() -> None:
    def gone(namespace: RunNamespace, item: Any) -> None:
        assert item is None

    content = {"data": {"a": "1"}, "binaryData": {"b": "AAE="}, "immutable": True}
    course = with_object("configmaps", **content)(gone)
    states, _ = played(
        a_lasting(configuration={"configMap": "settings", "remove": {}}), course=course
    )
    assert states["f"]["state"] == "Recovered"


def test_what_a_secret_holds_is_never_in_the_journal() -> None:
    def during(namespace: RunNamespace, item: Any) -> None:
        assert item["data"] == {"password": text("other"), "user": text("me")}

    content = {"data": {"password": text("geheim"), "user": text("me")}, "type": "Opaque"}
    course = with_object("secrets", **content)(during)
    fault = a_lasting(configuration={"secret": "settings", "set": {"password": "other"}})
    states, namespace = played(fault, course=course)
    assert states["f"]["state"] == "Recovered"
    written = str(namespace.objects["configmaps", "seatrial-journal"])
    assert not [word for word in ("geheim", text("geheim"), '"other"') if word in written]


def test_a_certificate_expires_and_is_valid_again() -> None:
    certificate, key = a_certificate("orders")

    def during(namespace: RunNamespace, item: Any) -> None:
        expired = base64.b64decode(item["data"]["tls.crt"]).decode()
        assert expiry(expired).isoformat().startswith("2026-11-19T12:00:0")
        assert item["data"]["tls.key"] == text(key)

    content = {"data": {"tls.crt": text(certificate), "tls.key": text(key)}}
    course = with_object("secrets", **content, type="kubernetes.io/tls")(during)
    change = {"expireCertificate": {"key": "tls.crt"}}
    states, _ = played(a_lasting(configuration={"secret": "settings", **change}), course=course)
    assert states["f"]["state"] == "Recovered"


@pytest.mark.parametrize(
    ("change", "content", "words"),
    [
        ({"remove": {"keys": ["a", "c"]}}, {"data": {"a": "1"}}, "has no key c"),
        ({"set": {"a": "2"}}, {"data": {"a": "1"}, "immutable": True}, "is immutable"),
        ({"expireCertificate": {"key": "tls.crt"}}, {"data": {"a": "1"}}, "no key tls.crt"),
        ({"expireCertificate": {"key": "a"}}, {"data": {"a": "1"}}, "a is no PEM certificate"),
    ],
)
def test_what_cannot_be_changed_is_left_as_it_is(change: Any, content: Any, words: str) -> None:
    def during(namespace: RunNamespace, item: Any) -> None:
        assert item is not None

    course = with_object("configmaps", **content)(during)
    fault = a_lasting(configuration={"configMap": "settings", **change})
    states, namespace = played(fault, course=course)
    assert states["f"]["state"] == "NotInjected"
    assert words in states["f"]["message"]
    assert not [each for each in namespace.writes if "settings" in each]


def test_seatrials_own_objects_are_not_touched() -> None:
    fault = a_lasting(configuration={"secret": "seatrial-conductor", "remove": {}})
    states, _ = played(fault, course=one_test)
    assert states["f"]["state"] == "NotInjected"
    assert "is Seatrial's own" in states["f"]["message"]


def test_copies_of_what_a_service_reads_are_the_users_to_change() -> None:
    name = "seatrial-copy.settings"

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": name}, "data": {"a": "1"}})
        await director.begin_with("paid")
        assert namespace.objects["configmaps", name]["data"] == {"a": "2"}
        await director.end_with("paid")

    states, _ = played(
        a_lasting(configuration={"configMap": name, "set": {"a": "2"}}), course=course
    )
    assert states["f"]["state"] == "Recovered"


def test_an_object_that_is_not_there_is_told() -> None:
    fault = a_lasting(configuration={"secret": "settings", "remove": {}})
    states, _ = played(fault, course=one_test)
    assert states["f"]["state"] == "NotInjected"
    assert "there is no Secret settings" in states["f"]["message"]


def test_pods_begin_anew_with_the_change_and_again_after_it() -> None:
    generations: list[set[str]] = []

    def uids(namespace: RunNamespace) -> set[str]:
        return {
            pod["metadata"]["uid"]
            for pod in namespace.all("pods")
            if pod["metadata"]["name"].startswith("orders-")
            and "deletionTimestamp" not in pod["metadata"]
        }

    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.add("configmaps", {"metadata": {"name": "settings"}, "data": {"a": "1"}})
        generations.append(uids(namespace))
        await director.begin_with("paid")
        generations.append(uids(namespace))
        await asyncio.sleep(3.0)
        await director.end_with("paid")
        generations.append(uids(namespace))

    change = {"configMap": "settings", "set": {"a": "2"}, "restart": True}
    states, _ = played(a_lasting(configuration=change), course=course)
    assert states["f"]["state"] == "Recovered"
    assert [len(each) for each in generations] == [2, 2, 2]
    assert not generations[0] & generations[1]
    assert not generations[1] & generations[2]
