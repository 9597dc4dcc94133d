"""Branches of a scenario that run at the same time, each with names of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.results import StepResult

if TYPE_CHECKING:
    from seatrial_runner.scenario.flow import Flow, Place
    from seatrial_runner.scenario.scope import Scope

# Of one scenario, at the same time. A worker may take 320 MiB, and each thread's stack has 8.
MAX_THREADS = 24


class Crew:
    """Bounds the threads of a scenario, however its branches and loops are nested."""

    def __init__(self) -> None:
        self._left = MAX_THREADS
        self._lock = threading.Lock()

    def take(self, wanted: int, *, at_least: int) -> int:
        """
        Give how many threads may be started, at most as many as wanted.

        Raises:
            StepFailure: There are fewer left than at least needed.
        """
        with self._lock:
            granted = min(wanted, self._left)
            if granted < at_least:
                raise StepFailure(
                    f"more than {MAX_THREADS} branches would run at the same time", permanent=True
                )
            self._left -= granted
            return granted

    def give_back(self, count: int) -> None:
        """Say that so many have ended."""
        with self._lock:
            self._left += count

    def work(self, jobs: Iterable[Callable[[], None]], count: int) -> None:
        """
        Do jobs in so many threads, which the caller has taken, and wait for all.

        With none, the caller's own thread does them.
        """
        pending, lock = iter(jobs), threading.Lock()

        def next_job() -> Callable[[], None] | None:
            with lock:
                return next(pending, None)

        def work() -> None:
            while job := next_job():
                job()

        if count == 0:
            work()
            return
        threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@dataclass
class _BranchRun:
    name: str
    steps: list[dict[str, Any]]
    scope: Scope
    results: list[StepResult] = field(default_factory=list)
    failure: StepFailure | None = None


def run_branches(flow: Flow, branches: list[dict[str, Any]], place: Place) -> None:
    """
    Run branches in threads, wait for all, and take over what they captured.

    Raises:
        StepFailure: A branch failed, or two define the same name.
    """
    with place.scope.beside(len(branches)) as scopes:
        runs = [
            _BranchRun(str(branch.get("name") or f"branch {number}"), branch["steps"], scope)
            for number, (branch, scope) in enumerate(zip(branches, scopes, strict=True), start=1)
        ]
        _run(flow, runs, place)
    for run in runs:
        place.results.extend(run.results)
    failures = [run.failure for run in runs if run.failure]
    conflict = _merge(runs, place.scope)
    if failures:
        raise together(failures)
    if conflict:
        raise StepFailure(conflict, permanent=True)


def _run(flow: Flow, runs: list[_BranchRun], place: Place) -> None:

    def job(run: _BranchRun) -> Callable[[], None]:
        where = replace(
            place, scope=run.scope, results=run.results, path=f"{place.path}{run.name} > "
        )

        def work() -> None:
            run.failure = flow.sequence(run.steps, where, f"{run.name} > ")

        return work

    count = flow.crew.take(len(runs), at_least=len(runs))
    try:
        flow.crew.work([job(run) for run in runs], count)
    finally:
        flow.crew.give_back(count)


def together(failures: list[StepFailure]) -> StepFailure:
    """Make one failure of those of several branches: the first, and how many there are."""
    if len(failures) == 1:
        return failures[0]
    more = f" (and {len(failures) - 1} more)"
    return StepFailure(
        failures[0].message + more,
        "\n\n".join(f"{f.message}\n{f.details}" for f in failures[:8]),
        max((f.outcome for f in failures), key=lambda o: o == "failed"),
        permanent=all(f.permanent for f in failures),
        out_of_time=all(f.out_of_time for f in failures),
    )


def _merge(runs: list[_BranchRun], scope: Scope) -> str:
    """Take over what branches define, also of those that failed: a teardown may need it."""
    merged: dict[str, tuple[str, Any]] = {}
    conflict = ""
    for run in runs:
        for name, value in run.scope.defined_since(scope).items():
            if name in merged and not conflict:
                conflict = (
                    f"branches {merged[name][0]!r} and {run.name!r} both define {name!r}:"
                    " give one of them another name"
                )
            merged[name] = (run.name, value)
    for name, (_, value) in merged.items():
        scope.define(name, value)
    return conflict
