"""What is measured, and how: everything from the POST until a watch shows the end."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from seatrial.api.names import KIND

from tests.e2e.cluster import OPERATOR_LABELS, RUNS, Cluster, Json, condition

IMAGE = "docker.io/seatrial/shop:1"  # on the node before anything is measured
JOBS = "/apis/batch/v1/namespaces/{namespace}/jobs"
WRITES = {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
# Not caused by a run: the heartbeats of nodes and leaders.
NOISE = {"leases", "events", "subjectaccessreviews", "tokenreviews", "nodes"}


def trivial_run(name: str) -> Json:
    """Give a run with one test that sends nothing: examples/trivial."""
    return {
        "apiVersion": "seatrial.dev/v1alpha1",
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"tests": [{"name": "t", "scenario": [{"expect": ["1 + 1 == 2"]}]}]},
    }


def bare_job(name: str) -> Json:
    """Give a Job that runs ``true``."""
    container = {"name": "true", "image": IMAGE, "command": ["true"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def run_is_done(run: Json) -> bool:
    """Tell whether the verdict stands; any but Passed spoils the measurement."""
    status = run.get("status", {})
    if condition(status, "Finished") != "True":
        return False
    assert status["verdict"] == "Passed", status["message"]
    return True


def job_is_done(job: Json) -> bool:
    """Tell whether the Job is Complete."""
    return condition(job.get("status", {}), "Complete") == "True"


@dataclass(frozen=True)
class Subject:
    """Something that is created, and done at some time."""

    make: Callable[[str], Json]
    path: str
    done: Callable[[Json], bool]


RUN = Subject(trivial_run, RUNS + "/namespaces/{namespace}/integrationtestruns", run_is_done)
JOB = Subject(bare_job, JOBS, job_is_done)


def seconds_until_done(
    cluster: Cluster, namespace: str, subject: Subject, names: list[str]
) -> tuple[float, dict[str, Json]]:
    """
    Create objects one right after the other, and watch until all are done.

    Returns:
        Seconds from the first POST until the watch has shown the last one done; the objects.
    """
    path = subject.path.format(namespace=namespace)
    version = cluster.call("GET", path, limit=1)["metadata"]["resourceVersion"]
    began = time.monotonic()
    for name in names:
        cluster.call("POST", path, subject.make(name))
    done: dict[str, Json] = {}
    for event in cluster.events(path, version, timeout_s=300):
        obj = event["object"]
        if obj["metadata"]["name"] in names and subject.done(obj):
            done[obj["metadata"]["name"]] = obj
            if len(done) == len(names):
                return time.monotonic() - began, done
    raise AssertionError(f"after 300 s only {len(done)} of {len(names)} are done")


@contextmanager
def bench_namespace(cluster: Cluster, name: str) -> Iterator[str]:
    """Make a namespace, and delete it with all in it, waiting until it is gone."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    cluster.call("POST", "/api/v1/namespaces", body)
    accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
    cluster.wait(accounts, bool, "the default ServiceAccount", 30)
    try:
        yield name
    finally:
        cluster.delete(f"/api/v1/namespaces/{name}")
        namespaces = "/api/v1/namespaces"
        selector = f"metadata.name={name}"
        cluster.wait(
            namespaces, lambda items: not items, f"{name} gone", 300, fieldSelector=selector
        )


def settle(cluster: Cluster, namespace: str, names: list[str]) -> None:
    """Delete runs or Jobs, and wait until they and their namespaces are gone."""
    for subject in (RUN, JOB):
        path = subject.path.format(namespace=namespace)
        for name in names:
            cluster.delete(f"{path}/{name}", propagationPolicy="Background")
        cluster.wait(path, lambda items: not items, "all deleted", 300)


def api_writes(cluster: Cluster) -> Counter[str]:
    """Give how many writes the API server has taken so far, by resource."""
    found: Counter[str] = Counter()
    line = re.compile(r"^apiserver_request_total\{(.*)\} ([0-9.e+]+)$", re.MULTILINE)
    for labels, count in line.findall(cluster.call("GET", "/metrics")):
        label = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if label["verb"] in WRITES and label["resource"] not in NOISE:
            found[
                label["resource"] + ("/" + label["subresource"]) * bool(label["subresource"])
            ] += int(float(count))
    return found


def operator_memory_mib(cluster: Cluster) -> float:
    """Give the resident memory of the operator that leads, in MiB."""
    values = []
    for pod in cluster.items("/api/v1/pods", labelSelector=OPERATOR_LABELS):
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}:8080/proxy/metrics"
        text = cluster.call("GET", path)
        values += re.findall(r"^process_resident_memory_bytes ([0-9.e+]+)", text, re.MULTILINE)
    return max(float(value) for value in values) / 2**20


def restart_operator(cluster: Cluster) -> None:
    """Delete the operator's pods, and wait until others are ready in their place."""
    old = set()
    for pod in cluster.items("/api/v1/pods", labelSelector=OPERATOR_LABELS):
        meta = pod["metadata"]
        old.add(meta["uid"])
        cluster.delete(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}")
    cluster.wait(
        "/api/v1/pods",
        lambda pods: (
            all(
                pod["metadata"]["uid"] not in old and condition(pod["status"], "Ready") == "True"
                for pod in pods
            )
            and bool(pods)
        ),
        "the operator is back",
        60,
        labelSelector=OPERATOR_LABELS,
    )


def moment(text: str) -> datetime:
    """Read a time of the API."""
    return datetime.fromisoformat(text)


def spread(values: list[float]) -> str:
    """Show a median with its range, in seconds."""
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"
