"""The command line itself: arguments, exit statuses, errors of one line, files."""

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from seatrial.api.errors import ClusterError, ForbiddenError, NotFoundError
from seatrial.api.verdict import Verdict
from seatrial.cli import list_runs, main, reference
from seatrial.cli.arguments import build_parser
from seatrial.cli.client import RefusedError, UnreachableError
from seatrial.cli.documents import read_documents
from seatrial.cli.exits import OF_VERDICT, CommandError, Exit
from seatrial.cli.lookup import duration_s
from seatrial.cli.submit import prepare

ROOT = Path(__file__).parent.parent.parent

RUN = """\
apiVersion: seatrial.dev/v1alpha1
kind: IntegrationTestRun
metadata: {name: first}
spec:
  tests:
  - name: t
    scenario:
    - set: {answer: "6 * 7"}
      expect: ["answer == 42"]
"""
SUITE = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: suite, labels: {seatrial.dev/readable-by: runs}}
data: {test_it.py: ""}
"""


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str, name: str = "run.yaml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def ends_with(status: int, *arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == status


# Exit statuses -----------------------------------------------------------------------------------


def test_every_verdict_has_an_exit_status_of_its_own():
    assert set(OF_VERDICT) == set(Verdict)
    assert {verdict.value: int(status) for verdict, status in OF_VERDICT.items()} == {
        "Passed": 0,
        "Failed": 1,
        "Error": 2,
        "Inconclusive": 3,
        "Aborted": 4,
    }


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (CommandError("do this", Exit.REFUSED), 65, "seatrial: do this"),
        (NotFoundError("no pods"), 66, "seatrial: no pods"),
        (UnreachableError("h: refused"), 69, "seatrial: cannot reach the cluster: h: refused;"),
        (UnreachableError("busy", status=503), 69, "seatrial: the API server cannot answer now"),
        (ForbiddenError("cannot get x", status=403), 77, "seatrial: cannot get x; ask an adm"),
        (RefusedError("spec is immutable", status=422), 65, "seatrial: spec is immutable"),
        (ClusterError("odd", status=418), 65, "seatrial: odd"),
        (ValueError("of\nmine"), 70, "seatrial: a defect in Seatrial, ValueError: of mine;"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, BaseException) else None,
)
def test_every_error_is_one_line_with_a_status_and_no_traceback(
    error, status, said, monkeypatch, capsys
):
    def broken(options: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(list_runs, "run", broken)
    assert main(["list"]) == status
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == bool(said)


def test_a_defect_shows_its_traceback_when_asked(monkeypatch):
    def broken(options: argparse.Namespace) -> int:
        raise ValueError("of mine")

    monkeypatch.setattr(list_runs, "run", broken)
    monkeypatch.setenv("SEATRIAL_DEBUG", "1")
    with pytest.raises(ValueError, match="of mine"):
        main(["list"])


# Arguments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["destroy"],
        ["run"],
        ["run", "a.yaml", "b.yaml"],
        ["run", "a.yaml", "-o", "xml"],
        ["logs", "a", "--service", "b", "--test", "c"],
        ["show"],
        ["list", "--fast"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_no_verdict(arguments, capsys):
    ends_with(64, *arguments)
    err = capsys.readouterr().err
    assert "--help" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "namespace"),
    [
        (["list"], None),
        (["-n", "shop", "list"], "shop"),
        (["list", "-n", "shop"], "shop"),
        (["-n", "other", "list", "-n", "shop"], "shop"),
    ],
)
def test_the_namespace_may_stand_before_the_command_or_after_it(arguments, namespace):
    assert build_parser().parse_args(arguments).namespace == namespace


def test_the_plugin_calls_itself_as_it_was_called(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-seatrial"])
    assert build_parser().prog == "kubectl seatrial"


def test_a_duration_that_is_none_names_its_flag(file, capsys):
    assert main(["run", file(RUN), "--wait-timeout", "soon"]) == 64
    assert capsys.readouterr().err.startswith("seatrial: --wait-timeout: 'soon' is not a duration")
    assert duration_s("1m30s", "--keep") == 90


@pytest.mark.parametrize(
    "command", ["run", "list", "show x", "logs x", "messages x", "junit x", "abort x"]
)
def test_without_a_kubeconfig_one_is_told_how_to_name_one(command, file, monkeypatch, capsys):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    arguments = ["run", file(RUN)] if command == "run" else command.split()
    assert main([*arguments, "--kubeconfig", "/nowhere/config"]) == 69
    assert "--kubeconfig or KUBECONFIG" in capsys.readouterr().err


def test_a_context_that_is_not_there_is_named(file, capsys):
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path = file(json.dumps(kubeconfig), "kubeconfig")
    assert main(["list", "--kubeconfig", path, "--context", "d"]) == 69
    assert "--context" in capsys.readouterr().err
    assert main(["list", "--kubeconfig", path]) == 69
    err = capsys.readouterr().err
    assert err.startswith("seatrial: cannot reach the cluster: https://127.0.0.1:1: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["run", "show"])
def test_a_command_that_ends_with_the_verdicts_status_lists_them_in_its_help(command, capsys):
    ends_with(Exit.PASSED, command, "--help")
    help_ = " ".join(capsys.readouterr().out.split())
    assert ", ".join(f"{status:d} {verdict}" for verdict, status in OF_VERDICT.items()) in help_


def test_help_imports_nothing_but_the_standard_library():
    script = (
        "import sys; before = set(sys.modules); import seatrial.cli;"
        "seatrial.cli.build_parser().format_help();"
        "new = {m.partition('.')[0] for m in set(sys.modules) - before};"
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    # -S: no .pth file of the environment imports anything first.
    path = {"PYTHONPATH": str(ROOT / "operator")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", script], capture_output=True, text=True, env=path, check=True
    )
    assert done.stdout.split() == ["seatrial"]


def test_the_reference_of_the_commands_is_up_to_date():
    assert (ROOT / "docs" / "reference" / "cli.md").read_text() == reference.page()


# Files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("a: [", 65, "is not YAML: line 2, column 1"),
        ("a: !!int x", 65, "is not YAML"),
        ("a: &a [*a]", 65, "is not YAML"),
        ("a: !!set {b}", 65, "holds what JSON has not"),
        ("just text", 65, "document 1 is no Kubernetes object: it has no kind"),
        ("- kind: Pod", 65, "document 1 is no Kubernetes object"),
        ("kind: 7", 65, "document 1 is no Kubernetes object"),
        ("{kind: List, items: 5}", 65, "document 1 is no Kubernetes object"),
        (
            RUN + "---\n{kind: Pod, metadata: [x]}",
            65,
            "document 2 is no Kubernetes object: its meta",
        ),
        ("{kind: Pod, metadata: {name: 5}}", 65, "its metadata.name is no text: put it in quotes"),
        ("{kind: Pod, metadata: {labels: 5}}", 65, "its metadata.labels is no map"),
        ("{kind: Secret, data: x}", 65, "its data is no map"),
        ("{kind: ConfigMap, data: {port: 80}}", 65, "its data has a port that is no text: put it"),
        ("", 65, "has no IntegrationTestRun: give a file with one"),
        (SUITE, 65, "has no IntegrationTestRun: give a file with one"),
        (RUN + "---\n" + RUN, 65, "has 2 runs: give a file with one"),
        (RUN.replace("{name: first}", "{}"), 65, "no metadata.name: write one, or give --name"),
        (
            RUN.replace("answer ==", "answer ="),
            65,
            "run.yaml: spec.tests[0].scenario[0].expect[0]: ",
        ),
    ],
)
def test_a_bad_file_is_said_in_one_line_before_a_cluster_is_asked(text, status, said, file, capsys):
    assert main(["run", file(text), "--kubeconfig", "/nowhere"]) == status
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_file_that_is_not_there_is_not_found(capsys):
    assert main(["validate", "/nowhere/run.yaml"]) == 66
    assert capsys.readouterr().err == (
        "seatrial: cannot read /nowhere/run.yaml: No such file or directory\n"
    )


def test_the_items_of_a_list_are_documents_too(file):
    text = json.dumps({"kind": "List", "items": [{"kind": "ConfigMap"}, {"kind": "Secret"}]})
    assert [each["kind"] for each in read_documents(file(text)).others] == ["ConfigMap", "Secret"]


def test_dates_times_and_keys_are_what_kubectl_reads(file):
    (read,) = read_documents(file("{kind: A, spec: {1: 2026-02-31, at: 12:30, n: 010}}")).others
    assert read == {"kind": "A", "spec": {"1": "2026-02-31", "at": "12:30", "n": 8}, "metadata": {}}


def test_a_run_may_come_from_standard_input(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO(RUN))
    assert main(["validate", "-"]) == 0
    assert capsys.readouterr().out == "-: first is valid\n"


# validate ----------------------------------------------------------------------------------------


def test_every_problem_is_a_line_with_its_field_and_remedy(file, capsys):
    bad = RUN.replace("spec:", "spec:\n  timout: 1m\n  services: [{name: Web, image: a}]")
    path = file(bad)
    assert main(["validate", path, file(RUN, "good.yaml")]) == 65
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{path}: first: spec.") for line in lines)
    assert "Did you mean timeout?" in err
    assert out.endswith("good.yaml: first is valid\n")


PYTEST = "  - name: suite\n    pytest: {configMap: suite}\n"


def test_a_configmap_of_the_same_file_is_looked_into(file, capsys):
    assert main(["validate", file(RUN + PYTEST + SUITE)]) == 0
    unreadable = SUITE.replace("runs", "nobody")
    assert main(["validate", file(RUN + PYTEST + unreadable)]) == 65
    assert "ConfigMap suite may not be read by runs" in capsys.readouterr().err


def test_a_configmap_that_is_not_in_the_file_may_be_in_the_cluster(file):
    assert main(["validate", file(RUN + PYTEST)]) == 0


FAULTS = """\
  podSecurity: privileged
  services: [{name: web, image: "web:1", ports: [{name: http, port: 80}]}]
  faults:
  - {name: cold, target: {service: web}, freeze: {}, for: 50m}
  - name: other
    resource: {manifest: {apiVersion: chaos-mesh.org/v1alpha1, kind: PodChaos, spec: {mode: one}}}
    for: 5s
  timeouts: {tests: 1h}
  timeout: 2h
"""


def test_what_a_cluster_might_allow_is_allowed_without_one(file, capsys):
    assert main(["validate", file(RUN + FAULTS)]) == 0, capsys.readouterr().err


def test_what_is_asked_for_on_the_command_line_is_in_the_run():
    written = {"metadata": {"generateName": "a-"}, "spec": {}, "status": {"phase": "Finished"}}
    prepared = prepare(written, name="mine", keep="2h")
    assert prepared["metadata"] == {"name": "mine"}
    assert prepared["spec"]["keepEnvironment"] == {"onSuccess": "2h", "onFailure": "2h"}
    assert "status" not in prepared
    assert written["metadata"] == {"generateName": "a-"}, "the document itself was changed"
