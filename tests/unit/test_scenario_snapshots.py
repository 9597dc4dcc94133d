"""Snapshots: what is compared, what may change, and where it is stored."""

import json
from datetime import UTC, datetime

import pytest
from seatrial.api.run import parse_run
from seatrial.plan.blueprint import draw
from seatrial.plan.rundoc import run_document
from seatrial.plan.settings import PlanSettings
from seatrial_runner.scenario.snapshots import IGNORED, without
from seatrial_runner.scenario.world import StoredSnapshots

from tests.support.builders import a_run
from tests.support.scenarios import a_world, run_steps
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

ORDER = {"id": "o-1", "total": 12, "items": [{"sku": "A1", "at": "now"}]}


def compared(stored, snapshot, order=ORDER):
    world = a_world(snapshots=StoredSnapshots(stored))
    step = {"name": "order", "snapshot": {"value": "order", **snapshot}}
    return run_steps([step], world, vars={"order": order})


def test_what_is_as_it_was_stored_passes():
    assert compared({"pays/order": ORDER}, {}).outcome == "passed"
    assert compared({"pays/other": {**ORDER, "total": 12.0}}, {"name": "other"}).outcome == "passed"


def test_what_is_not_fails_with_the_path_the_values_and_a_diff():
    result = compared({"pays/order": {**ORDER, "total": 13}}, {})
    assert result.message == (
        "step 1 of 1 (order): expected order as in snapshot 'pays/order',"
        " but order.total is 12, not 13"
    )
    assert '-  "total": 13' in result.details
    assert '+  "total": 12' in result.details


@pytest.mark.parametrize(
    ("ignore", "passes"),
    [
        (["id", "items[*].at"], True),
        (["id", "items[0].at"], True),
        (["*", "items"], True),
        (["**.at", "id"], True),
        (["id", "items[1].at"], False),
        (["at", "id"], False),
        (["items[*].at"], False),
    ],
)
def test_parts_that_may_change_are_ignored(ignore, passes):
    other = {"id": "o-2", "total": 12, "items": [{"sku": "A1", "at": "then"}]}
    assert (compared({"pays/order": other}, {"ignore": ignore}).outcome == "passed") is passes


def test_a_part_that_is_ignored_must_still_be_there():
    result = compared({"pays/order": {"total": 12, "items": []}}, {"ignore": ["id", "items"]})
    assert "order.id is there" in result.message


def test_one_that_is_not_stored_fails_and_says_what_to_store():
    result = compared({}, {"ignore": ["id"]})
    assert "there is no snapshot 'pays/order': put it into spec.snapshots" in result.message
    shown = result.details.partition("if it is right:\n")[2].partition("\n\nSteps:")[0]
    assert json.loads(shown) == {"pays/order": {**ORDER, "id": IGNORED}}


def test_a_name_may_hold_values():
    step = {"forEach": {"in": "[1, 2]"}, "snapshot": {"value": "item", "name": "n{{ item }}"}}
    stored = {"pays/n1": 1, "pays/n2": 3}
    result = run_steps([step], a_world(snapshots=StoredSnapshots(stored)))
    assert "item[1] (2): expected item as in snapshot 'pays/n2', but item is 2, not 3" in (
        result.message
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("nope", "snapshot: nothing is named 'nope'"),
        ("b'a'", "snapshot: b'a': bytes is not a JSON"),
    ],
)
def test_what_is_no_value_says_so(value, told):
    assert told in run_steps([{"snapshot": {"value": value}}]).message


def test_any_path_is_harmless():
    for path in ("", "[", "a..b", "**", "**.**", "[*][*]", "]"):
        without(ORDER, [path])


# On a laptop -------------------------------------------------------------------------------------

FILE = """
tests:
- name: order
  vars: {order: {id: %s, total: 12}}
  scenario:
  - name: as it was
    snapshot: {value: order, ignore: [id]}
"""


def test_snapshots_are_stored_beside_the_file_when_asked(pytester):
    write(pytester.path, {"shop.yaml": FILE % "1"})
    done = run_pytest(pytester, "shop.yaml")
    assert "there is no snapshot 'order/as it was': look at it, and store it with pytest" in (
        done.stdout
    )
    assert not (pytester.path / "shop.snapshots.json").exists()
    assert run_pytest(pytester, "shop.yaml", "--seatrial-update-snapshots").returncode == 0
    stored = json.loads((pytester.path / "shop.snapshots.json").read_text())
    assert stored == {"order/as it was": {"id": IGNORED, "total": 12}}
    write(pytester.path, {"shop.yaml": FILE % "2"})
    assert run_pytest(pytester, "shop.yaml").returncode == 0
    write(pytester.path, {"shop.yaml": (FILE % "2").replace("12", "13")})
    assert "order.total is 13, not 12" in run_pytest(pytester, "shop.yaml").stdout


def test_a_broken_file_of_snapshots_is_told_in_one_line(pytester):
    write(pytester.path, {"shop.yaml": FILE % "1", "shop.snapshots.json": "[1"})
    done = run_pytest(pytester, "shop.yaml")
    assert "shop.snapshots.json: no snapshots can be read: " in done.stdout
    assert "Traceback" not in done.stdout


# In a run ----------------------------------------------------------------------------------------


def the_document(found, **snapshots):
    run = parse_run(a_run(snapshots=snapshots))
    settings = PlanSettings("registry.example/runner:1")
    blueprint = draw(run.metadata, run.spec, found, settings)
    return run_document(blueprint, settings, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_run_has_them_from_the_files_of_a_configmap_and_from_its_spec():
    config_map = {
        "metadata": {"labels": {"seatrial.dev/readable-by": "runs"}},
        "data": {"shop.snapshots.json": '{"a/b": 1, "a/c": 1}', "README": "no snapshot"},
    }
    found = {("ConfigMap", "stored"): config_map}
    document = the_document(found, configMap="stored", content={"a/c": None})
    assert document["snapshots"] == {"a/b": 1, "a/c": None}
