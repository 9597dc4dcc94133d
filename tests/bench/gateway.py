"""
``python -m tests.bench.gateway``: the gateway without a fault, a direct connection, and Toxiproxy.

In turns on this machine, with the same load: only the ratios mean something. Nothing needs a
cluster; Toxiproxy and the load are built from Go once, into the cache of the local cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx

from localcluster.builds import GoProgram
from localcluster.layout import cache_dir
from localcluster.ports import free_port
from localcluster.progress import Progress
from tests.bench.gateway_page import write_comparison
from tests.support.gateway_process import Gateway, eventually

HERE = Path(__file__).parent
TOXIPROXY = GoProgram("toxiproxy", package="github.com/Shopify/toxiproxy/v2/cmd/server", root=HERE)
LOAD = GoProgram("load", root=HERE)
SMALL, LARGE = 128, 1024 * 1024
CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Way:
    """A way to the server."""

    port: int
    pids: tuple[int, ...]  # of the proxy

    @property
    def memory_mib(self) -> float:
        """What the proxy takes just now, with what its processes share counted once."""
        return sum(_memory_kib(pid) for pid in self.pids) / 1024


@dataclass(frozen=True)
class Figures:
    """What one measurement gave."""

    rate: float  # answers per second
    mb_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float  # of the proxy, per answer
    memory_mib: float  # of the proxy, what it shares counted once


COLUMNS = ("rate", "mb_s", "p50_ms", "p99_ms", "cpu_us", "memory_mib")
HIGHER_IS_BETTER = {"rate", "mb_s"}
# Of the ways at one rate, after those at full speed.
EVEN = {"p50_ms": "even_p50_ms", "p99_ms": "even_p99_ms"}
# Of what the slower proxy answers at full speed.
_EVEN_SHARE = 0.5


def measure(
    name: str, way: Way, connections: int, size: int, seconds: float, rate: float = 0.0
) -> Figures:
    """Load one way: at full speed, or with so many questions per second."""
    command = [
        str(LOAD.binary(Progress(cache_dir() / "times.json"))), "-target", f"127.0.0.1:{way.port}",
        "-connections", str(connections), "-seconds", str(seconds), "-size", str(size),
        "-rate", str(rate),
    ]  # fmt: skip
    cpu = _cpu_s(way.pids)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(0.8 * seconds)
    memory = way.memory_mib
    out, _ = process.communicate()
    assert process.returncode == 0
    found = json.loads(out)
    assert not found["errors"], f"{found['errors']:.0f} connections broke on the way {name}"
    cpu = _cpu_s(way.pids) - cpu
    return Figures(
        rate=found["rate"],
        mb_s=found["bytes"] / 1e6,
        p50_ms=found["p50"] * 1000,
        p99_ms=found["p99"] * 1000,
        cpu_us=cpu / max(1.0, found["rate"] * seconds) * 1e6,
        memory_mib=memory,
    )


def _cpu_s(pids: tuple[int, ...]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def _memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


@contextlib.contextmanager
def ways() -> Iterator[dict[str, Way]]:
    """Give the three ways to one server."""
    progress = Progress(cache_dir() / "times.json")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_running([str(LOAD.binary(progress))]))
        assert server.stdout is not None
        port = int(server.stdout.readline())
        gateway = stack.enter_context(Gateway({"load": port}))
        assert gateway.process is not None
        pids = (gateway.process.pid, *gateway.children.values())
        control, listen = free_port(), free_port()
        # NB: it logs each connection to its standard output, and waits for whoever reads it.
        binary = str(TOXIPROXY.binary(progress))
        toxiproxy = stack.enter_context(
            _running([binary, "-port", str(control)], stdout=subprocess.DEVNULL)
        )
        _add_proxy(control, listen, port)
        yield {
            "direct": Way(port, ()),
            "gateway": Way(gateway.ports["load"], pids),
            "toxiproxy": Way(listen, (toxiproxy.pid,)),
        }


@contextlib.contextmanager
def _running(command: list[str], stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _add_proxy(control: int, listen: int, upstream: int) -> None:
    proxy = {
        "name": "load", "listen": f"127.0.0.1:{listen}", "upstream": f"127.0.0.1:{upstream}",
        "enabled": True,
    }  # fmt: skip

    def added() -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"http://127.0.0.1:{control}/proxies"
            return httpx.post(url, json=proxy, trust_env=False).status_code == 201
        return False

    eventually(added)


@dataclass
class Comparison:
    """One load on all ways."""

    connections: int
    size: int
    middle: dict[str, dict[str, float]]  # the median of each column, by way

    @property
    def what(self) -> str:
        """The load, for people."""
        answers = "answers of 1 MiB" if self.size == LARGE else f"answers of {self.size} bytes"
        plural = "" if self.connections == 1 else "s"
        return f"{self.connections} connection{plural}, {answers}"

    @property
    def columns(self) -> tuple[str, ...]:
        """What was measured of each way."""
        return (*COLUMNS, *EVEN.values())

    @property
    def ratios(self) -> dict[str, float]:
        """The gateway's by Toxiproxy's."""
        ours, theirs = self.middle["gateway"], self.middle["toxiproxy"]
        return {column: ours[column] / theirs[column] for column in self.columns}

    def rows(self) -> dict[str, list[str]]:
        """The table: a row for each way, and the ratios."""
        rows = {
            name: [f"{values[column]:,.2f}" for column in self.columns]
            for name, values in self.middle.items()
        }
        return rows | {"ratio": [f"{self.ratios[column]:.2f}" for column in self.columns]}

    def behind(self, *, at_full_speed: bool = False) -> list[str]:
        """
        Say in what the gateway is behind Toxiproxy.

        Args:
            at_full_speed: In latency where every connection asks all the time; else in the rest.
        """
        ours, theirs = self.middle["gateway"], self.middle["toxiproxy"]
        return [
            f"{self.what}: `{column}` is {ratio:.2f} of Toxiproxy's"
            f" ({ours[column]:,.2f} against {theirs[column]:,.2f})"
            for column, ratio in self.ratios.items()
            if (column in EVEN) == at_full_speed
            if (ratio < 1 if column in HIGHER_IS_BETTER else ratio > 1)
        ]


def compare(
    connections: int, size: int, *, rounds: int, seconds: float, pause: float
) -> Comparison:
    """Measure all ways in turns, and print a table."""
    with ways() as found:  # anew, so that memory is what this load takes

        def middle(columns: Iterable[str], rate: float = 0.0) -> dict[str, dict[str, float]]:
            figures: dict[str, list[Figures]] = {name: [] for name in found}
            names = list(found)
            for number in range(rounds):
                # Another one is the first each time.
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    way = found[name]
                    figures[name].append(measure(name, way, connections, size, seconds, rate))
                    time.sleep(pause)
            return {
                name: {column: median(getattr(one, column) for one in each) for column in columns}
                for name, each in figures.items()
            }

        full = middle(COLUMNS)
        rate = _EVEN_SHARE * min(full[name]["rate"] for name in ("gateway", "toxiproxy"))
        even = middle(EVEN, rate)
    both = {
        name: values | {new: even[name][old] for old, new in EVEN.items()}
        for name, values in full.items()
    }
    comparison = Comparison(connections, size, both)
    print(f"\n{comparison.what}")
    print(f"{'':12}" + "".join(f"{column:>12}" for column in comparison.columns))
    for name, cells in comparison.rows().items():
        print(f"{name:12}" + "".join(f"{cell:>12}" for cell in cells), flush=True)
    return comparison


_STALLS = "\nOn loopback it now and then holds a connection for 20 to 60 ms, whoever carries it."

PAGE = """# Performance of the gateway

