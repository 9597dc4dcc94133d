"""The CRD on a real API server: what it refuses, what it fills in, what it keeps fixed."""

import copy
import json
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from kubernetes import client, config
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.api.run import parse_run
from seatrial.api.status import RunStatus

from localcluster.controlplane import ControlPlane
from localcluster.layout import cache_dir
from tests.support.builders import a_fault, a_run, a_service, a_step, a_test
from tests.support.kstatus import kstatus
from tests.support.strategies import specs, spoiled_specs
from tests.support.wrong import wrong_manifests

ROOT = Path(__file__).parents[2]
WRONG = wrong_manifests()
NAMESPACE = "default"
WHERE = (names.GROUP, names.VERSION, NAMESPACE, names.PLURAL)


class Runs:
    """IntegrationTestRuns of one API server, written as strictly as kubectl does."""

    def __init__(self, kubeconfig):
        self.kubeconfig = kubeconfig
        self._client = config.new_client_from_config(str(kubeconfig))
        self._api = client.CustomObjectsApi(self._client)

    def install(self, definition):
        api = client.ApiextensionsV1Api(self._client)
        api.create_custom_resource_definition(definition, field_validation="Strict")
        name = definition["metadata"]["name"]
        # NB: not by kubectl wait, which fails at once when there are no conditions yet.
        deadline = time.monotonic() + 120
        while not self._established(api.read_custom_resource_definition(name)):
            assert time.monotonic() < deadline, f"{name} is not there"
            time.sleep(0.1)
        while not self._served():  # a moment later
            assert time.monotonic() < deadline, f"{name} is not served"
            time.sleep(0.1)

    def _served(self):
        try:
            self._api.list_namespaced_custom_object(*WHERE)
        except client.ApiException as error:
            if error.status != 404:
                raise
            return False
        return True

    def _established(self, definition):
        conditions = definition.status.conditions or []
        return any(each.type == "Established" and each.status == "True" for each in conditions)

    def create(self, manifest, *, dry_run=False):
        body = {**manifest, "metadata": {"name": manifest["metadata"]["name"]}}
        options = {"dry_run": "All"} if dry_run else {}
        return self._api.create_namespaced_custom_object(
            *WHERE, body, field_validation="Strict", **options
        )

    def refusal(self, manifest):
        """Give the API server's message; empty if it takes the manifest."""
        try:
            self.create(manifest, dry_run=True)
        except client.ApiException as error:
            if error.status not in (400, 422):
                raise
            return json.loads(error.body)["message"]
        return ""

    def complaints(self, manifest):
        """Give each thing that the API server says of a manifest."""
        with pytest.raises(client.ApiException) as refused:
            self.create(manifest, dry_run=True)
        return [each["message"] for each in json.loads(refused.value.body)["details"]["causes"]]

    def patch(self, name, *, status=False, **fields):
        body = {"status" if status else "spec": fields}
        patch = self._api.patch_namespaced_custom_object_status
        if not status:
            patch = self._api.patch_namespaced_custom_object
        return patch(*WHERE, name, body)

    def kubectl(self, *arguments):
        command = [str(cache_dir() / "bin" / "kubectl"), "--kubeconfig", str(self.kubeconfig)]
        return subprocess.run(
            [*command, *arguments], check=True, capture_output=True, text=True
        ).stdout


@pytest.fixture(scope="module")
def runs():
    with ControlPlane() as plane:
        found = Runs(plane.kubeconfig)
        (definition,) = (yaml.safe_load(path.read_text()) for path in (ROOT / "crds").iterdir())
        found.install(definition)
        yield found


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_manifest_is_refused_where_it_is_said_to_be(runs, wrong):
    refusal = runs.refusal(wrong.manifest)

    if wrong.refused_by == "apply":
        assert wrong.server
        assert wrong.server in refusal
    else:
        assert refusal == ""


def test_what_is_no_duration_is_told_once_for_each_field(runs):
    wrong = {"timeout": "5mm", "timeouts": {"tests": "ten"}, "keepEnvironment": {"onFailure": "1d"}}

    complaints = runs.complaints(a_run(**wrong))

    assert len(complaints) == 3, complaints
    assert all("should match" in each for each in complaints)


@given(specs())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_good_spec_is_taken_and_comes_back_with_the_defaults_of_the_models(runs, spec):
    returned = runs.create(a_run(**spec), dry_run=True)

    assert parse_run(returned).spec == parse_run(a_run(**spec)).spec


