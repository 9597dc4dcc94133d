"""Image archives in Docker's format, written without any tool."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def write_image(target: Path, name: str, layer: Path, config: dict[str, Any]) -> None:
    """
    Write an image of one layer.

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
        "history": [{"created_by": "seatrial localcluster"}],
    }
    encoded = json.dumps(image).encode()
    config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}.tar"]}]
    with tarfile.open(target, "w") as archive:
        archive.add(layer, f"{digest}.tar")
        _add(archive, config_name, encoded)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
