"""The journal's entries stay within their bound and keep what a restart needs."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.journal import Entries

AT = "2026-11-20T12:00:00.000Z"

kinds = st.sampled_from(
    ["case.finished", "fault.hit", "fault.requested", "fault.reverted", "test.finished"]
)
additions = st.lists(
    st.tuples(kinds, st.sampled_from(["passed", "failed"]), st.text(max_size=60)), max_size=80
)


def filled(added: list[tuple[str, str, str]], *, max_bytes: int) -> Entries:
    entries = Entries(max_bytes=max_bytes)
    for kind, outcome, message in added:
        entries.add(kind, at=AT, mono=1.0, start=1, outcome=outcome, message=message)
    return entries


@given(additions, st.integers(600, 6000))
def test_the_text_is_never_longer_than_its_bound(
    added: list[tuple[str, str, str]], max_bytes: int
) -> None:
    assert len(filled(added, max_bytes=max_bytes).to_text().encode()) <= max_bytes


@given(additions, st.integers(600, 6000))
def test_every_entry_is_kept_or_counted(added: list[tuple[str, str, str]], max_bytes: int) -> None:
    entries = filled(added, max_bytes=max_bytes)
    assert len(entries) + entries.dropped == len(added)


@given(additions, st.integers(600, 6000))
def test_the_order_is_that_of_the_adding(added: list[tuple[str, str, str]], max_bytes: int) -> None:
    numbers = [entry["n"] for entry in filled(added, max_bytes=max_bytes)]
    assert numbers == sorted(set(numbers))


@given(additions, st.integers(600, 6000))
def test_what_is_written_is_read_again(added: list[tuple[str, str, str]], max_bytes: int) -> None:
    entries = filled(added, max_bytes=max_bytes)
    again = Entries.parse(entries.to_text(), max_bytes=max_bytes)
    assert list(again) == list(entries)
    assert again.dropped == entries.dropped


@given(st.text(max_size=400))
def test_a_damaged_journal_is_read_as_far_as_it_goes(text: str) -> None:
    entries = Entries.parse(text)
    assert entries.add("finished", at=AT, mono=0.0, start=2)["start"] == 2


def test_a_line_that_is_no_entry_counts_as_dropped() -> None:
    assert Entries.parse('{}\n[]\n{"n":1,"kind":"finished"}\n').dropped == 2


def test_passed_cases_go_before_anything_else() -> None:
    entries = Entries(max_bytes=4000)
    entries.add("fault.requested", at=AT, mono=0.0, start=1, undo={"originals": {"a": 2}})
    entries.add("case.finished", at=AT, mono=0.0, start=1, outcome="failed")
    for _ in range(200):
        entries.add("case.finished", at=AT, mono=0.0, start=1, outcome="passed")
    left = [(entry["kind"], entry.get("outcome")) for entry in entries]
    assert left[:2] == [("fault.requested", None), ("case.finished", "failed")]
    assert entries.dropped > 100


def test_an_intent_outlives_every_other_kind() -> None:
    entries = Entries(max_bytes=4000)
    entries.add("fault.requested", at=AT, mono=0.0, start=1, undo={"originals": {"a": 2}})
    for _ in range(200):
        entries.add("case.finished", at=AT, mono=0.0, start=1, outcome="failed", message="x" * 50)
    assert next(iter(entries))["undo"] == {"originals": {"a": 2}}


def test_rounds_that_are_over_go_from_the_oldest_on_and_as_a_whole() -> None:
    entries = Entries(max_bytes=4000)
    for number in range(100):
        for kind in ("requested", "applied", "hit", "reverted", "recovered"):
            entries.add(f"fault.{kind}", at=AT, mono=0.0, start=1, fault="cut", round=number)
    numbers = [entry["n"] for entry in entries if entry["kind"] != "fault.hit"]
    assert len(numbers) > 16
    assert numbers == [n for n in range(numbers[0], 501) if n % 5 != 3]


def test_what_has_just_come_stays_until_it_can_be_written() -> None:
    entries = Entries(max_bytes=4000)
    for _ in range(200):
        entries.add("test.started", at=AT, mono=0.0, start=1)
        hit = entries.add("fault.hit", at=AT, mono=0.0, start=1)
        assert hit in list(entries)


def test_the_last_intent_of_each_fault_and_what_shards_told_stay() -> None:
    entries = Entries(max_bytes=4000)
    for name in ("cut", "slow"):
        entries.add("fault.requested", at=AT, mono=0.0, start=1, fault=name, round=1)
        entries.add("fault.requested", at=AT, mono=0.0, start=1, fault=name, round=2)
    entries.add("shard.finished", at=AT, mono=0.0, start=1)
    for _ in range(200):
        entries.add("test.started", at=AT, mono=0.0, start=1)
    assert [entry["n"] for entry in entries][:3] == [2, 4, 5]


def test_a_fault_that_fails_a_thousand_times_leaves_room_for_the_intents_of_others() -> None:
    entries = Entries(max_bytes=32_000)
    entries.add("fault.requested", at=AT, mono=0.0, start=1, fault="long", undo={"a": 1})
    for number in range(1, 1001):
        state = "NoEffect" if number == 7 else "NotInjected"
        failed = {"fault": "often", "round": number, "state": state, "message": "m" * 80}
        entries.add("fault.failed", at=AT, mono=0.0, start=1, **failed)
    kept = list(entries)
    assert kept[0]["fault"] == "long"
    rounds = {entry["round"] for entry in kept if entry["kind"] == "fault.failed"}
    assert {1, 7, 1000} <= rounds  # the first of each state, and the last


def test_numbers_go_on_after_a_restart() -> None:
    entries = Entries()
    entries.add("gate.opened", at=AT, mono=0.0, start=1)
    again = Entries.parse(entries.to_text())
    assert again.add("conductor.started", at=AT, mono=0.0, start=2)["n"] == 2


def test_a_long_text_is_cut_visibly() -> None:
    entry: dict[str, Any] = Entries().add("x", at=AT, mono=0.0, start=1, message="y" * 100_000)
    assert len(entry["message"]) == 8192
    assert entry["message"].endswith("…")
