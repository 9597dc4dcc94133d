"""
``python -m tests.bench.steps``: what a step costs beside the bare library, on loopback.

Each number of ours stands beside the same work without Seatrial, measured in turns with it, because
on a machine with other work only the ratio means something.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
from seatrial_runner.scenario import World, expand, preload, run_instance

ROUNDS = 5
STEPS = 500

SERVER = """
import asyncio
from aiohttp import web

async def main():
    async def order(request):
        return web.json_response({"id": "o-1", "status": "paid", "lines": [{"sku": "A1"}]})
    app = web.Application()
    app.router.add_get("/orders/o-1", order)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

# From the start of the interpreter to the end of the first step.
FIRST_STEP = """
from seatrial_runner.scenario import World, expand, preload, run_instance
test = {"name": "a", "scenario": [{"http": {"get": "URL"}, "expect": ["response.status == 200"]}]}
preload([test])
assert run_instance(expand(test)[0], World()).outcome == "passed"
"""
FIRST_REQUEST = """
import httpx
with httpx.Client(trust_env=False, verify=False) as client:
    assert client.get("URL").status_code == 200
"""


@dataclass(frozen=True)
class Row:
    """One line of the table: ours and the bare library's, in ``unit``."""

    name: str
    unit: str
    ours: list[float]
    bare: list[float]

    def __str__(self) -> str:
        ours, bare = median(self.ours), median(self.bare)
        ratio = ours / bare
        return f"| {self.name} | {ours:.4g} {self.unit} | {bare:.4g} {self.unit} | {ratio:.2f} |"


HEAD = "| what | Seatrial | bare | ratio |\n| --- | --- | --- | --- |"


@contextmanager
def a_server() -> Iterator[str]:
    """Serve one order in a process of its own; give its URL."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/orders/o-1"
        finally:
            process.kill()


def in_turns(first: Callable[[], float], second: Callable[[], float]) -> tuple[list[float], ...]:
    """Call both in turns; the first time of each warms up."""
    pairs = [(first(), second()) for _ in range(ROUNDS + 1)][1:]
    return [one for one, _ in pairs], [two for _, two in pairs]


def per_second(count: int, work: Callable[[], None]) -> float:
    """Give how often something was done a second."""
    began = time.perf_counter()
    work()
    return count / (time.perf_counter() - began)


def run_steps(step: dict[str, object], count: int, world: World) -> None:
    """Run a scenario of equal steps, all of which must hold."""
    test = {"name": "bench", "timeout": "10m", "scenario": [step] * count}
    preload([test])
    [instance] = expand(test)
    result = run_instance(instance, world)
    assert result.outcome == "passed", result.message


def http_steps(url: str) -> Iterator[Row]:
    """Measure http steps with an expectation and a capture against httpx with the same checks."""
    step: dict[str, object] = {
        "http": {"get": url},
        "expect": ["response.status == 200", "response.json.status == 'paid'"],
        "capture": {"order": "response.json.id"},
    }

    def ours() -> float:
        return per_second(STEPS, lambda: run_steps(step, STEPS, World()))

    def anew() -> None:
        for _ in range(STEPS):
            with httpx.Client(trust_env=False, verify=False) as client:
                _look(client.get(url))

    def kept() -> None:
        with httpx.Client(trust_env=False, verify=False) as client:
            for _ in range(STEPS):
                _look(client.get(url))

    # A step has a connection of its own; a loop that keeps its connection does less.
    yield Row(
        "http steps, a connection each", "/s", *in_turns(ours, lambda: per_second(STEPS, anew))
    )
    yield Row(
        "http steps, against one kept connection",
        "/s",
        *in_turns(ours, lambda: per_second(STEPS, kept)),
    )


def _look(response: httpx.Response) -> str:
    document = json.loads(response.text)
    assert response.status_code == 200
    assert document["status"] == "paid"
    return str(document["id"])


def start(url: str) -> Iterator[Row]:
    """Measure a fresh interpreter up to the end of its first step."""

    def seconds(code: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code.replace("URL", url)], check=True)
        return time.perf_counter() - began

    rows = in_turns(lambda: seconds(FIRST_STEP), lambda: seconds(FIRST_REQUEST))
    yield Row("start to the end of the first http step", "s", *rows)


def measured() -> Iterator[Row]:
    """Measure everything."""
    from tests.bench import sql_steps

    with a_server() as url:
        yield from start(url)
        yield from http_steps(url)
    yield from sql_steps.measured()


def main() -> int:
    """Measure, print the table, and write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="Markdown page to write the table into")
    options = parser.parse_args()
    lines = [HEAD]
    for row in measured():
        lines.append(str(row))
        print(row, flush=True)
    if options.page:
        page = options.page.read_text(encoding="utf-8")
        before, _, rest = page.partition(HEAD)
        after = rest.partition("\n\n")[2]
        options.page.write_text("\n".join([before + lines[0], *lines[1:], "", after]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
