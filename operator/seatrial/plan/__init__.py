"""Pure: from a run, what is observed and the time to what is to be done. No I/O, no clock."""
