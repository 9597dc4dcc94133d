"""Image archives and OCI layouts, written and read without any tool."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# Part of what a base is keyed by: raise it when the same root file system is written differently.
ARCHIVE_FORMAT = "2"
EPOCH = "1970-01-01T00:00:00Z"


def write_image(target: Path, name: str, layer: Path, config: dict[str, Any]) -> None:
    """
    Write an image of one layer, in Docker's format.

    Args:
        target: The archive.
        name: Its name with tag.
        layer: Its root file system, an uncompressed tar.
        config: What the container runs, in Docker's words: ``Cmd``, ``Env`` ...
    """
    with layer.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "created": EPOCH,
        # NB: without a time, buildah finds no step that follows this layer in its cache.
        "history": [{"created": EPOCH, "created_by": "seatrial localcluster"}],
    }
    encoded = json.dumps(image).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}.tar"]}]
    with tarfile.open(target, "w") as archive:
        archive.add(layer, f"{digest}.tar")
        _add(archive, config_name, encoded)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


@dataclass(frozen=True)
class OciLayout:
    """
    A folder in the OCI image layout that holds one image.

    Source: OCI Image Format Specification, "OCI Image Layout".
    """

    path: Path

    def borrow_blobs(self, other: Path) -> None:
        """Have the blobs of another layout too, without copying them."""
        blobs = self.path / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        for blob in (other / "blobs" / "sha256").glob("*"):
            if not (blobs / blob.name).exists():
                os.link(blob, blobs / blob.name)

    def drop_unused(self) -> None:
        """Remove the blobs that the image does not refer to."""
        used = set(self._digests())
        for blob in (self.path / "blobs" / "sha256").iterdir():
            if f"sha256:{blob.name}" not in used:
                blob.unlink()

    def write_archive(self, stream: IO[bytes], name: str, had: Container[str]) -> None:
        """
        Write the image as a tar that containerd imports.

        Args:
            stream: Where to.
            name: The image's name with tag.
            had: Digests that the receiver has already: left out, so that a small change is quick.
        """
        index = json.loads((self.path / "index.json").read_text())
        index["manifests"][0]["annotations"] = {"io.containerd.image.name": name}
        with tarfile.open(fileobj=stream, mode="w|") as archive:
            _add(archive, "oci-layout", (self.path / "oci-layout").read_bytes())
            _add(archive, "index.json", json.dumps(index).encode())
            for digest in self._digests():
                if digest not in had:
                    archive.add(
                        self._blob(digest), f"blobs/sha256/{digest.removeprefix('sha256:')}"
                    )

    def _digests(self) -> list[str]:
        index = json.loads((self.path / "index.json").read_text())
        digest = str(index["manifests"][0]["digest"])
        manifest = json.loads(self._blob(digest).read_text())
        return [
            digest,
            manifest["config"]["digest"],
            *(one["digest"] for one in manifest["layers"]),
        ]

    def _blob(self, digest: str) -> Path:
        return self.path / "blobs" / "sha256" / digest.removeprefix("sha256:")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
