"""Makes test data from a specification or a JSON Schema: the same seed gives the same. Pure."""

from seatrial.api.data_specification import DataError, read_specification

from seatrial_runner.data.generating import Generator

__all__ = ["DataError", "Generator", "read_specification"]
