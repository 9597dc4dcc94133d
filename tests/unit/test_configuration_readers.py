"""When pods of manifests see that a ConfigMap or Secret has changed."""

from __future__ import annotations

from typing import Any

import pytest
from seatrial.api.spec import Service
from seatrial.plan.configuration import Source, sources
from seatrial.plan.parts import Part

MOUNTED = [{"name": "v", "mountPath": "/etc/app"}]
AT_SUBPATH = [{"name": "v", "mountPath": "/etc/app/a.yaml", "subPath": "a.yaml"}]
OF_A_CONFIGMAP = [{"name": "v", "configMap": {"name": "settings"}}]
PROJECTED = [{"name": "v", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}]
ENV = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]
ENV_FROM = [{"configMapRef": {"name": "settings"}}]


def read(kind: str = "ConfigMap", **pod: Any) -> str:
    return source(kind, **pod).read


def source(kind: str = "ConfigMap", *, immutable: bool = False, **pod: Any) -> Source:
    own = {"kind": kind, "metadata": {"name": "settings"}, "immutable": immutable}
    deployment = {"kind": "Deployment", "spec": {"template": {"spec": pod}}}
    service = Service.model_validate({"name": "orders", "manifests": {"inline": "x"}})
    return sources([Part(service, [own, deployment])], None)[kind, "settings"]


@pytest.mark.parametrize(
    ("pod", "when"),
    [
        ({"containers": [{"env": ENV}]}, "atStart"),
        ({"containers": [{"envFrom": ENV_FROM}]}, "atStart"),
        ({"containers": [{"volumeMounts": AT_SUBPATH}], "volumes": OF_A_CONFIGMAP}, "atStart"),
        ({"containers": [{"volumeMounts": MOUNTED}], "volumes": OF_A_CONFIGMAP}, "anytime"),
        ({"containers": [{"volumeMounts": MOUNTED}], "volumes": PROJECTED}, "anytime"),
        ({"containers": [{"volumeMounts": AT_SUBPATH}], "volumes": PROJECTED}, "atStart"),
        ({"initContainers": [{"volumeMounts": MOUNTED}], "volumes": OF_A_CONFIGMAP}, "atStart"),
        (
            {
                "initContainers": [{"volumeMounts": MOUNTED, "restartPolicy": "Always"}],
                "volumes": OF_A_CONFIGMAP,
            },
            "anytime",
        ),
        (
            {
                "containers": [{"env": ENV}, {"volumeMounts": MOUNTED}],
                "volumes": OF_A_CONFIGMAP,
            },
            "anytime",
        ),
        ({"containers": [{}]}, "anytime"),  # who reads it, if not by the API at any time
        ({"containers": "nonsense", "volumes": [1]}, "anytime"),
    ],
)
def test_what_is_read_at_the_start_of_pods_only(pod: Any, when: str) -> None:
    assert read(**pod) == when


@pytest.mark.parametrize(
    ("volumes", "stays"),
    [
        (OF_A_CONFIGMAP, True),
        ([{"name": "v", "configMap": {"name": "settings", "optional": False}}], True),
        ([{"name": "v", "configMap": {"name": "settings", "optional": True}}], False),
        (PROJECTED, True),
        (
            [
                {
                    "name": "v",
                    "projected": {
                        "sources": [{"configMap": {"name": "settings", "optional": True}}]
                    },
                }
            ],
            False,
        ),
        ([], False),  # nobody reads it
    ],
)
def test_what_running_pods_keep_when_it_is_gone(volumes: Any, stays: bool) -> None:
    pod = {"containers": [{"volumeMounts": MOUNTED}], "volumes": volumes}
    found = source(**pod)
    assert (found.read, found.stays) == ("anytime", stays)


def test_what_is_immutable_is_read_at_the_start_also_where_it_may_be_missing() -> None:
    volumes = [{"name": "v", "configMap": {"name": "settings", "optional": True}}]
    pod = {"containers": [{"volumeMounts": MOUNTED}], "volumes": volumes}
    assert source(immutable=True, **pod).read == "atStart"
    assert source(immutable=True, containers=[{}]).read == "anytime"


def test_secrets_are_told_from_configmaps() -> None:
    of_a_secret = [{"name": "v", "secret": {"secretName": "settings"}}]
    there = {"containers": [{"env": ENV, "volumeMounts": MOUNTED}], "volumes": of_a_secret}
    assert (read("Secret", **there), read("ConfigMap", **there)) == ("anytime", "atStart")
    at_start = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "settings", "key": "a"}}}]
    assert read("Secret", containers=[{"env": at_start}]) == "atStart"


def test_texts_are_known_also_where_they_are_encoded() -> None:
    def texts(kind: str, **fields: Any) -> Any:
        document = {"kind": kind, "metadata": {"name": "settings"}, **fields}
        service = Service.model_validate({"name": "orders", "manifests": {"inline": "x"}})
        return sources([Part(service, [document])], None)[kind, "settings"].texts

    encoded = {"a": "c2VjcmV0", "b": "Yg==", "bytes": "/w==", "nonsense": "a", "number": 1}
    assert texts("Secret", data=encoded, stringData={"b": "c"}) == {"a": "secret", "b": "c"}
    assert texts("ConfigMap", data={"b": "c"}, binaryData={"a": "c2VjcmV0"}) == {
        "a": "secret",
        "b": "c",
    }
    assert texts("ConfigMap", data=[1], binaryData=None) == {}
