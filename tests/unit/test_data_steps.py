"""``data`` where there is no database: made of the run's seed, or of one that is given."""

from __future__ import annotations

from tests.support.scenarios import a_world, run_steps

PEOPLE = {"people": {"count": 3, "fields": {"name": {"pattern": "[a-z]{12}"}}}}


def names(seed: str = "", **document: object) -> str:
    """Give the name of the first, as a failed expectation shows it."""
    step = {"data": {"generate": PEOPLE, **document}, "expect": ["data.rows.people[0].name == ''"]}
    return run_steps([step], a_world(seed=seed)).message


def test_data_is_of_the_seed_of_the_run_or_of_its_own():
    assert names("s") == names("s") != names("t")
    assert names() != names()
    assert names(seed="x") == names(seed="x")
    own = {"seed": "s"}
    step = {"data": {"generate": PEOPLE, **own}, "expect": ["data.seed == 's'"]}
    assert run_steps([step]).outcome == "passed"


def test_more_than_can_be_kept_is_only_made_to_be_loaded():
    many = {"people": {**PEOPLE["people"], "count": 10_001}}
    failed = run_steps([{"data": {"generate": many}}])
    assert "more than 10000 rows are only made to be loaded: give service" in failed.message


def test_a_missing_driver_is_said_with_its_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "pymongo", None)
    monkeypatch.setitem(sys.modules, "mimesis", None)
    steps = {
        "sql": {"sql": {"url": "postgresql://x", "query": "select 1"}},
        "redis": {"redis": {"url": "redis://x", "command": "PING"}},
        "mongo": {"mongo": {"url": "mongodb://x/y", "collection": "c", "find": {}}},
    }
    people = {"people": {"count": 1, "fields": {"name": "fullName"}}}
    steps["data"] = {"data": {"generate": people}}
    for extra, step in steps.items():
        failed = run_steps([step])
        assert failed.outcome == "error"
        assert f"{extra} needs the extra: pip install 'seatrial[{extra}]'" in failed.message
