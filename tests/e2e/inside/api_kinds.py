"""Each kind of fault made through the API: what a client of the service sees of it."""

import socket
import ssl
import time

import httpx
import pytest
import wire

PATIENCE_S = 30  # with a busy machine


@pytest.fixture
def host(http, services):
    """Give a function that asks a service for the name of the pod that answers."""

    def ask(name):
        answer = http.get(services[name].url, timeout=2, headers={"connection": "close"})
        return answer.json()["host"]

    return ask


@pytest.fixture
def env(http, services):
    """Give a function that asks a service for a variable of its environment."""

    def ask(name, variable):
        answer = http.get(services[name].url, timeout=2, headers={"connection": "close"})
        return answer.json()["env"].get(variable)

    return ask


def refuses(host, name):
    try:
        host(name)
    except httpx.TransportError:
        return True
    return False


@pytest.mark.parametrize("kind", ["kill", "restart", "evict"])
def test_a_pod_is_replaced(faults, host, eventually, kind):
    before = host(kind)
    with faults(kind) as fault:
        refuses(host, kind)  # traffic, whether it is answered or not
    fault.wait_recovered()
    eventually(lambda: host(kind) != before, within=PATIENCE_S)
    assert fault.status()["state"] == "Recovered"
    # What a test has sent is told beside it.
    eventually(lambda: fault.status()["hits"] >= 1, within=PATIENCE_S)


def test_there_are_more_pods_for_a_while(faults, host, eventually):
    assert len({host("scale") for _ in range(20)}) == 1
    with faults("scale-up") as fault:
        eventually(lambda: len({host("scale") for _ in range(30)}) == 3, within=PATIENCE_S)
    fault.wait_recovered()
    eventually(lambda: len({host("scale") for _ in range(20)}) == 1, within=PATIENCE_S)


def test_there_are_no_pods_for_a_while(faults, host, eventually):
    with faults("scale-down") as fault:
        assert refuses(host, "none")
    fault.wait_recovered()
    eventually(lambda: host("none"), within=PATIENCE_S)


def test_an_outage_keeps_what_is_on_the_volume(faults, http, services, eventually):
    store = (services["store"].host, services["store"].ports["wire"])
    assert wire.command(store, "write /data/order seven") == "written"
    with faults("outage") as fault:
        with pytest.raises(httpx.TransportError):
            http.get(services["store"].url, timeout=1)
        with pytest.raises(OSError, match=r"refused|timed out|No route"):
            wire.command(store, "who", timeout=1)
    fault.wait_recovered()
    assert wire.command(store, "read /data/order") == "seven"


def test_a_service_is_cut_off_from_pods_that_go_on(faults, host):
    before = host("alone")
    with faults("no-endpoints") as fault:
        assert all(refuses(host, "alone") for _ in range(5))
    fault.wait_recovered()
    assert host("alone") == before


# One test, so that none of the three meets another: they break the same service.
def test_a_configuration_is_changed_and_lost(faults, env, eventually):
    variables = {"COLOUR": "green", "SHAPE": "round", "WORD": "sesame"}
    for fault, change in {
        "colour": {"COLOUR": "red"},
        "shape-lost": {"SHAPE": None},
        "secret-lost": {"WORD": None},
    }.items():
        with faults(fault) as started:
            for name, value in (variables | change).items():
                # The node's proxy may lead to the old pod for a moment.
                eventually(lambda n=name, v=value: env("configured", n) == v, within=PATIENCE_S)
        started.wait_recovered()
        for name, value in variables.items():
            assert env("configured", name) == value


def test_a_certificate_has_expired(faults, http, services, eventually):
    address = (services["secure"].host, services["secure"].ports["https"])

    def verified():
        http.get(services["secure"].url)  # traffic, for the proof
        authority = http.get(f"{services['secure'].url}/file/etc/tls/ca.crt").text
        context = ssl.create_default_context(cadata=authority)
        with (
            socket.create_connection(address, timeout=2) as plain,
            context.wrap_socket(plain, server_hostname="secure") as secure,
        ):
            return secure.getpeercert()["notAfter"]

    before = verified()
    assert ssl.cert_time_to_seconds(before) > time.time()

    def has_expired():
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            verified()

    with faults("expired") as fault:
        eventually(has_expired, within=PATIENCE_S)
    fault.wait_recovered()
    assert verified() == before
