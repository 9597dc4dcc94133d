import os

import pytest

from localcluster import builds
from localcluster.builds import built, key_of


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "a.py").write_text("one")
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))


def test_two_checkouts_of_the_same_source_share_a_key(source, tmp_path):
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "a.py").write_text("one")
    assert key_of([source], source) == key_of([clone], clone)


@pytest.mark.parametrize(
    "leftover", ["__pycache__/a.pyc", "a.pyc", ".mypy_cache/x", "p.egg-info/x"]
)
def test_bytecode_and_caches_do_not_change_a_key(source, leftover):
    before = key_of([source], source)
    (source / leftover).parent.mkdir(exist_ok=True)
    (source / leftover).write_text("leftover")
    assert key_of([source], source) == before


def test_content_names_and_modes_change_a_key(source):
    keys = {key_of([source], source)}
    (source / "a.py").write_text("two")
    keys.add(key_of([source], source))
    (source / "a.py").chmod(0o755)
    keys.add(key_of([source], source))
    (source / "a.py").rename(source / "b.py")
    keys.add(key_of([source], source))
    keys.add(key_of([source], source, "--flag"))
    assert len(keys) == 5


def test_what_is_in_the_cache_is_not_built_again():
    calls = []

    def make(target):
        calls.append(target)
        target.write_text("built")

    assert built("bin", "tool-1", make) == built("bin", "tool-1", make)
    assert len(calls) == 1


def test_a_build_that_dies_halfway_leaves_nothing_that_looks_built():
    def dies(target):
        target.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built("bin", "tool-2", dies)
    assert built("bin", "tool-2", lambda target: target.write_text("whole")).read_text() == "whole"


def test_a_failed_command_tells_the_end_of_its_output():
    with pytest.raises(builds.LocalClusterError, match="the reason"):
        builds.run(["sh", "-c", "echo the reason; exit 3"], "Trying", env=dict(os.environ))
