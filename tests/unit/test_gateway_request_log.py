"""What met an http fault is counted once, whatever becomes of the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from seatrial.api.names import CHECK_PORTS
from seatrial_runner.gateway.requestlog import RequestLog

T0 = datetime(2026, 11, 20, 12, tzinfo=UTC)
T0_MS = int(T0.timestamp() * 1000)


def a_line(after_ms: int = 0, fault: str = "slow", kind: str = "Start", status: int = 0) -> bytes:
    entry = {"fault": fault, "at": str(T0_MS + after_ms)}
    more: dict[str, object] = {"came": True} if kind == "Start" else {"status": status}
    return json.dumps(entry | more).encode() + b"\n"


def write(path: Path, *lines: bytes) -> None:
    with path.open("ab") as log:
        log.write(b"".join(lines))


def test_hits_are_counted_by_fault_and_since_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    write(
        path,
        a_line(-1),
        a_line(5),
        a_line(9),
        a_line(7, "other"),
        a_line(5, kind="End", status=200),
    )
    log.read()
    evidence = log.evidence("slow")
    log.close()

    assert evidence.hits == 2
    assert evidence.first_hit is not None
    assert evidence.last_hit is not None
    assert (evidence.first_hit - T0).total_seconds() == 0.005
    assert (evidence.last_hit - T0).total_seconds() == 0.009
    assert evidence.counts == {"requests": 2, "answered": 1}


def test_connections_that_are_no_http_are_counted_once_and_are_no_hits(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    log.begin("odd", T0 + timedelta(milliseconds=2))

    def passing(after_ms: int, number: int) -> bytes:
        entry = {"faults": "slow odd", "passing": number, "at": str(T0_MS + after_ms)}
        return json.dumps(entry).encode() + b"\n"

    write(path, passing(-1, 4), passing(1, 7), passing(2, 8), passing(1001, 7), passing(1101, 9))
    log.end("slow", T0 + timedelta(milliseconds=1100))
    log.read()
    slow, odd = log.evidence("slow"), log.evidence("odd")
    log.close()

    assert (slow.hits, slow.first_hit) == (0, None)
    assert slow.counts == {"requests": 0, "unreadConnections": 2}
    assert odd.counts == {"requests": 0, "unreadConnections": 3}


def test_whoever_has_met_a_fault_is_counted_also_when_envoy_is_late(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    log.end("slow", T0 + timedelta(milliseconds=2))
    write(tmp_path / "met.jsonl", a_line(1), a_line(5))
    write(tmp_path / "requests.jsonl", a_line(1, kind="End", status=200), a_line(5, kind="End"))
    log.read()
    evidence = log.evidence("slow")
    log.close()

    assert evidence.counts == {"requests": 2, "answered": 1, "unanswered": 1}


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    line = a_line()
    write(path, line[:20])
    log.read()
    before = log.evidence("slow").hits
    write(path, line[20:])
    log.read()
    after = log.evidence("slow").hits
    log.close()

    assert (before, after) == (0, 1)


def test_it_is_read_piece_by_piece_by_whoever_has_other_things_to_do(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    write(path, *(a_line(number) for number in range(10)))
    hits, most = [], 3 * len(a_line())
    while log.read(most):
        hits.append(log.evidence("slow").hits)
    hits.append(log.evidence("slow").hits)
    log.close()

    assert hits == [3, 6, 9, 10]


def test_to_begin_reads_nothing_and_counts_nothing_of_before(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    write(path, a_line(1), a_line(2))
    log.begin("slow", T0 + timedelta(milliseconds=5))
    write(path, a_line(6))
    log.read()
    evidence = log.evidence("slow")
    log.close()

    assert evidence.hits == 1


def test_the_torn_line_of_an_envoy_that_was_killed_does_not_hide_others(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    write(path, a_line(1)[:20] + b"\n", b"null\n", b"[1]\n", a_line(2))
    log.read()
    evidence = log.evidence("slow")
    log.close()

    assert evidence.hits == 1


def test_what_an_earlier_gateway_has_seen_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    write(path, a_line(1), a_line(2))
    log = RequestLog(tmp_path)
    log.skip()
    log.begin("slow", T0)
    write(path, a_line(3))
    log.read()
    evidence = log.evidence("slow")
    log.close()

    assert evidence.hits == 1


@pytest.mark.parametrize("name", ["met.jsonl", "requests.jsonl"])
def test_a_long_log_is_put_aside_and_nothing_is_lost(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    log = RequestLog(tmp_path, most=80)
    log.begin("slow", T0)
    write(path, a_line(1), a_line(2))
    log.read()
    waits = []
    with path.open("ab") as old:  # Envoy goes on writing there until it has opened the new one
        waits += [log.shorten(), log.shorten()]
        old.write(a_line(3))
    log.read()
    write(path, a_line(4))
    waits.append(log.shorten())
    while log.read():
        pass
    evidence = log.evidence("slow")
    log.close()

    assert waits == [True, True, False]  # so long Envoy is told to open it again
    assert evidence.hits == 4
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_what_was_put_aside_by_a_gateway_that_was_killed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    killed = RequestLog(tmp_path, most=10)
    killed.begin("slow", T0)
    write(path, a_line(1))
    killed.read()
    killed.shorten()
    killed.close()
    log = RequestLog(tmp_path)
    log.forget()
    log.begin("slow", T0)
    write(path, a_line(2))
    log.read()
    evidence = log.evidence("slow")
    log.close()

    assert evidence.hits == 1
    assert [each.name for each in tmp_path.iterdir()] == ["requests.jsonl"]


def test_a_mark_is_a_line_of_its_own_and_no_path_of_a_service(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)
    write(path, b'{"mark":"/mark/7"}\n', json.dumps({"path": "/mark/8"}).encode() + b"\n")
    log.read()
    log.close()

    assert log.mark == 7


def test_what_checks_of_the_conductor_have_met_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    log = RequestLog(tmp_path)
    log.begin("slow", T0)

    def coming_from(port: int, **more: object) -> bytes:
        return json.dumps({**json.loads(a_line(1)), "from": f"127.0.0.1:{port}", **more}).encode()

    check = CHECK_PORTS[7]
    passing = coming_from(check, faults="slow", passing=3)
    lines = (coming_from(check), passing, coming_from(40000))
    write(path, *(line + b"\n" for line in lines))
    log.read()
    evidence = log.evidence("slow")
    log.close()

    assert (evidence.hits, evidence.counts) == (1, {"requests": 1})
