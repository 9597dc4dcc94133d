"""From JSON to a run: what is read, and what is said of what cannot be."""

from datetime import UTC, datetime, timedelta

import pytest
from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.run import parse_metadata, parse_run, parse_spec, parse_status, steered
from seatrial.api.spec import PodSecurity
from seatrial.api.status import UNSEEN
from seatrial.api.verdict import Phase, Verdict

from tests.support.builders import UID, a_fault, a_run, a_service, a_test


def problems(**spec):
    with pytest.raises(InvalidSpecError) as caught:
        parse_run(a_run(**spec))
    return [str(each) for each in caught.value.problems]


def test_a_run_is_read_with_its_defaults():
    run = parse_run(a_run(faults=[a_fault()]))

    assert (run.name, run.namespace, run.uid, run.metadata.key) == (
        *("checkout", "shop", UID),
        "shop/checkout",
    )
    assert run.spec.timeout == timedelta(minutes=30)
    assert run.spec.pod_security is PodSecurity.RESTRICTED
    assert run.spec.faults[0].recovery.within == timedelta(seconds=60)
    assert run.status.observed_generation == UNSEEN


def test_what_the_api_server_writes_about_the_run_is_read():
    manifest = a_run(deleted="2026-11-20T12:05:00Z", phase="Running", status={"verdict": "Passed"})
    manifest["metadata"]["finalizers"] = ["seatrial.dev/environment"]

    run = parse_run(manifest)

    assert run.metadata.created == datetime(2026, 11, 20, 11, 59, tzinfo=UTC)
    assert run.metadata.deleted == datetime(2026, 11, 20, 12, 5, tzinfo=UTC)
    assert run.metadata.finalizers == ("seatrial.dev/environment",)
    assert run.status.phase is Phase.RUNNING
    assert run.status.verdict is Verdict.PASSED


def test_metadata_can_be_read_however_bad_the_spec_is():
    manifest = {**a_run(), "spec": {"tests": 5}}

    assert parse_metadata(manifest).name == "checkout"
    assert parse_metadata({}).uid == ""


def test_a_status_of_a_newer_seatrial_can_be_read():
    status = parse_status(a_run(phase="Finished", status={"inventedLater": {"a": 1}}))

    assert status.phase is Phase.FINISHED


def test_every_problem_is_reported_not_only_the_first():
    found = problems(
        services=[a_service("Orders"), a_service(replicas="2"), a_service(replica=2)],
        timeout="25h",
    )

    assert len(found) == 4
    assert found[0] == "spec.timeout: must be more than 0s and at most 24h, not 25h."


def test_one_message_tells_how_many_more_there_are():
    with pytest.raises(InvalidSpecError, match=r"^spec\.timeout: .* \(and 1 more\)$") as caught:
        parse_run(a_run(timeout="25h", parallelism=0))

    assert isinstance(caught.value, SpecError)


def test_a_manifest_of_another_kind_is_named():
    manifest = {**a_run(), "kind": "IntegrationTest", "apiVersion": "seatrial.dev/v1"}

    with pytest.raises(InvalidSpecError) as caught:
        parse_run(manifest)

    assert [str(each) for each in caught.value.problems] == [
        "apiVersion: is 'seatrial.dev/v1'. Write seatrial.dev/v1alpha1.",
        "kind: is 'IntegrationTest'. Write IntegrationTestRun.",
    ]


def test_a_manifest_without_a_spec_is_told_so():
    manifest = a_run()
    del manifest["spec"]

    with pytest.raises(InvalidSpecError, match=r"^spec: is empty"):
        parse_run(manifest)


def test_null_is_data_in_bodies_and_matrices_and_a_mistake_elsewhere():
    body = {"http": {"post": "http://orders:8080", "json": {"a": None}}}
    matrix = {"note": [None, "x"]}

    parse_run(a_run(tests=[a_test(scenario=[body], matrix=matrix)]))

    assert problems(suspend=None) == [
        "spec.suspend: is empty. Leave it out, or give a value; {} where all is default."
    ]


@pytest.mark.parametrize(
    "step",
    [
        {"sql": {"service": "db", "query": "select :a", "params": {"a": None}}},
        {"sql": {"service": "db", "query": "select :a", "params": [{"a": 1}, {"a": None}]}},
        {"data": {"service": "db", "rows": {"orders": [{"id": 1, "note": None}]}}},
        {"mongo": {"service": "db", "collection": "orders", "find": {"paid": None}}},
        {"mongo": {"service": "db", "collection": "orders", "insertMany": [{"paid": None}]}},
        {"graphql": {"url": "http://a/", "query": "{ a }", "variables": {"a": None}}},
        {"grpc": {"target": "a:1", "method": "a.A/Get", "message": {"a": None}}},
        {"grpc": {"target": "a:1", "method": "a.A/Put", "messages": [{"a": None}]}},
        {"message": {"from": "mq", "topic": "a", "schema": {"enum": ["a", None]}}},
    ],
)
def test_null_is_data_wherever_a_step_takes_json(step):
    nested = {"parallel": [{"steps": [step]}]}

    (test,) = parse_run(a_run(tests=[a_test(scenario=[step, nested])])).spec.tests

    kept = test.model_dump(mode="json", by_alias=True, exclude_none=True)["scenario"]
    for each in (kept[0], kept[1]["parallel"][0]["steps"][0]):
        [(kind, document)] = step.items()
        assert each[kind].items() >= document.items()


