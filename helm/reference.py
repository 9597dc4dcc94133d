"""
Writes the reference of the chart's values from its schema: ``python helm/reference.py``.

With ``--check`` it only says whether the page is as it would be written; for CI.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parent / "seatrial"
PAGE = Path(__file__).parent.parent / "docs" / "reference" / "helm-values.md"

_HEAD = """\
# Values of the Helm chart

Generated from helm/seatrial/values.schema.json; `make generate` writes it.
A value that is not in this table is refused, and so is one that cannot be.

| value | default | meaning |
| --- | --- | --- |
"""


def page() -> str:
    """Give the page, from the schema's descriptions and the defaults of values.yaml."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    return _HEAD + "".join(f"{row}\n" for row in _rows(schema, values, ""))


def _rows(schema: dict[str, Any], values: Any, path: str) -> Iterator[str]:
    for name, each in schema["properties"].items():
        value = values.get(name) if isinstance(values, dict) else None
        # `name` is what Helm's --set takes; a dot in it would need a backslash, and none has one.
        inner = f"{path}{name}"
        if "properties" in each:
            yield from _rows(each, value, f"{inner}.")
        else:
            yield f"| `{inner}` | {_shown(value)} | {_meaning(each)} |"


def _shown(value: Any) -> str:
    return "" if value is None else f"`{json.dumps(value)}`"


def _meaning(schema: dict[str, Any]) -> str:
    text: str = schema["description"]
    if choices := schema.get("enum"):
        text += f" One of {', '.join(choices)}."
    elif choices := schema.get("items", {}).get("enum"):
        text += f" Any of {', '.join(choices)}."
    if "minimum" in schema:
        text += f" From {schema['minimum']} to {schema['maximum']}."
    return text


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or compare it; 1 if it is out of date."""
    parser = argparse.ArgumentParser(prog="python helm/reference.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    options = parser.parse_args(arguments)
    written = PAGE.is_file() and PAGE.read_text() == page()
    if not written and options.check:
        sys.stderr.write("docs/reference/helm-values.md is out of date, run `make generate`\n")
        return 1
    if not written:
        PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
