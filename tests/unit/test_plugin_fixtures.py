"""The fixtures and the marker, on a laptop and with a conductor."""

import re
from xml.etree import ElementTree

import pytest
from seatrial_runner.runner.connections import Connections
from seatrial_runner.runner.eventually import eventually
from seatrial_runner.runner.services import ServiceError, read_services
from seatrial_runner.runner.settled import note_settled
from seatrial_runner.scenario.results import MAX_SETTLED

from tests.support.fake_conductor import FakeConductor
from tests.support.loopback import Loopback
from tests.support.scenarios import FakeTime
from tests.support.suites import run_pytest, write

pytest_plugins = ["pytester"]

SERVICES = (
    '{"orders": {"host": "orders", "port": 8080, "url": "http://orders:8080",'
    ' "ports": {"http": 8080, "admin": 9090}}, "db": {"host": "db", "port": null, "ports": {}}}'
)


@pytest.fixture
def conductor():
    with FakeConductor() as each:
        yield each


def faulty(conductor):
    """Let a suite ask for faults, without being a test pod."""
    environment = conductor.environment()
    del environment["SEATRIAL_TEST"]
    return environment


def test_a_test_finds_its_services(pytester):
    write(
        pytester.path,
        {
            "test_it.py": """
            def test_it(seatrial, services):
                assert seatrial.services is services
                assert services["orders"].url == str(services["orders"]) == "http://orders:8080"
                assert (services["orders"].host, services["orders"].port) == ("orders", 8080)
                assert seatrial.url("orders") == "http://orders:8080"
                assert seatrial.url("orders", port="admin") == "http://orders:9090"
                assert (seatrial.run, seatrial.namespace) == ("shop", "itr-shop-1")
            """
        },
    )
    environment = {
        "SEATRIAL_SERVICES": SERVICES,
        "SEATRIAL_RUN": "shop",
        "SEATRIAL_NAMESPACE": "itr-shop-1",
    }
    done = run_pytest(pytester, environment=environment)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda services: services["x"], "no service 'x'; known are: db, orders. Outside of a run"),
        (lambda services: services.url("orders", "grpc"), "its ports are: http, admin"),
    ],
)
def test_an_unknown_service_or_port_is_told(ask, told):
    services, _ = read_services(SERVICES, [])
    with pytest.raises(ServiceError, match=told):
        ask(services)


@pytest.mark.parametrize("document", ["[", "[]", '{"orders": 1}', '{"orders": {"port": "x"}}'])
def test_services_that_cannot_be_read(document):
    with pytest.raises(ServiceError, match="SEATRIAL_SERVICES"):
        read_services(document, [])


def test_requests_of_the_http_fixture_are_evidence_of_traffic(pytester, conductor):
    write(
        pytester.path,
        {
            "test_it.py": """
            def test_it(http):
                answer = http.get("http://orders:8080/old", follow_redirects=True)
                assert answer.text == "new"
            """
        },
    )
    with Loopback() as system:
        system.answer(
            "GET /old", status=302, json={}, headers={"Location": "http://orders:8080/new"}
        )
        system.answer("GET /new", text="new")
        done = run_pytest(pytester, f"--service=orders={system.url}", environment=faulty(conductor))
        assert done.returncode == 0, done.stdout
        assert system.asked[0].headers["host"] == system.url.removeprefix("http://")
    assert [request["host"] for request in conductor.requests] == ["orders", "orders"]
    assert conductor.requests[0]["at"].endswith("Z")


def test_a_fault_is_in_effect_inside_of_its_block(pytester, conductor):
    write(
        pytester.path,
        {
            "test_it.py": """
            def test_it(faults, seatrial):
                with faults("lose-a-pod") as fault:
                    assert fault.status()["state"] == "Active"
                assert fault.status()["state"] == "Reverted"
                fault.wait_recovered()
                assert fault.status()["state"] == "Recovered"
                assert seatrial.faults("lose-a-pod").name == "lose-a-pod"
            """
        },
    )
    done = run_pytest(pytester, environment=faulty(conductor))
    assert done.returncode == 0, done.stdout
    orders = ["start lose-a-pod", "stop lose-a-pod", "stop lose-a-pod recovered"]
    assert conductor.orders == orders


