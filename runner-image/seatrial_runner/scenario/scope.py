"""The names a step can see."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seatrial_runner.scenario.exchange import Response
from seatrial_runner.scenario.expressions import RESERVED
from seatrial_runner.scenario.values import clean, show_duration

# Names that steps themselves define.
TAKEN = frozenset({"response", "services", "env"})
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass
class Scope:
    """
    Variables of a scenario, or of one of its branches.

    Attributes:
        variables: From the matrix, ``set`` and ``capture``; cleaned.
        services: The variable ``services``.
        env: The variable ``env``.
        response: Of the last request; None before the first.
    """

    variables: dict[str, Any]
    services: dict[str, Any]
    env: dict[str, str]
    response: Response | None = None

    def branch(self) -> Scope:
        """Give a scope that begins with the same values and goes its own way."""
        return Scope(dict(self.variables), self.services, self.env, self.response)

    def define(self, name: str, value: Any) -> None:
        """Give a name to a value; the name was accepted by ``bad_name``."""
        self.variables[name] = value

    def bindings(self) -> dict[str, Any]:
        """Give what expressions see; the parts of a response by dotted names."""
        return {
            **self.variables,
            "services": self.services,
            "env": self.env,
            **({} if self.response is None else _bound(self.response)),
        }

    def template_variables(self) -> dict[str, Any]:
        """Give what templates see; the same names."""
        names = {**self.variables, "services": self.services, "env": self.env}
        if self.response is not None:
            fields = {k.partition(".")[2]: v for k, v in _bound(self.response).items()}
            names["response"] = {**fields, "elapsed": show_duration(self.response.elapsed)}
        return names


def first_scope(
    variables: Mapping[str, Any], services: Mapping[str, Any], env: Mapping[str, str]
) -> Scope:
    """Make the scope in which a scenario begins."""
    return Scope(clean(dict(variables)), clean(dict(services)), clean(dict(env)))


def bad_name(name: str) -> str:
    """Say why a variable cannot have this name; empty when it can."""
    if name in TAKEN:
        return f"{name!r} is a name of Seatrial's own: choose another"
    if name in RESERVED:
        return f"{name!r} is a word of CEL: choose another name"
    return "" if _NAME.fullmatch(name) else f"{name!r} is no name: use letters, digits and _"


def _bound(response: Response) -> dict[str, Any]:
    return {
        "response.status": response.status,
        "response.headers": clean(response.headers),
        "response.text": clean(response.text),
        "response.json": clean(response.json),
        "response.elapsed": response.elapsed,
        "response.url": clean(response.url),
    }
