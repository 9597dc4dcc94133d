"""Makes a suite of plain files out of a mounted ConfigMap."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

# A key cannot hold a slash: two underscores between two names stand for one.
_SLASH = re.compile(r"(?<=[A-Za-z0-9])__(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])__(?=__init__\.py$)")


class SuiteError(Exception):
    """The suite cannot be laid out; the message names the keys."""


def path_of(key: str) -> str:
    """
    Give the path that a ConfigMap's key stands for.

    ``test_a.py`` is itself, ``pkg__test_a.py`` is ``pkg/test_a.py``, ``__init__.py`` is itself and
    ``pkg____init__.py`` is ``pkg/__init__.py``.
    """
    return _SLASH.sub("/", key)


def lay_out(mount: Path, target: Path) -> list[str]:
    """
    Copy a mounted ConfigMap into a folder, and give the paths made.

    A mount is read-only, and made of links through a hidden folder that pytest would collect too.

    Raises:
        SuiteError: There is no suite, or two keys stand in each other's way.
    """
    if not mount.is_dir():
        raise SuiteError(f"{mount} is not there: is the suite's ConfigMap mounted?")
    keys = sorted(entry.name for entry in mount.iterdir() if not entry.name.startswith(".."))
    made: dict[str, str] = {}
    for key in keys:
        path = path_of(key)
        if path in made:
            raise SuiteError(f"keys {made[path]!r} and {key!r} both stand for {path}")
        made[path] = key
        _copy(mount / key, target / path)
    return sorted(made)


def _copy(source: Path, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise SuiteError(
            f"key {source.name!r} wants {target.name} to be both a file and a folder"
        ) from error
