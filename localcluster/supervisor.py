"""
The first process of a cluster's own PID, mount and network namespaces.

It starts the components, restarts one that ends, and reaps what they leave. Because it is their
PID 1, the kernel kills everything with it, pods included: a cluster cannot outlive its supervisor.
"""

import contextlib
import functools
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster.processes import write_whole

RESTART_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0)
# A component that ran this long was well; the next failure starts again at the shortest delay.
WELL_AFTER_S = 30.0


@dataclass
class Component:
    """
    A program to keep running.

    Args:
        name: Names its log file.
        argv: Command line.
        needs: What must be there first: a ``file:PATH``, or a ``ready:URL`` that answers 200.
        env: Its environment, beside PATH.
    """

    name: str
    argv: list[str]
    needs: list[str]
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = 0.0


def met(need: str) -> bool:
    """Whether what a component waits for is there."""
    kind, _, what = need.partition(":")
    if kind == "file":
        return Path(what).exists()
    # NB: only asks "is it up?"; the components verify the certificate themselves.
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(what, timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def start(component: Component, logs: Path) -> None:
    """Start it with its output appended to its log."""
    with (logs / f"{component.name}.log").open("ab") as log:
        component.process = subprocess.Popen(
            component.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], **component.env},
            cwd="/",
        )
    component.started = time.monotonic()
    print(f"{component.name}: started as {component.process.pid}", flush=True)


def forgive(component: Component) -> None:
    """Forget the ends of one that has run for long enough since."""
    if component.process and time.monotonic() - component.started > WELL_AFTER_S:
        component.failures = 0


def ended(component: Component, status: int) -> None:
    """Note that it ended and when to start it again."""
    forgive(component)
    delay_s = RESTART_DELAYS_S[min(component.failures, len(RESTART_DELAYS_S) - 1)]
    component.failures += 1
    if component.process:
        component.process.returncode = status  # we reaped it: Popen must not wait for it again
    component.process = None
    component.start_at = time.monotonic() + delay_s
    print(f"{component.name}: ended with {status}, again in {delay_s} s", flush=True)


def reaped() -> Iterator[tuple[int, int]]:
    """Every child that has ended, orphans that the kernel gave us among them."""
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            yield child


def supervise(components: list[Component], logs: Path, ends: Path) -> None:
    """
    Keep all of them running, for ever.

    Args:
        components: What to run.
        logs: Folder of their logs.
        ends: File that tells how often each has ended in a row; those that are well are not in it.
    """
    noted: dict[str, int] = {}
    # A child's end must interrupt the wait below; the handler itself has nothing to do.
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    os.set_blocking(wake_read, False)
    while True:
        for pid, status in reaped():
            for component in components:
                if component.process and component.process.pid == pid:
                    ended(component, os.waitstatus_to_exitcode(status))
        for component in components:
            forgive(component)
        failing = {c.name: c.failures for c in components if c.failures}
        if failing != noted:
            write_whole(ends, json.dumps(failing))
            noted = failing
        waiting = [c for c in components if c.process is None]
        # Each need is looked at once a round: on a slow machine the questions of six components
        # would take the time from the one that they wait for.
        there = functools.cache(met)
        for component in waiting:
            if component.start_at <= time.monotonic() and all(map(there, component.needs)):
                start(component, logs)
        select.select([wake_read], [], [], 0.1 if waiting else 5.0)
        with contextlib.suppress(BlockingIOError):
            os.read(wake_read, 4096)


def main() -> None:
    """Run what the plan on standard input says (the command line only tells people the cluster)."""
    text = sys.stdin.read()
    try:
        plan = json.loads(text)
    except ValueError:
        sys.exit(f"got {len(text)} characters of a plan: who was to write it has ended")
    components = [Component(**each) for each in plan["components"]]
    supervise(components, Path(plan["logs"]), Path(plan["ends"]))


if __name__ == "__main__":
    main()
