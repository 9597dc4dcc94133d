"""``unique: true``: no value comes again in a run; the same seed gives the same ones again."""

from __future__ import annotations

import ipaddress
import re
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seatrial.api.lanes import Lane, LaneError, lane_of
from seatrial_runner.conductor.scenario_tests import lane_of_attempt
from seatrial_runner.data import DataError, Generator, read_specification

from tests.support.scenarios import a_world, run_steps

FIELDS: dict[str, Any] = {
    "sequence": {"sequence": {"start": 100, "step": -3}},
    "email": {"provider": "email"},
    "name": {"provider": "fullName"},
    "url": {"provider": "url"},
    "host": {"provider": "hostname"},
    "file": {"provider": "fileName"},
    "address": {"provider": "ipv4"},
    "uuid": {"provider": "uuid"},
    "text": {"text": {"min": 3, "max": 6}},
    "integer": {"integer": {"min": -500, "max": 499}},
    "normal": {"integer": {"distribution": "normal", "mean": 10, "deviation": 2}},
    "number": {"number": {"min": 0.1, "max": 9.9, "decimals": 2}},
    "exponential": {"number": {"min": 0, "distribution": "exponential", "mean": 3}},
    "date": {"date": {"from": "2025-01-01", "to": "2027-09-27"}},
    "timestamp": {"timestamp": {"from": "2025-01-01T00:00:00", "to": "2025-01-01T00:30:00"}},
    "one": {"oneOf": list(range(900)), "distribution": "zipf"},
    "pattern": {"pattern": "[A-Z]{2}-(x|y|z[0-3])[0-9]{1,3}"},
    "ambiguous": {"pattern": "[a-z]?[a-z]?[0-9]{1,3}"},
    "schema": {"schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}


def made(field: dict[str, Any], lane: Lane, count: int, seed: str = "s") -> list[Any]:
    fields = {"f": {**field, "unique": True}}
    plans = read_specification({"t": {"count": count, "fields": fields}})
    return [row["f"] for row in Generator(plans, seed, lane).documents()["t"]]


@st.composite
def lanes(draw: st.DrawFn) -> list[Lane]:
    """Give the lanes of a run that is divided anyhow: by test, by instance, by time, by branch."""
    found = [Lane()]
    for _ in range(draw(st.integers(1, 3))):
        lane = found.pop(draw(st.integers(0, len(found) - 1)))
        match draw(st.sampled_from(["parts", "times", "branches"])):
            case "parts":
                of = draw(st.integers(1, 4))
                found += [lane.part(index, of) for index in range(of)]
            case "times":
                found += [lane.time(number) for number in range(3)]
            case _:
                found += lane.split(2)
    return found


@given(lanes(), st.lists(st.integers(0, 60), min_size=3, max_size=3))
def test_lanes_have_no_number_in_common(found, counts):
    taken = [
        lane.number(("t", "f"))
        for lane, count in zip(found, counts, strict=False)
        for _ in range(count)
    ]
    assert len(set(taken)) == len(taken)


@given(st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(0, 5), min_size=4, max_size=4))))
def test_branches_leave_their_lane_to_what_follows(rounds):
    """Before, in and after branches no number comes twice, and after them none is far."""
    lane, taken = Lane(1, 3), []
    for count, takes in rounds:
        taken.append(lane.number(("t", "f")))
        branches = lane.split(count)
        for branch, take in zip(branches, takes, strict=False):
            taken += [branch.number(("t", "f")) for _ in range(take)]
        lane.join(branches)
    assert len(set(taken)) == len(taken)
    assert all(number % 3 == 1 for number in taken)
    assert max(taken, default=0) <= 1 + 3 * (len(rounds) * (1 + 4 * 5))


