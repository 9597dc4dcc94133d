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
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from localcluster.addresses import Addresses
from localcluster.layout import ClusterFolder
from tests.bench.__main__ import origin
from tests.bench.measure import bench_namespace
from tests.crash_points.killing import CONDUCTOR, OPERATOR, Killer
from tests.crash_points.page import Outcome, page
from tests.e2e.cluster import Cluster, Run, documents
from tests.e2e.telling import about
from tests.e2e.test_something_dies import assert_as_if_nothing_had_happened

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/crash-points.md"
SHOP = documents((ROOT / "examples/shop/run.yaml").read_text())
_MOST = 200  # writes; a run takes fewer
_PATIENCE_S = 60  # for the last namespaces to go
_LOGGED_S = 1.0  # after it was asked where it stands
# It is another one after each time that the operator was killed.
_OPERATORS_POD = re.compile(r"^v1/pods/[^/]+/seatrial-operator-[^/]+$")


def shop(cluster: Cluster, killer: Killer, who: str, point: int, time_: int) -> Outcome:
    """Run the shop, kill once, and see that it ends as if nothing had happened."""
    name = f"{who}-{point}" + (f"-{time_}" if time_ > 1 else "")
    began = time.monotonic()
    killer.kill_after(point, who, name)
    problem, more = "", ""
    with bench_namespace(cluster, f"crash-{name}") as namespace:
        for document in SHOP:
            named = {"name": name} if document is SHOP[-1] else {}
            metadata = {**document["metadata"], **named}
            cluster.apply(namespace, {**document, "metadata": metadata})
        run = Run(cluster, namespace, name)
        try:
            assert_as_if_nothing_had_happened(run)
        except AssertionError as error:
            problem = str(error).partition("\n")[0][:300]
            if environment := run.status.get("namespace"):
                killer.ask_conductor(environment)
                time.sleep(_LOGGED_S)
            more = f"\n{about(run)}"
    if left := [each for each in cluster.environments() if f"-{name}-" in str(each["metadata"])]:
        problem = problem or f"left over: {left[0]['metadata']['name']}"
    died_at = killer.died_at.get((who, name), "")
    outcome = Outcome(who, point, died_at, problem, time.monotonic() - began)
    print(
        f"{who} {point}: {problem or 'as if nothing had happened'}"
        f" ({died_at or 'no such write'}; {outcome.took_s:.0f} s){more}",
        flush=True,
    )
    return outcome


def all_points(
    cluster: Cluster, killer: Killer, who: str, options: argparse.Namespace
) -> list[Outcome]:
    """Kill after the first write, the second, ..., until there is none of that number."""
    outcomes: list[Outcome] = []
    last = options.last or _MOST
    points = [
        (point, time_)
        for point in range(options.first, last + 1)
        for time_ in range(1, options.times + 1)
    ]
    with ThreadPoolExecutor(options.at_once) as pool:
        for start in range(0, len(points), options.at_once):
            side_by_side = points[start : start + options.at_once]
            batch = list(pool.map(lambda each: shop(cluster, killer, who, *each), side_by_side))
            outcomes += batch
            if not any(each.died_at for each in batch):
                break
        else:
            if options.last:
                return outcomes
            sys.exit(f"the {who} writes {_MOST} times or more: not all of them were looked at")
    return outcomes


def what_is_left(cluster: Cluster, before: set[str]) -> list[str]:
    """Name what there is now and was not before, once what is on its way out has had its time."""
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        found = {each for each in cluster.everything() - before if not _OPERATORS_POD.match(each)}
        if not found or time.monotonic() > give_up:
            return sorted(found)
        time.sleep(1)


def main() -> int:
    """Kill at every point; 1 if a run did not end as it should, or something is left of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash_points", description=__doc__)
    parser.add_argument("--who", choices=(OPERATOR, CONDUCTOR), nargs="+")
    parser.add_argument("--first", type=int, default=1, help="begin with this write")
    parser.add_argument("--last", type=int, help="end with this write; default: with the last")
    parser.add_argument("--times", type=int, default=1, help="kill so often at each write")
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
    before = cluster.everything()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as scratch:
        killer = Killer(cluster, folder.name, host, Path(scratch))
        try:
            for who in options.who or (OPERATOR, CONDUCTOR):
                outcomes += all_points(cluster, killer, who, options)
        finally:
            killer.close()
    left = what_is_left(cluster, before)
    about = origin()
    old = PAGE.read_text() if PAGE.exists() else ""
    text = page(old, outcomes, left, on=about["today"], at=about["commit"])
    print(f"{text}\n{datetime.now(UTC) - began}")
    if not options.dry_run:
        PAGE.write_text(text)
    nothing = {each.who for each in outcomes} - {each.who for each in outcomes if each.died_at}
    if nothing:
        print(f"never killed: {', '.join(sorted(nothing))}")
    return int(any(each.problem for each in outcomes) or bool(left or nothing))


if __name__ == "__main__":
    sys.exit(main())
