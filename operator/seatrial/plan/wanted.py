"""Which objects have to be made now."""

from __future__ import annotations

from seatrial.api import names
from seatrial.api.status import RunStatus
from seatrial.plan.blueprint import bare
from seatrial.plan.ending import aborting
from seatrial.plan.objects import (
    Manifest,
    Mode,
    conductor_configmaps,
    conductor_pod,
    conductor_token,
    control_manifest,
    environment,
)
from seatrial.plan.objects.manifest import CREATED, ObjectKey
from seatrial.plan.rundoc import control_document
from seatrial.plan.seen import Seen, Subject
from seatrial.plan.settings import PlanSettings


def missing_objects(
    subject: Subject, status: RunStatus, seen: Seen, settings: PlanSettings
) -> tuple[Manifest, ...]:
    """
    List what has to be made now.

    Once the gate is open, nothing of the system under test is applied again: a fault may have
    changed it on purpose.
    """
    if seen.namespace is not None and seen.namespace.deleting:
        return ()
    assert status.start_time is not None
    if status.gate_time is None:
        assert subject.blueprint is not None
        run = subject.blueprint
        ready = {each.name for each in status.services if each.state == "Ready"}
        wanted = [
            *environment(run, settings, started=status.start_time, seal=seen.seal, ready=ready),
        ]
    else:
        assert subject.spec is not None
        run = bare(subject.metadata, subject.spec)
        wanted = [
            *conductor_configmaps(run),
            conductor_token(run),
            conductor_pod(run, settings),
        ]
    wanted += _control(subject, status, seen)
    return tuple(each for each in wanted if _missing(each, seen))


def _missing(manifest: Manifest, seen: Seen) -> bool:
    if manifest.mode is Mode.CREATE:
        return manifest.key not in seen.applied
    return seen.applied.get(manifest.key) != manifest.digest


def _control(subject: Subject, status: RunStatus, seen: Seen) -> list[Manifest]:
    """
    Tell the conductor to abort or to hold, if there is something to tell.

    A conductor that finds no ``control.json`` goes on; so nothing is written for a run that this
    process started itself and that goes on. Of others it is not known what was written last.
    """
    assert subject.spec is not None
    assert status.namespace is not None
    told = aborting(status)
    document = control_document(
        abort=told.message or told.reason if told else "", suspend=subject.spec.suspend
    )
    manifest = control_manifest(status.namespace, document)
    goes_on = not document["abort"] and not document["suspend"]
    made = seen.applied.get(ObjectKey("ConfigMap", status.namespace, names.RUN_CONFIGMAP))
    if made is None and status.gate_time is None:
        return []  # run.json comes first: to apply a part would make the ConfigMap without it
    if goes_on and made == CREATED and manifest.key not in seen.applied:
        return []
    return [manifest]
