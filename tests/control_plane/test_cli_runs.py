"""The command line tool against a real API server; the operator's part is played by the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from seatrial.cli import attend
from seatrial.cli.client import Cluster, core_path, runs_path
from seatrial.cli.exits import CommandError

from localcluster.controlplane import ControlPlane
from localcluster.layout import cache_dir
from tests.support.cli_runs import PATIENCE_S, RUN, ends, when_created, write_status


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
