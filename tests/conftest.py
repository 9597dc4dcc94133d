"""What holds for every test."""

from hypothesis import HealthCheck, settings

from tests.support.examples import PROFILE, examples

# How fast the machine happens to be says nothing about what is tested; machines of CI are shared.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: one that fails has been broken since the time before.
settings.register_profile("patient", PATIENT, derandomize=True, database=None)
# `make properties`: other examples each time, and how to have one that failed again.
settings.register_profile(
    "wide", PATIENT, max_examples=examples(100), derandomize=False, print_blob=True
)
settings.load_profile(PROFILE)
