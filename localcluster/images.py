"""The images of the catalogue: built once per hash of their inputs, imported once per cluster."""

import os
import shutil
import subprocess
import tarfile
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from localcluster.archives import ARCHIVE_FORMAT, OciLayout, write_image
from localcluster.artefacts import artefact
from localcluster.builds import built, copy_files, key_of, locked, run, scratch_folder
from localcluster.components import PAUSE_IMAGE
from localcluster.layout import HERE, ROOT, ClusterFolder, LocalClusterError, cache_dir
from localcluster.progress import Progress

CATALOGUE = HERE / "images.toml"
# Earlier states of an image that are kept, to go back and forth between branches.
KEPT_IMAGES = 4
# Build steps in buildah's storage: about ten for each change of the source, a few MB each.
KEPT_LAYERS = 2000
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# Left out of every base: a container has no use for them.
NOT_NEEDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


@dataclass(frozen=True)
class Base:
    """A root file system of Debian packages, where a public base image cannot be pulled."""

    name: str
    packages: tuple[str, ...]
    without: tuple[str, ...] = ()  # patterns of paths

    @property
    def image(self) -> str:
        """Its name in buildah's storage."""
        return f"localhost/seatrial-base-{self.name}:{self.key}"

    @property
    def key(self) -> str:
        """The hash of what is in it."""
        return key_of([], ROOT, ARCHIVE_FORMAT, "bookworm", *self.packages, *self.excluded)

    @property
    def excluded(self) -> tuple[str, ...]:
        """Patterns of what its packages have and it has not."""
        return (*NOT_NEEDED, *self.without)


@dataclass(frozen=True)
class Image:
    """One image of the catalogue."""

    short: str
    name: str
    dockerfile: str
    base: Base
    inputs: tuple[str, ...]
    tags: tuple[str, ...]
    group: str = ""  # empty: what a cluster has from the beginning
    made: tuple[str, ...] = ()  # names of artefacts

    def key(self, root: Path) -> str:
        """The hash of its inputs below a folder: its tag."""
        files = [root / path for path in (*self.inputs, self.dockerfile)]
        return key_of(files, root, self.base.key, *(artefact(each).key for each in self.made))


@dataclass(frozen=True)
class Built:
    """An image in the cache."""

    image: Image
    key: str
    layout: OciLayout

    @property
    def reference(self) -> str:
        """Its full name with the hash as tag."""
        return f"{self.image.name}:{self.key}"


def catalogue(file: Path = CATALOGUE) -> list[Image]:
    """Every image of the catalogue, those without a Dockerfile too."""
    content = tomllib.loads(file.read_text())
    bases = {
        name: Base(name, tuple(base["packages"]), tuple(base.get("without", ())))
        for name, base in content["bases"].items()
    }
    return [
        Image(
            short=short,
            name=entry["name"],
            dockerfile=entry["dockerfile"],
            base=bases[entry["base"]],
            inputs=tuple(entry["inputs"]),
            tags=tuple(entry["tags"]),
            group=entry.get("group", ""),
            made=tuple(entry.get("made", ())),
        )
        for short, entry in content["images"].items()
    ]


def present(progress: Progress, group: str = "") -> list[Image]:
    """The images of a group that can be built now; says which cannot."""
    ready = []
    for image in catalogue():
        if image.group != group:
            continue
        if (ROOT / image.dockerfile).exists():
            ready.append(image)
        else:
            progress.say(f"  ! {image.short}: {image.dockerfile} is not there")
    return ready


def image_layout(image: Image, progress: Progress) -> Built:
    """The image in the cache, built now when its inputs have changed."""
    key = image.key(ROOT)
    if (found := cache_dir() / "images" / f"{image.short}-{key}").exists():
        os.utime(found)  # so that it counts as used when old ones are forgotten
        return Built(image, key, OciLayout(found))
    base = _base_archive(image.base, progress)
    for each in image.made:
        artefact(each).get(progress)
    with progress.stage(f"Build image {image.short}"), scratch_folder() as scratch:
        # Built from a copy: an editor that saves in the middle would leave an image whose tag
        # is not the hash of what is in it.
        context = scratch / "context"
        copy_files([*image.inputs, image.dockerfile], ROOT, context)
        for each in image.made:
            artefact(each).put(context, progress)
        key = image.key(context)
        layout = built("images", f"{image.short}-{key}", partial(_build, image, key, base, context))
    _forget_old_images(image.short)
    return Built(image, key, OciLayout(layout))


