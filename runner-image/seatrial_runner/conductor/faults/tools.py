"""Objects of Chaos Mesh and Litmus: confined to the run, and what their status says. Pure."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from seatrial.api import names
from seatrial.api.errors import NotInjectedError

Json = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What an object's status says of the fault."""

    injected: bool = False
    recovered: bool = False  # nothing of it is left
    problem: str = ""  # why it will not come to an effect, or came to a bad end
    conditions: str = ""  # as a sentence, for people


class Tool(Protocol):
    """One chaos tool."""

    def confine(self, manifest: Json, *, namespace: str, lasts_s: float) -> Json:
        """
        Give the object as it is to be made: it hits nothing outside of the run, and ends itself.

        Raises:
            NotInjectedError: It is of a kind that cannot be confined.
        """

    def told(self, item: Json) -> Told:
        """Read an object's status."""

    def stop(self) -> Json:
        """Give the merge patch that has it recover."""


def tool_of(api_version: str) -> Tool:
    """
    Give the tool an object is for.

    Raises:
        NotInjectedError: There is none.
    """
    match api_version.partition("/")[0]:
        case "chaos-mesh.org":
            return ChaosMesh()
        case "litmuschaos.io":
            return Litmus()
    raise NotInjectedError(f"{api_version[:80]} is none of Chaos Mesh or Litmus")


class ChaosMesh:
    """
    Objects with a selector; conditions AllInjected and AllRecovered.

    Source: Chaos Mesh, api/v1alpha1/common_types.go and controllers/common/condition.
    """

    # Those that select pods. Others are machines, clouds, or make objects of their own.
    KINDS = (
        "PodChaos", "NetworkChaos", "StressChaos", "IOChaos", "TimeChaos", "DNSChaos", "HTTPChaos",
        "JVMChaos", "KernelChaos",
    )  # fmt: skip

    def confine(self, manifest: Json, *, namespace: str, lasts_s: float) -> Json:
        """Have every selector select in the run's namespace, and nowhere else."""
        kind = str(manifest.get("kind"))
        if kind not in self.KINDS:
            raise NotInjectedError(
                f"resource: {kind[:80]} cannot be confined to a run; use one of"
                f" {', '.join(self.KINDS)}"
            )
        confined = copy.deepcopy(manifest)
        spec = confined.setdefault("spec", {})
        if "remoteCluster" in spec:
            raise NotInjectedError("resource: spec.remoteCluster would reach another cluster")
        spec.setdefault("selector", {})
        # What it hits is the system under test, unless it says that it means other pods: by a
        # selector for all pods, the conductor's clock would be another, or its disk full.
        service = {names.LABEL_COMPONENT: names.COMPONENT_SERVICE}
        for selector in _selectors(spec):
            selector["labelSelectors"] = {**service, **(selector.get("labelSelectors") or {})}
            for key in ("pods", "nodes", "nodeSelectors", "physicalMachines"):
                selector.pop(key, None)  # by these a selector could name others
            selector["namespaces"] = [namespace]
        # The tool then ends it by itself, whatever becomes of us.
        spec["duration"] = f"{math.ceil(lasts_s * 1000)}ms"
        return confined

    def told(self, item: Json) -> Told:
        """Read the conditions, and what went wrong with a target."""
        status = item.get("status") or {}
        found = {each["type"]: each["status"] for each in status.get("conditions") or []}
        experiment = status.get("experiment") or {}
        stopped = experiment.get("desiredPhase") == "Stop"
        problems = [
            str(event.get("message") or event.get("operation"))
            for record in experiment.get("containerRecords") or []
            for event in record.get("events") or []
            if event.get("type") == "Failed"
        ]
        return Told(
            injected=found.get("AllInjected") == "True",
            recovered=stopped and found.get("AllRecovered") == "True",
            conditions=_sentence(found, problems),
        )

    def stop(self) -> Json:
        """Pause it: what is paused is recovered."""
        return {"metadata": {"annotations": {"experiment.chaos-mesh.org/pause": "true"}}}


class Litmus:
    """
    A ChaosEngine; its experiments are Running, then Completed with a verdict.

    Source: Litmus chaos-operator, api/litmuschaos/v1alpha1/chaosengine_types.go.
    """

    _RUNNING = ("Running", "Completed")
    _NEVER = ("ChaosExperiment Not Found", "Skipped")
    _OVER = ("completed", "stopped")

    def confine(self, manifest: Json, *, namespace: str, lasts_s: float) -> Json:
        """Have application and experiments be those of the run's namespace."""
        kind = str(manifest.get("kind"))
        if kind != "ChaosEngine":
            raise NotInjectedError(
                f"resource: {kind[:80]} of Litmus is not what starts a fault; write a ChaosEngine"
            )
        confined = copy.deepcopy(manifest)
        spec = confined.setdefault("spec", {})
        spec["engineState"] = "active"
        if spec.pop("auxiliaryAppInfo", None):
            raise NotInjectedError("resource: spec.auxiliaryAppInfo would reach other namespaces")
        if "selectors" not in spec or "appinfo" in spec:
            spec.setdefault("appinfo", {})["appns"] = namespace
        selectors = spec.get("selectors") or {}
        for each in [*(selectors.get("workloads") or []), *(selectors.get("pods") or [])]:
            each["namespace"] = namespace
        for experiment in spec.get("experiments") or []:
            components = experiment.setdefault("spec", {}).setdefault("components", {})
            # It is said to run while it waits before and after, and then it lasts for too long.
            ours = {"TOTAL_CHAOS_DURATION": str(math.ceil(lasts_s)), "RAMP_TIME": "0"}
            env = [each for each in components.get("env") or [] if each.get("name") not in ours]
            for each in env:
                if "NAMESPACE" in str(each.get("name")):
                    each.pop("valueFrom", None)
                    each["value"] = namespace
            components["env"] = [
                *env,
                *({"name": name, "value": value} for name, value in ours.items()),
            ]
        return confined

    def told(self, item: Json) -> Told:
        """Read the engine's status and its experiments'."""
        status = item.get("status") or {}
        every = [each for each in status.get("experiments") or [] if each.get("name")]
        said = {each["name"]: f"{each.get('status')}, {each.get('verdict')}" for each in every}
        problem = ""
        for each in every:
            if each.get("status") in self._NEVER:
                problem = f"experiment {each['name']}: {each['status']}"
            elif each.get("verdict") in ("Fail", "Error"):
                problem = f"the verdict of experiment {each['name']} is {each['verdict']}"
        over = status.get("engineStatus") in self._OVER
        return Told(
            injected=bool(every) and all(each.get("status") in self._RUNNING for each in every),
            recovered=over and all(each.get("status") != "Running" for each in every),
            problem=problem,
            conditions=_sentence({"engineStatus": str(status.get("engineStatus")), **said}, []),
        )

    def stop(self) -> Json:
        """Have the engine stop."""
        return {"spec": {"engineState": "stop"}}


def _selectors(value: Any) -> Iterator[Json]:
    """Give every selector, at any depth."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "selector" and isinstance(each, dict):
                yield each
            else:
                yield from _selectors(each)
    elif isinstance(value, list):
        for each in value:
            yield from _selectors(each)


def _sentence(conditions: Json, problems: list[str]) -> str:
    told = ", ".join(f"{name} is {value}" for name, value in sorted(conditions.items()))
    return "; ".join([told or "it has no status yet", *problems[-2:]])[:1024]
