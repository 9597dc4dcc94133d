"""What a machine must have: what can be had without asking is had, the rest is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster import builds, local, machine
from localcluster.layout import ROOT, ClusterFolder, LocalClusterError
from localcluster.progress import Progress


@pytest.fixture
def new_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose kernel has everything as modules, and which nobody has asked for any."""
    filesystems, conntrack = tmp_path / "filesystems", tmp_path / "nf_conntrack_max"
    filesystems.write_text("nodev\ttmpfs\n\text4\n")
    monkeypatch.setattr(machine, "FILESYSTEMS", filesystems)
    monkeypatch.setattr(machine, "KERNEL", {str(conntrack): "connection tracking"})
    monkeypatch.setattr(machine, "_overlay_works", lambda _: True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that the PATH has, beside what every machine has."""
    for each in ("rm", "touch", "chmod"):
        (tmp_path / each).symlink_to(shutil.which(each) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine._no_services, "policy", tmp_path / "policy")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "times.json")


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def modprobe(folder: Path, script: str) -> None:
    program(folder, "modprobe", script)


def test_modules_that_nobody_has_asked_for_yet_are_loaded(new_machine: Path) -> None:
    modprobe(
        new_machine,
        f"""for module; do case $module in
            overlay) printf '\\toverlay\\n' >> {new_machine}/filesystems;;
            nf_conntrack) touch {new_machine}/nf_conntrack_max;;
        esac; done""",
    )
    machine.check()


def test_what_no_module_brings_is_named(new_machine: Path) -> None:
    modprobe(new_machine, "exit 1")
    with pytest.raises(LocalClusterError, match=r"modprobe overlay\n.*connection tracking"):
        machine.check()


def test_without_root_it_is_told_how_to_go_on(
    new_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalClusterError, match=r"lacks:\n  - root: run it with sudo, or use CL"):
        machine.check()


def test_without_linux_it_is_told_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.platform, "system", lambda: "Darwin")
    with pytest.raises(LocalClusterError, match=r"needs Linux, and this is Darwin.*CLUSTER=kind"):
        machine.check()


def test_without_apt_get_the_packages_are_named(bare: Path, progress: Progress) -> None:
    with pytest.raises(LocalClusterError, match=r"packages runc\. There is no apt-get") as told:
        machine.install_packages(progress, {"seatrial-runc": "runc"})
    assert "CNI" not in str(told.value)
    with pytest.raises(LocalClusterError, match="the CNI plugins in /usr/lib/cni"):
        machine.install_packages(progress, {"ptp": "containernetworking-plugins"})


def test_packages_are_for_root_to_install(
    bare: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare, "apt-get", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalClusterError, match="sudo apt-get install runc"):
        machine.install_packages(progress, {"seatrial-runc": "runc"})


def test_what_apt_get_complains_of_is_told(bare: Path, progress: Progress) -> None:
    program(bare, "apt-get", "echo no room; exit 100")
    program(bare, "dpkg", "exit 0")
    with pytest.raises(LocalClusterError, match="apt-get update failed:\nno room"):
        machine.install_packages(progress, {"seatrial-runc": "runc"})


def test_an_installation_that_was_killed_is_ended_first(bare: Path, progress: Progress) -> None:
    # As the real ones: apt-get refuses while dpkg was interrupted, and a package that is half
    # installed may have its command there already.
    program(bare, "dpkg", f"echo dpkg $* >> {bare}/calls; rm -f {bare}/interrupted")
    program(
        bare,
        "apt-get",
        f"""[ -e {bare}/interrupted ] && exit 100
        echo $* >> {bare}/calls
        case "$*" in *install*)
            echo '#!/bin/sh' > {bare}/seatrial-runc; chmod +x {bare}/seatrial-runc
            [ -e {bare}/kill ] && touch {bare}/interrupted && rm {bare}/kill && kill -9 $PPID;;
        esac; true""",
    )
    (bare / "kill").touch()
    script = (
        "from pathlib import Path; from localcluster import machine, progress\n"
        f"machine._no_services.policy = Path('{bare}/policy')\n"
        f"where = progress.Progress(Path('{bare}/times'))\n"
        "machine.install_packages(where, {'seatrial-runc': 'runc'})"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert (bare / "interrupted").exists()

    machine.install_packages(progress, {"seatrial-runc": "runc"})

    assert not (bare / "interrupted").exists()
    assert "--fix-broken" in (bare / "calls").read_text().splitlines()[-1]
    assert not machine._no_services.policy.exists()
    before = (bare / "calls").read_text()
    machine.install_packages(progress, {"seatrial-runc": "runc"})
    assert (bare / "calls").read_text() == before


def test_what_a_check_that_was_killed_has_left_is_removed(tmp_path: Path) -> None:
    ours, stale = tmp_path / f".check-{os.getpid()}", tmp_path / f".check-{2**22 + 1}"
    (stale / "a").mkdir(parents=True)
    ours.mkdir()
    machine.forget_checks(tmp_path)
    assert [*tmp_path.iterdir()] == [ours]


def test_go_is_missed_before_anything_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "check", lambda: None)
    monkeypatch.setattr(machine, "install_packages", lambda _: pytest.fail("installed packages"))
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert not builds.KUBERNETES.cached()
    with pytest.raises(LocalClusterError, match="Go is needed once"):
        local.up(ClusterFolder("none"), Progress(tmp_path / "times.json"))
