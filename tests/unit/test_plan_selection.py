"""Which tests of a run are executed."""

import pytest
from seatrial.api.run import parse_run
from seatrial.cli.submit import prepare
from seatrial.plan.blueprint import draw
from seatrial.plan.selection import selected
from seatrial.plan.settings import PlanSettings

from tests.support.builders import a_fault, a_run, a_test

TESTS = [
    a_test("quick", tags=["smoke"]),
    a_test("deep", tags=["slow", "nightly"]),
    a_test("both", tags=["smoke", "slow"]),
    a_test("plain"),
]


def spec_of(**spec):
    return parse_run(a_run(**{"tests": TESTS, **spec})).spec


@pytest.mark.parametrize(
    ("select", "names"),
    [
        (None, ["quick", "deep", "both", "plain"]),
        ({"tags": ["smoke"]}, ["quick", "both"]),
        ({"tags": ["smoke"], "without": ["slow"]}, ["quick"]),
        ({"without": ["slow"]}, ["quick", "plain"]),
        ({"tags": ["smoke", "nightly"]}, ["quick", "deep", "both"]),
    ],
)
def test_tests_are_selected_by_their_tags(select, names):
    spec = spec_of(**({"select": select} if select else {}))
    assert [test.name for test in selected(spec).tests] == names


def test_faults_go_with_the_tests_that_they_belong_to():
    start = [{"fault": {"start": "by-hand"}}]
    faults = [
        a_fault("with-deep", when={"test": "deep"}),
        a_fault("after-it", when={"fault": "with-deep"}),
        a_fault("after-that", when={"fault": "after-it"}),
        a_fault("with-quick", when={"test": "quick"}),
        a_fault("by-hand", when={"manual": {}}),
        a_fault("at-once", when={"after": "1s"}),
    ]
    tests = [*TESTS, a_test("starts", tags=["slow"], scenario=start)]
    spec = spec_of(tests=tests, faults=faults, select={"tags": ["smoke"]})
    assert [fault.name for fault in selected(spec).faults] == ["with-quick", "at-once"]
    spec = spec_of(tests=tests, faults=faults, select={"tags": ["slow"]})
    names = [fault.name for fault in selected(spec).faults]
    assert names == ["with-deep", "after-it", "after-that", "by-hand", "at-once"]


def test_a_run_gets_only_what_its_tests_need():
    tests = [*TESTS, a_test("pods", container={"image": "x:1"}, scenario=None)]
    tests[-1].pop("scenario", None)
    run = parse_run(a_run(tests=tests, select={"tags": ["smoke"]}))
    blueprint = draw(run.metadata, run.spec, {}, PlanSettings("registry.example/runner:1"))
    assert [test.name for test in blueprint.spec.tests] == ["quick", "both"]
    assert not blueprint.has_test_pods


def test_what_is_wrong_with_a_test_that_is_left_out_is_told_all_the_same():
    from seatrial.api.errors import InvalidSpecError

    bad = a_test("bad", scenario=[{"expect": ["1 ="]}])
    run = parse_run(a_run(tests=[bad, *TESTS], select={"tags": ["smoke"]}))
    with pytest.raises(InvalidSpecError, match=r"spec\.tests\[0\]\.scenario\[0\]\.expect\[0\]"):
        draw(run.metadata, run.spec, {}, PlanSettings("registry.example/runner:1"))


def test_the_command_line_selects():
    prepared = prepare(a_run(), name=None, keep=None, tags=["smoke"], without=None)
    assert prepared["spec"]["select"] == {"tags": ["smoke"]}
    assert "select" not in prepare(a_run(), name=None, keep=None)["spec"]
