"""Scenario files on a laptop and in a run: setup, teardown, tags and calls are the same in both."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest
import yaml
from seatrial.api.verdict import Verdict

from tests.support.conducted import a_run_doc, order
from tests.support.loopback import Loopback
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

SHOP = """
scenarios:
- name: create
  inputs: {sku: {}}
  steps:
  - http: {post: "http://orders:8080/orders", json: {sku: "{{ sku }}"}}
    expect: ["response.status == 201", "hasShape(response.json, {'id': 'int'})"]
    capture: {id: response.json.id}
  outputs: {id: id}
tests:
- name: is-there-in-the-end
  tags: [smoke]
  setup:
  - scenario: {name: create, with: {sku: A1}}
    capture: {order: outputs.id}
  scenario:
  - name: it can be seen
    eventually: {within: 30s}
    steps:
    - http: {get: "http://orders:8080/orders/{{ order }}"}
      expect: ["response.json.status == 'paid'"]
  - forEach: {in: "[1, 2]", parallelism: 2}
    scenario: {name: create, with: {sku: "B{{ item }}"}}
    capture: {more: outputs.id}
  - expect: ["more == [7, 7]", "now > parseTime('2026-01-01')", "size(run.id) == 12"]
  teardown:
  - http: {delete: "http://orders:8080/orders/{{ order }}"}
- name: is-not-paid
  tags: [smoke, slow]
  scenario:
  - scenario: {name: create, with: {sku: A1}}
    capture: {order: outputs.id}
  - http: {get: "http://orders:8080/orders/{{ order }}"}
    expect: ["response.json.status == 'cancelled'"]
  teardown:
  - http: {delete: "http://orders:8080/orders/{{ order }}"}
- name: cannot-clean-up
  scenario: [{expect: ["true"]}]
  teardown: [{expect: ["1 == 2"]}]
"""


@pytest.fixture
def shop():
    with Loopback() as each:
        each.answer("POST /orders", json={"id": 7}, status=201)
        each.answer("GET /orders/7", json={"status": "new"})
        each.answer("GET /orders/7", json={"status": "paid"})
        each.answer("DELETE /orders/7", json={})
        yield each


def test_a_file_runs_on_a_laptop(pytester, shop):
    write(pytester.path, {"shop.yaml": SHOP})
    done = run_pytest(
        pytester, "shop.yaml", "-v", f"--service=orders={shop.url}", "--junit-xml=junit.xml"
    )
    assert "shop.yaml::is-there-in-the-end PASSED" in done.stdout
    assert "shop.yaml::is-not-paid FAILED" in done.stdout
    assert 'but response.json.status is "paid"' in done.stdout
    assert "teardown: step 1 of 1 (expect): expected 1 == 2" in done.stdout
    assert [each.method for each in shop.asked].count("DELETE") == 2
    case = ET.parse(pytester.path / "junit.xml").find(".//testcase[@name='is-there-in-the-end']")
    assert case is not None
    names = [each.get("name") for each in case.iter("property")]
    assert names == ["seed", "settled: it can be seen"]


def test_the_same_file_runs_in_a_run(shop):
    from tests.support.run_namespace import RunNamespace
    from tests.unit.test_conductor_whole_run import a_conductor, in_virtual_time, verdict

    text = SHOP.replace("http://orders:8080", shop.url)
    document = yaml.safe_load(text)

    async def course():
        namespace = RunNamespace()
        order(namespace, a_run_doc(tests=document["tests"], scenarios=document["scenarios"]))
        await a_conductor(namespace)
        return namespace

    namespace = in_virtual_time(course())
    outcomes = [(t["name"], t["outcome"], t["message"]) for t in namespace.summary()["tests"]]
    assert [each[1] for each in outcomes] == ["Passed", "Failed", "Error"], outcomes
    assert [each.method for each in shop.asked].count("DELETE") == 2
    assert verdict(namespace) is Verdict.FAILED


def test_tests_are_selected_by_their_tags(pytester, shop):
    write(pytester.path, {"shop.yaml": SHOP})
    done = run_pytest(pytester, "shop.yaml", "-m", "smoke and not slow", "--collect-only", "-q")
    assert [line for line in done.stdout.splitlines() if "::" in line] == [
        "shop.yaml::is-there-in-the-end"
    ]
    strict = run_pytest(pytester, "shop.yaml", "--strict-markers", "--collect-only", "-q")
    assert strict.returncode == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("{name: create, with: {sku: A1}}", "{name: creat}"), None),
        (("inputs: {sku: {}}", "inputs: {sku: 1}"), "scenarios[0].inputs.sku: is 1."),
    ],
)
def test_what_is_wrong_with_a_shared_scenario_is_told(pytester, change, problem):
    write(pytester.path, {"shop.yaml": SHOP.replace(*change)})
    done = run_pytest(pytester, "shop.yaml", "-k", "is-not-paid or Interrupted")
    if problem is None:
        assert "no scenario is named 'creat'; there are: create" in done.stdout
    else:
        assert f"shop.yaml: {problem}" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_seed_makes_what_is_unique_the_same_again(pytester):
    step = "{scenario: [{expect: [\"run.id == 'x'\"]}]}"
    write(pytester.path, {"x.yaml": step})
    first, again, other = (
        next(
            line
            for line in run_pytest(
                pytester, "x.yaml", f"--seatrial-seed={seed}"
            ).stdout.splitlines()
            if line.startswith("run.id = ")
        )
        for seed in ("one", "one", "two")
    )
    assert first == again != other
    assert first.endswith(", of seed one")


def test_an_interrupted_session_runs_the_teardown(pytester, shop):
    begun = pytester.path / "begun"
    shop.answer("GET /hangs", json={}, before=lambda: (begun.write_text(""), time.sleep(5)))
    file = """
    scenario: [{http: {get: "http://orders:8080/hangs", timeout: 1m}}]
    teardown: [{http: {delete: "http://orders:8080/orders/7"}}]
    """
    write(pytester.path, {"x.yaml": file})
    command = [sys.executable, "-m", "pytest", "x.yaml", f"--service=orders={shop.url}"]
    process = subprocess.Popen(
        command,
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        text=True,
        # A shell starts what is in its background with the signal ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not begun.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert "KeyboardInterrupt" in output
    assert [each.method for each in shop.asked] == ["GET", "DELETE"]
