"""``pytest``: waits for its turn, runs the suite with the real pytest, says when it is done."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from seatrial_runner.runner import exit_status
from seatrial_runner.runner.cases import MAX_BATCH, envelope
from seatrial_runner.runner.conductor_api import (
    ConductorApi,
    ConductorError,
    ConductorUnavailableError,
    test_path,
)
from seatrial_runner.runner.gate import CancelledError, wait_for_turn
from seatrial_runner.runner.settings import (
    ENV_ATTEMPT,
    ENV_ONLY_FILE,
    ENV_OUTCOME_FILE,
    MissingSettingError,
    Settings,
)
from seatrial_runner.runner.suite import SuiteError, lay_out

SUITE = Path("/suite")


def main(argv: list[str], *, suite: Path = SUITE) -> int:
    """
    Run ``pytest [-- ARGUMENT...]`` and give pytest's exit status.

    75 when the turn never came, 76 when results could not be handed in, 77 when the conductor
    refused, 64 when this is no test pod.
    """
    # As PID 1 of its container this process would ignore a signal it has no handler for.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(exit_status.CANCELLED))
    arguments = argv[1:] if argv[:1] == ["--"] else argv
    try:
        settings = Settings().require()
        api = ConductorApi(settings.url, settings.token)
        with tempfile.TemporaryDirectory(prefix="seatrial-", ignore_cleanup_errors=True) as folder:
            return _Runner(settings, api, Path(folder), arguments).run(suite)
    except CancelledError as error:
        return _ended(error, exit_status.CANCELLED)
    except ConductorUnavailableError as error:
        return _ended(error, exit_status.NOT_REPORTED)
    except ConductorError as error:
        return _ended(error, exit_status.REFUSED)
    except (MissingSettingError, ValueError) as error:
        return _ended(error, exit_status.MISUSED)


def _ended(error: Exception, status: int) -> int:
    sys.stderr.write(f"seatrial pytest: {error}\n")
    return status


class _Runner:
    def __init__(
        self, settings: Settings, api: ConductorApi, folder: Path, arguments: list[str]
    ) -> None:
        self._settings = settings
        self._api = api
        self._arguments = arguments
        self._root = folder / "suite"
        self._outcome_file = folder / "outcome.json"
        self._only_file = folder / "only.json"

    def run(self, suite: Path) -> int:
        turn = _Turn(self._api, self._settings)
        turn.start()
        # Meanwhile: 0.8 s that would otherwise come after the gate.
        _warm_up()
        problem = self._lay_out(suite)
        attempt = turn.wait()
        while True:
            status, outcome = self._attempt(attempt, problem)
            cases = outcome.get("cases", [])
            answer = self._finished(attempt, status, outcome)
            while answer.get("resend"):
                # The conductor was restarted before it had written down what it had got. It asks
                # once; more than once only if it was restarted in between.
                self._send_again(attempt, cases)
                answer = self._finished(attempt, status, outcome)
            if not answer.get("retry") or problem:
                return exit_status.NOT_REPORTED if outcome.get("lost") else status
            attempt = int(answer.get("attempt", attempt + 1))
            bad = [case["id"] for case in cases if case["outcome"] in ("failed", "error")]
            self._only_file.write_text(json.dumps(bad), encoding="utf-8")

    def _lay_out(self, suite: Path) -> str:
        self._root.mkdir()
        try:
            lay_out(suite, self._root)
        except (SuiteError, OSError) as error:
            return f"the suite cannot be laid out: {error}"
        return ""

    def _attempt(self, attempt: int, problem: str) -> tuple[int, dict[str, Any]]:
        """Run pytest in a child, so that each attempt begins with modules freshly imported."""
        if problem:
            return 2, {"message": problem}
        self._outcome_file.unlink(missing_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            self._be_pytest(attempt)
        status = _wait_for(child)
        try:
            outcome = json.loads(self._outcome_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            outcome = {"message": f"pytest ended without a result: {_how(status)}"}
        return os.waitstatus_to_exitcode(status), outcome

    def _be_pytest(self, attempt: int) -> None:
        """Never returns: what pytest leaves behind (threads, exit handlers) ends here."""
        status = 3
        try:
            import pytest

            from seatrial_runner.scenario.identity import seed_of_attempt

            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.environ[ENV_ATTEMPT] = str(attempt)
            os.environ[ENV_OUTCOME_FILE] = str(self._outcome_file)
            if self._only_file.exists():
                os.environ[ENV_ONLY_FILE] = str(self._only_file)
            os.chdir(self._root)
            # Before the arguments of the test, which may give another.
            made_of = seed_of_attempt(self._settings.seed, attempt)
            options = [
                f"--seatrial-seed={made_of}",
                "-p",
                "seatrial",
                "-p",
                "no:cacheprovider",
                f"--rootdir={self._root}",
            ]
            status = int(pytest.main([*options, *self._arguments]))
        # Whatever it was, the parent must see this process end.
        except BaseException:  # noqa: BLE001
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _send_again(self, attempt: int, cases: list[dict[str, Any]]) -> None:
        path = test_path(self._settings.test, "results")
        for start in range(0, len(cases), MAX_BATCH):
            batch = cases[start : start + MAX_BATCH]
            self._api.insist("POST", path, envelope(self._settings.shard, attempt, batch))

    def _finished(self, attempt: int, status: int, outcome: dict[str, Any]) -> dict[str, Any]:
        document = {
            "shard": self._settings.shard,
            "attempt": attempt,
            "exitCode": status,
            "collected": outcome.get("collected", 0),
            "message": outcome.get("message", ""),
        }
        path = test_path(self._settings.test, "finished")
        return self._api.insist("POST", path, document)


class _Turn(threading.Thread):
    """Waits at the gate beside the main thread."""

    def __init__(self, api: ConductorApi, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._settings = settings
        self._attempt = 0
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            self._attempt = wait_for_turn(self._api, self._settings.test, self._settings.shard)
        # Raised again by ``wait``, in the main thread.
        except Exception as error:  # noqa: BLE001
            self._error = error

    def wait(self) -> int:
        """Give the number of the attempt, or raise what went wrong."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._attempt


def _warm_up() -> None:
    import httpx  # noqa: F401 - for the fixtures
    import pytest  # noqa: F401

    import seatrial_runner.runner.plugin  # noqa: F401


def _wait_for(child: int) -> int:
    """Wait for a child, pass on the signals that end a pod, and give its wait status."""
    previous = {
        number: signal.signal(number, lambda received, _: os.kill(child, received))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        return os.waitpid(child, 0)[1]
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    return f"killed by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -9 else "")
