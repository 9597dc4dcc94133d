"""
Gives PersistentVolumeClaims on the local cluster a folder each, and takes it away with the claim.

A component of the cluster: ``python3 -m localcluster.volumes FILE`` (JSON: url, pki, folder).
The controller manager could make folders too (--enable-hostpath-provisioner), but only root could
write to them: pods of a run are not root, and fsGroup is of no use for a folder of the host.
"""

import http.client
import json
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from localcluster.enforcer import RELIST_DELAY_S, Api, end_all

CLASS = "local"
PROVISIONER = "seatrial.dev/local-folder"
CLAIMS, VOLUMES = "/api/v1/persistentvolumeclaims", "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"

Json = dict[str, Any]

STORAGE_CLASS: Json = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": CLASS,
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}


class Known:
    """Claims and volumes by UID, as the watches last saw them."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Json]] = {}
        self.changed = threading.Event()

    def replace(self, kind: str, objects: list[Json]) -> None:
        """Take a whole list."""
        self.objects[kind] = {one["metadata"]["uid"]: one for one in objects}
        self.changed.set()

    def change(self, kind: str, event: Json) -> None:
        """Take one event of a watch."""
        one = event["object"]
        # A new mapping, because the other thread may be reading the old one.
        rest = {k: v for k, v in self.objects[kind].items() if k != one["metadata"]["uid"]}
        gone = event["type"] == "DELETED"
        self.objects[kind] = rest if gone else {**rest, one["metadata"]["uid"]: one}
        self.changed.set()

    @property
    def is_complete(self) -> bool:
        """Whether both have been listed: before that, every volume would seem to be left over."""
        return {"persistentvolumeclaims", "persistentvolumes"} <= self.objects.keys()


def missing(known: Known) -> list[Json]:
    """Claims of our class that have no volume yet."""
    there = {one["metadata"]["name"] for one in known.objects["persistentvolumes"].values()}
    return [
        claim
        for uid, claim in known.objects["persistentvolumeclaims"].items()
        if claim["spec"].get("storageClassName") == CLASS
        and not claim["spec"].get("volumeName")
        and "deletionTimestamp" not in claim["metadata"]
        and f"pvc-{uid}" not in there
    ]


def left_over(known: Known) -> list[Json]:
    """Volumes of ours whose claim is gone."""
    claims = known.objects["persistentvolumeclaims"]
    return [
        volume
        for volume in known.objects["persistentvolumes"].values()
        if volume["spec"].get("storageClassName") == CLASS
        and volume["spec"].get("claimRef", {}).get("uid") not in claims
        and "deletionTimestamp" not in volume["metadata"]
    ]


def volume_for(claim: Json, folder: Path) -> Json:
    """The PersistentVolume of a claim, with a folder below ``folder``."""
    metadata = claim["metadata"]
    reference = {key: metadata[key] for key in ("name", "namespace", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            # It tells the controller manager that someone else will delete it.
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **reference},
            "hostPath": {"path": str(folder / metadata["uid"]), "type": "Directory"},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": CLASS,
        },
    }


def provide(api: Api, known: Known, folder: Path) -> None:
    """Bring volumes into line with claims, for ever."""
    folder.mkdir(exist_ok=True)
    while api.send("POST", CLASSES, STORAGE_CLASS) not in (201, 409):
        time.sleep(RELIST_DELAY_S)
    while True:
        known.changed.wait()
        known.changed.clear()
        if not known.is_complete:
            continue
        for claim in missing(known):
            volume = volume_for(claim, folder)
            place = Path(volume["spec"]["hostPath"]["path"])
            place.mkdir(exist_ok=True)
            place.chmod(0o777)  # whoever the pod runs as
            api.send("POST", VOLUMES, volume)
        for volume in left_over(known):
            api.send("DELETE", f"{VOLUMES}/{volume['metadata']['name']}")
            shutil.rmtree(volume["spec"]["hostPath"]["path"], ignore_errors=True)


def main() -> None:
    """Follow claims and volumes, and provide."""
    threading.excepthook = end_all
    settings = json.loads(Path(sys.argv[1]).read_text())
    api, known = Api(settings["url"], Path(settings["pki"])), Known()
    for path in (CLAIMS, VOLUMES):
        threading.Thread(target=api.follow, args=(known, path), daemon=True).start()
    while True:
        try:
            provide(api, known, Path(settings["folder"]))
        except (OSError, http.client.HTTPException) as error:
            print(f"trying again: {error!r}", flush=True)
            known.changed.set()
            time.sleep(RELIST_DELAY_S)


if __name__ == "__main__":
    main()
