"""
What runs in test pods: the pytest plugin, and the commands around it.

The commands (``pytest``, ``gate``, ``collect``) talk to the conductor with the standard library
alone; httpx, YAML and pydantic are imported by those parts of the plugin that use them.
"""
