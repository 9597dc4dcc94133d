"""
``python -m tests.bench.gateway_faults``: 10,000 faults of 5 to 50 ms in a row with live traffic.

Of layer 4, and of HTTP with the real Envoy; ``--only`` takes one. Each twice: ordered at the
gateway itself, where traffic shows how late each began and ended; and played by a conductor's
director with its journal. Prints both, and is 1 if a fault was lost or left on, or if the 99th
percentile at the gateway is over 5 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.gateway_page import SHORT_FAULTS, SHORT_HTTP_FAULTS, table, write_part
from tests.support.conducted_storm import ConductedStorm, conducted_storm
from tests.support.fault_storm import SHARES, Storm, Weather, at, left_on, storm
from tests.support.gateway_process import Gateway, carried
from tests.support.http_storm import HTTP, carried_http
from tests.support.network_storm import LAYER_4

MOST_S = 0.005

_HEADINGS = {"": SHORT_FAULTS, "http": SHORT_HTTP_FAULTS}
_WAYS = {
    "": "",
    "http": "All traffic went through the gateway and the real Envoy beside it, as requests.\n",
}
_END = {
    "": "",
    "http": ": the service has a request that was held or aborted, or the answer is whole",
}
_WHY_LATE = {
    "": "",
    "http": "\nWhat sees the end is a whole exchange, through the gateway, Envoy and the gateway"
    " again, and to the service.",
}

SECTION = """{heading}
Measured on {today} by `make bench-gateway`, on one machine with {cpus} CPUs that also ran clients, server and conductor.
{way}Faults of 5 to 50 ms, one after another, of {kinds} kinds in turn, while two clients went on asking, each time by a new connection.
The goal: none lost, none left on, and beginning and end within 5 ms at the 99th percentile.
{goal}

### Ordered at the gateway

{count:,} faults met {hits:,} {met}; {exchanges:,} exchanges went well meanwhile.
Lost: {lost}.
Left on: {left}.
The beginning is measured from the request to its answer; the end is seen by traffic, which is no longer held, refused, broken or changed{end}.

{late}

At the 99th percentile, by kind:

{by_kind}

### Played by a conductor

{conducted:,} faults met {conducted_hits:,} {met}; {conducted_exchanges:,} exchanges went well meanwhile.
Director and journal were those of a conductor; its ConfigMap was in memory, and every version of it was read.
{verdict}
Left on: {conducted_left}.

{sums}

The journal is bounded: of {numbers:,} entries, its last version had {kept:,} and said that {dropped:,} were dropped.
Dropped before any of the {writes:,} versions of the ConfigMap had held them: {gaps}; the largest version had {largest} KiB.
{unmet:,} faults met nothing in their time, and the journal says so of each.

