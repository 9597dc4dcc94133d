"""Messages through the brokers of the presets, on a real node."""

from __future__ import annotations

import json

from tests.e2e.breaking import report_part, run_of
from tests.e2e.conftest import Desk
from tests.support.message_file import BROKEN, BROKERS, TOLD, message_tests


def test_the_same_scenarios_end_as_on_a_laptop(desk: Desk) -> None:
    spec = {
        "timeout": "6m",
        "services": [{"name": name, "preset": name} for name in BROKERS],
        "tests": message_tests(),
        "taps": [
            {"name": "exchange", "from": "rabbitmq", "exchange": "amq.topic"},
            {"name": "subjects", "from": "nats", "subject": "*.*"},
            {"name": "topics", "from": "mosquitto", "topic": "#"},
        ],
    }
    run = run_of(desk, "messages", spec)
    status = run.finished(timeout_s=420)

    ended = {each["name"]: each for each in status["tests"]}
    assert {name for name, each in ended.items() if each["outcome"] != "Passed"} == {BROKEN}, status
    assert set(ended) == {*BROKERS, BROKEN}
    assert TOLD in ended[BROKEN]["message"]

    records = json.loads(report_part(run, "messages.json.gz"))
    tapped = {each["case"]: each["total"] for each in records if not each["test"]}
    assert tapped == {"exchange": 1, "subjects": 201, "topics": 200}
