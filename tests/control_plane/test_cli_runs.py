"""The command line tool against a real API server; the operator's part is played by the test."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from seatrial.api.errors import SeatrialError
from seatrial.api.report import LogDoc
from seatrial.cli import attend, main
from seatrial.cli.arguments import build_parser
from seatrial.cli.client import Cluster, connect, core_path, runs_path
from seatrial.cli.exits import CommandError

from localcluster.controlplane import ControlPlane
from localcluster.layout import cache_dir

ROOT = Path(__file__).parent.parent.parent
Json = dict[str, Any]

RUN = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: suite, labels: {seatrial.dev/readable-by: runs}}
data: {test_it.py: "def test_it(): pass"}
---
apiVersion: seatrial.dev/v1alpha1
kind: IntegrationTestRun
metadata: {name: NAME}
spec:
  tests:
  - name: suite
    pytest: {configMap: suite}
"""
PATIENCE_S = 60


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture(scope="module")
def cluster(plane: ControlPlane) -> Cluster:
    options = build_parser().parse_args(["--kubeconfig", str(plane.kubeconfig), "list"])
    cluster = connect(options)
    crd = yaml.safe_load((ROOT / "crds" / "seatrial.dev_integrationtestruns.yaml").read_text())
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    give_up = time.monotonic() + PATIENCE_S
    while True:  # a definition is served a moment after it is established
        try:
            cluster.get(runs_path("default"))
        except SeatrialError:
            assert time.monotonic() < give_up
        else:
            return cluster


