"""The page on the gateway's performance: two measurements write it, each its own part."""

from __future__ import annotations

import json
from pathlib import Path

from seatrial_runner.conductor.faults.control_client import ControlClient

from tests.bench.gateway import COLUMNS, EVEN, Comparison, page
from tests.bench.gateway_faults import Measured, section
from tests.bench.gateway_page import SHORT_FAULTS, SHORT_HTTP_FAULTS, write_comparison, write_part
from tests.support.conducted_storm import ConductedStorm, Listening, Told
from tests.support.fault_storm import Storm, Timings
from tests.support.http_storm import HTTP
from tests.support.network_storm import LAYER_4


def compared(memory: float = 9.0, **more: float) -> str:
    same = dict.fromkeys((*COLUMNS, *EVEN.values()), 10.0)
    ours = same | {"memory_mib": memory} | more
    middle = {"direct": same, "toxiproxy": same, "gateway": ours}
    at_rest = {"direct": 0.0, "gateway": memory, "toxiproxy": 10.0}
    return page([Comparison(1, 128, middle)], at_rest, rounds=1, seconds=1.0)


def test_each_measurement_leaves_the_parts_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    write_part(path, f"{SHORT_HTTP_FAULTS}\nfirst\n")
    write_part(path, f"{SHORT_FAULTS}\nfirst\n")
    write_comparison(path, "# Gateway\n\nquick\n")
    write_part(path, f"{SHORT_FAULTS}\nsecond\n")
    write_comparison(path, "# Gateway\n\nquicker\n")

    parts = ["# Gateway\n", "quicker\n", SHORT_FAULTS, "second\n", SHORT_HTTP_FAULTS, "first\n"]
    assert path.read_text() == "\n".join(parts)


def test_the_page_says_where_the_goal_is_missed() -> None:
    missed, met = compared(24.0), compared(9.0)

    assert "`memory_mib` is 2.40 of Toxiproxy's (24.00 against 10.00)" in missed
    assert "2.4 times as much, which are its four Python processes" in missed
    assert "It is met in every figure below." in met
    assert "0.90 of it" in met


def test_latency_is_compared_at_one_rate_and_told_at_full_speed() -> None:
    slow, hasty = compared(even_p99_ms=11.0), compared(p50_ms=12.0)

    assert "missed in:\n\n- 1 connection, answers of 128 bytes: `even_p99_ms` is 1.10" in slow
    assert "There, too, the gateway is behind in nothing." in slow
    assert "It is met in every figure below." in hasty
    assert "behind in:\n\n- 1 connection, answers of 128 bytes: `p50_ms` is 1.20" in hasty


async def a_conducted_storm(*, reverted: int = 1, gaps: int = 0) -> ConductedStorm:
    """One fault, ordered and begun and ended; as often as said in the journal."""

    async def token() -> str:
        return ""

    gateway = Listening(ControlClient("the gateway", lambda: None, token))
    gateway.begun, gateway.ended["deadline"] = 1, 1
    journal = Told()
    kinds = ["requested", "applied", *["reverted"] * reverted, "recovered"]
    entries = [{"n": n + gaps, "kind": f"fault.{kind}"} for n, kind in enumerate(kinds, 1)]
    if gaps:
        entries.insert(0, {"n": 0, "kind": "dropped", "dropped": gaps})
    states = [{"times": 1, "hits": 2, "name": "latency-5"}]
    text = "".join(json.dumps(entry) + "\n" for entry in entries)
    summary = json.dumps({"faults": states})
    await journal.write({"entries.jsonl": text, "summary.json": summary}, "0")
    return ConductedStorm(LAYER_4, 1, gateway, journal)


async def test_a_storm_says_what_is_missing_in_the_journal() -> None:
    well = await a_conducted_storm()
    lost = await a_conducted_storm(reverted=0)
    unread = await a_conducted_storm(gaps=2)

    assert well.problems() == []
    assert lost.problems() == ["ends in the journal: 0"]
    assert unread.problems() == ["2 entries were never in the ConfigMap"]


def a_storm(shape: str, late_s: float = 0.002) -> Storm:
    one = Storm(Timings([0.001], [late_s]), {shape: Timings([0.001], [late_s])})
    one.hits = {shape: 3}
    return one


async def test_what_a_storm_has_lost_is_on_the_page() -> None:
    well = Measured(LAYER_4, a_storm("latency"), [], await a_conducted_storm(), [])
    less = Measured(
        LAYER_4, a_storm("latency"), [], await a_conducted_storm(reverted=0), ["latency-5"]
    )

    assert section(well).startswith(SHORT_FAULTS)
    assert "Nothing was lost.\nLeft on: none." in section(well)
    assert "| over after the deadline | 2.00 |" in section(well)
    assert well.holds
    assert "It does not add up: ends in the journal: 0.\nLeft on: latency-5." in section(less)
    assert not less.holds


async def test_the_page_says_where_short_faults_are_late() -> None:
    late = Measured(HTTP, a_storm("abort", 0.0071), [], await a_conducted_storm(), [])

    assert section(late).startswith(SHORT_HTTP_FAULTS)
    assert "It is missed: at the 99th percentile it is 7.10 ms." in section(late)
    assert not late.holds
