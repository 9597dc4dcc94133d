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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx

from localcluster.builds import GoProgram
from localcluster.layout import cache_dir
from localcluster.progress import Progress
from tests.support.gateway_process import Gateway, eventually, free_port

HERE = Path(__file__).parent
TOXIPROXY = GoProgram("toxiproxy", package="github.com/Shopify/toxiproxy/v2/cmd/server", root=HERE)
LOAD = GoProgram("load", root=HERE)
SMALL, LARGE = 128, 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Way:
    """A way to the server."""

    port: int
    pids: tuple[int, ...]  # of the proxy


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


def measure(name: str, way: Way, connections: int, size: int, seconds: float) -> Figures:
    """Load one way."""
    command = [
        str(LOAD.binary(Progress(cache_dir() / "times.json"))), "-target", f"127.0.0.1:{way.port}",
        "-connections", str(connections), "-seconds", str(seconds), "-size", str(size),
    ]  # fmt: skip
    cpu = _cpu_s(way.pids)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(0.8 * seconds)
    memory = sum(_memory_kib(pid) for pid in way.pids) / 1024
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


def compare(
    found: dict[str, Way], connections: int, size: int, *, rounds: int, seconds: float
) -> list[str]:
    """Measure all ways in turns, print a table, and say in what the gateway is behind."""
    figures: dict[str, list[Figures]] = {name: [] for name in found}
    names = list(found)
    for number in range(rounds):
        # Another one is the first each time.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            figures[name].append(measure(name, found[name], connections, size, seconds))
    what = "answers of 1 MiB" if size == LARGE else f"answers of {size} bytes"
    print(f"\n{connections} connections, {what}")
    print(f"{'':12}" + "".join(f"{column:>12}" for column in COLUMNS))
    middle = {
        name: {column: median(getattr(one, column) for one in each) for column in COLUMNS}
        for name, each in figures.items()
    }
    for name, values in middle.items():
        print(f"{name:12}" + "".join(f"{values[column]:12.2f}" for column in COLUMNS))
    ours, theirs = middle["gateway"], middle["toxiproxy"]
    ratios = {column: ours[column] / theirs[column] for column in COLUMNS}
    print(f"{'ratio':12}" + "".join(f"{ratios[column]:12.2f}" for column in COLUMNS), flush=True)
    return [
        f"{connections} connections, {what}: {column} is {ratio:.2f} of Toxiproxy's"
        for column, ratio in ratios.items()
        if (ratio < 1 if column in HIGHER_IS_BETTER else ratio > 1)
    ]


def main() -> int:
    """Measure, and print the tables; 1 if the gateway is behind Toxiproxy in anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 10, 100, 1000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    behind = []
    with ways() as found:
        for size in (SMALL, LARGE):
            for connections in options.connections:
                behind += compare(
                    found, connections, size, rounds=options.rounds, seconds=options.seconds
                )
    print("\nratio: the gateway's by Toxiproxy's. Behind in: " + ("; ".join(behind) or "nothing"))
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