def test_a_marked_test_runs_under_its_fault(pytester, conductor):
    write(
        pytester.path,
        {
            "test_it.py": """
            import pytest

            @pytest.fixture
            def log():
                yield print("made")
                print("gone")

            @pytest.mark.seatrial_fault("lose-a-pod")
            def test_it(faults, log):
                assert faults("lose-a-pod").status()["state"] == "Active"
                assert False

            def test_after(faults):
                assert faults("lose-a-pod").status()["state"] == "Reverted"
            """
        },
    )
    done = run_pytest(pytester, "--strict-markers", environment=faulty(conductor))
    assert "1 failed, 1 passed" in done.stdout
    assert conductor.orders == ["start lose-a-pod", "stop lose-a-pod"]


def test_a_fault_that_is_not_there_is_told(pytester, conductor):
    write(
        pytester.path,
        {
            "test_it.py": """
            import pytest

            def test_block(faults):
                with faults("nope"):
                    pass

            @pytest.mark.seatrial_fault("nope")
            def test_mark():
                pass
            """
        },
    )
    done = run_pytest(pytester, environment=faulty(conductor))
    assert "POST /v1/faults/nope/start: there is no fault 'nope' in this run" in done.stdout
    assert "1 failed, 1 error" in done.stdout


def test_the_failure_of_a_test_is_not_hidden_by_that_of_its_fault(pytester, conductor):
    write(
        pytester.path,
        {
            "test_it.py": """
            def test_it(faults):
                with faults("lose-a-pod") as fault:
                    fault.name = "nope"
                    assert 1 == 2
            """
        },
    )
    done = run_pytest(pytester, environment=faulty(conductor))
    assert "assert 1 == 2" in done.stdout
    assert "and fault 'nope' could not be stopped: POST /v1/faults/nope/stop" in done.stdout


def test_without_a_conductor_tests_that_need_faults_are_skipped(pytester):
    write(
        pytester.path,
        {
            "test_it.py": """
            import pytest

            def test_block(faults):
                with faults("x"):
                    pass

            @pytest.mark.seatrial_fault("x")
            def test_mark():
                pass
            """
        },
    )
    done = run_pytest(pytester, "-rs")
    assert "2 skipped" in done.stdout
    told = "needs the cluster: without a conductor there is no fault x; run it with seatrial run"
    assert done.stdout.count(told) == 2


def test_a_conductor_that_is_no_url_is_told(pytester):
    done = run_pytest(pytester, "--conductor=conductor:7777")
    assert "'conductor:7777' is no conductor's URL: write http://host:port" in done.stdout
    assert done.returncode == 4


def after(*results):
    """Make a check that gives, or raises, one result after another."""
    left = list(results)

    def check():
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, BaseException):
            raise result
        return result

    return check


def repeat(check, **options):
    time = FakeTime()
    return eventually(check, monotonic=time.monotonic, sleep=time.sleep, **options), time.slept


def test_eventually_gives_what_the_check_returned():
    found, slept = repeat(after(False, [], AssertionError("x"), KeyError("y"), "paid"))
    assert found == "paid"
    assert slept == [0.05, 0.1, 0.2, 0.4]


def test_a_check_that_returns_nothing_holds():
    assert repeat(after(AssertionError(), None)) == (None, [0.05])


def test_pauses_of_eventually_can_be_chosen():
    _, slept = repeat(after(*[False] * 3, True), every=0.5)
    assert slept == [0.5] * 3


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (AssertionError("1 != 2"), "1 != 2"),
        (False, "it gave False"),
        (ConnectionError("refused"), "ConnectionError: refused"),
    ],
)
def test_in_the_end_eventually_tells_what_the_last_try_found(result, found):
    with pytest.raises(AssertionError) as caught:
        repeat(after(result), within=0.1)
    assert str(caught.value) == f"not within 0.1 s (3 tries in 0.1 s): {found}"
    is_assertion = isinstance(result, AssertionError)
    assert caught.value.__cause__ is (result if is_assertion else None)


