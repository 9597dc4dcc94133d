"""Runs one instance of a scenario: setup, its steps, and teardown whatever came of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from seatrial.api.report import messages_text

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.action import Call, StepFailure, Tools
from seatrial_runner.scenario.exchange import Client
from seatrial_runner.scenario.flow import Flow, Place
from seatrial_runner.scenario.kinds import MODULES, module_of, steps_of
from seatrial_runner.scenario.matrix import Instance
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.results import InstanceResult, Outcome, StepResult, step_line
from seatrial_runner.scenario.scope import Scope, bad_name, first_scope
from seatrial_runner.scenario.transcript import bounded, one_line
from seatrial_runner.scenario.world import World

# What a teardown may take, beyond the time of its test.
TEARDOWN_S = 30.0
_LAST_MESSAGES = 20  # in the details of a failure


def run_instance(instance: Instance, world: World) -> InstanceResult:
    """
    Run the steps in order, until one fails, and then the teardown.

    Never raises for what a scenario or a system does: all of that is in the result. What stops it
    from outside (KeyboardInterrupt, or what a signal handler raises) goes on when the teardown is
    over.
    """
    redactor = Redactor(world.secrets)
    for url in world.connections.values():
        redactor.learn_url(url)
    client = Client(world, redactor)
    started_at = rfc3339(world.now())
    run = _Run(Tools(world, client, redactor), instance, world.seed or os.urandom(6).hex())
    recorded: dict[str, Any] = {}
    try:
        run.whole()
        recorded = redactor.mask_json(run.tools.resources.records())
    finally:
        run.tools.resources.close()
        client.close()
    failure = run.failure
    outcome = _outcome(run.main, failure)
    return InstanceResult(
        id=instance.id,
        outcome=outcome,
        started_at=started_at,
        finished_at=rfc3339(world.now()),
        message=one_line(failure.message, redactor) if failure else run.why_skipped,
        details=bounded(redactor.mask(run.report() + _recorded_text(recorded))) if failure else "",
        steps=run.results,
        requests=client.requests,
        seed=run.seed,
        flaky=outcome == "passed" and any(step.attempts > 1 for step in run.results),
        recorded=recorded,
    )


def _recorded_text(recorded: dict[str, Any]) -> str:
    if "messages" not in recorded:
        return ""
    return "\n\n" + messages_text(recorded["messages"], last=_LAST_MESSAGES)


def _outcome(results: list[StepResult], failure: StepFailure | None) -> Outcome:
    if failure:
        return failure.outcome
    return "skipped" if all(step.outcome == "skipped" for step in results) else "passed"


@dataclass
class _Run:
    """
    One run of an instance.

    Attributes:
        seed: Of the variable ``run``.
        main: Results of the scenario's own steps.
        failure: What decides; that of a teardown only if nothing failed before it.
        afterwards: The failure of the teardown, if there is another one.
        unable: Why nothing of it can be done here; empty if it can.
    """

    tools: Tools
    instance: Instance
    seed: str
    before: list[StepResult] = field(default_factory=list)
    main: list[StepResult] = field(default_factory=list)
    after: list[StepResult] = field(default_factory=list)
    failure: StepFailure | None = None
    afterwards: StepFailure | None = None
    unable: str = ""

    @property
    def results(self) -> list[StepResult]:
        """All results, in order."""
        return [*self.before, *self.main, *self.after]

    @property
    def why_skipped(self) -> str:
        """The reason, in case that this is what came of it."""
        if self.unable:
            return self.unable
        skipped = _outcome(self.main, self.failure) == "skipped"
        return "no step was carried out" if skipped else ""

    def whole(self) -> None:
        """Run setup, steps and teardown."""
        world, instance = self.tools.world, self.instance
        if world.faults is None or world.cluster is None:
            from seatrial_runner.scenario.cluster_needed import why_not_in

            if told := why_not_in(world, instance):
                self.unable = told
                return
        for name in instance.variables:
            if problem := bad_name(name):
                self.failure = StepFailure(f"vars or matrix: {problem}", permanent=True)
                return
        scope = first_scope(
            instance.variables,
            world.services,
            world.environ,
            self._identity(),
            world.now,
            world.lane,
        )
        end = world.monotonic() + instance.timeout_s
        deadline = min(end, world.deadline) if world.deadline is not None else end
        limit = f"the test's time ({instance.timeout_s:g} s)"
        flow = Flow(self.tools, instance, deadline, limit)
        try:
            self.failure = self._steps(flow, scope)
        finally:
            flow.deadline = float("-inf")  # ends branches that a stop has left behind
            self._teardown(scope)

    def _identity(self, *, told: bool = False) -> dict[str, str]:
        """Give the variable ``run``; empty where nobody would see it, for it takes 3 ms."""
        instance = self.instance
        texts = repr((instance.setup, instance.steps, instance.teardown, instance.scenarios))
        # A step of kind data makes its seed of it.
        if not told and "run" not in texts and "'data'" not in texts:
            return {}
        from seatrial_runner.scenario.identity import identity

        return identity(instance.id, instance.test, self.seed)

    def _steps(self, flow: Flow, scope: Scope) -> StepFailure | None:
        try:
            self._prepare(scope, flow)
        except StepFailure as problem:
            problem.message = f"before the first step: {problem.message}"
            return problem
        setup = Place(scope, self.before, flow.deadline, "setup > ")
        if failure := flow.sequence(self.instance.setup, setup, "setup: "):
            failure.outcome = "error"  # what the test is about was not tried
            return failure
        return flow.sequence(self.instance.steps, Place(scope, self.main, flow.deadline))

    def _prepare(self, scope: Scope, flow: Flow) -> None:
        """Let each kind that has something to open before anything happens do so."""
        found: dict[str, list[dict[str, Any]]] = {}
        for step in steps_of(self.instance.parts, self.instance.scenarios):
            for kind in MODULES:
                if kind in step:
                    found.setdefault(kind, []).append(step[kind])
        call = Call(scope, self.tools, lambda: flow.deadline - self.tools.world.monotonic())
        for kind, documents in found.items():
            begin = getattr(module_of(kind), "before_first_step", None)
            if begin is not None:
                begin(documents, call)

    def _teardown(self, scope: Scope) -> None:
        """Run every step of the teardown, those after a failure too."""
        world, failures = self.tools.world, []
        deadline = world.monotonic() + TEARDOWN_S
        flow = Flow(self.tools, self.instance, deadline, f"the teardown's time ({TEARDOWN_S:g} s)")
        place = Place(scope, self.after, deadline, "teardown > ")
        for number, step in enumerate(self.instance.teardown, start=1):
            if failure := flow.sequence([step], place):
                counted = f"step {number} of {len(self.instance.teardown)}"
                failure.message = "teardown: " + failure.message.replace("step 1 of 1", counted, 1)
                failures.append(failure)
        if not failures:
            return
        first = failures[0]
        first.outcome = "error"  # the test itself is not to blame
        if len(failures) > 1:
            first.message += f" (and {len(failures) - 1} more)"
            first.details = "\n\n".join(f"{each.message}\n{each.details}" for each in failures)
        if self.failure is None:
            self.failure = first
        else:
            self.afterwards = first

    def report(self) -> str:
        """Write the failure at length, then every step with its time."""
        if self.failure is None:
            return ""
        parts = [self.failure, *([self.afterwards] if self.afterwards else [])]
        lines = []
        for part in parts:
            lines += [part.message, "", *([part.details, ""] if part.details else [])]
        lines += ["Steps:", *(step_line(step) for step in self.results)]
        known = self._identity(told=True)
        return "\n".join([*lines, "", f"run.id = {known['id']}, of seed {known['seed']}"])
