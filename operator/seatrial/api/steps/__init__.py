"""The kinds of steps, as pydantic models; a module each."""
