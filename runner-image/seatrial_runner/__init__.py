"""
What runs in the pods of a run: the conductor, the runner, and the engine both share.

PYTEST_DONT_REWRITE: a word to pytest, which would warn that it finds this imported already.
"""
