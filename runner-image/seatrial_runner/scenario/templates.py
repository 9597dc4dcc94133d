"""
Jinja2, as far as a scenario's text may use it: values in, text or a JSON value out.

The text comes from whoever may create a run, so it is data: names, fields, operators, ``if``,
``for`` and a list of filters; no assignments, calls, macros or imports, nothing of a Python object.
Bounded in output, in size of every value on the way, in turns of loops, and in time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, wraps
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes, runtime
from jinja2.sandbox import ImmutableSandboxedEnvironment

from seatrial_runner.scenario.interpolation import (
    MAX_OUTPUT,
    TemplateError,
    to_text,
    undefined_field,
    undefined_name,
)
from seatrial_runner.scenario.values import as_json

MAX_TURNS = 10_000
MAX_TIME_S = 2.0
MAX_INT_BITS = 4096
FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items",
    "join", "last", "length", "list", "lower", "max", "min", "reject", "rejectattr", "replace",
    "reverse", "round", "select", "selectattr", "sort", "string", "sum", "title", "trim",
    "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip
_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const,
    nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter,
    nodes.Test, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Compare, nodes.Operand, nodes.Not,
    nodes.And, nodes.Or, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
    nodes.FloorDiv, nodes.Mod,
)  # fmt: skip
# Stands for a carriage return while Jinja2, which would turn CRLF into LF, holds the text.
_CARRIAGE_RETURN = "\ue00d"


class _Budget(threading.local):
    """What is left of a rendering's limits, in this thread."""

    turns = 0
    ends = 0.0

    def renew(self) -> None:
        self.turns = MAX_TURNS
        self.ends = time.monotonic() + MAX_TIME_S

    def check(self) -> None:
        if time.monotonic() > self.ends:
            raise TemplateError(f"it took longer than {MAX_TIME_S:g} s")


_budget = _Budget()


