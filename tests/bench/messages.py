"""
``python -m tests.bench.messages``: messages that a scenario sees, by broker: speed and memory.

Each broker runs on loopback, a publisher in a process of its own publishes at full speed, and the
scenario runs in a forked process, as it does in a pod; what it takes beyond the fork is measured.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seatrial_runner.scenario import World
from seatrial_runner.scenario.brokers import adapter

from tests.support import brokers, publisher
from tests.support.broker_admin import prepare
from tests.support.message_cases import CASES, Way
from tests.support.scenarios import run_steps

PROCESSES = {
    "kafka": brokers.Kafka,
    "rabbitmq": brokers.RabbitMQ,
    "nats": brokers.Nats,
    "redis": brokers.Redis,
    "mosquitto": brokers.Mosquitto,
}
BOUND_MIB = 320  # of a worker, beyond the fork


class Publishing:
    """A fault that is a system under test: it publishes when it is started."""

    def __init__(self, way: Way, count: int, size: int) -> None:
        self._arguments = way.broker.url, way.target, count, size
        self.began = self.ended = 0.0

    def start(self, name: str) -> None:
        self.began = time.monotonic()
        self._process = publisher.started(*self._arguments)

    def stop(self, name: str) -> None:
        assert self._process.wait(timeout=600) == 0
        self.ended = time.monotonic()

    def status(self, name: str) -> dict[str, Any]:
        return {}


def measured(way: Way, count: int, size: int) -> dict[str, float]:
    """Run the scenario in a forked process; gives seconds and MiB."""
    adapter(way.broker.url)  # the driver is imported before the fork, as ``preload`` does
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_scenario, args=(way, count, size, answers))
    process.start()
    found: dict[str, float] = answers.get(timeout=1500)
    process.join()
    return found


def _scenario(way: Way, count: int, size: int, answers: Any) -> None:
    before = _rss_mib()
    publishing = Publishing(way, count, size)
    world = World(connections={"events": way.broker.url}, faults=publishing)
    steps = [
        {"fault": {"start": "go"}},
        way.from_(count=count, unique="message.json.n", settle="0s", within="20m"),
        {"fault": {"stop": "go"}},
    ]
    result = run_steps(steps, world, timeout="30m")
    assert result.outcome == "passed", result.details
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answers.put({"seconds": result.steps[1].duration_s, "mib": most - before})


def _rss_mib() -> float:
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) / 1024


@contextmanager
def running(name: str) -> Iterator[brokers.BrokerProcess]:
    with brokers.running(PROCESSES[name]()) as broker:
        yield broker


def table(count: int, size: int, only: list[str]) -> list[str]:
    """Measure every way; gives the rows of a table."""
    rows = []
    for name, case in CASES.items():
        if only and name not in only:
            continue
        with running(case.fixture) as broker:
            way = Way(case, broker)
            prepare(way)
            found = measured(way, count, size)
        rows.append(
            f"| {name} | {found['seconds']:.1f} s | {count / found['seconds']:,.0f}"
            f" | {found['mib']:.0f} MiB |"
        )
        print(json.dumps({"way": name, **found}), file=sys.stderr, flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=1000, help="bytes of a message")
    parser.add_argument("--page", type=Path, help="write the table here")
    parser.add_argument("way", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    arguments = parser.parse_args()
    rows = table(arguments.count, arguments.size, arguments.way)
    text = PAGE.format(
        count=arguments.count, size=arguments.size, bound=BOUND_MIB, rows="\n".join(rows)
    )
    print(text)
    if arguments.page:
        arguments.page.write_text(text)


PAGE = """\
# Performance of messages

`make bench-messages`, on loopback: another process publishes {count:,} messages of {size} bytes \
at full speed, and a scenario waits for all of them and judges them (`count`, `unique`).
What it takes at most beyond the fork of its process is shown; a worker may take {bound} MiB.
The speed depends on the machine and what else it does, \
and on the publisher as often as on the tester.

| broker | until all are judged | messages a second | memory |
| --- | --- | --- | --- |
{rows}
"""


if __name__ == "__main__":
    main()
