"""Each kind of fault inside a pod: what its clients see, and what the pod itself sees."""

import time

import httpx
import pytest
import wire

QUICK_S = 0.15
ONE_MIB = 1 << 20


@pytest.fixture
def pod(services):
    """Give the address of the service's own protocol."""
    return (services["pod"].host, services["pod"].ports["wire"])


@pytest.fixture
def asked(http, services):
    """Give a function that asks the service by HTTP: whether it answers in time."""

    def ask(timeout=1.0):
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
            assert not wire.is_alive(live)
            assert not wire.reaches(pod)
        # What was sent meanwhile is sent again: nothing is lost on the connection.
        assert live.get(5, 10) == b"live?"
    assert wire.reaches(pod)
    assert fault.status()["hits"] >= 2


def test_packets_are_late(faults, pod):
    assert wire.round_trip(pod) < QUICK_S
    with wire.echo(pod) as live, faults("delay"):
        began = time.monotonic()
        assert live.ask(b"ping") == b"ping"
        assert 0.35 < time.monotonic() - began < 0.9
    assert wire.round_trip(pod) < QUICK_S


@pytest.mark.parametrize("name", ["duplicate", "reorder", "damage"])
def test_a_stream_arrives_whole_however_its_packets_do(faults, pod, name):
    sent = bytes(range(256)) * 400
    with wire.echo(pod) as live, faults(name) as fault:
        assert live.ask(sent, 20) == sent
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
            assert not asked()
            assert not wire.is_alive(live)
        assert live.get(5, 5) == b"live?"
    assert asked()


def test_processors_are_busy_up_to_the_limit(faults, pod, asked):
    idle = cpu_share(pod)
    with faults("cpu"):
        assert asked(5)
        busy = cpu_share(pod)
    # The limit is 0.3; a busy node has less to give.
    assert idle + 0.05 < busy < 0.4
    assert cpu_share(pod) < idle + 0.05


def test_memory_is_taken_and_given_back(faults, pod, asked):
    before = usage(pod)[0]
    with faults("memory"):
        assert asked(5)
        assert usage(pod)[0] - before > 58 * ONE_MIB
    assert usage(pod)[0] - before < 10 * ONE_MIB


def test_the_volume_is_full_and_free_again(faults, pod, asked):
    assert int(wire.command(pod, "free /data")) > 15 * ONE_MIB
    with faults("disk"):
        assert asked(5)
        assert int(wire.command(pod, "free /data")) == ONE_MIB
        assert wire.command(pod, "write /data/file text") == "written"
    assert int(wire.command(pod, "free /data")) > 15 * ONE_MIB
