"""Whatever is in a file that a command reads: one line that says what to do, never a defect."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from seatrial.cli import main
from seatrial.cli.exits import CommandError
from seatrial.cli.kubeconfig import read_kubeconfig

from tests.support.examples import examples
from tests.support.strategies import json_values

KUBECONFIG = {
    "clusters": [{"name": "it", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "it", "user": {"token": "t"}}],
    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    "current-context": "it",
}


@pytest.fixture
def one_line(tmp_path, capsys):
    """Run a command on a file with this text; gives its one line, which tells of no defect."""

    def call(text, status, *command):
        (tmp_path / "file").write_text(text)
        assert main([*command, str(tmp_path / "file")]) == status
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        return err

    return call


@st.composite
def spoiled(draw, whole):
    """Give an object with another value, or none, in one place."""
    document = json.loads(json.dumps(whole))
    place = document
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            break
        place = place[key]
    if draw(st.booleans()):
        place[key] = draw(json_values)
    else:
        del place[key]
    return document


# Kubeconfigs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1, column 5"),
        ("- a", "it does not have the form of one"),
        ("just text", "it does not have the form of one"),
        ("{}", "Expected key current-context"),
        ("", "is empty"),
        ("clusters: 5", "it does not have the form of one"),
        (json.dumps({**KUBECONFIG, "contexts": [{"context": {}}]}), "to have 'name' key"),
        (
            json.dumps({**KUBECONFIG, "users": [{"name": "it", "user": 5}]}),
            "it does not have the form of one",
        ),
        (json.dumps({**KUBECONFIG, "users": [{"name": "it", "user": {"token": "a\nb"}}]}), "token"),
        (json.dumps({**KUBECONFIG, "clusters": [{"name": "it", "cluster": {}}]}), "server"),
    ],
)
def test_a_kubeconfig_that_is_none_is_said_in_one_line(text, said, one_line):
    err = one_line(text, 69, "list", "--kubeconfig")
    assert err.startswith("seatrial: cannot use the kubeconfig ")
    assert said in err


PLUGIN = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}


def with_plugin(**plugin):
    user = {"exec": {**PLUGIN, **plugin}}
    return json.dumps({**KUBECONFIG, "users": [{"name": "it", "user": user}]})


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        ({}, "No such file or directory: 'no-such-plugin'"),
        ({"command": "false"}, "process returned 1"),
        ({"command": "sh", "args": ["-c", "echo log in >&2; exit 3"]}, "returned 3. log in"),
        ({"command": "true"}, "failed to decode"),
        ({"apiVersion": None}, "Expected key apiVersion"),
    ],
    ids=["not-installed", "fails", "says-why", "silent", "malformed"],
)
def test_a_plugin_that_gives_no_credentials_ends_the_command(plugin, said, one_line):
    err = one_line(with_plugin(**plugin), 69, "list", "--kubeconfig")
    assert "its plugin for credentials: " in err
    assert said in err


def test_a_plugin_that_gives_something_else_ends_the_command(one_line):
    said = {"apiVersion": PLUGIN["apiVersion"], "kind": "ExecCredential", "status": {}}
    text = with_plugin(command="echo", args=[json.dumps(said)])
    assert "missing token" in one_line(text, 69, "list", "--kubeconfig")


def test_on_a_terminal_a_plugin_that_fails_ends_the_command_after_its_own_words(tmp_path):
    (tmp_path / "file").write_text(with_plugin(command="sh", args=["-c", "echo log in >&2; false"]))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "seatrial.cli", "list", "--kubeconfig", tmp_path / "file"]
    done = subprocess.run(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 69
    first, second = done.stderr.splitlines()
    assert first == "log in"
    assert "its plugin for credentials: it failed" in second


@given(spoiled(KUBECONFIG))
@settings(max_examples=examples(200))
def test_a_spoiled_kubeconfig_is_read_or_refused(tmp_path_factory, document):
    file = tmp_path_factory.getbasetemp() / "spoiled"
    file.write_text(yaml.safe_dump(document))
    with suppress(CommandError):
        assert read_kubeconfig(str(file), None).host


# Files with runs ---------------------------------------------------------------------------------

RUN = {
    "apiVersion": "seatrial.dev/v1alpha1",
    "kind": "IntegrationTestRun",
    "metadata": {"name": "first", "labels": {"team": "shop"}, "annotations": {"a": "b"}},
    "spec": {
        "services": [{"name": "web", "manifests": {"configMap": "web"}}],
        "tests": [{"name": "t", "pytest": {"configMap": "suite"}}],
    },
}
WEB = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "web", "labels": {"seatrial.dev/readable-by": "runs"}},
    "data": {"pod.yaml": "{apiVersion: v1, kind: Pod, metadata: {name: web}}"},
}
SUITE = {**WEB, "metadata": {**WEB["metadata"], "name": "suite"}, "data": {"test_it.py": ""}}
LIST = {"apiVersion": "v1", "kind": "List", "items": [RUN, WEB, SUITE]}


@given(spoiled(LIST))
@settings(max_examples=examples(300))
def test_a_spoiled_file_is_valid_or_refused(tmp_path_factory, document):
    file = tmp_path_factory.getbasetemp() / "spoiled"
    file.write_text(yaml.safe_dump(document))
    assert main(["validate", str(file)]) in (0, 65), document
