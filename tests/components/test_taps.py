"""A tap has what no step has listened to, from a real broker, by the conductor's own process."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from typing import Any

import pytest
from seatrial.api.report import messages_text

from tests.support.brokers import BrokerProcess
from tests.support.conducted import a_conductor, a_run_doc, a_scenario, order, verdict
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time


def conducted(**run: Any) -> RunNamespace:
    async def course() -> RunNamespace:
        namespace = RunNamespace()
        order(namespace, a_run_doc(**run))
        await a_conductor(namespace)
        return namespace

    return in_virtual_time(course())


def records_of(namespace: RunNamespace) -> list[dict[str, Any]]:
    report = namespace.objects["configmaps", "seatrial-report"]["binaryData"]
    return json.loads(gzip.decompress(b64decode(report["messages.json.gz"])))


def test_what_nobody_waits_for_is_in_the_report(
    nats: BrokerProcess, kafka: BrokerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_CONNECTIONS", json.dumps({"events": nats.url, "log": kafka.url}))
    steps = [
        {"message": {"to": "events", "subject": "taps.orders", "json": {"id": number}}}
        for number in (1, 2)
    ]
    kept = {"message": {"to": "log", "topic": "tapped", "json": {"password": "hunter2"}}}
    namespace = conducted(
        taps=[
            {"name": "orders", "from": "events", "subject": "taps.>"},
            {"name": "log", "from": "log", "topic": "tapped", "earlier": True},
        ],
        tests=[a_scenario("publishes", *steps, kept)],
    )
    assert verdict(namespace) == "Passed"
    orders, log = records_of(namespace)
    assert (orders["test"], orders["case"]) == ("", "orders")
    assert [each["text"] for each in orders["messages"]] == ['{"id": 1}', '{"id": 2}']
    assert [each["topic"] for each in log["messages"]] == ["tapped"]
    assert "hunter2" not in json.dumps(log)
    assert "Messages recorded: 2" in messages_text(orders)  # type: ignore[arg-type]


def test_a_tap_that_cannot_listen_is_told_and_fails_nothing(
    nats: BrokerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_CONNECTIONS", json.dumps({"events": nats.url}))
    namespace = conducted(
        taps=[
            {"name": "away", "from": "nats://127.0.0.1:9", "subject": "a"},
            {"name": "orders", "from": "events", "subject": "taps.b"},
        ],
        tests=[
            a_scenario("goes-on", {"message": {"to": "events", "subject": "taps.b", "text": "b"}})
        ],
    )
    assert verdict(namespace) == "Passed"
    [told] = namespace.summary()["lostEvidence"]
    assert told.startswith("Tap away has no messages: ")
    [orders] = records_of(namespace)
    assert orders["total"] == 1
