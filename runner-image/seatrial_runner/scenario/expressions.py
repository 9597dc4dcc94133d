"""
CEL: the one place that imports cel-expr-python, and knows its traps.

NB: in 0.1.3

- an error at run time is a value of type ERROR whose ``value()`` is its text, which is truthy;
- ``value()`` and ``plain_value()`` of a null give away a reference to None that is not theirs, and
  end CPython 3.11 ("deallocating None") after a few thousand: never call them on a null;
- a duration inside a list or map cannot be bound: ``response`` is therefore bound as dotted
  variables (``response.status``), which also lets the compiler check their names and types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from seatrial.api.functions import FUNCTIONS, wrong_call
from seatrial.api.observations import OBSERVED, TAKEN, TYPES

if TYPE_CHECKING:
    from cel_expr_python import cel

# Words of the language, and names it gives a meaning; none can name a variable.
RESERVED = frozenset(
    {
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import",
        "in", "let", "loop", "namespace", "null", "package", "return", "true", "var", "void",
        "while", "bool", "bytes", "double", "dyn", "duration", "int", "list", "map", "null_type",
        "optional", "string", "timestamp", "type", "uint", "math", "strings",
    }
)  # fmt: skip


# In place of a value that is not known: what needs it has no value, and what does not has one.
UNKNOWN = object()

# Errors of these say that the scenario is wrong, whatever the system answers.
_MISUSED = ("hasShape: ", "matchesSchema: ", "near: ")
_NOT_KNOWN = "its value is not known"


class ExpressionError(Exception):
    """
    An expression that has no value.

    ``permanent``: it cannot be compiled, so that trying again would not help.
    ``unknown``: a value that it needs is not known.
    """

    def __init__(self, message: str, *, permanent: bool = False, unknown: bool = False) -> None:
        self.permanent = permanent
        self.unknown = unknown
        super().__init__(message)


def evaluate(expression: str, bindings: Mapping[str, Any]) -> Any:
    """
    Evaluate an expression.

    Args:
        expression: CEL, with the ``strings``, ``math`` and ``optional`` extensions.
        bindings: Values by name, cleaned by ``values.clean``, or UNKNOWN; a name may be dotted.

    Returns:
        A JSON type, ``bytes``, ``timedelta`` or ``datetime``.

    Raises:
        ExpressionError: With a sentence that says why there is no value.
    """
    variables = tuple(sorted((name, _type_of(name, value)) for name, value in bindings.items()))
    compiled = _compile(expression, variables)
    try:
        known = {name: value for name, value in bindings.items() if value is not UNKNOWN}
        value = compiled.eval(data=known)
        return _plain(value)
    except RuntimeError as error:  # "Iteration budget exceeded"
        raise ExpressionError(_reason(str(error))) from error


def preload() -> None:
    """Import the library and make one environment, so that a forked worker need not."""
    _environment((), helpers=False)


def _plain(value: cel.Value) -> Any:
    kind = value.type().name().partition("<")[0]
    match kind:
        case "ERROR" | "UNKNOWN":
            reason = _error_of(value)
            raise ExpressionError(
                reason,
                permanent=reason.startswith(_MISUSED),
                unknown=reason == _NOT_KNOWN,
            )
        case "NULL":
            return None
        case "LIST":
            return [_plain(item) for item in value.value()]
        case "MAP":
            return {key: _plain(item) for key, item in value.value().items()}
        case "TYPE":
            return str(value.value())
        case "BYTES":
            return bytes(value.value())
        case _:
            return value.value()


def _error_of(value: cel.Value) -> str:
    try:
        return _reason(str(value.value()))
    except TypeError:  # an optional has no Python form, and calls itself an error
        return "it gives an optional value: end it with .orValue(...)"


def _type_of(name: str, value: Any) -> str:
    match value:
        case timedelta():
            return "DURATION"
        case datetime():
            return "TIMESTAMP"
        case _:
            return TYPES.get(name, "DYN")


@lru_cache(maxsize=512)
def _compile(expression: str, variables: tuple[tuple[str, str], ...]) -> cel.Expression:
    try:
        # With our functions an environment takes twice as long to make: 1 ms.
        helpers = any(name in expression for name in FUNCTIONS)
        return _environment(variables, helpers=helpers).compile(expression)
    except RuntimeError as error:
        names = {name for name, _ in variables}
        reason = _compile_reason(expression, str(error), names)
        raise ExpressionError(reason, permanent=True) from error


@lru_cache(maxsize=64)
def _environment(variables: tuple[tuple[str, str], ...], *, helpers: bool) -> cel.Env:
    from cel_expr_python import cel

    types = {name: getattr(cel.Type, kind) for name, kind in variables}
    return cel.NewEnv(variables=types, extensions=_extensions(helpers=helpers))


@cache
def _extensions(*, helpers: bool) -> list[Any]:
    from cel_expr_python.ext import ext_math, ext_optional, ext_strings

    extensions = [ext_strings.ExtStrings(), ext_math.ExtMath(), ext_optional.ExtOptional()]
    return [*extensions, _helpers()] if helpers else extensions


def _helpers() -> Any:
    """Make an extension of our own functions."""
    from cel_expr_python import cel

    from seatrial_runner.scenario.helpers import implementation

    return cel.CelExtension(
        "seatrial",
        [
            cel.FunctionDecl(
                name,
                [
                    cel.Overload(
                        f"seatrial_{name}",
                        getattr(cel.Type, function.result),
                        [getattr(cel.Type, each) for each in function.parameters],
                        impl=implementation(name),
                    )
                ],
            )
            for name, function in FUNCTIONS.items()
        ],
    )


_STATUS_WORD = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")
_COMPILE_ERROR = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_BINARY = re.compile(r"_([^\w\s]{1,2}|in)_'? ?(?:applied to )?'?\((.+), (.+)\)")


def _reason(text: str) -> str:
    text = _STATUS_WORD.sub("", _STATUS_WORD.sub("", text)).strip()
    if match := re.match(r'Key not found in map : "?(.*?)"?$', text):
        return f"no such key {match[1]!r}"
    if match := re.match(r"Index error: index=(-?\d+) size=(\d+)", text):
        return f"no element [{match[1]}]: the list has {match[2]}"
    if match := re.match(r"No matching overloads found : (.*)", text):
        return _overload(match[1])
    if text.startswith("No value with name "):
        return _NOT_KNOWN
    if text.startswith("Applying SELECT"):
        return "a field of something that is no map"
    return text[:1].lower() + text[1:]


def _compile_reason(expression: str, text: str, names: set[str]) -> str:
    found = _COMPILE_ERROR.findall(text)
    # What follows from an unknown name says nothing by itself.
    telling = [each for each in found if "'*error*'" not in each[2]] or found
    problems = [
        _compile_problem(expression, int(line), int(column), problem, names)
        for line, column, problem in telling[:3]
    ]
    return "; ".join(dict.fromkeys(problems or [_reason(text)]))


def _compile_problem(expression: str, line: int, column: int, problem: str, names: set[str]) -> str:
    if match := re.match(r"undeclared reference to '(.*?)'", problem):
        wrong = wrong_call(expression, line, column, match[1])
        return wrong or _unknown_name(match[1], names)
    if match := re.match(r"found no matching overload for (.*)", problem):
        return _overload(match[1])
    if re.match(r"Syntax error: token recognition error at: '= ?'", problem):
        return "a single = is no operator: compare with =="
    problem = problem.partition(" expecting ")[0]
    return problem[:1].lower() + problem[1:]


def _unknown_name(name: str, names: set[str]) -> str:
    variable, _, field = name.partition(".")
    if variable in TAKEN:
        fields = sorted(n.partition(".")[2] for n in names if n.startswith(f"{variable}."))
        if not fields:
            return _nothing_seen(variable)
        return f"{variable} has no field {field!r}; its fields are: {', '.join(fields)}"
    known = sorted({n.split(".")[0] for n in names})
    return f"nothing is named {name!r}; known names are: {', '.join(known)}"


def _nothing_seen(variable: str) -> str:
    kinds = [kind for kind, given in OBSERVED.items() if any(_is_of(n, variable) for n in given)]
    if variable == "response":
        return "there is no response: no request was sent before"
    if variable == "error":
        return "there is no error: only a step with expectError gives one"
    return f"there is no {variable} yet: no step of kind {' or '.join(kinds)} came before"


def _is_of(name: str, variable: str) -> bool:
    return name.partition(".")[0] == variable


def _overload(text: str) -> str:
    text = text.replace("int64", "int").replace("google.protobuf.Duration", "duration")
    if match := _BINARY.search(text):
        return f"{match[2]} {match[1]} {match[3]} cannot be computed: convert one side"
    if text.startswith("<jump_condition>") or text in ("!_", "_&&_", "_||_"):
        return "something that is no bool stands where one is needed"
    text = re.sub(r"'([^']*)' applied to '\((.*)\)'", r"\1(\2)", text)
    return f"no such function for these types: {text}"
