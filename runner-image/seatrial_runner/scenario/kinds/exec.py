"""``exec``: runs a command in a pod of the system under test."""

from __future__ import annotations

from typing import Any

from seatrial.api.duration import parse_duration

from seatrial_runner.scenario.action import Call, Observation, StepFailure
from seatrial_runner.scenario.redaction import cut, cut_front

DEFAULT_TIMEOUT_S = 30.0
_MAX_SHOWN = 4096


def title(document: dict[str, Any]) -> str:
    """Give the command and where it runs."""
    return f"exec in {document.get('service') or document.get('pod')}: {document['command'][0]}"


def act(document: dict[str, Any], call: Call) -> Observation:
    """Run it, and wait for its end."""
    from seatrial_runner.scenario.cluster.asking import the_cluster
    from seatrial_runner.scenario.cluster.pods import container_of, one_pod, ready_pod

    command = [call.text(each) for each in document["command"]]
    stdin = call.text(document.get("stdin") or "")
    timeout = document.get("timeout")
    most = parse_duration(timeout).total_seconds() if timeout else DEFAULT_TIMEOUT_S
    with the_cluster(call) as cluster:
        if name := document.get("pod"):
            pod = one_pod(cluster, call.text(name), call.seconds)
        else:
            pod = ready_pod(cluster, document["service"], call.seconds)
        container = container_of(pod, document.get("container"))
        seconds = min(most, call.seconds())
        done = cluster.execute(pod, container, command, stdin, seconds=seconds)
    shown = "\n".join(
        part
        for part in (
            f"{pod['metadata']['name']}/{container}: {' '.join(command)}",
            f"exit code {done.exit_code}",
            f"stdout:\n{cut_front(done.stdout, _MAX_SHOWN)}" if done.stdout else "",
            f"stderr:\n{cut_front(done.stderr, _MAX_SHOWN)}" if done.stderr else "",
        )
        if part
    )
    if done.exit_code and not document.get("allowFailure"):
        said = (done.stderr or done.stdout).strip().splitlines()
        why = f": {cut(said[-1], 300)}" if said else ""
        raise StepFailure(f"the command ended with exit code {done.exit_code}{why}", shown)
    values = {
        "result.exitCode": done.exit_code,
        "result.stdout": done.stdout,
        "result.stderr": done.stderr,
    }
    return Observation(values, shown)
