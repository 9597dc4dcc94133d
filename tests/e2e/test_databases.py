"""The runs of the pages about databases and data, against the presets' databases in the cluster."""

from __future__ import annotations

import pytest

from tests.e2e.breaking import assert_passed, run_of
from tests.e2e.conftest import Desk
from tests.support.documented import runs_of


@pytest.mark.parametrize("page", ["test-databases.md", "make-data.md"])
def test_what_a_page_shows_passes_in_the_cluster(desk: Desk, page: str) -> None:
    made = [run_of(desk, run["metadata"]["name"], run["spec"]) for run in runs_of(page)]
    for each in made:
        assert_passed(each, each.finished())
