"""Some pods of a service hang, each asked at its own address; the others answer."""

import socket

import httpx
import pytest


def answering(http):
    """Give the names of the pods that answer; a busy machine has its time."""
    found = socket.getaddrinfo("group", 8080, socket.AF_INET, socket.SOCK_STREAM)
    names = set()
    for address in {each[4][0] for each in found}:
        url, once = f"http://{address}:8080/", {"connection": "close"}
        try:
            names.add(http.get(url, timeout=5, headers=once).json()["host"])
        except httpx.TransportError:
            continue
    return names


@pytest.mark.parametrize(("name", "count"), [("half", 2), ("leader", 1)])
def test_those_that_are_meant_hang_and_go_on(faults, http, name, count):
    everyone = answering(http)
    assert len(everyone) == 4
    with faults(name) as fault:
        hit = {each["name"] for each in fault.status()["targets"]}
        assert len(hit) == count
        assert answering(http) == everyone - hit
    assert name != "leader" or hit == {each for each in everyone if each.startswith("leader-")}
    assert answering(http) == everyone
