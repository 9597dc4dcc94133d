"""Reads data that is kept in files: YAML, JSON, CSV, SQL."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from seatrial.api.data_specification import DataError, read_rows, read_specification
from seatrial.api.lanes import Lane

from seatrial_runner.data.generating import Generator

SUFFIXES = (".yaml", ".yml", ".json", ".csv", ".sql")
Tables = Iterable[tuple[str, list[str], Iterable[Any]]]


@dataclass(frozen=True)
class Contents:
    """What a file holds: tables, each with columns and rows; or a script."""

    tables: Tables = ()
    script: str = ""


def read_text(name: str, text: str, seed: str, lane: Lane | None = None) -> Contents:
    """
    Read what a file holds.

    Args:
        name: Its name, which says what it is. CSV: the rows of the table that the file is named
            after, with their columns in the first line; empty is null. YAML and JSON: rows by
            table, or ``generate`` with a specification. SQL: statements.
        text: What it holds.
        seed: Of what is generated.
        lane: Of what is unique in it.

    Raises:
        DataError: It cannot be read; says where.
    """
    match PurePath(name).suffix:
        case ".sql":
            return Contents(script=text)
        case ".csv":
            return Contents([_csv(name, text)])
        case ".json":
            return Contents(_either(_json(name, text), seed, name, lane))
        case ".yaml" | ".yml":
            return Contents(_either(_yaml(name, text), seed, name, lane))
        case _:
            raise DataError(name, f"must be one of: {', '.join(SUFFIXES)}")


def generated(specification: Any, seed: str, where: str = "", lane: Lane | None = None) -> Tables:
    """Give the tables that a specification says; ``where`` is put before fields in errors."""
    plans = read_specification(specification, where)
    return (
        (plan.name, names, rows) for plan, names, rows in Generator(plans, seed, lane).entities()
    )


def written(rows: Any, where: str = "") -> Tables:
    """Give the tables of rows that are written out."""
    found = read_rows(rows, where)
    return [(table, columns, values) for table, (columns, values) in found.items()]


def _either(document: Any, seed: str, name: str, lane: Lane | None) -> Tables:
    if isinstance(document, Mapping) and set(document) == {"generate"}:
        return generated(document["generate"], seed, f"{name}: generate", lane)
    return written(document, name)


def _csv(name: str, text: str) -> tuple[str, list[str], list[list[str | None]]]:
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        columns = next(lines, [])
        rows = [[value or None for value in line] for line in lines if line]
    except csv.Error as error:
        raise DataError(name, f"line {lines.line_num}: {error}") from error
    if not columns:
        raise DataError(name, "is empty: its first line names the columns")
    # By their names rows are shown and kept: one of two alike would be lost.
    if len(set(columns)) < len(columns):
        raise DataError(name, "its first line names a column twice")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            problem = f"row {number} has {len(row)} values, and there are {len(columns)} columns"
            raise DataError(name, problem)
    return PurePath(name).stem, columns, rows


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(name, f"is no JSON: {error}") from error


def _yaml(name: str, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: 2020-13-45
        raise DataError(name, f"is no YAML: {' '.join(str(error).split())}") from error
