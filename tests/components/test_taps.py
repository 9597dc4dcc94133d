"""A tap has what no step has listened to, from a real broker, by the conductor's own process."""

from __future__ import annotations

import gzip
import json
import os
import socket
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from seatrial.api.names import CHECK_PORTS
from seatrial.api.report import messages_text
from seatrial.api.taps import Tap
from seatrial_runner.conductor import tapping
from seatrial_runner.conductor.workers import Channel

from tests.support.broker_admin import prepare
from tests.support.brokers import BrokerProcess
from tests.support.conducted import a_conductor, a_run_doc, a_scenario, order, verdict
from tests.support.gateway_process import Gateway
from tests.support.message_cases import CASES, Way
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


# What is tapped has no copy where it is a queue; what was published before the run is there where
# it is kept.
TAPPED = {name: case for name, case in CASES.items() if "queue" not in case.source}
KEPT_BEFORE = {"kafka", "jetstream", "redis"}


@pytest.mark.parametrize("name", TAPPED)
def test_every_broker_can_be_tapped(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = Way(TAPPED[name], request.getfixturevalue(TAPPED[name].fixture))
    prepare(way)
    assert way.run(way.to({"id": 0})).outcome == "passed"
    monkeypatch.setenv("SEATRIAL_CONNECTIONS", json.dumps({"events": way.broker.url}))
    tap = Tap.model_validate({"name": "orders", "from": "events", **way.source})
    namespace = conducted(
        taps=[{"name": "orders", **tap.as_step().model_dump(by_alias=True, exclude_unset=True)}],
        tests=[a_scenario("publishes", way.to({"id": 1}), way.to({"id": 2}))],
    )
    assert verdict(namespace) == "Passed"
    assert namespace.summary().get("lostEvidence", []) == []
    [orders] = records_of(namespace)
    first = 0 if name in KEPT_BEFORE else 1
    assert [json.loads(each["text"])["id"] for each in orders["messages"]] == [*range(first, 3)]
    assert all(way.name in each["topic"] for each in orders["messages"])


@pytest.mark.parametrize("name", TAPPED)
def test_what_a_tap_connects_from_tells_that_it_is_no_traffic(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = Way(TAPPED[name], request.getfixturevalue(TAPPED[name].fixture))
    prepare(way)
    monkeypatch.setenv("SEATRIAL_CONNECTIONS", json.dumps({"events": way.broker.url}))
    tap = Tap.model_validate({"name": "orders", "from": "events", **way.source})
    record, ask = tapping._record, Channel.ask

    def looks(taps: Any, services: Any, channel: Channel) -> Any:
        def asked(channel: Channel, message: Any) -> Any:
            channel.tell({"came": ports_to(way.broker.port)})
            return ask(channel, message)

        monkeypatch.setattr(Channel, "ask", asked)
        return record(taps, services, channel)

    came: list[int] = []
    told: list[str] = []
    serve = tapping.Tapping._serve

    async def listens(self: tapping.Tapping, message: Any) -> Any:
        came.extend(message.get("came", []))
        told.extend([message["asks"]] if "asks" in message else [])
        return await serve(self, message)

    monkeypatch.setattr(tapping, "_record", looks)
    monkeypatch.setattr(tapping.Tapping, "_serve", listens)
    namespace = conducted(
        taps=[{"name": "orders", **tap.as_step().model_dump(by_alias=True, exclude_unset=True)}],
        tests=[a_scenario("publishes", way.to({"id": 1}))],
    )
    assert verdict(namespace) == "Passed"
    assert came, told
    assert [port for port in came if port not in CHECK_PORTS] == []
    assert len(told) >= len(came)
    assert set(told) <= {"127.0.0.1", "localhost"}


def test_a_fault_that_only_a_tap_has_met_has_met_nothing(
    nats: BrokerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    tap = {"name": "orders", "from": "events", "subject": "taps.hit", "subscribe": True}
    with Gateway({"events": nats.port}) as gateway:
        gateway.set_sources(tests=["127.0.0.1"], conductor=["127.0.0.1"])
        url = nats.url.replace(f":{nats.port}", f":{gateway.ports['events']}")
        monkeypatch.setenv("SEATRIAL_CONNECTIONS", json.dumps({"events": url}))
        path = {"service": "events", "port": None, "sources": ["tests"]}
        gateway.put("slow", "latency", params={"delay": "10ms"}, paths=[path])
        for step, met in (
            ({"expect": ["true"]}, False),
            ({"message": {"to": "events", "subject": "taps.hit", "text": "a"}}, True),
        ):
            namespace = conducted(taps=[tap], tests=[a_scenario("goes-on", step)])
            assert verdict(namespace) == "Passed"
            assert namespace.summary().get("lostEvidence", []) == []  # the tap has listened
            assert bool(gateway.report("slow")["hits"]) is met


def ports_to(port: int) -> list[int]:
    """Give the local ports of this process's connections to a port."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            sock = socket.socket(fileno=os.dup(int(each.name)))
        except OSError:
            continue
        with sock:
            try:
                if sock.getpeername()[1] == port:
                    found.append(sock.getsockname()[1])
            except (OSError, IndexError):
                continue
    return found


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
