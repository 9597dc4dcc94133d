"""The YAML documents of a file: the run, and what it needs beside it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seatrial.api import names
from seatrial.cli.exits import CommandError, Exit

Json = dict[str, Any]


@dataclass(frozen=True)
class Documents:
    """What a file holds, in its order."""

    source: str
    runs: tuple[Json, ...]
    others: tuple[Json, ...]

    def only_run(self) -> Json:
        """
        Give the file's run.

        Raises:
            CommandError: There is none, or more than one.
        """
        if len(self.runs) == 1:
            return self.runs[0]
        found = f"{len(self.runs)} runs" if self.runs else f"no {names.KIND}"
        raise CommandError(f"{self.source} has {found}: give a file with one", Exit.REFUSED)


def read_documents(source: str) -> Documents:
    """
    Read a file, or standard input if ``source`` is ``-``.

    Raises:
        CommandError: It cannot be read, or is not YAML, or holds something other than objects.
    """
    import yaml

    from seatrial.plan.documents import Loader

    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        # Through JSON, as it is sent: there all keys are text.
        parsed = json.loads(json.dumps(list(yaml.load_all(text, Loader=Loader))))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CommandError(f"cannot read {source}: {reason}", Exit.NOT_FOUND) from error
    # NB: a tag that does not fit its value, such as !!int x, makes PyYAML raise a bare ValueError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CommandError(f"{source} is not YAML: {_where(error)}", Exit.REFUSED) from error
    except TypeError as error:
        raise CommandError(f"{source} holds what JSON has not: {error}", Exit.REFUSED) from error
    runs: list[Json] = []
    others: list[Json] = []
    for number, document in enumerate(_unfold(parsed), start=1):
        if problem := _misshapen(document):
            raise CommandError(
                f"{source}: document {number} is no Kubernetes object: {problem}", Exit.REFUSED
            )
        (runs if document["kind"] == names.KIND else others).append(document)
    return Documents(source, tuple(runs), tuple(others))


def _misshapen(document: Any) -> str:
    """Say what every object has in another form; a document without metadata gets empty ones."""
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        return "it has no kind"
    if document.get("metadata") is None:
        document["metadata"] = {}
    if not isinstance(metadata := document["metadata"], dict):
        return "its metadata is no map"
    for name in ("name", "generateName", "namespace"):
        if not isinstance(metadata.get(name), str | None):
            return f"its metadata.{name} is no text: put it in quotes"
    maps = [("metadata.labels", metadata), ("metadata.annotations", metadata)]
    if document["kind"] in ("ConfigMap", "Secret"):
        maps += [(name, document) for name in ("data", "stringData", "binaryData")]
    for path, owner in maps:
        entries = owner.get(path.rpartition(".")[2])
        if not isinstance(entries, dict | None):
            return f"its {path} is no map"
        for key, value in (entries or {}).items():
            if not isinstance(value, str):
                return f"its {path} has a {key} that is no text: put it in quotes"
    return ""


def _unfold(parsed: list[Any]) -> list[Any]:
    """Take empty documents out, and the items of a ``kind: List`` as documents."""
    found: list[Any] = []
    for document in parsed:
        if isinstance(document, dict) and document.get("kind") == "List":
            items = document.get("items") or []
            found.extend(items if isinstance(items, list) else [items])
        elif document is not None:
            found.append(document)
    return found


def _where(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + " ".join(problem.split())
