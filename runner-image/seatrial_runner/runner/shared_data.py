"""Data that the workers of pytest-xdist share: loaded by the first, removed by the last."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seatrial.api.lanes import Taken

from seatrial_runner.runner.databases import Clean, Data

Rows = dict[str, list[dict[str, Any]]]


@dataclass
class _State:
    """What the workers know of each other."""

    users: set[int] = field(default_factory=set)  # process ids
    rows: dict[tuple[str, int], Rows] = field(default_factory=dict)
    loaded: list[Any] = field(default_factory=list)
    taken: Taken | None = None  # of the lane of unique values


class SharedData(Data):
    """
    The fixture ``shared_data`` of one worker of several.

    What one has loaded, the others get the rows of: the same call, the same number of times. The
    last that ends removes it; one that died is not waited for.
    """

    def __init__(self, data: Data, folder: Path) -> None:
        super().__init__(data.sql, data.seed, data.folders, data.lane)
        self._path = folder / "seatrial-shared-data"
        self._calls: Counter[str] = Counter()
        with self._locked() as state:
            state.users.add(os.getpid())

    def generate(
        self, service: str, specification: Mapping[str, Any], *, clean: Clean = "empty"
    ) -> Rows:
        """Make data from a specification, and load it, unless another worker has."""
        load = super().generate
        what = ("generate", service, specification, clean)
        return self._once(what, lambda: load(service, specification, clean=clean))

    def rows(self, service: str, *, clean: Clean = "empty", **tables: list[dict[str, Any]]) -> Rows:
        """Load rows as they are written, unless another worker has."""
        load = super().rows
        what = ("rows", service, tables, clean)
        return self._once(what, lambda: load(service, clean=clean, **tables))

    def file(self, service: str, path: str | Path, *, clean: Clean = "empty") -> Rows:
        """Load a file of the suite, unless another worker has."""
        load = super().file
        what = ("file", service, str(path), clean)
        return self._once(what, lambda: load(service, path, clean=clean))

    def close(self) -> None:
        """Remove what all have loaded, if no other worker is there any more."""
        with self._locked() as state:
            state.users.discard(os.getpid())
            state.users = {each for each in state.users if _is_there(each)}
            if state.users:
                return
            self._loaded, state.loaded, state.rows = state.loaded, [], {}
            super().close()

    def _once(self, what: tuple[Any, ...], load: Callable[[], Rows]) -> Rows:
        call = repr(what)
        key = (call, self._calls[call])
        with self._locked() as state:
            if key not in state.rows:
                if state.taken:
                    self.lane.go_on(state.taken)
                try:
                    rows = load()
                finally:
                    state.taken = self.lane.taken()
                state.rows[key] = rows
                state.loaded += self._loaded
                self._loaded = []
        self._calls[call] += 1
        return state.rows[key]

    @contextmanager
    def _locked(self) -> Iterator[_State]:
        """Give what is known, to be changed; the others wait for it, as for a load."""
        with self._path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            written = file.read()
            # Our own file, in a folder that only this user can write to.
            state = pickle.loads(written) if written else _State()  # noqa: S301
            try:
                yield state
            finally:
                file.seek(0)
                file.truncate()
                pickle.dump(state, file)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, PermissionError):  # that of another user is none of ours
        return False
    return True