def test_eventually_does_not_swallow_a_skip():
    with pytest.raises(pytest.skip.Exception):
        repeat(after(pytest.skip.Exception("no")))


def test_eventually_is_a_decorator_too():
    time = FakeTime()
    check = after(False, True)

    @eventually(within=1, monotonic=time.monotonic, sleep=time.sleep)
    def order_is_paid(order):
        assert order == 7
        return check()

    assert order_is_paid.__name__ == "order_is_paid"
    assert order_is_paid(7) is True


def test_eventually_records_how_long_it_took_until_it_held():
    time, told = FakeTime(), []
    keep = {"monotonic": time.monotonic, "sleep": time.sleep, "record": lambda *it: told.append(it)}

    def paid():
        return time.seconds > 0.1

    @eventually(**keep)
    def shipped():
        assert time.seconds > 1

    eventually(paid, **keep)
    shipped()
    with pytest.raises(AssertionError):
        eventually(lambda: False, within=0.1, **keep)
    assert [(name, round(seconds, 3)) for name, seconds in told] == [
        ("paid", 0.15),
        ("shipped", 1.55),
    ]


SETTLING = """
import pytest

@pytest.fixture(scope="module")
def of_the_module(eventually):
    return eventually

def is_there():
    return True

def test_it(of_the_module, eventually):
    assert of_the_module(lambda: 7) == 7
    for _ in range(2):
        eventually(is_there)

def test_other(eventually):
    pass
"""


def test_how_long_it_took_is_a_property_of_the_test_in_junit(pytester):
    write(pytester.path, {"test_it.py": SETTLING})
    assert run_pytest(pytester, "--junitxml=junit.xml").returncode == 0
    cases = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    found = {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in cases
    }
    assert list(found["test_it"]) == [
        "settled: test_it.py line 11",
        "settled: is_there",
        "settled: is_there (2)",
    ]
    assert all(re.fullmatch(r"\d+\.\d{3}s", value) for value in found["test_it"].values())
    assert found["test_other"] == {}


def test_no_more_of_them_are_kept_than_a_report_has_room_for():
    kept: list[tuple[str, object]] = []
    for _ in range(100):
        note_settled(kept, "n" * 100, 0.5)
    assert len(kept) == len(dict(kept)) == MAX_SETTLED
    assert {len(name) for name, _ in kept} == {64}


def test_a_test_finds_its_databases(pytester):
    write(
        pytester.path,
        {
            "test_it.py": """
            import pytest

            def test_it(connections):
                assert connections == {
                    "db": "postgresql://app:pw@localhost:15432/app",
                    "events": "amqp://app:pw@events:5672/%2F",
                }

            def test_another(connections):
                with pytest.raises(KeyError, match="no connection to 'mq' is known; known are: db"):
                    connections["mq"]
            """
        },
    )
    environment = {
        "SEATRIAL_CONNECTIONS": '{"db": "postgresql://app:pw@db:5432/app",'
        ' "events": "amqp://app:pw@events:5672/%2F"}'
    }
    option = "--connection=db=postgresql://app:pw@localhost:15432/app"
    done = run_pytest(pytester, option, environment=environment)
    assert done.returncode == 0, done.stdout


def test_whoever_looks_up_a_connection_is_about_to_send_something_there():
    told = []
    connections = Connections({"db": "redis://db:6379"}, lambda at, host: told.append(host))
    assert "db" in connections
    assert told == []
    assert connections["db"] == "redis://db:6379"
    assert told == ["db"]


def test_data_that_pods_cannot_share_is_refused(pytester):
    write(
        pytester.path,
        {
            "test_it.py": """
            import pytest
            from seatrial_runner.runner.databases import DatabaseError

            def test_it(request):
                with pytest.raises(DatabaseError, match="not shared between the 2 pods"):
                    request.getfixturevalue("shared_data")
            """
        },
    )
    done = run_pytest(pytester, environment={"SEATRIAL_SHARDS": "2"})
    assert done.returncode == 0, done.stdout
