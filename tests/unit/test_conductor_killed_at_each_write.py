"""A conductor that is killed at any of its writes leaves a run that another one can finish."""

from __future__ import annotations

import base64
import gzip

import pytest
from seatrial.api.names import REPORT_CONFIGMAP
from seatrial.api.verdict import judge

from tests.support.conducted import (
    a_conductor,
    a_fault_doc,
    a_killed_conductor,
    a_run_doc,
    a_scenario,
    a_service_doc,
    order,
)
from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import in_virtual_time

# A conductor writes less often in the run below, so that it is killed at every write.
MOST_WRITES = 40


def prepared() -> RunNamespace:
    """A run with a fault that lasts, one that is momentary, and three tests."""
    namespace = RunNamespace(start_s=0.3)
    faults = [
        a_fault_doc("fewer", scale={"replicas": 1}, **{"for": "1s"}, when={"test": "second"}),
        a_fault_doc("lose-one", when={"test": "third"}),
    ]
    tests = [a_scenario("first"), a_scenario("second"), a_scenario("third", {"expect": ["1 == 2"]})]
    order(namespace, a_run_doc(services=[a_service_doc()], faults=faults, tests=tests))
    namespace.deployment("orders", replicas=2)
    return namespace


async def killed_once(dies_at: int, *, after: bool) -> RunNamespace | None:
    namespace = prepared()
    if not await a_killed_conductor(namespace, dies_at=dies_at, after=after):
        return None
    await a_conductor(namespace)
    return namespace


@pytest.mark.parametrize("after", [False, True], ids=["before-it", "after-it"])
def test_killed_at_any_write_the_run_ends_the_same(after: bool) -> None:
    points = 0
    for dies_at in range(1, MOST_WRITES):
        namespace = in_virtual_time(killed_once(dies_at, after=after))
        if namespace is None:
            break
        points += 1
        summary = namespace.summary()
        where = f"killed at write {dies_at}"
        assert summary["finished"] is not None, where
        assert summary["finished"]["reason"] == "Completed", where
        assert [t["outcome"] for t in summary["tests"]] == ["Passed", "Passed", "Failed"], where
        assert [t["flaky"] for t in summary["tests"]] == [0, 0, 0], where
        assert summary["summary"]["tests"] == 3, where
        assert [f["state"] for f in summary["faults"]] == ["Recovered", "Recovered"], where
        assert namespace.objects["deployments", "orders"]["spec"]["replicas"] == 2, where
        assert summary["reportReady"], where
        binary = namespace.objects["configmaps", REPORT_CONFIGMAP]["binaryData"]
        junit = gzip.decompress(base64.b64decode(binary["junit.xml.gz"])).decode()
        assert junit.count('name="seed" value="0a1b2c3d') == 3, (
            where
        )  # of each case: what it was, and not a count
        assert judge(summary).verdict == "Failed", where
    else:
        pytest.fail(f"it writes {MOST_WRITES} times or more, and was not killed at all of them")
    assert points > 10  # or the test has not looked at much


def test_a_conductor_that_is_killed_every_time_gives_up_in_the_end() -> None:
    async def course() -> RunNamespace:
        namespace = prepared()
        for _ in range(10):
            assert await a_killed_conductor(namespace, dies_at=2, after=False)
        await a_conductor(namespace)
        return namespace

    finished = in_virtual_time(course()).summary()["finished"]
    assert finished is not None
    assert finished["reason"] == "EnvironmentFailed"
    assert "was started 11 times" in finished["message"]
