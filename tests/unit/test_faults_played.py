"""Faults from their moment to their proof, on a namespace in memory."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from seatrial.api.errors import ClusterError, FaultError
from seatrial_runner.clock import parse
from seatrial_runner.conductor.faults import Director

from tests.support import controllers
from tests.support.conducted import a_fault_doc
from tests.support.played_faults import one_test, played
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop


def test_a_killed_pod_is_replaced_and_everything_is_proven() -> None:
    fault_doc = a_fault_doc("f", when={"test": "paid"})
    states, namespace = played(fault_doc, course=one_test, start_s=0.3)
    fault = states["f"]
    assert fault["state"] == "Recovered"
    assert fault["revertedBy"] == "controller"
    assert fault["hits"] == 1  # the others came when the system was well again
    assert fault["firstHit"] is not None
    assert fault["exposedTests"] == ["paid"]
    [hit] = fault["targets"]
    there = [pod["metadata"]["uid"] for pod in namespace.all("pods")]
    assert hit["uid"] not in there
    assert hit["replacedBy"] in there


def test_the_intent_is_in_the_journal_before_anything_is_done() -> None:
    seen: list[bool] = []

    async def course(director: Director, namespace: RunNamespace) -> None:
        def look(number: int, what: str) -> None:
            if what.startswith("delete"):
                seen.append("fault.requested" in [e["kind"] for e in namespace.entries()])

        namespace.before_write = look
        await one_test(director, namespace)

    played(a_fault_doc("f", when={"test": "paid"}), course=course)
    assert seen == [True]


def test_a_fault_bound_to_a_test_is_in_effect_before_its_first_step() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        assert any("deletionTimestamp" in pod["metadata"] for pod in namespace.all("pods"))
        await director.end_with("paid")

    played(a_fault_doc("f", when={"test": "paid"}), course=course)


def test_the_next_test_begins_when_the_system_is_well_again() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        await director.end_with("paid")
        deployment = namespace.objects["deployments", "orders"]
        assert deployment["status"]["readyReplicas"] == 2

    played(a_fault_doc("f", when={"test": "paid"}), course=course, start_s=3.0)


def test_a_restart_replaces_every_pod() -> None:
    states, _ = played(a_fault_doc("f", restart={}, when={"test": "paid"}), course=one_test)
    assert states["f"]["state"] == "Recovered"
    assert len(states["f"]["targets"]) == 2
    assert all(each["replacedBy"] for each in states["f"]["targets"])


def a_scale(name: str = "f", lasts: str = "3s", **more: Any) -> dict[str, Any]:
    return a_fault_doc(name, scale={"replicas": 0}, **{"for": lasts}, **more)


def test_a_scale_ends_at_its_deadline_by_itself() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        began = loop().time()
        await director.settle()
        assert loop().time() - began == pytest.approx(3.0 + 0.5, abs=0.1)

    states, namespace = played(a_scale(), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2


def test_a_scale_bound_to_a_test_ends_with_it_at_the_latest() -> None:
    states, namespace = played(a_scale(lasts="10m", when={"test": "paid"}), course=one_test)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")
    assert states["f"]["hits"] == 4
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2


def test_a_manual_fault_is_started_and_stopped_by_a_test() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        started = await director.start("f", test="paid")
        assert started["state"] == "Active"
        with pytest.raises(FaultError, match="not over yet"):
            await director.start("f", test="paid")
        stopped = await director.stop("f")
        assert stopped["state"] == "Reverted"
        assert (await director.recovered("f"))["state"] == "Recovered"
        await director.end_with("paid")

    states, _ = played(a_scale(lasts="10m", when={"manual": {}}), course=course)
    assert states["f"]["revertedBy"] == "test"


@pytest.mark.parametrize("then", ["it-ends", "it-ends-by-another-conductor", "all-is-cut-off"])
def test_what_a_manual_fault_lacked_is_not_forgotten_when_it_is_played_again(then: str) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.start_s = 3600.0
        await director.start("f", test="")
        director.met(loop().now(), "orders")
        await director.stop("f")
        assert (await director.recovered("f"))["state"] == "NotRecovered"
        namespace.start_s = 0.5
        namespace.change("deployments", "orders", lambda item: item["spec"].update(replicas=0))
        namespace._reconcile("orders")
        namespace.change("deployments", "orders", lambda item: item["spec"].update(replicas=2))
        namespace._reconcile("orders")
        await asyncio.sleep(5.0)
        if then == "it-ends-by-another-conductor":
            director = Director(director._stage, director._hands)
            await director.resume()
        await director.start("f", test="")
        if then == "all-is-cut-off":
            namespace.start_s = 3600.0  # and so its recovery was not waited for
            await director.abandon("The tests were not over within 1m")
            return
        await director.stop("f")
        await director.recovered("f")

    fault = a_scale(when={"manual": {}}, recovery={"within": "5s"})
    states, namespace = played(fault, course=course)
    recovered = [each["kind"] for each in namespace.entries()].count("fault.recovered")
    assert recovered == (then != "all-is-cut-off")
    assert (states["f"]["state"], states["f"]["times"]) == ("NotRecovered", 2)
    assert "5s after the fault's end" in states["f"]["message"]


def test_a_manual_fault_can_be_played_again() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        for _ in range(2):
            await director.start("f", test="")
            director.met(loop().now(), "orders")
            await director.stop("f")
            await director.recovered("f")

    states, _ = played(a_scale(when={"manual": {}}), course=course)
    assert (states["f"]["state"], states["f"]["hits"]) == ("Recovered", 2)


def test_traffic_that_is_told_late_counts_for_the_window_it_was_sent_in() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        sent = None
        for _ in range(2):
            await director.start("f", test="")
            sent = sent or loop().now()
            await director.stop("f")
            await director.recovered("f")
        assert sent is not None
        director.met(sent, "orders")
        await director.keep_proof()
        assert [fault["hits"] for fault in namespace.summary()["faults"]] == [
            1
        ]  # and it is written

    states, _ = played(a_scale(when={"manual": {}}), course=course)
    assert states["f"]["hits"] == 1
    assert states["f"]["firstHit"] is not None


@pytest.mark.parametrize(
    ("name", "what", "words"),
    [
        ("none", "start", "there is no fault 'none'"),
        ("bound", "start", "begins by itself"),
        ("bound", "stop", "ends by itself"),
        ("manual", "stop", "was not started"),
        ("none", "stop", "was not started"),
    ],
)
def test_a_wrong_order_is_refused(name: str, what: str, words: str) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        order = director.start(name, test="") if what == "start" else director.stop(name)
        with pytest.raises(FaultError, match=words):
            await order

    faults = [
        a_fault_doc("bound", when={"test": "paid"}),
        a_fault_doc("manual", when={"manual": {}}),
    ]
    played(*faults, course=course)


def test_no_test_cuts_short_a_fault_that_is_not_for_tests_to_stop() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await director.begin_with("sent")
        director.met(loop().now(), "orders")
        with pytest.raises(FaultError, match="no test may stop it"):
            await director.stop("f")
        await asyncio.sleep(60.0)
        await director.end_with("sent")

    states, _ = played(a_scale(lasts="30s"), course=course)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "deadline")


@pytest.mark.parametrize("moment", ["before-it-began", "after-its-end"])
def test_a_test_can_claim_no_traffic_of_a_time_in_which_it_did_not_run(moment: str) -> None:
    """Or one that sends nothing would be proven by another, which may say what it likes."""

    async def course(director: Director, namespace: RunNamespace) -> None:
        paid, sent = (director._stage.test(name) for name in ("paid", "sent"))
        assert paid is not None
        assert sent is not None
        if moment == "after-its-end":
            sent["startedAt"] = director._stage.at()
            director._stage.finish_test(sent, "Passed", "", lost=False)
            await asyncio.sleep(1.0)
        paid["startedAt"] = director._stage.at()
        await director.begin_with("paid")
        during = loop().now()
        director.met(during, "orders", test="sent")
        await asyncio.sleep(10.0)
        await director.end_with("paid")
        if moment == "before-it-began":
            await asyncio.sleep(1.0)
            sent["startedAt"] = director._stage.at()
        director.met(during, "orders", test="sent")
        assert (director.fault("f") or {})["hits"] == 0
        director.met(during, "orders", test="paid")  # told late

    states, _ = played(a_scale(lasts="3s", when={"test": "paid"}), course=course)
    assert states["f"]["hits"] == 1


@pytest.mark.parametrize("over", ["aborted", "settled", "its-test"])
def test_no_fault_is_started_when_whoever_may_start_it_is_over(over: str) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.begin_with("paid")
        if over == "aborted":
            await director.abandon("enough")
        else:
            paid: Any = director._stage.test("paid")
            director._stage.finish_test(paid, "Passed", "", lost=False)
            await director.end_with("paid")
        if over == "settled":
            await director.settle()
        with pytest.raises(FaultError, match="over"):
            await director.start("f", test="sent" if over != "its-test" else "paid")

    states, namespace = played(a_scale(when={"manual": {}}), course=course)
    assert states["f"]["state"] == ("Pending" if over == "its-test" else "Skipped")
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2


@pytest.mark.parametrize("why", ["abandon", "undo_open"])
def test_a_fault_that_was_about_to_be_carried_out_is_not_when_all_ends(why: str) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        beginning = asyncio.create_task(director.gate_opened())
        while (director.fault("f") or {})["state"] != "Requested":  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        await getattr(director, why)("enough")
        await beginning

    states, namespace = played(a_scale(lasts="10m"), course=course)
    assert not [each for each in namespace.writes if "deployments/orders" in each]
    assert (states["f"]["state"], states["f"]["applied"]) == ("Requested", None)
    assert states["f"]["message"] == "enough"
    assert "toUndo" not in states["f"]


@pytest.mark.parametrize("ordered", ["before", "after"])
def test_who_starts_a_fault_as_the_conductor_is_stopped_is_answered_by_the_next(
    ordered: str,
) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        if ordered == "after":
            await director.undo_open("the conductor was stopped")
        starting = asyncio.create_task(director.start("f", test="paid"))
        await asyncio.sleep(0.2)  # pods take a second to end
        await director.undo_open("the conductor was stopped")
        await asyncio.sleep(60)
        assert not starting.done()
        starting.cancel()

    played(a_scale(lasts="10m", when={"manual": {}}), course=course)


@pytest.mark.parametrize("why", ["abandon", "undo_open"])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"scale": {"replicas": 1}}, id="scale"),
        pytest.param({"outage": {}}, id="outage"),
        pytest.param({"noEndpoints": {}}, id="no-endpoints"),
        pytest.param(
            {"configuration": {"configMap": "orders", "set": {"a": "2"}, "restart": True}},
            id="configuration",
        ),
    ],
)
def test_a_fault_that_takes_its_time_is_undone_at_once_when_all_ends(
    kind: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        def as_it_is() -> list[Any]:
            there = [namespace.objects[each, "orders"] for each in ("deployments", "services")]
            data = namespace.objects["configmaps", "orders"]["data"]
            return [there[0]["spec"]["replicas"], dict(there[1]["spec"]["selector"]), dict(data)]

        monkeypatch.setattr(controllers, "_STOPPING_S", 5.0)
        monkeypatch.setattr(namespace, "_slice", lambda service: None)
        namespace.add("configmaps", {"metadata": {"name": "orders"}, "data": {"a": "1"}})
        before = as_it_is()
        beginning = asyncio.create_task(director.gate_opened())
        await asyncio.sleep(2.0)
        assert as_it_is() != before
        assert (director.fault("f") or {})["applied"] is None  # its effect is waited for
        ending = asyncio.create_task(getattr(director, why)("enough"))
        await asyncio.sleep(0.1)
        assert as_it_is() == before
        await asyncio.gather(beginning, ending)

    states, _ = played(a_fault_doc("f", **kind, **{"for": "10m"}), course=course)
    assert (states["f"]["state"], states["f"]["message"]) == ("Requested", "enough")
    assert "toUndo" not in states["f"]


def test_a_manual_fault_without_a_target_is_refused_with_the_reason() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        with pytest.raises(FaultError, match=r"was not injected: .* no running pod"):
            await director.start("f", test="")

    states, _ = played(a_fault_doc("f", when={"manual": {}}), course=course, replicas=0)
    assert states["f"]["state"] == "NotInjected"


@pytest.mark.parametrize(
    ("when", "state"),
    [
        ({"after": "20s"}, "NotInjected"),
        ({"test": "sent"}, "Skipped"),
        ({"test": "paid", "after": "1m"}, "NotInjected"),
        ({"manual": {}}, "Skipped"),
    ],
)
def test_a_fault_that_never_came_is_told(when: dict[str, Any], state: str) -> None:
    states, namespace = played(a_fault_doc("f", when=when), course=one_test)
    assert states["f"]["state"] == state
    assert states["f"]["message"] != ""
    assert not [write for write in namespace.writes if write.startswith("delete")]


def test_a_test_that_was_over_before_anyone_saw_it_met_nothing() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.end_with("paid")

    states, _ = played(a_fault_doc("f", when={"test": "paid"}), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "test paid was over before it was seen to run" in states["f"]["message"]


def test_a_test_that_ended_while_the_conductor_was_restarted_says_so() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        director._stage.journal.summary["starts"] = 2
        await director.end_with("paid")

    states, _ = played(a_fault_doc("f", when={"test": "paid"}), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "ran to its end while the conductor was restarted" in states["f"]["message"]


def test_an_offset_is_counted_from_the_start_of_the_test() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        await asyncio.sleep(5.0)
        began.append(loop().now())
        await director.begin_with("paid")
        await asyncio.sleep(2.0)
        await director.end_with("paid")

    began: list[datetime] = []
    fault = a_fault_doc("f", when={"test": "paid", "after": "1s"})
    states, _ = played(fault, course=course)
    requested = parse(states["f"]["requested"] or "")
    assert (requested - began[0]).total_seconds() == pytest.approx(1.0, abs=0.01)


def test_a_pod_that_is_never_replaced_is_not_reverted() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace._create_pod = lambda deployment: None  # type: ignore[method-assign]
        await one_test(director, namespace)

    fault = a_fault_doc("f", when={"test": "paid"}, recovery={"within": "5s"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "NotReverted"
    assert "has not replaced orders-" in states["f"]["message"]


def test_a_system_that_stays_ill_has_not_recovered() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        namespace.start_s = 3600.0
        await one_test(director, namespace)

    fault = a_fault_doc("f", when={"test": "paid"}, recovery={"within": "5s"})
    states, _ = played(fault, course=course)
    assert states["f"]["state"] == "NotRecovered"
    assert "1 of 2 pods ready 5s after the fault's end" in states["f"]["message"]


def test_a_pod_that_is_gone_already_is_no_proof() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        real = namespace.delete

        async def too_late(path: str, body: dict[str, Any]) -> dict[str, Any]:
            return await real(path, {**body, "preconditions": {"uid": "of another"}})

        namespace.delete = too_late  # type: ignore[method-assign]
        await one_test(director, namespace)

    states, _ = played(a_fault_doc("f", when={"test": "paid"}), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "was gone before the fault" in states["f"]["message"]


def test_that_one_of_several_pods_is_gone_already_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        real = namespace.delete
        late: list[str] = []

        async def one_too_late(path: str, body: dict[str, Any]) -> dict[str, Any]:
            if not late:
                late.append(path)
                return await real(path, {**body, "preconditions": {"uid": "of another"}})
            return await real(path, body)

        namespace.delete = one_too_late  # type: ignore[method-assign]
        await one_test(director, namespace)

    target = {"service": "orders", "pods": 2}
    states, _ = played(a_fault_doc("f", target=target, when={"test": "paid"}), course=course)
    assert states["f"]["state"] == "NotInjected"
    assert "1 of 2 pods could not be hit: pod orders-" in states["f"]["message"]
    assert len(states["f"]["targets"]) == 1
    assert states["f"]["recovered"] is not None


def test_a_scale_that_cannot_be_undone_is_told() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()

        async def refuse(path: str, body: dict[str, Any], **_: Any) -> dict[str, Any]:
            if path.endswith("/deployments/orders"):
                raise ClusterError("403 forbidden", status=403)
            return await real(path, body)

        real = namespace.patch
        namespace.patch = refuse  # type: ignore[method-assign]
        await director.settle()

    states, _ = played(a_scale(), course=course)
    assert states["f"]["state"] == "NotReverted"
    assert "403 forbidden" in states["f"]["message"]


def test_undoing_what_is_open_does_not_wait_for_recovery() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        began = loop().time()
        await director.undo_open("stopped")
        assert loop().time() - began < 0.5

    states, namespace = played(a_scale(lasts="10m"), course=course, start_s=30.0)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Reverted", "conductor")
    assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2


@pytest.mark.parametrize("waits", ["end_with", "settle", "recovered"])
def test_a_fault_comes_to_its_end_although_who_waits_for_it_is_cancelled(waits: str) -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.start("f", test="paid")
        director.met(loop().now(), "orders")
        await director.stop("f")
        waiting = asyncio.create_task(
            director.settle()
            if waits == "settle"
            else getattr(director, waits)("f" if waits == "recovered" else "paid")
        )
        await asyncio.sleep(1.0)
        assert not waiting.done()  # pods take longer to be ready
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await director.settle()

    states, _ = played(a_scale(when={"manual": {}}), course=course, start_s=5.0)
    assert (states["f"]["state"], states["f"]["revertedBy"]) == ("Recovered", "test")


def test_two_faults_at_once_do_not_wait_for_one_another() -> None:
    async def course(director: Director, namespace: RunNamespace) -> None:
        await director.gate_opened()
        began = loop().time()
        await asyncio.sleep(2.0)
        assert director.fault("early") == {**(director.fault("early") or {}), "state": "Recovered"}
        await director.settle()
        assert loop().time() - began < 6.0

    early = a_fault_doc("early", when={"after": "100ms"})
    states, _ = played(a_scale("long", lasts="5s", target={"service": "web"}), early, course=course)
    assert [states[name]["state"] for name in ("early", "long")] == ["Recovered", "Recovered"]
