"""Whatever faults come and go, without a fault that loses bytes none is lost and all keep order."""

from __future__ import annotations

import random
import socket
import threading
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gateway_process import Gateway, receive

DIRECTION = st.sampled_from(["both", "request", "response"])
LATENCY = st.fixed_dictionaries(
    {"delay": st.sampled_from(["1ms", "5ms", "20ms"]), "direction": DIRECTION},
    optional={
        "jitter": st.sampled_from(["1ms", "10ms"]),
        "distribution": st.sampled_from(["uniform", "normal", "pareto"]),
    },
)
HARMLESS = st.one_of(
    st.tuples(st.just("latency"), LATENCY),
    st.tuples(
        st.just("bandwidth"),
        st.fixed_dictionaries({"rate": st.sampled_from(["1M", "10M"]), "direction": DIRECTION}),
    ),
    st.tuples(st.just("slowClose"), st.just({"delay": "10ms"})),
    st.tuples(st.just("partition"), st.just({})),
    st.tuples(st.just("refuse"), st.just({})),
    st.tuples(st.just("connectionLimit"), st.just({"connections": 0})),
)


@dataclass
class Step:
    """A fault that is put or ended, or bytes that are sent, while all goes on."""

    fault: tuple[str, dict[str, Any]] | None
    ends: int
    sends: int


STEPS = st.lists(
    st.builds(
        Step, st.none() | HARMLESS, st.integers(0, 3), st.sampled_from([0, 1, 100, 5_000, 300_000])
    ),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STEPS, st.integers(0, 2**31))
def test_bytes_arrive_in_order_whatever_comes_and_goes(
    gateway: Gateway, steps: list[Step], seed: int
) -> None:
    chance = random.Random(seed)
    data = b"".join(chance.randbytes(step.sends) for step in steps)
    received: list[bytes] = []
    with gateway.connect(timeout=30) as sock:
        reader = threading.Thread(target=lambda: received.append(receive(sock, len(data))))
        reader.start()
        writer = threading.Thread(target=_write, args=(sock, data, [s.sends for s in steps]))
        writer.start()
        on: list[str] = []
        for number, step in enumerate(steps):
            for name in on[: step.ends]:
                gateway.delete(name)
            del on[: step.ends]
            if step.fault is not None:
                kind, params = step.fault
                gateway.put(f"f{number}", kind, 30, seed=seed, params=params)
                on.append(f"f{number}")
        assert gateway.client.delete("/v1/faults").status_code == 200
        writer.join(30)
        reader.join(30)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""

    assert b"".join(received) == data


def _write(sock: socket.socket, data: bytes, lengths: list[int]) -> None:
    at = 0
    for length in lengths:
        sock.sendall(data[at : at + length])
        at += length
