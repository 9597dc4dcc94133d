"""What a run's namespace is to hold, worked out once from the spec and what it refers to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seatrial.api import names
from seatrial.api.duration import format_duration
from seatrial.api.errors import InvalidSpecError, SpecError
from seatrial.api.journal import PortDoc, WorkloadDoc
from seatrial.api.lanes import lane_of
from seatrial.api.run import Metadata
from seatrial.api.services import PortSpec
from seatrial.api.spec import PodSecurity, RunSpec, Service, Test
from seatrial.plan.fronts import fronts_of
from seatrial.plan.gateway import GatewayPlan, plan_gateway
from seatrial.plan.manifests import confine, contents, read_manifests
from seatrial.plan.nesting import all_steps
from seatrial.plan.parts import workload_kind
from seatrial.plan.presets import Connection, connections_of, with_presets
from seatrial.plan.selection import selected
from seatrial.plan.settings import PlanSettings
from seatrial.plan.validation import Found, Limits, references, validate


@dataclass(frozen=True)
class ServicePlan:
    """A service of the system under test: what leads to it, what it waits for, what it is."""

    spec: Service
    wave: int  # 0 starts first
    hosts: tuple[str, ...]  # names of its Services; its own first
    ports: tuple[PortDoc, ...]
    workloads: tuple[WorkloadDoc, ...]
    objects: tuple[Mapping[str, Any], ...] = ()  # from manifests, confined; empty: the short form

    @property
    def name(self) -> str:
        """``spec.services[].name``."""
        return self.spec.name


@dataclass(frozen=True)
class Blueprint:
    """The part of a run that does not change once it has left the queue."""

    metadata: Metadata
    spec: RunSpec
    services: tuple[ServicePlan, ...]
    found: Found
    gateway: GatewayPlan | None = None  # if a fault needs one

    @property
    def name(self) -> str:
        """``metadata.name``."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """``metadata.namespace``: where the user keeps the run."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """``metadata.uid``."""
        return self.metadata.uid

    @property
    def environment(self) -> str:
        """Name of the run's own namespace."""
        return names.run_namespace(self.name, self.uid)

    @property
    def has_test_pods(self) -> bool:
        """Whether a test runs in pods of its own."""
        return any(test.scenario is None for test in self.spec.tests)

    def lane(self, test: Test) -> tuple[int, int]:
        """Give a test's share of unique values (``seatrial.api.lanes``)."""
        return lane_of(test.name, *self._makers)

    @cached_property
    def _makers(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Tests and scenarios as the conductor reads them."""
        tests, scenarios = (
            [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in parts]
            for parts in (self.spec.tests, self.spec.scenarios)
        )
        return tests, scenarios

    @cached_property
    def connections(self) -> tuple[Connection, ...]:
        """How to connect to its services that have a preset."""
        return connections_of(self.spec.services)

    @cached_property
    def has_webhooks(self) -> bool:
        """Whether services call scenarios back."""
        return any(step.webhook for step in all_steps(self.spec))

    @property
    def is_plain(self) -> bool:
        """Whether the conductor is the only pod, and nobody calls it."""
        return not self.services and not self.has_test_pods and not self.has_webhooks


def draw(metadata: Metadata, spec: RunSpec, found: Found, settings: PlanSettings) -> Blueprint:
    """
    Work out what a run's namespace is to hold.

    Args:
        metadata: Of the run.
        spec: Checked by ``parse_spec``.
        found: The objects of the run's namespace that it refers to (``validation.references``).
        settings: The administrator's.

    Raises:
        InvalidSpecError: The run cannot work as written.
    """
    spec = with_presets(spec, settings.presets)
    problems = [*_refused_secrets(spec, settings), *validate(spec, found, limits(settings))]
    if spec.timeout > settings.max_timeout:
        longest = format_duration(settings.max_timeout)
        problem = f"is longer than the {longest} that this cluster allows."
        problems = [*problems, SpecError("spec.timeout", problem, "Use a shorter one.")]
    if problems:
        raise InvalidSpecError(problems)
    spec = selected(spec)
    waves = _waves(spec.services)
    services = tuple(
        _service_plan(metadata, service, index, waves[service.name], found)
        for index, service in enumerate(spec.services)
    )
    fronts = {each.name: fronts_of(each.spec, each.objects) for each in services}
    gateway = plan_gateway(spec.faults, fronts)
    return Blueprint(metadata, spec, services, found, gateway)


def limits(settings: PlanSettings) -> Limits:
    """Say what runs may ask for."""
    return Limits(
        pod_security=frozenset(PodSecurity(each) for each in settings.pod_security_levels),
        faults=settings.faults,
    )


def bare(metadata: Metadata, spec: RunSpec) -> Blueprint:
    """Make a blueprint that is good for the conductor's own objects, and needs nothing else."""
    return Blueprint(metadata, selected(spec), (), {})


def _refused_secrets(spec: RunSpec, settings: PlanSettings) -> Iterator[SpecError]:
    if settings.read_secrets:
        return
    for kind, name in sorted(references(spec)):
        if kind == "Secret":
            problem = f"refers to Secret {name}, and this cluster's operator may not read Secrets."
            yield SpecError("spec", problem, "Use a ConfigMap, or env.")


def _waves(services: Sequence[Service]) -> dict[str, int]:
    """Number the services by the longest chain of dependencies below each."""
    depends = {service.name: service.depends_on or [] for service in services}
    waves: dict[str, int] = {}

    def wave(name: str) -> int:
        if name not in waves:  # validation has refused cycles
            waves[name] = max((wave(other) + 1 for other in depends[name]), default=0)
        return waves[name]

    return {name: wave(name) for name in depends}


def _service_plan(
    metadata: Metadata, service: Service, index: int, wave: int, found: Found
) -> ServicePlan:
    if service.manifests is None:
        ports = tuple(_port(each) for each in service.ports or ())
        hosts = (service.name,) if ports else ()
        workload = WorkloadDoc(kind=workload_kind(service), name=service.name)
        return ServicePlan(service, wave, hosts, ports, (workload,))
    field = f"spec.services[{index}].manifests"
    documents = read_manifests(_texts(service, found), field)
    objects = confine(
        documents,
        service=service.name,
        namespace=names.run_namespace(metadata.name, metadata.uid),
        labels=run_labels(metadata),
        field=field,
    )
    inside = contents(objects)
    return ServicePlan(service, wave, inside.hosts, inside.ports, inside.workloads, tuple(objects))


def _port(spec: PortSpec) -> PortDoc:
    doc = PortDoc(name=spec.name, port=spec.port)
    if spec.protocol != "TCP":
        doc["protocol"] = spec.protocol
    return doc


def _texts(service: Service, found: Found) -> dict[str, str]:
    assert service.manifests is not None
    if service.manifests.inline is not None:
        return {"inline": service.manifests.inline}
    assert service.manifests.config_map is not None
    source = found.get(("ConfigMap", service.manifests.config_map)) or {}
    data: Mapping[str, str] = source.get("data") or {}
    return {key: data[key] for key in sorted(data) if key.endswith((".yaml", ".yml", ".json"))}


def run_labels(metadata: Metadata) -> dict[str, str]:
    """Labels of everything a run creates."""
    return {
        names.LABEL_RUN_UID: metadata.uid,
        names.LABEL_RUN_NAME: label_value(metadata.name),
        names.LABEL_RUN_NAMESPACE: metadata.namespace,
        names.MANAGED_BY: names.MANAGED_BY_VALUE,
    }


def label_value(text: str) -> str:
    """Cut a name to what a label may hold: 63 characters, ending in a letter or digit."""
    return text[:63].rstrip("-.")
