"""TLS with authorities of the run's own, client certificates, HTTP/2."""

import asyncio
import os
import sys
import tempfile

import pytest
from seatrial_runner.scenario import World
from seatrial_runner.scenario.tls import Tls, context_of

from tests.support.authority import Authority
from tests.support.http2_origin import Http2Origin
from tests.support.loopback import Loopback
from tests.support.scenarios import get, run_steps

OURS, OTHERS = Authority(), Authority("another authority")


def tried(context, tls, **more):
    with Loopback(context) as system:
        system.answer("GET /orders/1", json={"id": 1})
        world = World(base_urls={"orders": system.url}, environ={"ca.crt": OURS.ca})
        http = get(timeout="20s", **({"tls": tls} if tls is not None else {}), **more)
        return run_steps([{"http": http, "expect": ["response.json.id == 1"]}], world)


def test_an_authority_of_the_run_is_trusted():
    result = tried(OURS.server(), {"ca": "{{ env['ca.crt'] }}"})
    assert result.outcome == "passed", result.message


def test_an_unknown_authority_is_not_trusted():
    message = tried(OURS.server(), None).message
    assert "the certificate of 127.0.0.1:" in message
    assert "is not good: unable to get local issuer certificate; give its authority as tls.ca" in (
        message
    )
    assert "give its authority as tls.ca" in tried(OURS.server(), {"ca": OTHERS.ca}).message


def test_a_certificate_of_another_name_is_refused_unless_that_name_is_given():
    context = OURS.server("orders.shop")
    message = tried(context, {"ca": OURS.ca}).message
    assert "give the name it has as tls.serverName" in message
    assert tried(context, {"ca": OURS.ca, "serverName": "orders.shop"}).outcome == "passed"


def test_any_certificate_is_taken_without_verification():
    assert tried(OURS.server("orders.shop"), {"verify": False}).outcome == "passed"


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_client_certificate_is_shown(in_memory, monkeypatch):
    if not in_memory:
        monkeypatch.delattr(os, "memfd_create")
    context = OURS.server(wants=OTHERS)
    cert, key = OTHERS.sign("a client")
    good = {"ca": OURS.ca, "cert": cert, "key": key}
    assert tried(context, good).outcome == "passed"


def test_a_client_certificate_needs_no_directory_to_write_to(monkeypatch):
    def refused(*args, **kwargs):
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", refused)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refused)
    cert, key = OTHERS.sign("a client")
    assert context_of(Tls(ca=OURS.ca, cert=cert, key=key)) is not None


def test_a_client_without_a_certificate_is_told_to_give_one():
    message = tried(OURS.server(wants=OTHERS), {"ca": OURS.ca}).message
    assert "it wants a client certificate (tls.cert, tls.key)" in message


@pytest.mark.parametrize("expired", [True, False])
def test_a_client_certificate_that_is_no_good_is_told(expired):
    cert, key = (OTHERS if expired else OURS).sign("a client", expired=expired)
    message = tried(OURS.server(wants=OTHERS), {"ca": OURS.ca, "cert": cert, "key": key}).message
    assert "refused the handshake" in message
    assert "certificate expired" in message if expired else "unknown ca" in message


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        ({"ca": "no certificate"}, "tls.ca holds no certificate in PEM"),
        ({"cert": "x", "key": "y"}, "tls.cert and tls.key are no certificate and its key"),
    ],
)
def test_texts_that_are_no_certificates_are_named(tls, problem):
    assert problem in tried(OURS.server(), tls).message


def test_a_key_is_not_shown():
    cert, key = OTHERS.sign("a client")
    tls = {"ca": OURS.ca, "cert": cert, "key": key}
    result = tried(OURS.server(wants=OTHERS), tls, headers={"X-Copy": key.strip().split("\n")[0]})
    assert key.strip() not in result.details


def test_a_server_without_tls_is_told():
    with Loopback() as system:
        url = system.url.replace("http:", "https:")
        result = run_steps([{"http": {"get": f"{url}/x"}}], World())
    assert "does not speak TLS: is it http:// there?" in result.message


async def test_http2_is_spoken_where_it_is_asked_for():
    async with Http2Origin() as origin:
        url = f"http://127.0.0.1:{origin.port}"
        step = {
            "http": {"post": f"{url}/copy", "body": "hello", "http2": True},
            "expect": ["response.version == 'HTTP/2'", "response.text == 'hello'"],
        }
        result = await asyncio.to_thread(run_steps, [step], World())
    assert result.outcome == "passed", result.message
    assert origin.heads[0][":path"] == "/copy"


def test_http2_of_a_server_that_does_not_speak_it_is_told():
    with Loopback() as system:
        system.answer("GET /orders/1", json={})
        world = World(base_urls={"orders": system.url})
        result = run_steps([{"http": get(http2=True, timeout="20s")}], world)
    assert result.outcome == "failed"
    assert "http2 is asked for: does the server speak it?" in result.message


def test_http2_without_its_driver_says_what_to_install(monkeypatch):
    for name in ("h2", "h2.connection", "httpcore._sync.http2"):
        monkeypatch.setitem(sys.modules, name, None)
    with Loopback() as system:
        result = run_steps([{"http": {"get": f"{system.url}/x", "http2": True}}], World())
    assert result.message.endswith("http2 needs the extra: pip install 'seatrial[http2]'")