Measured on {today} by `make bench-gateway`, on one machine with {cpus} CPUs that also ran the load and the server: read the ratios.
No fault was on; every way was measured in turns with the others, {rounds} times for {seconds:g} s, and these are the medians.
The machine's TCP congestion control was {congestion}.{stalls}
{priority}

`rate` is answers per second, with every connection asking as fast as it is answered; so are `p50_ms` and `p99_ms`.
`even_p50_ms` and `even_p99_ms` are with as many questions per second on all ways, half of what the slower proxy can answer.
`cpu_us` is the proxy's CPU time for one answer, in microseconds, and `memory_mib` the memory of all its processes, with what they share counted once.
`ratio` is the gateway's figure by Toxiproxy's.

## Where the goal is missed

The goal is to be behind Toxiproxy in nothing.
{behind}

At rest, before the first connection, the gateway takes {gateway_mib:.1f} MiB and Toxiproxy {toxiproxy_mib:.1f}: {rest}.
With {most:,} connections it is {gateway_most_mib:.1f} against {toxiproxy_most_mib:.1f}.
The reason, and what was tried, is in [decision 0012](decisions/0012-the-gateway-is-a-few-small-processes.md).

Latency is compared at one rate for all ways.
Where every connection asks again as soon as it is answered, the mean is the number of connections by the rate, whoever waits; whoever serves some first and lets others wait has the better median, and the worse rate.
{at_full_speed}

