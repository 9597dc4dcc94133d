"""A container test of no framework: starts and stops faults by the conductor's HTTP interface."""

import json
import os
import time
import urllib.error
import urllib.request

WEB = json.loads(os.environ["SEATRIAL_SERVICES"])["web"]["url"]


def order(fault, what, token=os.environ["SEATRIAL_TOKEN"]):
    """Give the status of the answer, and what it says."""
    url = f"{os.environ['SEATRIAL_URL']}/v1/faults/{fault}/{what}"
    headers = {"Authorization": f"Bearer {token}"}
    try:
        request = urllib.request.Request(url, method="POST", headers=headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def took(times=3):
    """Give the seconds of the quickest of a few requests: a busy machine only adds to each."""

    def ask():
        began = time.monotonic()
        urllib.request.urlopen(WEB, timeout=10).close()
        return time.monotonic() - began

    return min(ask() for _ in range(times))


assert order("slow", "start", token="another")[0] == 401
assert order("nothing", "start")[0] == 404
assert took() < 0.4
status, state = order("slow", "start")
assert (status, state["state"]) == (200, "Active"), state
assert took() >= 0.4
status, state = order("slow", "stop")
assert (status, bool(state["reverted"])) == (200, True), state
assert took() < 0.4

# The leader was killed, and its successor leads nothing: there is no target any more.
status, state = order("gone", "start")
assert status == 409, state
assert "none of the 4 running pods of service web has the labels role=leader" in state["error"]

for fault, count in {"half": 2, "all": 4}.items():
    status, state = order(fault, "start")
    assert status == 200, state
    assert len(state["targets"]) == count, state
    status, state = order(fault, "stop?recovered=true")
    assert (status, state["state"]) == (200, "Recovered"), state
