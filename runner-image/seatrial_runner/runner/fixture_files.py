"""Files with data on this machine: beside what uses them, or below the root of the suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from seatrial_runner.scenario.files import FileProblemError


def found_file(path: Path, folders: Iterable[Path]) -> tuple[Path, str]:
    """
    Give a file of the first folder that has it, with its text.

    Raises:
        FileProblemError: None has it, or it is no text.
    """
    folders = list(folders)
    for folder in folders:
        if (folder / path).is_file():
            try:
                return folder / path, (folder / path).read_text(encoding="utf-8")
            except ValueError as error:
                raise FileProblemError(f"{folder / path} is no text in UTF-8: {error}") from error
    looked = ", ".join(dict.fromkeys(str(folder) for folder in folders))
    raise FileProblemError(f"there is no file {path} in: {looked}")


class FolderFiles:
    """Files for steps: what the run itself says (``spec.fixtures``) comes before the folders."""

    def __init__(self, given: Mapping[str, str], folders: Iterable[Path]) -> None:
        self._given = given
        self._folders = list(folders)

    def read(self, name: str) -> str:
        """Give its text; raises FileProblemError where there is none."""
        base = PurePath(name).name
        return (
            self._given[base] if base in self._given else found_file(Path(name), self._folders)[1]
        )