{conducted_late}
"""  # noqa: E501 - a page has one sentence per line


def _late(rows: dict[str, list[float]]) -> str:
    head = ["how late, in ms", *(name for _, name in SHARES)]
    return table(
        head,
        [
            [what, *(f"{1000 * at(values, share):.2f}" for share, _ in SHARES)]
            for what, values in rows.items()
        ],
    )


@dataclass(frozen=True)
class Measured:
    """Both storms of the same weather."""

    weather: Weather
    ordered: Storm
    ordered_left: list[str]
    conducted: ConductedStorm
    conducted_left: list[str]

    @property
    def wrong(self) -> list[str]:
        """Say what was lost or left on."""
        return [
            *self.ordered.lost,
            *self.ordered_left,
            *self.conducted.problems(),
            *self.conducted_left,
        ]

    @property
    def holds(self) -> bool:
        """Tell whether the goal is met."""
        return not self.wrong and self.ordered.timings.p99_s <= MOST_S


def section(measured: Measured) -> str:
    """Write the part of the page."""
    one, left = measured.ordered, measured.ordered_left
    two, left_two = measured.conducted, measured.conducted_left
    journal, problems = two.journal, two.problems()
    return SECTION.format(
        heading=_HEADINGS[measured.weather.layer],
        way=_WAYS[measured.weather.layer],
        end=_END[measured.weather.layer],
        met="requests" if measured.weather.layer else "connections",
        goal=_goal(measured),
        today=datetime.now(UTC).date(),
        cpus=len(os.sched_getaffinity(0)),
        kinds=len(measured.weather.shapes),
        count=one.faults,
        hits=sum(one.hits.values()),
        exchanges=one.exchanges,
        lost=", ".join(one.lost) or "none",
        left=", ".join(left) or "none",
        late=_late(
            {
                "in effect after the request": one.timings.begun_late_s,
                "over after the deadline": one.timings.ended_late_s,
            }
        ),
        by_kind=table(
            ["kind", "faults", "hits", "begins, ms", "ends, ms"],
            [
                [
                    f"`{kind}`",
                    f"{len(timings.begun_late_s):,}",
                    f"{one.hits[kind]:,}",
                    f"{1000 * at(timings.begun_late_s, 0.99):.2f}",
                    f"{1000 * at(timings.ended_late_s, 0.99):.2f}",
                ]
                for kind, timings in one.by_kind.items()
            ],
        ),
        conducted=two.ordered,
        conducted_hits=sum(two.hits.values()),
        conducted_exchanges=two.exchanges,
        conducted_left=", ".join(left_two) or "none",
        verdict="It does not add up: " + "; ".join(problems) + "."
        if problems
        else "Nothing was lost.",
        sums=table(["faults", "number"], [[what, f"{n:,}"] for what, n in two.sums().items()]),
        numbers=journal.numbers,
        kept=journal.numbers - journal.dropped,
        dropped=journal.dropped,
        writes=journal.writes,
        gaps=journal.gaps or "none",
        largest=-(-journal.largest // 1024),
        unmet=journal.failures["NoEffect"],
        conducted_late=_late(
            {
                "in effect after the test asked (its intent is in the journal)": two.in_effect_s,
                "in effect after the conductor's request": two.gateway.timings.begun_late_s,
                "over after the deadline, as the gateway says": two.gateway.timings.ended_late_s,
            }
        ),
    )


def _goal(measured: Measured) -> str:
    if measured.holds:
        return "It is met."
    if measured.wrong:
        return "It is missed: see below what was lost or left on."
    late = 1000 * measured.ordered.timings.p99_s
    return (
        f"It is missed: at the 99th percentile it is {late:.2f} ms."
        + (_WHY_LATE[measured.weather.layer])
    )


def measure(weather: Weather, ordered: int, conducted: int) -> Measured:
    """Have both storms."""
    with _gateway(weather) as gateway:
        one = storm(gateway, ordered, weather)
        left = left_on(gateway, weather)
        print(one.table(), flush=True)
    with _gateway(weather) as gateway:
        two = asyncio.run(conducted_storm(gateway, conducted, weather))
        return Measured(weather, one, left, two, left_on(gateway, weather))


@contextlib.contextmanager
def _gateway(weather: Weather) -> Iterator[Gateway]:
    if weather is LAYER_4:
        with carried() as gateway:
            yield gateway
        return
    with tempfile.TemporaryDirectory() as directory, carried_http(Path(directory)) as gateway:
        yield gateway


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("layer-4", "http"), help="leave the other out")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--conducted", type=int, default=10_000, help="by a conductor")
    parser.add_argument("--page", type=Path, help="write it to this page, too")
    options = parser.parse_args()
    holds = True
    for name, weather in (("layer-4", LAYER_4), ("http", HTTP)):
        if options.only not in (None, name):
            continue
        measured = measure(weather, options.count, options.conducted)
        text = section(measured)
        print(text, flush=True)
        if options.page:
            write_part(options.page, text)
        holds = holds and measured.holds
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
