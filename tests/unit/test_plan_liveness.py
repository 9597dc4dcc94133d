"""What becomes of a run whose conductor has trouble."""

from datetime import UTC, datetime, timedelta

import pytest
from seatrial.api.reasons import Reason
from seatrial.plan.liveness import describe, health
from seatrial.plan.seen import PodSeen, see_pod

from tests.support.builders import a_summary

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_pod(age=0.0, **fields):
    return PodSeen("uid", NOW - timedelta(seconds=age), **fields)


@pytest.mark.parametrize(
    ("pod", "reason"),
    [
        pytest.param(a_pod(phase="Running"), None, id="running-is-fine"),
        pytest.param(a_pod(), None, id="pending-is-fine"),
        pytest.param(None, None, id="none-is-made"),
        pytest.param(
            a_pod(waiting="InvalidImageName"),
            Reason.CONDUCTOR_IMAGE_PULL_FAILED,
            id="a-bad-name-at-once",
        ),
        pytest.param(a_pod(5, waiting="ErrImagePull"), None, id="a-pull-may-fail-once"),
        pytest.param(
            a_pod(20, waiting="ImagePullBackOff"),
            Reason.CONDUCTOR_IMAGE_PULL_FAILED,
            id="but-not-for-long",
        ),
        pytest.param(a_pod(30, unschedulable="0/1 nodes"), None, id="a-node-may-be-joining"),
        pytest.param(
            a_pod(60, unschedulable="0/1 nodes"),
            Reason.CONDUCTOR_UNSCHEDULABLE,
            id="but-not-for-a-minute",
        ),
        pytest.param(
            a_pod(phase="Succeeded"), Reason.CONDUCTOR_FAILED, id="it-must-not-end-in-silence"
        ),
        pytest.param(a_pod(waiting="CrashLoopBackOff", restarts=4), None, id="killed-on-purpose"),
        pytest.param(
            a_pod(waiting="CrashLoopBackOff", restarts=5),
            Reason.CONDUCTOR_CRASH_LOOP,
            id="it-cannot-stay-up",
        ),
    ],
)
def test_a_conductor_in_trouble_ends_the_run_with_its_reason(pod, reason):
    fatal = health(pod, NOW).fatal
    assert (fatal.reason if fatal else None) == reason


def test_waiting_for_a_pull_is_looked_at_again_in_time():
    pod = a_pod(5, waiting="ErrImagePull")
    assert health(pod, NOW).look_again == pod.created + timedelta(seconds=20)


def test_an_evicted_conductor_is_made_again():
    assert health(a_pod(phase="Failed", reason="Evicted"), NOW).remove


def test_a_conductor_on_a_lost_node_is_removed_by_force_after_a_while():
    pod = a_pod(90, phase="Running", deleted=NOW - timedelta(seconds=10))
    assert not health(pod, NOW).remove
    later = health(pod, NOW + timedelta(seconds=30))
    assert (later.remove, later.force) == (True, True)


def test_what_it_waits_for_is_said_behind_a_deadline():
    assert "ImagePullBackOff no such image" in describe(
        a_pod(waiting="ImagePullBackOff", waiting_message="no such image"), None
    )
    assert describe(None, None) == " The conductor has no pod."


def test_of_a_conductor_that_stands_still_it_is_said_since_when():
    pod, summary = a_pod(phase="Running"), a_summary()
    last_word = summary["updatedAt"]
    assert f"runs, but has said nothing since {last_word}: see the log" in describe(pod, summary)
    assert "runs, but has said nothing at all: see the log" in describe(pod, None)


def test_a_pod_is_read_as_the_kubelet_writes_it():
    body = {
        "metadata": {"uid": "u", "creationTimestamp": "2026-11-20T12:00:00Z"},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes"}
            ],
            "containerStatuses": [
                {
                    "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"exitCode": 137}},
                }
            ],
        },
    }
    pod = see_pod(body)
    assert (pod.waiting, pod.restarts, pod.exit_code) == ("CrashLoopBackOff", 3, 137)
    assert pod.unschedulable == "0/1 nodes"
