"""Each kind of fault inside a pod: what its clients see, and what the pod itself sees."""

import time

import httpx
import pytest
import wire

QUICK_S = 0.3
ONE_MIB = 1 << 20
RESENT_S = 60  # the longer a fault was there, the longer TCP waits until it sends again


@pytest.fixture
def pod(services):
    """Give the address of the service's own protocol."""
    return (services["pod"].host, services["pod"].ports["wire"])


@pytest.fixture
def datagrams(services):
    """Give the address where datagrams are sent back."""
    return (services["pod"].host, services["pod"].ports["datagrams"])


@pytest.fixture
def asked(http, services):
    """Give a function that asks the service by HTTP: whether it answers in time."""

    def ask(timeout=5.0):
        try:
            url = f"http://{services['pod'].host}:{services['pod'].ports['http']}/"
            return http.get(url, timeout=timeout, headers={"connection": "close"}).is_success
        except httpx.TransportError:
            return False

    return ask


def usage(pod):
    """Give the container's bytes of memory and seconds of CPU."""
    memory, cpu = wire.command(pod, "usage").split()
    return int(memory), float(cpu)


def cpu_share(pod, seconds=1.5):
    """Give the processors that the container uses."""
    began, before = time.monotonic(), usage(pod)[1]
    time.sleep(seconds)
    return (usage(pod)[1] - before) / (time.monotonic() - began)


def test_no_packet_arrives(faults, pod):
    with wire.echo(pod) as live:
        assert wire.is_alive(live)
        with faults("loss") as fault:
            assert not wire.is_alive(live, timeout=0.7)
            assert not wire.reaches(pod, timeout=0.7)
        # What was sent meanwhile is sent again: nothing is lost on the connection.
        assert live.get(5, RESENT_S) == b"live?"
    assert wire.reaches(pod)
    assert fault.status()["hits"] >= 2


def test_no_packet_arrives_at_a_headless_service(faults, pod):
    """What the refusal of network faults there recommends."""
    headless = ("headless", 8100)
    with wire.echo(headless) as live:
        assert wire.is_alive(live)
        with faults("headless-loss") as fault:
            assert not wire.is_alive(live, timeout=0.7)
            assert not wire.reaches(headless, timeout=0.7)
            assert wire.reaches(pod)
        assert live.get(5, RESENT_S) == b"live?"
    assert wire.reaches(headless)
    assert fault.status()["hits"] >= 2


def test_packets_are_late(faults, pod):
    assert wire.round_trip(pod) < QUICK_S
    with wire.echo(pod) as live, faults("delay"):
        began = time.monotonic()
        assert live.ask(b"ping") == b"ping"
        assert 0.35 < time.monotonic() - began < 5
    assert wire.round_trip(pod) < QUICK_S


# What a client of datagrams sees. Damaged ones do not arrive: their checksum is wrong.
DISTURBED = {
    "duplicate": lambda came, sent: len(came) > len(set(came)),
    "reorder": lambda came, sent: came != sorted(came),
    "damage": lambda came, sent: len(set(came)) < sent,
}


@pytest.mark.parametrize("name", DISTURBED)
def test_datagrams_are_disturbed_and_a_stream_is_whole(faults, pod, datagrams, name):
    sent, disturbed = bytes(range(256)) * 400, DISTURBED[name]
    with wire.echo(pod) as live, wire.Datagrams(datagrams) as loose:
        assert loose.are_whole()
        first = loose.sent
        with faults(name) as fault:
            for _ in range(50):  # chance decides which: send until one is seen
                loose.exchange()
                if disturbed(loose.since(first), loose.sent - first):
                    break
            for _ in range(20):
                assert live.ask(sent, 20) == sent
                if fault.status()["hits"] >= 5:
                    break
        until = loose.sent
        # None of those is still on its way once later ones have come back.
        assert loose.are_whole()
        came = [each for each in loose.since(first) if each < until]
        assert disturbed(came, until - first)
    assert fault.status()["hits"] >= 5


def test_a_name_does_not_exist(faults, pod):
    assert not wire.command(pod, "look other").startswith("error")
    with faults("nxdomain") as fault:
        assert wire.command(pod, "look other").startswith("error")
        assert not wire.command(pod, "look pod").startswith("error")
    assert not wire.command(pod, "look other").startswith("error")
    assert fault.status()["hits"] >= 1


def test_a_name_leads_elsewhere(faults, pod):
    with faults("address"):
        assert wire.command(pod, "look other") == "10.255.0.1"
    assert wire.command(pod, "look other") != "10.255.0.1"


def test_a_question_is_never_answered(faults, pod):
    with faults("silence"), pytest.raises(TimeoutError):
        wire.command(pod, "look other", timeout=2)
    assert not wire.command(pod, "look other", timeout=20).startswith("error")


def test_the_container_hangs_and_goes_on(faults, pod, asked):
    assert asked()
    with wire.echo(pod) as live:
        with faults("freeze"):
            assert not asked(1)
            assert not wire.is_alive(live, timeout=0.7)
        assert live.get(5, 5) == b"live?"
    assert asked()


def test_processors_are_busy_up_to_the_limit(faults, pod, asked):
    idle = cpu_share(pod)
    with faults("cpu"):
        assert asked()
        busy = cpu_share(pod)
    # The limit is 0.3; a busy node has less to give.
    assert idle + 0.05 < busy < 0.4
    assert cpu_share(pod) < idle + 0.05


def test_memory_is_taken_and_given_back(faults, pod, asked):
    before = usage(pod)[0]
    with faults("memory"):
        assert asked()
        assert usage(pod)[0] - before > 58 * ONE_MIB
    assert usage(pod)[0] - before < 10 * ONE_MIB


def test_the_volume_is_full_and_free_again(faults, pod, asked):
    assert int(wire.command(pod, "free /data")) > 15 * ONE_MIB
    with faults("disk"):
        assert asked()
        assert int(wire.command(pod, "free /data")) == ONE_MIB
        assert wire.command(pod, "write /data/file text") == "written"
    assert int(wire.command(pod, "free /data")) > 15 * ONE_MIB
