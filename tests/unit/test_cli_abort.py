"""``seatrial abort --all``: a stop for everything at once."""

from __future__ import annotations

from typing import Any

import pytest
from seatrial.api.errors import ForbiddenError, NotFoundError
from seatrial.cli import abort, main
from seatrial.cli.client import UnreachableError

Json = dict[str, Any]


class Cluster:
    """Runs by namespace and name; a page of a list has two."""

    def __init__(self, *runs: str, refuses: dict[str, Exception] | None = None) -> None:
        self.namespace = "shop"
        self.runs = {key: self._run(*key.split("/")) for key in runs}
        self.refuses = refuses or {}
        self.patched: list[str] = []

    def _run(self, namespace: str, name: str, verdict: str = "") -> Json:
        status = {"verdict": verdict} if verdict else {}
        return {"metadata": {"namespace": namespace, "name": name, "uid": name}, "status": status}

    def get(self, path: str, **query: Any) -> Json:
        parts = path.split("/")
        inside = parts[5] if "namespaces" in parts else ""
        names = [key for key in self.runs if not inside or key.startswith(f"{inside}/")]
        begin = int(query.get("continue") or 0)
        more = str(begin + 2) if len(names) > begin + 2 else ""
        page = [self.runs[key] for key in names[begin : begin + 2]]
        return {"items": page, "metadata": {"continue": more}}

    def merge(self, path: str, body: Json) -> Json:
        parts = path.split("/")
        key = f"{parts[5]}/{parts[7]}"
        if key in self.refuses:
            raise self.refuses[key]
        assert body == {"spec": {"abort": True}}
        self.patched.append(key)
        return self.runs[key]


@pytest.fixture
def aborted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(cluster: Cluster, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(abort, "connect", lambda options: cluster)
        status = main(["abort", *arguments])
        return status, *capsys.readouterr()

    return run


def test_every_run_of_the_namespace_is_asked_and_no_other(aborted: Any) -> None:
    cluster = Cluster("shop/a", "shop/b", "other/c", "shop/d", "shop/e")
    status, out, _ = aborted(cluster, "--all")
    assert status == 0
    assert cluster.patched == ["shop/a", "shop/b", "shop/d", "shop/e"]
    assert out.splitlines()[0] == "asked run shop/a to abort"


def test_with_all_namespaces_everything_stops(aborted: Any) -> None:
    cluster = Cluster("shop/a", "other/c")
    assert aborted(cluster, "--all", "-A")[0] == 0
    assert cluster.patched == ["shop/a", "other/c"]


def test_what_has_finished_is_left_alone(aborted: Any) -> None:
    cluster = Cluster("shop/a")
    cluster.runs["shop/a"]["status"] = {"verdict": "Passed"}
    assert aborted(cluster, "--all") == (0, "no run goes on in namespace shop\n", "")
    assert cluster.patched == []


def test_one_that_cannot_be_asked_keeps_none_of_the_others_going(aborted: Any) -> None:
    cluster = Cluster("shop/a", "shop/b", refuses={"shop/a": UnreachableError("no answer")})
    status, _, err = aborted(cluster, "--all")
    assert cluster.patched == ["shop/b"]
    assert status == 69
    assert "run shop/a could not be asked to abort: no answer" in err
    assert "1 run not aborted, see above: try again" in err


def test_a_missing_right_is_said(aborted: Any) -> None:
    cluster = Cluster("shop/a", refuses={"shop/a": ForbiddenError("may not patch", status=403)})
    status, _, err = aborted(cluster, "--all")
    assert status == 77
    assert "you lack the right to patch them" in err


def test_one_that_is_deleted_meanwhile_is_no_problem(aborted: Any) -> None:
    cluster = Cluster("shop/a", "shop/b", refuses={"shop/a": NotFoundError("gone", status=404)})
    assert aborted(cluster, "--all") == (0, "asked run shop/b to abort\n", "")


@pytest.mark.parametrize("arguments", [(), ("x", "--all"), ("x", "-A"), ("-A",)])
def test_it_is_one_run_or_all_of_them(aborted: Any, arguments: tuple[str, ...]) -> None:
    cluster = Cluster("shop/x")
    assert aborted(cluster, *arguments)[0] == 64
    assert cluster.patched == []
