"""
``python -m tests.crash_points``: the shop's run, its operator or conductor killed at every write.

One run for each write; each must end as if nothing had happened. It takes a quarter of an hour or
more, so it is not a part of ``make test``, which does the same against a real API server without
nodes (tests/control_plane). Writes docs/crash-points.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from localcluster.addresses import Addresses
from localcluster.layout import ClusterFolder
from tests.bench.__main__ import origin
from tests.bench.measure import bench_namespace
from tests.crash_points.killing import CONDUCTOR, OPERATOR, Killer
from tests.e2e.cluster import Cluster, Run, documents
from tests.e2e.test_something_dies import assert_as_if_nothing_had_happened

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/crash-points.md"
SHOP = documents((ROOT / "examples/shop/run.yaml").read_text())
_MOST = 200  # writes; a run takes fewer


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    who: str
    point: int
    died_at: str  # the write; empty if the run has none of that number
    problem: str
    took_s: float


def shop(cluster: Cluster, killer: Killer, who: str, point: int) -> Outcome:
    """Run the shop, kill once, and see that it ends as if nothing had happened."""
    name = f"{who}-{point}"
    began = time.monotonic()
    killer.kill_after(point, who, name)
    problem = ""
    with bench_namespace(cluster, f"crash-{name}") as namespace:
        for document in SHOP:
            named = {"name": name} if document is SHOP[-1] else {}
            metadata = {**document["metadata"], **named}
            cluster.apply(namespace, {**document, "metadata": metadata})
        try:
            assert_as_if_nothing_had_happened(Run(cluster, namespace, name))
        except AssertionError as error:
            problem = str(error).partition("\n")[0][:300]
    if left := [each for each in cluster.environments() if f"-{name}-" in str(each["metadata"])]:
        problem = problem or f"left over: {left[0]['metadata']['name']}"
    died_at = killer.died_at.get((who, name), "")
    outcome = Outcome(who, point, died_at, problem, time.monotonic() - began)
    print(
        f"{who} {point}: {problem or 'as if nothing had happened'}"
        f" ({died_at or 'no such write'}; {outcome.took_s:.0f} s)",
        flush=True,
    )
    return outcome


def all_points(
    cluster: Cluster, killer: Killer, who: str, first: int, at_once: int
) -> list[Outcome]:
    """Kill after the first write, the second, ..., until there is none of that number."""
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(at_once) as pool:
        for start in range(first, _MOST, at_once):
            points = range(start, start + at_once)
            batch = list(pool.map(lambda point: shop(cluster, killer, who, point), points))
            outcomes += batch
            if not any(each.died_at for each in batch):
                break
    return outcomes


def page(outcomes: list[Outcome]) -> str:
    """Write the result down."""
    about = origin()
    lines = [
        "# Crash points",
        "",
        f"Made on {about['today']} at {about['commit']} by `make crash-points`.",
        "The example shop, once for each write of the operator's to its run, and once for each of"
        " the conductor's: the process is killed while the API server stores that write,"
        " and never hears of it.",
        "Each run had to end as if nothing had happened: Passed, every test passed, every fault"
        " recovered, one report, and nothing left over.",
        "",
        "| killed | runs | ended as if nothing had happened |",
        "| --- | --- | --- |",
    ]
    for who in (OPERATOR, CONDUCTOR):
        died = [each for each in outcomes if each.who == who and each.died_at]
        well = [each for each in died if not each.problem]
        lines.append(f"| the {who} | {len(died)} | {len(well)} |")
    if bad := [each for each in outcomes if each.problem]:
        lines += ["", "## What was not well", ""]
        lines += [f"- {each.who} {each.point}, {each.died_at}: {each.problem}" for each in bad]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Kill at every point; 1 if a run did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash_points", description=__doc__)
    parser.add_argument("--who", choices=(OPERATOR, CONDUCTOR), nargs="+")
    parser.add_argument("--first", type=int, default=1, help="begin with this write")
    parser.add_argument("--at-once", type=int, default=2, help="runs side by side")
    parser.add_argument("--dry-run", action="store_true", help="do not write the page")
    options = parser.parse_args()
    kubeconfig = os.environ.get("KUBECONFIG") or sys.exit("set KUBECONFIG: $(make -s kubeconfig)")
    folder = ClusterFolder(os.environ.get("CLUSTER_NAME", "seatrial"))
    if not folder.facts.exists() or not Path(kubeconfig).samefile(folder.kubeconfig):
        sys.exit("this kills processes of the local cluster's node: CLUSTER=local make up first")
    host = Addresses(json.loads(folder.facts.read_text())["slot"]).host
    cluster = Cluster(kubeconfig)
    began = datetime.now(UTC)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch:
        killer = Killer(cluster, folder.name, host, Path(scratch))
        try:
            for who in options.who or (OPERATOR, CONDUCTOR):
                outcomes += all_points(cluster, killer, who, options.first, options.at_once)
        finally:
            killer.close()
    text = page(outcomes)
    print(f"{text}\n{datetime.now(UTC) - began}")
    if not options.dry_run:
        PAGE.write_text(text)
    return int(any(each.problem for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
