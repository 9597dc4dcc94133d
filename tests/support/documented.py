"""
Examples of scenarios in pages of the documentation, and what comes of them.

The convention, for every page:

- A fenced block of YAML is an example: a list of steps, a document with ``tests:``, or a run. What
  it says must hold.
- With the word ``fails`` after ``yaml``, it must fail.
- With ``needs=NAME`` (of ``NEEDS``), it is left to the tests that have that component:
  ``tests/components/test_documented_examples.py``, which also write its output, when the
  environment has WRITE_DOCS.
- A fenced block of the language ``output`` after an example (with only text between) is what it
  gives; nobody writes it by hand: ``make generate`` does.

Time is played, so that an example that waits takes none, and shows the same each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from seatrial.api.run import parse_spec
from seatrial.api.spec import RunSpec
from seatrial_runner.scenario import InstanceResult, World, expand, run_instance
from seatrial_runner.scenario.results import step_line
from seatrial_runner.scenario.world import StoredSnapshots

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(yaml|output)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Headers that say more of the server than of the example.
_NOISE = re.compile(r"^\s+(?:content-length|server|date|connection|user-agent|host|accept"
                    r"|accept-encoding|cookie): .*\n", re.MULTILINE | re.IGNORECASE)  # fmt: skip
# How long a request takes is the one thing that is not played.
_TOOK = re.compile(r"(after |response\.elapsed (?:is|=) )0\.\d+s")
# By the word after ``needs=``: the service that the example has beside ``orders``.
NEEDS: dict[str, dict[str, Any]] = {
    "postgres": {"name": "db", "preset": "postgres"},
    "mysql": {"name": "db", "preset": "mysql"},
    "redis": {"name": "cache", "preset": "redis"},
    "rabbitmq": {"name": "broker", "preset": "rabbitmq"},
    "kafka": {"name": "broker", "preset": "kafka"},
    "nats": {"name": "broker", "preset": "nats"},
    "mosquitto": {"name": "broker", "preset": "mosquitto"},
    "mongodb": {"name": "store", "preset": "mongodb"},
    "grpc": {"name": "rpc", "image": "x", "ports": [{"name": "grpc", "port": 50051}]},
    "websocket": {"name": "chat", "image": "x", "ports": [{"name": "http", "port": 8080}]},
}
ORDERS = {"name": "orders", "image": "x", "ports": [{"name": "http", "port": 8080}]}
MANUAL = {"name": "x", "target": {"service": "orders"}, "kill": {}, "when": {"manual": {}}}


def runs_of(page: str) -> list[dict[str, Any]]:
    """Give the runs that a page of docs/how-to shows, whole; what is shown in part is none."""
    blocks = _BLOCK.findall((ROOT / "docs/how-to" / page).read_text())
    shown = [yaml.safe_load(text) for language, _, text in blocks if language == "yaml"]
    runs = [each for each in shown if isinstance(each, dict) and "spec" in each]
    assert runs, f"{page} shows no run"
    return runs


@dataclass
class Example:
    """
    One example of a page.

    Attributes:
        page: Its file.
        line: Where it begins.
        text: Its YAML.
        words: What stands after ``yaml``.
        output: What the page says that it gives; None if it does not say.
        span: Where that stands in the page.
    """

    page: Path
    line: int
    text: str
    words: frozenset[str]
    output: str | None = None
    span: tuple[int, int] = (0, 0)

    @property
    def id(self) -> str:
        """Where it is, for the names of tests."""
        return f"{self.page.stem}:{self.line}"

    @property
    def fails(self) -> bool:
        """Whether it must fail."""
        return "fails" in self.words

    @property
    def needs(self) -> str:
        """The component it needs; empty if none."""
        return next((w.removeprefix("needs=") for w in self.words if w.startswith("needs=")), "")

    def spec(self) -> RunSpec:
        """Read it as a run: with the service ``orders``, and a manual fault ``x``."""
        document = yaml.safe_load(self.text)
        if isinstance(document, list):
            document = {"tests": [{"name": "example", "scenario": document}]}
        if "spec" in document:
            return parse_spec(document)
        services = [ORDERS]
        if self.needs:
            services = [ORDERS, NEEDS[self.needs]]
        return parse_spec({"spec": {"services": services, "faults": [MANUAL], **document}})


@dataclass
class Page:
    """A page with its examples."""

    path: Path
    text: str = field(init=False)

    def __post_init__(self) -> None:
        self.text = self.path.read_text(encoding="utf-8")

    def examples(self) -> list[Example]:
        """Give the examples, each with its output."""
        found: list[Example] = []
        for block in _BLOCK.finditer(self.text):
            language, words, body = block.groups()
            if language == "yaml":
                line = self.text.count("\n", 0, block.start()) + 1
                found.append(Example(self.path, line, body, frozenset(words.split())))
            elif found and found[-1].output is None:
                found[-1].output, found[-1].span = body, block.span(3)
        return found


def results(example: Example, world: World) -> Iterator[InstanceResult]:
    """Run every test of an example."""
    spec = example.spec()
    scenarios = [_plain(scenario) for scenario in spec.scenarios]
    stored = StoredSnapshots(spec.snapshots.content if spec.snapshots else {})
    for test in spec.tests:
        if test.scenario is not None:
            for instance in expand(_plain(test), scenarios):
                yield run_instance(instance, replace(world, snapshots=stored, seed="docs"))


def output_of(found: list[InstanceResult]) -> str:
    """Write what came of an example, as a page shows it."""
    return "\n".join(_written(result, alone=len(found) == 1) for result in found)


def write(example: Example, output: str) -> None:
    """Write what an example gives into its page; ``span`` is as the page is now."""
    text = Page(example.page).text
    start, end = example.span
    example.page.write_text(text[:start] + output + text[end:], encoding="utf-8")


def _written(result: InstanceResult, *, alone: bool) -> str:
    title = "" if alone else f"{result.id}: {result.outcome}\n"
    if result.outcome in ("failed", "error"):
        shown, _, _ = result.details.partition("\n\nrun.id = ")
        shown = _TOOK.sub(r"\g<1>0.004s", _NOISE.sub("", shown))
        return f"{title}{shown}\n"
    return "".join([title, *(f"{step_line(step)}\n" for step in result.steps)])


def _plain(part: Any) -> dict[str, Any]:
    document: dict[str, Any] = part.model_dump(mode="json", by_alias=True, exclude_none=True)
    return document