# What the API server has no words for, and the operator says instead: keys of maps, fields that
# hold any JSON, two ways of writing the same, and steps inside of steps.
_OPERATOR_ALONE = (
    *("at most one of: json, body, form", "matrix goes with", "vars goes with"),
    "is empty. Leave it out",
)
_ITS_FIELDS = re.compile(
    r"\.(headers|query|form|set|capture|matrix|env|files|podLabels|vars)([.\[]|$)"
    r"|\.(steps|setup|teardown)\["
)


def is_for_the_operator(problem):
    return _ITS_FIELDS.search(problem.field) or any(
        words in str(problem) for words in _OPERATOR_ALONE
    )


@given(spoiled_specs())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_python_and_the_api_server_agree_on_spoiled_specs(runs, spec):
    manifest = {**a_run(), "spec": spec}
    try:
        json.dumps(spec, allow_nan=False).encode()
    except (ValueError, UnicodeEncodeError):
        return  # no JSON, so it cannot even be sent
    try:
        parse_run(manifest)
        problems = []
    except InvalidSpecError as error:
        problems = error.problems

    refusal = runs.refusal(manifest)

    if refusal:
        assert problems, refusal
    else:
        assert [each for each in problems if not is_for_the_operator(each)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*/run.yaml")), ids=str)
def test_examples_are_taken(runs, path):
    for manifest in yaml.safe_load_all(path.read_text()):
        if manifest["kind"] == names.KIND:
            assert runs.refusal(manifest) == ""


def test_a_run_as_large_as_an_object_can_be_stays_within_the_budget_of_its_rules(runs):
    services = [a_service(f"s-{index}") for index in range(32)]
    for index, service in enumerate(services):
        service["dependsOn"] = [f"s-{other}" for other in range(min(index, 16))]
    # Each from the sixteen services that are named last, which is the longest way to find them.
    faults = [
        a_fault(
            f"f-{index}",
            latency={"delay": "1s"},
            **{"for": "5s", "when": {"fault": f"f-{(index + 1) % 64}"}},
            target={
                "service": f"s-{index % 16}",
                "from": [f"s-{other}" for other in range(16, 32)],
            },
        )
        for index in range(64)
    ]
    probes = [{"name": f"p-{index}", "tcp": "s-1:8080"} for index in range(16)]
    url = {"get": "http://s-1:8080/health", "timeout": "1s"}
    leaf = a_step(http=url, eventually={"within": "2s", "every": "10ms"})
    tests = [
        a_test(f"t-{index}", scenario=[{"parallel": [{"steps": [leaf] * 16}] * 4}])
        for index in range(64)
    ]

    run = a_run(services=services, faults=faults, tests=tests, probes=probes)
    assert runs.refusal(run) == ""


CHANGES = {
    "timeout": "1h",
    "timeouts": {"tests": "2m"},
    "parallelism": 2,
    "podSecurity": "baseline",
    "concurrency": {"group": "main"},
    "services": [a_service(image="other:2")],
    "tests": [a_test(retries=1)],
    "faults": [a_fault()],
    "probes": [{"name": "p", "tcp": "orders:8080"}],
    "envFrom": [{"configMap": "certificates"}],
    "scenarios": [{"name": "inner", "steps": [{"expect": ["true"]}]}],
    "select": {"tags": ["smoke"]},
    "snapshots": {"configMap": "snapshots"},
    "fixtures": {"configMap": "fixtures"},
    "seed": "as-before",
    "taps": [{"name": "t", "from": "orders", "topic": "orders"}],
}


@pytest.mark.parametrize("field", CHANGES)
def test_what_is_being_tested_is_fixed_once_the_run_has_started(runs, field):
    name = f"fixed-{field.lower()}"
    runs.create(a_run(name))
    runs.patch(name, status=True, phase="Provisioning")

    with pytest.raises(client.ApiException) as refused:
        runs.patch(name, **{field: CHANGES[field]})

    assert refused.value.status == 422
    assert "spec cannot change once the run has started" in refused.value.body


def test_every_field_that_is_fixed_has_a_change_in_these_tests():
    free = {"suspend", "abort", "priority", "keepEnvironment", "ttlAfterFinished"}
    definition = yaml.safe_load(next((ROOT / "crds").iterdir()).read_text())
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    assert set(schema["properties"]["spec"]["properties"]) - free == set(CHANGES)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("suspend", {"suspend": True}),
        ("abort", {"abort": True}),
        ("priority", {"priority": 5}),
        ("keep", {"keepEnvironment": {"onFailure": "1h", "onSuccess": "0s"}}),
        ("ttl", {"ttlAfterFinished": "1h"}),
    ],
)
def test_what_may_change_can_change_while_the_run_runs(runs, name, change):
    runs.create(a_run(f"free-{name}"))
    runs.patch(f"free-{name}", status=True, phase="Running")

    changed = runs.patch(f"free-{name}", **change)

    assert {field: changed["spec"][field] for field in change} == change


