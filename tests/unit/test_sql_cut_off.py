"""A statement that is out of time is ended, whatever state its connection is in by then."""

from __future__ import annotations

from types import SimpleNamespace

from seatrial_runner.scenario.databases.drivers import _Mysql

from localcluster.ports import free_port


def test_a_connection_that_was_found_broken_meanwhile_needs_no_end() -> None:
    # The server is gone, so that nobody can be asked to end it; and pymysql has closed it.
    closed = SimpleNamespace(
        host="127.0.0.1", port=free_port(), user="app", password="app", _sock=None
    )
    _Mysql().cut_off(closed)