def test_a_branch_that_is_left_behind_takes_no_more():
    lane = Lane()
    [left] = lane.split(1)
    lane.join([left])
    with pytest.raises(LaneError):
        left.number(("t", "f"))
    with pytest.raises(LaneError):
        left.seen("t")


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
@settings(max_examples=8, deadline=None)
@given(found=lanes())
def test_no_value_comes_again_in_a_run(field, found):
    everything = []
    for lane in found[:4]:
        everything += made(field, lane, 7) + made(field, lane, 5, seed="another")
    assert len({repr(value) for value in everything}) == len(everything)


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_the_same_seed_in_the_same_lane_gives_the_same(field):
    assert made(field, Lane(1, 3), 12) == made(field, Lane(1, 3), 12)


@pytest.mark.parametrize("lane", [Lane(), Lane(2, 5)], ids=["whole", "part"])
def test_values_that_are_unique_are_still_what_was_asked_for(lane):
    values = {name: made(field, lane, 40) for name, field in FIELDS.items()}
    assert all(before - after == 3 * lane.stride for before, after in pairwise(values["sequence"]))
    assert all(re.fullmatch(r"[^@\s]+@[^@\s]+", text) for text in values["email"])
    assert all(re.fullmatch(r"https?://\S+/\d+", text) for text in values["url"])
    assert all(re.fullmatch(r"[\w.-]+\.\w+", text) for text in values["host"])
    assert all(ipaddress.IPv4Address(text) for text in values["address"])
    assert all(UUID(text).version == 4 for text in values["uuid"])
    assert all(len(text) <= 6 for text in values["text"])
    assert all(-500 <= number <= 499 for number in values["integer"])
    assert sum(abs(number - 10) < 60 * lane.stride for number in values["normal"]) == 40
    assert all(0.1 <= number <= 9.9 for number in values["number"])
    assert all(number == round(number, 2) for number in values["number"])
    assert all("2025-01-01" <= str(day) <= "2027-09-27" for day in values["date"])
    assert all("2025-01-01" <= str(at) <= "2025-01-01 00:30:00" for at in values["timestamp"])
    assert all(re.fullmatch(FIELDS["pattern"]["pattern"], text) for text in values["pattern"])


@pytest.mark.parametrize(
    "field",
    [
        {"integer": {"min": 1, "max": 26}},
        {"pattern": "[A-Z]"},
        {"pattern": "[A-Z]?[a-m]{0}"},
        {"oneOf": list("abcdefghijklmnopqrstuvwxyz")},
        {"date": {"from": "2025-01-01", "to": "2025-01-26"}},
    ],
    ids=str,
)
def test_every_value_can_be_had_and_then_it_is_said(field):
    halves = [Lane(0, 2), Lane(1, 2)]
    count = 27 if "?" in str(field) else 26
    first = -(-count // 2) if "integer" not in field and "date" not in field else 13
    both = made(field, halves[0], first) + made(field, halves[1], count - first)
    assert len(set(both)) == count
    with pytest.raises(DataError) as error:
        made(field, halves[0], 1)
    assert error.value.field == "t.fields.f"
    assert f"no more than {first} different values of {count} are for it" in error.value.problem
    assert "one of 2 shares" in error.value.problem
    assert "unique: load" in error.value.problem


def test_a_text_without_room_for_numbers_is_refused():
    with pytest.raises(DataError, match="texts of 1 characters end"):
        made({"text": {"min": 1, "max": 1}}, Lane(), 11)


def test_within_one_load_is_what_it_was():
    plans = read_specification(
        {"t": {"count": 26, "fields": {"f": {"pattern": "[A-Z]", "unique": "load"}}}}
    )
    lane = Lane(3, 10)
    for _ in range(2):
        assert len({row["f"] for row in Generator(plans, "s", lane).documents()["t"]}) == 26


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"constant": 1, "unique": True}, "is the same in each row: leave out unique"),
        ({"sequence": {"step": 0}, "unique": True}, "is the same in each row: leave out unique"),
        ({"provider": "latitude", "unique": True}, "write number: {min, max, decimals} instead"),
        ({"oneOf": [1, 2], "unique": "run"}, "must be true, false or load"),
    ],
)
def test_what_cannot_be_unique_is_refused_before_anything_is_made(field, message):
    with pytest.raises(DataError) as error:
        read_specification({"t": {"fields": {"f": field}}})
    assert error.value.field == "t.fields.f.unique"
    assert message in error.value.problem


