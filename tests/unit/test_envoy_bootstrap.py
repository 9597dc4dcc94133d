"""Envoy's configuration: who meets which fault, and nobody before it is switched on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from seatrial.api.control import EnvoyDoc, ListenerDoc
from seatrial.api.faults import Fault
from seatrial.api.names import ENVOY_HEADER
from seatrial.plan.objects.containers import runner_security_context
from seatrial.plan.objects.envoy import envoy_bootstrap, envoy_container, envoy_volumes
from seatrial.plan.settings import PlanSettings

Json = dict[str, Any]


def a_listener(port: int = 30001, name: str = "http", **sources: int) -> ListenerDoc:
    return ListenerDoc(
        service="orders",
        portName=name,
        port=8080,
        listen=20001,
        upstreamHost="seatrial-direct-orders",
        envoy=EnvoyDoc(port=port, sources=sources),
    )


def a_fault(name: str, target: Json | None = None, **http: Any) -> Fault:
    aim = {"service": "orders", **(target or {})}
    http = http or {"abort": {"status": 503}}
    return Fault.model_validate({"name": name, "target": aim, "http": http, "for": "5s"})


def routes(bootstrap: Json, port: int, host: str = "service") -> list[str]:
    """Name the routes of a listener in order; the last, which is no fault's, has no name."""
    (listener,) = (
        each for each in bootstrap["static_resources"]["listeners"] if each["name"] == str(port)
    )
    (manager,) = listener["filter_chains"][0]["filters"]
    hosts = manager["typed_config"]["route_config"]["virtual_hosts"]
    (found,) = (each["routes"] for each in hosts if each["name"] == host)
    return [route.get("name", "") for route in found]


def routes_of_faults(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        if "match" in value and value.get("name"):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from routes_of_faults(inner)


def test_faults_are_in_the_order_of_their_declaration() -> None:
    faults = [a_fault("b"), a_fault("a"), a_fault("c")]
    bootstrap = envoy_bootstrap([("orders", a_listener())], faults)

    assert routes(bootstrap, 30001) == ["b", "a", "c", ""]
    assert routes(bootstrap, 30001, "probe") == ["b", "a", "c", ""]


def test_a_source_meets_its_own_faults_and_those_of_everyone() -> None:
    faults = [a_fault("shop-only", {"from": ["shop"]}), a_fault("all")]
    bootstrap = envoy_bootstrap([("orders", a_listener(shop=30002))], faults)

    assert routes(bootstrap, 30001) == ["all", ""]
    assert routes(bootstrap, 30002) == ["shop-only", "all", ""]


def test_a_fault_of_another_port_or_service_is_not_met() -> None:
    faults = [a_fault("admin-only", {"port": "admin"}), a_fault("other", {"service": "payments"})]
    listeners = [
        ("orders", a_listener()),
        ("orders", a_listener(30002, "admin")),
        ("payments", a_listener(30003)),
    ]
    bootstrap = envoy_bootstrap(listeners, faults)

    assert routes(bootstrap, 30001) == [""]
    assert routes(bootstrap, 30002) == ["admin-only", ""]
    assert routes(bootstrap, 30003) == ["other", ""]


def test_nobody_meets_a_fault_before_it_is_switched_on() -> None:
    faults = [a_fault("fails"), a_fault("slow", delay="1s"), a_fault("odd", body={"replace": ""})]
    bootstrap = envoy_bootstrap([("orders", a_listener(shop=30002))], faults)
    found = list(routes_of_faults(bootstrap))

    assert len(found) == 3 * (2 + 2)  # two listeners with two hosts each
    for route in found:
        on = {"name": ENVOY_HEADER, "string_match": {"contains": f",{route['name']},"}}
        assert on in route["match"]["headers"]


def test_a_service_without_http_faults_does_not_go_through_envoy() -> None:
    plain = a_listener()
    plain["envoy"] = None
    bootstrap = envoy_bootstrap([("orders", plain)], [])

    assert [each["name"] for each in bootstrap["static_resources"]["listeners"]] == ["switchboard"]


def test_the_configuration_is_json_and_the_same_for_the_same_run() -> None:
    def written() -> str:
        faults = [a_fault("odd", match={"headers": {"X-A": "1", "X-B": "2"}}, rate="1Ki")]
        return json.dumps(envoy_bootstrap([("orders", a_listener())], faults))

    assert written() == written()


def test_the_container_is_as_restricted_as_our_own() -> None:
    container = envoy_container(PlanSettings(runner_image="r", envoy_image="e:1"))

    assert container["image"] == "e:1"
    assert container["securityContext"] == runner_security_context()
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in envoy_volumes()}
