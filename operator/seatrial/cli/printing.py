"""Objects as JSON or YAML on standard output."""

from __future__ import annotations

import json
from typing import Any

FORMATS = ("json", "yaml", "name")


def print_object(value: dict[str, Any], form: str) -> None:
    """Print an object of the API as ``-o`` asks for it, without the fields' managers."""
    value = {**value, "metadata": dict(value["metadata"])}
    value["metadata"].pop("managedFields", None)
    match form:
        case "name":
            print(value["metadata"]["name"])
        case "json":
            print(json.dumps(value, indent=2, ensure_ascii=False))
        case _:
            import yaml

            print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")
