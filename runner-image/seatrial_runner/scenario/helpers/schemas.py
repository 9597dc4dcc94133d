"""``matchesSchema``: JSON Schema, by jsonschema-rs."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from seatrial_runner.scenario.helpers.difference import Difference, HelperError, below
from seatrial_runner.scenario.values import normal

MAX_DIFFERENCES = 100


def matches_schema(value: Any, schema: Any) -> list[Difference]:
    """
    Find what of a value a schema does not allow; formats are checked.

    Raises:
        HelperError: The schema is none, or refers to what is not inside of it.
    """
    validator = _validator(json.dumps(schema, sort_keys=True, default=str))
    found = []
    for error in validator.iter_errors(normal(value)):
        path = ""
        for part in error.instance_path:
            path = below(path, part)
        found.append(Difference(path, f"does not match the schema: {error.message}"))
        if len(found) == MAX_DIFFERENCES:
            break
    return sorted(found)  # CEL gives maps in another order in each process


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    try:
        import jsonschema_rs
    except ImportError:
        raise HelperError("it needs the extra: pip install 'seatrial[schema]'") from None
    try:
        # NB: without a retriever it reads files and URLs that the schema names.
        return jsonschema_rs.validator_for(
            json.loads(schema), validate_formats=True, retriever=_refuse
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        text = str(getattr(error, "message", error)).partition("\n")[0]
        raise HelperError(f"the schema is none: {text}") from error


def _refuse(uri: str) -> Any:
    raise ValueError("a schema must hold all that it refers to")
