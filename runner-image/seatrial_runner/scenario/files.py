"""Files that steps load data from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Protocol


class FileProblemError(Exception):
    """A file that cannot be had; the message says which, and where it was looked for."""


class Files(Protocol):
    """Where they are."""

    def read(self, name: str) -> str:
        """Give the text of a file; raises FileProblemError where there is none."""


class GivenFiles:
    """
    Those that came with the run (``spec.fixtures``).

    They have no folders: ``fixtures/customers.csv`` is there as ``customers.csv``.
    """

    def __init__(self, files: Mapping[str, str] | None = None) -> None:
        self._files = files or {}

    def read(self, name: str) -> str:
        """Give the text of a file; raises FileProblemError where there is none."""
        base = PurePath(name).name
        if base not in self._files:
            known = ", ".join(self._files) or "none"
            raise FileProblemError(
                f"there is no file {base} in spec.fixtures; its files are: {known}"
            )
        return self._files[base]
