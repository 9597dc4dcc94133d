"""A URL of a database sets what is harmless, and nothing that reads files of the pod."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.databases.asking import Asked, explained
from seatrial_runner.scenario.databases.drivers import sqlalchemy_url
from seatrial_runner.scenario.databases.urls import CHARSETS, UnusableUrlError

from tests.support.scenarios import run_steps


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://db/app?read_default_file=/proc/self/environ", "'read_default_file' is not"),
        ("mysql://db/app?local_infile=1", "'local_infile' is not"),
        ("mariadb://db/app?charset=utf8mb4&ssl_ca=/etc/passwd", "'ssl_ca' is not"),
        ("mysql://db/app?read%5Fdefault_file=/x", "'read_default_file' is not"),
        ("mysql://db/app?plugin=x", "allowed are charset, connect_timeout"),
        ("postgresql://db/app?passfile=/etc/passwd", "'passfile' is not"),
        ("postgres://db/app?options=-c%20x=y", "'options' is not"),
        ("sqlite:////tmp/a?uri=true&vfs=x", "'vfs' is not"),
    ],
)
def test_what_a_url_may_not_set_is_refused_by_its_name(url: str, told: str) -> None:
    with pytest.raises(UnusableUrlError, match=told):
        sqlalchemy_url(url)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("mysql://db/app?connect_timeout=soon", "'connect_timeout' is a number, not 'soon'"),
        ("postgres://db/app?connect_timeout=-1", "'connect_timeout' is a number, not '-1'"),
        ("sqlite:////tmp/a?timeout=soon", "'timeout' is a number, not 'soon'"),
        ("sqlite:////tmp/a?uri=perhaps", "'uri' is true or false, not 'perhaps'"),
        ("mysql://db/app?connect_timeout=1&connect_timeout=2", "'connect_timeout' is given twice"),
        ("postgres://db/app?application_name=a&application_name=b", "'application_name' is given"),
        ("mysql://db/app?charset=abc", "'charset' is .*, such as utf8mb4, not 'abc'"),
        ("mysql://db/app?charset=binary", "'charset' is .*, not 'binary'"),
        ("postgres://db/app?sslmode=on", "'sslmode' is one of disable, .* verify-full, not 'on'"),
        ("postgres://db/app?target_session_attrs=rw", "is one of any, .*, not 'rw'"),
        ("sqlite:///file:/tmp/a?uri=true&mode=r", "'mode' is one of ro, rw, rwc, memory, not 'r'"),
        ("sqlite:///file:/tmp/a?uri=true&cache=no", "'cache' is one of shared, private, not 'no'"),
        ("sqlite:////tmp/a?mode=ro", "of a URI alone: write sqlite:///file:/path"),
        ("sqlite:////tmp/a?mode=ro&uri=true", "of a URI alone"),
        ("sqlite:///file:/tmp/a?cache=shared&uri=false", "of a URI alone"),
        ("mysql://db..example/app", "mysql://db..example/app is no URL of a database"),
    ],
)
def test_what_is_not_a_value_of_its_key_is_told(url: str, told: str) -> None:
    with pytest.raises(UnusableUrlError, match=told):
        sqlalchemy_url(url)


def test_a_port_that_is_none_is_told_by_the_url() -> None:
    url = "mysql://app:s3cret@db:99999/app"
    result = run_steps([{"sql": {"url": url, "query": "select 1"}}])
    assert result.outcome == "failed"
    assert "mysql://db:99999/app is no URL of a database" in result.message


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:orders?mode=memory&uri=true",
        "sqlite:///file:orders?mode=memory&cache=private&uri=true",
    ],
)
def test_a_database_that_each_connection_would_have_of_its_own_is_refused(url: str) -> None:
    with pytest.raises(UnusableUrlError, match="another one for each connection") as told:
        sqlalchemy_url(url)
    assert "sqlite:///file:NAME?mode=memory&cache=shared&uri=true" in str(told.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///file:orders?mode=memory&cache=shared&uri=true",
        "mysql://db/app?charset=utf8mb4&connect_timeout=3",
        "mysql://db/app?charset=Latin1",
        "postgresql://db-0.of-many.example,db-1.of-many.example/app",
        "postgresql://db/app?sslmode=require&application_name=a&target_session_attrs=any",
        "sqlite:///file:/tmp/a?uri=true&mode=ro&cache=shared",
        "postgresql://db/app",
    ],
)
def test_what_a_url_may_set_stays(url: str) -> None:
    made, _ = sqlalchemy_url(url)
    assert bool(made.query) == ("?" in url)


def test_a_step_with_such_a_url_fails_for_good_without_what_the_file_holds() -> None:
    url = "mysql://db/app?read_default_file=/etc/hosts"
    step = {"sql": {"url": url, "query": "select 1"}, "retries": 2}
    result = run_steps([step])
    assert result.outcome == "failed"
    assert "'read_default_file' is not allowed" in result.message
    assert "localhost" not in str(result.to_json())


def test_the_text_of_an_error_that_is_not_of_the_driver_is_not_told() -> None:
    world = SimpleNamespace(monotonic=lambda: 0.0)
    call = SimpleNamespace(tools=SimpleNamespace(world=world), seconds=lambda: 1.0)
    asked = Asked(call, "mysql", "db", 1.0, "select 1")  # type: ignore[arg-type]
    with pytest.raises(StepFailure) as told, explained(asked, "mysql://db"):
        raise LookupError("TOKEN=of-the-pod")
    assert told.value.permanent
    assert told.value.outcome == "error"
    assert "LookupError" in told.value.message
    assert "of-the-pod" not in told.value.message + told.value.details


def test_a_character_set_that_may_be_given_is_one_that_can_be_written() -> None:
    charsets = pytest.importorskip("pymysql.charset")
    for name in CHARSETS:
        assert "x".encode(charsets.charset_by_name(name).encoding) == b"x"


def test_a_character_set_that_is_none_is_told_by_the_step() -> None:
    url = "mysql://app:s3cret@db/app?charset=abc"
    result = run_steps([{"sql": {"url": url, "query": "select 1"}, "retries": 2}])
    assert result.outcome == "failed"
    assert "mysql://db/app: 'charset' is a character set" in result.message
    assert "s3cret" not in str(result.to_json())
