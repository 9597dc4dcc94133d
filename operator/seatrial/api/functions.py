"""
The functions that expressions have beside those of CEL: what a tester needs to compare.

Operator and pods declare the same; ``seatrial_runner.scenario.helpers`` carries them out. Plain.
"""

from __future__ import annotations

from typing import NamedTuple


class Function(NamedTuple):
    """Types as ``cel.Type`` names them."""

    parameters: tuple[str, ...]
    result: str


FUNCTIONS = {
    "hasShape": Function(("DYN", "DYN"), "BOOL"),
    "includes": Function(("DYN", "DYN"), "BOOL"),
    "sameItems": Function(("DYN", "DYN"), "BOOL"),
    "near": Function(("DYN", "DYN", "DYN"), "BOOL"),
    "matchesSchema": Function(("DYN", "DYN"), "BOOL"),
    "isSorted": Function(("DYN",), "BOOL"),
    "duplicates": Function(("DYN",), "DYN"),
    "sum": Function(("DYN",), "DYN"),
    "parseTime": Function(("STRING",), "TIMESTAMP"),
}


def wrong_call(expression: str, line: int, column: int, name: str) -> str:
    """
    Say why the compiler of CEL does not know a name, if it is that of a function; else empty.

    Args:
        expression: The whole.
        line: Where the compiler stopped, from 1.
        column: Likewise. Of a call it names the place of the bracket, of a variable that of its
            name.
        name: What it does not know.
    """
    text = expression.split("\n")[line - 1]
    # Of has(a.b) it names the bracket too.
    if text[column - 1 : column] != "(" or not text[: column - 1].endswith(name):
        return ""
    if name not in FUNCTIONS:
        return f"there is no function {name!r}"
    count = len(FUNCTIONS[name].parameters)
    return f"{name} takes {count} argument{'s' if count > 1 else ''}"
