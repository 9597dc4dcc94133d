"""Each kind of fault made through the API: what a client of the service sees of it."""

import socket
import ssl
import time

import httpx
import pytest
import wire

PATIENCE_S = 30  # with a busy machine
# They break the same service.
one_after_another = pytest.mark.xdist_group("configured")


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
def test_a_pod_is_replaced(faults, host, kind):
    before = host(kind)
    with faults(kind) as fault:
        refuses(host, kind)  # traffic, whether it is answered or not
    fault.wait_recovered()
    assert host(kind) != before
    state = fault.status()
    assert state["state"] == "Recovered"
    assert state["hits"] >= 1


def test_there_are_more_pods_for_a_while(faults, host, eventually):
    assert len({host("scale") for _ in range(20)}) == 1
    with faults("scale-up") as fault:
        eventually(lambda: len({host("scale") for _ in range(30)}) == 3, within=PATIENCE_S)
    fault.wait_recovered()
    eventually(lambda: len({host("scale") for _ in range(20)}) == 1, within=PATIENCE_S)


def test_there_are_no_pods_for_a_while(faults, host):
    with faults("scale-down") as fault:
        assert refuses(host, "none")
    fault.wait_recovered()
    assert host("none")


def test_an_outage_keeps_what_is_on_the_volume(faults, http, services, eventually):
    store = (services["store"].host, services["store"].ports["wire"])
    assert wire.command(store, "write /data/order seven") == "written"
    with faults("outage") as fault:
        with pytest.raises(httpx.TransportError):
            http.get(services["store"].url, timeout=1)
        with pytest.raises(OSError, match=r"refused|timed out"):
            wire.command(store, "who", timeout=1)
    fault.wait_recovered()
    assert wire.command(store, "read /data/order") == "seven"


def test_a_service_is_cut_off_from_pods_that_go_on(faults, host):
    before = host("alone")
    with faults("no-endpoints") as fault:
        assert all(refuses(host, "alone") for _ in range(5))
    fault.wait_recovered()
    assert host("alone") == before


@one_after_another
def test_a_configuration_is_changed_and_the_pods_begin_anew(faults, env, eventually):
    assert env("configured", "COLOUR") == "green"
    with faults("colour") as fault:
        # The node's proxy may lead to the old pod for a moment.
        eventually(lambda: env("configured", "COLOUR") == "red", within=PATIENCE_S)
        assert env("configured", "SHAPE") == "round"
    fault.wait_recovered()
    assert env("configured", "COLOUR") == "green"


@one_after_another
def test_a_key_is_lost(faults, env, eventually):
    assert env("configured", "SHAPE") == "round"
    with faults("shape-lost") as fault:
        eventually(lambda: env("configured", "SHAPE") is None, within=PATIENCE_S)
        assert env("configured", "COLOUR") == "green"
    fault.wait_recovered()
    assert env("configured", "SHAPE") == "round"


@one_after_another
def test_a_whole_secret_is_lost(faults, env, eventually):
    assert env("configured", "WORD") == "sesame"
    with faults("secret-lost") as fault:
        eventually(lambda: env("configured", "WORD") is None, within=PATIENCE_S)
    fault.wait_recovered()
    assert env("configured", "WORD") == "sesame"


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
