"""All messages are recorded, in little memory; what there is no room for is counted."""

from __future__ import annotations

import os
import threading

from hypothesis import given
from hypothesis import strategies as st
from seatrial_runner.scenario.brokers.interface import Arrived
from seatrial_runner.scenario.messages.feed import Feed
from seatrial_runner.scenario.messages.tape import Tape


def recorded(tape: Tape, bodies: list[bytes]) -> None:
    with tape.changed:
        for number, body in enumerate(bodies):
            tape.append(1, float(number), Arrived("t", body, 1.0, b"k", {"a": "b"}, {"offset": 1}))


@given(st.lists(st.binary(max_size=300), max_size=80))
def test_every_message_is_read_as_it_came(bodies):
    tape = Tape(block_bytes=1000)
    recorded(tape, bodies)
    assert len(tape) == len(bodies)
    for number in [*range(len(bodies)), *reversed(range(len(bodies)))]:
        record = tape.read(number)
        assert record.arrived.body == bodies[number]
        assert (record.came, record.arrived.headers) == (float(number), {"a": "b"})


def test_bodies_beyond_the_bound_are_dropped_and_counted():
    tape = Tape(block_bytes=1000, max_bytes=3000)
    recorded(tape, [os.urandom(1000) for _ in range(10)])
    assert len(tape) == 10
    assert tape.read(0).arrived.body is not None
    assert tape.read(9).arrived.body is None
    assert tape.without_body == sum(tape.read(n).arrived.body is None for n in range(10)) > 0


def test_messages_beyond_the_bound_are_counted_and_make_numbers_doubtful():
    tape = Tape(max_messages=3)
    feed = Feed("topic t", 0, tape)
    feed.deliver([Arrived("t", b"")] * 5)
    assert (len(feed), feed.lost, tape.dropped) == (3, 2, 2)
    assert feed.doubts() == ["2 more came than can be recorded"]


def test_messages_are_taken_in_any_order():
    feed = Feed("topic t", 0, Tape())
    feed.deliver([Arrived("t", b"")] * 5)
    feed.take([1, 0, 3])
    assert list(feed.untaken(0, 5)) == [2, 4]


def test_of_two_who_take_a_message_one_has_it():
    feed = Feed("topic t", 0, Tape())
    feed.deliver([Arrived("t", b"")] * 3)
    assert feed.take([0, 1])
    assert not feed.take([1, 2])
    assert list(feed.untaken(0, 3)) == [2]


def test_who_waits_is_woken():
    feed = Feed("topic t", 0, Tape())
    thread = threading.Timer(0.01, lambda: feed.deliver([Arrived("t", b"")]))
    thread.start()
    feed.wait(0, 60)
    assert len(feed) == 1
    thread.join()


def test_a_message_has_the_brokers_time_or_the_one_when_it_came():
    feed = Feed("topic t", 0, Tape())
    feed.deliver([Arrived("t", b"", 5.0), Arrived("t", b"")])
    assert feed.read(0).arrived.at == 5.0
    assert feed.read(1).arrived.at > 1e9
