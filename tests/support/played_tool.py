"""Chaos Mesh and Litmus, played in a namespace in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.run_namespace import RunNamespace
from tests.support.virtual_time import loop


class PlayedTool:
    """Does to the objects of a namespace what the tool's controller does."""

    def __init__(self, namespace: RunNamespace, *, injects: bool = True, ends: bool = True) -> None:
        self.namespace = namespace
        self.injects = injects
        self.made: list[dict[str, Any]] = []
        resource = {"kind": "NetworkChaos", "name": "networkchaos", "namespaced": True}
        namespace.apis["/apis/chaos-mesh.org/v1alpha1"] = [resource]
        engine = {"kind": "ChaosEngine", "name": "chaosengines", "namespaced": True}
        namespace.apis["/apis/litmuschaos.io/v1alpha1"] = [engine]
        namespace.after_write = self._look
        self.ends = ends

    def _look(self, number: int, what: str) -> None:
        if what == "post networkchaos/seatrial-f" and self.injects:
            made = self.namespace.objects["networkchaos", "seatrial-f"]
            self.made.append(made)
            loop().call_later(0.7, self._of, made, self._chaos_mesh, "True", "False", "Run")
            if self.ends:
                seconds = float(made["spec"]["duration"].removesuffix("ms")) / 1000
                ends = (self._chaos_mesh, "False", "True", "Stop")
                loop().call_later(0.7 + seconds, self._of, made, *ends)
        if what == "patch networkchaos/seatrial-f":
            loop().call_later(0.3, self._chaos_mesh, "False", "True", "Stop")
        if what == "post chaosengines/seatrial-f":
            self.made.append(self.namespace.objects["chaosengines", "seatrial-f"])
            loop().call_later(0.7, self._litmus, "initialized", "Running", "Awaited")
        if what == "patch chaosengines/seatrial-f":
            loop().call_later(0.3, self._litmus, "stopped", "Forcefully Aborted", "Stopped")

    def _of(self, made: dict[str, Any], tell: Callable[..., None], *words: str) -> None:
        """Tell of an object, unless it has gone and another one has its name."""
        now = self.namespace.objects.get(("networkchaos", "seatrial-f"))
        if now is not None and now["metadata"]["uid"] == made["metadata"]["uid"]:
            tell(*words)

    def _chaos_mesh(self, injected: str, recovered: str, phase: str) -> None:
        conditions = [
            {"type": "AllInjected", "status": injected},
            {"type": "AllRecovered", "status": recovered},
        ]
        self._status({"conditions": conditions, "experiment": {"desiredPhase": phase}})

    def _litmus(self, engine: str, status: str, verdict: str) -> None:
        experiment = {"name": "pod-delete", "status": status, "verdict": verdict}
        self._status({"engineStatus": engine, "experiments": [experiment]})

    def _status(self, status: dict[str, Any]) -> None:
        for plural in ("networkchaos", "chaosengines"):
            if (plural, "seatrial-f") in self.namespace.objects:
                self.namespace.change(plural, "seatrial-f", lambda item: item.update(status=status))
