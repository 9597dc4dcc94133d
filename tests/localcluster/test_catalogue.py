import io
import json
import tarfile

import pytest

from localcluster import images
from localcluster.archives import OciLayout
from localcluster.layout import ROOT, ClusterFolder, LocalClusterError


@pytest.mark.parametrize("image", images.catalogue(), ids=lambda image: image.short)
def test_everything_the_catalogue_names_is_there(image):
    for path in (image.dockerfile, *image.inputs):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("image", images.catalogue(), ids=lambda image: image.short)
def test_a_dockerfile_works_with_a_public_base_image(image):
    text = (ROOT / image.dockerfile).read_text()
    assert "\nARG BASE=" in text
    assert "\nUSER " in text


def test_an_image_changes_its_tag_with_its_source(tmp_path):
    image = next(image for image in images.catalogue() if image.short == "postgres")
    (tmp_path / "localcluster/images/postgres").mkdir(parents=True)
    (tmp_path / image.dockerfile).write_text("FROM one")
    before = image.key(tmp_path)
    (tmp_path / image.dockerfile).write_text("FROM two")
    assert image.key(tmp_path) != before


def test_blobs_that_the_cluster_has_are_not_sent_again(tmp_path):
    blobs = tmp_path / "blobs/sha256"
    blobs.mkdir(parents=True)
    manifest = {"config": {"digest": "sha256:c"}, "layers": [{"digest": "sha256:l"}]}
    for name, content in {"m": json.dumps(manifest), "c": "config", "l": "layer"}.items():
        (blobs / name).write_text(content)
    (tmp_path / "oci-layout").write_text("{}")
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [{"digest": "sha256:m"}]}))

    stream = io.BytesIO()
    OciLayout(tmp_path).write_archive(stream, "docker.io/seatrial/x:1", {"sha256:l"})

    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        assert set(archive.getnames()) == {
            "oci-layout", "index.json", "blobs/sha256/m", "blobs/sha256/c",
        }  # fmt: skip


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "a" * 40, "../x"])
def test_a_name_that_cannot_name_a_cluster_is_refused(name):
    with pytest.raises(LocalClusterError):
        ClusterFolder(name)
