"""Logs: a line for each record, with the run it is about."""

import json
import logging
import sys

from seatrial.app.logs import JsonFormatter, TextFormatter


def a_record(**extra):
    record = logging.LogRecord("seatrial.app", logging.INFO, "f.py", 1, "said %s", ("so",), None)
    record.__dict__.update(extra)
    return record


def test_a_record_is_one_json_object_with_its_fields():
    line = JsonFormatter().format(a_record(run="checkout", uid="u", verdict=None))
    document = json.loads(line)
    assert "\n" not in line
    assert document["message"] == "said so"
    assert (document["level"], document["run"], document["uid"]) == ("INFO", "checkout", "u")
    assert "verdict" not in document


def test_an_exception_stays_on_its_line():
    try:
        raise ValueError("no")
    except ValueError:
        record = a_record()
        record.exc_info = sys.exc_info()
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: no" in json.loads(line)["exception"]


def test_text_has_the_fields_behind_the_message():
    assert TextFormatter("%(message)s").format(a_record(run="checkout")) == "said so run=checkout"
