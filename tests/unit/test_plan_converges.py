"""
Whatever happens in whatever order, a run comes to its end, to the same verdict, and leaves nothing.

Hypothesis drives the operator through interleavings of events that are late, repeated or lost, API
servers that fail, kills between any two writes, and users who change their minds.
"""

from __future__ import annotations

from datetime import timedelta

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from seatrial.api import names
from seatrial.api.undoing import mark_key

from tests.support.builders import a_fault, a_service, a_test
from tests.support.examples import WIDE, examples
from tests.support.fake_cluster import OperatorKilledError
from tests.support.simulation import SETTINGS, Simulation

PHASES = ["Queued", "Provisioning", "Running", "Collecting", "Cleaning", "Finished"]
SPECS = [
    {"services": [], "tests": [a_test(scenario=[{"expect": ["true"]}])]},
    {"services": [a_service("db"), a_service("orders", dependsOn=["db"])], "tests": [a_test()]},
    {"tests": [a_test("any", container={"image": "any:1"})]},
    # A gateway before both, Envoy in it, and volumes behind.
    {
        "services": [
            a_service("db", volumes=[{"path": "/data"}]),
            a_service("orders", dependsOn=["db"]),
        ],
        "faults": [
            a_fault("slow", target={"service": "db"}, latency={"delay": "1s"}, **{"for": "5s"}),
            a_fault("down", http={"abort": {"status": 503}}, **{"for": "5s"}),
            a_fault("away", target={"service": "db"}, outage={}, **{"for": "5s"}),
        ],
        "tests": [a_test()],
    },
]
MARKS = {mark_key("away")}
# Nothing here runs into a deadline: those end runs on purpose.
PATIENT = {
    "timeout": "4h",
    "timeouts": {"provisioning": "4h", "tests": "4h", "collecting": "1m"},
}


