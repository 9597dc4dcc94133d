"""Databases and brokers over TLS, with the run's own authority; certificates that are no good."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from seatrial_runner.scenario import InstanceResult

from localcluster.ports import free_port
from tests.support import brokers
from tests.support.authority import AUTHORITY, Authority
from tests.support.mariadb import PASSWORD as MARIADB_PASSWORD
from tests.support.mariadb import USER, mariadb
from tests.support.postgres import postgres
from tests.support.redis_server import PASSWORD as REDIS_PASSWORD
from tests.support.redis_server import redis_server
from tests.support.scenarios import a_world, run_steps

OTHERS = Authority("another authority")
UNKNOWN = "is not good: unable to get local issuer certificate; give its authority as tls.ca"
EXPIRED = "is not good: certificate has expired"
MISNAMED = "give the name it has as tls.serverName"
NAME = "db.shop"
_PASSWORD = "s3cret-of-postgres"

Start = Callable[[ExitStack, Path, tuple[str, str]], str]


def _postgresql(stack: ExitStack, folder: Path, certified: tuple[str, str]) -> str:
    port = stack.enter_context(postgres(_PASSWORD, certified))
    return f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{port}/postgres"


def _mariadb(stack: ExitStack, folder: Path, certified: tuple[str, str]) -> str:
    certificate, key = _written(folder, certified)
    port = stack.enter_context(mariadb(f"--ssl-cert={certificate}", f"--ssl-key={key}"))
    return f"mysql://{USER}:{MARIADB_PASSWORD}@127.0.0.1:{port}/app"


def _redis(stack: ExitStack, folder: Path, certified: tuple[str, str]) -> str:
    certificate, key = _written(folder, certified)
    tls_port = free_port()
    options = ("--tls-port", str(tls_port), "--tls-auth-clients", "no")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    stack.enter_context(redis_server(*options, *files))
    return f"redis://:{REDIS_PASSWORD}@127.0.0.1:{tls_port}/0"


def _written(folder: Path, certified: tuple[str, str]) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_text(certified[0])
    key.write_text(certified[1])
    return certificate, key


QUERY = {"sql": {"query": "select 7 as n"}, "expect": ["row.n == 7"]}
PING = {"redis": {"command": "PING"}, "expect": ["result == 'PONG'"]}
LOAD = {"data": {"rows": {"tls": [{"id": 1}]}}, "expect": ["data.counts.tls == 1"]}
STORES: dict[str, tuple[Start, dict[str, Any]]] = {
    "postgresql": (_postgresql, QUERY),
    "mariadb": (_mariadb, QUERY),
    "redis": (_redis, PING),
    "data of redis": (_redis, LOAD),
}


def asked(store: str, url: str, tls: dict[str, Any], timeout: str = "10s") -> InstanceResult:
    [(kind, document), *expected] = STORES[store][1].items()
    more = {"service": "db", "tls": tls, "timeout": timeout}
    world = a_world(connections={"db": url}, environ={"ca.crt": AUTHORITY.ca})
    return run_steps([{kind: {**document, **more}, **dict(expected)}], world)


@pytest.fixture(scope="module", params=STORES)
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A store with a certificate of ours for another name beside its address; with its URL."""
    start = STORES[request.param][0]
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("tls")
        url = start(stack, folder, AUTHORITY.sign("127.0.0.1", NAME))
        yield request.param, url


