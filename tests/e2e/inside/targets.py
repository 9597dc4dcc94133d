"""
Faults that hit some of the traffic only: a port, a source, a share, one way.

``wire`` is of plain manifests, with named target ports and two pods; ``left`` and ``right`` are the
services that ask it, by dialling for the test; their own traffic meets nothing.
"""

import time

import pytest
import wire

QUICK_S = 0.25
CUT_OFF_S = 0.7  # nothing has come for so long


@pytest.fixture
def at(services):
    """Give the address of a port of a service."""
    return lambda service, port="a": (services[service].host, services[service].ports[port])


def dials(at, source, target="wire", timeout=5.0):
    """Tell whether a service reaches another."""
    return wire.reaches(at(target), through=at(source), timeout=timeout)


def test_all_pods_are_behind_the_service(at, eventually):
    def pods():
        return {wire.command(at("wire"), "who") for _ in range(30)}

    # The node's proxy may hear of the second one later.
    eventually(lambda: len(pods()) == 2, within=30)


def test_one_port_is_hit(faults, at):
    with faults("port-a") as fault:
        assert wire.round_trip(at("wire", "a")) >= 0.4
        assert wire.round_trip(at("wire", "b")) < QUICK_S
    assert wire.round_trip(at("wire", "a")) < QUICK_S
    assert fault.status()["hits"] == 1


def test_all_ports_are_hit(faults, at):
    with faults("all-ports") as fault:
        assert wire.round_trip(at("wire", "a")) >= 0.4
        assert wire.round_trip(at("wire", "b")) >= 0.4
    assert fault.status()["hits"] == 2


def test_one_service_is_hit(faults, at):
    with faults("from-left") as fault:
        assert wire.round_trip(at("wire"), through=at("left")) >= 0.4
        assert wire.round_trip(at("wire"), through=at("right")) < QUICK_S
        assert wire.round_trip(at("wire")) < QUICK_S
    assert wire.round_trip(at("wire"), through=at("left")) < QUICK_S
    assert fault.status()["hits"] == 1


def test_the_tests_are_hit(faults, at):
    with faults("from-tests") as fault:
        assert wire.round_trip(at("wire")) >= 0.4
        assert wire.round_trip(at("wire"), through=at("left")) < QUICK_S
    assert fault.status()["hits"] == 1


def test_two_services_are_hit_and_no_other(faults, at):
    with faults("from-both") as fault:
        assert wire.round_trip(at("wire"), through=at("left")) >= 0.4
        assert wire.round_trip(at("wire"), through=at("right")) >= 0.4
        assert wire.round_trip(at("wire")) < QUICK_S
    assert wire.round_trip(at("wire"), through=at("right")) < QUICK_S
    assert fault.status()["hits"] == 2


def statuses(at):
    """Give how the web port answers the tests, left and right: of named target ports, by Envoy."""
    port = at("wire", "web")
    return [wire.http_status(port, through=each) for each in (None, at("left"), at("right"))]


@pytest.mark.parametrize(
    ("fault", "during"),
    [
        ("web-fails", [503, 503, 503]),
        ("web-fails-for-left", [200, 503, 200]),
        ("web-fails-for-both", [200, 503, 503]),
    ],
)
def test_http_faults_hit_those_they_name(faults, at, fault, during):
    assert statuses(at) == [200] * 3
    with faults(fault) as started:
        assert statuses(at) == during
        assert wire.round_trip(at("wire", "a")) < QUICK_S
    assert statuses(at) == [200] * 3
    assert started.status()["hits"] == during.count(503)


def test_a_share_of_connections_is_hit(faults, at):
    with faults("half") as fault:
        refused = sum(not wire.reaches(at("wire")) for _ in range(100))
        assert 25 <= refused <= 75
    assert all(wire.reaches(at("wire")) for _ in range(10))
    assert fault.status()["hits"] == refused


def test_a_partition_parts_two_services_both_ways(faults, at):
    there = wire.echo(at("wire"), through=at("left"))
    back = wire.echo(at("left"), through=at("wire"))
    other = wire.echo(at("wire"), through=at("right"))
    assert all(wire.is_alive(each) for each in (there, back, other))
    with faults("cut-left") as fault:
        there.send(b"held there")
        back.send(b"held back")
        assert there.get(10, 0.6) == b""
        assert back.get(9, 0.1) == b""
        assert not dials(at, "left", timeout=CUT_OFF_S)
        assert not dials(at, "wire", "left", timeout=CUT_OFF_S)
        assert wire.is_alive(other)
        assert dials(at, "right")
        assert wire.reaches(at("wire"))
        assert wire.reaches(at("left"))
    assert there.get(10) == b"held there"
    assert back.get(9) == b"held back"
    assert dials(at, "left")
    assert dials(at, "wire", "left")
    for each in (there, back, other):
        each.socket.close()
    assert fault.status()["hits"] == 4


@pytest.mark.parametrize(
    ("fault", "there_holds", "back_holds"),
    [("cut-to-wire", True, False), ("cut-from-wire", False, True)],
)
def test_a_partition_parts_two_services_one_way(faults, at, fault, there_holds, back_holds):
    there = wire.echo(at("wire"), through=at("left"))
    back = wire.echo(at("left"), through=at("wire"))
    assert all(wire.is_alive(each) for each in (there, back))
    with faults(fault):
        there.send(b"there")
        back.send(b"back")
        there_s, back_s = (CUT_OFF_S if holds else 5.0 for holds in (there_holds, back_holds))
        assert there.get(5, there_s) == (b"" if there_holds else b"there")
        assert back.get(4, back_s) == (b"" if back_holds else b"back")
        assert dials(at, "left", timeout=there_s) is not there_holds
        assert dials(at, "wire", "left", timeout=back_s) is not back_holds
    held, expected = (there, b"there") if there_holds else (back, b"back")
    assert held.get(len(expected)) == expected
    for each in (there, back):
        each.socket.close()


def test_faults_overlap_and_each_ends_for_itself(faults, at):
    def once():
        data = b"x" * 4000
        began = time.monotonic()
        with wire.echo(at("wire", "b")) as live:
            answer = live.ask(data)
        assert len(answer) == len(data)
        return answer != data, time.monotonic() - began

    # The quickest of a few: a busy machine adds to each, and takes nothing away.
    def echo():
        changed, took = zip(*(once() for _ in range(3)), strict=True)
        return any(changed), min(took) >= 0.4

    with faults("slow-b"):
        assert echo() == (False, True)
        with faults("corrupt-b"):
            assert echo() == (True, True)
        assert echo() == (False, True)
    assert echo() == (False, False)
