"""What Seatrial says of wrong manifests; tests/control_plane asks a real API server as well."""

from collections import Counter

import pytest

from tests.support.builders import a_run
from tests.support.wrong import Wrong, verdict_of_seatrial, wrong_manifests

WRONG = wrong_manifests()


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_manifest_is_explained_in_one_line_with_field_and_remedy(wrong):
    assert verdict_of_seatrial(wrong) == wrong.says
    assert len(wrong.says.splitlines()) == 1
    assert wrong.says.startswith("spec.")


def test_there_are_at_least_sixty_and_most_that_it_can_read_are_refused_by_the_api_server():
    """Of all, about half are: `manifests` are a text to it, and nothing in them can be refused."""
    by = Counter(wrong.refused_by for wrong in WRONG if "manifests[" not in wrong.says)

    assert sum(by.values()) >= 60
    assert by["apply"] > by["operator"]
    assert len({wrong.name for wrong in WRONG}) == len(WRONG)


def test_the_run_they_are_made_of_is_a_good_one():
    assert verdict_of_seatrial(Wrong("good", "", a_run(), {}, "", "")) == ""
