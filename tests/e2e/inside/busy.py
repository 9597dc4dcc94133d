"""A service that is asked all the time."""

import time

import wire


def test_it_answers_all_the_time(services, http):
    end = time.monotonic() + 25
    while time.monotonic() < end:
        assert http.get(services["web"].url).status_code == 200
        assert wire.reaches((services["web"].host, services["web"].ports["echo"]))
