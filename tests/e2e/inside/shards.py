"""A suite that several pods share; what has run is written down at the service ``book``."""

import os
import socket
import time
from collections import Counter

import pytest
import wire

SHARD = int(os.environ["SEATRIAL_SHARD"])
SHARED = [*(f"once-{number}" for number in range(9)), "flaky"]
LOST_SHARD = 1
PATIENCE_S = 60  # with a busy machine


def write_down(services, line):
    address = (services["book"].host, services["book"].ports["wire"])
    with wire.Wire(address, "keep book", PATIENCE_S) as book:
        book.send(f"{SHARD} {line}\n".encode())
        book.socket.shutdown(socket.SHUT_WR)
        assert book.ended(PATIENCE_S)  # it has read all of it


def written(services):
    address = (services["book"].host, services["book"].ports["wire"])
    with wire.Wire(address, "kept book", PATIENCE_S) as book:
        return [line.split() for line in book.get(2**20, PATIENCE_S).decode().splitlines() if line]


@pytest.mark.parametrize("name", SHARED[:-1])
def test_shared(services, name):
    write_down(services, name)


def test_shared_flaky(services):
    write_down(services, "flaky")
    assert sum(name == "flaky" for _, name in written(services)) == 2


@pytest.mark.parametrize("number", range(9))
def test_lost(services, number):
    write_down(services, f"lost-{number}")
    if SHARD == LOST_SHARD:
        time.sleep(600)  # until the pod is killed


def test_book(services):
    lines = written(services)
    times = Counter(name for _, name in lines)
    assert {name: times[name] for name in SHARED} == {**dict.fromkeys(SHARED, 1), "flaky": 2}
    assert {shard for shard, name in lines if name in SHARED} == {"0", "1", "2"}
    assert {times[name] for name in times if name.startswith("lost")} == {1}
