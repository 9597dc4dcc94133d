"""Unique values of a session of pytest: in tests, factories, scenarios, workers and shards."""

import json
from collections.abc import Iterator

import pytest

from tests.support.fake_conductor import FakeConductor
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

SUITE = {
    "test_it.py": """
        import json, pathlib
        import pytest

        CODE = {"pattern": "[A-Z][0-9]{2}", "unique": True}

        @pytest.mark.parametrize("n", range(6))
        def test_it(factory, data, n, request):
            first, second = factory({"code": CODE}), factory({"code": CODE})
            codes = [make()["code"] for _ in range(2) for make in (first, second)]
            from seatrial_runner.data import Generator, read_specification
            plans = read_specification({"t": {"count": 3, "fields": {"code": CODE}}})
            codes += [f"t {row['code']}" for row in Generator(
                plans, data.seed, data.lane).documents()["t"]]
            out = pathlib.Path(__file__).parent / "made"
            out.mkdir(exist_ok=True)
            out.joinpath(request.node.name).write_text(json.dumps(codes))
        """
}
IDS = [f"test_it[{n}]" for n in range(6)]


@pytest.fixture
def conductor() -> Iterator[FakeConductor]:
    with FakeConductor() as each:
        yield each


def made(pytester: pytest.Pytester, *arguments: str, environment=None) -> dict[str, list[str]]:
    """Run the suite, and give what its tests have made."""
    folder = pytester.path / "made"
    for each in folder.glob("*"):
        each.unlink()
    done = run_pytest(pytester, *arguments, environment=environment or {})
    assert done.returncode == 0, done.stdout + done.stderr
    return {each.name: json.loads(each.read_text(encoding="utf-8")) for each in folder.iterdir()}


def test_no_test_of_a_session_makes_what_another_has(pytester):
    write(pytester.path, SUITE)
    whole = made(pytester, "--seatrial-seed=s")
    codes = [code for each in whole.values() for code in each]
    assert sorted(whole) == IDS
    assert len(codes) == len(set(codes)) == 42
    # Whatever process they run in, and also alone.
    assert made(pytester, "--seatrial-seed=s", "-n", "2") == whole
    [alone] = made(pytester, "--seatrial-seed=s", "-k", "test_it and 4").values()
    assert alone == whole["test_it[4]"]
    assert made(pytester, "--seatrial-seed=t") != whole


def test_no_shard_and_no_attempt_makes_what_another_has(pytester, conductor):
    write(pytester.path, SUITE)
    codes = []
    for shard, attempt in ((0, 1), (1, 1), (0, 2)):
        environment = {
            **conductor.environment(),
            "SEATRIAL_SHARD": str(shard),
            "SEATRIAL_SHARDS": "2",
            "SEATRIAL_ATTEMPT": str(attempt),
            "SEATRIAL_LANE": "1/2",
        }
        found = made(pytester, "--seatrial-seed=s", environment=environment)
        codes += [code for each in found.values() for code in each]
        assert 0 < len(found) < 6
    assert len(codes) == len(set(codes))
