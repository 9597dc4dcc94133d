"""``forEach`` and ``repeat``: a step for each element of a list, or several times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.clock import rfc3339
from seatrial_runner.scenario.action import StepFailure
from seatrial_runner.scenario.branches import together
from seatrial_runner.scenario.explain import judge
from seatrial_runner.scenario.results import Outcome, StepResult
from seatrial_runner.scenario.scope import bad_name
from seatrial_runner.scenario.steps import condition, evaluated
from seatrial_runner.scenario.transcript import one_line
from seatrial_runner.scenario.values import as_json, kind, show

if TYPE_CHECKING:
    from seatrial_runner.scenario.flow import Flow, Place
    from seatrial_runner.scenario.scope import Scope

MAX_ITEMS = 10_000
DEFAULT_ROUNDS = 100

Once = Callable[["Place"], None]


@dataclass
class _Item:
    number: int
    value: Any
    scope: Scope
    results: list[StepResult] = field(default_factory=list)
    failure: StepFailure | None = None
    done: bool = False


def for_each(flow: Flow, loop: dict[str, Any], name: str, place: Place, once: Once) -> None:
    """
    Do a step for each element of a list.

    What is captured under a new name becomes a list, in the order of the elements. A name that was
    there before goes on from element to element, which is possible only one at a time.

    Raises:
        StepFailure: There is no list, or an element's step failed; one after another, the first.
    """
    item_name, index_name = loop.get("item", "item"), loop.get("index", "index")
    values = _elements(loop, place.scope)
    own = (item_name, index_name)
    for each in own:
        if problem := bad_name(each):
            raise StepFailure(f"forEach: {problem}", permanent=True)
    before = place.scope.branch()
    wanted = min(loop.get("parallelism", 1), len(values))
    items: list[_Item] = []

    def do(item: _Item) -> None:
        item.scope.define(item_name, item.value)
        item.scope.define(index_name, item.number)
        where = replace(
            place,
            scope=item.scope,
            results=item.results,
            path=f"{place.path}{name}[{item.number}] > ",
        )
        outcome: Outcome = "passed"
        note = ""
        world = flow.tools.world
        at, began = rfc3339(world.now()), world.monotonic()
        try:
            flow.check_time(place)
            once(where)
        except StepFailure as failure:
            shown = show(item.value, 60)
            failure.message = f"{item_name}[{item.number}] ({shown}): {failure.message}"
            item.failure, outcome, note = failure, failure.outcome, failure.message
        item.done = True
        item.results.insert(
            0,
            StepResult(
                name=one_line(f"{place.path}{name}[{item.number}]", flow.tools.redactor),
                outcome=outcome,
                started_at=at,
                duration_s=round(world.monotonic() - began, 6),
                message=one_line(note, flow.tools.redactor),
            ),
        )

    try:
        if wanted > 1:
            with place.scope.beside(len(values)) as scopes:
                both = zip(values, scopes, strict=True)
                items += [_Item(n, value, scope) for n, (value, scope) in enumerate(both)]
                _side_by_side(flow, items, wanted, do)
            _refuse_shared(items, before, own)
        else:
            for number, value in enumerate(values):
                item = _Item(number, value, before.branch())
                items.append(item)
                do(item)
                _carry_on(item, before, place.scope, own)
                if item.failure:
                    break
    finally:
        for item in items:
            place.results.extend(item.results)
        _collect(items, before, place.scope, own)
    if failures := [item.failure for item in items if item.failure]:
        raise together(failures)


def _elements(loop: dict[str, Any], scope: Scope) -> list[Any]:
    values = evaluated(loop["in"], scope, "forEach")
    if not isinstance(values, list):
        raise StepFailure(
            f"forEach: {loop['in']} is no list but {kind(values)} ({show(values, 60)})",
            permanent=True,
        )
    if len(values) > MAX_ITEMS:
        raise StepFailure(
            f"forEach: {loop['in']} has {len(values)} elements, more than {MAX_ITEMS}",
            permanent=True,
        )
    return [as_json(value) for value in values]


def _side_by_side(flow: Flow, items: list[_Item], wanted: int, do: Callable[[_Item], None]) -> None:
    count = flow.crew.take(wanted, at_least=0)
    try:
        flow.crew.work((partial(do, item) for item in items), count)
    finally:
        flow.crew.give_back(count)


def _carry_on(item: _Item, before: Scope, scope: Scope, own: tuple[str, str]) -> None:
    """Let the next element begin with what this one made of names that were there before."""
    for name, value in item.scope.defined_since(before).items():
        if name in scope.variables and name not in own:
            before.define(name, value)
            scope.define(name, value)
    scope.observed, scope.notes = dict(item.scope.observed), dict(item.scope.notes)
    before.observed, before.notes = dict(item.scope.observed), dict(item.scope.notes)


def _refuse_shared(items: list[_Item], before: Scope, own: tuple[str, str]) -> None:
    for item in items:
        for name in item.scope.defined_since(before):
            if name in before.variables and name not in own:
                raise StepFailure(
                    f"forEach: {name!r} was there before, and elements at the same time cannot"
                    " change it: choose another name, or leave parallelism out",
                    permanent=True,
                )


def _collect(items: list[_Item], before: Scope, scope: Scope, own: tuple[str, str]) -> None:
    new: dict[str, list[Any]] = {}
    done = [item for item in items if item.done]
    for place, item in enumerate(done):
        for name, value in item.scope.variables.items():
            if name not in before.variables and name not in own:
                new.setdefault(name, [None] * len(done))[place] = as_json(value)
    for name, values in new.items():
        scope.define(name, values)


def repeat(flow: Flow, loop: dict[str, Any], name: str, place: Place, once: Once) -> None:
    """
    Do a step several times; each round sees what the one before captured.

    Raises:
        StepFailure: A round failed, or there were ``atMost`` rounds and it had not ended.
    """
    index = loop.get("index", "index")
    if problem := bad_name(index):
        raise StepFailure(f"repeat: {problem}", permanent=True)
    world, before = flow.tools.world, place.scope.variables.get(index)
    limit = loop.get("times") or loop.get("atMost", DEFAULT_ROUNDS)
    pause = parse_duration(loop["every"]).total_seconds() if loop.get("every") else 0.0
    try:
        for number in range(limit):
            place.scope.define(index, number)
            if "while" in loop and not condition(loop["while"], place.scope, "repeat: while"):
                return
            if number and pause:
                world.sleep(max(0.0, min(pause, place.deadline - world.monotonic())))
            _round(flow, number, name, place, once)
            if "until" in loop and condition(loop["until"], place.scope, "repeat: until"):
                return
        _not_ended(loop, limit, place.scope)
    finally:
        if before is None:
            place.scope.variables.pop(index, None)
        else:
            place.scope.define(index, before)


def _round(flow: Flow, number: int, name: str, place: Place, once: Once) -> None:
    place.results.clear()  # of the round before
    try:
        flow.check_time(place)
        once(replace(place, path=f"{place.path}{name}, round {number + 1} > "))
    except StepFailure as failure:
        failure.message = f"round {number + 1}: {failure.message}"
        raise


def _not_ended(loop: dict[str, Any], limit: int, scope: Scope) -> None:
    """Fail where the rounds were used up before the loop's own end."""
    if "times" in loop:
        return
    rounds = "1 round" if limit == 1 else f"{limit} rounds"
    if "until" in loop:
        unmet = judge(loop["until"], scope.bindings())
        why = unmet.summary if unmet else ""
        raise StepFailure(f"until {loop['until']} was not true after {rounds}: {why}")
    if condition(loop["while"], scope, "repeat: while"):
        raise StepFailure(f"while {loop['while']} was still true after {rounds}")
