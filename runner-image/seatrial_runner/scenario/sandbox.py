"""
Jinja2's environment for texts of users: sandboxed, bounded, and blind to Python's objects.

Bounded are the output, every value on the way, the turns of loops, and the time; ``templates``
bounds the syntax.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, wraps
from typing import Any, NoReturn

import jinja2
from jinja2 import runtime
from jinja2.sandbox import ImmutableSandboxedEnvironment

from seatrial_runner.scenario.interpolation import (
    MAX_OUTPUT,
    TemplateError,
    to_text,
    undefined_field,
)

MAX_TURNS = 10_000
MAX_TIME_S = 2.0
MAX_INT_BITS = 4096
MAX_DIGITS = 20
TURNS = "_turns"  # the filter that ``templates`` puts around what a loop goes through
FILTERS = (
    "abs", "b64encode", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int",
    "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject",
    "rejectattr", "replace", "reverse", "round", "select", "selectattr", "sort", "string", "sum",
    "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
)  # fmt: skip


class _Budget(threading.local):
    """What is left of a rendering's limits, in this thread."""

    turns = 0
    ends = 0.0

    def renew(self) -> None:
        """Begin a rendering."""
        self.turns = MAX_TURNS
        self.ends = time.monotonic() + MAX_TIME_S

    def check(self) -> None:
        """Refuse to go on when the time is over."""
        if time.monotonic() > self.ends:
            raise TemplateError(f"it took longer than {MAX_TIME_S:g} s")


budget = _Budget()


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
        budget.check()
        sequence = next((v for v in (left, right) if isinstance(v, (str, list, tuple))), None)
        if operator == "%" and sequence is not None:
            raise TemplateError("% takes numbers: put values into text with {{ ... }}")
        if operator == "+" and sequence is not None:
            require_small([left, right])
        if operator == "*":
            _require_small_product(left, right, sequence)
        return super().call_binop(context, operator, left, right)


_LOOP = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """Give the environment; the same one each time."""
    made = _Environment(
        undefined=_Undefined,
        keep_trailing_newline=True,
        autoescape=False,
        optimized=False,  # constants are computed at render time, within the limits
        finalize=_finalize,
        comment_start_string="{%#",  # ``{#`` is common in text, and is no comment
        comment_end_string="#%}",
    )
    made.filters |= {"b64encode": _base64, "tojson": _json}
    filters = {name: _bounded(made.filters[name]) for name in FILTERS}
    filters["round"] = _rounding(filters["round"])
    made.filters = {**filters, "replace": _replace, TURNS: _turns}
    made.globals = {"range": _range}
    return made


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # keeps the marks of pass_environment and pass_context
    def limited(*args: Any, **kwargs: Any) -> Any:
        budget.check()
        require_small([a for a in [*args, *kwargs.values()] if isinstance(a, _DATA)])
        return function(*args, **kwargs)

    return limited


_DATA = (str, list, tuple, dict)


def _rounding(function: Callable[..., Any]) -> Callable[..., Any]:
    def rounded(value: Any, precision: int = 0, method: str = "common") -> Any:
        # Jinja2 computes 10 ** precision.
        if abs(precision) > MAX_DIGITS:
            raise TemplateError(f"round() takes at most {MAX_DIGITS} digits")
        return function(value, precision, method)

    return rounded


def _base64(value: Any) -> str:
    return base64.b64encode(to_text(to_json(value)).encode("utf-8", "replace")).decode()


def _json(value: Any) -> str:
    # NB: Jinja2's own escapes <, > and & for HTML.
    return json.dumps(to_json(value), ensure_ascii=False)


def _replace(value: Any, old: str, new: str) -> str:
    text = to_text(value)
    budget.check()
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
        budget.turns -= 1
        if budget.turns < 0:
            raise TemplateError(f"its loops turn more than {MAX_TURNS} times")
        budget.check()
        yield value


def _finalize(value: Any) -> Any:
    require_small(value)
    return to_text(to_json(value))


def to_json(value: Any) -> Any:
    """
    Give what an expression came to, as JSON.

    Raises:
        TemplateError: It has no JSON form.
        jinja2.UndefinedError: It is not defined.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [to_json(item) for item in value]
        case dict():
            return {str(key): to_json(item) for key, item in value.items()}
        case jinja2.Undefined():
            _refuse(value)
        case Iterable():
            return [to_json(item) for item in _turns(value)]
        case _:
            raise TemplateError(f"a {type(value).__name__} is no JSON value")


def _refuse(undefined: jinja2.Undefined) -> NoReturn:
    undefined()  # whatever one does with it raises the error that names it
    raise AssertionError(undefined)


def require_small(value: Any) -> None:
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
            require_small(list(sequence) * max(0, times) if isinstance(times, int) else sequence)
        return
    ints = isinstance(left, int) and isinstance(right, int)
    if ints and left.bit_length() + right.bit_length() > MAX_INT_BITS:
        raise TemplateError("a number is too large")
