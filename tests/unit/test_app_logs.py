"""Logs: a line for each record, with the run it is about."""

import json
import logging
import sys

from seatrial.app.logs import JsonFormatter, TextFormatter
from seatrial.app.world import Stray

from tests.support.simulation import Simulation


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


def test_what_is_logged_of_a_run_names_it_in_whatever_state_it_is():
    simulation = Simulation()
    key = simulation.apply("held", suspend=True)
    simulation.apply("over", ttlAfterFinished="24h")
    simulation.settle()
    uids = {
        each[2]: simulation.cluster.objects[each]["metadata"]["uid"] for each in simulation.runs
    }
    world = simulation.world
    assert set(uids) == {"held", "over"}
    for name, uid in uids.items():
        assert world.log_fields(uid) == {"run": name, "namespace": key[1], "uid": uid}
    assert uids["over"] in world.resting
    assert world.log_fields("unknown") == {"uid": "unknown"}
    world.strays["gone"] = Stray("itr-gone-1", "n", "shop")
    told = {"namespace": "shop", "environment": "itr-gone-1", "uid": "gone"}
    assert world.log_fields("gone") == told