def pause_archive() -> Path:
    """The image that holds a pod's namespaces: one static program."""
    source = HERE / "images/pause/pause.c"

    def make(target: Path) -> None:
        with scratch_folder() as scratch:
            program, layer = scratch / "pause", scratch / "layer.tar"
            run(["gcc", "-Os", "-static", "-s", "-o", str(program), str(source)], "Building pause")
            with tarfile.open(layer, "w") as tar:
                tar.add(program, "pause")
            write_image(
                target, PAUSE_IMAGE, layer, {"Entrypoint": ["/pause"], "User": "65535:65535"}
            )

    return built("images", f"pause-{key_of([source], ROOT)}.tar", make)


def load(cluster: ClusterFolder, progress: Progress, images: list[Image]) -> dict[str, str]:
    """
    Build the images, import those that the cluster does not have, and tag all.

    Returns:
        The tag of each, by the image's short name.
    """
    ready = [image_layout(image, progress) for image in images]
    had = imported(cluster)
    for one in ready:
        if one.reference not in had:
            with progress.stage(f"Import image {one.image.short}"):
                _import(cluster, one)
        digest = had.get(one.reference)
        # NB: of one that is there too: another checkout may have given its tags to its own.
        for name in (f"{one.image.name}:{tag}" for tag in one.image.tags):
            if digest is None or had.get(name) != digest:
                ctr(cluster, "images", "tag", "--force", one.reference, name)
    return {one.image.short: one.key for one in ready}


def load_pause(cluster: ClusterFolder) -> None:
    """Import the pause image; no pod starts before."""
    if PAUSE_IMAGE not in imported(cluster):
        ctr(cluster, "images", "import", str(pause_archive()))


def imported(cluster: ClusterFolder) -> dict[str, str]:
    """Digests of the images that the cluster has, by their names with tags."""
    lines = ctr(cluster, "images", "list").splitlines()[1:]
    # Source: ctr's columns are REF, TYPE, DIGEST and more.
    return {fields[0]: fields[2] for line in lines if len(fields := line.split()) > 2}


def ctr(cluster: ClusterFolder, *arguments: str) -> str:
    """Run containerd's own client on the cluster's containerd."""
    command = ["ctr", "--address", str(cluster.containerd_socket), "--namespace", "k8s.io"]
    return run([*command, *arguments], f"ctr {' '.join(arguments[:2])}")


def _base_archive(base: Base, progress: Progress) -> Path:
    name = f"{base.name}-{base.key}.tar"
    if (found := cache_dir() / "bases" / name).exists():
        return found

    def make(target: Path) -> None:
        with scratch_folder() as scratch:
            layer = scratch / "layer.tar"
            _mmdebstrap(base, layer)
            path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            write_image(target, base.image, layer, {"Env": [path, "LANG=C.UTF-8"]})

    with progress.stage(f"Make base {base.name}"):
        archive = built("bases", name, make)
    for other in archive.parent.glob(f"{base.name}-*.tar"):
        if other != archive:
            other.unlink(missing_ok=True)
    return archive


def _mmdebstrap(base: Base, target: Path) -> None:
    excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in base.excluded]
    run(
        [
            "mmdebstrap", "--variant=minbase", "--mode=root", *excluded,
            # Java's packages link to manual pages, and fail where their folder is missing.
            '--setup-hook=mkdir -p "$1/usr/share/man/man1"',
            f"--include={','.join(base.packages)}", "--aptopt=Acquire::Languages none",
            "bookworm", str(target),
        ],
        f"Making base {base.name}",
    )  # fmt: skip


