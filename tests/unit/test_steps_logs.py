"""Steps of kind logs: lines since the scenario began, of pods that are there and of those gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from seatrial_runner.clock import now, rfc3339

from tests.support.loopback import Answer, Asked
from tests.support.played_cluster import PlayedCluster, a_pod
from tests.support.scenarios import a_world, run_steps


def line(text: str, seconds: float = 60) -> str:
    return f"{rfc3339(now() + timedelta(seconds=seconds))} {text}\n"


class Logs(PlayedCluster):
    """Logs that are followed get what ``follow`` has, and go on until ``gone``."""

    def __init__(self) -> None:
        super().__init__()
        self.follow: dict[str, str] = {}
        self.seen = threading.Event()

    def _log(self, asked: Asked) -> Answer:
        if "follow" in asked.query:
            pod = asked.path.split("/")[-2]
            self.seen.set()
            return Answer(text=self.follow.get(pod, ""))
        return super()._log(asked)


@pytest.fixture
def played() -> Iterator[Logs]:
    with Logs() as played:
        yield played


def run(played: PlayedCluster, *steps: dict[str, Any]) -> Any:
    return run_steps(list(steps), a_world(cluster=lambda: played.cluster))


def logs(*, expect: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    where = {} if "pod" in fields else {"service": "orders"}
    return {"logs": {**where, **fields}, "expect": list(expect)}


def test_lines_are_found_in_every_pod(played: Logs) -> None:
    for pod in ("orders-0", "orders-1"):
        played.have(a_pod(pod))
    played.logs["orders-0", "main", False] = line('{"paid": 3}') + line("noise")
    played.logs["orders-1", "sidecar", False] = line("was paid too", 61)
    step = logs(
        contains="{{ 'pai' + 'd' }}",
        expect=(
            "size(lines) == 2",
            "lines[0].json.paid == 3",
            "lines[1].text == 'was paid too'",
            "lines[1].pod == 'orders-1' && lines[1].container == 'sidecar'",
        ),
    )
    result = run(played, step)
    assert (result.outcome, result.message) == ("passed", "")


def test_lines_from_before_the_scenario_do_not_count(played: Logs) -> None:
    played.have(a_pod())
    played.logs["orders-0", "main", False] = line("paid", -60)
    result = run(played, logs(contains="paid"))
    assert "has written no line that contains 'paid'; it has written 0 since" in result.message
    assert run(played, logs(contains="paid", since="all")).outcome == "passed"
    assert run(played, logs(contains="paid", since="2m")).outcome == "passed"
    assert run(played, logs(contains="paid", since="30s")).outcome == "failed"


def test_a_line_of_the_attempt_before_a_restart_is_found(played: Logs) -> None:
    status = [{"name": "main", "restartCount": 1}, {"name": "sidecar", "restartCount": 0}]
    played.have(a_pod(containerStatuses=status))
    played.logs["orders-0", "main", True] = line("out of memory")
    assert run(played, logs(matches="out of m.m")).outcome == "passed"
    result = run(played, logs(matches="out of (disk|time)", within="50ms"))
    assert result.outcome == "failed"
    assert (
        "has written no line within 50ms that matches 'out of (disk|time)'; it has written 1 since"
        in result.message
    )


def test_a_line_of_a_pod_that_is_gone_is_found(played: Logs) -> None:
    pod = played.have(a_pod())
    played.follow["orders-0"] = line("the last words")
    steps = [
        {
            "logs": {"service": "orders"},
            "eventually": {"within": "30s"},
            "expect": ["size(lines) == 2"],
        },
        {"kubernetes": {"delete": "pod/orders-0"}},
        logs(contains="last words", container="main"),
    ]
    result = run(played, *steps)
    assert (result.outcome, result.message) == ("passed", "")
    assert pod["metadata"]["name"] not in played.objects


def test_a_line_that_is_written_twice_over_is_one_line(played: Logs) -> None:
    played.have(a_pod())
    played.follow["orders-0"] = played.logs["orders-0", "main", False] = line("once")
    step = logs(container="main", expect=("size(lines) == 1",))
    assert run(played, step).outcome == "passed"


def test_a_line_is_waited_for(played: Logs) -> None:
    played.have(a_pod())
    timer = threading.Timer(
        0.2, lambda: played.logs.update({("orders-0", "main", False): line("late")})
    )
    timer.start()
    assert run(played, logs(contains="late", within="30s")).outcome == "passed"
    timer.join()


def test_a_line_that_does_not_come_is_told_with_what_was_written(played: Logs) -> None:
    played.have(a_pod())
    played.logs["orders-0", "main", False] = line("something else")
    result = run(played, logs(contains="paid", within="50ms"))
    assert "no line within 50ms that contains 'paid'; it has written 1 since" in result.message
    assert "something else" in result.details


def test_a_line_that_must_not_be_there_fails_as_soon_as_it_is(played: Logs) -> None:
    played.have(a_pod())
    played.logs["orders-0", "main", False] = line("ERROR no stock")
    result = run(played, logs(contains="ERROR", absent=True, within="1m"))
    assert result.outcome == "failed"
    assert "service orders has written such a line: 'ERROR no stock'" in result.message


def test_a_line_that_is_not_there_is_absent(played: Logs) -> None:
    played.have(a_pod())
    played.logs["orders-0", "main", False] = line("fine")
    step = logs(matches="^ERROR", absent=True, within="50ms", expect=("size(lines) == 0",))
    assert run(played, step).outcome == "passed"


def test_a_line_is_not_absent_where_the_look_was_cut_short(played: Logs) -> None:
    played.have(a_pod())
    played.logs["orders-0", "main", False] = line("fine")
    step = logs(contains="ERROR", absent=True, within="20s")
    result = run(played, {**step, "eventually": {"within": "100ms"}})
    assert result.outcome == "failed"
    assert "it was watched for " in result.message
    assert result.message.endswith(" s of 20 s")


def test_nothing_is_absent_where_nothing_could_be_read(played: Logs) -> None:
    result = run(played, logs(contains="ERROR", absent=True))
    assert "service orders has no pod, so nothing could be read" in result.message


def test_a_pattern_from_a_template_may_be_wrong(played: Logs) -> None:
    result = run(played, {"set": {"p": "'('"}}, logs(matches="{{ p }}"))
    assert "matches: '(': missing )" in result.message


def test_too_many_lines_are_no_result(played: Logs) -> None:
    played.have(a_pod())
    played.logs["orders-0", "main", False] = "".join(line(f"n {n}") for n in range(5001))
    result = run(played, logs(container="main"))
    assert "5001 lines are more than the 5000 that a scenario takes" in result.message


def test_a_right_that_is_missing_is_told(played: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seatrial_runner.scenario.cluster.requests._RIGHTS_PATIENCE_S", 0)
    played.forbidden.add("GET pods")
    assert "403" in run(played, logs(contains="x")).message
