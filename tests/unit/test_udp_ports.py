"""A port that speaks UDP answers no stranger: the gate does not wait for it."""

import asyncio
import json
import time

from seatrial.plan.documents import contents
from seatrial_runner.conductor.reach import until_reachable

from localcluster.ports import free_port
from tests.support.builders import a_service, a_test
from tests.support.simulation import Simulation


def services_of(run_configmap):
    return json.loads(run_configmap["data"]["run.json"])["services"]


def a_doc(*ports):
    return {"name": "dns", "wave": 0, "hosts": ["127.0.0.1"], "ports": list(ports), "workloads": []}


def stand_at_the_gate(*ports, within_s):
    asyncio.run(until_reachable([a_doc(*ports)], within_s=within_s))


def test_nothing_is_asked_of_a_udp_port():
    udp = {"name": "dns", "port": free_port(), "protocol": "UDP"}
    stand_at_the_gate(udp, within_s=24 * 3600.0)  # it would last as long


def test_a_tcp_port_beside_it_is_still_waited_for():
    udp = {"name": "dns", "port": free_port(), "protocol": "UDP"}
    began = time.monotonic()
    stand_at_the_gate(udp, {"name": "http", "port": free_port()}, within_s=0.2)
    assert time.monotonic() - began >= 0.2


def test_the_short_form_and_manifests_tell_the_conductor_which_it_is():
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "http", "port": 8080}]
    simulation = Simulation(services=[a_service("orders", ports=ports)], tests=[a_test()])
    simulation.until("Running")
    key = ("ConfigMap", "itr-checkout-00000001", "seatrial-run")
    [service] = services_of(simulation.cluster.objects[key])
    told = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "http", "port": 8080}]
    assert service["ports"] == told
    manifest = {"kind": "Service", "metadata": {"name": "orders"}, "spec": {"ports": ports}}
    assert list(contents([manifest]).ports) == told
