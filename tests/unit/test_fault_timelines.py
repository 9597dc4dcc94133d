"""What holds of any faults beside any tests, whatever dies or vanishes meanwhile."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from seatrial.api import families
from seatrial.api.verdict import Verdict
from seatrial_runner.conductor.faults.timeline import Trigger, lasts_s, moment, repeats

from tests.support.conducted import a_fault_doc
from tests.support.examples import examples
from tests.support.played_timelines import REPLICAS, Course, Timeline, Told, play, seconds

# Between two moments that the journal tells of, and for a write to be made.
SLACK_S = 0.1
TESTS = ("paid", "sent")
STAYS = ("NotReverted", "NotRecovered")
MOMENTS = ({}, {"test": "paid"}, {"test": "sent"}, {"manual": {}})
KINDS = (
    *({"kill": {}}, {"evict": {}}, {"restart": {}}, {"noEndpoints": {}}, {"outage": {}}),
    *({"scale": {"replicas": 0}}, {"scale": {"replicas": 3}}),
)

services = st.sampled_from(sorted(REPLICAS))
short = st.integers(1, 60).map(lambda tenths: tenths / 10)
moments = st.integers(0, 200).map(lambda tenths: tenths / 10)
# Less than 0: it is stopped, and not killed.
ends = moments | st.integers(-200, -1).map(lambda tenths: tenths / 10)


def text(seconds_: float) -> str:
    return f"{round(seconds_ * 1000)}ms"


@st.composite
def faults(draw: st.DrawFn) -> tuple[dict[str, Any], ...]:
    made: list[dict[str, Any]] = []
    for index in range(draw(st.integers(1, 3))):
        kind: dict[str, Any] = dict(draw(st.sampled_from(KINDS)))
        lasts_s_ = draw(short)
        if not kind.keys() & {*families.MOMENTARY}:
            kind["for"] = text(lasts_s_)
        others = [{"fault": each["name"]} for each in made]
        when: dict[str, Any] = dict(draw(st.sampled_from([*MOMENTS, *others])))
        if "manual" not in when and draw(st.booleans()):
            when["after"] = text(draw(short))
        if draw(st.integers(0, 3)) == 0:
            when |= {"every": text(lasts_s_ + draw(short)), "times": draw(st.integers(2, 3))}
        service, within = draw(services), draw(st.sampled_from(["2s", "60s"]))
        fault = a_fault_doc(f"f{index}", service, **kind, when=when, recovery={"within": within})
        made.append(fault)
    return tuple(made)


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    declared = draw(faults())
    manual = [each["name"] for each in declared if "manual" in each["when"]]
    step = st.tuples(st.just("sleep"), short) | st.tuples(st.just("request"), services)
    if manual:
        step |= st.tuples(st.sampled_from(["start", "stop"]), st.sampled_from(manual))
    tests = tuple(
        Course(
            name,
            tuple(draw(st.lists(step, min_size=1, max_size=6))),
            fails=draw(st.sampled_from([0, 0, 0, 1, 2])),
            retries=draw(st.integers(0, 1)),
        )
        for name in TESTS
    )
    vanishing = st.tuples(
        st.integers(5, 100).map(lambda tenths: tenths / 10),
        st.sampled_from(["pod", "pods", "workload"]),
        services,
    )
    return Timeline(
        declared,
        tests,
        parallelism=draw(st.integers(1, 2)),
        start_s=draw(st.sampled_from([0.3, 3.0])),
        lag_s=draw(st.sampled_from([0.0, 0.05])),
        vanish=draw(st.none() | st.none() | vanishing),
        abort_s=draw(st.none() | st.none() | moments),
    )


@settings(max_examples=examples(100))
@given(timelines(), st.lists(ends, max_size=2))
def test_faults_end_in_time_and_are_told_proven_and_blamed_as_they_were(
    timeline: Timeline, killed_s: list[float]
) -> None:
    told = play(timeline, *killed_s)
    may_fail = timeline.vanish is not None and timeline.vanish[1] == "workload"
    reason = told.summary["finished"]["reason"]
    if reason == "Aborted":
        assert timeline.abort_s is not None
        assert told.verdict is Verdict.ABORTED
    else:
        assert reason == "Completed" or may_fail, told.summary["finished"]
    assert told.summary["starts"] <= len(killed_s) + 1
    assert told.on_at_stop == [] or may_fail
    no_fault_outlasts_its_time(timeline, told)
    the_journal_tells_of_each_time_once(timeline, told)
    what_passed_is_proven(timeline, told)
    the_right_ones_are_blamed(timeline, told)


@settings(max_examples=examples(60))
@given(timelines(), st.lists(ends, min_size=1, max_size=2))
def test_a_restart_makes_no_verdict_better(timeline: Timeline, killed_s: list[float]) -> None:
    without = play(timeline)
    if without.verdict is Verdict.FAILED:
        told = play(timeline, *killed_s)
        assert told.verdict is not Verdict.PASSED, (without.summary, told.summary)


def no_fault_outlasts_its_time(timeline: Timeline, told: Told) -> None:
    for what, since, until in told.on:
        plural, service = what.split("/")
        if timeline.vanish and timeline.vanish[1:] == ("workload", service):
            continue
        deadlines = [
            at + lasts
            for fault in timeline.faults
            if fault["target"]["service"] == service
            and ("noEndpoints" in fault) == (plural == "services")
            and (lasts := lasts_s(fault)) is not None
            for each in told.of(fault["name"])
            if each["kind"] == "fault.applied"
            and since - SLACK_S <= (at := seconds(each["at"])) <= until + SLACK_S
        ]
        back = [each + 2.0 for each in told.back_s if since <= each <= until]
        # One that is cut short while it is carried out is not told as applied.
        cut_short = max([timeline.start_s + (timeline.abort_s or 0.0), *told.back_s]) + 2.0
        latest = max([*deadlines, *back], default=cut_short)
        assert until <= latest + 3 * SLACK_S, (what, since, told)


def the_journal_tells_of_each_time_once(timeline: Timeline, told: Told) -> None:
    for fault in timeline.faults:
        stage, start = "over", 0
        for each in told.of(fault["name"]):
            where = (fault["name"], each, told.of(fault["name"]))
            what = each["kind"].removeprefix("fault.")
            if what == "hit":
                continue
            if each["start"] != start:
                start = each["start"]
                if what == "requested" and (stage == "requested" or lasts_s(fault) is None):
                    stage = "over"  # nobody has to undo it
            match what:
                case "requested":
                    assert stage in ("over", "reverted", "failed"), where
                    stage = "requested"
                case "applied":
                    assert stage == "requested", where
                    stage = "applied"
                case "effective":
                    assert stage in ("applied", "reverted"), where
                case "reverted":
                    assert stage in ("requested", "applied"), where
                    assert each["by"], where
                    stage = "reverted"
                case "recovered":
                    assert stage == "reverted", where
                    stage = "over"
                case "failed" if each["state"] in STAYS or stage == "requested":
                    stage = "failed"
        is_cut_off = told.summary["finished"]["reason"] != "Completed"
        if not is_cut_off or (stage == "applied" and lasts_s(fault) is not None):
            assert stage not in ("requested", "applied"), told.of(fault["name"])
            state = told.state(fault["name"])
            assert state["state"] not in ("Requested", "Active", "Pending"), state


def what_passed_is_proven(timeline: Timeline, told: Told) -> None:
    if told.verdict is not Verdict.PASSED:
        return
    assert all(test.passes for test in timeline.tests)
    for fault in timeline.faults:
        own = told.of(fault["name"])
        rounds = {each["round"] for each in own if each["kind"] == "fault.applied"}
        if moment(fault).trigger is not Trigger.MANUAL:
            assert rounds == set(range(1, repeats(fault).times + 1)), own
        assert rounds, own
        spans = spans_of(told, fault["name"])
        assert any(
            begin - SLACK_S <= at <= end + SLACK_S
            for at in told.requests
            for begin, _, end in spans
        ), (fault["name"], told.requests, spans)


def spans_of(told: Told, fault: str) -> list[tuple[float, float, float]]:
    """Give for each time of a fault when it was begun, undone, and its window over."""
    spans: list[list[float]] = []
    lasts = False  # a window without a recovery lasts until there is one
    for each in told.of(fault):
        at = seconds(each["at"])
        match each["kind"]:
            case "fault.requested":
                if spans and not lasts:
                    spans[-1][2] = min(spans[-1][2], at)
                spans.append([at, at, math.inf])
            case "fault.applied" | "fault.reverted":
                spans[-1][1] = max(spans[-1][1], at)
            case "fault.recovered":
                spans = [[begin, undone, min(end, at)] for begin, undone, end in spans]
                lasts = False
            case "fault.failed" if each["state"] in STAYS:
                lasts = True
            case "fault.failed" if spans and spans[-1][0] == spans[-1][1]:
                spans[-1][2] = at  # it was never in effect
    return [(begin, undone, end) for begin, undone, end in spans]


def the_right_ones_are_blamed(timeline: Timeline, told: Told) -> None:
    for test in told.summary["tests"]:
        for case in test["failures"]:
            began, ended = seconds(case["startedAt"]), seconds(case["finishedAt"])
            for fault in timeline.faults:
                name = fault["name"]
                spans = spans_of(told, name)
                where = (name, case, told.of(name))
                if any(
                    undone > begin and began <= undone - SLACK_S and begin + SLACK_S <= ended
                    for begin, undone, _ in spans
                ):
                    assert name in case["duringFaults"], where
                elif not any(
                    began <= end + SLACK_S and begin - SLACK_S <= ended for begin, _, end in spans
                ):
                    assert name not in case["duringFaults"], where
