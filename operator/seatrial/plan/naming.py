"""Names of what is copied, or made from, what the user gives; several modules rely on them."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Collection

_COPY = "seatrial-copy."  # never in the way of an object of the user's manifests
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
# An object in etcd may hold 1.5 MiB; leave room for names and managed fields.
MAX_FILES_BYTES = 900 * 1024


def copy_name(name: str) -> str:
    """Name the copy in the run's namespace, at most 253 characters."""
    if len(_COPY) + len(name) <= 253:
        return _COPY + name
    return f"{_COPY}{name[:200]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def files_name(owner: str, number: int) -> str:
    """Name a ConfigMap of files; ``owner`` is ``service.NAME`` or ``test.NAME``."""
    return f"seatrial-files.{owner}.{number}"


def volume_name(service: str, number: int) -> str:
    """Name the claim of a service's volume."""
    return f"seatrial-volume.{service}.{number}"


def file_keys(paths: Collection[str]) -> dict[str, str]:
    """
    Give each file its key in a ConfigMap, by path.

    That is its name without the folder, so that a fault can name it; a number where two have the
    same name, or one that no key can have.
    """
    names = {path: posixpath.basename(path) for path in sorted(paths)}
    often = Counter(names.values())
    return {
        path: name if often[name] == 1 and _is_key(name) else f"file-{index}"
        for index, (path, name) in enumerate(names.items())
    }


def _is_key(name: str) -> bool:
    # Two files of other names could be numbered like one that has such a name.
    return bool(_KEY.fullmatch(name)) and not name.startswith(("..", "file-")) and name != "."
