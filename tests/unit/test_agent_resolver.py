"""What an image may have in place of the file that says who resolves names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from seatrial_runner.agent.dns import read_resolver

TEXT = "nameserver 10.0.0.10\nsearch itr.svc.cluster.local svc.cluster.local\n"
READ = (["10.0.0.10"], ["itr.svc.cluster.local", "svc.cluster.local"])
NONE: tuple[list[str], list[str]] = ([], [])


@pytest.fixture
def container(tmp_path: Path) -> Path:
    for folder in ("etc", "run"):
        (tmp_path / folder).mkdir()
    return tmp_path


@pytest.fixture
def root(container: Path) -> Iterator[int]:
    handle = os.open(container, os.O_PATH | os.O_DIRECTORY)
    yield handle
    os.close(handle)


def test_a_file_is_read(container: Path, root: int) -> None:
    (container / "etc/resolv.conf").write_text(TEXT)
    assert read_resolver(root) == READ


@pytest.mark.parametrize(
    "link", ["/run/resolv.conf", "../run/resolv.conf", "../../../run/resolv.conf"]
)
def test_a_link_leads_to_where_it_leads_in_the_container(
    link: str, container: Path, root: int
) -> None:
    (container / "run/resolv.conf").write_text(TEXT)
    (container / "etc/resolv.conf").symlink_to(link)
    assert read_resolver(root) == READ


@pytest.mark.parametrize(
    "put",
    [
        lambda path: path.symlink_to("/dev/zero"),  # of ours: there is none in the container
        lambda path: path.symlink_to("/etc/hosts"),
        os.mkfifo,
        Path.mkdir,
        lambda path: None,
    ],
    ids=["a-device-of-ours", "a-file-of-ours", "a-pipe", "a-folder", "nothing"],
)
def test_nothing_else_is_read(put: Callable[[Path], None], container: Path, root: int) -> None:
    put(container / "etc/resolv.conf")
    assert read_resolver(root) == NONE


def test_of_a_long_one_the_beginning_is_read(container: Path, root: int) -> None:
    (container / "etc/resolv.conf").write_text(TEXT + "#" * 10_000_000 + "\nnameserver 10.0.0.11\n")
    assert read_resolver(root) == READ
