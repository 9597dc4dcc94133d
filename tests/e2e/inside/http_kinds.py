"""Each kind of HTTP fault: what a client of the service sees before, during and after it."""

import time

import httpx
import pytest

QUICK_S = 0.3  # below what the faults add
SLACK_S = 4.5  # of a busy machine


@pytest.fixture
def at(services):
    """Give the URL of a path of the service."""
    return lambda path="/": f"{services['web'].url}{path}"


def test_requests_are_answered_with_a_status(faults, http, at):
    assert http.get(at()).status_code == 200
    with faults("abort") as fault:
        answers = [http.get(at()).status_code for _ in range(5)]
        assert answers == [503] * 5
    answer = http.get(at())
    assert answer.status_code == 200
    assert answer.json()["path"] == "/"
    assert fault.status()["hits"] == 5


def test_grpc_requests_are_answered_with_a_grpc_status(faults, http, at):
    grpc = {"content-type": "application/grpc", "te": "trailers"}
    with faults("grpc-abort") as fault:
        answer = http.post(at("/shop.Orders/Place"), headers=grpc, content=b"\0\0\0\0\0")
        assert answer.headers["grpc-status"] == "14"
    answer = http.post(at("/shop.Orders/Place"), headers=grpc, content=b"\0\0\0\0\0")
    assert "grpc-status" not in answer.headers
    assert fault.status()["hits"] == 1


def test_requests_are_delayed(faults, http, at):
    def took():
        began = time.monotonic()
        assert http.get(at()).status_code == 200
        return time.monotonic() - began

    # The quickest of a few: a busy machine adds to each, and takes nothing away.
    def quickest():
        return min(took() for _ in range(3))

    assert quickest() < QUICK_S
    with faults("delay") as fault:
        assert 0.5 <= quickest() < 0.5 + SLACK_S
    assert quickest() < QUICK_S
    assert fault.status()["hits"] == 3


def test_responses_are_slow(faults, http, at):
    def took():
        began = time.monotonic()
        assert len(http.get(at("/bytes/32768")).content) == 32768
        return time.monotonic() - began

    assert min(took() for _ in range(3)) < QUICK_S
    with faults("rate") as fault:
        assert 1.2 < took() < 9  # 16 KiB a second
    assert min(took() for _ in range(3)) < QUICK_S
    assert fault.status()["hits"] == 1


def test_a_body_is_replaced(faults, http, at):
    with faults("body") as fault:
        assert http.get(at()).text == "<html>not JSON</html>"
    assert http.get(at()).json()["path"] == "/"
    assert fault.status()["hits"] == 1


def test_a_body_is_cut_short(faults, http, at):
    with faults("truncate") as fault, pytest.raises(httpx.RemoteProtocolError):
        http.get(at("/bytes/1000"))
    assert len(http.get(at("/bytes/1000")).content) == 1000
    assert fault.status()["hits"] == 1


def test_a_content_type_is_changed(faults, http, at):
    with faults("content-type") as fault:
        answer = http.get(at())
        assert answer.headers["content-type"] == "text/html"
        assert answer.json()["path"] == "/"
    assert http.get(at()).headers["content-type"] == "application/json"
    assert fault.status()["hits"] == 1


def test_only_what_matches_is_met(faults, http, at):
    me = {"x-customer": "ada"}
    with faults("matched") as fault:
        assert http.post(at("/orders/7"), headers=me).status_code == 418
        assert http.post(at("/orders"), headers=me).status_code == 418
        assert http.get(at("/orders/7"), headers=me).status_code == 200
        assert http.post(at("/carts/7"), headers=me).status_code == 200
        assert http.post(at("/orders/7")).status_code == 200
        assert http.post(at("/orders/7"), headers={"x-customer": "bob"}).status_code == 200
    assert http.post(at("/orders/7"), headers=me).status_code == 200
    assert fault.status()["hits"] == 2


def test_one_path_is_met(faults, http, at):
    with faults("exact") as fault:
        assert http.get(at("/orders")).status_code == 500
        assert http.get(at("/orders?page=2")).status_code == 500
        assert http.get(at("/orders/7")).status_code == 200
    assert fault.status()["hits"] == 2


def test_a_share_of_requests_is_met(faults, http, at):
    with faults("half") as fault:
        answers = [http.get(at()).status_code for _ in range(100)]
    assert set(answers) == {200, 502}
    assert 25 <= answers.count(502) <= 75
    assert fault.status()["hits"] == answers.count(502)


def test_two_faults_at_once_both_meet(faults, http, at):
    with faults("exact-too") as one, faults("slow-carts") as other:
        assert http.get(at("/orders")).status_code == 500
        began = time.monotonic()
        assert http.get(at("/carts")).status_code == 200
        assert time.monotonic() - began >= 0.3
    for fault in (one, other):
        fault.wait_recovered()


def test_another_port_is_left_alone(faults, http, services):
    with faults("everything-on-http"):
        assert http.get(services["web"].url).status_code == 503
        assert http.get(f"http://web:{services['web'].ports['plain']}").status_code == 200
