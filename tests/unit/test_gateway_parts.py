"""The small parts of the gateway: chance, greetings, sources, the board, its settings."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.api.control import PROBE_HTTP_LINE, PROBE_LINE
from seatrial.api.errors import SpecError
from seatrial.api.families import NETWORK
from seatrial_runner.gateway.board import SLOTS, Board, Cell
from seatrial_runner.gateway.corruption import Corruption
from seatrial_runner.gateway.effects import DIRECTIONS, Latency, read_effect
from seatrial_runner.gateway.listener import plain_address
from seatrial_runner.gateway.live import LiveFault, Plan, names_by_address
from seatrial_runner.gateway.messages import pair, receive, send
from seatrial_runner.gateway.probes import Greeting, ProbeLine, read_greeting
from seatrial_runner.gateway.refusals import Refusals, next_look, next_resets
from seatrial_runner.gateway.settings import Settings
from seatrial_runner.gateway.supervisor import Child


class AConnection:
    def __init__(self, *, probe: bool = False, check: bool = False) -> None:
        self.probe = probe
        self.check = check
        self.names: frozenset[str] = frozenset()
        self.met: set[LiveFault] = set()
        self.tickets: dict[LiveFault, int] = {}


def a_fault(board: Board, kind: str = "latency", slot: int = 0, **more: Any) -> LiveFault:
    params = {"latency": {"delay": "1s"}, "bandwidth": {"rate": "1k"}}.get(kind, {})
    order: Any = {"kind": kind, "params": params, "forS": 9, "seed": 1, **more}
    return LiveFault.read("f", order, slot, 0.0, board, 0)


# Chance ------------------------------------------------------------------------------------------


@given(
    st.binary(max_size=3000),
    st.lists(st.integers(1, 500), max_size=20),
    st.floats(0.001, 1.0),
    st.integers(0, 2**31),
)
def test_what_is_corrupted_does_not_depend_on_the_pieces(
    data: bytes, cuts: list[int], share: float, seed: int
) -> None:
    whole, changed = Corruption(share, random.Random(seed)).apply(data)
    pieces, count, rest = b"", 0, data
    corruption = Corruption(share, random.Random(seed))
    for cut in [*cuts, len(data)]:
        piece, rest = rest[:cut], rest[cut:]
        got, each = corruption.apply(piece)
        pieces, count = pieces + got, count + each

    assert pieces == whole
    assert count == changed == sum(a != b for a, b in zip(data, whole, strict=True))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_the_share_of_corrupted_bytes_is_as_asked(share: float) -> None:
    _, changed = Corruption(share, random.Random(1)).apply(bytes(50_000))

    assert changed / 50_000 == pytest.approx(share, rel=0.15)


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto"])
def test_jitter_is_spread_about_the_delay(distribution: str) -> None:
    latency = Latency(0.1, 0.02, distribution, DIRECTIONS)
    chance = random.Random(1)
    drawn = [latency.draw(chance) for _ in range(5000)]

    mean = sum(drawn) / len(drawn)
    assert mean == pytest.approx(0.12 if distribution == "pareto" else 0.1, rel=0.1)
    assert min(drawn) >= 0
    if distribution == "uniform":
        assert 0.08 <= min(drawn) <= max(drawn) <= 0.12
    if distribution == "pareto":
        assert min(drawn) >= 0.1
        assert max(drawn) > 0.2


def test_a_share_chooses_the_same_connections_for_the_same_seed() -> None:
    def chosen(seed: int) -> list[bool]:
        fault = a_fault(Board(1), seed=seed, connections=0.3)
        return [fault.chooses(AConnection()) for _ in range(1000)]

    assert chosen(5) == chosen(5)
    assert chosen(5) != chosen(6)
    assert sum(chosen(5)) == pytest.approx(300, abs=60)


def test_a_probe_is_always_chosen_takes_no_number_and_leaves_no_trace() -> None:
    board = Board(1)
    fault = a_fault(board, connections=0.0)

    assert fault.chooses(AConnection(probe=True))
    fault.meets(AConnection(probe=True), Cell.DELAYED, 9)

    assert board.ticket(0) == 0
    assert board.total(0, Cell.HITS) == 0


# What a fault concerns ---------------------------------------------------------------------------


def test_paths_say_which_ports_and_whose_connections() -> None:
    paths = [
        {"service": "shop", "port": "http", "sources": ["orders"]},
        {"service": "shop", "port": None, "sources": ["tests"]},
        {"service": "bank", "port": None, "sources": None},
    ]
    fault = a_fault(Board(1), paths=paths)

    http, other = fault.sources_on("shop", "http"), fault.sources_on("shop", "admin")
    assert http is not None
    assert http.has(frozenset({"orders"}))
    assert other is not None
    assert not other.has(frozenset({"orders"}))
    assert other.has(frozenset({"tests", "conductor"}))
    bank = fault.sources_on("bank", "x")
    assert bank is not None
    assert bank.has(frozenset())
    assert fault.sources_on("orders", "http") is None


def test_an_address_may_have_several_names() -> None:
    names = names_by_address({"tests": ["10.0.0.1", "10.0.0.2"], "conductor": ["10.0.0.2"]})

    assert names == {
        "10.0.0.1": frozenset({"tests"}),
        "10.0.0.2": frozenset({"tests", "conductor"}),
    }


def test_a_plan_has_only_what_goes_this_way() -> None:
    board = Board(1)
    slow = a_fault(board, params={"delay": "1s", "direction": "request"})
    thin = a_fault(board, "bandwidth", 1)
    wide = a_fault(board, "bandwidth", 2, params={"rate": "2k", "direction": "response"})

    request = Plan.of((slow, thin, wide), "request")
    response = Plan.of((slow, thin, wide), "response")

    assert request is not None
    assert (request.delays, request.paces, request.rate) == ((slow,), (thin,), 1000)
    assert response is not None
    assert (response.delays, response.paces) == ((), (thin, wide))
    assert response.rate == 1000, "the lowest counts"
    assert Plan.of((slow,), "response") is None
    assert Plan.of((a_fault(board, "reset", 3),), "request") is None


@pytest.mark.parametrize(
    ("address", "plain"),
    [("::ffff:10.0.0.7", "10.0.0.7"), ("10.0.0.7", "10.0.0.7"), ("fd00::7", "fd00::7")],
)
def test_an_address_is_written_as_kubernetes_does(address: str, plain: str) -> None:
    assert plain_address(address) == plain


def test_the_moment_of_a_hit_is_written_before_the_hit() -> None:
    written: list[int] = []

    class Cells(dict[int, int]):
        def __setitem__(self, cell: int, value: int) -> None:
            written.append(cell)
            super().__setitem__(cell, value)

    cells: Any = Cells(dict.fromkeys(Cell, 0))
    fault = a_fault(Board(1))
    fault.cells = cells
    fault.meets(AConnection(), Cell.DELAYED)

    assert written.index(Cell.FIRST) < written.index(Cell.HITS)


def test_neither_a_probe_nor_a_check_is_counted() -> None:
    board = Board(1)
    fault = a_fault(board)
    for connection in (AConnection(probe=True), AConnection(check=True)):
        fault.meets(connection, Cell.DELAYED)
    assert (board.total(0, Cell.HITS), board.moments(0)) == (0, (0, 0))
    fault.meets(AConnection(), Cell.DELAYED)
    assert board.total(0, Cell.HITS) == 1


# Greetings ---------------------------------------------------------------------------------------


def test_a_probes_line_is_read_however_much_of_it_has_come() -> None:
    line = PROBE_LINE.format(token="t0k-en", source="tests").encode()

    for length in range(1, len(line)):
        assert read_greeting(line[:length]) is Greeting.INCOMPLETE
    assert read_greeting(line + b"more") == ProbeLine("t0k-en", "tests", False, len(line))
    http = PROBE_HTTP_LINE.format(token="t", source="orders").encode()
    assert read_greeting(http) == ProbeLine("t", "orders", True, len(http))


@pytest.mark.parametrize(
    "seen",
    [
        b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"SEATRIAL-PROBE\n",
        b"SEATRIAL-PROBE token\n", b"SEATRIAL-PROBE token BAD!\n", b"SEATRIAL-OTHER t s\n",
        b"SEATRIAL-PROBE " + b"x" * 500,
    ],
)  # fmt: skip
def test_anything_else_is_no_probe(seen: bytes) -> None:
    assert read_greeting(seen) is Greeting.NONE


@given(st.binary(max_size=600))
def test_no_greeting_makes_an_error(seen: bytes) -> None:
    assert isinstance(read_greeting(seen), Greeting | ProbeLine)


# The board, and the channel ----------------------------------------------------------------------


def test_what_a_worker_has_counted_stays_and_what_it_held_does_not() -> None:
    board = Board(2)
    cells = board.cells(7, 1)
    cells[Cell.HITS] = 5
    assert board.take_place(7, 1, Cell.OPEN, 1)
    assert not board.take_place(7, 0, Cell.OPEN, 1)

    board.leave(1)

    assert board.total(7, Cell.HITS) == 5
    assert board.take_place(7, 0, Cell.OPEN, 1)
    assert list(board.loads()) == [0, -1]


def test_the_first_hit_is_the_first_of_all_workers() -> None:
    board = Board(3)
    assert board.moments(0) == (0, 0)
    board.cells(0, 1)[Cell.FIRST], board.cells(0, 1)[Cell.LAST] = 500, 900
    board.cells(0, 2)[Cell.FIRST], board.cells(0, 2)[Cell.LAST] = 400, 400

    assert board.moments(0) == (400, 900)


def test_slots_do_not_touch_each_other() -> None:
    board = Board(2)
    for slot in range(SLOTS):
        for worker in range(2):
            for cell in Cell:
                board.cells(slot, worker)[cell] = 1
        board.ticket(slot)
    board.clear(3)

    assert board.total(3, Cell.HELD) == board.ticket(3) == 0
    assert board.total(2, Cell.HELD) == board.total(4, Cell.HITS) == 2
    assert board.ticket(2) == board.ticket(4) == 1


@pytest.mark.parametrize("size", [10, 40_000, 2_000_000])
def test_a_message_of_any_size_arrives_whole(size: int) -> None:
    ours, theirs = pair()
    with ours, theirs:
        sources = {"orders": ["x" * size]}
        send(ours, {"number": 1, "do": "put", "faults": [], "sources": sources})
        assert receive(theirs)["sources"] == sources
        with pytest.raises(BlockingIOError):
            receive(theirs)


# Settings ----------------------------------------------------------------------------------------

LISTENER = {
    "service": "shop", "portName": "http", "port": 80, "listen": 20001,
    "upstreamHost": "seatrial-direct-shop", "envoy": None,
}  # fmt: skip


def environ(**change: str) -> dict[str, str]:
    doc = {"listeners": [LISTENER], "httpFaults": []}
    return {
        "SEATRIAL_GATEWAY": json.dumps(doc), "SEATRIAL_CONTROL_TOKEN": "t" * 16, **change,
    }  # fmt: skip


def test_the_settings_come_from_the_environment() -> None:
    settings = Settings.from_environ(environ())

    assert settings.doc["listeners"] == [LISTENER]
    assert settings.control_port == 7778
    assert 2 <= settings.workers <= 4


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"SEATRIAL_CONTROL_TOKEN": ""}, "SEATRIAL_CONTROL_TOKEN"),
        ({"SEATRIAL_GATEWAY": ""}, "SEATRIAL_GATEWAY"),
        ({"SEATRIAL_GATEWAY": '{"listeners": [{}], "httpFaults": []}'}, "SEATRIAL_GATEWAY"),
        ({"SEATRIAL_GATEWAY": '{"listeners": 1, "httpFaults": []}'}, "SEATRIAL_GATEWAY"),
    ],
)
def test_settings_that_cannot_be_read_are_said(change: dict[str, str], names: str) -> None:
    with pytest.raises(SpecError, match=names):
        Settings.from_environ(environ(**change))


def test_every_kind_of_the_network_can_be_read() -> None:
    needed = {
        "latency": {"delay": "1s"}, "bandwidth": {"rate": "1Ki"}, "slowClose": {"delay": "1s"},
        "connectionLimit": {"connections": 1},
    }  # fmt: skip
    assert len({read_effect(kind, needed.get(kind, {})) for kind in NETWORK}) == len(NETWORK)


# What the kernel refuses -------------------------------------------------------------------------


class Kernel:
    """Counts resets, and the connections that were broken; looks every so often."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._resets, self._broken = 100, 10
        self._write()
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
        self.refusals = Refusals(directory)

    def after(self, milliseconds: int, *, resets: int = 0, broken: int = 0) -> int:
        """Let that much happen, and give what counts as refused."""
        self.now += timedelta(milliseconds=milliseconds)
        self._resets += resets
        self._broken += broken
        self._write()
        self.refusals.look(self.now)
        return self.refusals.count

    def _write(self) -> None:
        (self._directory / "snmp").write_text(
            f"Ip: A\nIp: 1\nTcp: InSegs OutRsts\nTcp: 9 {self._resets}\n"
        )
        (self._directory / "netstat").write_text(
            f"TcpExt: TCPAbortOnData Other TCPAbortOnClose\nTcpExt: {self._broken} 50 3\n"
            "IpExt: A\nIpExt: 1\n"
        )


