"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How fast the machine happens to be says nothing about what is tested; machines of CI are shared.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
