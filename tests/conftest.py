"""Settings of the whole suite."""

from hypothesis import settings

# Machines are shared and slow at times; a failure must come back in the next run.
settings.register_profile("suite", deadline=None, derandomize=True, max_examples=30)
settings.load_profile("suite")
