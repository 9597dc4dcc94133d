"""Each kind of network fault: what a client of the service sees before, during and after it."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import wire

# Above what a busy machine takes by itself, below what the faults add; and what it adds to them.
QUICK_S = 0.25
SLACK_S = 4.5


@pytest.fixture
def port(services):
    """Give the address of a port of the service by its name; each fault has one of its own."""

    def address(name):
        return (services["wire"].host, services["wire"].ports[name])

    return address


def test_latency_delays_both_ways(faults, port):
    assert wire.round_trip(port("latency")) < QUICK_S
    with wire.echo(port("latency")) as live, faults("latency") as fault:
        began = time.monotonic()
        assert live.ask(b"ping") == b"ping"
        assert 0.4 <= time.monotonic() - began < 0.4 + SLACK_S
        assert 0.4 <= wire.round_trip(port("latency")) < 0.4 + SLACK_S
    assert wire.round_trip(port("latency")) < QUICK_S
    assert fault.status()["hits"] == 2


@pytest.mark.parametrize("way", ["request", "response"])
def test_latency_delays_one_way(faults, port, way):
    address = port(f"latency-{way[:3]}")
    with wire.Wire(address, "stamp") as live:

        def ways():
            sent = time.time()
            live.send(b"now\n")
            arrived = float(live.line())
            return {"request": arrived - sent, "response": time.time() - arrived}

        # The quickest of a few: a busy machine adds to each, and takes nothing away.
        def quickest():
            tries = [ways() for _ in range(3)]
            return {each: min(took[each] for took in tries) for each in tries[0]}

        assert max(quickest().values()) < QUICK_S
        with faults(f"latency-{way}") as fault:
            took = quickest()
            assert 0.3 <= took.pop(way) < 0.3 + SLACK_S
            assert next(iter(took.values())) < QUICK_S
        assert max(quickest().values()) < QUICK_S
    assert fault.status()["hits"] == 1


@pytest.mark.parametrize("distribution", ["uniform", "normal", "pareto"])
def test_latency_is_spread(faults, port, distribution):
    address = port("jitter")
    with faults(f"jitter-{distribution}"), ThreadPoolExecutor(24) as pool:
        took = list(pool.map(lambda _: wire.round_trip(address, times=1), range(24)))
    assert 0.2 < statistics.median(took) < 0.6 + SLACK_S  # 200 ms each way, and its spread
    assert statistics.stdev(took) > 0.02
    if distribution == "uniform":
        assert min(took) >= 0.2
        assert max(took) < 0.6 + SLACK_S
    assert wire.round_trip(address) < QUICK_S


def test_a_blackhole_loses_bytes_and_keeps_connections(faults, port):
    with wire.echo(port("blackhole")) as live:
        assert live.ask(b"before") == b"before"
        with faults("blackhole") as fault:
            live.send(b"lost")
            with wire.echo(port("blackhole")) as new:  # it connects
                new.send(b"lost")
                assert new.get(4, 0.6) == b""
            assert live.get(4, 0.1) == b""
        assert live.ask(b"after!") == b"after!"  # and not lost
    assert wire.reaches(port("blackhole"))
    assert fault.status()["hits"] == 2


def test_a_blackhole_of_responses_lets_requests_through(faults, port):
    address = port("blackhole-res")
    with wire.Wire(address, "keep through") as live, wire.echo(address) as echoed:
        assert echoed.ask(b"before") == b"before"
        with faults("blackhole-response"):
            live.send(b"arrives")
            echoed.send(b"lost")
            assert echoed.get(4, 0.5) == b""
            assert wire.command(port("clean"), "kept through") == "arrives"
    assert wire.reaches(address)


def test_refused_connections_are_refused_and_open_ones_go_on(faults, port):
    with wire.echo(port("refuse")) as live:
        assert live.ask(b"before") == b"before"
        with faults("refuse") as fault:
            for _ in range(3):
                with pytest.raises(ConnectionRefusedError):
                    wire.echo(port("refuse"))
            assert live.ask(b"during") == b"during"
        assert live.ask(b"after") == b"after"
    assert wire.reaches(port("refuse"))
    assert fault.status()["state"] in {"Reverted", "Recovered"}


def test_connections_are_reset(faults, port):
    with wire.echo(port("reset")) as live:
        assert live.ask(b"before") == b"before"
        with faults("reset") as fault:
            with pytest.raises(ConnectionResetError):
                live.get(1)
            with pytest.raises(ConnectionResetError), wire.echo(port("reset")) as new:
                new.get(1)
    assert wire.reaches(port("reset"))
    assert fault.status()["hits"] == 2


def test_connections_are_reset_after_a_while(faults, port):
    with faults("reset-later"):
        began = time.monotonic()
        with wire.echo(port("reset-later")) as new:
            assert new.ask(b"alive") == b"alive"
            with pytest.raises(ConnectionResetError):
                new.get(1)
        assert 0.4 <= time.monotonic() - began < 0.4 + SLACK_S
    with wire.echo(port("reset-later")) as new:
        assert not new.ended(0.8)


def test_bandwidth_is_limited(faults, port):
    def rate(size):
        with wire.Wire(port("bandwidth"), f"send {size}") as live:
            began = time.monotonic()
            assert len(live.get(size, 20)) == size
            return size / (time.monotonic() - began)

    assert max(rate(256 * 1024) for _ in range(3)) > 512 * 1024
    with faults("bandwidth") as fault:
        assert 0.1 * 64 * 1024 < rate(96 * 1024) < 1.4 * 64 * 1024
    assert max(rate(256 * 1024) for _ in range(3)) > 512 * 1024
    assert fault.status()["hits"] == 1


def test_the_end_of_connections_comes_late(faults, port):
    def end_after():
        with wire.Wire(port("slow-close"), "close") as live:
            closed = float(live.line())
            assert live.ended()
            return time.time() - closed

    assert min(end_after() for _ in range(3)) < QUICK_S
    with faults("slow-close") as fault:
        assert 0.5 <= end_after() < 0.5 + SLACK_S
    assert min(end_after() for _ in range(3)) < QUICK_S
    assert fault.status()["hits"] == 1


def test_more_connections_than_the_limit_wait(faults, port):
    address = port("limit")
    with faults("connection-limit") as fault:
        with wire.echo(address) as one, wire.echo(address) as two:
            assert one.ask(b"one") == b"one"
            assert two.ask(b"two") == b"two"
            with wire.echo(address) as three:
                three.send(b"three")
                assert three.get(5, 0.5) == b""
                one.socket.close()
                assert three.get(5) == b"three"
        with wire.echo(address) as four:
            assert four.ask(b"four") == b"four"
    assert fault.status()["hits"] >= 1
    waiting = [wire.echo(address) for _ in range(4)]
    assert all(wire.is_alive(each) for each in waiting)
    for each in waiting:
        each.socket.close()


def changed(address, size=20_000):
    """Give how many bytes of an echo came back changed; none may be missing."""
    data = bytes(range(256)) * (size // 256)
    with wire.echo(address) as live:
        answer = live.ask(data)
        assert len(answer) == len(data)
        return sum(one != other for one, other in zip(data, answer, strict=True)) / len(data)


def test_bytes_are_changed(faults, port):
    assert changed(port("corrupt")) == 0
    with faults("corrupt") as fault:
        assert 0.05 < changed(port("corrupt")) < 0.15
    assert changed(port("corrupt")) == 0
    assert fault.status()["hits"] == 1


def test_the_same_seed_changes_the_same_bytes(faults, port):
    def positions(fault):
        data = bytes(8000)
        with faults(fault) as started, wire.echo(port("corrupt")) as live:
            answer = live.ask(data)
        started.wait_recovered()
        return [at for at, byte in enumerate(answer) if byte]

    first = positions("corrupt-seed-5")
    assert first
    assert first == positions("corrupt-seed-5-again")
    assert first != positions("corrupt-seed-6")


def test_a_partition_holds_bytes_and_delivers_them(faults, port):
    with wire.echo(port("partition")) as live:
        assert live.ask(b"before") == b"before"
        with faults("partition") as fault:
            live.send(b"held")
            assert live.get(4, 0.6) == b""
            assert not wire.reaches(port("partition"), timeout=0.7)
        assert live.get(4) == b"held"
        assert live.ask(b"after") == b"after"
    assert wire.reaches(port("partition"))
    assert fault.status()["hits"] == 2


def test_other_ports_are_left_alone(faults, port):
    with faults("latency-too"), faults("refuse-too"):
        assert wire.round_trip(port("latency")) >= 0.4
        # Of what is refused, the kernel's count has rather too few than too many.
        assert not any(wire.reaches(port("refuse"), timeout=0.7) for _ in range(3))
        assert wire.round_trip(port("clean")) < QUICK_S
    assert wire.reaches(port("refuse"))
    assert wire.round_trip(port("latency")) < QUICK_S
