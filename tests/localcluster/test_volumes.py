"""Claims get a volume each, and volumes go with their claims."""

from pathlib import Path

from localcluster.volumes import CLASS, Known, left_over, missing, volume_for


def a_claim(uid="1", **spec):
    wanted = {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"]}
    metadata = {"uid": uid, "name": "data", "namespace": "itr-a"}
    return {"metadata": metadata, "spec": {"storageClassName": CLASS, **wanted, **spec}}


def a_volume(uid="1", **spec):
    volume = volume_for(a_claim(uid), Path("/volumes"))
    volume["metadata"]["uid"] = f"v-{uid}"
    return {**volume, "spec": {**volume["spec"], **spec}}


def known(claims=(), volumes=()):
    result = Known()
    result.replace("persistentvolumeclaims", list(claims))
    result.replace("persistentvolumes", list(volumes))
    return result


def test_a_claim_of_our_class_gets_a_volume_once():
    assert missing(known([a_claim()])) == [a_claim()]
    assert missing(known([a_claim()], [a_volume()])) == []


def test_claims_of_other_classes_and_those_that_go_are_left_alone():
    going = a_claim("2")
    going["metadata"]["deletionTimestamp"] = "now"
    others = [a_claim("1", storageClassName="other"), going, a_claim("3", volumeName="mine")]

    assert missing(known(others)) == []


def test_a_volume_goes_when_its_claim_is_gone():
    assert left_over(known([a_claim()], [a_volume()])) == []
    assert left_over(known([a_claim("2")], [a_volume("1")])) == [a_volume("1")]
    assert left_over(known([], [a_volume("1", storageClassName="other")])) == []


def test_nothing_is_left_over_before_everything_was_listed():
    volumes = Known()
    volumes.replace("persistentvolumes", [a_volume()])

    assert not volumes.is_complete


def test_a_volume_is_bound_to_its_claim_alone():
    volume = volume_for(a_claim("7"), Path("/volumes"))

    assert volume["spec"]["claimRef"]["uid"] == "7"
    assert volume["spec"]["hostPath"]["path"] == "/volumes/7"
