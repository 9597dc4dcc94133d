"""Answers of the validation that depend on more than one wrong thing."""

import re

import pytest
from seatrial.api.rules import did_you_mean
from seatrial.api.run import parse_run
from seatrial.api.spec import PodSecurity
from seatrial.plan.settings import FaultCeiling
from seatrial.plan.validation import Limits, one_message, references, validate

from tests.support.builders import a_fault, a_run, a_service, a_step, a_test

READABLE = {"metadata": {"labels": {"seatrial.dev/readable-by": "runs"}}}
SUITE = {**READABLE, "data": {"test_orders.py": ""}}


def found_problems(found=None, limits=None, **spec):
    run = parse_run(a_run(**spec))
    return [str(each) for each in validate(run.spec, found, limits or Limits())]


def test_a_good_run_has_no_problem():
    assert found_problems() == []


@pytest.mark.parametrize(
    "key", ["role", "cnpg.io/instanceRole", "statefulset.kubernetes.io/pod-name"]
)
def test_a_leader_may_be_told_by_any_label_that_kubernetes_knows(key):
    fault = a_fault(target={"service": "orders", "podLabels": {key: "primary"}})
    assert found_problems(faults=[fault]) == []


def test_everything_that_a_run_refers_to_is_named():
    run = parse_run(
        a_run(
            services=[
                a_service("a", manifests={"configMap": "m"}),
                a_service("b", envFrom=[{"secret": "s"}, {"configMap": "c"}]),
            ],
            tests=[
                a_test("a", pytest={"configMap": "p", "envFrom": [{"secret": "t"}]}),
                a_test("b", container={"image": "x", "envFrom": [{"configMap": "d"}]}),
            ],
        )
    )

    assert references(run.spec) == {
        *(("ConfigMap", name) for name in ("m", "c", "p", "d")),
        *(("Secret", name) for name in ("s", "t")),
    }


def test_without_a_cluster_objects_are_not_looked_for():
    assert found_problems(None, tests=[a_test(pytest={"configMap": "suite"})]) == []


def test_hosts_are_not_judged_while_manifests_are_unknown():
    services = [a_service("a", manifests={"configMap": "m"})]

    assert found_problems(None, services=services) == []


def test_what_manifests_of_all_services_bring_has_a_bound():
    """One ConfigMap counts for each service that reads it: it is held as often."""
    data = {"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n#" + "x" * 400_000}
    found = {("ConfigMap", "m"): {**READABLE, "data": data}}

    def of_services(count):
        services = [a_service(f"s{i}", manifests={"configMap": "m"}) for i in range(count)]
        tests = [a_test(scenario=[{"expect": ["true"]}])]
        problems = found_problems(found, services=services, tests=tests)
        return [each for each in problems if "has a ConfigMap of that name too" not in each]

    assert of_services(10) == []
    assert of_services(12) == [
        "spec.services[10].manifests: brings the run to more than 4 MiB of YAML in all. Make"
        " several runs of it."
    ]


@pytest.mark.parametrize("metadata", ["", "metadata: x", "metadata: [a]"])
def test_a_bare_pod_of_any_shape_that_a_fault_would_take_away_is_told(metadata):
    controller = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {}}"
    inline = f"{controller}\n---\napiVersion: v1\nkind: Pod\n{metadata}\nspec: {{containers: []}}"
    services = [a_service("orders", manifests={"inline": inline})]
    tests = [a_test(scenario=[{"expect": ["true"]}])]

    problems = found_problems(services=services, tests=tests, faults=[a_fault(kill={})])

    assert any("nothing would bring back pod" in each for each in problems)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"a/b": "\\ud800"}',
    ],
    ids=["a-list", "no-json", "half-a-character"],
)
def test_a_file_that_cannot_be_one_of_snapshots_is_told(text):
    tests = [a_test(scenario=[{"expect": ["true"]}])]
    found = {("ConfigMap", "m"): {**READABLE, "data": {"a.json": text}}}

    (problem,) = found_problems(found, tests=tests, snapshots={"configMap": "m"})

    assert 'spec.snapshots.configMap["a.json"]: holds no snapshots.' in problem


@pytest.mark.parametrize("levels", [200, 985, 9000])
def test_a_file_of_snapshots_that_are_too_deep_is_told_as_such(levels):
    tests = [a_test(scenario=[{"expect": ["true"]}])]
    text = f'{{"a/b": {"[" * levels}{"]" * levels}}}'
    found = {("ConfigMap", "m"): {**READABLE, "data": {"a.json": text}}}

    assert found_problems(found, tests=tests, snapshots={"configMap": "m"}) == [
        'spec.snapshots.configMap["a.json"]: is nested more than 128 levels deep.'
        " Compare smaller parts of what is answered."
    ]