def test_only_tests_that_can_make_unique_values_share_them():
    unique = {"generate": {"t": {"fields": {"f": {"oneOf": [1], "unique": True}}}}}
    tests: list[dict[str, Any]] = [
        {"name": "plain", "scenario": [{"http": "GET /"}]},
        {"name": "makes", "scenario": [{"data": unique}]},
        {"name": "image", "container": {"image": "x"}},
        {"name": "loads", "teardown": [{"data": {"file": "a.yaml"}}], "scenario": []},
        {"name": "suite", "pytest": {}},
    ]
    shares = {test["name"]: lane_of(test["name"], tests) for test in tests}
    assert shares == {
        "plain": (0, 1),
        "makes": (0, 3),
        "image": (0, 1),
        "loads": (1, 3),
        "suite": (2, 3),
    }
    called = [{"name": "seed", "steps": [{"data": unique}]}]
    assert lane_of("plain", tests, called) == (0, 4)


CODES = {"t": {"count": 3, "fields": {"f": {"pattern": "[A-Z]{2}", "unique": True}}}}


def test_steps_loops_and_branches_of_a_scenario_repeat_nothing():
    """Of 676 codes 36 are made by the same seed."""

    def make(name: str, **more: Any) -> dict[str, Any]:
        step = {"generate": CODES, "seed": "the same"}
        return {"data": step, "capture": {name: "data.rows.t.map(row, row.f)"}, **more}

    lists = [f"third[{n}]" for n in range(3)] + [f"fourth[{n}]" for n in range(4)]
    codes = " + ".join(["first", "second", "fifth", "sixth", "last", *lists])
    steps: list[dict[str, Any]] = [
        make("first"),
        make("second"),
        make("third", forEach={"in": "[1, 2, 3]"}),
        make("fourth", forEach={"in": "[1, 2, 3, 4]", "parallelism": 2}),
        {"parallel": [{"steps": [make("fifth")]}, {"steps": [make("sixth")]}]},
        {
            **make("last"),
            "expect": ["data.counts.t == 3"],
        },
        {"set": {"codes": codes}},
    ]
    once = {
        "data": {"generate": {"u": {"fields": {"f": "uuid"}}}},
        "expect": ["codes.size() == 36", "codes.all(c, codes.filter(d, d == c).size() == 1)"],
    }
    result = run_steps([*steps, once])
    assert result.outcome == "passed", f"{result.message}\n{result.details}"
    shown = {run_steps([*steps, {**once, "expect": ["last == fourth[3]"]}]).message for _ in "ab"}
    assert len(shown) == 1
    assert "last == fourth[3]" in shown.pop()


def test_another_instance_of_the_run_makes_others_of_the_same_seed():
    """Five instances, in two attempts each, as the conductor gives them their lanes."""
    step = {"data": {"generate": CODES, "seed": "same"}, "expect": ["data.rows.t == null"]}
    lanes = [
        Lane().part(1, 2).part(number, 5).time(again) for number in range(5) for again in (0, 1)
    ]
    results = [run_steps([step], a_world(lane=lane)) for lane in lanes]
    codes = [code for each in results for code in set(re.findall(r"\b[A-Z]{2}\b", each.message))]
    assert len(codes) == len(set(codes)) == 30


@pytest.mark.parametrize("retries", [{}, {"retries": 2}], ids=str)
def test_an_attempt_that_is_made_again_by_another_conductor_makes_others(retries):
    attempts = range(1, retries.get("retries", 0) + 2)
    lanes = [
        lane_of_attempt(Lane(), retries, attempt, start)
        for start in (1, 2, 3)
        for attempt in attempts
    ]
    taken = [lane.number(("t", "f")) for lane in lanes for _ in range(100)]
    assert len(taken) == len(set(taken))
