"""
``python -m tests.bench``: measure Seatrial on the cluster, and write docs/performance.md.

Beside every number stands the same with a bare Kubernetes Job, measured in turns with it, because
on a machine with other work only the ratio means something.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.bench.measure import (
    JOB,
    RUN,
    api_writes,
    bench_namespace,
    moment,
    operator_memory_mib,
    restart_operator,
    seconds_until_done,
    settle,
    spread,
)
from tests.e2e.cluster import Cluster, Json, Run, condition, documents

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/performance.md"
TEMPLATE = Path(__file__).with_name("page.md")


def one_at_a_time(cluster: Cluster, pairs: int) -> tuple[str, list[Json]]:
    """Measure a trivial run and a bare Job in turns; give table rows and the runs."""
    runs, jobs, objects = [], [], []
    with bench_namespace(cluster, "seatrial-bench") as namespace:
        for number in range(pairs + 1):
            run_s, done = seconds_until_done(cluster, namespace, RUN, [f"run-{number}"])
            job_s, _ = seconds_until_done(cluster, namespace, JOB, [f"job-{number}"])
            settle(cluster, namespace, [f"run-{number}", f"job-{number}"])
            if number == 0:
                continue  # the first of each warms the node up
            runs.append(run_s)
            jobs.append(job_s)
            objects += done.values()
            print(f"pair {number}: run {run_s:.2f} s, job {job_s:.2f} s", flush=True)
    ratio = median(runs) / median(jobs)
    row = f"| one trivial run | {spread(runs)} | {spread(jobs)} | {ratio:.2f} | 0.40 |"
    return row, objects


def many_at_once(cluster: Cluster, count: int, rounds: int) -> str:
    """Measure many runs and many Jobs, all created at once, in turns; give a table row."""
    runs, jobs = [], []
    for number in range(rounds):
        for subject, results in ((RUN, runs), (JOB, jobs)):
            with bench_namespace(cluster, f"seatrial-bench-{count}") as namespace:
                names = [f"many-{number}-{each}" for each in range(count)]
                took, _ = seconds_until_done(cluster, namespace, subject, names)
                settle(cluster, namespace, names)
            results.append(took)
            print(f"{count} at once, round {number + 1}: {took:.2f} s", flush=True)
    ratio = median(runs) / median(jobs)
    return (
        f"| {count} trivial runs at once | {spread(runs)} | {spread(jobs)} | {ratio:.2f} | 1.10 |"
    )


def writes(cluster: Cluster, count: int) -> list[tuple[str, float, float]]:
    """
    Count the API writes of a trivial run, as the mean of so many.

    Returns:
        By resource, most first: until the verdict, and from then until nothing of it is left.
    """
    with bench_namespace(cluster, "seatrial-bench-writes") as namespace:
        names = [f"write-{number}" for number in range(count)]
        before = api_writes(cluster)
        seconds_until_done(cluster, namespace, RUN, names)
        at_verdict = api_writes(cluster)
        settle(cluster, namespace, names)
        after = api_writes(cluster)
    rows = [
        (name, (at_verdict[name] - before[name]) / count, (after[name] - at_verdict[name]) / count)
        for name in after
    ]
    return sorted(rows, key=lambda row: row[1:], reverse=True)


def memory(cluster: Cluster, steps: list[int]) -> list[tuple[int, float]]:
    """
    Measure the operator's memory with so many finished runs in the cluster.

    The runs refer to a ConfigMap that is not there: they finish without an environment, so that a
    thousand of them are there in minutes. What the operator keeps of a finished run is the same.
    It is started anew before each measurement, because memory that was used once is not given back.
    """
    results = []
    with bench_namespace(cluster, "seatrial-bench-memory") as namespace:
        path = RUN.path.format(namespace=namespace)
        made = 0
        for step in steps:
            for number in range(made, step):
                run = {
                    "apiVersion": "seatrial.dev/v1alpha1",
                    "kind": "IntegrationTestRun",
                    "metadata": {"name": f"finished-{number}"},
                    "spec": {"tests": [{"name": "t", "pytest": {"configMap": "nowhere"}}]},
                }
                cluster.call("POST", path, run)
            made = max(made, step)
            cluster.wait(path, lambda items: all(map(_finished, items)), "all finished", 300)
            restart_operator(cluster)
            # Whatever it does at its start is done when a run that comes after has its verdict.
            seconds_until_done(cluster, namespace, RUN, [f"after-{step}"])
            results.append((step, operator_memory_mib(cluster)))
            print(f"{step} finished runs: {results[-1][1]:.1f} MiB", flush=True)
    return results


def _finished(run: Json) -> bool:
    return condition(run.get("status", {}), "Finished") == "True"


def shop(cluster: Cluster) -> Json:
    """Run the example shop, and give its status."""
    with bench_namespace(cluster, "seatrial-bench-shop") as namespace:
        for document in documents((ROOT / "examples/shop/run.yaml").read_text()):
            cluster.create(namespace, document)
        run = Run(cluster, namespace, "shop")
        status = run.finished(timeout_s=300)
        assert status["verdict"] == "Passed", status["message"]
        run.delete()
        run.gone()
    return status


def phases(runs: list[Json]) -> list[str]:
    """Give table rows: where the time of the trivial runs went."""
    marks = ("startTime", "gateTime", "completionTime")
    names = ("creation to admission", "admission to the open gate", "open gate to verdict")
    rows = []
    for name, begin, end in zip(names, ("", *marks), marks, strict=False):
        spans = []
        for run in runs:
            start = run["status"][begin] if begin else run["metadata"]["creationTimestamp"]
            spans.append((moment(run["status"][end]) - moment(start)).total_seconds())
        rows.append(f"| {name} | {spread(spans)} |")
    return rows


def origin() -> dict[str, str]:
    """Say when, from what and on what the page was made."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    kernel = f"{platform.system()} {platform.release().partition('-')[0]}"
    return {
        "today": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip() or "an unknown commit",
        "machine": f"{os.cpu_count()} cores, {kernel}",
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=10, help="trivial runs and Jobs, in turns")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of twenty at once")
    parser.add_argument("--finished", type=int, nargs="+", default=[0, 100, 1000])
    parser.add_argument("--dry-run", action="store_true", help="print; do not write the page")
    parser.add_argument("--note", default="", help="a sentence on the circumstances, for the page")
    options = parser.parse_args()
    kubeconfig = os.environ.get("KUBECONFIG") or sys.exit("set KUBECONFIG: $(make -s kubeconfig)")
    cluster = Cluster(kubeconfig)

    memories = memory(cluster, options.finished)
    one, runs = one_at_a_time(cluster, options.pairs)
    many = many_at_once(cluster, 20, options.rounds)
    by_resource = writes(cluster, 10)
    status = shop(cluster)

    text = TEMPLATE.read_text().format(
        **origin(),
        note=f"{options.note}\n" if options.note else "",
        one=one,
        many=many,
        phases="\n".join(phases(runs)),
        shop=status["duration"],
        shop_phases="\n".join(f"| {name} | {took} |" for name, took in status["timings"].items()),
        writes=sum(until for _, until, _ in by_resource),
        writes_after=sum(after for _, _, after in by_resource),
        writes_by_resource="\n".join(
            f"| {name} | {until:.1f} | {after:.1f} |"
            for name, until, after in by_resource
            if until >= 0.1
        ),
        memory="\n".join(f"| {count} | {mib:.1f} |" for count, mib in memories),
    )
    print(text)
    if not options.dry_run:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
