"""What becomes of a user's manifests; what is refused is in tests/control_plane/wrong."""

import pytest
import yaml
from seatrial.api import names
from seatrial.api.errors import InvalidSpecError
from seatrial.plan.documents import MAX_DOCUMENTS
from seatrial.plan.manifests import ALLOWED_KINDS, confine, contents, problems, read_manifests
from seatrial.plan.naming import volume_name

from localcluster.policies import selects

LABELS = {names.LABEL_RUN_UID: "u-1", names.MANAGED_BY: names.MANAGED_BY_VALUE}
FIELD = "spec.services[0].manifests"
POD = {"containers": [{"name": "web", "image": "web:1"}]}


def confined(*documents):
    return confine(documents, service="web", namespace="itr-a-1", labels=LABELS, field=FIELD)


def a_workload(kind, **pod):
    spec = {**POD, **pod}
    if kind != "Pod":
        selector = {"matchLabels": {"app": "web"}}
        spec = {
            "selector": selector,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        }
    return {
        "apiVersion": ALLOWED_KINDS[kind],
        "kind": kind,
        "metadata": {"name": "web"},
        "spec": spec,
    }


def pod_of(document):
    template = document if document["kind"] == "Pod" else document["spec"]["template"]
    return template["metadata"]["labels"], template["spec"]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job", "Pod"])
def test_pods_run_without_rights_and_carry_the_runs_labels(kind):
    given = a_workload(kind, serviceAccountName="default", serviceAccount="default")

    (document,) = confined(given)
    labels, pod = pod_of(document)

    assert pod["serviceAccountName"] == names.WORKLOAD_ACCOUNT
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccount" not in pod
    assert labels[names.LABEL_RUN_UID] == "u-1"
    assert labels[names.LABEL_SERVICE] == "web"
    assert kind == "Pod" or labels["app"] == "web"


def test_a_token_that_was_asked_for_is_not_mounted():
    (document,) = confined(a_workload("Deployment", automountServiceAccountToken=True))

    assert pod_of(document)[1]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret", "Service", "PersistentVolumeClaim"])
def test_every_object_is_put_into_the_runs_namespace(kind):
    given = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "web"}, "spec": {"a": 1}}
    given["metadata"] |= {"labels": {"app": "web"}, "annotations": {"a": "b"}, "uid": "u"}

    (document,) = confined({**given, "status": {"a": 1}})

    assert document["metadata"] == {
        "name": "web",
        "namespace": "itr-a-1",
        "labels": {
            "app": "web",
            **LABELS,
            names.LABEL_COMPONENT: names.COMPONENT_SERVICE,
            names.LABEL_SERVICE: "web",
        },
        "annotations": {"a": "b"},
    }
    assert "status" not in document


def test_labels_that_selectors_rely_on_are_the_users():
    given = a_workload("Deployment")
    given["spec"]["template"]["metadata"]["labels"][names.MANAGED_BY] = "kustomize"

    (document,) = confined(given)

    assert pod_of(document)[0][names.MANAGED_BY] == "kustomize"


def test_what_was_given_is_not_changed():
    given = a_workload("Deployment", serviceAccount="default")
    before = yaml.safe_dump(given)

    confined(given)

    assert yaml.safe_dump(given) == before


def test_every_refusal_is_told_at_once():
    hostile = a_workload(
        "Pod", hostNetwork=True, nodeName="n", volumes=[{"name": "a", "hostPath": {"path": "/"}}]
    )

    with pytest.raises(InvalidSpecError) as caught:
        confined(hostile, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "x"}})

    assert len(caught.value.problems) == 4


@pytest.mark.parametrize(
    "shape", [None, 5, "text", [], ["text"], {"containers": "no"}, {"volumes": [5]}]
)
@pytest.mark.parametrize("kind", ALLOWED_KINDS)
def test_an_object_of_an_odd_shape_is_refused_or_left_to_the_api_server(kind, shape):
    document = {"apiVersion": ALLOWED_KINDS[kind], "kind": kind, "metadata": {"name": "a"}}

    for spec in (shape, {"template": shape}, {"template": {"spec": shape, "metadata": shape}}):
        given = {**document, "spec": spec}
        if not problems([given], FIELD):
            confined(given)
        contents([given])


OURS = [
    {**LABELS, names.LABEL_COMPONENT: component}
    for component in (
        names.COMPONENT_CONDUCTOR, names.COMPONENT_GATEWAY, names.COMPONENT_TEST
    )
]  # fmt: skip


@pytest.mark.parametrize(
    "selector",
    [
        {"app": "web"},
        {names.MANAGED_BY: names.MANAGED_BY_VALUE},
        {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY},
        {names.LABEL_COMPONENT: names.COMPONENT_CONDUCTOR, names.LABEL_RUN_UID: "u-1"},
    ],
)
def test_a_service_leads_to_the_system_under_test_and_to_nothing_of_ours(selector):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}

    (document,) = confined({**service, "spec": {"selector": selector}})

    wanted = {"matchLabels": document["spec"]["selector"]}
    assert [labels for labels in OURS if selects(wanted, labels)] == []


