"""One try of a step that works with a SQL database: its time, and its failures in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from seatrial_runner.scenario.action import Call, SeenError, StepFailure
from seatrial_runner.scenario.answered import answered_failure
from seatrial_runner.scenario.databases.drivers import driver_of
from seatrial_runner.scenario.databases.engines import connect_within
from seatrial_runner.scenario.databases.errors import HOPELESS, is_of_connecting, seen_error
from seatrial_runner.scenario.databases.rows import RowsError
from seatrial_runner.scenario.databases.sessions import TransactionError
from seatrial_runner.scenario.databases.statements import StatementError
from seatrial_runner.scenario.databases.urls import UnusableUrlError
from seatrial_runner.scenario.tls import TlsError, tls_problem
from seatrial_runner.scenario.values import show_duration

# The server's own limit comes first where both are the same: it leaves the connection usable.
_AFTER_THE_SERVER_S = 0.25
# Errors that depend on where it is.
_OF_THE_ADDRESS = ("unavailable", "accessDenied", "undefinedDatabase", "invalidData")


@dataclass
class Asked:
    """
    One try of one step.

    Attributes:
        where: Names the database in messages.
        shown: For people: what was asked.
        is_over: Tells whether what is under way was ended by our own clock.
    """

    call: Call
    dialect: str
    where: str
    timeout_s: float
    shown: str = ""
    began: float = field(init=False)
    is_over: Callable[[], bool] | None = None

    def __post_init__(self) -> None:
        self.began = self.call.tools.world.monotonic()
        connect_within(min(self.timeout_s, self.call.seconds()))

    def seconds(self) -> float:
        """Give the time that is left for it."""
        used = self.call.tools.world.monotonic() - self.began
        return min(self.timeout_s - used + _AFTER_THE_SERVER_S, self.call.seconds())

    def elapsed(self) -> timedelta:
        """Give how long it took until now."""
        return timedelta(seconds=self.call.tools.world.monotonic() - self.began)

    def was_cut_off(self) -> bool:
        """Tell whether our own clock ended it."""
        return self.is_over is not None and self.is_over()

    def failure(self, seen: SeenError) -> StepFailure:
        """Say what the database answered, with its code, and where."""
        lines = [f"{key}: {value}" for key, value in seen.details.items()]
        more = [*(["Error:"] if lines else []), *(f"  {line}" for line in lines)]
        shown = "\n".join([self.shown, *more])
        message = f"{self.where}: {seen.message}"
        return answered_failure(seen, message, shown, self.elapsed(), HOPELESS)


@contextmanager
def explained(asked: Asked, address: str) -> Iterator[None]:
    """Put what is raised into words; ``address`` is said where it cannot be reached."""
    try:
        yield
    except (StatementError, TransactionError, UnusableUrlError, TlsError) as error:
        raise StepFailure(f"{asked.where}: {error}", asked.shown, permanent=True) from error
    except RowsError as error:
        raise StepFailure(f"{asked.where}: {error}", asked.shown) from error
    except ImportError as error:
        text = f"sql needs the extra: pip install 'seatrial[sql]' ({error})"
        raise StepFailure(text, outcome="error", permanent=True) from error
    except (StepFailure, MemoryError):
        raise
    # Told apart in there, by driver; what is of none of them has a text that nobody may see.
    except Exception as error:
        raise _as_failure(asked, error, address) from error


def _as_failure(asked: Asked, error: Exception, address: str) -> Exception:
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    raised = getattr(error, "orig", None) or error
    if asked.was_cut_off():
        took = show_duration(asked.elapsed())
        return asked.failure(SeenError("timeout", f"no answer within {took}"))
    if isinstance(error, PoolTimeout):
        return asked.failure(SeenError("timeout", "every connection of the scenario is in use"))
    if not isinstance(raised, driver_of(asked.dialect).error_type()):
        # Its text may hold what it was working on, such as lines of a file.
        text = f"{asked.where}: the engine broke: {type(raised).__name__}"
        return StepFailure(text, asked.shown, "error", permanent=True)
    seen = seen_error(raised, asked.dialect)
    path = address.removeprefix("sqlite:///")
    if seen.code == "SQLITE_CANTOPEN" and not path.startswith("file:"):
        seen = _of_the_file(seen, path)
    if seen.name in _OF_THE_ADDRESS or is_of_connecting(raised):
        text = tls_problem(seen.message, "the server") or seen.message
        seen = SeenError(seen.name, f"{address}: {text}", seen.code, seen.details)
    return asked.failure(seen)


def _of_the_file(seen: SeenError, path: str) -> SeenError:
    """Say why a file cannot be opened, where the system tells: SQLite says only that it cannot."""
    try:
        # A pipe would keep whoever opens it waiting for the other end.
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except PermissionError:
        return replace(seen, name="accessDenied", message="permission denied")
    except FileNotFoundError:
        if not Path(path).parent.is_dir():
            return replace(seen, message="its folder is not there")
        # It would have been made.
        return replace(seen, name="accessDenied", message="permission denied")
    except OSError:
        return seen
    return seen
