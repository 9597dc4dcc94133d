"""Bodies, methods and what is seen of a response, beyond the plain JSON request."""

import base64
import email
import email.policy
import re

import pytest

from tests.support.loopback import Loopback
from tests.support.scenarios import ORDERS, a_world, get, run_steps


@pytest.fixture
def system():
    with Loopback() as each:
        yield each


def posted(system, **http):
    system.answer("POST /files", json={})
    steps = [
        {"set": {"sku": "'A1'", "photo": "'AAEC/w=='"}},
        {"http": {"post": f"{ORDERS}/files", **http}},
    ]
    result = run_steps(steps, a_world(system.url))
    return result, (system.asked[-1] if system.asked else None)


def test_any_method_is_sent_by_its_name(system):
    system.answer("PROPFIND /files", status=207, text="<multistatus/>")
    step = {
        "http": {"request": {"method": "PROPFIND", "url": f"{ORDERS}/files"}},
        "expect": ["response.status == 207"],
    }
    result = run_steps([step], a_world(system.url))
    assert result.outcome == "passed", result.details
    assert result.steps[0].name == f"PROPFIND {ORDERS}/files"


def test_fields_and_files_are_sent_as_multipart(system):
    result, asked = posted(
        system,
        multipart=[
            {"name": "sku", "text": "{{ sku }}"},
            {"name": "about", "text": '{"a": 1}', "contentType": "application/json"},
            {"name": "photo", "base64": "{{ photo }}", "filename": 'a "b".png'},
        ],
    )
    assert result.outcome == "passed", result.details
    head = f"Content-Type: {asked.headers['content-type']}\r\n\r\n".encode()
    whole = email.message_from_bytes(head + asked.body, policy=email.policy.HTTP)
    assert [
        (part.get_param("name", header="content-disposition"), part.get_payload(decode=True))
        for part in whole.iter_parts()
    ] == [("sku", b"A1"), ("about", b'{"a": 1}'), ("photo", bytes([0, 1, 2, 255]))]
    sku, about, photo = whole.iter_parts()
    assert (sku["content-type"], about["content-type"]) == (None, "application/json")
    assert photo["content-type"] == "application/octet-stream"
    assert 'filename="a %22b%22.png"' in str(photo["content-disposition"])


def test_a_text_cannot_end_its_part_before_its_end(system):
    result, asked = posted(system, multipart=[{"name": "a", "text": "x\r\n--seatrial-\r\n\r\ny"}])
    assert result.outcome == "passed"
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    assert asked.body.count(boundary) == 2
    assert b"x\r\n--seatrial-\r\n\r\ny" in asked.body


def test_a_content_type_cannot_bring_headers_along(system):
    part = {"name": "a", "text": "x", "contentType": "{{ 'text/plain\r\nX-Evil: 1' }}"}
    result, asked = posted(system, multipart=[part])
    assert "multipart[0].contentType has a character that no header can have" in result.message
    assert asked is None


def test_bytes_are_sent_as_they_are(system):
    result, asked = posted(system, bodyBase64="{{ photo }}", headers={"Content-Type": "image/png"})
    assert (result.outcome, asked.body) == ("passed", bytes([0, 1, 2, 255]))


@pytest.mark.parametrize(
    ("http", "field"),
    [
        ({"bodyBase64": "not base64!"}, "bodyBase64"),
        ({"multipart": [{"name": "a", "text": ""}, {"name": "b", "base64": "x"}]}, "[1].base64"),
    ],
)
def test_what_is_no_base64_is_named(system, http, field):
    result, asked = posted(system, **http)
    assert f"{field} is no base64" in result.message
    assert asked is None


def test_the_bytes_of_a_response_can_be_looked_at(system):
    content = bytes(range(256))
    system.answer("GET /orders/1", body=content, headers={"Content-Type": "image/png"})
    expected = base64.b64encode(content).decode()
    step = {
        "http": get(),
        "expect": [f"response.base64 == '{expected}'", "response.size == 256"],
        "capture": {"photo": "response.base64"},
    }
    system.answer("POST /copy", json={})
    steps = [step, {"http": {"post": f"{ORDERS}/copy", "bodyBase64": "{{ photo }}"}}]
    result = run_steps(steps, a_world(system.url))
    assert result.outcome == "passed", result.message
    assert system.asked[-1].body == content


def test_an_expectation_on_bytes_can_fail(system):
    system.answer("GET /orders/1", body=b"abc")
    result = run_steps([{"http": get(), "expect": ["response.size == 4"]}], a_world(system.url))
    assert result.message.endswith("expected response.size == 4, but response.size is 3")


def test_elapsed_is_a_duration(system):
    system.answer("GET /orders/1", json={})
    world = a_world(system.url)
    good = {"http": get(), "expect": ["response.elapsed > duration('0s')"]}
    bad = {"http": get(), "expect": ["response.elapsed < duration('0s')"]}
    assert run_steps([good], world).outcome == "passed"
    message = run_steps([bad], world).message
    assert re.search(r"but response\.elapsed is \d\.\d+s", message)


def test_cookies_are_those_of_their_path_and_go_when_they_are_told_to(system):
    system.answer("GET /login", json={}, headers={"Set-Cookie": "sid=abc; Path=/orders"})
    system.answer("GET /orders/1", json={})
    system.answer("GET /other", json={})
    system.answer(
        "GET /orders/out", json={}, headers={"Set-Cookie": "sid=; Max-Age=0; Path=/orders"}
    )
    steps = [
        {"http": get(path)}
        for path in ("/login", "/orders/1", "/other", "/orders/out", "/orders/1")
    ]
    result = run_steps(steps, a_world(system.url))
    assert result.outcome == "passed"
    sent = [asked.headers.get("cookie") for asked in system.asked]
    assert sent == [None, "sid=abc", None, "sid=abc", None]
