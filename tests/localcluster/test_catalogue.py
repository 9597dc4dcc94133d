import io
import json
import re
import tarfile

import pytest
import yaml

from localcluster import artefacts, chart, images
from localcluster.archives import OciLayout
from localcluster.layout import ROOT, ClusterFolder, LocalClusterError
from localcluster.progress import Progress


@pytest.mark.parametrize("image", images.catalogue(), ids=lambda image: image.short)
def test_everything_the_catalogue_names_is_there(image):
    for path in (image.dockerfile, *image.inputs):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("image", images.catalogue(), ids=lambda image: image.short)
def test_a_dockerfile_works_with_a_public_base_image(image):
    text = (ROOT / image.dockerfile).read_text()
    assert "\nARG BASE=" in text
    assert "\nUSER " in text


def test_what_docker_has_mounted_as_a_volume_of_postgres_is_not_removed(tmp_path):
    text = (ROOT / "localcluster/images/postgres/Dockerfile").read_text()
    [removed] = re.findall(r"rm -rf /var/lib/postgresql/(\S+)", text)
    for name in ("15", "data"):
        (tmp_path / name).mkdir()
    assert [each.name for each in tmp_path.glob(removed)] == ["15"]


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


def test_a_cluster_comes_up_without_the_images_of_presets():
    quiet = Progress(None)
    first = {image.short for image in images.present(quiet)}
    presets = {image.short for image in images.present(quiet, "presets")}
    assert {"operator", "runner", "postgres"} <= first
    assert {"kafka", "mariadb", "ferretdb"} <= presets
    assert not first & presets


def test_the_local_cluster_has_an_image_of_every_preset():
    built = {f"{image.name}:{tag}" for image in images.catalogue() for tag in image.tags}
    values = yaml.safe_load(chart.OWN_VALUES.read_text())
    defaults = yaml.safe_load((chart.CHART / "values.yaml").read_text())
    given = values["presets"]["images"]
    assert given.keys() == defaults["presets"]["images"].keys()
    assert set(given.values()) <= built


def test_an_image_changes_its_tag_with_what_is_made_for_it(monkeypatch):
    image = next(image for image in images.catalogue() if image.short == "kafka")
    before = image.key(ROOT)
    other = artefacts.Artefact("kafka", "another", lambda _: ROOT)
    monkeypatch.setitem(artefacts._ARTEFACTS, "kafka", other)
    assert image.key(ROOT) != before


def test_an_artefact_is_put_where_its_dockerfile_copies_it_from(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a.jar").write_text("a")
    made = artefacts.Artefact("kafka", "key", lambda _: tmp_path / "cache")
    made.put(tmp_path / "root", Progress(None))
    made.put(tmp_path / "root", Progress(None))  # again, over what is there
    assert (tmp_path / "root" / artefacts.FOLDER / "kafka" / "a.jar").read_text() == "a"
    image = next(image for image in images.catalogue() if image.short == "kafka")
    assert f"COPY {artefacts.FOLDER}/kafka " in (ROOT / image.dockerfile).read_text()


def test_an_artefact_that_there_is_none_of_is_said():
    with pytest.raises(LocalClusterError, match="no artefact 'oracle'; there are: ferretdb, kafka"):
        artefacts.artefact("oracle")
