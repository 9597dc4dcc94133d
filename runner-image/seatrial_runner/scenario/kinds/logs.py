"""``logs``: finds lines that a service has written since the scenario began."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.redaction import cut
from seatrial_runner.scenario.watch import Watch

if TYPE_CHECKING:
    from seatrial_runner.scenario.cluster.tails import Line, Source, Tails
    from seatrial_runner.scenario.world import Cluster

MAX_LINES = 5000
_PAUSE_S = 0.25
_KEY = ("logs",)


def title(document: dict[str, Any]) -> str:
    """Say which lines are looked for, and where."""
    where = document.get("service") or document.get("pod")
    if what := document.get("contains") or document.get("matches"):
        return f"logs of {where}: {'no ' if document.get('absent') else ''}{what!r}"
    return f"logs of {where}"


def before_first_step(documents: list[dict[str, Any]], call: Call) -> None:
    """Note the time, and follow the services from now on."""
    _tails(call, {each["service"] for each in documents if "service" in each})


def act(document: dict[str, Any], call: Call) -> Observation:
    """Look for lines, and again until they are there or time is out."""
    from seatrial_runner.scenario.cluster.asking import the_cluster

    search = _Search(document, call)
    with the_cluster(call) as cluster:
        return search.run(cluster)


def _tails(call: Call, services: set[str]) -> Tails:
    from seatrial_runner.scenario.cluster.asking import the_cluster
    from seatrial_runner.scenario.cluster.tails import Tails

    def make() -> Tails:
        with the_cluster(call) as cluster:
            return Tails(cluster, services, call.tools.world.now())

    return call.tools.resources.get(_KEY, make, Tails.close)


class _Search:
    def __init__(self, document: dict[str, Any], call: Call) -> None:
        from seatrial_runner.scenario.cluster.tails import Source

        self._document = document
        self._call = call
        pod = call.text(document.get("pod") or "")
        self._source: Source = Source(document.get("service") or "", pod)
        self._what, self._fits = _matcher(document, call)
        self._absent = bool(document.get("absent"))

    def run(self, cluster: Cluster) -> Observation:
        """Look until the line is there, or time is out."""
        world = self._call.tools.world
        within = self._document.get("within")
        most = parse_duration(within).total_seconds() if within else 0.0
        watch = Watch(most, self._call.seconds(), world.monotonic)
        while True:
            lines, pods = self._read(cluster)
            found = [line for line in lines if self._fits(line.text)]
            if len(found) > MAX_LINES:
                text = f"{len(found)} lines are more than the {MAX_LINES} that a scenario takes"
                raise StepFailure(f"{text}: choose with contains or matches", permanent=True)
            if self._absent and found:
                text = f"{self._source.name} has written {len(found)} such lines"
                if len(found) == 1:
                    text = f"{self._source.name} has written such a line"
                shown = f"{text}: {cut(found[0].text, 300)!r}"
                raise StepFailure(shown, _shown(found), permanent=True)
            over = watch.left() <= 0
            if (found or not self._what) and not self._absent:
                return _seen(found)
            if over:
                break
            world.sleep(min(_PAUSE_S, max(0.0, watch.left())))
        if self._absent:
            watch.require_whole()
            return self._nothing(lines, pods)
        waited = f" within {within}" if within else ""
        text = f"{self._source.name} has written no line{waited} that {self._what}"
        raise StepFailure(f"{text}; it has written {len(lines)} since", _shown(lines))

    def _nothing(self, lines: list[Line], pods: int) -> Observation:
        """Nothing is proof of absence only where something was read."""
        if not pods and not lines:
            raise StepFailure(f"{self._source.name} has no pod, so nothing could be read")
        return Observation({"lines": []}, _shown(lines))

    def _read(self, cluster: Cluster) -> tuple[list[Line], int]:
        from seatrial_runner.scenario.cluster.tails import read_lines

        tails = _tails(self._call, set())
        container = self._document.get("container")
        since = self._since(tails.began)
        # First what is kept: a pod that goes between the two looks is in this one.
        kept = tails.kept(self._source)
        lines, pods = read_lines(cluster, self._source, container, since, self._call.seconds)
        more = {
            line
            for line in [*kept, *tails.kept(self._source)]
            if (container is None or line.container == container)
            and (since is None or line.moment >= since)
        }
        return sorted({*lines, *more}), pods

    def _since(self, began: datetime) -> datetime | None:
        since = self._document.get("since", "start")
        if since == "start":
            return began
        if since == "all":
            return None
        ago: timedelta = parse_duration(since)
        return self._call.tools.world.now() - ago


def _matcher(document: dict[str, Any], call: Call) -> tuple[str, Callable[[str], bool]]:
    if (contains := document.get("contains")) is not None:
        text = call.text(contains)
        return f"contains {text!r}", lambda line: text in line
    if (matches := document.get("matches")) is not None:
        pattern = call.text(matches)
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise StepFailure(f"matches: {pattern!r}: {error}", permanent=True) from error
        return f"matches {pattern!r}", lambda line: compiled.search(line) is not None
    return "", lambda line: True


def _seen(found: list[Line]) -> Observation:
    lines = [
        {
            "text": line.text,
            "json": _json(line.text),
            "pod": line.pod,
            "container": line.container,
            "at": line.at,
        }
        for line in found
    ]
    return Observation({"lines": lines}, _shown(found))


def _json(text: str) -> Any:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shown(lines: list[Line]) -> str:
    if not lines:
        return "no lines"
    head = f"the last 40 of {len(lines)} lines:\n" if len(lines) > 40 else ""
    return head + "\n".join(f"{line.pod}: {cut(line.text, 500)}" for line in lines[-40:])
