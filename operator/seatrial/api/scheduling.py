"""What the scheduler says of a pod that no node takes."""

# In its words, where a node would take the pod if others were not on it that it may not push away
# (kubernetes/pkg/scheduler/framework/preemption; of a pod that is larger than a node it says
# "Preemption is not helpful for scheduling", since Kubernetes 1.34).
_ROOM_IS_TAKEN = "No preemption victims found"


def room_may_come(message: str) -> bool:
    """Tell whether a pod only waits for others to go, or for a node that an autoscaler makes."""
    return _ROOM_IS_TAKEN in message
