"""From JSON to a run: what is read, and what is said of what cannot be."""

from datetime import UTC, datetime, timedelta

import pytest
from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.run import parse_metadata, parse_run, parse_status
from seatrial.api.spec import PodSecurity
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
    assert run.status is None


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
