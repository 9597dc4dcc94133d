"""
Why a service can't come up, found as early as it is certain. Pure.

Each rule looks at objects as the API server gives them. What may still pass by itself (the first
crash of a service whose database is not up yet, a registry that stumbled once, nodes that other
pods fill) is no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from seatrial.api.reasons import Reason
from seatrial.api.scheduling import room_may_come

from seatrial_runner.clock import parse
from seatrial_runner.conductor import pods
from seatrial_runner.conductor.pods import Container

Object = dict[str, Any]

UNSCHEDULABLE_GRACE_S = 10.0
# Clouds take 10 to 30 s to make a disk.
UNBOUND_GRACE_S = 90.0
CRASHES = 3
PULLS = 2
_MAX_QUOTE = 600


@dataclass(frozen=True)
class Finding:
    """A failure that is certain; ``container`` has logs worth quoting, of its end before if so."""

    reason: str
    message: str
    service: str
    pod: str | None = None
    container: str | None = None
    previous: bool = False


@dataclass(frozen=True)
class Subject:
    """What is looked at: the service (or test) and what belongs to it."""

    name: str
    pods: list[Object]
    workloads: list[tuple[str, Object]]  # kind and object
    events: list[Object]
    what: str = "service"

    @property
    def title(self) -> str:
        """Name it in a sentence."""
        return f"{self.what} {self.name}"


def diagnose(subject: Subject, now: datetime) -> Finding | None:
    """Give the first certain reason why the subject can't come up, or None."""
    return next(_findings(subject, now), None)


def _findings(subject: Subject, now: datetime) -> Iterator[Finding]:
    yield from _refused(subject)
    yield from _failed_jobs(subject)
    for pod in subject.pods:
        if not pods.is_going(pod):
            yield from _of_pod(subject, pod, now)


# Refusals when a controller wants to make a pod -----------------------------------------------

_RULED_OUT = (
    "Change what that policy of the cluster names, or have it except the namespaces of runs."
)
# NB: "status unknown for quota" passes: the quota controller has not counted the namespace yet. So
# does "failed calling webhook": nobody has judged the pod.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        "exceeded quota",
        Reason.QUOTA_EXCEEDED,
        "Lower replicas or resources of the service, or have the quota of the operator's Helm"
        " values raised.",
    ),
    (
        "failed quota",
        Reason.QUOTA_EXCEEDED,
        "Give the resources that the quota asks for.",
    ),
    (
        "violates PodSecurity",
        Reason.FORBIDDEN,
        "Change the named fields of the service, or set spec.podSecurity: baseline where the"
        " cluster's operator allows it.",
    ),
    (
        "per Container is",
        Reason.FORBIDDEN,
        "Keep resources within the LimitRange of the run's namespace.",
    ),
    (
        "per Pod is",
        Reason.FORBIDDEN,
        "Keep resources within the LimitRange of the run's namespace.",
    ),
    ("denied the request", Reason.FORBIDDEN, _RULED_OUT),  # an admission webhook
    ("denied request: ", Reason.FORBIDDEN, _RULED_OUT),  # a ValidatingAdmissionPolicy
)


def _refused(subject: Subject) -> Iterator[Finding]:
    for message in refusals(subject):
        for words, reason, remedy in _REFUSALS:
            if words in message:
                text = (
                    f"The cluster refuses the pods of {subject.title}: {quote(message)}. {remedy}"
                )
                yield Finding(reason, text, subject.name)


def refusals(subject: Subject) -> Iterator[str]:
    """Give what the API server said when a controller wanted to make a pod."""
    for _, item in subject.workloads:
        failure = pods.condition(item, "ReplicaFailure")
        if failure is not None and failure.get("status") == "True":
            yield str(failure.get("message") or "")
    for event in subject.events:
        if event.get("reason") == "FailedCreate":
            yield str(event.get("message") or "")


