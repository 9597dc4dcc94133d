"""The names a step can see."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from seatrial.api.lanes import Lane
from seatrial.api.observations import TAKEN

from seatrial_runner import clock
from seatrial_runner.scenario.expressions import RESERVED, UNKNOWN
from seatrial_runner.scenario.values import clean, show_duration

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass
class Scope:
    """
    Variables of a scenario, or of one of its branches.

    Attributes:
        variables: From the matrix, ``set`` and ``capture``; cleaned.
        given: What is there from the beginning, for called scenarios too: ``services``, ``env``,
            ``run``, ``webhooks``; cleaned.
        now: Gives the variable ``now``.
        observed: What the last action of each kind saw, by dotted name; cleaned, or UNKNOWN.
        notes: Why something observed is null, by its name.
        lane: What unique values of data are made of.
    """

    variables: dict[str, Any]
    given: dict[str, Any]
    now: Callable[[], datetime]
    observed: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    lane: Lane = field(default_factory=Lane)

    def branch(self) -> Scope:
        """Give a scope that begins with the same values and goes its own way."""
        return replace(
            self,
            variables=dict(self.variables),
            observed=dict(self.observed),
            notes=dict(self.notes),
        )

    @contextmanager
    def beside(self, count: int) -> Iterator[list[Scope]]:
        """Give the scopes of branches at the same time: what is unique, is so in all of them."""
        lanes = self.lane.split(count)
        try:
            yield [replace(self.branch(), lane=lane) for lane in lanes]
        finally:
            self.lane.join(lanes)

    def inside(self, inputs: Mapping[str, Any]) -> Scope:
        """Give the scope of a scenario that is called: its inputs, and none of our variables."""
        return Scope(clean(dict(inputs)), self.given, self.now, lane=self.lane)

    def adopt(self, other: Scope) -> None:
        """Take over everything of a scope that began as a branch of this one."""
        self.variables, self.observed, self.notes = other.variables, other.observed, other.notes

    def defined_since(self, before: Scope) -> dict[str, Any]:
        """Give the variables that are new here, or mean something else than in another scope."""
        return {
            name: value
            for name, value in self.variables.items()
            if name not in before.variables or value is not before.variables[name]
        }

    def define(self, name: str, value: Any) -> None:
        """Give a name to a value; the name was accepted by ``bad_name``."""
        self.variables[name] = value

    def observe(self, values: Mapping[str, Any], notes: Mapping[str, str]) -> None:
        """Take over what an action saw; what was seen before under the same variables is gone."""
        self.forget({name.partition(".")[0] for name in values})
        self.observed |= {
            name: value if value is UNKNOWN else clean(value) for name, value in values.items()
        }
        self.notes |= notes

    def forget(self, variables: set[str]) -> None:
        """Drop what was seen under these variables."""
        for kept in (self.observed, self.notes):
            for name in [name for name in kept if name.partition(".")[0] in variables]:
                del kept[name]

    def bindings(self) -> dict[str, Any]:
        """Give what expressions see; what was observed by dotted names."""
        return {**self.variables, **self.given, "now": self.now(), **self.observed}

    def template_variables(self) -> dict[str, Any]:
        """Give what templates see; the same names, but for those of which nothing is known."""
        names: dict[str, Any] = {**self.variables, **self.given, "now": self.now()}
        for name, value in self.observed.items():
            if value is UNKNOWN:
                continue
            variable, _, key = name.partition(".")
            shown = show_duration(value) if isinstance(value, timedelta) else value
            if key:
                names.setdefault(variable, {})[key] = shown
            else:
                names[variable] = shown
        return names


def first_scope(
    variables: Mapping[str, Any],
    services: Mapping[str, Any],
    env: Mapping[str, str],
    run: Mapping[str, str] | None = None,
    now: Callable[[], datetime] = clock.now,
    lane: Lane | None = None,
) -> Scope:
    """Make the scope in which a scenario begins."""
    given = {"services": dict(services), "env": dict(env), "run": dict(run or {}), "webhooks": {}}
    return Scope(clean(dict(variables)), clean(given), now, lane=lane or Lane())


def bad_name(name: str) -> str:
    """Say why a variable cannot have this name; empty when it can."""
    if name in TAKEN:
        return f"{name!r} is a name of Seatrial's own: choose another"
    if name in RESERVED:
        return f"{name!r} is a word of CEL: choose another name"
    return "" if _NAME.fullmatch(name) else f"{name!r} is no name: use letters, digits and _"
