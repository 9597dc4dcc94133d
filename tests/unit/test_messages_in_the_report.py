"""All messages of a run can be read in its report: bounded, masked, and not in the journal."""

from __future__ import annotations

import base64
import gzip
import json
import random
from typing import Any

import pytest
from seatrial.api.names import MAX_REPORT_BYTES
from seatrial.api.report import messages_text
from seatrial_runner.conductor.cases import read_case
from seatrial_runner.conductor.collecting import bounded_parts
from seatrial_runner.conductor.opening import restore_cases
from seatrial_runner.conductor.recorded import Recorded
from seatrial_runner.scenario.connections import read_connections

from tests.support.conducted import (
    a_conductor,
    a_killed_conductor,
    a_run_doc,
    a_scenario,
    a_stage,
    order,
)
from tests.support.fake_broker import FakeBroker, from_, to, use
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time

AT = "2026-11-20T12:00:00.000Z"
URL = "kafka://u:s3cret-of-kafka@broker:9092"


def a_message(number: int, text: str = "{}", **more: Any) -> dict[str, Any]:
    return {
        "number": number, "from": "topic orders of events", "at": AT, "topic": "orders",
        "headers": {}, "text": text, "bytes": len(text), **more,
    }  # fmt: skip


def a_record(*messages: dict[str, Any], total: int = 0) -> dict[str, Any]:
    total = total or len(messages)
    return {
        "total": total, "leftOut": total - len(messages), "withoutBody": 0, "dropped": 0,
        "subscriptions": [{"name": "topic orders of events", "messages": total, "missed": []}],
        "messages": list(messages),
    }  # fmt: skip


def a_case(name: str, record: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    return {
        "id": name, "outcome": "passed", "startedAt": AT, "finishedAt": AT,
        "message": "", "details": "", "messages": record, **more,
    }  # fmt: skip


def noise(size: int, seed: int) -> str:
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


def parts_of(*cases: dict[str, Any]) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Give the report's parts, unpacked, and the journal, of a run with one test."""

    async def course() -> tuple[dict[str, bytes], list[dict[str, Any]]]:
        stage = await a_stage(RunNamespace(), a_run_doc(tests=[a_scenario("told")]))
        for attempt, case in enumerate(cases, start=1):
            stage.record("told", case, attempt=attempt)
        parts = bounded_parts(stage, [], {})
        assert sum(len(base64.b64encode(part)) for part in parts.values()) <= MAX_REPORT_BYTES
        return parts, list(stage.journal.entries)

    parts, entries = in_virtual_time(course())
    return {name: gzip.decompress(part) for name, part in parts.items()}, entries


def test_a_run_whose_scenarios_pass_has_their_messages_in_its_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEATRIAL_CONNECTIONS", json.dumps({"events": URL}))
    assert read_connections(json.dumps({"events": URL})) == {"events": URL}
    use(monkeypatch, FakeBroker())
    told = a_scenario(
        "told", to(json_={"id": 1, "url": URL}, key="k"), to(json_={"id": 2}), from_()
    )

    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(tests=[told, a_scenario("silent")]))
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    assert namespace.summary()["summary"]["passed"] == 2
    binary = namespace.objects["configmaps", "seatrial-report"]["binaryData"]
    [record] = json.loads(gzip.decompress(base64.b64decode(binary["messages.json.gz"])))
    assert (record["test"], record["case"], record["attempt"]) == ("told", "told", 1)
    assert (record["total"], record["leftOut"]) == (2, 0)
    first, second = record["messages"]
    assert (first["topic"], first["key"]) == ("orders", "k")
    assert first["text"] == '{"id": 1, "url": "kafka://u:***@broker:9092"}'
    assert second["text"] == '{"id": 2}'
    # What the operator reads at every change stays small.
    assert "broker:9092" not in json.dumps(namespace.entries())


def test_junit_has_the_messages_of_each_case_as_its_output() -> None:
    record = a_record(*(a_message(n, f'{{"id": {n}}}', key="k") for n in range(1, 41)))
    parts, _ = parts_of(a_case("told", record))
    junit = parts["junit.xml.gz"].decode()
    output = junit[junit.index("<system-out>") : junit.index("</system-out>")]
    assert "Messages recorded: 40" in output
    assert "orders, key k: {&quot;id&quot;: 1}" in output.replace('"', "&quot;")
    assert "orders, key k: {&quot;id&quot;: 40}" in output.replace('"', "&quot;")


def test_a_run_without_messages_has_no_such_part() -> None:
    parts, _ = parts_of(a_case("told", None))
    assert "messages.json.gz" not in parts
    assert b"system-out" not in parts["junit.xml.gz"]


def test_each_attempt_has_its_own() -> None:
    failed = a_case("told", a_record(a_message(1)), outcome="failed")
    parts, _ = parts_of(failed, a_case("told", a_record(a_message(1), a_message(2))))
    records = json.loads(parts["messages.json.gz"])
    assert [(each["attempt"], each["total"]) for each in records] == [(1, 1), (2, 2)]