class Runs(RuleBasedStateMachine):
    """Up to four runs, two of which may go on at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.simulation = Simulation()
        self.fails: dict[str, bool] = {}
        self.meddled: set[str] = set()  # runs whose verdict may be another
        self.frozen: set[str] = set()  # runs whose conductor does nothing once its faults are on
        self.verdicts: dict[str, str] = {}
        self.phases: dict[str, int] = {}

    @property
    def cluster(self):
        return self.simulation.cluster

    @precondition(lambda self: len(self.fails) < 4)
    @rule(spec=st.sampled_from(SPECS), fails=st.booleans(), grouped=st.booleans())
    def apply(self, spec, fails, grouped):
        name = f"run-{len(self.fails)}"
        group = {"concurrency": {"group": "one"}} if grouped else {}
        self.simulation.apply(name, fails=fails, **spec, **group, **PATIENT)
        self.fails[name] = fails

    @rule(count=st.integers(1, 5))
    def events_arrive(self, count):
        self.simulation.deliver(count)

    @rule(back=st.integers(0, 30))
    def an_event_arrives_again(self, back):
        self.simulation.deliver_again(back)

    @rule()
    def a_watch_breaks_and_lists_again(self):
        self.simulation.relist()

    @rule()
    def the_operator_looks(self):
        self.simulation.look()

    @rule(after=st.integers(0, 12))
    def the_operator_is_killed_in_the_middle(self, after):
        end = len(self.cluster.writes) + after

        def die(what: str) -> None:
            if len(self.cluster.writes) > end:
                raise OperatorKilledError(what)

        self.cluster.after_write = die
        self.simulation.look()
        self.cluster.after_write = lambda what: None

    @rule(after=st.integers(0, 12))
    def the_api_server_fails_in_the_middle(self, after):
        end = len(self.cluster.writes) + after

        def fail(what: str) -> None:
            if len(self.cluster.writes) >= end:
                raise self.simulation.unreachable(what)

        self.cluster.before_write = fail
        self.simulation.look()
        self.cluster.before_write = lambda what: None

    @rule()
    def the_operator_is_restarted(self):
        self.simulation.start_operator()

    @rule()
    def the_conductors_go_on(self):
        self.simulation.conduct()

    @rule()
    def namespaces_go(self):
        self.cluster.collect_namespaces()

    @rule(seconds=st.sampled_from([1, 5, 16, 61]))
    def time_passes(self, seconds):
        self.cluster.pass_time(timedelta(seconds=seconds))

    @rule(data=st.data())
    def a_conductor_is_killed(self, data):
        pods = [key for key in self.cluster.objects if key[0] == "Pod"]
        if pods:
            self.cluster.remove(data.draw(st.sampled_from(pods)))

    @precondition(lambda self: self.simulation.runs)
    @rule(data=st.data())
    def a_conductor_freezes_when_its_faults_are_on(self, data):
        name = data.draw(st.sampled_from(self.simulation.runs))[2]
        self.simulation.conductor(name).freezes = True
        self.frozen.add(name)

    @precondition(lambda self: self.simulation.runs)
    @rule(data=st.data(), suspend=st.booleans())
    def a_user_suspends(self, data, suspend):
        self.cluster.edit(data.draw(st.sampled_from(self.simulation.runs)), suspend=suspend)

    @precondition(lambda self: self.simulation.runs)
    @rule(data=st.data())
    def a_user_aborts(self, data):
        key = data.draw(st.sampled_from(self.simulation.runs))
        self.cluster.edit(key, abort=True)
        self.meddled.add(key[2])

    @precondition(lambda self: self.simulation.runs)
    @rule(data=st.data())
    def a_user_deletes(self, data):
        key = data.draw(st.sampled_from(self.simulation.runs))
        self.cluster.remove(key)
        self.meddled.add(key[2])

    @rule(data=st.data())
    def somebody_deletes_an_environment(self, data):
        keys = [key for key in self.cluster.objects if key[0] == "Namespace"]
        if keys:
            key = data.draw(st.sampled_from(keys))
            labels = self.cluster.objects[key]["metadata"]["labels"]
            self.cluster.remove(key)
            self.meddled.add(labels[names.LABEL_RUN_NAME])

    @invariant()
    def phases_only_go_forward(self):
        for key in self.simulation.runs:
            phase = PHASES.index(self.simulation.status(key[2]).get("phase", "Queued"))
            assert phase >= self.phases.get(key[2], 0), (key[2], PHASES[phase])
            self.phases[key[2]] = phase

    @invariant()
    def a_verdict_stays(self):
        for key in self.simulation.runs:
            verdict = self.simulation.status(key[2]).get("verdict", "")
            assert self.verdicts.setdefault(key[2], verdict) in ("", verdict)
            self.verdicts[key[2]] = verdict

    @invariant()
    def no_more_runs_are_at_work_than_may_be(self):
        runs = [self.cluster.objects[key] for key in self.simulation.runs]
        staying = [each for each in runs if "deletionTimestamp" not in each["metadata"]]
        at_work = [each for each in staying if each.get("status", {}).get("phase") in PHASES[1:4]]
        assert len(at_work) <= SETTINGS.max_concurrent_runs

    def teardown(self) -> None:
        for key in self.simulation.runs:
            self.cluster.edit(key, suspend=False)
        self.simulation.relist()
        self.simulation.settle()
        self.phases_only_go_forward()
        self.a_verdict_stays()
        for key in self.simulation.runs:
            status, name = self.simulation.status(key[2]), key[2]
            assert status["phase"] == "Finished", (name, status)
            assert not self.cluster.objects[key]["metadata"].get("finalizers")
            if name not in self.meddled | self.frozen:
                assert status["verdict"] == ("Failed" if self.fails[name] else "Passed")
        self.no_fault_outlived_its_time()
        environments = [key for key in self.cluster.objects if key[0] == "Namespace"]
        assert environments == []
        written = len(self.cluster.writes)
        self.simulation.start_operator()
        self.simulation.settle()
        assert self.cluster.writes[written:] == []  # a plan carried out asks for nothing more

    def no_fault_outlived_its_time(self) -> None:
        """Check that what a frozen conductor has left was undone before its namespace went."""
        patient = {each for each in self.frozen if each not in self.meddled}
        for type_, body in self.cluster.events:
            metadata = body["metadata"]
            if type_ == "DELETED" and body["kind"] == "Deployment":
                run = metadata["labels"][names.LABEL_RUN_NAME]
                marks = [each for each in metadata.get("annotations", {}) if each in MARKS]
                assert run not in patient or not marks, (run, metadata["name"], marks)


Runs.TestCase.settings = settings(
    max_examples=examples(60),
    stateful_step_count=40,
    deadline=None,
    derandomize=not WIDE,
    database=None,
    phases=[Phase.generate, Phase.shrink] if WIDE else [Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
TestRuns = Runs.TestCase