def _failed_jobs(subject: Subject) -> Iterator[Finding]:
    for kind, item in subject.workloads:
        if kind != "Job":
            continue
        for name in ("Failed", "FailureTarget"):
            found = pods.condition(item, name)
            if found is not None and found.get("status") == "True":
                pod = next((each for each in subject.pods if pods.phase(each) == "Failed"), None)
                ended = next(_ended_badly(pod), None) if pod else None
                how = f" Its {ended.title} {_how(ended)}." if ended else ""
                yield Finding(
                    Reason.JOB_FAILED,
                    f"Job {item['metadata']['name']} of {subject.title} failed:"
                    f" {quote(found.get('message') or found.get('reason') or '')}.{how}"
                    f" Look at its last log lines.",
                    subject.name,
                    pods.name(pod) if pod else None,
                    ended.name if ended else None,
                )


# Pods -----------------------------------------------------------------------------------------


def _of_pod(subject: Subject, pod: Object, now: datetime) -> Iterator[Finding]:
    yield from _unschedulable(subject, pod, now)
    for container in pods.containers(pod):
        for rule in _CONTAINER_RULES:
            yield from rule(subject, pod, container)
    yield from _gone(subject, pod)
    yield from _over(subject, pod)


def _unschedulable(subject: Subject, pod: Object, now: datetime) -> Iterator[Finding]:
    found = pods.condition(pod, "PodScheduled")
    if found is None or found.get("status") != "False" or found.get("reason") != "Unschedulable":
        return
    message = found.get("message") or ""
    if room_may_come(message):
        return
    unbound = "PersistentVolumeClaim" in message
    grace_s = UNBOUND_GRACE_S if unbound else UNSCHEDULABLE_GRACE_S
    since = found.get("lastTransitionTime")
    if since and (now - parse(since)).total_seconds() < grace_s:
        return
    remedy = (
        "Give the cluster a default StorageClass that makes volumes, or take volumes out."
        if unbound
        else "Lower resources.requests, or give the cluster more nodes."
    )
    yield Finding(
        Reason.UNSCHEDULABLE,
        f"No node takes pod {pods.name(pod)} of {subject.title}: {quote(message)} {remedy}",
        subject.name,
        pods.name(pod),
    )


# In the words of containerd, CRI-O, and the registries themselves.
_DEFINITE_PULL_ERRORS = (
    "not found", "manifest unknown", "unauthorized", "denied", "authorization failed",
    "name unknown", "does not exist", "no basic auth", "invalid reference", "403 forbidden",
)  # fmt: skip


def _image(subject: Subject, pod: Object, container: Container) -> Iterator[Finding]:
    if not _image_is_lost(subject, pod, container):
        return
    remedy = {
        "InvalidImageName": "Correct the image's name.",
        "ErrImageNeverPull": "Load the image onto the nodes, or let them pull it"
        " (imagePullPolicy).",
    }.get(
        container.waiting,
        "Check the image's name and tag, and that the nodes may pull from that registry.",
    )
    said = container.waiting_message or container.waiting
    yield Finding(
        Reason.IMAGE_PULL_FAILED,
        f"The image {container.image or '?'} of {container.title} of {subject.title} cannot be had"
        f" ({container.waiting}): {quote(said)}. {remedy}",
        subject.name,
        pods.name(pod),
    )


def _image_is_lost(subject: Subject, pod: Object, container: Container) -> bool:
    if container.waiting in ("InvalidImageName", "ErrImageNeverPull"):
        return True
    if container.waiting not in ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"):
        return False
    if any(words in container.waiting_message.lower() for words in _DEFINITE_PULL_ERRORS):
        return True
    return _failed_pulls(subject.events, pod, container) >= PULLS


def _failed_pulls(events: Iterable[Object], pod: Object, container: Container) -> int:
    return sum(
        int(event.get("count") or 1)
        for event in events
        if (event.get("involvedObject") or {}).get("uid") == pods.uid(pod)
        and str(event.get("message") or "").startswith("Failed to pull image")
        and container.image in str(event.get("message"))
    )


def _configuration(subject: Subject, pod: Object, container: Container) -> Iterator[Finding]:
    definite = container.waiting == "CreateContainerConfigError" and (
        "timed out" not in container.waiting_message
    )
    if definite or (container.waiting == "CreateContainerError" and container.restarts):
        yield Finding(
            Reason.CONTAINER_CONFIG,
            f"{_begin(container.title)} of {subject.title} cannot be created:"
            f" {quote(container.waiting_message or container.waiting)}. {_correct(container)}",
            subject.name,
            pods.name(pod),
        )


