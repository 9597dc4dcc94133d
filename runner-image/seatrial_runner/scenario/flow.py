"""Runs steps one after another, and each as often as it says; what is inside of a step, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.action import Call, StepFailure, Tools
from seatrial_runner.scenario.branches import Crew, run_branches
from seatrial_runner.scenario.matrix import Instance
from seatrial_runner.scenario.repetition import Repetition
from seatrial_runner.scenario.results import Outcome, StepResult
from seatrial_runner.scenario.scope import Scope
from seatrial_runner.scenario.steps import act, conclude, step_name, wanted
from seatrial_runner.scenario.transcript import bounded, one_line

MAX_RESULTS = 1000  # of steps inside of one step; beyond, only those that did not pass
MAX_TROUBLES = 100  # of those


@dataclass(frozen=True)
class Place:
    """
    Where steps run.

    Attributes:
        scope: What they see, and where they capture.
        results: Where their results go.
        deadline: When their time is over, on the world's monotonic clock.
        path: What the names of their results begin with.
        calls: Scenarios that were called to come here.
    """

    scope: Scope
    results: list[StepResult]
    deadline: float
    path: str = ""
    calls: tuple[str, ...] = ()


class Flow:
    """
    A part of a test: setup, scenario or teardown.

    Attributes:
        tools: What all steps share.
        scenarios: Those that can be called, by name.
        instance_id: Whose part it is.
        crew: Bounds the threads.
        deadline: When the part's time is over; put into the past, it ends all that still run.
    """

    def __init__(
        self,
        tools: Tools,
        instance: Instance,
        deadline: float,
        limit: str,
    ) -> None:
        self.tools = tools
        self.scenarios = instance.scenarios
        self.instance_id = instance.id
        self.crew = Crew()
        self.deadline = deadline
        self._limit = limit  # said when it is over: "the test's time (5 s)"

    def sequence(
        self, steps: list[dict[str, Any]], place: Place, label: str = ""
    ) -> StepFailure | None:
        """
        Run steps one after another, up to the first that fails.

        Args:
            steps: As in a scenario.
            place: Where.
            label: What messages begin with: whose steps they are.
        """
        for number, step in enumerate(steps, start=1):
            name = step_name(step)
            failure = self._step(step, name, place)
            if failure:
                title = f"{label}step {number} of {len(steps)} ({name})"
                failure.message = f"{title}: {failure.message}"
                return failure
        return None

    def _step(self, step: dict[str, Any], name: str, place: Place) -> StepFailure | None:
        world, redactor = self.tools.world, self.tools.redactor
        started_at, began = rfc3339(world.now()), world.monotonic()
        repetition = Repetition(step, world, min(place.deadline, self.deadline))
        inner: list[StepResult] = []
        outcome: Outcome = "passed"
        message, details, failure = "", "", None
        try:
            self.check_time(place)
            if wanted(step, place.scope):
                repetition.run(self._doing(step, name, replace(place, results=inner)))
                if _nothing_done(step, inner):
                    outcome, message = "skipped", "no step of it was carried out"
            else:
                outcome, message = "skipped", f"when is false: {step['when']}"
        except StepFailure as problem:
            failure = self._timed_out(problem)
            outcome, message, details = failure.outcome, failure.message, failure.details
        except MemoryError:
            failure = StepFailure(f"out of memory: {world.memory}", "", "error", permanent=True)
            outcome, message = "error", failure.message
        # A bug of ours must not take the other results with it.
        except Exception as error:  # noqa: BLE001
            failure = StepFailure(
                f"the engine broke: {type(error).__name__}: {error}",
                _traceback(error),
                "error",
                permanent=True,
            )
            outcome, message, details = "error", failure.message, failure.details
        place.results.append(
            StepResult(
                name=one_line(f"{place.path}{name}", redactor),
                outcome=outcome,
                started_at=started_at,
                duration_s=round(world.monotonic() - began, 6),
                attempts=max(1, repetition.attempts),
                tries=max(1, repetition.tries),
                message=one_line(message, redactor),
                details=bounded(redactor.mask(details)),
                settled_s=repetition.settled_s,
            )
        )
        place.results.extend(_bounded(inner))
        return failure

    def _doing(
        self, step: dict[str, Any], name: str, place: Place
    ) -> Callable[[Callable[[], float]], None]:
        """Give the function that does a step once, as ``eventually`` and ``retries`` count."""
        again = any(step.get(word) for word in ("eventually", "always", "retries"))
        before = place.scope.branch() if again else None

        def once(seconds: Callable[[], float]) -> None:
            place.results.clear()  # of the try before
            if before is not None:
                # A further try begins with the names there were, not with what a failed one made.
                place.scope.adopt(before.branch())
            self._times(step, name, place, seconds)

        return once

    def _times(
        self, step: dict[str, Any], name: str, place: Place, seconds: Callable[[], float]
    ) -> None:
        """Do a step for each element, or several times, or once."""

        def once(inside: Place) -> None:
            self.once(step, name, inside, seconds)

        # Imported where they are used: the start of a plain run is measured.
        if loop := step.get("forEach"):
            from seatrial_runner.scenario.loops import for_each

            for_each(self, loop, name, place, once)
        elif loop := step.get("repeat"):
            from seatrial_runner.scenario.loops import repeat

            repeat(self, loop, name, place, once)
        elif "parallel" in step:  # its branches have names
            once(place)
        else:
            once(replace(place, path=f"{place.path}{name} > "))

    def once(
        self, step: dict[str, Any], name: str, place: Place, seconds: Callable[[], float]
    ) -> None:
        """
        Do what a step does, once: what it expects and captures included.

        Raises:
            StepFailure: It did not do what it should.
        """
        if not any(key in step for key in ("steps", "parallel", "scenario")):
            self._act(step, Call(place.scope, self.tools, seconds))
            self._compare(step, name, place, seconds)
            return
        until = min(place.deadline, self.tools.world.monotonic() + seconds())
        inside = replace(place, deadline=until)
        if branches := step.get("parallel"):
            run_branches(self, branches, inside)
        elif called := step.get("scenario"):
            from seatrial_runner.scenario.subscenarios import call_scenario

            call_scenario(self, called, inside)
        elif failure := self.sequence(step["steps"], inside):
            raise failure
        conclude(step, place.scope)
        self._compare(step, name, place, seconds)

    def _compare(
        self, step: dict[str, Any], name: str, place: Place, seconds: Callable[[], float]
    ) -> None:
        if snapshot := step.get("snapshot"):
            from seatrial_runner.scenario.snapshots import check_snapshot

            call = Call(place.scope, self.tools, seconds)
            check_snapshot(snapshot, name, self.instance_id, call)

    def _act(self, step: dict[str, Any], call: Call) -> None:
        if step.get("expectFailure"):
            # Imported here: a plain run, whose start is measured, has no fault to fail by.
            from seatrial_runner.scenario.expected_failure import fail_as_expected

            fail_as_expected(step, call)
        else:
            act(step, call)

    def check_time(self, place: Place) -> None:
        """
        Refuse to begin something when there is no time for it.

        Raises:
            StepFailure: It is over: that of the whole part, or that of a try.
        """
        now = self.tools.world.monotonic()
        if now >= min(self.deadline, place.deadline):
            raise StepFailure(
                "it could not begin", permanent=now >= self.deadline, out_of_time=True
            )

    def _timed_out(self, failure: StepFailure) -> StepFailure:
        over = f"{self._limit} is over: "
        if self.tools.world.monotonic() < self.deadline or over in failure.message:
            return failure
        return StepFailure(
            f"{over}{failure.message}",
            failure.details,
            failure.outcome,
            permanent=True,
            out_of_time=True,
        )


def _nothing_done(step: dict[str, Any], inner: list[StepResult]) -> bool:
    """Tell whether all that a step has inside was skipped, and it expects nothing itself."""
    skipped = bool(inner) and all(each.outcome == "skipped" for each in inner)
    return skipped and not step.get("expect")


def _bounded(inner: list[StepResult]) -> list[StepResult]:
    if len(inner) <= MAX_RESULTS:
        return inner
    rest = [each for each in inner[MAX_RESULTS:] if each.outcome != "passed"]
    return [*inner[:MAX_RESULTS], *rest[:MAX_TROUBLES]]


def _traceback(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))