def test_refused_connections_are_resets_without_a_connection(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    assert (kernel.after(50), kernel.refusals.first) == (0, None)
    assert kernel.after(50, resets=3) == 3
    first = kernel.now
    assert kernel.after(50) == 3
    assert kernel.after(50, resets=5) == 8
    assert (kernel.refusals.first, kernel.refusals.last) == (first, kernel.now)


def test_connections_that_were_broken_take_nothing_off_what_was_refused(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    assert kernel.after(50, resets=100, broken=100) == 0
    assert kernel.after(50) == 0
    assert kernel.after(50, resets=1) == 1
    for number in range(10):  # of each kind, one after another
        kernel.after(5, resets=1, broken=1)
        kernel.after(20)
        assert kernel.after(5, resets=1) == 2 + number


def test_what_was_under_way_when_a_connection_was_broken_is_not_refused(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path)
    assert kernel.after(50, resets=6, broken=3) == 0
    assert kernel.after(50, resets=2, broken=2) == 0
    assert kernel.after(1, resets=2) == 0
    assert kernel.after(1, resets=4) == 4
    assert kernel.after(50, resets=0, broken=1) == 4  # it never was a connection
    assert kernel.after(50) == 4
    assert kernel.after(50, resets=1) == 5


def test_looks_are_between_the_moments_at_which_connections_are_broken() -> None:
    moment, looks = next_resets(1000.001), []
    assert 0 < moment - 1000.001 <= 0.02
    now = moment + 0.001
    while (now := next_look(now)) < moment + 0.02:
        looks.append(now - moment)
    assert looks == pytest.approx([0.003, 0.007, 0.018])


def test_connections_that_a_dead_worker_carried_are_counted_as_lost() -> None:
    board = Board(2)
    board.loads()[0], board.loads()[1] = 3, 4

    board.leave(1)
    board.leave(1)

    assert board.lost == 4


def test_a_process_that_has_lived_is_made_again_at_once() -> None:
    child = Child("worker-0", lambda: 0, pid=7, born=10.0)
    child.ended(11.0)
    assert (child.pid, child.due) == (0, 11.0)


def test_one_that_ends_again_and_again_is_given_more_and_more_time() -> None:
    child, now, pauses = Child("worker-0", lambda: 0), 0.0, []
    for _ in range(10):
        child.born = now
        child.ended(now)
        pauses.append(child.pause_s)
        now = child.due
    assert 0 < pauses[0] < pauses[1]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.5
