"""Which pods a kill hits: as many as asked for, running ones, the same for the same seed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.errors import NotInjectedError
from seatrial_runner.conductor.faults.kill import Kill
from seatrial_runner.conductor.faults.kinds import Aim
from seatrial_runner.conductor.faults.targets import choose, how_many
from seatrial_runner.conductor.seen import PODS, Seen

from tests.support.conducted import a_fault_doc, a_service_doc
from tests.support.pods import a_pod


@given(st.integers(1, 100), st.integers(1, 50))
def test_a_percentage_is_rounded_up_and_at_least_one(percent: int, there: int) -> None:
    count = how_many(f"{percent}%", there)
    assert 1 <= count <= there
    assert count == max(math.ceil(percent * there / 100 - 1e-9), 1)


@given(st.integers(1, 50))
def test_all_is_all(there: int) -> None:
    assert how_many("all", there) == there
    assert how_many("100%", there) == there


@pytest.mark.parametrize(
    ("asked", "there", "count"),
    [(None, 3, 1), (2, 3, 2), ("2", 3, 2), ("0%", 3, 1), ("110%", 10, 10), ("10%", 11, 2)],
)
def test_numbers_and_percentages(asked: int | str | None, there: int, count: int) -> None:
    assert how_many(asked, there) == count


@pytest.mark.parametrize(
    ("asked", "words"),
    [(4, "4 pods were asked for, 3 run"), (0, "not a number"), ("-1", "not"), ("half", "not")],
)
def test_what_cannot_be_done_is_not_half_done(asked: int | str, words: str) -> None:
    with pytest.raises(NotInjectedError, match=words):
        how_many(asked, 3)


names = st.lists(st.text("abcdef", min_size=1), min_size=1, max_size=12, unique=True)


@given(names, st.data(), st.text(max_size=8))
def test_a_choice_is_repeatable_and_has_the_size_asked_for(
    there: list[str], data: st.DataObject, seed: str
) -> None:
    count = data.draw(st.integers(1, len(there)))
    chosen = choose(there, count, seed)
    assert len(set(chosen)) == count
    assert set(chosen) <= set(there)
    assert chosen == choose(list(reversed(there)), count, seed)


@given(st.integers(2, 6))
def test_every_pod_can_be_the_one(there: int) -> None:
    pods = [str(number) for number in range(there)]
    assert {choose(pods, 1, str(seed))[0] for seed in range(200)} == set(pods)


def aimed(*pods: dict[str, Any], **target: Any) -> list[str]:
    seen = Seen()
    seen.replace(PODS, pods)
    fault = a_fault_doc(target={"service": "orders", **target})
    intent = Kill().aim(Aim(fault, a_service_doc(), seen, 7, "now"))
    return [each["name"] for each in intent.targets]


def test_only_running_pods_of_the_service_are_hit() -> None:
    hit = aimed(
        a_pod("orders-a", ready=True),
        a_pod("orders-b", phase="Pending"),
        a_pod("orders-c", ready=True, deletionTimestamp="2026-11-20T12:00:00Z"),
        a_pod("web-a", service="web", ready=True),
        pods="all",
    )
    assert hit == ["orders-a"]


def test_ready_pods_are_hit_before_others() -> None:
    hit = aimed(a_pod("orders-a", phase="Running"), a_pod("orders-b", ready=True), pods=1)
    assert hit == ["orders-b"]


@pytest.mark.parametrize(
    ("pods", "words"),
    [
        ([], "service orders has no running pod"),
        ([a_pod("orders-a", phase="Pending")], "no running pod"),
        ([a_pod("orders-a", ready=True, bare=True)], "nothing would replace pod orders-a"),
    ],
)
def test_without_a_target_nothing_is_injected(pods: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(NotInjectedError, match=words):
        aimed(*pods)


def test_too_few_pods_with_the_labels_is_told_as_that() -> None:
    pods = [a_pod("orders-a", ready=True), a_pod("orders-b", ready=True)]
    pods[0]["metadata"]["labels"]["role"] = "primary"
    words = r"^2 pods were asked for, 1 run with target.podLabels; lower target.pods$"
    with pytest.raises(NotInjectedError, match=words):
        aimed(*pods, pods=2, podLabels={"role": "primary"})


def test_the_seed_and_who_was_there_are_in_the_intent() -> None:
    seen = Seen()
    seen.replace(PODS, [a_pod("orders-a", ready=True), a_pod("orders-b", ready=True)])
    intent = Kill().aim(Aim(a_fault_doc(), a_service_doc(), seen, 7, "now"))
    assert intent.undo == {
        "grace": 1,
        "before": ["uid-of-orders-a", "uid-of-orders-b"],
    }
