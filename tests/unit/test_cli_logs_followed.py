"""``seatrial logs -f`` goes on after an outage where that began, and when a container restarts."""

import argparse
from urllib.parse import unquote

import pytest
from seatrial.cli import logs
from seatrial.cli.client import Cluster
from seatrial.cli.kubeconfig import Access

from tests.support.loopback import Answer, Loopback

ENVIRONMENT = "itr-checkout-0a1b2c3d"


class ApiServer(Loopback):
    """One run with one container; the run has its verdict once all streams have been asked for."""

    def __init__(self, streams: list[Answer], *, restarts: bool) -> None:
        super().__init__()
        self.streams = streams
        self.restarts = restarts  # the container does, once its first log has been asked for
        self.since: list[str] = []

    def respond(self, asked):
        path = asked.path.partition("?")[0]
        if path.endswith("/log"):
            self.since += [unquote(each) for each in asked.query.get("sinceTime", [""])]
            return self.streams.pop(0)
        if path.endswith("/pods"):
            restarts = int(self.restarts and bool(self.since))
            now = {"running": {}} if self.streams else {"terminated": {}}
            state = {"name": "main", "restartCount": restarts, "state": now}
            pod = {"metadata": {"name": "orders-1"}, "status": {"containerStatuses": [state]}}
            return Answer(json={"items": [pod]})
        status = {"namespace": ENVIRONMENT} | ({} if self.streams else {"verdict": "Passed"})
        return Answer(json={"metadata": {"name": "checkout"}, "status": status})


def a_stream(*lines, cut=False):
    """Make an answer in chunks, as a log comes; ``cut``: the last chunk never does."""
    texts = [f"2026-11-20T12:00:{at:02d}.000000000Z {text}\n" for at, text in lines]
    body = b"".join(b"%x\r\n%s\r\n" % (len(each), each.encode()) for each in texts)
    headers = {"Transfer-Encoding": "chunked", "Connection": "close"}
    return Answer(body=body + (b"" if cut else b"0\r\n\r\n"), headers=headers)


def followed(monkeypatch, capsys, streams, *, restarts=False):
    import urllib3

    with ApiServer(streams, restarts=restarts) as server:
        access = Access(urllib3.PoolManager(maxsize=4), server.url, {}, "shop", "it")
        cluster = Cluster(access, lambda: access)
        monkeypatch.setattr(logs, "connect", lambda options: cluster)
        monkeypatch.setattr(logs, "_NEW_PODS_S", 0.05)
        options = argparse.Namespace(
            name="checkout", service="", test="", container="", follow=True
        )
        logs.run(options)
        return capsys.readouterr().out.splitlines(), server.since


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "ended-by-the-server"])
def test_a_stream_that_an_outage_has_ended_goes_on_without_a_line_twice(monkeypatch, capsys, cut):
    streams = [a_stream((1, "one"), (2, "two"), cut=cut), a_stream((2, "two"), (3, "three"))]
    printed, since = followed(monkeypatch, capsys, streams)
    assert printed == [f"orders-1/main | {each}" for each in ("one", "two", "three")]
    assert since == ["", "2026-11-20T12:00:02.000000000Z"]


def test_lines_of_the_same_moment_are_all_printed(monkeypatch, capsys):
    printed, _ = followed(monkeypatch, capsys, [a_stream((1, "one"), (1, "two"))])
    assert len(printed) == 2


def test_a_container_that_starts_again_is_followed_from_its_beginning(monkeypatch, capsys):
    streams = [a_stream((1, "one")), a_stream((2, "two"))]
    printed, since = followed(monkeypatch, capsys, streams, restarts=True)
    assert sorted(printed) == ["orders-1/main | one", "orders-1/main | two"]
    assert since == ["", ""]


def test_credentials_that_are_not_accepted_for_a_moment_are_told_and_the_log_goes_on(
    monkeypatch, capsys
):
    refused = Answer(401, json={"message": "Unauthorized"})  # with those that were renewed too
    printed, _ = followed(monkeypatch, capsys, [refused, refused, a_stream((1, "one"))])
    assert printed == ["orders-1/main | one"]
