"""
The reasons in conditions, verdicts and events, each with what it means and what to do.

Plain: the pods use it too. The reference page of reasons is generated from here.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """
    One CamelCase word for machines; part of the API, so a released one keeps its meaning.

    ``meaning`` says what was seen, ``remedy`` where to look and what to do.
    """

    meaning: str
    remedy: str

    def __new__(cls, value: str, meaning: str, remedy: str) -> Reason:
        """Make a member that equals its word and carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.remedy = remedy
        return member

    # Of the verdict
    ALL_PASSED = (
        "AllPassed",
        "Every test held, and every fault is proven.",
        "Nothing to do.",
    )
    ABORT_REQUESTED = (
        "AbortRequested",
        "spec.abort was set.",
        "Create the run again under another name to have it run to its end.",
    )
    REPLACED = (
        "Replaced",
        "A newer run of the same concurrency group has taken its place.",
        "Look at the newer run; spec.concurrency.policy: Queue makes runs wait instead.",
    )
    TESTS_FAILED = (
        "TestsFailed",
        "At least one test case failed, after its retries.",
        "status.tests has each test's first failure; `seatrial show` and the report have all.",
    )
    NOT_RECOVERED = (
        "NotRecovered",
        "The system was not well again within a fault's recovery.within.",
        "status.faults names the fault and what was missing; look at the logs of the service it"
        " hit, or raise recovery.within if the system may take longer.",
    )
    PROBE_FAILED = (
        "ProbeFailed",
        "A steady-state probe did not hold while no fault was in effect, or during a fault although"
        " it says duringFaults: MustHold.",
        "status.probes has the first failed check and the longest outage; look at the logs of the"
        " service it asks. A probe that fails now and then may have a threshold.",
    )
    INVALID_SPEC = (
        "InvalidSpec",
        "The run cannot work as written.",
        "The message names the field and the remedy; `seatrial validate FILE` lists every problem,"
        " but for the limits of your cluster.",
    )
    ENVIRONMENT_FAILED = (
        "EnvironmentFailed",
        "The environment could not be had, or broke while the tests ran.",
        "status.services says which service, and why; keepEnvironment.onFailure leaves the"
        " namespace for a look.",
    )
    ENVIRONMENT_LOST = (
        "EnvironmentLost",
        "The environment broke while the tests ran, for example because a node went away.",
        "Run it again; what failed afterwards says nothing about the system under test.",
    )
    TIMED_OUT = (
        "TimedOut",
        "The run, or one of its phases, was out of time.",
        "The message names the budget; see what took long in status.timings, or raise"
        " spec.timeout or spec.timeouts.",
    )
    TEST_COULD_NOT_RUN = (
        "TestCouldNotRun",
        "A test ended before it had measured anything.",
        "status.tests has its message; for container tests look at the logs of its pod.",
    )
    NOTHING_MEASURED = (
        "NothingMeasured",
        "No test case was executed, so nothing was proved.",
        "Look for skipped cases, `when` conditions that were never true, and -k or -m options"
        " that select nothing.",
    )
    RESULTS_LOST = (
        "ResultsLost",
        "Tests ran, but not all of their results arrived.",
        "status.tests says which test; look for a test pod that was killed or evicted.",
    )
    PROBE_NOT_CHECKED = (
        "ProbeNotChecked",
        "A declared steady-state probe made no check, so nothing is known of the steady state.",
        "Look for what ended the run early, and at the log of pod seatrial-conductor.",
    )
    FAULTS_NOT_PROVEN = (
        "FaultsNotProven",
        "The tests held, but not against every declared fault.",
        "status.faults says for each fault what is missing.",
    )

    # Of a fault
    FAULT_PROVEN = (
        "FaultProven",
        "The fault took effect, met traffic, was undone, and the system recovered.",
        "Nothing to do.",
    )
    FAULT_NOT_STARTED = (
        "FaultNotStarted",
        "The fault never came to its moment.",
        "Its when.after lies behind the end of the tests, the test it waits for did not run, or"
        " no test started it.",
    )
    FAULT_NOT_INJECTED = (
        "FaultNotInjected",
        "The fault could not be carried out when its moment had come, mostly because its target was"
        " gone: so nothing is proven, whatever the tests say. A test that starts such a fault"
        " itself gets an error, and fails unless it expects that.",
        "status.faults has what the cluster answered; see that the target has running pods, and"
        " pods with its labels, at that moment.",
    )
    FAULT_NO_EFFECT = (
        "FaultNoEffect",
        "The fault was carried out, but a check of ours that should have met it saw nothing of it.",
        "status.faults says what was tried; see that target.port, target.from and http.match name"
        " traffic that there is.",
    )
    FAULT_ENDED_EARLY = (
        "FaultEndedEarly",
        "The fault was over before its time: what carried it out was restarted or has gone, or"
        " something else undid it.",
        "status.faults says what was seen, and until when the fault is proven. Give the gateway or"
        " the pod more memory if it was restarted; of a fault made through the Kubernetes API, keep"
        " away what works against it, such as an autoscaler, a controller or a test. Run it again.",
    )
    FAULT_NOT_REVERTED = (
        "FaultNotReverted",
        "The fault may still be there: its end was not seen.",
        "For kill and restart, see why the controller has not replaced the pods.",
    )
    FAULT_MET_NO_TRAFFIC = (
        "FaultMetNoTraffic",
        "Nothing that a test caused met the fault while it was in effect, so nothing was tested.",
        "Begin the fault while a test is at work: when: {test: NAME}, or a later when.after. Of a"
        " network fault, see that target.from and target.port name the traffic that is meant.",
    )
    FAULT_RECOVERY_NOT_SEEN = (
        "FaultRecoveryNotSeen",
        "The run ended before it could be seen that the system is well again.",
        "Look for what ended the run early; raise spec.timeouts.tests if it was time.",
    )

    UNSUPPORTED_FAULT = (
        "UnsupportedFault",
        "A declared fault cannot be carried out here, so no test was begun.",
        "The message says what is missing, such as a feature of the node's kernel; use another kind"
        " of fault, or other nodes.",
    )

    # Of the environment
    IMAGE_PULL_FAILED = (
        "ImagePullFailed",
        "An image could not be pulled.",
        "Check the image's name and tag, and that the nodes may pull from that registry.",
    )
    CRASH_LOOP = (
        "CrashLoop",
        "A container keeps ending.",
        "The message has its exit status and last log lines.",
    )
    OOM_KILLED = (
        "OOMKilled",
        "A container needed more memory than its limit.",
        "Raise resources.limits.memory of the service.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "No node can take a pod, however long one waits.",
        "Lower resources.requests, or give the cluster more nodes.",
    )
    QUOTA_EXCEEDED = (
        "QuotaExceeded",
        "The ResourceQuota of the run's namespace does not admit a pod.",
        "Lower replicas or resources, or have the quota of the operator's Helm values raised.",
    )
    FORBIDDEN = (
        "Forbidden",
        "The cluster refused an object of the run.",
        "The message has the API server's answer; a Pod Security refusal names the field to change"
        " in the service.",
    )
    CONTAINER_CONFIG = (
        "ContainerConfigError",
        "A container cannot be created from what its pod says.",
        "The message names what is wrong: a key that is not there, or an image that runs as root.",
    )
    JOB_FAILED = (
        "JobFailed",
        "A Job of the system under test failed.",
        "The message has its exit status and last log lines.",
    )
    NOT_READY_IN_TIME = (
        "NotReadyInTime",
        "Not every service was ready within spec.timeouts.provisioning.",
        "The message says what each one waits for, such as a probe; correct it, or raise the"
        " timeout.",
    )
    NAMESPACE_TAKEN = (
        "NamespaceTaken",
        "A namespace with the name of the run's own one exists, and this run did not make it.",
        "Delete that namespace, or create the run under another name.",
    )

    # Of the conductor
    CONDUCTOR_IMAGE_PULL_FAILED = (
        "ConductorImagePullFailed",
        "The runner image could not be pulled.",
        "Check runner image and pull secrets in the operator's Helm values.",
    )
    CONDUCTOR_UNSCHEDULABLE = (
        "ConductorUnschedulable",
        "No node can take the conductor's pod.",
        "The message has the scheduler's words: taints and labels of the nodes, or their size.",
    )
    CONDUCTOR_CRASH_LOOP = (
        "ConductorCrashLoop",
        "The conductor keeps ending.",
        "This is a fault in Seatrial: report it with the log of pod seatrial-conductor.",
    )
    CONDUCTOR_FAILED = (
        "ConductorFailed",
        "The conductor ended without saying how the tests went.",
        "This is a fault in Seatrial: report it with the log of pod seatrial-conductor.",
    )

    # Of conditions, while a run goes on and after its verdict
    QUEUED = ("Queued", "The run waits for its turn.", "The message says what for.")
    SUSPENDED = ("Suspended", "spec.suspend holds the run.", "Unset spec.suspend.")
    PROVISIONING = (
        "Provisioning",
        "The environment is being made.",
        "status.services says what each service waits for.",
    )
    RUNNING = ("Running", "The tests run.", "status.tests says how far they are.")
    GATE_OPENED = ("GateOpened", "Every service was ready, and the tests began.", "Nothing to do.")
    RUN_DELETED = ("RunDeleted", "The run was deleted before its end.", "Nothing to do.")
    NO_FAULTS = ("NoFaults", "The run declares no fault.", "Nothing to do.")
    REPORT_COPIED = (
        "ReportCopied",
        "The report stands in the ConfigMap that status.report names.",
        "`seatrial junit` and `seatrial logs` read it.",
    )
    REPORT_MISSING = (
        "ReportMissing",
        "There is no report: the conductor was not there to make it, or not in time.",
        "Raise spec.timeouts.collecting if it was time.",
    )
    KEPT = (
        "Kept",
        "The environment stays for a look, as spec.keepEnvironment says.",
        "Delete the run, or set keepEnvironment to 0s, to have it removed now.",
    )
    DELETING = ("Deleting", "The environment is being deleted.", "Nothing to do.")
    DELETED = ("Deleted", "Nothing of the run is left but its report.", "Nothing to do.")
    NAMESPACE_STUCK = (
        "NamespaceStuck",
        "The environment's namespace has not gone within timeouts.cleanup.",
        "The message says which objects or finalizers keep it; remove them.",
    )
    NOTHING_CREATED = ("NothingCreated", "The run never had an environment.", "Nothing to do.")
