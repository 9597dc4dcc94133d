"""What ``kubectl apply`` finds on an object that ``seatrial run`` has made."""

import json

import pytest
from seatrial.cli.last_applied import LAST_APPLIED, with_last_applied

from tests.support.builders import a_run


def a_config_map(**fields):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, **fields}


def test_it_is_what_the_file_says_not_what_the_command_line_adds():
    written = a_run(name="mine")
    sent = {**written, "spec": {**written["spec"], "keepEnvironment": {"onFailure": "1h"}}}

    made = with_last_applied(sent, written)

    assert json.loads(made["metadata"]["annotations"][LAST_APPLIED])["spec"] == written["spec"]
    assert made["spec"] == sent["spec"]
    assert "annotations" not in written["metadata"]


def test_annotations_of_the_file_stay_and_an_old_one_is_not_kept_inside():
    document = a_config_map()
    document["metadata"]["annotations"] = {"team": "orders", LAST_APPLIED: "{}"}

    annotations = with_last_applied(document, document)["metadata"]["annotations"]

    assert annotations["team"] == "orders"
    kept = json.loads(annotations[LAST_APPLIED])
    assert kept["metadata"]["annotations"] == {"team": "orders"}


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(a_config_map(data={"a": "x" * 256 * 1024}), id="too-large-for-an-annotation"),
        pytest.param({**a_config_map(), "kind": "Secret"}, id="a-secret"),
        pytest.param(
            {**a_config_map(), "metadata": {"name": "m", "annotations": ["a"]}}, id="no-map"
        ),
    ],
)
def test_some_go_without(document):
    assert with_last_applied(document, document) == document
