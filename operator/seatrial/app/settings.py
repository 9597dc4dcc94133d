"""
The operator's settings, read from environment variables once, at start.

=============================  =====================  ============================================
variable                       default                meaning
=============================  =====================  ============================================
SEATRIAL_RUNNER_IMAGE          (required)             image of the conductor, the gate and pytest
SEATRIAL_RUNNER_PULL_POLICY    IfNotPresent           its imagePullPolicy
SEATRIAL_AGENT_IMAGE           (none)                 image of faults inside pods
SEATRIAL_ENVOY_IMAGE           (none)                 image of HTTP faults
SEATRIAL_PRESET_IMAGES         see presets            JSON: {"postgres": "postgres:17", ...}
SEATRIAL_PRESET_REGISTRY       (none)                 registry, and path, that all of these images
                                                      are pulled from
SEATRIAL_IMAGE_PULL_SECRETS    (none)                 names, comma-separated: Secrets copied from
                                                      the run's own namespace, labelled
                                                      seatrial.dev/readable-by=runs
SEATRIAL_POD_SECURITY_LEVELS   restricted             levels a run may ask for, comma-separated
SEATRIAL_FAULT_KINDS           all                    kinds a run may declare, comma-separated;
                                                      none
SEATRIAL_FAULT_MAX_DURATION    1h                     longest time of a fault
SEATRIAL_FAULT_MAX_PODS        100%                   largest share of a service's pods
SEATRIAL_FAULT_DELEGATED       (none)                 GROUP/VERSION/KIND of other chaos tools,
                                                      comma-separated
SEATRIAL_MAX_CONCURRENT_RUNS   20                     runs outside the queue at a time
SEATRIAL_MAX_TIMEOUT           4h                     longest spec.timeout
SEATRIAL_READ_SECRETS          true                   whether runs may refer to Secrets at all
SEATRIAL_QUOTA                 see PlanSettings       JSON: spec.hard of each run's ResourceQuota
SEATRIAL_LIMITS                see PlanSettings       JSON: {"default": {...}, "defaultRequest":
                                                      {...}} of each run's LimitRange
SEATRIAL_API_SERVER_PORTS      443,6443               ports of the API server in the NetworkPolicies
                                                      of runs, comma-separated
SEATRIAL_API_SERVER_CIDRS      (any)                  its addresses there, comma-separated
SEATRIAL_DNS_NAMESPACES        kube-system            where the pods of DNS are, comma-separated
SEATRIAL_DNS_PORTS             53                     ports that they listen on, comma-separated
SEATRIAL_DNS_CIDRS             169.254.0.0/16         addresses beside these pods that answer as
                                                      well, comma-separated; none
SEATRIAL_NAMESPACE             (required)             namespace of the Lease: the operator's own
SEATRIAL_LEASE                 seatrial-operator      name of the Lease
SEATRIAL_IDENTITY              host name              holder written into the Lease: the pod's name
SEATRIAL_HTTP_PORT             8080                   /healthz, /readyz and /metrics
SEATRIAL_LOG_LEVEL             INFO                   DEBUG, INFO, WARNING or ERROR
SEATRIAL_LOG_FORMAT            json                   json or text
=============================  =====================  ============================================

An empty variable counts as not given, so that a chart may always set them all.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TypeVar

from seatrial.api.duration import parse_duration
from seatrial.api.families import KINDS
from seatrial.api.services import Preset
from seatrial.plan.presets import PresetImages
from seatrial.plan.settings import ClusterNetwork, FaultCeiling, PlanSettings

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_LOG_FORMATS = ("json", "text")
_POD_SECURITY_LEVELS = ("restricted", "baseline", "privileged")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Settings:
    """All settings of one operator process."""

    plan: PlanSettings
    namespace: str
    identity: str
    lease: str = "seatrial-operator"
    http_port: int = 8080
    log_level: str = "INFO"
    log_format: str = "json"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """
    Read the settings from environment variables.

    Raises:
        ValueError: A variable is missing or cannot be used; the message names it.
    """
    env = _Variables(environ)
    defaults = PlanSettings(runner_image="")
    return Settings(
        plan=PlanSettings(
            runner_image=env.required("RUNNER_IMAGE"),
            runner_pull_policy=env.one_of(
                "RUNNER_PULL_POLICY", defaults.runner_pull_policy, _PULL_POLICIES
            ),
            agent_image=env.text("AGENT_IMAGE"),
            envoy_image=env.text("ENVOY_IMAGE"),
            presets=PresetImages(
                images=env.convert("PRESET_IMAGES", _preset_images) or {},
                registry=env.text("PRESET_REGISTRY"),
            ),
            image_pull_secrets=env.names("IMAGE_PULL_SECRETS", ()),
            pod_security_levels=env.names(
                "POD_SECURITY_LEVELS", defaults.pod_security_levels, _POD_SECURITY_LEVELS
            ),
            faults=_faults(env, defaults.faults),
            network=_network(env, defaults.network),
            max_concurrent_runs=env.number("MAX_CONCURRENT_RUNS", defaults.max_concurrent_runs),
            max_timeout=env.convert("MAX_TIMEOUT", parse_duration) or defaults.max_timeout,
            quota=env.convert("QUOTA", _quota) or defaults.quota,
            limits=env.convert("LIMITS", _limits) or defaults.limits,
            read_secrets=env.one_of("READ_SECRETS", "true", ("true", "false")) == "true",
        ),
        namespace=env.required("NAMESPACE"),
        identity=env.text("IDENTITY") or socket.gethostname(),
        lease=env.text("LEASE") or "seatrial-operator",
        http_port=env.number("HTTP_PORT", 8080, least=0),
        log_level=env.one_of("LOG_LEVEL", "INFO", _LOG_LEVELS),
        log_format=env.one_of("LOG_FORMAT", "json", _LOG_FORMATS),
    )


def _faults(env: _Variables, default: FaultCeiling) -> FaultCeiling:
    kinds = env.names("FAULT_KINDS", KINDS, (*KINDS, "none"))
    return FaultCeiling(
        kinds=frozenset(kinds) - {"none"},
        max_duration=env.convert("FAULT_MAX_DURATION", parse_duration) or default.max_duration,
        max_pods=env.convert("FAULT_MAX_PODS", _percent) or default.max_pods,
        delegated=frozenset(env.names("FAULT_DELEGATED", ())),
    )


def _network(env: _Variables, default: ClusterNetwork) -> ClusterNetwork:
    no_cidrs = env.text("DNS_CIDRS") == "none"
    return ClusterNetwork(
        api_server_ports=env.each("API_SERVER_PORTS", default.api_server_ports, _port),
        api_server_cidrs=env.each("API_SERVER_CIDRS", default.api_server_cidrs, _cidr),
        dns_namespaces=env.each("DNS_NAMESPACES", default.dns_namespaces, _namespace),
        dns_ports=env.each("DNS_PORTS", default.dns_ports, _port),
        dns_cidrs=() if no_cidrs else env.each("DNS_CIDRS", default.dns_cidrs, _cidr),
    )


@dataclass(frozen=True)
class _Variables:
    environ: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.environ.get(f"SEATRIAL_{name}", "").strip()

    def required(self, name: str) -> str:
        value = self.text(name)
        if not value:
            raise ValueError(f"SEATRIAL_{name} is not set")
        return value

    def one_of(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name) or default
        if value not in allowed:
            raise ValueError(f"SEATRIAL_{name}={value}: use one of {', '.join(allowed)}")
        return value

    def names(
        self, name: str, default: tuple[str, ...], allowed: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        given = tuple(part.strip() for part in self.text(name).split(",") if part.strip())
        for each in given:
            if allowed and each not in allowed:
                raise ValueError(f"SEATRIAL_{name}: {each} is not one of {', '.join(allowed)}")
        return given or default

    def number(self, name: str, default: int, *, least: int = 1) -> int:
        value = self.text(name)
        if not value:
            return default
        if not value.isdecimal() or int(value) < least:
            raise ValueError(f"SEATRIAL_{name}={value}: use a whole number of at least {least}")
        return int(value)

    def convert(self, name: str, convert: Callable[[str], _T]) -> _T | None:
        value = self.text(name)
        if not value:
            return None
        try:
            return convert(value)
        except ValueError as error:
            raise ValueError(f"SEATRIAL_{name}: {error}") from error

    def each(
        self, name: str, default: tuple[_T, ...], convert: Callable[[str], _T]
    ) -> tuple[_T, ...]:
        def converted(text: str) -> tuple[_T, ...]:
            return tuple(convert(part.strip()) for part in text.split(","))

        return self.convert(name, converted) or default


def _percent(text: str) -> int:
    number = text.removesuffix("%")
    if not number.isdecimal() or not 1 <= int(number) <= 100:
        raise ValueError(f"{text}: use a share from 1% to 100%")
    return int(number)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is no port from 1 to 65535")
    return int(text)


def _cidr(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"{text!r} is no range of addresses, such as 10.0.0.0/24") from None


def _namespace(text: str) -> str:
    if not re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", text):
        raise ValueError(f"{text!r} is no name of a namespace")
    return text


def _preset_images(text: str) -> dict[str, str]:
    value = json.loads(text)
    known = set(Preset)
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError('use an object of images, such as {"postgres": "postgres:17"}')
    if unknown := sorted(value.keys() - known):
        raise ValueError(f"{unknown[0]} is no preset; there are {', '.join(sorted(known))}")
    return {name: image for name, image in value.items() if image}


def _quota(text: str) -> dict[str, str]:
    return _amounts(json.loads(text))


def _limits(text: str) -> dict[str, dict[str, str]]:
    value = json.loads(text)
    if not isinstance(value, dict) or value.keys() - {"default", "defaultRequest", "max", "min"}:
        raise ValueError('use {"default": {...}, "defaultRequest": {...}}, also max and min')
    return {name: _amounts(amounts) for name, amounts in value.items()}


def _amounts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError('use an object of quantities, such as {"cpu": "2"}')
    return {str(name): str(amount) for name, amount in value.items()}
