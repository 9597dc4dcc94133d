"""The scenarios of the end-to-end test on a laptop: pytest, and the service on loopback."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster.ports import free_port
from tests.support.flow_outcomes import ERROR, FAILED, PASSED

INSIDE = Path(__file__).parents[1] / "e2e/inside"


@pytest.fixture
def store():
    port = free_port()
    process = subprocess.Popen([sys.executable, INSIDE / "store.py", str(port)])
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_each_test_ends_as_it_does_in_the_cluster(store):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rA", "-m", "not never"]
    done = subprocess.run(
        [*command, "-c", os.devnull, f"--rootdir={INSIDE}", f"--service=store={store}",
         INSIDE / "flow.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    passed = set(re.findall(r"^PASSED [\w/]*flow\.yaml::([\w-]+)", done.stdout, re.MULTILINE))
    failed = set(re.findall(r"^FAILED [\w/]*flow\.yaml::([\w-]+)", done.stdout, re.MULTILINE))
    assert passed == set(PASSED), done.stdout
    assert failed == {*FAILED, *ERROR}, done.stdout
    for words in [*FAILED.values(), *ERROR.values()]:
        assert words in done.stdout
    assert "1 deselected" in done.stdout