@pytest.mark.parametrize(
    ("step", "field"),
    [
        ({"sql": {"service": "db", "query": "select 1", "params": None}}, "sql.params"),
        ({"sql": {"service": "db", "query": None}}, "sql.query"),
        ({"grpc": {"target": "a:1", "method": "a.A/B", "messages": [None]}}, "grpc.messages[0]"),
        ({"message": {"to": "mq", "topic": "a", "headers": {"a": None}}}, "message.headers.a"),
        ({"kubernetes": {"apply": {"kind": "Pod", "spec": None}}}, "kubernetes.apply.spec"),
    ],
)
def test_null_in_place_of_the_field_itself_is_a_mistake(step, field):
    (problem,) = problems(tests=[a_test(scenario=[step])])

    assert problem.startswith(f"spec.tests[0].scenario[0].{field}: is empty. Leave it out")


def test_a_key_of_any_kind_stays_on_one_line():
    (problem,) = problems(**{"a\nb": 1})

    assert problem.startswith('spec["a\\nb"]: is not a field.')


@pytest.mark.parametrize(
    ("pods", "good"),
    [
        *((pods, True) for pods in (1, 20, "50%", "100%", "all")),
        *((pods, False) for pods in (0, 21, "0%", "101%", "some", True)),
    ],
)
def test_pods_are_a_number_a_percentage_or_all(pods, good):
    fault = a_fault(target={"service": "orders", "pods": pods})

    if good:
        assert parse_run(a_run(faults=[fault])).spec.faults[0].target.pods == pods
    else:
        assert "spec.faults[0].target.pods" in problems(faults=[fault])[0]


# Steps -------------------------------------------------------------------------------------------


def nested(depth, field="steps"):
    step = {"log": "x"}
    for _ in range(depth - 1):
        step = {"steps": [step]} if field == "steps" else {"parallel": [{"steps": [step]}] * 2}
    return step


def never_read(monkeypatch):
    def read(*_, **__):
        raise AssertionError("it was read")

    monkeypatch.setattr("seatrial.api.run.RunSpec.model_validate", read)
    monkeypatch.setattr("seatrial.api.run.nulls", read)


@pytest.mark.parametrize("field", ["steps", "parallel"])
@pytest.mark.parametrize("depth", [5, 12])
@pytest.mark.parametrize("part", ["scenario", "setup", "teardown"])
def test_steps_that_are_too_deep_are_refused_before_they_are_read(part, depth, field, monkeypatch):
    never_read(monkeypatch)
    test = a_test("t") | {part: [nested(depth, field)]}

    assert problems(tests=[a_test("a"), test]) == [
        f"spec.tests[1].{part}: has steps inside of steps 5 levels deep, more than 4."
        " Make several tests of it, or call a scenario."
    ]


def test_steps_of_scenarios_that_are_too_deep_even_for_recursion_are_refused(monkeypatch):
    never_read(monkeypatch)

    [problem] = problems(scenarios=[{"name": "s", "steps": [nested(50_000)]}])

    assert problem.startswith("spec.scenarios[0].steps: has steps inside of steps")


def test_more_steps_than_a_run_may_have_are_refused_before_they_are_read(monkeypatch):
    never_read(monkeypatch)
    group = {"steps": [{"log": "x"}] * 31}
    tests = [a_test(f"t{n}", scenario=[group] * 16) for n in range(2)]

    assert problems(tests=tests, scenarios=[{"name": "s", "steps": [{}]}]) == [
        "spec.tests[1].scenario: brings the run to more than 1000 steps, those inside of steps"
        " too. Make several runs of it, or repeat a step."
    ]


def test_as_many_steps_as_a_run_may_have_are_read():
    step = {"http": {"get": "http://orders:8080"}}
    group = {"steps": [step] * 31}
    tests = [a_test("a", scenario=[group] * 16), a_test("b", scenario=[group] * 15)]

    assert len(parse_run(a_run(tests=[*tests, a_test("c", scenario=[step] * 8)])).spec.tests) == 3


@pytest.mark.parametrize("changed", [{"abort": "x"}, {"priority": 7}])
def test_of_a_run_that_has_started_only_what_may_change_is_read(changed):
    began = parse_spec(a_run())
    now = steered(began, {"spec": {"tests": "nonsense", "timeout": "1s"} | changed})
    expected = {"priority": changed.get("priority", 0), "abort": False}
    assert now == began.model_copy(update=expected)


def test_what_may_change_is_read_field_by_field():
    began = parse_spec(a_run(priority=3))
    now = steered(began, {"spec": {"abort": True, "priority": "x", "keepEnvironment": []}})
    assert now == began.model_copy(update={"abort": True})


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("timeout", "99999999999999h", "must be more than 0s and at most 24h."),
        ("ttlAfterFinished", "99999999999999h", "must be at most 8760h."),
        ("timeout", "1h" * 17, "is longer than 32 characters: write it like 1m30s or 2h."),
    ],
)
def test_a_duration_that_is_no_number_any_more_is_told_how_long_it_may_be(field, given, says):
    with pytest.raises(InvalidSpecError) as told:
        parse_spec(a_run(**{field: given}))
    [problem] = str(told.value).splitlines()
    assert problem.startswith(f"spec.{field}: ")
    assert problem.endswith(says)
