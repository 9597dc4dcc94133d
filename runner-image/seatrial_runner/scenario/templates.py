"""
Jinja2, as far as a scenario's text may use it: values in, text or a JSON value out.

The text comes from whoever may create a run, so it is data: names, fields, operators, ``if``,
``for`` and a list of filters; no assignments, calls, macros or imports.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2 import nodes

from seatrial_runner.scenario.interpolation import MAX_OUTPUT, TemplateError, undefined_name
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.sandbox import (
    FILTERS,
    TURNS,
    budget,
    environment,
    require_small,
    to_json,
)
from seatrial_runner.scenario.values import as_json

_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.Name, nodes.Const,
    nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr, nodes.Filter,
    nodes.Test, nodes.Getitem, nodes.Getattr, nodes.Slice, nodes.Compare, nodes.Operand, nodes.Not,
    nodes.And, nodes.Or, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div,
    nodes.FloorDiv, nodes.Mod,
)  # fmt: skip
# Stands for a carriage return while Jinja2, which would turn CRLF into LF, holds the text.
_CARRIAGE_RETURN = "\ue00d"


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
    require_small(value)
    return to_json(value)


def _guarded(
    text: str, variables: Mapping[str, Any], work: Callable[[str, dict[str, Any]], Any]
) -> Any:
    budget.renew()
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
    except MemoryError:
        raise
    # Filters and operators raise whatever Python does for odd values.
    except Exception as error:
        raise TemplateError(f"{_shown(text)}: {error}") from error


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return cut(line, 80)


@lru_cache(maxsize=256)
def _template(text: str, *, native: bool) -> Any:
    """Compile a text; as an expression, None if it is more than a lone ``{{ ... }}``."""
    tree = environment().parse(text.replace("\r", _CARRIAGE_RETURN))
    _check(tree)
    if native:
        lone = _lone_expression(tree)
        if lone is None:
            return None
        body = [nodes.Assign(nodes.Name("result", "store"), lone, lineno=1)]
        tree = nodes.Template(body, lineno=1)
        tree.set_environment(environment())
    return environment().from_string(tree)


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
            node.iter = nodes.Filter(node.iter, TURNS, [], [], None, None, lineno=node.lineno)


_PLAIN = {
    "Call": "a call",
    "Assign": "{% set %}",
    "Concat": "~ (write {{ a }}{{ b }})",
    "Pow": "**",
    "Macro": "{% macro %}",
}


def _is_range(node: nodes.Call) -> bool:
    return isinstance(node.node, nodes.Name) and node.node.name == "range"
