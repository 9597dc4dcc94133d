"""What a start must not cost: each module here is imported in every pod that starts."""

import asyncio
import subprocess
import sys

import pytest
from seatrial_runner.scenario import preload

from tests.support.http2_origin import Http2Origin

HEAVY = {
    "httpx",
    "jinja2",
    "pydantic",
    "yaml",
    "cel_expr_python",
    "asyncio",
    "pytest",
    "kubernetes",
}


def imported_by(statement):
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("statement", "also"),
    [
        ("import seatrial_runner.scenario", set()),
        ("import seatrial_runner.runner.gate_command", {"dataclasses"}),
        ("import seatrial_runner.runner.collect_command", {"dataclasses"}),
        ("import seatrial_runner.runner.pytest_command", set()),
        ("import seatrial_runner.__main__", {"http.client"}),
    ],
)
def test_heavy_modules_are_left_out(statement, also):
    assert imported_by(statement) & (HEAVY | also) == set()


@pytest.mark.parametrize(
    ("url", "modules"),
    [
        ("postgresql://u:p@db/shop", {"sqlalchemy", "psycopg"}),
        ("mysql://u:p@db/shop", {"sqlalchemy", "pymysql"}),
        ("amqp://u:p@events", set()),
    ],
)
def test_a_check_of_a_database_brings_its_driver_and_no_other(url, modules):
    statement = (
        "from seatrial_runner.scenario.databases.drivers import import_driver\n"
        f"import_driver({url!r})"
    )
    assert imported_by(statement) & {"sqlalchemy", "psycopg", "pymysql"} == modules


@pytest.mark.parametrize(
    ("step", "modules"),
    [
        ("{'expect': ['true']}", {"cel_expr_python"}),
        ("{'http': {'get': 'http://x/{{ a }}'}}", {"cel_expr_python", "httpx"}),
        ("{'http': {'get': 'http://x/{{ a | upper }}'}}", {"cel_expr_python", "httpx", "jinja2"}),
        (
            "{'parallel': [{'steps': [{'http': {'get': 'http://x', 'json': ['{{ 1 + 1 }}']}}]}]}",
            {"cel_expr_python", "httpx", "jinja2"},
        ),
    ],
)
def test_preloading_brings_what_the_steps_need(step, modules):
    statement = (
        "from seatrial_runner.scenario import preload\n"
        f"preload([{{'scenario': [{step}]}}, {{'pytest': {{}}}}])"
    )
    assert imported_by(statement) & {"cel_expr_python", "httpx", "jinja2"} == modules


def test_a_plain_request_brings_nothing_of_other_requests():
    statement = (
        "from seatrial_runner.scenario import World, expand, preload, run_instance\n"
        "test = {'name': 'a', 'scenario': [{'http': {'get': 'http://127.0.0.1:1/'}}]}\n"
        "preload([test])\n"
        "assert 'nothing listens' in run_instance(expand(test)[0], World()).message"
    )
    ours = {name.rpartition(".")[2] for name in imported_by(statement) if "seatrial_runner" in name}
    others = {"multipart", "oauth2", "streaming", "receiving", "http_stream", "callbacks"}
    assert ours & others == set()
    assert imported_by(statement) & {"grpc", "h2", "websockets", "sqlalchemy"} == set()


async def test_http2_is_found_after_a_start_without_it():
    async with Http2Origin() as origin:
        statement = (
            "from seatrial_runner.scenario import World, expand, preload, run_instance\n"
            f"http = {{'get': 'http://127.0.0.1:{origin.port}/', 'http2': True}}\n"
            "test = {'name': 'a', 'scenario': [{'http': http}]}\n"
            "preload([test])\n"
            "result = run_instance(expand(test)[0], World())\n"
            "assert result.outcome == 'passed', result.message"
        )
        assert "h2" in await asyncio.to_thread(imported_by, statement)


def test_preloading_nothing_is_fine():
    preload([])