def _build(image: Image, key: str, base: Path, context: Path, target: Path) -> None:
    reference = f"{image.name}:{key}"
    # buildah's storage is one for all builds, and a build changes it.
    with locked("buildah"), scratch_folder() as scratch:
        _tidy_storage()
        if not _buildah(["images", "-q", "--filter", f"reference={image.base.image}"]).strip():
            _buildah(["pull", "-q", f"docker-archive:{base}"])
        _buildah(
            ["bud", "-q", "--layers", "--pull-never", "--format=docker", "--isolation=chroot",
             *(f"--volume={source}:{inside}" for source, inside in _host_settings(scratch)),
             f"--build-arg=BASE={image.base.image}", f"--tag={reference}",
             f"--file={context / image.dockerfile}", str(context)],
        )  # fmt: skip
        # Layers that an earlier build has written are not written again.
        layout = OciLayout(target)
        for other in (cache_dir() / "images").glob("*/blobs"):
            layout.borrow_blobs(other.parent)
        command = ["push", "-q", "--disable-compression", "--format=oci"]
        _buildah([*command, reference, f"oci:{target}:{reference}"])
        layout.drop_unused()


def _host_settings(scratch: Path) -> list[tuple[str, str]]:
    """
    How this machine reaches its package index, for the build only: nothing of it gets into a layer.

    pip inside the build sees the host's settings, certificates and download cache.
    """
    listed = subprocess.run(
        ["python3", "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = dict(line.split("=", 1) for line in listed.stdout.splitlines() if "=" in line)
    lines = ["[global]"]
    for key, value in settings.items():
        option = key.rpartition(".")[2]
        if option not in {"cert", "find-links", "cache-dir", "no-cache-dir", "require-virtualenv"}:
            lines.append(f"{option} = {value.strip(chr(39))}")
    volumes = []
    if CA_BUNDLE.exists():
        lines.append(f"cert = {CA_BUNDLE}")
        volumes.append((str(CA_BUNDLE), f"{CA_BUNDLE}:ro"))
    pip_conf, cache = scratch / "pip.conf", cache_dir() / "pip"
    pip_conf.write_text("\n".join(lines) + "\n")
    cache.mkdir(parents=True, exist_ok=True)
    return [*volumes, (str(pip_conf), "/etc/pip.conf:ro"), (str(cache), "/root/.cache/pip:rw")]


def _tidy_storage() -> None:
    """Drop what killed builds left, and everything when it has grown too large."""
    _buildah(["rm", "--all"])
    if len(_buildah(["images", "--all", "--quiet"]).split()) > KEPT_LAYERS:
        # NB: `buildah rmi --prune` would drop exactly what the next build needs: its cache.
        shutil.rmtree(cache_dir() / "buildah", ignore_errors=True)


def _buildah(arguments: list[str]) -> str:
    storage = cache_dir() / "buildah"
    # In a mount namespace of its own, so that a build that is killed leaves no mount behind.
    command = ["unshare", "--mount", "buildah"]
    command += [f"--root={storage / 'storage'}", f"--runroot={storage / 'run'}"]
    driver = os.environ.get("STORAGE_DRIVER", "overlay")
    return run([*command, f"--storage-driver={driver}", *arguments], f"buildah {arguments[0]}")


def _forget_old_images(short: str) -> None:
    layouts = sorted(
        (cache_dir() / "images").glob(f"{short}-*"), key=lambda layout: layout.stat().st_mtime
    )
    for layout in layouts[:-KEPT_IMAGES]:
        shutil.rmtree(layout, ignore_errors=True)


def _import(cluster: ClusterFolder, one: Built) -> None:
    had = set(ctr(cluster, "content", "list", "--quiet").split())
    command = ["ctr", "--address", str(cluster.containerd_socket), "--namespace", "k8s.io"]
    with subprocess.Popen(
        [*command, "images", "import", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stderr
        with suppress(BrokenPipeError):
            one.layout.write_archive(process.stdin, one.reference, had)
            process.stdin.close()
        error = process.stderr.read().decode()
    if process.returncode:
        raise LocalClusterError(f"Importing {one.reference} failed: {error}")
