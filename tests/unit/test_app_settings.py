"""Settings from variables."""

from datetime import timedelta

import pytest
from seatrial.app.settings import read_settings
from seatrial.plan.presets import PresetImages
from seatrial.plan.settings import ClusterNetwork, FaultCeiling

NEEDED = {"SEATRIAL_RUNNER_IMAGE": "runner:1", "SEATRIAL_NAMESPACE": "seatrial-system"}


def test_what_is_not_given_has_a_default():
    settings = read_settings(NEEDED)
    assert settings.plan.runner_image == "runner:1"
    assert settings.plan.max_concurrent_runs == 20
    assert settings.plan.pod_security_levels == ("restricted",)
    assert settings.plan.network == ClusterNetwork()
    assert settings.identity


def test_an_empty_variable_counts_as_not_given():
    empty = dict.fromkeys(
        ["SEATRIAL_QUOTA", "SEATRIAL_MAX_TIMEOUT", "SEATRIAL_HTTP_PORT", "SEATRIAL_LOG_LEVEL"], " "
    )
    given = {**NEEDED, **empty, "SEATRIAL_IDENTITY": "one"}
    assert read_settings(given) == read_settings({**NEEDED, "SEATRIAL_IDENTITY": "one"})


def test_everything_can_be_given():
    settings = read_settings(
        {
            **NEEDED,
            "SEATRIAL_IMAGE_PULL_SECRETS": "a, b",
            "SEATRIAL_POD_SECURITY_LEVELS": "restricted,baseline",
            "SEATRIAL_FAULT_KINDS": "kill,latency",
            "SEATRIAL_FAULT_MAX_DURATION": "5m",
            "SEATRIAL_FAULT_MAX_PODS": "50%",
            "SEATRIAL_FAULT_DELEGATED": "chaos-mesh.org/v1alpha1/PodChaos",
            "SEATRIAL_MAX_CONCURRENT_RUNS": "3",
            "SEATRIAL_MAX_TIMEOUT": "90m",
            "SEATRIAL_READ_SECRETS": "false",
            "SEATRIAL_QUOTA": '{"pods": 5}',
            "SEATRIAL_LIMITS": '{"default": {"memory": "1Gi"}}',
            "SEATRIAL_API_SERVER_PORTS": "443, 16443",
            "SEATRIAL_API_SERVER_CIDRS": "10.0.0.0/24,fd00::/64",
            "SEATRIAL_DNS_NAMESPACES": "openshift-dns",
            "SEATRIAL_DNS_PORTS": "53,5353",
            "SEATRIAL_DNS_CIDRS": "10.96.0.10/32",
            "SEATRIAL_HTTP_PORT": "9",
            "SEATRIAL_LOG_FORMAT": "text",
        }
    )
    assert settings.plan.image_pull_secrets == ("a", "b")
    assert settings.plan.faults == FaultCeiling(
        kinds=frozenset({"kill", "latency"}),
        max_duration=timedelta(minutes=5),
        max_pods=50,
        delegated=frozenset({"chaos-mesh.org/v1alpha1/PodChaos"}),
    )
    assert settings.plan.max_timeout == timedelta(minutes=90)
    assert settings.plan.quota == {"pods": "5"}
    assert settings.plan.limits == {"default": {"memory": "1Gi"}}
    assert settings.plan.network == ClusterNetwork(
        api_server_ports=(443, 16443),
        api_server_cidrs=("10.0.0.0/24", "fd00::/64"),
        dns_namespaces=("openshift-dns",),
        dns_ports=(53, 5353),
        dns_cidrs=("10.96.0.10/32",),
    )
    assert (settings.plan.read_secrets, settings.http_port, settings.log_format) == (
        False, 9, "text"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RUNNER_IMAGE", ""),
        ("NAMESPACE", ""),
        ("RUNNER_PULL_POLICY", "Sometimes"),
        ("POD_SECURITY_LEVELS", "restricted,open"),
        ("FAULT_KINDS", "kill,meteor"),
        ("FAULT_MAX_DURATION", "long"),
        ("FAULT_MAX_PODS", "0%"),
        ("FAULT_MAX_PODS", "half"),
        ("MAX_CONCURRENT_RUNS", "0"),
        ("MAX_CONCURRENT_RUNS", "many"),
        ("MAX_TIMEOUT", "4 hours"),
        ("READ_SECRETS", "yes"),
        ("QUOTA", "{"),
        ("QUOTA", "[]"),
        ("LIMITS", '{"maximum": {}}'),
        ("LIMITS", '{"default": 1}'),
        ("API_SERVER_PORTS", "https"),
        ("API_SERVER_PORTS", "443,65536"),
        ("API_SERVER_PORTS", ","),  # no port at all would be every port
        ("API_SERVER_CIDRS", "10.0.0.0/33"),
        ("DNS_NAMESPACES", "Kube System"),
        ("DNS_NAMESPACES", "a" * 64),
        ("DNS_PORTS", "0"),
        ("DNS_PORTS", "none"),
        ("DNS_CIDRS", "169.254.0.0/16,kube-dns"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_what_cannot_be_used_is_named(name, value):
    with pytest.raises(ValueError, match=f"SEATRIAL_{name}"):
        read_settings({**NEEDED, f"SEATRIAL_{name}": value})


def test_images_of_presets_can_be_given():
    images = '{"postgres": "postgres:16", "redis": ""}'
    given = {"SEATRIAL_PRESET_IMAGES": images, "SEATRIAL_PRESET_REGISTRY": "mirror.example"}
    assert read_settings({**NEEDED, **given}).plan.presets == PresetImages(
        {"postgres": "postgres:16"}, "mirror.example"
    )
    with pytest.raises(ValueError, match="SEATRIAL_PRESET_IMAGES: oracle is no preset; there are"):
        read_settings({**NEEDED, "SEATRIAL_PRESET_IMAGES": '{"oracle": "x"}'})


def test_names_may_come_from_pods_alone():
    assert read_settings({**NEEDED, "SEATRIAL_DNS_CIDRS": "none"}).plan.network.dns_cidrs == ()


def test_a_range_of_addresses_is_told_without_the_bits_of_a_host():
    given = {**NEEDED, "SEATRIAL_API_SERVER_CIDRS": "10.0.0.7/24"}
    assert read_settings(given).plan.network.api_server_cidrs == ("10.0.0.0/24",)
