"""The file in which Envoy reads which faults are on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from seatrial.api.names import ENVOY_DRAWS, ENVOY_SWITCHES
from seatrial_runner.gateway.switches import Switches


def lines(directory: Path) -> list[list[str]]:
    return [line.split() for line in (directory / ENVOY_SWITCHES).read_text().splitlines()]


def test_a_fault_that_is_on_has_a_line_with_its_share_and_when_it_ends(tmp_path: Path) -> None:
    before = time.time()
    Switches(tmp_path).put("slow", 0.001, 7, time.monotonic() + 60)
    ((fault, share, _, ends_us),) = lines(tmp_path)

    assert (fault, float(share)) == ("slow", 0.001)
    assert before + 60 <= int(ends_us) / 1e6 + 0.001 <= time.time() + 60.001


def test_the_last_word_about_a_fault_counts(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    for share, fault in ((1.0, "slow"), (1.0, "odd"), (0.5, "slow")):
        switches.put(fault, share, 7, time.monotonic())
    switches.remove("odd")
    switches.remove("never-on")

    assert [(fault, float(share)) for fault, share, *_ in lines(tmp_path)] == [("slow", 0.5)]


def test_where_none_is_on_there_is_no_file(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    switches.put("slow", 1.0, 7, time.monotonic() + 60)
    switches.remove("slow")
    after_remove = list(tmp_path.iterdir())
    switches.put("slow", 1.0, 7, time.monotonic() + 60)
    Switches(tmp_path).clear()  # a gateway that comes after one that was killed

    assert after_remove == []
    assert list(tmp_path.iterdir()) == []


def test_a_fault_and_a_seed_begin_a_draw_of_their_own(tmp_path: Path) -> None:
    switches = Switches(tmp_path)

    def start(fault: str, seed: int) -> int:
        switches.put(fault, 0.5, seed, time.monotonic() + 60)
        return next(int(number) for name, _, number, _ in lines(tmp_path) if name == fault)

    starts = [start("a", 0), start("a", 1), start("a", 2**63 - 1), start("b", 0)]

    assert len(set(starts)) == 4
    assert all(0 < each < ENVOY_DRAWS for each in starts)
    assert start("a", 1) == starts[1]


def test_a_clock_that_was_set_moves_no_deadline_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switches = Switches(tmp_path)
    switches.put("slow", 1.0, 7, time.monotonic() + 60)
    before = int(lines(tmp_path)[0][3])
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3600 * 10**9)
    switches.refresh()

    assert 3599 < (int(lines(tmp_path)[0][3]) - before) / 1e6 < 3601


def test_what_cannot_be_written_down_leaves_all_as_it_was(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    for fault in ("slow", "odd"):
        switches.put(fault, 1.0, 7, time.monotonic() + 60)
    was = lines(tmp_path)
    blocked = (tmp_path / ENVOY_SWITCHES).with_suffix(".new")
    blocked.mkdir()
    with pytest.raises(OSError, match=str(blocked)):
        switches.put("third", 1.0, 7, time.monotonic() + 60)
    with pytest.raises(OSError, match=str(blocked)):
        switches.remove("odd")
    meanwhile = lines(tmp_path)
    blocked.rmdir()
    switches.remove("odd")

    assert meanwhile == was
    assert [fault for fault, *_ in lines(tmp_path)] == ["slow"]
