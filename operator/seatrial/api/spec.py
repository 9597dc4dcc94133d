"""What a user writes: the spec of an IntegrationTestRun, as pydantic models."""

from __future__ import annotations

import math
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from seatrial.api.families import FROM_TESTS, POD
from seatrial.api.faults import Fault
from seatrial.api.fields import (
    BY_NAME,
    UNIQUE,
    Argument,
    Budget,
    EnvName,
    FileGlob,
    FilePath,
    Identifier,
    Image,
    LongRetention,
    Model,
    ObjectName,
    RelaxedObject,
    Retention,
    Rule,
    ShortText,
    TestName,
    Text,
    one_of,
)
from seatrial.api.fixtures import Fixtures
from seatrial.api.flow import AnyJson
from seatrial.api.probes import SteadyState
from seatrial.api.scenario import Scenarios, Step, Steps
from seatrial.api.services import FileContent, ObjectReference, PortSpec, Probe, Resources, Service
from seatrial.api.snapshots import Snapshots
from seatrial.api.taps import Tap

__all__ = [
    "MUTABLE",
    "Concurrency",
    "Container",
    "Fault",
    "KeepEnvironment",
    "ObjectReference",
    "PodSecurity",
    "PortSpec",
    "Probe",
    "Pytest",
    "Resources",
    "RunSpec",
    "Service",
    "Test",
    "Timeouts",
]


_SEED = r"^[A-Za-z0-9._-]+$"  # a UID and an attempt, too


class PodSecurity(StrEnum):
    """Pod Security level of the run's namespace."""

    RESTRICTED = "restricted"
    BASELINE = "baseline"
    PRIVILEGED = "privileged"  # for faults inside pods; the pods of the run stay as restricted


class Pytest(Model):
    """A pytest suite from a ConfigMap, run by the real pytest."""

    config_map: ObjectName = Field(
        description="ConfigMap beside the run, labelled seatrial.dev/readable-by=runs;"
        " its keys are the files of the suite."
    )
    args: list[Argument] = Field(
        default_factory=list, max_length=64, description="Arguments of pytest: -m, -k, -n, ..."
    )
    env: dict[EnvName, Text] = Field(
        default_factory=dict, max_length=64, description="Environment variables."
    )
    env_from: list[ObjectReference] = Field(
        default_factory=list, max_length=8, description="Variables from ConfigMaps and Secrets."
    )
    image: Image | None = Field(
        None, description="Image with seatrial[runner] and what the suite imports. Default: ours."
    )
    parallelism: int = Field(1, ge=1, le=20, description="Shards: pods that share the tests.")
    resources: Resources | None = Field(None, description="CPU and memory of each pod.")


class Container(Model):
    """Any image as a test: it passes with exit status 0 and no failure in its JUnit files."""

    image: Image = Field(description="Container image.")
    command: list[Argument] | None = Field(
        None, max_length=64, description="Command in place of the image's ENTRYPOINT."
    )
    args: list[Argument] | None = Field(
        None, max_length=64, description="Arguments in place of the image's CMD."
    )
    env: dict[EnvName, Text] = Field(
        default_factory=dict, max_length=64, description="Environment variables."
    )
    env_from: list[ObjectReference] = Field(
        default_factory=list, max_length=8, description="Variables from ConfigMaps and Secrets."
    )
    files: dict[FilePath, FileContent] | None = Field(
        None, max_length=32, description="Files in the container by absolute path."
    )
    junit: FileGlob | None = Field(
        None, description="JUnit XML files to collect, such as /results/*.xml."
    )
    run_as_user: int | None = Field(
        None, ge=1, le=4294967294, description="User ID, where the image names no numeric one."
    )
    resources: Resources | None = Field(None, description="CPU and memory of the pod.")