@pytest.fixture
def seatrial(plane: ControlPlane, cluster: Cluster, monkeypatch, capsys) -> Callable[..., Any]:
    """Run a command in this process; gives its exit status and what it printed."""
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        if arguments[0] == "run" and "--wait-timeout" not in arguments:
            arguments += ("--wait-timeout", f"{PATIENCE_S}s")
        status = main(["--kubeconfig", str(plane.kubeconfig), *arguments])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def file(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[str, str]:
    """A file with a ConfigMap and a run that no other test has; gives path and name."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    (tmp_path / "run.yaml").write_text(RUN.replace("NAME", name))
    return str(tmp_path / "run.yaml"), name


def write_status(cluster: Cluster, name: str, **status: Any) -> None:
    cluster.merge(f"{runs_path('default', name)}/status", {"status": status})


def when_created(cluster: Cluster, name: str, act: Callable[[Json], None]) -> threading.Thread:
    """Act, in a thread, on the run as soon as it is there."""

    def wait() -> None:
        while True:
            for event in cluster.watch(runs_path("default"), fieldSelector=f"metadata.name={name}"):
                act(event["object"])
                return

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def ends(cluster: Cluster, name: str, verdict: str, **status: Any) -> threading.Thread:
    def finish(run: Json) -> None:
        write_status(cluster, name, phase="Provisioning", namespace="itr-x")
        write_status(cluster, name, phase="Collecting", verdict=verdict, **status)

    return when_created(cluster, name, finish)


def a_condition(kind: str, status: str, message: str = "") -> Json:
    moment = "2026-11-20T12:00:00Z"
    fields = {"type": kind, "status": status, "reason": "Because", "message": message}
    return {**fields, "lastTransitionTime": moment}


def write_report(cluster: Cluster, name: str, parts: dict[str, bytes]) -> None:
    data = {key: base64.b64encode(gzip.compress(part)).decode() for key, part in parts.items()}
    body = {"metadata": {"name": f"{name}-kept"}, "binaryData": data}
    cluster.create(core_path("default", "configmaps"), body)


def a_log(
    pod: str,
    container: str,
    text: str,
    *,
    service: str | None = None,
    test: str | None = None,
    previous: bool = False,
) -> LogDoc:
    return {
        "pod": pod, "container": container, "previous": previous,
        "service": service, "test": test, "text": text,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "status"),
    [("Passed", 0), ("Failed", 1), ("Error", 2), ("Inconclusive", 3), ("Aborted", 4)],
)
def test_a_run_ends_with_the_status_of_its_verdict(verdict, status, seatrial, cluster, file):
    path, name = file
    thread = ends(cluster, name, verdict, message="So it is.")
    ended, out, _ = seatrial("run", path)
    thread.join()
    assert ended == status
    lines = out.splitlines()
    assert lines[:2] == [
        "applied ConfigMap suite",
        f"created IntegrationTestRun {name} in namespace default",
    ]
    assert f"{verdict}: {name}" in out
    assert cluster.get(core_path("default", "configmaps", "suite"))["data"]


def test_kubectl_apply_of_a_file_that_was_run_warns_of_nothing(
    plane: ControlPlane, seatrial, cluster: Cluster, file
) -> None:
    path, name = file
    played = ends(cluster, name, "Passed")
    assert seatrial("run", path, "--keep", "1h")[0] == 0
    played.join()
    before = cluster.get(runs_path("default", name))
    kubectl = [str(cache_dir() / "bin" / "kubectl"), "--kubeconfig", str(plane.kubeconfig)]

    applied = subprocess.run(
        [*kubectl, "apply", "-f", path], capture_output=True, text=True, check=True
    )

    assert applied.stderr == ""
    assert "configmap/suite unchanged" in applied.stdout
    # NB: of a run it says configured, also if kubectl has made it: lists in it have defaults.
    assert cluster.get(runs_path("default", name))["spec"] == before["spec"]


def test_the_finished_run_can_be_had_as_json_alone_on_stdout(seatrial, cluster, file):
    path, name = file
    thread = ends(cluster, name, "Passed")
    status, out, err = seatrial("run", path, "-o", "json")
    thread.join()
    assert status == 0
    assert json.loads(out)["status"]["verdict"] == "Passed"
    assert f"Passed: {name}" in err


def test_a_run_that_is_there_already_is_not_run_again_unless_replaced(seatrial, cluster, file):
    path, name = file
    thread = ends(cluster, name, "Failed")
    assert seatrial("run", path)[0] == 1
    thread.join()
    first = cluster.get(runs_path("default", name))["metadata"]["uid"]
    status, _, err = seatrial("run", path)
    assert status == 65
    assert "has finished (Failed)" in err
    assert "--replace" in err
    status, out, err = seatrial("run", path, "--replace", "--wait-timeout", "10ms")
    assert status == 75
    assert f"deleting the earlier run {name}" in out
    assert cluster.get(runs_path("default", name))["metadata"]["uid"] != first
    assert f"seatrial abort {name}" in err


def test_two_runs_of_one_generated_name_are_two(seatrial, cluster, file, tmp_path):
    path = tmp_path / "generated.yaml"
    path.write_text(RUN.replace("{name: NAME}", "{generateName: generated-}"))
    for _ in range(2):
        assert seatrial("run", str(path), "--wait-timeout", "10ms")[0] == 75
    out = seatrial("list")[1]
    assert out.count("generated-") == 2


def test_what_only_the_api_server_refuses_is_one_line(seatrial, cluster, file, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(RUN.replace("name: NAME", "name: Bad_Name"))
    status, _, err = seatrial("run", str(path))
    assert status == 65
    assert "Bad_Name" in err
    assert err.count("\n") == 1


def test_a_run_that_no_operator_takes_up_is_said_to_be_one(seatrial, file, monkeypatch):
    path, name = file
    monkeypatch.setattr(attend, "OPERATOR_EXPECTED_S", 0.0)
    status, out, _ = seatrial("run", path, "--wait-timeout", "10ms")
    assert status == 75
    assert "no operator has taken up the run yet" in out
    assert "not taken up by an operator yet" in seatrial("show", name)[1]
    status, _, err = seatrial("logs", name)
    assert status == 66
    assert "it is not taken up by an operator" in err


def test_an_object_of_an_unknown_kind_is_named(seatrial, file, tmp_path):
    path = tmp_path / "unknown.yaml"
    path.write_text(RUN.replace("kind: ConfigMap", "kind: Sprocket"))
    status, _, err = seatrial("run", str(path))
    assert status == 65
    assert "the cluster has no Sprocket of apiVersion v1" in err


def test_another_namespace_than_the_file_s_is_refused(seatrial, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(RUN.replace("{name: NAME}", "{name: n, namespace: default}"))
    status, _, err = seatrial("run", str(path), "-n", "kube-public")
    assert status == 64
    assert "says namespace default, and -n says kube-public" in err


def test_validate_with_the_cluster_looks_for_what_is_not_in_the_file(seatrial, cluster, tmp_path):
    alone = tmp_path / "alone.yaml"
    alone.write_text(RUN.split("---\n")[1].replace("NAME", "lonely").replace("suite}", "absent}"))
    assert seatrial("validate", str(alone))[0] == 0
    status, _, err = seatrial("validate", "--cluster", str(alone))
    assert status == 65
    assert "there is no ConfigMap absent beside the run" in err
    bad_name = tmp_path / "name.yaml"
    bad_name.write_text(RUN.replace("NAME", "Bad_Name"))
    assert seatrial("validate", str(bad_name))[0] == 0
    status, _, err = seatrial("validate", "--cluster", str(bad_name))
    assert status == 65
    assert "the API server" in err
    there = [each["metadata"]["name"] for each in cluster.get(runs_path("default"))["items"]]
    assert "lonely" not in there


def test_junit_waits_for_the_report(seatrial, cluster, file, tmp_path):
    path, name = file

    def finish(run: Json) -> None:
        write_status(cluster, name, phase="Collecting", verdict="Failed", report=f"{name}-kept")
        write_report(cluster, name, {"junit.xml.gz": b"<testsuites/>"})
        available = [a_condition("ReportAvailable", "True")]
        write_status(cluster, name, phase="Finished", conditions=available)

    thread = when_created(cluster, name, finish)
    assert seatrial("run", path, "--junit", str(tmp_path / "junit.xml"))[0] == 1
    thread.join()
    assert (tmp_path / "junit.xml").read_text() == "<testsuites/>"
    assert seatrial("junit", name)[1] == "<testsuites/>"


def test_junit_may_wait_for_the_clean_up(seatrial, cluster, file, tmp_path):
    path, name = file
    suite = '<testsuite name="clean-up"><testcase name="itr-x"><skipped/></testcase></testsuite>'

    def finish(run: Json) -> None:
        here = {"verdict": "Failed", "report": f"{name}-kept", "namespace": "itr-x"}
        available = a_condition("ReportAvailable", "True")
        write_report(cluster, name, {"junit.xml.gz": f"<testsuites>{suite}</testsuites>".encode()})
        write_status(cluster, name, phase="Cleaning", conditions=[available], **here)
        gone = a_condition("CleanedUp", "True")
        write_status(cluster, name, phase="Finished", conditions=[available, gone], **here)

    thread = when_created(cluster, name, finish)
    target = tmp_path / "junit.xml"
    assert seatrial("run", path, "--junit", str(target), "--cleaned-up")[0] == 1
    thread.join()
    assert 'skipped="0"' in target.read_text()
    assert 'skipped="0"' in seatrial("junit", name, "--cleaned-up")[1]


def test_a_report_that_will_never_come_says_why(seatrial, cluster, file):
    path, name = file
    message = "The conductor was lost."
    of_someone_else = {"metadata": {"name": f"{name}-report"}, "binaryData": {}}
    cluster.create(core_path("default", "configmaps"), of_someone_else)
    lost = [a_condition("ReportAvailable", "False", message)]
    thread = ends(cluster, name, "Error", conditions=lost)
    assert seatrial("run", path)[0] == 2
    thread.join()
    status, _, err = seatrial("junit", name)
    assert status == 66
    assert message in err


def test_logs_come_from_the_report_and_can_be_narrowed(seatrial, cluster, file):
    path, name = file
    available = [a_condition("ReportAvailable", "True")]
    thread = ends(cluster, name, "Failed", conditions=available, report=f"{name}-kept")
    seatrial("run", path)
    thread.join()
    logs = [
        a_log("orders-6f-abc", "orders", "one\ntwo\x1b[2J\n", service="orders"),
        a_log("orders-6f-abc", "orders", "zero\n", service="orders", previous=True),
        a_log("orders-db-0", "db", "ready\n", service="orders-db"),
        a_log("test-suite-0-x", "pytest", "1 passed\n", test="suite"),
    ]
    write_report(cluster, name, {"logs.json.gz": json.dumps(logs).encode()})
    status, out, _ = seatrial("logs", name)
    assert status == 0
    assert len(out.splitlines()) == 5
    assert "\x1b" not in out
    assert seatrial("logs", name, "-t", "suite")[1] == "test-suite-0-x/pytest | 1 passed\n"
    of_orders = seatrial("logs", name, "-s", "orders")[1].splitlines()
    assert [line.partition(" | ")[0] for line in of_orders] == [
        "orders-6f-abc/orders", "orders-6f-abc/orders", "orders-6f-abc/orders (previous)"
    ]  # fmt: skip
    assert seatrial("logs", name, "-c", "db")[1] == "orders-db-0/db | ready\n"
    status, _, err = seatrial("logs", name, "-s", "payments")
    assert status == 66
    assert "no log that matches" in err


def test_messages_come_from_the_report_and_can_be_narrowed(seatrial, cluster, file):
    path, name = file
    available = [a_condition("ReportAvailable", "True")]
    thread = ends(cluster, name, "Passed", conditions=available, report=f"{name}-kept")
    seatrial("run", path)
    thread.join()
    message = {
        "number": 1, "from": "topic orders of events", "at": "2026-11-20T12:00:00.000Z",
        "topic": "orders", "key": "ada", "headers": {}, "text": "{\x1b[2J}", "bytes": 2,
    }  # fmt: skip
    record = {
        "test": "told", "case": "told", "attempt": 1,
        "total": 1, "leftOut": 0, "withoutBody": 0, "dropped": 0, "messages": [message],
        "subscriptions": [{"name": "topic orders of events", "messages": 1, "missed": []}],
    }  # fmt: skip
    again = {**record, "test": "matrix", "case": "matrix[A1]", "attempt": 2}
    records = json.dumps([record, again]).encode()
    write_report(cluster, name, {"messages.json.gz": records})
    status, out, _ = seatrial("messages", name)
    assert status == 0
    assert out.splitlines() == [
        "told",
        "Messages recorded: 1",
        "      1  topic orders of events",
        "      1  2026-11-20T12:00:00.000Z  orders, key ada: {}",
        "",
        "matrix > matrix[A1], attempt 2",
        "Messages recorded: 1",
        "      1  topic orders of events",
        "      1  2026-11-20T12:00:00.000Z  orders, key ada: {}",
    ]
    [printed] = json.loads(seatrial("messages", name, "-t", "told", "-o", "json")[1])
    assert printed == record
    status, _, err = seatrial("messages", name, "-t", "silent")
    assert status == 66
    assert "has no messages of test silent" in err


def test_show_has_every_failure_of_the_report(seatrial, cluster, file):
    path, name = file
    available = [a_condition("ReportAvailable", "True")]
    tests = [{"name": "suite", "outcome": "Failed", "failed": 2, "message": "the first alone"}]
    kept = f"{name}-kept"
    thread = ends(cluster, name, "Failed", conditions=available, tests=tests, report=kept)
    seatrial("run", path)
    thread.join()
    case = {"outcome": "failed", "startedAt": None, "finishedAt": None, "duringFaults": []}
    failures = [{**case, "name": n, "message": f"{n} broke"} for n in ("test_a", "test_b")]
    report = {"summary": {"tests": [{"name": "suite", "failures": failures}]}}
    write_report(cluster, name, {"report.json.gz": json.dumps(report).encode()})
    out = seatrial("show", name)[1]
    assert "test_a broke" in out
    assert "test_b broke" in out
    assert seatrial("show", name, "--watch")[0] == 1


def test_abort_asks_the_operator_and_a_second_time_is_harmless(seatrial, cluster, file):
    path, name = file
    assert seatrial("run", path, "--wait-timeout", "10ms")[0] == 75
    assert seatrial("abort", name) == (0, f"asked run {name} to abort\n", "")
    assert cluster.get(runs_path("default", name))["spec"]["abort"] is True
    write_status(cluster, name, phase="Finished", verdict="Aborted")
    status, out, _ = seatrial("abort", name, "--wait")
    assert (status, out) == (0, f"run {name} has finished already: Aborted\n")


def test_abort_all_stops_whatever_goes_on(seatrial, cluster, file):
    path, name = file
    assert seatrial("run", path, "--wait-timeout", "10ms")[0] == 75
    status, out, _ = seatrial("abort", "--all", "-A")
    assert status == 0
    assert f"asked run default/{name} to abort" in out.splitlines()
    assert cluster.get(runs_path("default", name))["spec"]["abort"] is True


@pytest.mark.parametrize("command", ["show", "logs", "junit", "abort"])
def test_a_run_that_is_not_there_is_said_with_those_that_are(command, seatrial, cluster, file):
    status, _, err = seatrial(command, "nobody")
    assert status == 66
    assert err.startswith("seatrial: no run nobody in namespace default; there are: ")


def test_a_cluster_without_seatrial_says_how_to_install_it(cluster):
    with pytest.raises(CommandError, match="install Seatrial with its Helm chart"):
        cluster.get(runs_path("default").replace("v1alpha1", "v0"))


def test_version_says_what_the_cluster_has(seatrial):
    status, out, _ = seatrial("version")
    assert status == 0
    assert "Kubernetes v1." in out
    assert "seatrial.dev v1alpha1" in out


# In a process of its own -------------------------------------------------------------------------


def start(plane: ControlPlane, *arguments: str) -> subprocess.Popen[str]:
    # Where pytest itself runs in a shell's background, SIGINT is ignored, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(
        [sys.executable, "-m", "seatrial.cli", *arguments],
        env={**os.environ, "KUBECONFIG": str(plane.kubeconfig)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    patience = threading.Timer(PATIENCE_S, process.kill)
    patience.start()
    try:
        for line in process.stdout:
            if text in line:
                return
    finally:
        patience.cancel()
    raise AssertionError(f"it ended without saying {text!r}")


INTERRUPTS = pytest.mark.parametrize("interrupt", [signal.SIGINT, signal.SIGTERM])


@INTERRUPTS
def test_an_interrupt_aborts_the_run_and_waits_for_its_verdict(interrupt, plane, cluster, file):
    path, name = file
    process = start(plane, "run", path)
    thread = when_created(
        cluster, name, lambda run: write_status(cluster, name, phase="Provisioning")
    )
    read_until(process, "phase Provisioning")
    process.send_signal(interrupt)
    read_until(process, "aborting the run")
    for event in cluster.watch(runs_path("default"), fieldSelector=f"metadata.name={name}"):
        if event["object"]["spec"].get("abort"):
            break
    write_status(cluster, name, phase="Collecting", verdict="Aborted", message="By request.")
    out, _ = process.communicate(timeout=PATIENCE_S)
    thread.join()
    assert process.returncode == 4
    assert "Aborted" in out


@INTERRUPTS
def test_a_second_interrupt_leaves_the_run_to_itself(interrupt, plane, cluster, file):
    path, name = file
    process = start(plane, "run", path)
    thread = when_created(
        cluster, name, lambda run: write_status(cluster, name, phase="Provisioning")
    )
    read_until(process, "phase Provisioning")
    process.send_signal(signal.SIGINT)
    read_until(process, "aborting the run")
    process.send_signal(interrupt)
    out, _ = process.communicate(timeout=PATIENCE_S)
    thread.join()
    assert process.returncode == 130
    assert "Traceback" not in out


def test_an_api_server_that_goes_away_is_waited_for(plane, cluster, file):
    path, name = file
    process = start(plane, "run", path)
    thread = when_created(
        cluster, name, lambda run: write_status(cluster, name, phase="Provisioning")
    )
    read_until(process, "phase Provisioning")
    thread.join()
    plane.restart_apiserver()
    read_until(process, "waiting for the API server")
    read_until(process, "the API server is back")
    write_status(cluster, name, phase="Collecting", verdict="Passed")
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert f"Passed: {name}" in out


def test_a_run_that_is_deleted_meanwhile_ends_the_command(plane, cluster, file):
    path, name = file
    process = start(plane, "run", path)
    read_until(process, "created IntegrationTestRun")
    run = cluster.get(runs_path("default", name))
    cluster.delete(runs_path("default", name), run["metadata"]["uid"])
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 66
    assert f"run {name} was deleted by somebody" in out