def test_what_was_meant_is_not_looked_for_among_thousands():
    assert did_you_mean("timout", ["timeout", "test"]) == "Did you mean timeout?"
    many = [f"{number:04}{'a' * 180}" for number in range(1000)]
    assert did_you_mean("b" + "a" * 180, many).startswith("There are: 0000a")


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("web", "service web has no port 80. Give it ports; where it is made from manifests, by a"
         " Service of this name. There are: app, frontend."),
        ("wev", "no service of this run is named 'wev'. There are: app, frontend."),
        ("fronted", "no service of this run is named 'fronted'. Did you mean frontend?"),
    ],
)  # fmt: skip
def test_services_that_nothing_answers_for_are_not_suggested(host, told):
    inline = "{apiVersion: v1, kind: Service, metadata: {name: frontend}, spec: {ports: []}}"
    services = [a_service("app"), a_service("web", manifests={"inline": inline})]
    tests = [a_test(scenario=[{"http": {"get": f"http://{host}/"}}])]

    problems = found_problems(services=services, tests=tests)

    assert problems == [f"spec.tests[0].scenario[0].http.get: {told}"]


def test_services_of_manifests_are_hosts():
    inline = "{apiVersion: v1, kind: Service, metadata: {name: orders}, spec: {ports: []}}"

    assert found_problems(services=[a_service("a", manifests={"inline": inline})]) == []


@pytest.mark.parametrize(
    "url",
    [
        *("http://{{ host }}/x", "{{ url }}", "http://orders:{{ port }}/", "https://example.com/"),
        *("http://10.0.0.1/", "http://[::1]:8080/", "http://orders.itr-x.svc:80/"),
    ],
)
def test_addresses_that_may_be_right_are_left_alone(url):
    assert found_problems(tests=[a_test(scenario=[a_step(http={"get": url})])]) == []


@pytest.mark.parametrize("key", ["pytest.ini", "flow_test.py", "orders.yaml"])
def test_a_suite_may_call_its_tests_what_it_likes(key):
    found = {("ConfigMap", "suite"): {**READABLE, "data": {key: ""}}}

    assert found_problems(found, tests=[a_test(pytest={"configMap": "suite"})]) == []


def test_a_suite_may_start_a_fault_that_no_step_starts():
    fault = a_fault(when={"manual": {}})

    assert found_problems({("ConfigMap", "suite"): SUITE}, faults=[fault]) != []
    assert (
        found_problems(
            {("ConfigMap", "suite"): SUITE},
            faults=[fault],
            tests=[a_test(pytest={"configMap": "suite"})],
        )
        == []
    )


def test_a_step_in_a_branch_may_start_a_fault():
    step = {"parallel": [{"steps": [{"fault": {"start": "lose-an-orders-pod"}}]}]}

    assert (
        found_problems(faults=[a_fault(when={"manual": {}})], tests=[a_test(scenario=[step])]) == []
    )


def test_what_the_cluster_allows_decides():
    ceiling = FaultCeiling(kinds=frozenset({"restart"}))
    limits = Limits(frozenset({PodSecurity.BASELINE}), ceiling)

    found = found_problems(limits=limits, podSecurity="baseline", faults=[a_fault()])

    assert found == [
        "spec.faults[0].kill: is not allowed on this cluster. Allowed is: restart; the Helm value"
        " faults.kinds decides."
    ]


def test_a_diamond_of_dependencies_is_no_circle():
    services = [
        a_service("orders", dependsOn=["a", "b"]),
        a_service("a", dependsOn=["db"]),
        a_service("b", dependsOn=["db"]),
        a_service("db"),
    ]

    assert found_problems(services=services) == []


def test_the_run_document_must_fit_into_a_configmap():
    body = {"http": {"post": "http://orders:8080", "body": "x" * 60_000}}
    tests = [a_test("a", scenario=[body] * 16)]

    [problem] = found_problems(tests=tests)
    assert re.fullmatch(
        r"spec\.tests: has 9\d\d KiB, more than 900 KiB\. Make several runs of it\.", problem
    )


def test_without_a_cluster_it_is_said_what_a_gateway_cannot_carry():
    ports = ", ".join(f"{{name: {'p' * 600}{n}, port: {n}}}" for n in range(1, 201))
    spec = f"{{selector: {{a: b}}, ports: [{ports}]}}"
    inline = f"{{apiVersion: v1, kind: Service, metadata: {{name: orders}}, spec: {spec}}}"
    services = [a_service("orders", manifests={"inline": inline})]
    faults = [
        a_fault(target={"service": "orders"}, latency={"delay": "1s"}, **{"for": "5s"}),
    ]
    message = "spec.faults: have targets with more ports and sources than a gateway can carry."

    problems = found_problems(None, services=services, faults=faults)
    assert f"{message} Make several runs of it." in problems


def test_the_first_problem_is_told_and_the_others_are_counted():
    run = parse_run(a_run(podSecurity="baseline", faults=[a_fault(when={"manual": {}})]))

    message = one_message(validate(run.spec, None, Limits()))

    assert message.startswith("spec.podSecurity: baseline is not allowed on this cluster.")
    assert message.endswith("(and 1 more)")


@pytest.mark.parametrize(
    "when", [{"after": "6m"}, {"every": "2m", "times": 4}], ids=["after", "times"]
)
def test_each_combination_of_a_matrix_has_the_time_of_its_test(when):
    test = a_test("a", timeout="5m", matrix={"sku": ["A1", "B2"]})
    faults = [a_fault(kill={}, when={"test": "a", **when})]
    assert found_problems(tests=[test], faults=faults) == []
    [problem] = found_problems(tests=[{**test, "matrix": {}}], faults=faults)
    assert "as long as test a may take (5m)" in problem
    assert problem.endswith("or raise timeout of test a.")