class Test(Model):
    """One test of the run; tests run in the order given, one after another by default."""

    __test__ = False  # not a pytest class
    __rules__ = (
        one_of("scenario", "pytest", "container", required=True),
        # CEL does not see a field that may hold any JSON.
        Rule(
            "matrix goes with scenario; pytest and container have their own ways",
            check=lambda self: not self.matrix or self.scenario is not None,
        ),
        Rule(
            "vars goes with scenario; pytest and container have their own ways",
            check=lambda self: not self.vars or self.scenario is not None,
        ),
        Rule(
            "setup and teardown go with scenario; pytest and container have their own ways",
            "has(self.scenario) || !(has(self.setup) || has(self.teardown))",
            lambda self: self.scenario is not None or not (self.setup or self.teardown),
        ),
    )

    name: TestName = Field(description="Name of the test, unique in the run.")
    timeout: Budget = Field(
        timedelta(minutes=5), description="Longest time of one attempt. Default 5m."
    )
    retries: int = Field(
        0, ge=0, le=5, description="Further attempts after a failure; a later pass is flaky."
    )
    matrix: dict[
        Identifier,
        Annotated[list[Annotated[JsonValue, RelaxedObject]], Field(min_length=1, max_length=32)],
    ] = Field(
        default_factory=dict,
        max_length=4,
        description="Runs the scenario once for each combination: {sku: [A1, B2]}.",
    )
    scenario: list[Step] | None = Field(
        None, min_length=1, max_length=64, description="Steps, in order."
    )
    setup: Steps | None = Field(
        None, description="Steps before the scenario; if one fails, the test's outcome is error."
    )
    teardown: Steps | None = Field(
        None,
        description="Steps after it, after a failure, a time-out or a stop too.",
    )
    vars: dict[Identifier, AnyJson] = Field(
        default_factory=dict, max_length=32, description="Values by name, as JSON."
    )
    tags: list[TestName] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="Words to select tests by: [smoke].",
    )
    pytest: Pytest | None = Field(None, description="A pytest suite.")
    container: Container | None = Field(None, description="Any image that tests.")

    @property
    def combinations(self) -> int:
        """Count how many times it runs: once for each combination of its matrix."""
        return math.prod(len(values) for values in self.matrix.values())


class Timeouts(Model):
    """Longest time of each phase."""

    provisioning: Budget = Field(
        timedelta(minutes=5), description="Until every service is ready. Default 5m."
    )
    tests: Budget = Field(timedelta(minutes=30), description="All tests. Default 30m.")
    collecting: Budget = Field(
        timedelta(minutes=1), description="Logs and report, after the verdict. Default 1m."
    )
    cleanup: Budget = Field(
        timedelta(minutes=5),
        description="Until a namespace that will not go is reported. Default 5m.",
    )


class KeepEnvironment(Model):
    """How long the run's namespace stays after the verdict."""

    on_success: Retention = Field(timedelta(0), description="After Passed. Default: not at all.")
    on_failure: Retention = Field(
        timedelta(0), description="After any other verdict. Default: not at all."
    )


class Concurrency(Model):
    """Runs that must not run at the same time."""

    group: ShortText = Field(description="Only one run of a group, in a namespace, runs at a time.")
    policy: Literal["Queue", "Replace"] = Field(
        "Queue", description="Queue waits for the running one; Replace aborts it."
    )


class Select(Model):
    """Which tests are executed: those with one of the tags, and without the others."""

    __rules__ = (
        Rule(
            "give at least one of: tags, without",
            "(has(self.tags) && size(self.tags) > 0)"
            " || (has(self.without) && size(self.without) > 0)",
            lambda self: bool(self.tags or self.without),
        ),
    )

    tags: list[TestName] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="A test needs one of them. Default: any test.",
    )
    without: list[TestName] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=UNIQUE,
        description="A test with one of them is left out.",
    )


# What can be changed while a run runs; all else is fixed once it has left the queue.
MUTABLE = ("suspend", "abort", "priority", "keepEnvironment", "ttlAfterFinished")


