"""Names that are made of a run's name are names that an API server takes."""

import re

from hypothesis import example, given
from hypothesis import strategies as st
from seatrial.api.names import report_name

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


@given(st.from_regex(rf"\A{_SUBDOMAIN}\Z").filter(lambda name: len(name) <= 253))
@example("a" * 245 + ".b")
@example("a" * 244 + "--" + "b" * 7)
@example("a" * 253)
def test_a_report_has_a_valid_name_whatever_the_run_s(run):
    name = report_name(run)
    assert len(name) <= 253
    assert re.fullmatch(_SUBDOMAIN, name)
    assert name.endswith("-report")


def test_a_run_s_name_that_is_short_enough_is_kept():
    assert report_name("shop.v1") == "shop.v1-report"