def test_the_journal_does_not_have_them() -> None:
    _, entries = parts_of(a_case("told", a_record(a_message(1, "x" * 900))))
    [entry] = [each for each in entries if each["kind"] == "case.finished"]
    assert "messages" not in entry
    assert len(json.dumps(entry)) < 300


def test_a_conductor_that_comes_after_says_what_its_report_lacks() -> None:
    async def course() -> list[str]:
        run = a_run_doc(tests=[a_scenario("told"), a_scenario("silent")])
        stage = await a_stage(RunNamespace(), run)
        record = a_record(a_message(1), a_message(2))
        stage.record("told", a_case("told", record))
        stage.record("silent", a_case("silent", None))
        restore_cases(stage)
        return stage.journal.summary["lostEvidence"]

    [lost] = in_virtual_time(course())
    assert lost == (
        "The conductor was restarted: 2 messages that test told had recorded are not in the report."
    )


def test_a_conductor_that_comes_after_the_tests_says_that_taps_have_nothing() -> None:
    async def course() -> list[str]:
        run = a_run_doc(tests=[a_scenario("told")])
        for dies_at in range(1, 20):
            namespace = RunNamespace()
            order(namespace, run)
            await a_killed_conductor(namespace, dies_at=dies_at, after=True)
            if namespace.summary()["finished"] is not None:
                break
        told = json.dumps({**run, "taps": [{"name": "all", "from": "log", "topic": "orders"}]})
        namespace.change(
            "configmaps", "seatrial-run", lambda i: i["data"].update({"run.json": told})
        )
        await a_conductor(namespace)
        return namespace.summary()["lostEvidence"]

    [lost] = in_virtual_time(course())
    assert lost.endswith("what the taps had recorded is not in the report.")


def test_what_looks_like_a_credential_is_masked() -> None:
    text = '{"id": 1, "password": "hunter22"}'
    headers = {"authorization": "Bearer abcdefghij", "note": "token=abcdefghij"}
    parts, _ = parts_of(a_case("told", a_record(a_message(1, text, headers=headers))))
    assert b"hunter22" not in parts["messages.json.gz"] + parts["junit.xml.gz"]
    assert b"abcdefghij" not in parts["messages.json.gz"] + parts["junit.xml.gz"]
    [record] = json.loads(parts["messages.json.gz"])
    assert record["messages"][0]["text"] == '{"id": 1, "password": "***"}'


def test_where_there_is_no_room_for_all_the_first_and_the_last_of_each_are_kept() -> None:
    cases = [
        a_case(f"told-{c}", a_record(*(a_message(n, noise(230, c * 200 + n)) for n in range(200))))
        for c in range(40)
    ]
    parts, _ = parts_of(*cases)
    records = json.loads(parts["messages.json.gz"])
    assert [each["total"] for each in records] == [200] * 40
    for record in records:
        shown = [each["number"] for each in record["messages"]]
        assert 2 <= len(shown) < 200
        assert (shown[0], shown[-1]) == (0, 199)
        assert record["leftOut"] == 200 - len(shown)
    # The results themselves were not given up for them.
    assert parts["junit.xml.gz"].count(b"<testcase") > 40


def test_what_a_conductor_keeps_of_them_is_bounded() -> None:
    recorded = Recorded(max_bytes=20_000)
    for number in range(10):
        recorded.keep("told", f"told-{number}", 1, a_record(*(a_message(n) for n in range(40))))
    records = list(recorded.documents())
    assert len(records) == 10
    assert len(records[0]["messages"]) == 40
    assert records[-1]["messages"] == []
    assert (records[-1]["total"], records[-1]["leftOut"]) == (40, 40)


def test_a_record_that_comes_from_a_pod_is_read_like_one_of_our_own() -> None:
    record = a_record(a_message(1, partition=2, offset=7, redelivered=True))
    assert read_case(a_case("a", record))["messages"] == record
    assert "messages" not in read_case(a_case("a", None))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        pytest.param([], "case.messages must be an object", id="no-object"),
        pytest.param({**a_record(), "total": -1}, "case.messages.total", id="a-negative-number"),
        pytest.param({**a_record(), "messages": {}}, "case.messages.messages", id="no-list"),
        pytest.param(a_record(*[{"number": 1}]), "case.messages.messages[0]", id="no-message"),
        pytest.param(a_record(*(a_message(n) for n in range(201))), "at most 200", id="too-many"),
        pytest.param(
            a_record(a_message(1, "x" * 400_000)), "case.messages may have", id="too-large"
        ),
    ],
)
def test_what_is_no_record_is_refused(record: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("[", r"\[").replace("]", r"\]")):
        read_case(a_case("a", record))


def test_a_text_shows_each_subscription_and_the_messages() -> None:
    record = a_record(a_message(1), a_message(9), total=9)
    assert messages_text(record).splitlines() == [
        "Messages recorded: 9",
        "      9  topic orders of events",
        "Of these 2:",
        f"      1  {AT}  orders: {{}}",
        f"      9  {AT}  orders: {{}}",
    ]