class RunSpec(Model):
    """The system under test, what goes wrong, and what must hold."""

    # Where it stands, and what was probably meant, is said by ``seatrial.api.rules``.
    __rules__ = (
        Rule(
            "dependsOn names a service that is not in spec.services",
            "!has(self.services) || self.services.all(s, !has(s.dependsOn) || s.dependsOn.all(d,"
            " self.services.exists(o, o.name == d)))",
            names="self.services.map(s, has(s.dependsOn) && s.dependsOn.exists(d,"
            " !self.services.exists(o, o.name == d)), s.dependsOn.filter(d,"
            " !self.services.exists(o, o.name == d))[0])",
            field="services",
        ),
        Rule(
            "a fault's target.service is not in spec.services",
            "!has(self.faults) || self.faults.all(f, !has(f.target) || (has(self.services) &&"
            " self.services.exists(s, s.name == f.target.service)))",
            names="self.faults.map(f, has(f.target) && !(has(self.services) &&"
            " self.services.exists(s, s.name == f.target.service)), f.target.service)",
            field="faults",
        ),
        Rule(
            "a fault's target.from is not in spec.services, nor tests",
            "!has(self.faults) || self.faults.all(f, !has(f.target) || !has(f.target.from) ||"
            f" f.target.from.all(o, o == '{FROM_TESTS}' || (has(self.services) &&"
            " self.services.exists(s, s.name == o))))",
            names="self.faults.map(f, has(f.target) && has(f.target.from) &&"
            f" f.target.from.exists(o, o != '{FROM_TESTS}' && !(has(self.services) &&"
            " self.services.exists(s, s.name == o))), f.target.from.filter(o,"
            f" o != '{FROM_TESTS}' && !(has(self.services) &&"
            " self.services.exists(s, s.name == o)))[0])",
            field="faults",
        ),
        Rule(
            "a fault's when.fault is not in spec.faults",
            "!has(self.faults) || self.faults.all(f, !has(f.when) || !has(f.when.fault) ||"
            " self.faults.exists(o, o.name == f.when.fault && o.name != f.name))",
            names="self.faults.map(f, has(f.when) && has(f.when.fault) &&"
            " !self.faults.exists(o, o.name == f.when.fault && o.name != f.name), f.when.fault)",
            field="faults",
        ),
        Rule(
            "faults inside pods need spec.podSecurity: privileged",
            "!has(self.faults) || self.podSecurity == 'privileged' || !self.faults.exists(f, "
            + " || ".join(f"has(f.{kind})" for kind in POD)
            + ")",
            lambda self: (
                self.pod_security is PodSecurity.PRIVILEGED
                or not any(fault.given(kind) for fault in self.faults for kind in POD)
            ),
            field="podSecurity",
        ),
        Rule(
            "a fault's when.test is not in spec.tests",
            "!has(self.faults) || self.faults.all(f, !has(f.when) || !has(f.when.test) ||"
            " self.tests.exists(t, t.name == f.when.test))",
            names="self.faults.map(f, has(f.when) && has(f.when.test) &&"
            " !self.tests.exists(t, t.name == f.when.test), f.when.test)",
            field="faults",
        ),
    )

    timeout: Budget = Field(
        timedelta(minutes=30), description="Whole run, without time in the queue. Default 30m."
    )
    timeouts: Timeouts = Field(default_factory=Timeouts, description="Longest time of each phase.")
    suspend: bool = Field(
        False, description="Hold the run: in the queue, or before its next test if it has started."
    )
    abort: bool = Field(False, description="End the run now, undo its faults, verdict Aborted.")
    priority: int = Field(0, ge=-1000, le=1000, description="Higher leaves the queue first.")
    concurrency: Concurrency | None = Field(
        None, description="Runs that must not run at the same time."
    )
    pod_security: PodSecurity = Field(
        PodSecurity.RESTRICTED,
        strict=False,  # a text, as JSON has it
        description="Pod Security level of the run's namespace: baseline for images that run as"
        " root, privileged for faults inside pods; where the cluster's operator allows it.",
    )
    services: list[Service] = Field(
        default_factory=list,
        max_length=32,
        json_schema_extra=BY_NAME,
        description="The system under test.",
    )
    env_from: list[ObjectReference] = Field(
        default_factory=list,
        max_length=8,
        description="ConfigMaps and Secrets whose keys scenarios see as env.",
    )
    faults: list[Fault] = Field(
        default_factory=list,
        max_length=64,
        json_schema_extra=BY_NAME,
        description="What goes wrong on purpose.",
    )
    probes: list[SteadyState] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra=BY_NAME,
        description="What holds all the time while the system is well: checked continuously.",
    )
    taps: list[Tap] = Field(
        default_factory=list,
        max_length=8,
        json_schema_extra=BY_NAME,
        description="Messages that are kept for the report, whoever waits for them.",
    )
    tests: list[Test] = Field(
        min_length=1, max_length=64, json_schema_extra=BY_NAME, description="What must hold."
    )
    scenarios: Scenarios = Field(
        default_factory=list, description="Scenarios that tests call, with inputs and outputs."
    )
    select: Select | None = Field(
        None, description="Execute some tests only, by their tags. Default: all."
    )
    snapshots: Snapshots | None = Field(None, description="What steps with snapshot compare with.")
    fixtures: Fixtures | None = Field(None, description="Files that steps of kind data load.")
    parallelism: int = Field(
        1, ge=1, le=16, description="How many tests run at the same time. Default 1: in order."
    )
    seed: Annotated[str, Field(min_length=1, max_length=64, pattern=_SEED)] | None = Field(
        None,
        description="Of what is left to chance: generated data, run.id of scenarios, choices of"
        " faults. The same gives the same again; results tell it. Default: drawn for each run.",
    )
    keep_environment: KeepEnvironment = Field(
        default_factory=KeepEnvironment,
        description="How long the run's namespace stays after the verdict.",
    )
    ttl_after_finished: LongRetention | None = Field(
        None, description="Delete the run itself this long after its end. Default: keep it."
    )