def test_a_run_in_the_queue_can_still_be_changed(runs):
    runs.create(a_run("queued"))
    runs.patch("queued", status=True, phase="Queued")

    assert runs.patch("queued", timeout="1h")["spec"]["timeout"] == "1h"


def test_an_abort_cannot_be_withdrawn(runs):
    runs.create(a_run("aborted", abort=True))

    with pytest.raises(client.ApiException, match="abort cannot be withdrawn"):
        runs.patch("aborted", abort=False)


def test_a_run_that_nobody_has_looked_at_is_in_progress_and_can_be_changed(runs):
    created = runs.create(a_run("unseen"))

    assert created["status"] == {"observedGeneration": -1}
    assert kstatus(created) == "InProgress"
    _, row = runs.kubectl("get", "itr", "unseen").splitlines()
    assert len(row.split()) == 2  # its name and its age
    assert runs.patch("unseen", timeout="1h")["spec"]["timeout"] == "1h"


def test_no_generation_comes_before_that_of_a_run_nobody_has_looked_at(runs):
    runs.create(a_run("observed"))

    with pytest.raises(client.ApiException, match="should be greater than or equal to -1"):
        runs.patch("observed", status=True, observedGeneration=-2)


def test_a_status_with_everything_in_it_is_taken_as_it_is(runs):
    moment = "2026-11-20T12:00:31.004000Z"
    status = {
        "observedGeneration": 1,
        "phase": "Finished",
        "verdict": "Passed",
        "message": "m" * 2048,
        "namespace": "itr-status-1",
        "seals": ["0" * 64],
        "report": "status-report",
        "startTime": moment,
        "gateTime": moment,
        "completionTime": moment,
        "cleanupTime": moment,
        "duration": "12.4s",
        "conductorStarts": 1,
        "summary": {"tests": 1, "passed": 1, "failed": 0, "flaky": 0, "skipped": 0},
        "services": [{"name": "orders", "state": "Ready", "readyReplicas": 2, "replicas": 2}],
        "tests": [{"name": "a", "outcome": "Passed", "passed": 1, "startedAt": moment}],
        "faults": [
            {
                **{"name": "f", "state": "Recovered", "hits": 3, "revertedBy": "controller"},
                **{"kind": "kill", "times": 2, "seed": 7, "effective": moment},
                **dict.fromkeys(("requested", "applied", "firstHit", "reverted"), moment),
                "targets": [{"kind": "Pod", "name": "a", "uid": "u", "replacedBy": "v"}],
            }
        ],
        "probes": [{"name": "p", "checks": 9, "failures": 1, "duringFaults": ["f"]}],
        "timings": {"queued": "0s", "provisioning": "6.1s", "tests": "48.2s", "total": "54.9s"},
        "conditions": [
            {
                **{"type": "Finished", "status": "True", "reason": "AllPassed", "message": "m"},
                **{"lastTransitionTime": moment, "observedGeneration": 1},
            }
        ],
    }
    assert set(status) == {info.alias for info in RunStatus.model_fields.values()}
    runs.create(a_run("status"))

    returned = runs.patch("status", status=True, **copy.deepcopy(status))

    assert returned["status"] == status
    assert parse_run(returned).status.faults[0].hits == 3


def test_kubectl_shows_columns_and_explains_fields(runs):
    runs.create(a_run("shown"))
    status = {"phase": "Finished", "verdict": "Failed", "duration": "3s"}
    runs.patch("shown", status=True, **status, summary={"passed": 3, "failed": 1})

    header, row = runs.kubectl("get", "itr", "shown").splitlines()

    assert header.split() == ["NAME", "VERDICT", "PHASE", "PASSED", "FAILED", "DURATION", "AGE"]
    assert row.split()[:6] == ["shown", "Failed", "Finished", "3", "1", "3s"]
    assert "shown" in runs.kubectl("get", "seatrial")
    assert "What goes wrong on purpose" in runs.kubectl("explain", "itr.spec.faults")
    assert "Longest time from the fault's end" in runs.kubectl(
        "explain", "itr.spec.faults.recovery.within"
    )
