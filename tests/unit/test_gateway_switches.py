"""The file in which Envoy reads which faults are on."""

from __future__ import annotations

import time
from pathlib import Path

from seatrial.api.names import ENVOY_SWITCHES
from seatrial_runner.gateway.switches import Switches


def lines(directory: Path) -> list[list[str]]:
    return [line.split() for line in (directory / ENVOY_SWITCHES).read_text().splitlines()]


def test_a_fault_that_is_on_has_a_line_with_its_share_and_when_it_ends(tmp_path: Path) -> None:
    before = time.time()
    Switches(tmp_path).put("slow", 0.001, time.monotonic() + 60)
    ((fault, share, ends_us),) = lines(tmp_path)

    assert (fault, float(share)) == ("slow", 0.001)
    assert before + 60 <= int(ends_us) / 1e6 + 0.001 <= time.time() + 60.001


def test_the_last_word_about_a_fault_counts(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    for share, fault in ((1.0, "slow"), (1.0, "odd"), (0.5, "slow")):
        switches.put(fault, share, time.monotonic())
    switches.remove("odd")
    switches.remove("never-on")

    assert [(fault, float(share)) for fault, share, _ in lines(tmp_path)] == [("slow", 0.5)]


def test_where_none_is_on_there_is_no_file(tmp_path: Path) -> None:
    switches = Switches(tmp_path)
    switches.put("slow", 1.0, time.monotonic() + 60)
    switches.remove("slow")
    after_remove = list(tmp_path.iterdir())
    switches.put("slow", 1.0, time.monotonic() + 60)
    Switches(tmp_path).clear()  # a gateway that comes after one that was killed

    assert after_remove == []
    assert list(tmp_path.iterdir()) == []
