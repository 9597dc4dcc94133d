"""Hundreds of short faults in a row: none left on, none lost, each on time."""

from __future__ import annotations

import time

from tests.support.fault_storm import at, storm
from tests.support.gateway_process import Gateway, receive


def test_many_short_faults_in_a_row(gateway: Gateway) -> None:
    """The full 10,000 are in tests/bench, on a quiet machine; here the bounds are wider."""
    seen = storm(gateway, 200)
    print(seen.table())

    assert seen.lost == []
    assert at(sorted(seen.begun_late_s), 0.5) < 0.05
    assert at(sorted(seen.ended_late_s), 0.5) < 0.05
    everything = gateway.client.get("/v1/faults").json()["faults"]
    assert {report["state"] for report in everything} == {"ended"}
    with gateway.connect() as sock:
        began = time.monotonic()
        sock.sendall(b"x")
        receive(sock, 1)
        assert time.monotonic() - began < 0.1
