"""Results arrive in any order, some twice; what they come to is always the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.conductor.cases import Cases, read_case

from tests.support.builders import a_test_state

AT = "2026-11-20T12:00:00.000Z"


def a_case(name: str = "a", outcome: str = "passed", **more: Any) -> dict[str, Any]:
    return {"id": name, "outcome": outcome, "startedAt": AT, "finishedAt": AT, **more}


results = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["passed", "failed", "error", "skipped"]),
        st.integers(1, 3),
    ),
    max_size=20,
    unique_by=lambda each: (each[0], each[2]),
)


def counted(added: Any) -> dict[str, Any]:
    cases = Cases()
    for name, outcome, attempt in added:
        cases.add(a_case(name, outcome), attempt=attempt)
    state = a_test_state("t")
    cases.write_to(state, lambda begin, end: [])
    return {key: state[key] for key in ("passed", "failed", "skipped", "flaky")}


@given(results, st.randoms())
def test_the_counts_do_not_depend_on_the_order(added: list[Any], random: Any) -> None:
    shuffled = list(added)
    random.shuffle(shuffled)
    assert counted(shuffled) == counted(added)


@given(results)
def test_a_result_that_is_sent_again_changes_nothing(added: list[Any]) -> None:
    assert counted([*added, *added]) == counted(added)


@given(results)
def test_every_case_is_counted_once(added: list[Any]) -> None:
    counts = counted(added)
    names = {name for name, _, _ in added}
    assert counts["passed"] + counts["failed"] + counts["skipped"] == len(names)
    assert counts["flaky"] <= counts["passed"]


@pytest.mark.parametrize(
    ("outcomes", "flaky"),
    [
        (["passed"], False),
        (["failed", "passed"], True),
        (["error", "passed"], True),
        (["failed", "failed"], False),
        (["skipped", "passed"], False),
    ],
)
def test_flaky_is_what_passes_after_a_failure_of_its_own(outcomes: list[str], flaky: bool) -> None:
    cases = Cases()
    for attempt, outcome in enumerate(outcomes, 1):
        cases.add(a_case(outcome=outcome), attempt=attempt)
    assert cases.is_flaky("a") is flaky


def test_what_passed_at_a_further_attempt_names_the_faults_it_had_failed_in() -> None:
    cases, state = Cases(), a_test_state("t")
    cases.add(a_case(outcome="failed"))
    cases.write_to(state, lambda begin, end: ["down"])
    assert "flakyDuring" not in state
    cases.add(a_case(), attempt=2)
    cases.write_to(state, lambda begin, end: ["down"])
    assert (state["flaky"], state["flakyDuring"]) == (1, ["down"])


def test_a_scenario_whose_step_needed_a_retry_is_flaky() -> None:
    cases = Cases()
    cases.add(a_case(properties={"flaky": "true"}))
    assert cases.is_flaky("a")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["passed", "failed", "error"], "Failed"),
        (["passed", "error"], "Error"),
        (["passed", "skipped"], "Passed"),
        (["skipped"], "Skipped"),
        ([], "Skipped"),
    ],
)
def test_a_test_comes_to_the_worst_of_its_cases(outcomes: list[str], expected: str) -> None:
    cases = Cases()
    for number, outcome in enumerate(outcomes):
        cases.add(a_case(str(number), outcome))
    assert cases.outcome() == expected


def test_only_twenty_failures_are_kept_in_the_summary() -> None:
    cases = Cases()
    for number in range(50):
        cases.add(a_case(str(number), "failed", message="m" * 5000))
    state = a_test_state("t")
    cases.write_to(state, lambda begin, end: ["some-fault"])
    assert state["failed"] == 50
    assert len(state["failures"]) == 20
    assert state["failures"][0]["duringFaults"] == ["some-fault"]
    assert len(state["failures"][0]["message"]) == 1024


class LookedAt(dict[str, Any]):
    """A case that counts how often it is looked into."""

    looks: int

    def __getitem__(self, key: str) -> Any:
        LookedAt.looks += 1
        return super().__getitem__(key)


def test_thousands_of_cases_are_counted_as_they_come() -> None:
    cases, state, LookedAt.looks = Cases(), a_test_state("t"), 0
    for number in range(5_000):
        cases.add(LookedAt(a_case(str(number), "failed" if number % 7 == 0 else "passed")))
        cases.write_to(state, lambda begin, end: [])
    assert (state["passed"], state["failed"]) == (4_285, 715)
    # Twenty failures are written each time; counting all would look into 2,500 on average.
    assert LookedAt.looks < 5_000 * 200


def test_endless_details_are_left_out_at_some_point() -> None:
    cases = Cases()
    for number in range(1_000):
        cases.add(a_case(str(number), "failed", details="d" * 16_384))
    kept = [case["details"] for case in cases.last()]
    assert sum(map(len, kept)) < 9 * 1024 * 1024
    assert len(kept[0]) == 16_384
    assert kept[-1].startswith("[... left out")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": ""}, "case.id"),
        ({"id": 7}, "case.id"),
        ({"outcome": "fine"}, "case.outcome must be one of"),
        ({"startedAt": "yesterday"}, "case.startedAt must be a moment"),
        ({"attempt": -1}, "case.attempt"),
        ({"attempt": True}, "case.attempt"),
        ({"line": "x"}, "case.line"),
        ({"properties": ["x"]}, "case.properties"),
    ],
)
def test_a_bad_case_is_refused_by_the_name_of_its_field(change: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_case({**a_case(), **change})


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*a_case(), "message", "properties", "line"]), json_values))
def test_no_case_makes_anything_but_a_value_error(change: dict[str, Any]) -> None:
    try:
        case = read_case({**a_case(), **change})
    except ValueError:
        return
    assert Cases().add(case)
