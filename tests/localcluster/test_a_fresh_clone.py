"""
A fresh clone of this checkout, with a cluster of its own beside all others: the demo works there.

What is measured is not asserted, because the machine may be busy: `-s` shows it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from localcluster import local
from localcluster.builds import copy_files
from localcluster.layout import ROOT, ClusterFolder, clusters_dir
from tests.support.local_clusters import leftovers, links

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="the built-in cluster needs root"),
]

CLUSTER = ClusterFolder("clone")
# What the `make` that runs this test has set for itself.
NOT_OURS = {"MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "KUBECONFIG", "RUN", "VIRTUAL_ENV"}
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name not in NOT_OURS},
    "CLUSTER": "local",
    "CLUSTER_NAME": CLUSTER.name,
}
PENDING = "labelSelector=owner%3Dhelm,name%3Dseatrial,status%3Dpending-install"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """Clone what is committed, or copy all but caches, and take the cluster down at the end."""
    folder = tmp_path / "seatrial"
    if (ROOT / ".git").exists() and shutil.which("git"):
        # Whoever has checked it out: root may well run the tests of another user's files.
        trusting = tmp_path / "gitconfig"
        trusting.write_text("[safe]\n\tdirectory = *\n")
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(trusting)}
        command = ["git", "clone", "--quiet", str(ROOT), str(folder)]
        subprocess.run(command, env=environment, check=True)
    else:
        copy_files(["."], ROOT, folder)
    yield folder
    subprocess.run(["make", "down"], cwd=folder, env=ENVIRONMENT, check=True)


def make(clone: Path, *words: str) -> subprocess.CompletedProcess[str]:
    begun = time.monotonic()
    done = subprocess.run(
        ["make", *words], cwd=clone, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    print(f"make {' '.join(words)}: {time.monotonic() - begun:.1f} s")
    return done


# While an image is built, while it is put into the cache, and while the first one is imported.
OF_IMAGES = [
    "return:localcluster.images._host_settings",
    "call:localcluster.archives.OciLayout.drop_unused",
    "call:localcluster.archives._add",
]


def make_up_killed_at_its_images(clone: Path) -> None:
    with (clone / "examples/shop/Dockerfile").open("a") as dockerfile:
        dockerfile.write(f"# {uuid4()}: one that is in no cache\n")
    for moment in OF_IMAGES:
        command = [sys.executable, "-m", "tests.support.killed_at", moment, "up"]
        up = subprocess.run(
            command, cwd=clone, env=ENVIRONMENT, capture_output=True, text=True, check=False,
            start_new_session=True,
        )  # fmt: skip
        assert up.returncode == -signal.SIGKILL, f"{moment} never came: {up.stdout}{up.stderr}"


def make_up_killed_while_helm_installs(clone: Path) -> None:
    with (clone / "up.log").open("w") as log:
        up = subprocess.Popen(
            ["make", "up"], cwd=clone, env=ENVIRONMENT, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    while up.poll() is None and not helm_is_at_it():
        time.sleep(0.1)
    if up.poll() is None:
        os.killpg(up.pid, signal.SIGKILL)
    assert up.wait() in (0, -signal.SIGKILL), (clone / "up.log").read_text()


def helm_is_at_it() -> bool:
    try:
        secrets = local.api_get(CLUSTER, f"/api/v1/namespaces/seatrial-system/secrets?{PENDING}")
    except (OSError, ValueError):
        return False
    return bool(secrets["items"])


def the_others() -> list[str]:
    """Name the other clusters of this machine that are well."""
    names = {folder.name for folder in clusters_dir().glob("[!.]*/")} - {CLUSTER.name}
    return sorted(name for name in names if local.well(ClusterFolder(name)))


@pytest.fixture
def others() -> Iterator[list[str]]:
    """Name the other clusters of this machine that are well; make one where there is none."""
    found = the_others()
    if not found:
        localcluster("beside", "up", "--bare")
    yield found or the_others()
    if not found:
        localcluster("beside", "down")


def localcluster(name: str, *words: str) -> None:
    command = [sys.executable, "-m", "localcluster", *words]
    subprocess.run(command, cwd=ROOT, env={**ENVIRONMENT, "CLUSTER_NAME": name}, check=True)


def test_the_demo_passes_in_a_fresh_clone_beside_other_clusters(
    clone: Path, others: list[str]
) -> None:
    assert others
    make_up_killed_at_its_images(clone)
    make_up_killed_while_helm_installs(clone)

    passed = make(clone, "demo")
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "Passed: shop" in passed.stdout

    failed = make(clone, "demo", "RUN=examples/shop-broken/run.yaml")
    assert failed.returncode != 0
    assert "Failed: shop-broken" in failed.stdout, failed.stdout + failed.stderr

    again = make(clone, "up")
    assert again.returncode == 0, again.stderr
    assert "Cluster clone is up" in again.stderr
    assert "The chart is installed" in again.stderr

    addresses = local.addresses_of(CLUSTER)
    assert addresses
    assert make(clone, "down").returncode == 0
    assert leftovers(CLUSTER) == []
    assert addresses.interface not in links()
    # One that a busy machine keeps from answering is asked again.
    give_up = time.monotonic() + 120
    while not set(others) <= set(the_others()):
        assert time.monotonic() < give_up, f"of {others} only {the_others()} are well"
        time.sleep(1)
