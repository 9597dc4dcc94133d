"""What runs in the pods of a run: the conductor, the runner, and the engine both share."""
