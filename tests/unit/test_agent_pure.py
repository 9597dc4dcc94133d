"""Packets and DNS messages as the agent reads and writes them."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.agent.dns_messages import (
    AAAA,
    A,
    at_address,
    code_of,
    expanded,
    is_meant,
    no_such_name,
    read_question,
    write_question,
)
from seatrial_runner.agent.mangling import (
    Chance,
    Datagram,
    Fate,
    checksum,
    header_length,
    read_datagram,
    write_datagram,
)
from seatrial_runner.agent.quantities import seconds, share, size

LABEL = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=6).map(".".join)
PORT = st.integers(0, 65535)


@st.composite
def datagrams(draw: st.DrawFn) -> Datagram:
    length = draw(st.sampled_from([4, 16]))
    address = st.binary(min_size=length, max_size=length)
    return Datagram(draw(address), draw(PORT), draw(address), draw(PORT), draw(st.binary()))


@given(datagrams())
def test_a_datagram_that_is_written_is_read_the_same(datagram: Datagram) -> None:
    assert read_datagram(write_datagram(datagram)) == datagram


@given(datagrams())
def test_the_checksums_of_a_datagram_are_right(datagram: Datagram) -> None:
    packet = write_datagram(datagram)
    start = header_length(packet)
    if start == 20:
        assert checksum(packet[:20]) == 0
    pseudo = datagram.source + datagram.destination + struct.pack("!II", len(packet) - start, 17)
    assert checksum(pseudo + packet[start:]) == 0


@given(datagrams())
def test_the_answer_goes_back_to_who_asked(datagram: Datagram) -> None:
    answer = datagram.answer(b"x")
    assert answer.answer(datagram.content) == datagram


@given(st.binary(max_size=100))
def test_no_packet_is_too_odd_to_be_looked_at(packet: bytes) -> None:
    read_datagram(packet)


@given(datagrams(), st.integers(0, 2**31))
def test_one_byte_behind_the_header_is_changed(datagram: Datagram, seed: int) -> None:
    packet = write_datagram(datagram)
    changed = Chance({"corrupt": "100%"}, seed).corrupted(packet)
    assert len(changed) == len(packet)
    different = [at for at in range(len(packet)) if packet[at] != changed[at]]
    assert len(different) == 1
    assert different[0] >= header_length(packet)


@given(st.integers(0, 2**31))
def test_the_same_seed_draws_the_same_fates(seed: int) -> None:
    params = {"loss": "10%", "duplicate": "10%", "delay": "5ms", "jitter": "5ms"}
    one, other = Chance(params, seed), Chance(params, seed)
    assert [one.fate() for _ in range(50)] == [other.fate() for _ in range(50)]


@given(st.integers(0, 2**31))
def test_without_a_share_nothing_happens_and_with_all_of_it_always(seed: int) -> None:
    assert Chance({}, seed).fate() == Fate()
    assert Chance({"loss": "100%"}, seed).fate().lost
    assert Chance({"duplicate": "100%"}, seed).fate().twice


@given(st.integers(0, 2**31))
def test_a_delay_keeps_within_its_jitter_and_is_never_negative(seed: int) -> None:
    chance = Chance({"delay": "10ms", "jitter": "20ms"}, seed)
    delays = [chance.fate().delay_s for _ in range(100)]
    assert all(0 <= delay <= 0.030001 for delay in delays)
    assert max(delays) > 0.02


@given(st.integers(0, 65535), NAME, st.sampled_from([A, AAAA, 15]))
def test_a_question_that_is_written_is_read_the_same(number: int, name: str, kind: int) -> None:
    question = read_question(write_question(number, name, kind))
    assert question is not None
    assert (question.id, question.name, question.kind) == (number, name, kind)


@given(st.binary(max_size=60))
def test_no_message_is_too_odd_to_be_looked_at(message: bytes) -> None:
    question = read_question(message)
    assert question is None or question.section in message


@given(NAME)
def test_a_name_that_does_not_exist_says_so_to_the_one_who_asked(name: str) -> None:
    question = read_question(write_question(77, name))
    assert question
    answer = no_such_name(question)
    assert code_of(answer) == 3
    assert answer[:2] == struct.pack("!H", 77)
    assert answer[2] & 0x80
    assert question.section in answer


@given(NAME, st.ip_addresses())
def test_an_address_is_given_only_to_who_asks_for_its_family(
    name: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> None:
    for kind, version in ((A, 4), (AAAA, 6)):
        question = read_question(write_question(1, name, kind))
        assert question
        answer = at_address(question, str(address))
        assert answer is not None
        assert code_of(answer) == 0
        assert answer.endswith(address.packed) == (version == address.version)
    other = read_question(write_question(1, name, 16))
    assert other
    assert at_address(other, str(address)) is None


@pytest.mark.parametrize("kind", [64, 65, 255], ids=["SVCB", "HTTPS", "ANY"])
def test_no_other_question_brings_the_true_address(kind: int) -> None:
    question = read_question(write_question(1, "shop", kind))
    assert question
    answer = at_address(question, "10.0.0.66")
    assert answer
    assert code_of(answer) == 0
    assert answer.endswith(question.section)  # nothing behind it


@pytest.mark.parametrize(
    ("asked", "is_so"),
    [
        pytest.param("shop", True, id="as-written"),
        pytest.param("a.shop", True, id="below-it"),
        pytest.param("workshop", False, id="not-every-name-that-ends-so"),
        pytest.param("shop.itr.svc.cluster.local", True, id="as-a-resolver-expands-it"),
        pytest.param("shop.example", False, id="not-in-another-domain"),
    ],
)
def test_names_are_met_as_a_resolver_asks_for_them(asked: str, is_so: bool) -> None:
    assert is_meant(asked, expanded(["shop"], ["itr.svc.cluster.local"])) is is_so


def test_without_names_all_are_meant() -> None:
    assert is_meant("anything.at.all", expanded([], ["x"]))


def test_amounts_are_read_as_kubernetes_has_them() -> None:
    assert [size(text) for text in ("0", "64Mi", "1.5Ki", "2G")] == [0, 64 << 20, 1536, 2 * 10**9]
    assert [share(text) for text in (None, "50%", "0.1%")] == [0.0, 0.5, 0.001]
    assert [seconds(text) for text in (None, "250ms", "1m30s")] == [0.0, 0.25, 90.0]
