"""The scenarios that pass in the cluster pass by pytest; the broken one fails for its reason."""

from __future__ import annotations

import pytest

from tests.support.laptop import by_pytest, connected, outcomes_by_name
from tests.support.message_file import BROKEN, BROKERS, FILE, TOLD


def test_the_same_scenarios_end_as_in_the_cluster(request: pytest.FixtureRequest) -> None:
    urls = {name: request.getfixturevalue(name).url for name in BROKERS}
    said = by_pytest(FILE, *connected(urls))
    assert outcomes_by_name(said) == {**dict.fromkeys(BROKERS, "PASSED"), BROKEN: "FAILED"}
    assert TOLD in said