def _correct(container: Container) -> str:
    # The kubelet's words where the image's user is root, or a name of which it cannot tell.
    if "runAsNonRoot" in container.waiting_message:
        return (
            "Set runAsUser, or spec.podSecurity: baseline where the cluster's operator allows it."
        )
    return "Correct what the message names."


def _out_of_memory(subject: Subject, pod: Object, container: Container) -> Iterator[Finding]:
    end = container.last_end
    if end is None or end.get("reason") != "OOMKilled" or container.crashes < 2:
        return
    yield Finding(
        Reason.OOM_KILLED,
        f"{_begin(container.title)} of {subject.title} was killed {container.crashes} times because"
        " it needed more memory than its limit. Raise resources.limits.memory of the service.",
        subject.name,
        pods.name(pod),
        container.name,
        previous=container.terminated is None,
    )


def _crash_loop(subject: Subject, pod: Object, container: Container) -> Iterator[Finding]:
    end = container.last_end
    # A command that is not there will not be there the next time either.
    limit = 1 if end is not None and end.get("reason") == "StartError" else CRASHES
    if end is None or (end.get("exitCode") == 0 and container.waiting != "CrashLoopBackOff"):
        return
    if container.ready or container.crashes < limit:
        return
    yield Finding(
        Reason.CRASH_LOOP,
        f"{_begin(container.title)} of {subject.title} {_how(container)}{_times(container)}."
        " Look at its last log lines; correct its command, its env or what it depends on.",
        subject.name,
        pods.name(pod),
        container.name,
        previous=container.terminated is None,
    )


_Rule = Callable[[Subject, Object, Container], Iterator[Finding]]
_CONTAINER_RULES: tuple[_Rule, ...] = (_image, _configuration, _out_of_memory, _crash_loop)


def _gone(subject: Subject, pod: Object) -> Iterator[Finding]:
    why = pods.disruption(pod)
    if why is not None:
        yield Finding(
            Reason.ENVIRONMENT_FAILED,
            f"The cluster took pod {pods.name(pod)} of {subject.title} away: {quote(why)}."
            " Run it again, with requests that keep the pod on its node.",
            subject.name,
            pods.name(pod),
        )


def _over(subject: Subject, pod: Object) -> Iterator[Finding]:
    """Find a pod that nothing restarts and that has failed: a bare one."""
    if pods.phase(pod) != "Failed" or pods.owner(pod) is not None:
        return
    ended = next(_ended_badly(pod), None)
    how = f"its {ended.title} {_how(ended)}" if ended else "it says no more"
    yield Finding(
        Reason.CRASH_LOOP,
        f"Pod {pods.name(pod)} of {subject.title} failed: {how}."
        " Look at its last log lines; nothing restarts a pod with restartPolicy Never.",
        subject.name,
        pods.name(pod),
        ended.name if ended else None,
    )


def _ended_badly(pod: Object) -> Iterator[Container]:
    for container in pods.containers(pod):
        if container.last_end is not None and container.last_end.get("exitCode") != 0:
            yield container


def _how(container: Container) -> str:
    end = container.last_end or {}
    code, why = end.get("exitCode"), end.get("reason") or ""
    said = f": {quote(end['message'])}" if end.get("message") else ""
    if end.get("signal"):
        return f"was killed by signal {end['signal']}{said}"
    if why in ("StartError", "ContainerCannotRun"):
        return f"could not be started ({why}){said}"
    if why == "OOMKilled":
        return f"was OOMKilled{said}"
    return f"ended with exit status {code}{said}"


def _times(container: Container) -> str:
    return f", {container.crashes} times by now" if container.crashes > 1 else ""


def quote(text: str) -> str:
    """Give the text on one line, bounded."""
    text = " ".join(str(text).split())
    return text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 1] + "…"


def _begin(text: str) -> str:
    return text[0].upper() + text[1:]
