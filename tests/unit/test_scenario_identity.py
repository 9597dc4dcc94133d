"""The variable ``run``: unique where it must be, and the same again with its seed."""

from uuid import UUID

from seatrial_runner.scenario.identity import identity

from tests.support.scenarios import a_world, run_steps


def test_the_same_seed_gives_the_same():
    assert identity("a[1]", "a", "s") == identity("a[1]", "a", "s")
    assert identity("a[1]", "a", "s")["id"] != identity("a[2]", "a", "s")["id"]


def test_the_uuid_is_one():
    for number in range(64):
        text = identity("a", "a", str(number))["uuid"]
        assert str(UUID(text)) == text
        assert UUID(text).version == 4


def test_a_scenario_sees_it_and_a_failure_tells_it():
    result = run_steps([{"expect": ["run.id == run.uuid"]}], a_world(seed="s"))
    known = identity("pays", "pays", "s")
    assert f"run.id = {known['id']}, of seed s" in result.details
    assert result.seed == "s"


def test_without_a_seed_one_is_drawn_and_told():
    step = {"expect": ["size(run.id) == 12"], "capture": {"id": "run.id"}}
    first, second = run_steps([step]), run_steps([step])
    assert first.outcome == second.outcome == "passed"
    assert first.seed != second.seed
    assert first.to_case()["properties"] == {"seed": first.seed}
