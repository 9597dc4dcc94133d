"""Requests that no fault is meant for."""

import time


def test_it_is_answered(services, http):
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert http.get(f"{services['web'].url}/orders").status_code == 200
        time.sleep(0.1)
