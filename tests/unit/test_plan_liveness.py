"""What becomes of a run whose conductor has trouble."""

from datetime import UTC, datetime, timedelta

import pytest
from seatrial.api.reasons import Reason
from seatrial.plan.liveness import Health, describe, health
from seatrial.plan.seen import PodSeen, see_pod

from tests.support.builders import a_summary

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TAKEN = "0/1 nodes are available: 1 No preemption victims found for incoming pod."


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
        pytest.param(
            a_pod(waiting="ErrImageNeverPull"),
            Reason.CONDUCTOR_IMAGE_PULL_FAILED,
            id="an-image-that-is-not-there-and-may-not-be-pulled",
        ),
        pytest.param(a_pod(19, waiting="ErrImagePull"), None, id="a-pull-may-fail-once"),
        pytest.param(
            a_pod(20, waiting="ImagePullBackOff"),
            Reason.CONDUCTOR_IMAGE_PULL_FAILED,
            id="but-not-for-long",
        ),
        *(
            pytest.param(a_pod(20, waiting=each), Reason.CONDUCTOR_IMAGE_PULL_FAILED, id=each)
            for each in ("ErrImagePull", "ImageInspectError", "RegistryUnavailable")
        ),
        pytest.param(a_pod(59, unschedulable="0/1 nodes"), None, id="a-node-may-be-joining"),
        pytest.param(
            a_pod(60, unschedulable="0/1 nodes"),
            Reason.CONDUCTOR_UNSCHEDULABLE,
            id="but-not-for-a-minute",
        ),
        pytest.param(a_pod(200, unschedulable=TAKEN), None, id="other-pods-may-go"),
        pytest.param(
            a_pod(phase="Succeeded"), Reason.CONDUCTOR_FAILED, id="it-must-not-end-in-silence"
        ),
        pytest.param(a_pod(waiting="CrashLoopBackOff", restarts=4), None, id="killed-on-purpose"),
        pytest.param(a_pod(phase="Running", restarts=5), None, id="it-is-up-again"),
        pytest.param(a_pod(99, waiting="ContainerCreating"), None, id="a-slow-node"),
        pytest.param(
            a_pod(waiting="CrashLoopBackOff", restarts=5),
            Reason.CONDUCTOR_CRASH_LOOP,
            id="it-cannot-stay-up",
        ),
    ],
)
def test_a_conductor_in_trouble_ends_the_run_with_its_reason(pod, reason):
    found = health(pod, NOW)
    assert (found.fatal.reason if found.fatal else None) == reason
    assert not found.remove


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        pytest.param(
            a_pod(phase="Succeeded"),
            "The conductor ended without saying how the tests went.",
            id="in-silence",
        ),
        pytest.param(
            a_pod(waiting="InvalidImageName", waiting_message="no such name."),
            "The runner image cannot be pulled (InvalidImageName): no such name. Check the"
            " operator's setting of the runner image and its pull secrets.",
            id="pull",
        ),
        pytest.param(
            a_pod(20, waiting="ErrImagePull", waiting_message="denied."),
            "The runner image cannot be pulled (ErrImagePull): denied. Check the operator's"
            " setting of the runner image and its pull secrets.",
            id="pull-again-and-again",
        ),
        pytest.param(
            a_pod(60, unschedulable="0/1 nodes"),
            "No node has room for the conductor: 0/1 nodes",
            id="room",
        ),
        pytest.param(
            a_pod(waiting="CrashLoopBackOff", restarts=6, exit_code=137),
            "The conductor ended 6 times, last with exit status 137; see the log of pod"
            " seatrial-conductor.",
            id="crash-loop",
        ),
    ],
)
def test_what_keeps_the_conductor_from_its_work_is_said_with_what_to_do(pod, message):
    fatal = health(pod, NOW).fatal
    assert fatal is not None
    assert fatal.message == message


@pytest.mark.parametrize(
    ("pod", "seconds"),
    [
        pytest.param(a_pod(5, waiting="ErrImagePull"), 15, id="a-pull"),
        pytest.param(a_pod(5, unschedulable="0/1 nodes"), 55, id="room-on-a-node"),
        pytest.param(a_pod(90, deleted=NOW - timedelta(seconds=5)), 30, id="its-deletion"),
    ],
)
def test_what_may_still_come_is_looked_at_again_when_it_may_not_any_more(pod, seconds):
    end = NOW + timedelta(seconds=seconds)
    assert health(pod, NOW) == Health(look_again=end)
    assert health(pod, end - timedelta(seconds=1)) == Health(look_again=end)
    assert health(pod, end) != Health(look_again=end)


def test_an_evicted_conductor_is_made_again():
    assert health(a_pod(phase="Failed", reason="Evicted"), NOW) == Health(remove=True)


def test_a_conductor_on_a_lost_node_is_removed_by_force_after_a_while():
    pod = a_pod(90, phase="Running", deleted=NOW - timedelta(seconds=35))
    assert health(pod, NOW) == Health(remove=True, force=True)


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        pytest.param(None, " The conductor has no pod.", id="no-pod"),
        pytest.param(
            a_pod(unschedulable=TAKEN),
            f" No node has room for the conductor: {TAKEN}",
            id="no-room",
        ),
        pytest.param(
            a_pod(waiting="ImagePullBackOff", waiting_message="no such image"),
            " The conductor waits: ImagePullBackOff no such image",
            id="waits",
        ),
        pytest.param(
            a_pod(waiting="ContainerCreating"),
            " The conductor waits: ContainerCreating",
            id="waits-for-nobody-knows-what",
        ),
        pytest.param(a_pod(), " The conductor's pod has not started.", id="not-started"),
    ],
)
def test_what_it_waits_for_is_said_behind_a_deadline(pod, said):
    assert describe(pod, None) == said


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