@pytest.fixture(scope="module", params=STORES)
def bad(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A store whose certificate has expired, and is for another name; with its URL."""
    start = STORES[request.param][0]
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("tls")
        url = start(stack, folder, AUTHORITY.sign(NAME, expired=True))
        yield request.param, url


def test_an_authority_of_the_run_is_trusted(good):
    result = asked(*good, {"ca": "{{ env['ca.crt'] }}"})
    assert result.outcome == "passed", result.details


def test_a_certificate_may_have_the_name_that_the_step_says(good):
    result = asked(*good, {"ca": AUTHORITY.ca, "serverName": NAME})
    assert result.outcome == "passed", result.details
    result = asked(*good, {"ca": AUTHORITY.ca, "serverName": "elsewhere.shop"})
    assert result.outcome != "passed"
    assert MISNAMED in result.message


@pytest.mark.parametrize("tls", [{}, {"ca": OTHERS.ca}], ids=["of-the-system", "another"])
def test_an_unknown_authority_is_not_trusted(good, tls):
    result = asked(*good, tls)
    assert result.outcome != "passed"
    assert f"the certificate of the server {UNKNOWN}" in result.message
    assert "127.0.0.1:" in result.message


def test_a_text_that_is_no_certificate_is_named(good):
    assert "tls.ca holds no certificate in PEM" in asked(*good, {"ca": "none"}).message


def test_a_certificate_that_has_expired_is_told(bad):
    result = asked(*bad, {"ca": AUTHORITY.ca, "serverName": NAME})
    assert result.outcome != "passed"
    assert f"the certificate of the server {EXPIRED}" in result.message


def test_without_verification_any_certificate_is_taken(bad):
    result = asked(*bad, {"verify": False})
    assert result.outcome == "passed", result.details


def test_a_client_certificate_is_shown(tmp_path):
    certificate, key = _written(tmp_path, AUTHORITY.sign("127.0.0.1"))
    authority = tmp_path / "ca.crt"
    authority.write_text(OTHERS.ca)
    tls_port = str(free_port())
    options = ("--tls-port", tls_port, "--tls-ca-cert-file", str(authority))
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    own = dict(zip(("cert", "key"), OTHERS.sign("a client"), strict=True))
    with redis_server(*options, *files):
        url = f"rediss://:{REDIS_PASSWORD}@127.0.0.1:{tls_port}/0"
        shown = asked("redis", url, {"ca": AUTHORITY.ca, **own})
        without = asked("redis", url, {"ca": AUTHORITY.ca})
    assert shown.outcome == "passed", shown.details
    assert without.outcome != "passed"
    # It says so after a handshake in which all seemed well, and may be gone before it is heard.
    assert re.search(r"wants? a client certificate \(tls.cert, tls.key\)", without.message)


def test_a_client_certificate_is_shown_to_postgresql(good):
    store, url = good
    if store != "postgresql":
        return
    own = dict(zip(("cert", "key"), OTHERS.sign("a client"), strict=True))
    shown = asked(store, url, {"ca": AUTHORITY.ca, **own})
    assert shown.outcome == "passed", shown.details


@pytest.mark.parametrize(
    ("store", "fixture", "words"),
    [
        ("postgresql", "postgresql_url", "server does not support SSL, but SSL was required"),
        ("mariadb", "mariadb_url", "SSL is required but the server doesn't support it"),
        ("redis", "redis_url", "no answer to the TLS handshake: does the server speak TLS?"),
    ],
)
def test_nothing_is_sent_to_a_server_without_tls(store, fixture, words, request):
    timeout = "1s" if store == "redis" else "10s"  # Redis says nothing
    result = asked(store, request.getfixturevalue(fixture), {"ca": AUTHORITY.ca}, timeout)
    assert result.outcome != "passed"
    assert words in result.message


# Brokers -----------------------------------------------------------------------------------------

# By broker: its scheme over TLS, and where messages go there.
OVER_TLS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "kafka": ("kafka+ssl", "kafka", {"topic": "tls"}, {"topic": "tls"}),
    "rabbitmq": (
        *("amqps", "amqp"),
        {"exchange": "amq.topic", "routingKey": "tls.a"},
        {"exchange": "amq.topic", "routingKey": "tls.*"},
    ),
    "secure_nats": ("tls", "nats", {"subject": "tls.a"}, {"subject": "tls.*"}),
    "secure_redis": ("rediss", "redis", {"stream": "tls"}, {"stream": "tls"}),
    "secure_mosquitto": ("mqtts", "mqtt", {"topic": "tls/a"}, {"topic": "tls/+"}),
}
CHEAP = {"nats": brokers.Nats, "redis": brokers.Redis, "mosquitto": brokers.Mosquitto}


@pytest.fixture(scope="module")
def secure_nats() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.Nats(AUTHORITY.sign("127.0.0.1"))) as broker:
        yield broker


@pytest.fixture(scope="module")
def secure_redis() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.Redis(AUTHORITY.sign("127.0.0.1"))) as broker:
        yield broker


@pytest.fixture(scope="module")
def secure_mosquitto() -> Iterator[brokers.BrokerProcess]:
    with brokers.running(brokers.Mosquitto(AUTHORITY.sign("127.0.0.1"))) as broker:
        yield broker


def sent(name: str, url: str, tls: dict[str, Any] | None) -> InstanceResult:
    """Publish a message and receive it."""
    _, _, target, source = OVER_TLS[name]
    more = {} if tls is None else {"tls": tls}
    steps = [
        {"message": {"to": "events", **target, "json": {"n": 7}, **more}},
        {"message": {"from": "events", **source, **more}, "expect": ["message.json.n == 7"]},
    ]
    return run_steps(steps, a_world(connections={"events": url}))


@pytest.mark.parametrize("by_url", [True, False], ids=["by-url", "by-tls-alone"])
@pytest.mark.parametrize("name", OVER_TLS)
def test_messages_go_over_tls(name, by_url, request):
    broker = request.getfixturevalue(name)
    scheme = OVER_TLS[name][0 if by_url else 1]
    result = sent(name, broker.tls_url(scheme), {"ca": AUTHORITY.ca})
    assert result.outcome == "passed", result.details


@pytest.mark.parametrize("tls", [None, {"ca": OTHERS.ca}], ids=["of-the-system", "another"])
@pytest.mark.parametrize("name", OVER_TLS)
def test_a_broker_of_an_unknown_authority_is_not_trusted(name, tls, request):
    broker = request.getfixturevalue(name)
    result = sent(name, broker.tls_url(OVER_TLS[name][0]), tls)
    assert result.outcome != "passed"
    assert f"cannot be reached: the certificate of the server {UNKNOWN}" in result.message


@pytest.mark.parametrize("name", CHEAP)
def test_a_broker_whose_certificate_has_expired_is_told(name):
    expired = AUTHORITY.sign("127.0.0.1", expired=True)
    with brokers.running(CHEAP[name](expired)) as broker:
        case = f"secure_{name}"
        result = sent(case, broker.tls_url(OVER_TLS[case][0]), {"ca": AUTHORITY.ca})
    assert result.outcome != "passed"
    assert f"the certificate of the server {EXPIRED}" in result.message


@pytest.mark.parametrize("name", CHEAP)
def test_nothing_is_sent_to_a_broker_without_tls(name, request):
    broker = request.getfixturevalue(name)
    result = sent(f"secure_{name}", broker.url, {"ca": AUTHORITY.ca})
    assert result.outcome != "passed"
    assert "TLS" in result.message


def test_a_text_of_a_message_step_that_is_no_certificate_is_named(nats):
    result = sent("secure_nats", nats.url, {"ca": "none"})
    assert "tls.ca holds no certificate in PEM" in result.message
