"""Requests that no fault is meant for."""

import time


def test_it_is_answered(services, http, eventually):
    url = f"{services['web'].url}/orders"
    # Behind the gateway, the node's proxy may hear of the pod later than the gate waits for.
    eventually(lambda: http.get(url).status_code == 200, within=30)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert http.get(url).status_code == 200
        time.sleep(0.1)
