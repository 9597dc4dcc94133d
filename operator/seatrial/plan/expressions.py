"""
Whether CEL expressions and templates of users can be read. Nothing is evaluated or rendered here.

Names that steps define are not known, so within scenarios an unknown name is none of our business;
only what no value could mend is reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from seatrial.api.functions import FUNCTIONS, wrong_call
from seatrial.api.observations import GIVEN, OBSERVED, TAKEN, fields_of, types_of

if TYPE_CHECKING:
    import jinja2
    from cel_expr_python import cel

_PROBLEM = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_SINGLE_EQUALS = re.compile(r"Syntax error: token recognition error at: '= ?'")
_COMPARED = re.compile(r"found no matching overload for '_(\W+)_' applied to '\((\w+), (\w+)\)'")
_FOLLOWS = re.compile(r"of type '\*error\*'")
_UNDECLARED = re.compile(r"undeclared reference to '(.*?)'")
# In a chain, each doubles what it is called on, when it is expanded: 8 take 10 ms, 20 take 13 s.
_DOUBLING = re.compile("optMap|optFlatMap")
_MOST_DOUBLINGS = 8
_GUARDS = ("d", "default", "defined", "undefined")  # filters and tests that ask for no value


@lru_cache(maxsize=1024)
def expression_problem(expression: str, kind: str = "", *, alone: bool = False) -> str:
    """
    Say why a CEL expression cannot work, whatever the values are; empty if it may.

    Args:
        expression: CEL.
        kind: Of the step that it belongs to: what several kinds give under one name, such as
            ``response``, has the fields of this one.
        alone: It stands outside of scenarios, so that no step has named anything.
    """
    if len(_DOUBLING.findall(expression)) > _MOST_DOUBLINGS:
        most = f"it has more than {_MOST_DOUBLINGS} of optMap and optFlatMap"
        return f"{most}; make several expectations of it"
    try:
        _cel(kind, alone=alone).compile(expression)
    except RuntimeError as error:
        text = str(error)
        found = _PROBLEM.findall(text)
        problems = [
            _plain(expression, int(line), int(column), problem, kind, alone=alone)
            for line, column, problem in found
        ]
        if not found:
            return text.partition(":")[2].split("[")[0].strip() or text
        return next((problem for problem in problems if problem), "")
    return ""


def name_problem(name: str) -> str:
    """Say why a value cannot have this name; empty if it can."""
    if name in TAKEN:
        return "is a name of Seatrial's own."
    try:
        _cel().compile(name)
    except RuntimeError as error:
        undeclared = _UNDECLARED.search(str(error))
        return "" if undeclared and undeclared[1] == name else "is a word of CEL."
    return "is a word of CEL."


def template_problem(text: str) -> str:
    """Say why a text with ``{{ ... }}`` cannot be read; empty if it can."""
    if "{{" not in text and "{%" not in text:
        return ""
    import jinja2

    try:
        _templates().parse(text)
    except jinja2.TemplateSyntaxError as error:
        return str(error.message).rstrip(".")
    except RecursionError:
        return "it is nested too deeply"
    return ""


def unknown_name_problem(text: str) -> str:
    """Say which name of a text's ``{{ ... }}`` nothing has outside of scenarios; or empty."""
    if template_problem(text):
        return ""  # said already
    from jinja2 import nodes

    try:
        tree = _templates().parse(text)
        named = list(tree.find_all(nodes.Name))
        asked = [
            each.node for each in tree.find_all((nodes.Filter, nodes.Test)) if each.name in _GUARDS
        ]
    except RecursionError:
        return ""  # NB: the engine says so, as of filters that it does not know
    known = GIVEN.keys() | {"range", "loop"} | {each.name for each in named if each.ctx != "load"}
    known |= {each.name for each in asked if isinstance(each, nodes.Name)}
    unknown = sorted({each.name for each in named} - known)
    return f"nothing is named {unknown[0]!r}; there are: {_listed(GIVEN)}" if unknown else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _plain(expression: str, line: int, column: int, problem: str, kind: str, *, alone: bool) -> str:
    """
    Put a problem of the compiler into words.

    Empty if it is only a name that a step may give, or follows from one.
    """
    if _FOLLOWS.search(problem):
        return ""
    if undeclared := _UNDECLARED.match(problem):
        if wrong := wrong_call(expression, line, column, undeclared[1]):
            return f"{wrong} (column {column})"
        variable, _, field = undeclared[1].partition(".")
        if alone:
            known = {name.partition(".")[0] for name in OBSERVED[kind]} | GIVEN.keys()
            if variable not in known:
                return f"nothing is named {variable!r}; there are: {_listed(known)}"
        if not field or variable not in TAKEN:
            return ""
        fields = ", ".join(fields_of(variable, kind))
        return f"{variable} has no field {field!r}; its fields are: {fields}"
    if _SINGLE_EQUALS.match(problem):
        return f"a single = is no operator, compare with == (column {column})"
    if types := _COMPARED.match(problem):
        return f"{types[2]} {types[1]} {types[3]} cannot be computed, convert one side"
    problem = problem.removeprefix("Syntax error: ").partition(" expecting ")[0]
    return f"{problem[:200]} (column {column})"


@cache
def _cel(kind: str = "", *, alone: bool = False) -> cel.Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_math, ext_optional, ext_strings

    known = OBSERVED[kind] | GIVEN if alone else types_of(kind)
    types = {name: getattr(cel.Type, type_) for name, type_ in known.items()}
    extensions = [ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()]
    # NB: declared only. Nothing is evaluated here.
    functions = [
        cel.FunctionDecl(
            name,
            [
                cel.Overload(
                    f"seatrial_{name}",
                    getattr(cel.Type, function.result),
                    [getattr(cel.Type, each) for each in function.parameters],
                )
            ],
        )
        for name, function in FUNCTIONS.items()
    ]
    return cel.NewEnv(variables=types, extensions=extensions, functions=functions)


@cache
def _templates() -> jinja2.Environment:
    import jinja2

    # NB: parsed only. The comment marks are those of the scenario engine.
    return jinja2.Environment(  # noqa: S701 - nothing is rendered
        comment_start_string="{%#", comment_end_string="#%}"
    )
