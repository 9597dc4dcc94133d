"""Runs one instance of a scenario: its steps in order, branches side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.exchange import Client
from seatrial_runner.scenario.matrix import Instance
from seatrial_runner.scenario.redaction import Redactor
from seatrial_runner.scenario.repetition import Repetition
from seatrial_runner.scenario.results import InstanceResult, Outcome, StepResult
from seatrial_runner.scenario.scope import Scope, bad_name, first_scope
from seatrial_runner.scenario.steps import (
    StepFailure,
    StepSkipped,
    Tools,
    act,
    conclude,
    step_name,
    wanted,
)
from seatrial_runner.scenario.transcript import bounded, one_line
from seatrial_runner.scenario.world import World


def run_instance(instance: Instance, world: World) -> InstanceResult:
    """
    Run the steps in order, until one fails.

    Never raises for what a scenario or a system does: all of that is in the result.
    """
    redactor = Redactor()
    client = Client(world, redactor)
    started_at, began = rfc3339(world.now()), world.monotonic()
    deadline = began + instance.timeout_s
    run = _Run(Tools(world, client, redactor), min(deadline, world.deadline or deadline), instance)
    try:
        failure = run.scenario()
    finally:
        client.close()
    outcome = _outcome(run.results, failure)
    return InstanceResult(
        id=instance.id,
        outcome=outcome,
        started_at=started_at,
        finished_at=rfc3339(world.now()),
        message=one_line(failure.message, redactor) if failure else _why_skipped(outcome),
        details=bounded(redactor.mask(run.report(failure))) if failure else "",
        steps=run.results,
        requests=client.requests,
        flaky=outcome == "passed" and any(step.attempts > 1 for step in run.results),
    )


def _outcome(results: list[StepResult], failure: StepFailure | None) -> Outcome:
    if failure:
        return failure.outcome
    return "skipped" if all(step.outcome == "skipped" for step in results) else "passed"


def _why_skipped(outcome: Outcome) -> str:
    return "no step was carried out" if outcome == "skipped" else ""


@dataclass
class _Run:
    tools: Tools
    deadline: float
    instance: Instance
    results: list[StepResult] = field(default_factory=list)

    def scenario(self) -> StepFailure | None:
        """Run all steps; give the failure that ended them."""
        world = self.tools.world
        for name in self.instance.variables:
            if problem := bad_name(name):
                return StepFailure(f"matrix: {problem}", permanent=True)
        scope = first_scope(self.instance.variables, world.services, world.environ)
        return self.sequence(self.instance.steps, scope, self.results, "")

    def sequence(
        self, steps: list[dict[str, Any]], scope: Scope, results: list[StepResult], prefix: str
    ) -> StepFailure | None:
        """Run steps one after another, up to the first that fails."""
        for number, step in enumerate(steps, start=1):
            name = step_name(step)
            title = f"{prefix}step {number} of {len(steps)} ({name})"
            failure = self._one(step, scope, results, f"{prefix}{name}")
            if failure:
                failure.message = f"{title}: {failure.message}"
                return failure
        return None

    def _one(
        self, step: dict[str, Any], scope: Scope, results: list[StepResult], name: str
    ) -> StepFailure | None:
        world = self.tools.world
        started_at, began = rfc3339(world.now()), world.monotonic()
        repetition = Repetition(step, world, self.deadline)
        inner: list[StepResult] = []
        outcome: Outcome = "passed"
        message, details, failure = "", "", None
        try:
            self._check_time()
            if wanted(step, scope):
                repetition.run(lambda seconds: self._once(step, scope, inner, seconds))
            else:
                outcome, message = "skipped", f"when is false: {step['when']}"
        except StepSkipped as skipped:
            outcome, message = "skipped", str(skipped)
        except StepFailure as problem:
            failure = self._timed_out(problem)
            outcome, message, details = failure.outcome, failure.message, failure.details
        # A bug of ours must not take the other results with it.
        except Exception as error:  # noqa: BLE001
            failure = StepFailure(f"the engine broke: {type(error).__name__}: {error}")
            failure.outcome = "error"
            outcome, message, details = "error", failure.message, _traceback(error)
            failure.details = details
        redactor = self.tools.redactor
        results.append(
            StepResult(
                name=one_line(name, redactor),
                outcome=outcome,
                started_at=started_at,
                duration_s=round(world.monotonic() - began, 6),
                attempts=max(1, repetition.attempts),
                tries=max(1, repetition.tries),
                message=one_line(message, redactor),
                details=bounded(redactor.mask(details)),
            )
        )
        results.extend(inner)
        return failure

    def _once(
        self,
        step: dict[str, Any],
        scope: Scope,
        inner: list[StepResult],
        seconds: Callable[[], float],
    ) -> None:
        if branches := step.get("parallel"):
            inner.clear()  # of the try before
            self._parallel(branches, scope, inner)
            conclude(step, scope)
        elif step.get("expectFailure"):
            # Imported here: a plain run, whose start is measured, has no fault to fail by.
            from seatrial_runner.scenario.expected_failure import fail_as_expected

            fail_as_expected(step, scope, self.tools, seconds)
        else:
            act(step, scope, self.tools, seconds)

    def _parallel(
        self, branches: list[dict[str, Any]], scope: Scope, inner: list[StepResult]
    ) -> None:
        """Run branches in threads, wait for all, and take over what they captured."""
        runs = [
            _BranchRun(str(branch.get("name") or f"branch {number}"), branch["steps"], scope)
            for number, branch in enumerate(branches, start=1)
        ]
        threads = [threading.Thread(target=run.run, args=(self,), daemon=True) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run in runs:
            inner.extend(run.results)
        failures = [run.failure for run in runs if run.failure]
        if failures:
            more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
            raise StepFailure(
                failures[0].message + more,
                "\n\n".join(f"{f.message}\n{f.details}" for f in failures),
                max((f.outcome for f in failures), key=lambda o: o == "failed"),
                permanent=all(f.permanent for f in failures),
            )
        _merge(runs, scope)

    def _check_time(self) -> None:
        if self.tools.world.monotonic() >= self.deadline:
            raise StepFailure("it could not begin", permanent=True)

    def _timed_out(self, failure: StepFailure) -> StepFailure:
        if self.tools.world.monotonic() < self.deadline:
            return failure
        text = f"the test's time ({self.instance.timeout_s:g} s) is over: {failure.message}"
        return StepFailure(text, failure.details, failure.outcome, permanent=True)

    def report(self, failure: StepFailure | None) -> str:
        """Write the failure at length, then every step with its time."""
        if failure is None:
            return ""
        lines = [failure.message, "", failure.details, ""] if failure.details else []
        return "\n".join([*lines, "Steps:", *(_step_line(step) for step in self.results)])


@dataclass
class _BranchRun:
    name: str
    steps: list[dict[str, Any]]
    parent: Scope
    results: list[StepResult] = field(default_factory=list)
    failure: StepFailure | None = None

    def __post_init__(self) -> None:
        self.scope = self.parent.branch()

    def run(self, run: _Run) -> None:
        self.failure = run.sequence(self.steps, self.scope, self.results, f"{self.name} > ")

    def defined(self) -> dict[str, Any]:
        """Give what the branch captured or set: names that are new or mean something else now."""
        before = self.parent.variables
        return {
            name: value
            for name, value in self.scope.variables.items()
            if name not in before or value is not before[name]
        }


def _merge(runs: list[_BranchRun], scope: Scope) -> None:
    merged: dict[str, tuple[str, Any]] = {}
    for run in runs:
        for name, value in run.defined().items():
            if name in merged:
                raise StepFailure(
                    f"branches {merged[name][0]!r} and {run.name!r} both define {name!r}:"
                    " give one of them another name",
                    permanent=True,
                )
            merged[name] = (run.name, value)
    for name, (_, value) in merged.items():
        scope.define(name, value)


def _step_line(step: StepResult) -> str:
    notes = [
        f"{step.attempts} attempts" if step.attempts > 1 else "",
        f"{step.tries} tries" if step.tries > 1 else "",
        step.message if step.outcome == "skipped" else "",
    ]
    note = "; ".join(note for note in notes if note)
    return f"  {step.outcome:<7} {step.duration_s:7.3f} s  {step.name}" + (
        f"  ({note})" if note else ""
    )


def _traceback(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))
