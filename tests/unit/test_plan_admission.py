"""Who leaves the queue, and when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seatrial.plan.admission import Brief, Standing, brief, tickets

from tests.support.builders import a_run

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_brief(name, *, age=0, standing=Standing.QUEUED, **fields):
    created = NOON - timedelta(seconds=age)
    return Brief(name, name, "shop", created, standing, **fields)


def admitted(briefs, limit=10):
    return {uid for uid, ticket in tickets(briefs, limit).items() if ticket.admitted}


def test_the_older_run_goes_first():
    assert admitted([a_brief("young"), a_brief("old", age=5)], limit=1) == {"old"}


def test_a_higher_priority_goes_before_age():
    briefs = [a_brief("old", age=5), a_brief("urgent", priority=1)]
    assert admitted(briefs, limit=1) == {"urgent"}


def test_runs_at_work_take_their_places():
    at_work = a_brief("at-work", standing=Standing.ACTIVE)
    assert admitted([at_work, a_brief("a", age=1), a_brief("b")], limit=2) == {"a"}


def test_a_run_whose_environment_is_going_takes_none():
    assert admitted([a_brief("done", standing=Standing.DONE), a_brief("next")], limit=1) == {"next"}


def test_a_suspended_run_stays_and_holds_nobody_up():
    held = a_brief("held", age=9, suspended=True, group="one")
    assert admitted([held, a_brief("next", group="one")], limit=1) == {"next"}
    assert "spec.suspend" in tickets([held], 1)["held"].waits_for


def test_only_one_run_of_a_group_is_at_work():
    briefs = [a_brief("a", age=2, group="one"), a_brief("b", age=1, group="one"), a_brief("c")]
    assert admitted(briefs) == {"a", "c"}
    assert tickets(briefs, 10)["b"].waits_for == "run a of group one"


def test_groups_are_of_one_namespace():
    other = Brief("b", "b", "elsewhere", NOON, Standing.QUEUED, group="one")
    assert admitted([a_brief("a", group="one"), other]) == {"a", "b"}


def test_the_newest_that_replaces_takes_the_place_of_all_older_ones():
    briefs = [
        a_brief("at-work", age=9, group="one", standing=Standing.ACTIVE),
        a_brief("waiting", age=5, group="one"),
        a_brief("newest", group="one", replaces=True),
    ]
    result = tickets(briefs, 10)
    assert result["at-work"].replaced_by == "newest"
    assert result["waiting"].replaced_by == "newest"
    assert result["newest"].waits_for == "run at-work of group one"
    assert admitted(briefs[1:]) == {"newest"}


@pytest.mark.parametrize(
    "spec", [None, "text", {}, {"concurrency": 7, "priority": "high", "suspend": "maybe"}]
)
def test_a_run_of_any_shape_has_its_place(spec):
    body = {**a_run(), "spec": spec}
    assert brief(body).standing is Standing.QUEUED


BRIEFS = st.lists(
    st.builds(
        Brief,
        uid=st.uuids().map(str),
        name=st.sampled_from("abcdef"),
        namespace=st.sampled_from(["shop", "other"]),
        created=st.integers(0, 9).map(lambda age: NOON - timedelta(seconds=age)),
        standing=st.sampled_from(Standing),
        suspended=st.booleans(),
        priority=st.integers(-2, 2),
        group=st.sampled_from(["", "one", "two"]),
        replaces=st.booleans(),
    ),
    unique_by=lambda each: each.uid,
)


@given(BRIEFS, st.integers(1, 4))
def test_never_more_than_the_limit_and_never_two_of_a_group(briefs, limit):
    result = admitted(briefs, limit)
    active = [each for each in briefs if each.standing is Standing.ACTIVE]
    starting = [each for each in briefs if each.uid in result]
    assert not starting or len(active) + len(starting) <= limit
    for each in starting:
        others = [other for other in active + starting if other is not each]
        same = [o for o in others if (o.namespace, o.group) == (each.namespace, each.group)]
        assert not each.group or same == []


@given(BRIEFS)
def test_a_queue_without_obstacles_moves(briefs):
    waiting = [each for each in briefs if each.standing is Standing.QUEUED and not each.suspended]
    at_work = [each for each in briefs if each.standing is Standing.ACTIVE]
    if waiting and not at_work:
        assert admitted(briefs, limit=1) != set()


class Compared(datetime):
    """A moment that counts how often it is compared."""

    count = 0

    def __lt__(self, other):
        Compared.count += 1
        return super().__lt__(other)

    def __gt__(self, other):
        Compared.count += 1
        return super().__gt__(other)


def test_thousands_of_runs_that_replace_one_another_are_not_compared_each_with_all():
    """They are asked with each event; at 2,000 runs that took five seconds of the event loop."""
    moments = [Compared.fromtimestamp(second, UTC) for second in range(1000)]
    briefs = [
        Brief(f"{n}", f"{n}", "shop", moment, Standing.QUEUED, group="one", replaces=True)
        for n, moment in enumerate(moments)
    ]

    waiting = tickets(briefs, 10)

    assert {ticket.replaced_by for ticket in waiting.values()} == {"", "999"}
    assert Compared.count < 50 * len(briefs)
