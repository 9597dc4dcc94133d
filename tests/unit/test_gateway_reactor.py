"""The loop of a worker: who is due is called, in order, and nobody else suffers from an error."""

from __future__ import annotations

import socket
from time import monotonic

import pytest
from seatrial_runner.gateway.reactor import IN, OUT, Reactor


def test_timers_are_called_in_order_and_cancelled_ones_not() -> None:
    reactor, called = Reactor(), []
    now = monotonic()
    reactor.at(now + 0.002, reactor.stop)
    reactor.at(now + 0.001, lambda: called.append("second"))
    reactor.at(now - 1, lambda: called.append("first"))
    reactor.at(now, lambda: called.append("never")).cancel()

    reactor.run()

    assert called == ["first", "second"]


def test_a_timer_that_sets_itself_again_leaves_others_their_turn() -> None:
    reactor, called = Reactor(), []

    def again() -> None:
        called.append(1)
        reactor.at(monotonic(), again)

    again()
    reactor.at(monotonic(), reactor.stop)
    reactor.run()

    assert len(called) < 10


def test_what_a_handler_or_a_timer_raises_ends_nobody_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reactor = Reactor()
    one, two = socket.socketpair()

    def fail(events: int = 0) -> None:
        reactor.forget(two.fileno())
        raise RuntimeError("no")

    with one, two:
        reactor.watch(two.fileno(), IN, fail)
        one.send(b"x")
        reactor.at(monotonic(), fail)
        reactor.at(monotonic() + 0.01, reactor.stop)
        reactor.run()

    assert [record.message for record in caplog.records] == ["a handler failed", "a timer failed"]


def test_only_what_is_waited_for_is_told() -> None:
    reactor, seen = Reactor(), []
    one, two = socket.socketpair()
    with one, two:

        def tell(events: int) -> None:
            seen.append(events)
            reactor.stop()

        reactor.watch(one.fileno(), IN, tell)
        reactor.at(monotonic() + 0.002, lambda: reactor.change(one.fileno(), OUT))
        reactor.at(monotonic() + 30, reactor.stop)
        reactor.run()

    assert seen == [OUT]


def test_cancelled_timers_do_not_pile_up() -> None:
    reactor = Reactor()
    for _ in range(10_000):
        reactor.at(monotonic() + 3600, lambda: None).cancel()
    kept = reactor.at(monotonic() + 0.001, reactor.stop)

    assert len(reactor._timers) < 2000
    assert kept.call is not None
    reactor.run()
