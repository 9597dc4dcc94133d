"""
The resource and the words every part shares.

NB: import the module you need (``seatrial.api.names``, ``seatrial.api.spec``). This package imports
nothing by itself, because the pods use its plain modules and must not pay for pydantic
(0.25 s of a start).

Plain (no third-party import): names, duration, errors, paths, journal, reasons, conditions, proof,
verdict.
Pydantic: fields, scenario, services, faults, spec, status, rules; ``run``, which checks a manifest
as a whole; and what is generated: schema, reference (``python -m seatrial.api.generate``).
"""