@pytest.mark.parametrize(
    "selector",
    [
        {"matchLabels": {names.MANAGED_BY: names.MANAGED_BY_VALUE}},
        {"matchLabels": {names.LABEL_COMPONENT: names.COMPONENT_CONDUCTOR}},
        {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
        {"matchExpressions": [{"key": names.LABEL_RUN_UID, "operator": "Exists"}]},
    ],
)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "Job"])
def test_a_workload_adopts_no_pod_of_ours(kind, selector):
    given = a_workload(kind)
    given["spec"]["selector"] = selector

    (document,) = confined(given)

    assert [each for each in OURS if selects(document["spec"]["selector"], each)] == []


def test_a_service_without_a_selector_stays_without_one():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}

    for selector in ({}, None):
        (document,) = confined({**service, "spec": {"selector": selector}})
        assert document["spec"]["selector"] == selector


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"apiVersion": "v1", "kind": "Service", "metadata": {"name": names.GATEWAY},
          "spec": {"selector": {"app": "web"}}}, "metadata.name"),
        ({"apiVersion": "v1", "kind": "Service",
          "metadata": {"name": names.direct_service("web")}, "spec": {"a": 1}}, "metadata.name"),
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": names.GATEWAY}},
         "metadata.name"),
        (a_workload("Pod", volumes=[{"name": "a", "secret": {"secretName": names.GATEWAY}}]),
         "spec.volumes[0].secret"),
        (a_workload("Pod", volumes=[{"name": "a", "persistentVolumeClaim":
                                     {"claimName": volume_name("db", 0)}}]),
         "spec.volumes[0].persistentVolumeClaim.claimName"),
        (a_workload("Pod", containers=[{"name": "a", "envFrom": [
            {"secretRef": {"name": names.GATEWAY}}]}]),
         "spec.containers[0].envFrom[0].secretRef"),
        (a_workload("Pod", ephemeralContainers=[{"name": "seatrial-agent-1"}]),
         "spec.ephemeralContainers"),
    ],
)  # fmt: skip
def test_what_is_ours_can_be_neither_replaced_nor_used(document, where):
    (problem,) = problems([document], FIELD)

    assert problem.field.endswith(where)


def test_a_pod_cannot_pass_for_the_gateway():
    given = a_workload("Pod")
    given["metadata"]["labels"] = {names.LABEL_COMPONENT: names.COMPONENT_GATEWAY}

    (problem,) = problems([given], FIELD)

    assert problem.field.endswith("metadata.labels")


def test_contents_are_what_the_gate_waits_for_and_where_requests_go():
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web-http"}}
    service["spec"] = {"ports": [{"name": "http", "port": 80}, {"port": 9090}]}

    found = contents([a_workload("StatefulSet"), service])

    assert found.hosts == ("web-http",)
    assert found.ports == ({"name": "http", "port": 80}, {"name": "9090", "port": 9090})
    assert found.workloads == ({"kind": "StatefulSet", "name": "web"},)


def test_yaml_is_read_as_kubernetes_reads_it():
    text = "a: 2026-11-20\nb: 12:30\nc: 0644\nd: 1e3\ne: yes\nf: ~\ng: '5'\nh: &x {i: 1}\nj: *x\n"

    (document,) = read_manifests({"inline": text}, FIELD)

    assert document == {
        **{"a": "2026-11-20", "b": "12:30", "c": 420, "e": True, "f": None, "g": "5"},
        **{"d": document["d"], "h": {"i": 1}, "j": {"i": 1}},
    }


def test_documents_of_several_keys_come_in_order_and_empty_ones_do_not_count():
    texts = {"a.yaml": "---\na: 1\n---\n---\na: 2\n", "b.yaml": "a: 3"}

    assert read_manifests(texts, FIELD) == [{"a": 1}, {"a": 2}, {"a": 3}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n---\n" * (MAX_DOCUMENTS + 1), "has 65 objects, more than 64"),
        ("a: " + "x" * 600_000, "has more than 512 KiB of YAML"),
        ("[" * 100_000, "is nested more than 64 levels deep"),
        ("a: " + "9" * 5000, "or a number that is too long. .* put the number into quotes.$"),
        # Read at once, but too long to be written as a decimal.
        ("a: 0x" + "f" * 4000, "has a whole number of more than 64 bits"),
        ("a: !!binary x", "has a tag that does not fit its value|is not YAML"),
        *(
            (f"a: !!{tag}", "has a tag that does not fit its value")
            for tag in (
                "bool x",
                "int ''",
                "float ''",
                "timestamp x",
                "float 1" + ":1" * 200 + ".5",
            )
        ),
        ("a: !!timestamp 2026-11-20", "has a value of YAML type date"),
    ],
)
def test_what_would_be_too_much_is_refused_before_it_is_read(text, message):
    with pytest.raises(InvalidSpecError, match=message):
        read_manifests({"inline": text}, FIELD)


GROWS = "a: &a [" + "x," * 99 + "x]\nb: [" + "*a," * 99 + "*a]\n---\n"  # to 10,000 values


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([GROWS * 6], "has more than 50000 values"),
        ([GROWS] * 6, "has more than 50000 values"),
        (["a: &a " + "x" * 20_000 + "\nb: [" + "*a," * 60 + "]"], "more than 1024 KiB of text"),
    ],
    ids=["in-several-documents", "in-several-texts", "a-long-text"],
)
def test_what_aliases_make_of_it_counts_for_all_documents_together(texts, message):
    with pytest.raises(InvalidSpecError, match=message):
        read_manifests({f"{number}.yaml": text for number, text in enumerate(texts)}, FIELD)