class _Undefined(jinja2.StrictUndefined):
    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        # Known names are added where they are known: in ``_guarded``.
        if self._undefined_obj is jinja2.utils.missing:
            return f"nothing is named {self._undefined_name!r}"
        return undefined_field(self._undefined_obj, self._undefined_name)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Give a field of a map: ``order.items`` is its key, never the method of dict."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Give a field, an element or a slice; nothing of a Python object."""
        try:
            if isinstance(obj, (dict, list, tuple, str, runtime.LoopContext)):
                if isinstance(obj, runtime.LoopContext):
                    return (
                        getattr(obj, argument) if argument in _LOOP else self._none(obj, argument)
                    )
                return obj[argument]
        except (KeyError, IndexError, TypeError):
            pass
        return self._none(obj, argument)

    def _none(self, obj: Any, argument: Any) -> Any:
        if isinstance(obj, jinja2.Undefined):
            _refuse(obj)
        return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Compute ``+``, ``*`` and ``%`` within bounds."""
        _budget.check()
        sequence = next((v for v in (left, right) if isinstance(v, (str, list, tuple))), None)
        if operator == "%" and sequence is not None:
            raise TemplateError("% takes numbers: put values into text with {{ ... }}")
        if operator == "+" and sequence is not None:
            _require_small([left, right])
        if operator == "*":
            _require_small_product(left, right, sequence)
        return super().call_binop(context, operator, left, right)


_LOOP = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})


def render(text: str, variables: Mapping[str, Any]) -> str:
    """Fill in a text; see ``interpolation.render``."""
    return str(_guarded(text, variables, _render))


def render_native(text: str, variables: Mapping[str, Any]) -> Any:
    """Fill in a text; one that is a lone ``{{ ... }}`` gives its value as JSON."""
    return _guarded(text, variables, _render_native)


def _render(text: str, variables: dict[str, Any]) -> str:
    template = _template(text, native=False)
    parts, length = [], 0
    for part in template.generate(variables):
        length += len(part)
        if length > MAX_OUTPUT:
            raise TemplateError("the result is longer than 1 MiB")
        parts.append(part)
    return "".join(parts).replace(_CARRIAGE_RETURN, "\r")


def _render_native(text: str, variables: dict[str, Any]) -> Any:
    template = _template(text, native=True)
    if template is None:
        return _render(text, variables)
    context = template.new_context(variables)
    for _ in template.root_render_func(context):
        pass
    value = context.vars["result"]
    _require_small(value)
    return _json(value)


def _guarded(
    text: str, variables: Mapping[str, Any], work: Callable[[str, dict[str, Any]], Any]
) -> Any:
    _budget.renew()
    try:
        return work(text, {name: as_json(value) for name, value in variables.items()})
    except jinja2.UndefinedError as error:
        message = str(error.message)
        if message.startswith("nothing is named"):
            message = undefined_name(message.split("'")[1], variables)
        raise TemplateError(f"{_shown(text)}: {message}") from error
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{_shown(text)}: {error.message}") from error
    except RecursionError:
        raise TemplateError(f"{_shown(text)}: it is nested too deeply") from None
    except TemplateError as error:
        raise TemplateError(f"{_shown(text)}: {error}") from None
    # Filters and operators raise whatever Python does for odd values.
    except Exception as error:
        raise TemplateError(f"{_shown(text)}: {error}") from error


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:80]}…"


@lru_cache(maxsize=256)
def _template(text: str, *, native: bool) -> Any:
    """Compile a text; as an expression, None if it is more than a lone ``{{ ... }}``."""
    environment = _environment()
    tree = environment.parse(text.replace("\r", _CARRIAGE_RETURN))
    _check(tree)
    if native:
        lone = _lone_expression(tree)
        if lone is None:
            return None
        body = [nodes.Assign(nodes.Name("result", "store"), lone, lineno=1)]
        tree = nodes.Template(body, lineno=1)
        tree.set_environment(environment)
    return environment.from_string(tree)


def _lone_expression(tree: nodes.Template) -> nodes.Expr | None:
    if len(tree.body) == 1 and isinstance(tree.body[0], nodes.Output):
        parts = tree.body[0].nodes
        if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData):
            return parts[0]
    return None


def _check(tree: nodes.Template) -> None:
    # A list: the loop below puts filters of its own into the tree.
    for node in list(tree.find_all(nodes.Node)):
        if isinstance(node, nodes.Call) and _is_range(node):
            continue
        if isinstance(node, nodes.Filter) and node.name not in FILTERS:
            raise TemplateError(
                f"there is no filter {node.name!r}; there are: {', '.join(FILTERS)}"
            )
        if not isinstance(node, _NODES):
            what = type(node).__name__
            raise TemplateError(f"{_PLAIN.get(what, what)} cannot be used here")
        if isinstance(node, nodes.For):
            node.iter = nodes.Filter(node.iter, "_turns", [], [], None, None, lineno=node.lineno)


_PLAIN = {
    "Call": "a call",
    "Assign": "{% set %}",
    "Concat": "~ (write {{ a }}{{ b }})",
    "Pow": "**",
    "Macro": "{% macro %}",
}


def _is_range(node: nodes.Call) -> bool:
    return isinstance(node.node, nodes.Name) and node.node.name == "range"


@lru_cache(maxsize=1)
def _environment() -> _Environment:
    environment = _Environment(
        undefined=_Undefined,
        keep_trailing_newline=True,
        autoescape=False,
        optimized=False,  # constants are computed at render time, within the limits
        finalize=_finalize,
        comment_start_string="{%#",  # ``{#`` is common in text, and is no comment
        comment_end_string="#%}",
    )
    filters = {name: _bounded(environment.filters[name]) for name in FILTERS if name != "replace"}
    environment.filters = {**filters, "replace": _replace, "_turns": _turns}
    environment.globals = {"range": _range}
    return environment


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # keeps the marks of pass_environment and pass_context
    def limited(*args: Any, **kwargs: Any) -> Any:
        _budget.check()
        _require_small([a for a in [*args, *kwargs.values()] if isinstance(a, _DATA)])
        return function(*args, **kwargs)

    return limited


_DATA = (str, list, tuple, dict)


def _replace(value: Any, old: str, new: str) -> str:
    text = to_text(value)
    _budget.check()
    if len(text) + text.count(old) * len(new) > MAX_OUTPUT:
        raise TemplateError("the result of replace is longer than 1 MiB")
    return text.replace(old, new)


def _range(*bounds: int) -> list[int]:
    numbers = range(*bounds)
    if len(numbers) > MAX_TURNS:
        raise TemplateError(f"range() gives at most {MAX_TURNS} numbers")
    return list(numbers)


def _turns(values: Iterable[Any]) -> Iterator[Any]:
    if isinstance(values, jinja2.Undefined):
        _refuse(values)
    for value in values:
        _budget.turns -= 1
        if _budget.turns < 0:
            raise TemplateError(f"its loops turn more than {MAX_TURNS} times")
        _budget.check()
        yield value


def _finalize(value: Any) -> Any:
    _require_small(value)
    return to_text(_json(value))


def _json(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_json(item) for item in value]
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case jinja2.Undefined():
            _refuse(value)
        case Iterable():
            return [_json(item) for item in _turns(value)]
        case _:
            raise TemplateError(f"a {type(value).__name__} is no JSON value")


def _refuse(undefined: jinja2.Undefined) -> NoReturn:
    undefined()  # whatever one does with it raises the error that names it
    raise AssertionError(undefined)


def _require_small(value: Any) -> None:
    """Refuse a value whose text would be longer than the limit; looks no further than that."""
    left, stack = MAX_OUTPUT, [value]
    while stack:
        item = stack.pop()
        match item:
            case str():
                left -= len(item)
            case list() | tuple():
                left -= 2 * len(item)
                stack.extend(item if left >= 0 else ())
            case dict():
                left -= 2 * len(item)
                stack.extend(item if left >= 0 else ())
                stack.extend(item.values() if left >= 0 else ())
            case _:
                left -= 1
        if left < 0:
            raise TemplateError("a value is longer than 1 MiB")


def _require_small_product(left: Any, right: Any, sequence: Any) -> None:
    if sequence is not None:
        times = right if sequence is left else left
        if isinstance(times, int) and len(sequence) * times > MAX_OUTPUT:
            raise TemplateError("a value is longer than 1 MiB")
        if isinstance(sequence, (list, tuple)):
            _require_small(list(sequence) * max(0, times) if isinstance(times, int) else sequence)
        return
    ints = isinstance(left, int) and isinstance(right, int)
    if ints and left.bit_length() + right.bit_length() > MAX_INT_BITS:
        raise TemplateError("a number is too large")
