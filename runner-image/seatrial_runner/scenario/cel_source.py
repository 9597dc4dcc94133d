"""
Looks into the text of a CEL expression, to find the parts whose values explain a failure.

It only has to be right about brackets, texts and operators: the parts it finds are evaluated by CEL
itself, and one that does not compile is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<text>(?:[bB]?[rR]|[rR][bB])(?:\"\"\"(?s:.)*?\"\"\"|'''(?s:.)*?'''|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"\"\"(?s:\\.|.)*?\"\"\"|'''(?s:\\.|.)*?'''
            |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[uU]?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|\S)
    """,
    re.VERBOSE,
)
RELATIONS = ("==", "!=", "<=", ">=", "<", ">", "in")
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    depth: int


@dataclass(frozen=True)
class Comparison:
    """``left relation right``."""

    left: str
    relation: str
    right: str


def conjuncts(expression: str) -> list[str]:
    """Split at ``&&``, if nothing binds weaker; one part means that there is none."""
    tokens = _tokens(expression)
    return _split(expression, tokens, "&&") if not _has(tokens, "||", "?") else [expression]


def alternatives(expression: str) -> list[str]:
    """Split at ``||``, if nothing binds weaker."""
    tokens = _tokens(expression)
    return _split(expression, tokens, "||") if not _has(tokens, "?") else [expression]


def unwrap(expression: str) -> str:
    """Take off parentheses around the whole."""
    expression = expression.strip()
    while expression.startswith("("):
        tokens = _tokens(expression)
        first_close = next((t for t in tokens if t.text == ")" and t.depth == 0), None)
        if first_close is None or first_close is not tokens[-1]:
            break
        expression = expression[1:-1].strip()
    return expression


def comparison(expression: str) -> Comparison | None:
    """Find the outermost comparison; None when the expression is something else."""
    tokens = _tokens(expression)
    if _has(tokens, "&&", "||", "?"):
        return None
    found = [t for t in tokens if t.depth == 0 and t.text in RELATIONS and t.kind != "text"]
    if len(found) != 1:
        return None
    token = found[0]
    left, right = expression[: token.start].strip(), expression[token.end :].strip()
    return Comparison(left, token.text, right) if left and right else None


@dataclass(frozen=True)
class Call:
    """``name(arguments)``."""

    name: str
    arguments: list[str]


def calls(expression: str) -> list[Call]:
    """Find the calls of functions in an expression, outer before inner; not those of methods."""
    tokens = _tokens(expression)
    found = []
    for index, token in enumerate(tokens[:-1]):
        opening = tokens[index + 1]
        if token.kind != "name" or opening.text != "(" or _is_field(tokens, index):
            continue
        rest = tokens[index + 2 :]
        # The bracket's own depth is that of its surroundings.
        close = next((t for t in rest if t.text == ")" and t.depth == opening.depth), None)
        if close is not None:
            inside = expression[opening.end : close.start]
            found.append(Call(token.text, _split(inside, _tokens(inside), ",")))
    return found


def paths(expression: str) -> list[str]:
    """
    Find the variables in an expression with the fields taken of them, each once, longest form.

    ``response.json.items[0].id == size(other)`` gives ``response.json.items[0].id`` and ``other``.
    """
    tokens = _tokens(expression)
    found: dict[str, None] = {}
    for index, token in enumerate(tokens):
        starts = token.kind == "name" and token.text not in ("in", "true", "false", "null")
        if starts and not _is_field(tokens, index):
            end = _path_end(tokens, index)
            if end is not None:
                found[expression[token.start : end]] = None
    return list(found)


def prefixes(path: str) -> list[str]:
    """Give the steps that lead to a path: ``a``, ``a.b``, ``a.b[0]`` for ``a.b[0]``."""
    tokens = _tokens(path)
    ends = [
        token.end
        for token, after in zip(tokens, [*tokens[1:], None], strict=True)
        if token.depth == 0
        and token.text != "."
        and (token.kind == "name" or token.text == "]")
        and (after is None or after.text in (".", "["))
    ]
    return [path[:end] for end in ends]


def _is_field(tokens: list[_Token], index: int) -> bool:
    before = "".join(token.text for token in tokens[max(0, index - 2) : index])
    return before.endswith((".", ".?"))


def _path_end(tokens: list[_Token], index: int) -> int | None:
    """Find where the path that begins here ends; None when it is the name of a function."""
    if index + 1 < len(tokens) and tokens[index + 1].text == "(":
        return None
    end, index = tokens[index].end, index + 1
    while index < len(tokens):
        token = tokens[index]
        following = [t.text for t in tokens[index + 1 : index + 3]]
        if token.text == "." and following and "(" not in following[1:]:
            if tokens[index + 1].kind != "name":
                break
            end, index = tokens[index + 1].end, index + 2
        elif token.text == "[":
            close = next(
                (i for i, t in enumerate(tokens) if i > index and t.depth == token.depth), None
            )
            # The bracket's own depth is that of its surroundings, inside it is one more.
            if close is None or tokens[close].text != "]":
                break
            end, index = tokens[close].end, close + 1
        else:
            break
    return end


def _tokens(expression: str) -> list[_Token]:
    tokens, depth = [], 0
    for match in _TOKEN.finditer(expression):
        kind, text = str(match.lastgroup), match[0]
        bracket = text if kind == "sign" else ""
        if bracket and bracket in _CLOSE:
            depth -= 1
        tokens.append(_Token(kind, text, match.start(), match.end(), depth))
        if bracket and bracket in _OPEN:
            depth += 1
    return tokens


def _has(tokens: list[_Token], *signs: str) -> bool:
    return any(t.depth == 0 and t.kind == "sign" and t.text in signs for t in tokens)


def _split(expression: str, tokens: list[_Token], sign: str) -> list[str]:
    parts, start = [], 0
    for token in tokens:
        if token.depth == 0 and token.kind == "sign" and token.text == sign:
            parts.append(expression[start : token.start].strip())
            start = token.end
    return [*parts, expression[start:].strip()]
