"""The gateway: one pod of a run that carries traffic of Services, and disturbs it on order."""