{tables}
"""  # noqa: E501 - a page has one sentence per line


def page(
    comparisons: list[Comparison], at_rest: dict[str, float], rounds: int, seconds: float
) -> str:
    """Write the tables as a page of the documentation."""
    missed = [line for each in comparisons for line in each.behind()]
    hasty = [line for each in comparisons for line in each.behind(at_full_speed=True)]
    most = max(comparisons, key=lambda each: (each.size == SMALL, each.connections))
    ratio = at_rest["gateway"] / at_rest["toxiproxy"]
    tables = []
    for each in comparisons:
        lines = [f"## {each.what[0].upper()}{each.what[1:]}", ""]
        columns = each.columns
        lines += [f"| way | {' | '.join(columns)} |", "| --- " * (len(columns) + 1) + "|"]
        lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in each.rows().items()]
        tables.append("\n".join(lines))
    congestion = CONGESTION.read_text().strip()
    return PAGE.format(
        today=datetime.now(UTC).date(),
        congestion=congestion,
        stalls=_STALLS if congestion == "bbr" else "",
        cpus=len(os.sched_getaffinity(0)),
        rounds=rounds,
        seconds=seconds,
        priority="The machine had other work, so all of this ran with real-time priority.\n"
        if os.sched_getscheduler(0) != os.SCHED_OTHER
        else "",
        behind="It is missed in:\n\n" + "\n".join(f"- {line}" for line in missed)
        if missed
        else "It is met in every figure below.",
        at_full_speed="There the gateway is behind in:\n\n" + "\n".join(f"- {one}" for one in hasty)
        if hasty
        else "There, too, the gateway is behind in nothing.",
        gateway_mib=at_rest["gateway"],
        toxiproxy_mib=at_rest["toxiproxy"],
        rest=f"{ratio:.1f} times as much, which are its four Python processes"
        if ratio > 1
        else f"{ratio:.2f} of it",
        most=most.connections,
        gateway_most_mib=most.middle["gateway"]["memory_mib"],
        toxiproxy_most_mib=most.middle["toxiproxy"]["memory_mib"],
        tables="\n\n".join(tables),
    )


def main() -> int:
    """Measure, and print the tables; 1 if the gateway is behind Toxiproxy in anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 10, 100, 1000])
    # Many short ones: of a single one, the 99th percentile is made by whether the machine, or its
    # congestion control, held anybody up in it.
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument(
        "--pause", type=float, default=0.0, help="seconds of rest, for a machine with other work"
    )
    parser.add_argument("--page", type=Path, help="write the tables to this page, too")
    options = parser.parse_args()
    with ways() as found:
        at_rest = {name: way.memory_mib for name, way in found.items()}
    comparisons = [
        compare(
            connections,
            size,
            rounds=options.rounds,
            seconds=options.seconds,
            pause=options.pause,
        )
        for size in (SMALL, LARGE)
        for connections in options.connections
    ]
    if options.page:
        text = page(comparisons, at_rest, options.rounds, options.seconds)
        write_comparison(options.page, text)
    behind = [
        line for each in comparisons for line in (*each.behind(), *each.behind(at_full_speed=True))
    ]
    print("\nAt rest: " + ", ".join(f"{name} {mib:.1f} MiB" for name, mib in at_rest.items()))
    print("ratio: the gateway's by Toxiproxy's. Behind in: " + ("; ".join(behind) or "nothing"))
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
