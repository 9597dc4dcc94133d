"""What a start must not cost: each module here is imported in every pod that starts."""

import subprocess
import sys

import pytest
from seatrial_runner.scenario import preload

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


def test_preloading_nothing_is_fine():
    preload([])
